/**
 * Types only, checked by `tsc -p tsconfig.json`: what the published types infer, and the misuse that they refuse, call by
 * call. That the surface is the agreed one is held by `surface.test-d.ts`.
 */
import type { StandardSchemaV1 } from '@standard-schema/spec'
import * as errors from '../src/index.js'
import {
  type AnyWorkflow,
  type Attributes,
  type ChildHandle,
  type Ctx,
  type Dag,
  type Duration,
  dag,
  dagFromJSON,
  type Handle,
  type InputOf,
  type MapResult,
  type OutputOf,
  type Query,
  query,
  type RetryPolicy,
  type RunStatus,
  type Scope,
  type Signal,
  type StartOptions,
  type StepContext,
  type Stet,
  signal,
  type Task,
  type Tx,
  type Update,
  update,
  type Workflow,
  type WorkflowOptions,
  workflow,
} from '../src/index.js'
import type { Parcel, poll, ship, sweep } from './fixtures/typed-workflows.js'
import * as module from './fixtures/typed-workflows.js'

/** The same type, member by member. */
type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false
function holds<_T extends true>(): void {}

// ── definitions that the rest uses ───────────────────────────────────────────────────────────────
interface Order {
  readonly id: string
  readonly cents: number
}
interface Paid {
  readonly cents: number
}

/** Takes text, gives a number: a schema by hand, as any library's is by its own making. */
const digits: StandardSchemaV1<string, number> = {
  '~standard': {
    version: 1,
    vendor: 'test',
    validate: (value) =>
      typeof value === 'string' && /^\d+$/.test(value)
        ? { value: Number(value) }
        : { issues: [{ message: 'expected digits', path: [] }] },
  },
}
/** Takes a receipt without its date, and puts one in. */
const receipt: StandardSchemaV1<Paid, Paid & { at: Date }> = {
  '~standard': {
    version: 1,
    vendor: 'test',
    validate: (value) => ({ value: { ...(value as Paid), at: new Date(0) } }),
  },
}
const amount: StandardSchemaV1<{ amount: number }> = {
  '~standard': { version: 1, vendor: 'test', validate: (value) => ({ value: value as { amount: number } }) },
}

const approved = signal<{ by: string }>('approved')
const poke = signal('poke')
const parsed = signal('parsed', digits)
const progress = query<number>('progress')
const lookup = query<string, Date>('lookup')
const withdraw = update<number, { amount: number }>('withdraw')
const reset = update<void>('reset')

const order = workflow('order', async (ctx, input: Order) => ({ paid: input.cents, at: ctx.now() }))
const nothing = workflow('nothing', async (_: Ctx<void>) => 'done')
const maybe = workflow('maybe', async (_ctx, n?: number) => n ?? 0)
const checked = workflow('checked', { input: digits }, async (_ctx, n) => n * 2)

// ── workflow() ───────────────────────────────────────────────────────────────────────────────────
holds<Same<typeof order, Workflow<Order, { paid: number; at: number }>>>()
holds<Same<typeof nothing, Workflow<void, string>>>()
holds<Same<typeof maybe, Workflow<number | undefined, number>>>()
holds<Same<typeof checked, Workflow<string, number>>>()
holds<Same<[InputOf<typeof order>, OutputOf<typeof order>], [Order, { paid: number; at: number }]>>()
const told = workflow<number, string>('told', async (_ctx, n) => n.toFixed())
const annotated: Workflow<Order, void> = workflow('annotated', async (_ctx, { id }) => void id)
const any: AnyWorkflow[] = [order, nothing, maybe, checked, told, annotated]

const options = {
  version: 2,
  queue: 'slow',
  timeout: '1.5h',
  retry: { maxAttempts: 3, initialInterval: 250, maxInterval: '1m', jitter: 0, nonRetryable: ['CardError', TypeError] },
  priority: -1,
  concurrency: { limit: 1, key: 'customer.id' },
  rateLimit: { limit: 10, period: '1s' },
} satisfies WorkflowOptions
const configured = workflow('configured', options, async (_ctx, flag: boolean) => flag)
holds<Same<typeof configured, Workflow<boolean, boolean>>>()

// @ts-expect-error a workflow needs a function
workflow('x')
// @ts-expect-error a workflow is an async function
workflow('x', (_ctx: Ctx<number>, n: number) => n)
// @ts-expect-error the function has one input
workflow('x', async (_ctx, a: number, b: number) => a + b)
// @ts-expect-error the ctx is that of another input
workflow('x', async (_: Ctx<string>, n: number) => n)
// @ts-expect-error a version is a number
workflow('x', { version: '2' }, async () => 1)
// @ts-expect-error no such unit
workflow('x', { timeout: '3x' }, async () => 1)
// @ts-expect-error an option may be left out, but not be undefined
workflow('x', { queue: undefined }, async () => 1)
// @ts-expect-error a limit is needed
workflow('x', { concurrency: { key: 'id' } }, async () => 1)
// @ts-expect-error a period is needed
workflow('x', { rateLimit: { limit: 1 } }, async () => 1)
// @ts-expect-error steps alone can be without retries: a workflow's policy is an object
workflow('x', { retry: false }, async () => 1)
// @ts-expect-error a workflow is made by workflow()
const _forged: Workflow<void, void> = { name: 'forged', version: 1 }
// @ts-expect-error the input is an order, not text
const _otherInput: Workflow<string, unknown> = order
// @ts-expect-error the output is a number
const _otherOutput: Workflow<string, string> = checked

// ── durations and policies ───────────────────────────────────────────────────────────────────────
export const durations: Duration[] = [0, 1_500, '250ms', '30s', '5m', '1.5h', '3d', '2w']
// @ts-expect-error no such unit
durations.push('3x')
// @ts-expect-error a number in text has a unit
durations.push('30')
// @ts-expect-error a unit has a number
durations.push('s')

export const policies: RetryPolicy[] = [{}, { maxAttempts: 1, backoffCoefficient: 1.5 }, { nonRetryable: [RangeError] }]
// @ts-expect-error no such field
policies.push({ attempts: 3 })
// @ts-expect-error no such unit
policies.push({ initialInterval: '1y' })
// @ts-expect-error errors are told by name or class, not by an instance
policies.push({ nonRetryable: [new Error('x')] })

// ── schemas ──────────────────────────────────────────────────────────────────────────────────────
const resulting = workflow('resulting', { output: receipt }, async (_ctx, input: Order) => ({ cents: input.cents }))
const resultOnly = workflow('result-only', { output: receipt }, async (_: Ctx<void>) => ({ cents: 1 }))
const bothWays = workflow('both-ways', { input: digits, output: receipt, version: 3 }, async (ctx, n) => {
  holds<Same<[typeof n, Parameters<typeof ctx.continueAsNew>[0]], [number, string]>>()
  return { cents: await ctx.step('count', () => n) }
})
const schemas = { input: digits, output: receipt, queue: 'slow' }
const fromVariable = workflow('from-variable', schemas, async (_ctx, n) => ({ cents: n }))
holds<Same<typeof resulting, Workflow<Order, Paid & { at: Date }>>>()
holds<Same<typeof resultOnly, Workflow<void, Paid & { at: Date }>>>()
holds<Same<typeof bothWays, Workflow<string, Paid & { at: Date }>>>()
holds<Same<typeof fromVariable, Workflow<string, Paid & { at: Date }>>>()

// @ts-expect-error the schema gives a number
workflow('x', { input: digits }, async (_ctx, n: string) => n)
// @ts-expect-error a schema is an object of a schema library
workflow('x', { input: Number }, async () => 1)
// @ts-expect-error the result is no receipt
workflow('x', { output: receipt }, async () => 5)
// @ts-expect-error a field of the receipt has another type
workflow('x', { input: digits, output: receipt }, async (_ctx, n) => ({ cents: String(n) }))
// @ts-expect-error the schema of the result says nothing of the input
workflow('x', { input: digits, output: receipt }, async (_ctx, n: Date) => ({ cents: n.getTime() }))
// @ts-expect-error a schema is an object of a schema library
workflow('x', { output: 'receipt' }, async () => 1)

// ── names of messages ────────────────────────────────────────────────────────────────────────────
holds<Same<[typeof poke, typeof parsed], [Signal<void>, Signal<number>]>>()
holds<Same<[typeof progress, typeof lookup], [Query<void, number>, Query<Date, string>]>>()
holds<Same<[typeof reset, typeof withdraw], [Update<void, void>, Update<{ amount: number }, number>]>>()
// With a schema: both types told, the second as the argument's or as the schema's; or none.
const asArgument = update<number, { amount: number }>('withdraw', amount)
const asSchema = update<number, typeof amount>('withdraw', amount)
const transformed = update<string, typeof digits>('transformed', digits)
const untold = update('withdraw', amount)
export const byAnnotation: Update<{ amount: number }, number> = update('withdraw', amount)
holds<Same<typeof asArgument, typeof withdraw>>()
holds<Same<typeof asSchema, typeof withdraw>>()
holds<Same<[typeof transformed, typeof untold], [Update<number, string>, Update<{ amount: number }, unknown>]>>()

// @ts-expect-error the schema gives another argument
update<number, { amount: string }>('withdraw', amount)
// @ts-expect-error with a schema, the answer alone cannot be told
update<number>('withdraw', amount)
// @ts-expect-error a query has no schema: it changes nothing
query<number, { amount: number }>('withdraw', amount)
// @ts-expect-error a signal has no answer
signal<void, number>('poke')
// @ts-expect-error an update is no query
const _asQuery: Query<{ amount: number }, number> = withdraw

// ── callers ──────────────────────────────────────────────────────────────────────────────────────
export const startOptions: StartOptions[] = [
  { id: 'order-1', queue: 'q', priority: 5, delay: '1h', timeout: 5_000, ifOpen: 'fail', ifClosed: 'newIfFailed' },
  { startAt: new Date(0), attributes: { a: 'text', b: 1, c: true, d: new Date(0), e: ['x'], f: null } },
]

export async function starts(stet: Stet): Promise<void> {
  const run = await stet.start(order, { id: 'o', cents: 1 }, { id: 'order-1' })
  const result = await stet.execute(order, { id: 'o', cents: 1 })
  holds<Same<[typeof run, typeof result], [Handle<{ paid: number; at: number }>, { paid: number; at: number }]>>()
  await Promise.all([stet.start(nothing), stet.start(nothing, undefined, { id: 'n' }), stet.execute(nothing)])
  await Promise.all([stet.start(maybe), stet.start(maybe, 5), stet.start(maybe, undefined, { id: 'm' })])
  await Promise.all([stet.start(resultOnly), stet.start(configured, true), stet.start(told, 5)])
  const both = await stet.execute(bothWays, '41')
  holds<Same<typeof both, Paid & { at: Date }>>()
  // What is known of a workflow is only that it is one: any input, any result.
  const anyRun = await stet.start(any[0] as AnyWorkflow, { x: 1 }, { id: 'any' })
  holds<Same<typeof anyRun, Handle<any>>>()

  // @ts-expect-error the input is missing
  await stet.execute(order)
  // @ts-expect-error the input is missing, also when there are options
  await stet.execute(order, undefined, { id: 'order-1' })
  // @ts-expect-error a field has another type
  await stet.execute(order, { id: 'o', cents: '1' })
  // @ts-expect-error text is no order
  await stet.start(order, 'o', { id: 'order-1' })
  // @ts-expect-error there is no input: options come second
  await stet.start(nothing, { id: 'n' })
  // @ts-expect-error there is no input
  await stet.execute(nothing, 'input')
  // @ts-expect-error the input is a number
  await stet.start(maybe, '5')
  // @ts-expect-error the schema takes text, though it gives a number
  await stet.start(checked, 5)
  // @ts-expect-error options come after the input
  await stet.start(checked, { id: 'c' })
  // @ts-expect-error no fourth argument
  await stet.start(checked, '5', {}, {})
  // @ts-expect-error a function is no workflow
  await stet.start(async () => 5)
  // @ts-expect-error the result is an object
  const _n: number = await stet.execute(order, { id: 'o', cents: 1 })
  // @ts-expect-error no such unit
  startOptions.push({ delay: '3x' })
  // @ts-expect-error priority is a number
  startOptions.push({ priority: 'high' })
  // @ts-expect-error no such policy
  startOptions.push({ ifClosed: 'terminate' })
  // @ts-expect-error the version is the workflow's
  startOptions.push({ version: 2 })
  // @ts-expect-error a list holds text
  startOptions.push({ attributes: { sizes: [1, 2] } })
}

export async function startsByName(stet: Stet): Promise<void> {
  const run = await stet.start<typeof ship>('ship', { to: 'ann', grams: 5 }, { id: 's' })
  holds<Same<typeof run, Handle<{ label: string; at: Date }>>>()
  holds<Same<typeof run, Awaited<ReturnType<typeof stet.run<typeof ship>>>>>()
  await stet.start<typeof sweep>('sweep', undefined, { delay: '1d' })
  await stet.start<typeof poll>('poll', undefined)
  const untyped = await stet.start('ship', { anything: true })
  holds<Same<typeof untyped, Handle<any>>>()
  const parcel: Parcel = { to: 'bob', grams: 1 }
  const { label } = await (await stet.start<typeof ship>('ship', parcel)).result()
  holds<Same<typeof label, string>>()
  const unknown = await stet.run('s').result()
  holds<Same<typeof unknown, unknown>>()

  // @ts-expect-error the input is missing
  await stet.start<typeof ship>('ship')
  // @ts-expect-error a field is missing
  await stet.start<typeof ship>('ship', { to: 'ann' })
  // @ts-expect-error there is no input
  await stet.start<typeof sweep>('sweep', 5)
  // @ts-expect-error the type is that of a workflow
  await stet.start<Parcel>('ship', { to: 'ann', grams: 5 })
  // @ts-expect-error the module was imported for its types alone
  await stet.start(ship, { to: 'ann', grams: 5 })
  // @ts-expect-error the result has no such field
  void (await stet.run<typeof ship>('s').result()).weight
}

export async function messages(stet: Stet, run: Handle<number>): Promise<void> {
  await run.signal(approved, { by: 'ann' }, { messageId: 'm' })
  await Promise.all([run.signal(poke), run.signal(poke, undefined, { messageId: 'm' }), run.signal(parsed, 5)])
  await run.signal('approved', { by: 'ann' })
  await run.signal('poke')
  const percent = await run.query(progress)
  const name = await run.query(lookup, new Date(0), { timeout: '2s' })
  const byName = await run.query<Date, string>('lookup', new Date(0))
  const answer = await run.query('lookup', new Date(0))
  holds<Same<[typeof percent, typeof name, typeof byName, typeof answer], [number, string, string, unknown]>>()
  const left = await run.update(withdraw, { amount: 5 }, { messageId: 'm', timeout: 5_000 })
  const gone = await run.update(reset)
  const text = await run.update(transformed, 5)
  const any = await run.update('withdraw', { amount: 5 })
  holds<Same<[typeof left, typeof gone, typeof text, typeof any], [number, void, string, unknown]>>()
  const signalled = await stet.signalWithStart(checked, '5', approved, { by: 'ann' }, { id: 'c' })
  const updated = await stet.updateWithStart(order, { id: 'o', cents: 1 }, withdraw, { amount: 1 }, { id: 'o' })
  holds<Same<[typeof signalled, typeof updated.result], [Handle<number>, number]>>()
  holds<Same<typeof updated.run, Handle<{ paid: number; at: number }>>>()
  await run.moveTo(2)
  const status: RunStatus = (await run.describe()).status
  holds<Same<Awaited<ReturnType<typeof run.retry>>, Handle<number>>>()

  // @ts-expect-error there is no message
  await run.signal(poke, 5)
  // @ts-expect-error a field of the message is missing
  await run.signal(approved, {})
  // @ts-expect-error no such option
  await run.signal(poke, undefined, { delay: '1s' })
  // @ts-expect-error an update is no signal
  await run.signal(withdraw)
  // @ts-expect-error an update is no query: it changes something
  await run.query(withdraw, { amount: 5 })
  // @ts-expect-error a query is no update
  await run.update(progress)
  // @ts-expect-error the argument has another type
  await run.query(lookup, '2030-01-01')
  // @ts-expect-error there is no argument
  await run.query(progress, 5)
  // @ts-expect-error the answer is a number
  const _percent: string = await run.query(progress)
  // @ts-expect-error the argument is missing
  await run.update(withdraw)
  // @ts-expect-error the schema takes an amount
  await run.update(asSchema, { amount: '5' })
  // @ts-expect-error the answer was not told
  const _left: number = await run.update(untold, { amount: 5 })
  // @ts-expect-error no such unit
  await run.update(reset, undefined, { timeout: '3x' })
  // @ts-expect-error the input of the workflow
  await stet.signalWithStart(checked, 5, approved, { by: 'ann' }, { id: 'c' })
  // @ts-expect-error the message of the signal
  await stet.signalWithStart(checked, '5', approved, 'ann', { id: 'c' })
  // @ts-expect-error an id is needed
  await stet.updateWithStart(checked, '5', withdraw, { amount: 1 }, { delay: '1h' })
  // @ts-expect-error a version is a number
  await run.moveTo('2')
  // @ts-expect-error no such status
  const _done = status === 'done'
  // @ts-expect-error the result is a number
  const _text: Handle<string> = run
}

export function workers(stet: Stet): void {
  stet.worker({ workflows: module })
  stet.worker({ workflows: [module.ship, module.sweep], queues: ['default'], concurrency: { steps: 5 } })
  stet.worker({ workflows: any, concurrency: 5 })
  // @ts-expect-error a list holds workflows alone: a helper of the module is none
  stet.worker({ workflows: [module.ship, module.weigh] })
  // @ts-expect-error queues are names
  stet.worker({ workflows: module, queues: 'default' })
  // @ts-expect-error a workflow stands in a list
  stet.worker({ workflows: 'ship' })
}

// ── inside a workflow ────────────────────────────────────────────────────────────────────────────
export const steps = workflow('steps', async (ctx, input: Order) => {
  holds<Same<typeof ctx, Ctx<Order>>>()
  const value = await ctx.step('value', (step) => ({ key: step.idempotencyKey, id: input.id }))
  const late = await ctx.step('late', { retry: { maxAttempts: 2 }, totalTimeout: '1h' }, async () => [1n])
  holds<Same<[typeof value, typeof late], [{ key: string; id: string }, bigint[]]>>()
  const count = await ctx.transaction('count', async (tx, step) => {
    holds<Same<[typeof tx, typeof step], [Tx, StepContext]>>()
    return (await tx.query('SELECT $1::int AS n', [step.attempt])).rowCount
  })
  const none = await ctx.transaction('none', { timeout: '5s', retry: false }, async () => {})
  holds<Same<[typeof count, typeof none], [number | null, void]>>()
  ctx.compensate('undo', (step) => step.attempt)
  ctx.compensate('undo', { retry: { maxAttempts: 10 } }, async () => {})
  ctx.setAttributes({ customer: input.id, tags: ['a', 'b'], gone: null } satisfies Attributes)

  // @ts-expect-error the options stand before the body
  await ctx.step('x', () => 1, { retry: false })
  // @ts-expect-error no such unit
  await ctx.step('x', { timeout: '3x' }, () => 1)
  // @ts-expect-error what an attempt is told it cannot change
  await ctx.step('x', (step) => step.attempt++)
  // @ts-expect-error the body of a transaction is async
  await ctx.transaction('x', (tx) => tx)
  // @ts-expect-error tx has queries alone: stet commits
  await ctx.transaction('x', (tx) => tx.commit())
  // @ts-expect-error a compensation has a name
  ctx.compensate(async () => {})
  // @ts-expect-error what compensates is told later: there is nothing to wait for
  ctx.compensate('x', () => 1).then(() => {})
  // @ts-expect-error an attribute is no object
  ctx.setAttributes({ customer: { id: 1 } })
  // @ts-expect-error the facts of the run cannot be changed
  ctx.run.version = 2
})

export const waits = workflow('waits', async (ctx) => {
  const approval = await ctx.waitForSignal(approved)
  const inTime = await ctx.waitForSignal(approved, { timeout: '3d' })
  const orNull = await ctx.waitForSignal(approved, { timeout: '3d', default: null })
  const orText = await ctx.waitForSignal(parsed, { timeout: '3d', default: 'late' })
  holds<Same<typeof approval, { by: string }>>()
  holds<Same<typeof inTime, { by: string }>>()
  holds<Same<[typeof orNull, typeof orText], [{ by: string } | null, number | string]>>()
  const named = await ctx.waitForSignal<Order>('named')
  const namedOrNull = await ctx.waitForSignal<Order>('named', { timeout: '3d', default: null })
  const namedOrText = await ctx.waitForSignal<Order, string>('named', { timeout: '3d', default: 'late' })
  const unknown = await ctx.waitForSignal('named')
  holds<
    Same<
      [typeof named, typeof namedOrNull, typeof namedOrText, typeof unknown],
      [Order, Order | null, Order | string, unknown]
    >
  >()
  for await (const n of ctx.signals(parsed)) holds<Same<typeof n, number>>()
  for await (const n of ctx.signals<Date>('dates')) holds<Same<typeof n, Date>>()
  const yes = await ctx.condition(() => ctx.allHandlersFinished())
  const perhaps = await ctx.condition(() => true, { timeout: '1h' })
  holds<Same<[typeof yes, typeof perhaps], [true, boolean]>>()

  ctx.onSignal(approved, async ({ by }) => void by)
  ctx.onSignal('named', (message: Order) => void message.id)
  ctx.onQuery(lookup, (date) => date.toISOString())
  ctx.onQuery('named', (n: number) => n + 1)
  ctx.onUpdate(withdraw, ({ amount }) => amount)
  ctx.onUpdate(reset, async () => {})
  ctx.onUpdate('named', { validate: (n: number) => void n }, async (n: number) => n)
  await ctx.handle('other').signal(approved, { by: 'me' })
  await ctx.handle('other').signal('named', 5, { messageId: 'm' })
  await ctx.handle('other').cancel('enough')

  // @ts-expect-error a query cannot be waited for
  await ctx.waitForSignal(progress)
  // @ts-expect-error an update cannot be waited for: it has a handler
  await ctx.waitForSignal(withdraw)
  // @ts-expect-error the default comes back too
  const _sure: { by: string } = await ctx.waitForSignal(approved, { timeout: 5, default: null })
  // @ts-expect-error a default needs a timeout
  await ctx.waitForSignal(poke, { default: 1 })
  // @ts-expect-error no such unit
  await ctx.waitForSignal(poke, { timeout: '3x' })
  // @ts-expect-error a predicate is a function
  await ctx.condition(true)
  // @ts-expect-error a predicate looks; it does not wait
  await ctx.condition(async () => true)
  // @ts-expect-error with a timeout it may be false
  const _true: true = await ctx.condition(() => true, { timeout: 5 })
  // @ts-expect-error a query is answered at once
  ctx.onQuery(progress, async () => 5)
  // @ts-expect-error a query is no update
  ctx.onUpdate(progress, () => 5)
  // @ts-expect-error the argument has another type
  ctx.onQuery(lookup, (n: number) => String(n))
  // @ts-expect-error the message has another type
  ctx.onSignal(approved, (by: string) => void by)
  // @ts-expect-error the answer is a number
  ctx.onUpdate(withdraw, () => 'left')
  // @ts-expect-error the validator is given the argument
  ctx.onUpdate(withdraw, { validate: (n: number) => void n }, ({ amount }) => amount)
  // @ts-expect-error another run is not asked from inside a workflow: that would not be recorded
  await ctx.handle('other').query(progress)
  // @ts-expect-error the message is missing
  await ctx.handle('other').signal(approved)
})

export const parents = workflow('parents', async (ctx, { id }: Order) => {
  const paid = await ctx.child(order, { id, cents: 1 }, { id: 'c', parentClosePolicy: 'abandon' })
  const started = await ctx.startChild(checked, '5', { cancellation: 'request' })
  holds<Same<[typeof paid, typeof started], [{ paid: number; at: number }, ChildHandle<number>]>>()
  await Promise.all([ctx.child(nothing), ctx.startChild(nothing, undefined, { timeout: '1h' }), ctx.child(maybe)])
  const shipped = await ctx.child<typeof ship>('ship', { to: id, grams: 1 })
  const shipping = await ctx.startChild<typeof ship>('ship', { to: id, grams: 1 }, { queue: 'far' })
  holds<Same<[typeof shipped.at, typeof shipping], [Date, ChildHandle<{ label: string; at: Date }>]>>()
  await ctx.child<typeof sweep>('sweep', undefined)
  await started.signal(parsed, 5)
  await started.signal('named', 5)
  const n: number = await started.result()

  // @ts-expect-error the input is missing
  await ctx.child(order)
  // @ts-expect-error the schema takes text
  await ctx.startChild(checked, 5)
  // @ts-expect-error there is no input
  await ctx.child(nothing, n)
  // @ts-expect-error a field is missing
  await ctx.child<typeof ship>('ship', { to: 'ann' })
  // @ts-expect-error a field has another type
  await ctx.startChild<typeof ship>('ship', { to: 'ann', grams: '5' })
  // @ts-expect-error no such policy
  await ctx.child(nothing, undefined, { parentClosePolicy: 'ignore' })
  // @ts-expect-error a child is not started later: sleep before
  await ctx.startChild(nothing, undefined, { delay: '1h' })
  // @ts-expect-error the result is a number
  const _text: string = await started.result()
  // @ts-expect-error the message has another type
  await started.signal(approved, 5)
})

export const scopes = workflow('scopes', async (ctx, input: Order) => {
  const scope = ctx.scope(async (inner) => {
    holds<Same<typeof inner, Ctx<Order>>>()
    return inner.random()
  })
  holds<Same<typeof scope, Scope<number>>>()
  const timed = ctx.scope({ timeout: '5m' }, async () => 'in time')
  timed.cancel('enough')
  timed.cancel()
  const [n, text] = await Promise.all([scope, timed])
  const safe = await ctx.shield(async (inner) => inner.step('safe', () => input.cents))
  holds<Same<[typeof n, typeof text, typeof safe], [number, string, number]>>()

  const all = await ctx.map('all', new Set(['a', 'b']), async (item, index) => item.length + index)
  const few = await ctx.map('few', ['a'], { concurrency: 2 }, async (item) => item)
  const most = await ctx.map('most', ['a'], { concurrency: 2, toleratedFailures: '10%' }, async (item) => item.length)
  holds<Same<[typeof all, typeof few, typeof most], [number[], string[], MapResult<string, number>]>>()
  // Options in a variable say the same as those in the call.
  const policy = { concurrency: 2, minSuccessful: 1 }
  const some = await ctx.map('some', ['a'], policy, async (item) => item.length)
  holds<Same<typeof some, MapResult<string, number>>>()
  const failed: string[] = some.failures.map(({ item, error }) => `${item} ${error.message}`)

  // @ts-expect-error what a scope gives is a promise
  const _n: number = ctx.scope(async () => 1)
  // @ts-expect-error a shield cannot be cancelled
  ctx.shield(async () => 1).cancel()
  // @ts-expect-error a scope's function is async
  ctx.scope(() => 1)
  // @ts-expect-error no such unit
  ctx.scope({ timeout: '3x' }, async () => 1)
  // @ts-expect-error a map has a name
  await ctx.map(['a'], async (item: string) => item)
  // @ts-expect-error the items are numbers
  await ctx.map('x', [1], async (item: string) => item)
  // @ts-expect-error with a policy the result tells of failures too
  const _values: number[] = await ctx.map('x', [1], { minSuccessful: 1 }, async (item) => item)
  // @ts-expect-error a part of the items is a number with a percent sign
  await ctx.map('x', [1], { toleratedFailures: 'few' }, async (item) => item)
  // @ts-expect-error no such field
  void some.errors
  return failed
})

export const continues = workflow('continues', async (ctx, input: Order): Promise<string> => {
  if (ctx.run.continueAsNewSuggested) return ctx.continueAsNew({ ...input, cents: 0 }, { version: 2 })
  // @ts-expect-error the next run takes an order
  if (input.cents === 1) return ctx.continueAsNew('order')
  // @ts-expect-error the next run takes an input
  if (input.cents === 2) return ctx.continueAsNew()
  // @ts-expect-error the next run has this one's id and queue
  if (input.cents === 3) return ctx.continueAsNew(input, { queue: 'other' })
  return 'done'
})
workflow('continues-checked', { input: digits }, async (ctx, n) => {
  if (n > 0) return ctx.continueAsNew('0')
  // @ts-expect-error the schema takes text
  return ctx.continueAsNew(n)
})
workflow('continues-without', async (ctx: Ctx<void>) => {
  if (ctx.now() > 0) return ctx.continueAsNew()
  // @ts-expect-error there is no input
  return ctx.continueAsNew(5)
})

// A workflow that starts itself: the result has to be told, as for any function that calls itself.
export const countdown = workflow('countdown', async (ctx, n: number): Promise<number> => {
  return n === 0 ? 0 : 1 + (await ctx.child(countdown, n - 1))
})
export const tree: Workflow<number, number> = workflow('tree', async (ctx, depth) => {
  if (depth === 0) return 1
  const halves = await Promise.all([ctx.child(tree, depth - 1), (await ctx.startChild(tree, depth - 1)).result()])
  return halves[0] + halves[1]
})
holds<Same<typeof countdown, Workflow<number, number>>>()
// @ts-expect-error it takes a number
export const wrong: Workflow<number, number> = workflow('wrong', async (ctx, n) => ctx.child(wrong, String(n)))

// ── dags ─────────────────────────────────────────────────────────────────────────────────────────
export const graph = dag('graph', { queue: 'slow' }, (d: Dag<Order>) => {
  const check = d.task('check', async ({ cents }) => cents > 0)
  const label = d.task('label', { dependsOn: [check], critical: false }, (input, [ok], step) => {
    holds<Same<[typeof input, typeof ok, typeof step], [Order, boolean, StepContext]>>()
    return `${input.id} ${ok}`
  })
  const notify = d.task('notify', { dependsOn: [check, label], when: 'closed' }, (_input, dependencies) => {
    holds<Same<typeof dependencies, readonly [boolean, string | undefined]>>()
    return dependencies.length
  })
  holds<Same<[typeof check, typeof label], [Task<boolean>, Task<string | undefined>]>>()
  holds<Same<typeof notify, Task<2>>>()

  // @ts-expect-error a task that may fail may have no output
  d.task('x', { dependsOn: [label] }, (_input, [text]) => text.length)
  // @ts-expect-error what depends on one task is given one output
  d.task('x', { dependsOn: [check] }, (_input, [_ok, _more]) => 1)
  // @ts-expect-error without dependencies there is none
  d.task('x', (_input, [first]) => first)
  // @ts-expect-error the input is an order
  d.task('x', (input) => input.total)
  // @ts-expect-error dependencies stand in a list
  d.task('x', { dependsOn: check }, () => 1)
  // @ts-expect-error a workflow is no task
  d.task('x', { dependsOn: [order] }, () => 1)
  // @ts-expect-error no such option
  d.task('x', { optional: true }, () => 1)
  return { label, notify }
})
holds<Same<typeof graph, Workflow<Order, { label: string | undefined; notify: 2 }>>>()
// @ts-expect-error only tasks are returned
dag('x', (d: Dag<void>) => ({ a: d.task('a', () => 1).name }))
// @ts-expect-error the tasks are declared at once
dag('x', async (d: Dag<void>) => ({ a: d.task('a', () => 1) }))

const fromJSON = dagFromJSON(
  { name: 'json', tasks: [{ name: 'a', use: 'f', retry: false, when: 'closed' }] },
  { f: () => 1 },
)
holds<Same<typeof fromJSON, Workflow<any, Record<string, unknown>>>>()
// @ts-expect-error dependencies are told by name
dagFromJSON({ name: 'json', tasks: [{ name: 'a', use: 'f', dependsOn: ['b', 5] }] }, {})
// @ts-expect-error a task is a function
dagFromJSON({ name: 'json', tasks: [] }, { f: 5 })

// ── errors ───────────────────────────────────────────────────────────────────────────────────────
export function fieldsOf(error: unknown): string | number {
  if (error instanceof errors.CancelledFailure) return error.code
  if (error instanceof errors.StepFailure) return `${error.step} ${error.attempts.toFixed()} ${error.code}`
  if (error instanceof errors.TimeoutFailure) return error.operation
  if (error instanceof errors.ChildFailure) return error.id + error.runId
  if (error instanceof errors.RunFailedError || error instanceof errors.UpdateRejectedError) return error.runId
  if (error instanceof errors.NondeterminismError) return error.seq + error.expected.length + error.actual.length
  if (error instanceof errors.SerializationError) return error.path
  if (error instanceof errors.RetryAfterError) return error.after instanceof Date ? error.after.getTime() : error.after
  if (error instanceof errors.StetError) {
    holds<Same<[typeof error.code, typeof error.cause], [string, unknown]>>()
    // @ts-expect-error what it says is not changed
    error.code = 'other'
    // @ts-expect-error only a failed step has one
    return error.step
  }
  // @ts-expect-error anything can be thrown
  return error.message
}
export const raised = [
  new errors.RetryAfterError('later', { after: new Date(0) }),
  new errors.NonRetryableError('never', { cause: 'the card was stolen' }),
]
// @ts-expect-error no such unit
raised.push(new errors.RetryAfterError('later', { after: '3x' }))
// @ts-expect-error an error has a message
raised.push(new errors.NonRetryableError({ cause: 'the card was stolen' }))
