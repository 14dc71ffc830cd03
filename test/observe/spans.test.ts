/** Spans of OpenTelemetry, taken by a provider that remembers them. */
import { AsyncLocalStorage } from 'node:async_hooks'
import {
  type Context,
  type ContextManager,
  context,
  ROOT_CONTEXT,
  type Span,
  type SpanContext,
  type SpanOptions,
  type TimeInput,
  trace,
} from '@opentelemetry/api'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Ctx, type Handle, signal, workflow } from '../../src/index.js'
import { house, until } from '../support/house.js'

interface Kept {
  readonly name: string
  readonly options: SpanOptions
  readonly parent: SpanContext | undefined
  readonly context: SpanContext
  readonly attributes: Record<string, unknown>
  readonly exceptions: unknown[]
  status: unknown
  end: TimeInput | undefined
}

const kept: Kept[] = []
let made = 0

function remember(name: string, options: SpanOptions = {}, within: Context = context.active()): Span {
  const parent = options.root === true ? undefined : trace.getSpanContext(within)
  const own: SpanContext = {
    traceId: parent?.traceId ?? (++made).toString(16).padStart(32, '0'),
    spanId: (++made).toString(16).padStart(16, '0'),
    traceFlags: 1,
  }
  const entry: Kept = {
    ...{ name, options, parent, context: own, exceptions: [], status: undefined, end: undefined },
    attributes: { ...options.attributes },
  }
  kept.push(entry)
  const span = {
    spanContext: () => own,
    isRecording: () => entry.end === undefined,
    setAttribute(key: string, value: unknown) {
      entry.attributes[key] = value
      return span
    },
    setStatus(status: unknown) {
      entry.status = status
      return span
    },
    recordException(exception: unknown) {
      entry.exceptions.push(exception)
    },
    end(time?: TimeInput) {
      entry.end = time
    },
  }
  return span as unknown as Span
}

const storage = new AsyncLocalStorage<Context>()
const manager: ContextManager = {
  active: () => storage.getStore() ?? ROOT_CONTEXT,
  with: (active, fn, self, ...args) => storage.run(active, () => fn.call(self as any, ...args)),
  bind: (_active, target) => target,
  enable: () => manager,
  disable: () => manager,
}

const { stet, work, loop } = await house()

const go = signal<string>('go')
const order = workflow('order', async (ctx: Ctx<string>, sku) => {
  await ctx.step('check', async () => new Promise((resolve) => setTimeout(resolve, 30)))
  await ctx.step('charge', { retry: { initialInterval: 5 } }, ({ attempt }) => {
    if (attempt < 3) throw new Error(`no card ${attempt}`)
  })
  await ctx.waitForSignal(go)
  await ctx.step('ship', () => sku)
})
const broken = workflow('broken', (ctx) =>
  ctx.step('break', { retry: false }, () => {
    throw new TypeError('broken')
  }),
)

const spansOf = (run: Handle<unknown>) => kept.filter(({ attributes }) => attributes['stet.run.id'] === run.runId)
const traced = (run: Handle<unknown>) =>
  until(
    () =>
      kept.some(
        (each) =>
          each.name.startsWith('run ') && each.attributes['stet.run.id'] === run.runId && each.end !== undefined,
      ),
    'the run is traced',
  )

test('without a provider nothing is noted and nothing is made', async () => {
  const worker = await work([order])
  const run = await stet.start(order, 'book')
  await run.signal(go, 'now')
  await run.result()
  await worker.stop()
  expect((await run.history())[0]!.data).toEqual({ input: 'book' })
})

test('with one', async () => {
  trace.setGlobalTracerProvider({ getTracer: () => ({ startSpan: remember, startActiveSpan: () => undefined as any }) })
  context.setGlobalContextManager(manager)
  expect(kept).toEqual([])

  // The run waits, is taken up by another worker after a crash, and is replayed: one set of spans all the same.
  const first = await loop([order, broken])
  const caller = trace.getTracer('test').startSpan('request')
  const run = await context.with(trace.setSpan(ROOT_CONTEXT, caller), () => stet.start(order, 'book'))
  caller.end()
  await until(async () => (await run.describe()).status === 'waiting', 'the run waits')
  expect(spansOf(run)).toEqual([])
  await first.stop()
  const second = await work([order, broken])
  await run.signal(go, 'now')
  await run.result()
  await traced(run)

  const history = await run.history()
  const { traceId, spanId } = caller.spanContext()
  expect(history[0]!.data).toEqual({ input: 'book', traceparent: `00-${traceId}-${spanId}-01` })
  const [root, ...steps] = spansOf(run)
  const at = (index: number) => new Date(history.at(index)!.at).getTime()
  expect(root).toMatchObject({
    name: 'run order',
    parent: undefined,
    end: at(-1),
    options: { startTime: at(0), links: [{ context: { traceId, spanId, traceFlags: 1, isRemote: true } }] },
    attributes: {
      'stet.workflow.name': 'order',
      'stet.run.status': 'completed',
      'stet.queue': 'default',
      'stet.id': run.id,
    },
    status: undefined,
  })
  expect(root!.context.traceId).not.toBe(traceId)
  expect(
    steps.map(({ name, attributes, status }) => [name, attributes['stet.step.attempt'], status !== undefined]),
  ).toEqual([
    ['step check', 1, false],
    ['step charge', 1, true],
    ['step charge', 2, true],
    ['step charge', 3, false],
    ['step ship', 1, false],
  ])
  const ends = history.filter(({ type }) => type === 'StepCompleted' || type === 'AttemptFailed')
  for (const [i, span] of steps.entries()) {
    expect(span.parent).toEqual(root!.context)
    expect(span.options.startTime).toBe(Date.parse(ends[i]!.data.began))
    expect(span.end).toBe(Math.max(new Date(ends[i]!.at).getTime(), span.options.startTime as number))
  }
  expect((steps[0]!.end as number) - (steps[0]!.options.startTime as number)).toBeGreaterThanOrEqual(29)
  expect(steps[1]!.exceptions).toMatchObject([{ message: 'no card 1' }])

  // A run that nobody's span started links to nothing; its failure is told.
  const failing = await stet.start(broken)
  await failing.result().catch(() => {})
  await traced(failing)
  const [failed, attempt] = spansOf(failing)
  expect(failed).toMatchObject({ options: { links: [] }, status: { code: 2 } })
  expect(attempt).toMatchObject({
    name: 'step break',
    status: { code: 2, message: 'broken' },
    exceptions: [{ name: 'TypeError' }],
  })

  // A fork's spans begin with the fork, and have what it did itself.
  const fork = await run.fork({ at: 'ship' })
  await fork.result()
  await traced(fork)
  const [forked, ...own] = spansOf(fork)
  expect(own.map(({ name }) => name)).toEqual(['step ship'])
  expect(forked!.options.startTime).toBeGreaterThan(root!.end as number)
  expect(forked!.attributes['stet.forked.from.run.id']).toBe(run.runId)
  await second.stop()
  expect(kept.filter(({ end }) => end === undefined && kept[0]!.name !== 'request')).toEqual([])
})

beforeAll(() => {
  context.disable()
  trace.disable()
})
afterAll(() => {
  context.disable()
  trace.disable()
})
