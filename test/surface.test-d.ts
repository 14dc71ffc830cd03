/**
 * Types only, checked by `tsc -p tsconfig.json`: `src/index.ts` and `src/testing` offer the agreed surface
 * (`support/surface.ts`), calls have the types that users count on, and misuse does not compile.
 */
import type { StandardSchemaV1 } from '@standard-schema/spec'
import * as actual from '../src/index.js'
import {
  type Ctx,
  type context,
  type Dag,
  dag,
  dagFromJSON,
  defineConfig,
  type Handle,
  query,
  type StepContext,
  Stet,
  signal,
  type Task,
  update,
  type Workflow,
  workflow,
} from '../src/index.js'
import * as actualTesting from '../src/testing/index.js'
import type * as agreed from './support/surface.js'

/** The same type, member by member. */
type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false
type Offers<Actual, Agreed> = Actual extends Agreed ? true : false
/** Everything that was agreed is there and fits both ways; more may be. */
type Extends<Actual, Agreed> = Actual extends Agreed ? (keyof Agreed extends keyof Actual ? true : false) : false
function holds<_T extends true>(): void {}

// ── every name is there, with the agreed type ────────────────────────────────────────────────────
holds<Same<actual.Duration, agreed.Duration>>()
holds<Same<actual.RetryPolicy, agreed.RetryPolicy>>()
holds<Extends<actual.WorkflowOptions, agreed.WorkflowOptions>>()
holds<Extends<actual.MessageOptions, agreed.MessageOptions>>()
holds<Same<actual.StepOptions, agreed.StepOptions>>()
holds<Same<actual.StepContext, agreed.StepContext>>()
holds<Same<actual.Log, agreed.Log>>()
holds<Same<actual.Tx, agreed.Tx>>()
holds<Extends<actual.Ctx<number>, agreed.Ctx<number>>>()
holds<Extends<actual.Ctx, agreed.Ctx>>()
holds<Same<actual.Scope<number>, agreed.Scope<number>>>()
holds<Same<actual.MapResult<1, 2>, agreed.MapResult<1, 2>>>()
holds<Same<actual.Attributes, agreed.Attributes>>()
holds<Extends<actual.ChildOptions, agreed.ChildOptions>>()
holds<Extends<actual.ChildHandle<1>, agreed.ChildHandle<1>>>()
holds<Same<actual.TaskOptions<[]>, agreed.TaskOptions<[]>>>()
holds<Offers<actual.Dag<number>, agreed.Dag<number>>>()
holds<Offers<agreed.Dag<number>, actual.Dag<number>>>()
holds<Same<actual.DagSpec, agreed.DagSpec>>()
holds<Extends<actual.StartOptions, agreed.StartOptions>>()
holds<Same<actual.StetOptions, agreed.StetOptions>>()
holds<Same<actual.PayloadCodec, agreed.PayloadCodec>>()
holds<Same<actual.WorkerOptions, agreed.WorkerOptions>>()
holds<Same<actual.Worker, agreed.Worker>>()
holds<Same<actual.RunStatus, agreed.RunStatus>>()
holds<Same<actual.StepStatus, agreed.StepStatus>>()
holds<Extends<actual.RunFilter, agreed.RunFilter>>()
holds<Extends<actual.RunDescription, agreed.RunDescription>>()
holds<Same<actual.HistoryEvent, agreed.HistoryEvent>>()
holds<Same<actual.RunGraph, agreed.RunGraph>>()
holds<Extends<actual.Handle<{ a: 1 }>, agreed.Handle<{ a: 1 }>>>()
holds<Extends<actual.Schedules, agreed.Schedules>>()

// Functions: overload by overload.
export const functions: {
  workflow: typeof agreed.workflow
  signal: typeof agreed.signal
  query: typeof agreed.query
  update: typeof agreed.update
  context: typeof agreed.context
  dag: typeof agreed.dag
  dagFromJSON: typeof agreed.dagFromJSON
  defineConfig: typeof agreed.defineConfig
} = actual
holds<Offers<typeof actual.workflow, typeof agreed.workflow>>()
holds<Same<typeof actual.signal, typeof agreed.signal>>()
holds<Same<typeof actual.query, typeof agreed.query>>()
holds<Offers<typeof actual.update, typeof agreed.update>>()
holds<Offers<typeof actual.dag, typeof agreed.dag>>()
holds<Offers<typeof agreed.dag, typeof actual.dag>>()

// Classes: what an agreed instance can do, an actual one can.
export const classes: {
  Stet: new (options?: agreed.StetOptions) => agreed.Stet
  StetError: abstract new (...args: any[]) => agreed.StetError
  NonRetryableError: new (message: string, options?: { cause?: unknown }) => agreed.NonRetryableError
  RetryAfterError: new (
    message: string,
    options: { after: agreed.Duration | Date; cause?: unknown },
  ) => agreed.RetryAfterError
} = actual
holds<Offers<actual.Stet, agreed.Stet>>()
holds<Offers<actual.Stet['start'], agreed.Stet['start']>>()
holds<Offers<actual.Stet['execute'], agreed.Stet['execute']>>()
holds<Offers<actual.Stet['run'], agreed.Stet['run']>>()
holds<Offers<actual.Stet['signalWithStart'], agreed.Stet['signalWithStart']>>()
holds<Offers<actual.Stet['updateWithStart'], agreed.Stet['updateWithStart']>>()
holds<Offers<actual.StepFailure, agreed.StepFailure>>()
holds<Offers<actual.TimeoutFailure, agreed.TimeoutFailure>>()
holds<Offers<actual.ChildFailure, agreed.ChildFailure>>()
holds<Offers<actual.CancelledFailure, agreed.CancelledFailure>>()
holds<Offers<actual.RunFailedError, agreed.RunFailedError>>()
holds<Offers<actual.RunNotFoundError, agreed.RunNotFoundError>>()
holds<Offers<actual.RunClosedError, agreed.RunClosedError>>()
holds<Offers<actual.IdConflictError, agreed.IdConflictError>>()
holds<Offers<actual.NondeterminismError, agreed.NondeterminismError>>()
holds<Offers<actual.SerializationError, agreed.SerializationError>>()
holds<Offers<actual.NoDatabaseError, agreed.NoDatabaseError>>()
for (const Failure of [actual.StepFailure, actual.TimeoutFailure, actual.ChildFailure, actual.CancelledFailure]) {
  holds<Offers<InstanceType<typeof Failure>, actual.StetError>>()
}

export const testing: typeof agreed.testing = actualTesting
holds<Offers<actualTesting.TestEnv, agreed.testing.TestEnv>>()

// ── what calls give ──────────────────────────────────────────────────────────────────────────────
interface Order {
  readonly id: string
  readonly total: number
}
const digits = {} as StandardSchemaV1<string, number>
const approved = signal<{ by: string }>('approved')
const poke = signal('poke')
const parsed = signal('parsed', digits)
const progress = query<number>('progress')
const lookup = query<string, Date>('lookup')
const withdraw = update<number, { amount: number }>('withdraw')
const order = workflow('order', async (ctx: Ctx<Order>, input: Order) => {
  const paid = await ctx.step('pay', async () => ({ cents: input.total }))
  return { paid, at: ctx.now() }
})
const voidInput = workflow('void-input', async (_: Ctx<void>) => 'done')
const noInput = workflow('no-input', async () => 'done')
const maybe = workflow('maybe', async (_: Ctx<number | undefined>, n?: number) => n ?? 0)
const checked = workflow('checked', { input: digits, version: 2 }, async (_ctx, n) => n * 2)
const plain = workflow('plain', { queue: 'q', retry: { maxAttempts: 2 } }, async (_: Ctx<boolean>, b: boolean) => b)

holds<Same<typeof order, Workflow<Order, { paid: { cents: number }; at: number }>>>()
holds<Same<typeof checked, Workflow<string, number>>>()
holds<Same<typeof plain, Workflow<boolean, boolean>>>()
holds<Same<actual.InputOf<typeof order>, Order>>()
holds<Same<actual.OutputOf<typeof order>, { paid: { cents: number }; at: number }>>()

export async function caller(stet: Stet, tx: agreed.Tx): Promise<void> {
  const run = await stet.start(order, { id: 'o', total: 1 }, { id: 'order-1', tx, ifOpen: 'terminate' })
  holds<Same<typeof run, Handle<{ paid: { cents: number }; at: number }>>>()
  holds<Same<Awaited<ReturnType<typeof run.result>>, { paid: { cents: number }; at: number }>>()
  await stet.start(noInput)
  await stet.start(voidInput)
  await stet.start(voidInput, undefined, { delay: '1h' })
  await stet.start(noInput, undefined, { delay: '1h' })
  await stet.start(maybe)
  await stet.start(maybe, 5)
  await stet.start(checked, '41')
  const n = await stet.execute(checked, '41')
  holds<Same<typeof n, number>>()
  const byName = await stet.start<typeof order>('order', { id: 'o', total: 1 })
  holds<Same<typeof byName, Handle<{ paid: { cents: number }; at: number }>>>()
  const typed = stet.run<typeof order>('order-1')
  holds<Same<typeof typed, Handle<{ paid: { cents: number }; at: number }>>>()
  const unknown = await stet.run('order-1').result()
  holds<Same<typeof unknown, unknown>>()
  await run.signal(approved, { by: 'me' }, { messageId: 'm' })
  await run.signal(poke)
  await run.signal(poke, undefined, { messageId: 'm' })
  await run.signal(parsed, 5)
  await run.signal('by name', { anything: true })
  const percent = await run.query(progress)
  holds<Same<typeof percent, number>>()
  holds<Same<Awaited<ReturnType<typeof run.query<Date, string>>>, string>>()
  const found = await run.query(lookup, new Date(), { timeout: '5s' })
  holds<Same<typeof found, string>>()
  const left = await run.update(withdraw, { amount: 5 })
  holds<Same<typeof left, number>>()
  await stet.signalWithStart(order, { id: 'o', total: 1 }, approved, { by: 'me' }, { id: 'order-1' })
  const both = await stet.updateWithStart(order, { id: 'o', total: 1 }, withdraw, { amount: 1 }, { id: 'order-1' })
  holds<Same<typeof both.result, number>>()
  stet.worker({ workflows: [order, noInput, checked], concurrency: 5 })
  stet.worker({ workflows: { order, helper: () => 1 }, queues: ['q'], concurrency: { runs: 1 } })
  await stet.schedules.create('nightly', { workflow: order, input: { id: 'o', total: 1 }, cron: '0 0 * * *' })
  defineConfig({ workflows: 'src/**', custom: 1 })

  // @ts-expect-error the input is missing
  await stet.start(order)
  // @ts-expect-error the input has another type
  await stet.start(order, { id: 5, total: 1 })
  // @ts-expect-error a field of the input is missing
  await stet.start(order, { id: 'o' })
  // @ts-expect-error the schema takes text
  await stet.start(checked, 41)
  // @ts-expect-error there is no input
  await stet.start(voidInput, 5)
  // @ts-expect-error an option that does not exist
  await stet.start(noInput, undefined, { retries: 5 })
  // @ts-expect-error no such policy
  await stet.start(noInput, undefined, { ifOpen: 'replace' })
  // @ts-expect-error no such unit
  await stet.start(noInput, undefined, { delay: '5 minutes' })
  // @ts-expect-error a date is a Date
  await stet.start(noInput, undefined, { startAt: '2030-01-01' })
  // @ts-expect-error the output is no text
  const _text: string = await stet.execute(checked, '1')
  // @ts-expect-error an option may be left out, but not be undefined
  await stet.start(noInput, undefined, { id: undefined })
  // @ts-expect-error the message is missing
  await run.signal(approved)
  // @ts-expect-error the message has another type
  await run.signal(approved, { by: 5 })
  // @ts-expect-error the schema gives a number
  await run.signal(parsed, '5')
  // @ts-expect-error a signal is no query
  await run.query(approved)
  // @ts-expect-error the argument is missing
  await run.query(lookup)
  // @ts-expect-error the argument has another type
  await run.update(withdraw, { amount: '5' })
  // @ts-expect-error an id is needed
  await stet.signalWithStart(order, { id: 'o', total: 1 }, approved, { by: 'me' }, {})
  // @ts-expect-error what is no workflow
  stet.worker({ workflows: [() => 1] })
  // @ts-expect-error workflows are needed
  stet.worker({})
  // @ts-expect-error a text is no timeout
  await run.result({ timeout: 'soon' })
  // @ts-expect-error no such status
  await stet.list({ status: 'done' })
  // @ts-expect-error a fork needs a place
  await run.fork({})
  // @ts-expect-error only text and numbers, dates, booleans and lists of text
  await stet.start(noInput, undefined, { attributes: { a: { b: 1 } } })
  // @ts-expect-error a handle has no fields to set
  run.id = 'x'
  // @ts-expect-error no such option
  new Stet({ database: 'x' })
  new Stet({ schema: 'billing' })
  // @ts-expect-error a schema has a name
  new Stet({ schema: 7 })
  defineConfig({ schema: 'billing' })
  // @ts-expect-error also in the config
  defineConfig({ schema: 7 })
}

// ── inside a workflow ────────────────────────────────────────────────────────────────────────────
export const inside = workflow('inside', async (ctx: Ctx<Order>, input: Order) => {
  const one = await ctx.step('one', () => 1)
  const two = await ctx.step('two', { timeout: '30s', retry: false, mode: 'atMostOnce' }, async (step) => step.attempt)
  const [a, b] = await Promise.all([ctx.step('a', () => 'a'), ctx.step('b', async () => new Date())])
  holds<Same<[typeof one, typeof two, typeof a, typeof b], [number, number, string, Date]>>()
  const approval = await ctx.waitForSignal(approved)
  const orNull = await ctx.waitForSignal(approved, { timeout: '3d', default: null })
  const named = await ctx.waitForSignal<number>('named')
  const parsedValue = await ctx.waitForSignal(parsed)
  holds<
    Same<
      [typeof approval, typeof orNull, typeof named, typeof parsedValue],
      [{ by: string }, { by: string } | null, number, number]
    >
  >()
  const child = await ctx.child(checked, '5')
  const started = await ctx.startChild(noInput)
  holds<Same<[typeof child, Awaited<ReturnType<typeof started.result>>], [number, string]>>()
  const mapped = await ctx.map('items', [1, 2], async (n, i) => `${n} ${i}`)
  const tolerant = await ctx.map('items', [1], { minSuccessful: 1 }, async (n) => n)
  holds<Same<[typeof mapped, typeof tolerant], [string[], actual.MapResult<number, number>]>>()
  const always = await ctx.condition(() => true)
  const inTime = await ctx.condition(() => true, { timeout: 5 })
  holds<Same<[typeof always, typeof inTime], [true, boolean]>>()
  const scoped = ctx.scope({ timeout: '1m' }, async (inner) => inner.random())
  scoped.cancel('enough')
  const shielded = await ctx.shield(async (inner) => inner.uuid())
  const rows = await ctx.transaction('tx', async (tx, step) => (await tx.query('SELECT $1', [step.attempt])).rows)
  holds<Same<[Awaited<typeof scoped>, typeof shielded, typeof rows], [number, string, any[]]>>()
  ctx.onQuery(progress, () => 5)
  ctx.onUpdate(withdraw, { validate: ({ amount }) => void amount }, async ({ amount }) => amount)
  ctx.onSignal(approved, ({ by }) => void by)
  for await (const message of ctx.signals(approved)) {
    holds<Same<typeof message, { by: string }>>()
    break
  }
  await ctx.handle('other').signal(approved, { by: 'me' })
  ctx.setAttributes({ customer: input.id, since: new Date(), tags: ['a'], none: null })
  ctx.log.info('text', { field: 1 })
  holds<Same<ReturnType<typeof context>, Ctx>>()
  holds<Same<typeof ctx.run.scheduledFor, Date | undefined>>()

  // @ts-expect-error the body is missing
  await ctx.step('x')
  // @ts-expect-error a name is text
  await ctx.step(5, () => 1)
  // @ts-expect-error no such option
  await ctx.step('x', { retries: 1 }, () => 1)
  // @ts-expect-error no such mode
  await ctx.step('x', { mode: 'exactlyOnce' }, () => 1)
  // @ts-expect-error true is no policy
  await ctx.step('x', { retry: true }, () => 1)
  // @ts-expect-error what a step gives is a promise
  const _n: number = ctx.step('x', () => 1)
  // @ts-expect-error no such unit
  await ctx.sleep('1y')
  // @ts-expect-error a number is no date
  await ctx.sleepUntil(5)
  // @ts-expect-error a default needs a timeout
  await ctx.waitForSignal(approved, { default: null })
  // @ts-expect-error a query cannot be waited for
  await ctx.waitForSignal(progress, { timeout: 5 }).then((value: { by: string }) => value)
  // @ts-expect-error the child takes text
  await ctx.child(checked, 5)
  // @ts-expect-error the answer is a number
  ctx.onQuery(progress, () => 'half')
  // @ts-expect-error the next run takes an order
  await ctx.continueAsNew({ id: 'o' })
  // @ts-expect-error the input is another
  await ctx.scope(5, async () => 1)
})

// @ts-expect-error a workflow is an async function
workflow('sync', () => 5)
// @ts-expect-error a name is text
workflow(5, async () => 1)
// @ts-expect-error no such option
workflow('x', { attempts: 5 }, async () => 1)

// ── dags ─────────────────────────────────────────────────────────────────────────────────────────
export const orderDag = dag('order', (d: Dag<Order>) => {
  const validate = d.task('validate', (input) => input.total)
  const charge = d.task('charge', { dependsOn: [validate], retry: false }, async (input, [total], step) => {
    holds<Same<[typeof input, typeof total, typeof step], [Order, number, StepContext]>>()
    return `${total}`
  })
  const notify = d.task('notify', { dependsOn: [validate, charge], critical: false }, (_input, [total, text]) => {
    holds<Same<[typeof total, typeof text], [number, string]>>()
    return true
  })
  holds<Same<[typeof charge, typeof notify], [Task<string>, Task<boolean | undefined>]>>()
  // @ts-expect-error a name is no task
  d.task('x', { dependsOn: ['validate'] }, () => 1)
  // @ts-expect-error there is only one dependency
  d.task('x', { dependsOn: [validate] }, (_input, [_a, b]) => b)
  // @ts-expect-error no such moment
  d.task('x', { when: 'failed' }, () => 1)
  return { charge, notify }
})
holds<Same<typeof orderDag, Workflow<Order, { charge: string; notify: boolean | undefined }>>>()
const untold = dag('untold', (d: Dag<void>) => {
  d.task('a', () => 1)
})
holds<Same<typeof untold, Workflow<void, Record<string, unknown>>>>()
dagFromJSON(
  { name: 'j', tasks: [{ name: 'a', use: 'f', with: { x: 1 } }] },
  { f: (input, { b }, step) => [input, b, step.with.x, step.attempt] },
)
// @ts-expect-error a task needs to say what it uses
dagFromJSON({ name: 'j', tasks: [{ name: 'a' }] }, {})

// ── errors ───────────────────────────────────────────────────────────────────────────────────────
new actual.RetryAfterError('later', { after: '5s', cause: 1 })
new actual.NonRetryableError('never', { cause: new Error() })
// @ts-expect-error when is needed
new actual.RetryAfterError('later')
// @ts-expect-error no such unit
new actual.RetryAfterError('later', { after: '5x' })
