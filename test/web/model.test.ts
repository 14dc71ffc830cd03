/** What the run page shows, derived from events: held against the engine's own picture of every prefix. */
import { expect, test } from 'vitest'
import { type RunView, viewAt } from '../../src/client/run-view.js'
import { graphOf } from '../../src/core/graph.js'
import { toHistoryEvent } from '../../src/core/history-event.js'
import type { Ctx, RunStatus } from '../../src/core/types.js'
import { workflow } from '../../src/core/workflow.js'
import { type Driven, type DriveOptions, drive } from '../support/drive.js'

// The pages are a program of their own, with settings of their own: what they export has no type here.
const folder = new URL('../../src/web/pages/run/model/', import.meta.url).href
const { known } = await import(`${folder}events.ts`)
const { modelOf, modelAt, edgesOf, attemptsOf, segmentsOf, criticalPath } = await import(`${folder}model.ts`)
const { fold } = await import(`${folder}fold.ts`)
const { timeScale } = await import(`${folder}scale.ts`)

const run = (fn: (ctx: Ctx) => Promise<unknown>, options: DriveOptions = {}) =>
  drive(workflow('run', fn), { marks: true, latency: (_, op) => 3 + (op % 5), ...options })
const no = () => {
  throw new Error('no')
}
const json = (driven: Driven) => driven.history.map((event) => known(JSON.parse(JSON.stringify(toHistoryEvent(event)))))
const statusOf = ({ outcome }: Driven): RunStatus =>
  outcome === null ? 'waiting' : outcome.type === 'failed' ? 'failed' : 'completed'
const model = (driven: Driven) => modelOf({ events: json(driven), waits: driven.pending, status: statusOf(driven) })

/** Everything that a workflow can do, with repeated names, fan-out, joins, failures and what is never awaited. */
const rich = (ctx: Ctx) =>
  (async () => {
    await Promise.all([
      ctx.step('a', () => 1).then(() => ctx.step('b', () => 2)),
      ctx.step('flaky', { retry: { maxAttempts: 3, initialInterval: 40, jitter: 0 } }, ({ attempt }) => {
        if (attempt < 3) throw new Error('again')
      }),
      ctx.step('bad', { retry: false }, no).catch(() => {}),
    ])
    await Promise.all(Array.from({ length: 12 }, (_, i) => ctx.step('page', () => i)))
    await Promise.all(
      Array.from({ length: 12 }, (_, i) => ctx.step('page', () => i).then(() => ctx.step('index', () => i))),
    )
    await ctx.sleep(5_000)
    await ctx.waitForSignal('never', { timeout: 50, default: null })
    await Promise.race([ctx.sleep(9_000), ctx.step('start', () => 1), ctx.step('x#2', () => 1), ctx.step('x', () => 1)])
    await ctx.waitForSignal('go')
  })()

const cases: Record<string, Driven> = {
  rich: await run(rich, { signals: [{ at: 20_000, name: 'go' }] }),
  'rich, waiting': await run(rich),
  'failed at once': await run(async (ctx) => ctx.step('bad', { retry: false }, no)),
  nothing: await run(async () => 1),
}

for (const [name, driven] of Object.entries(cases)) {
  test(`${name}: nodes and edges are those of graph()`, () => {
    const made = model(driven)
    const graph = graphOf(driven.history, driven.pending, statusOf(driven))
    expect(
      made.steps.map(({ key, name, kind, status, attempts }: any) => ({ key, name, kind, status, attempts })),
    ).toEqual(
      graph.nodes.slice(1).map(({ key, name, kind, status, attempts }) => ({ key, name, kind, status, attempts })),
    )
    expect(edgesOf(made)).toEqual(graph.edges)
  })

  test(`${name}: after each event it is what the server says it was`, () => {
    const made = model(driven)
    const view = {
      row: { status: statusOf(driven), closedAt: driven.outcome === null ? null : 1, attributes: {}, error: null },
      events: driven.history,
    } as unknown as RunView
    for (let n = 1; n <= driven.history.length; n++) {
      const then = viewAt(view, n)
      const was = modelAt(made, n)
      expect([n, was.status]).toEqual([n, then.row.status])
      const drawn = was.steps.filter(({ shown }: any) => shown !== 'ghost')
      expect(drawn.map(({ key, status, attempts }: any) => ({ key, status, attempts }))).toEqual(
        then.steps.map(({ key, status, attempts }) => ({ key, status, attempts })),
      )
      // What is not there yet is drawn, faintly, where it will be.
      expect(was.steps.map(({ key }: any) => key)).toEqual(made.steps.map(({ key }: any) => key))
    }
  })

  test(`${name}: grown event by event it is what it is at once`, () => {
    const events = json(driven)
    let grown = null
    for (let n = 1; n <= events.length; n++) {
      const last = n === events.length
      const closed = /^Run(Completed|Failed)$/.test(events[n - 1].json.type)
      const facts = {
        events: events.slice(0, n),
        waits: last ? driven.pending : [],
        status: closed ? statusOf(driven) : last ? statusOf(driven) : 'running',
      }
      const before: any = grown
      grown = modelOf(facts, before)
      expect(grown).toEqual(modelOf(facts))
      // What says the same is the same.
      for (const step of grown.steps) {
        const was = before?.byKey.get(step.key)
        if (was !== undefined && JSON.stringify(was) === JSON.stringify(step)) expect(step.after).toEqual(was.after)
      }
    }
  })

  test(`${name}: folded, all steps are in one box each, and no box comes after itself`, () => {
    const made = model(driven)
    for (const [opened, limit] of [
      [[], 400],
      [[], 5],
      [['fan:page', 'fan:page#13'], 400],
    ] as const) {
      const { boxes, edges, boxOf } = fold(made, new Set(opened), limit)
      expect(boxes.flatMap(({ members }: any) => members).sort((a: number, b: number) => a - b)).toEqual(
        made.steps.map(({ index }: any) => index),
      )
      // Boxes stand in an order that all edges respect: so there is no cycle.
      for (const { from, to } of edges) expect(from).toBeLessThan(to)
      const drawn = new Set(edges.map(({ from, to }: any) => `${from}→${to}`))
      for (const step of made.steps) {
        for (const cause of step.after) {
          const from = cause < 0 ? 0 : boxOf[cause]
          if (from !== boxOf[step.index]) expect(drawn).toContain(`${from}→${boxOf[step.index]}`)
        }
      }
      expect(new Set(boxes.map(({ id }: any) => id)).size).toBe(boxes.length)
      if (limit === 5) expect(boxes.length).toBeLessThanOrEqual(6)
    }
  })
}

test('a fan-out is one box until it is opened', () => {
  const made = model(cases.rich!)
  const of = (opened: string[]) =>
    fold(made, new Set(opened)).boxes.map(({ id, members }: any) => `${id} ${members.length}`)
  expect(of([]).filter((each: string) => each.startsWith('fan:'))).toEqual([
    'fan:page 12',
    'fan:page#13 12',
    'fan:index 12',
  ])
  expect(of(['fan:page'])).toContain('step:page#7 1')
  expect(of(['fan:page']).filter((each: string) => each.startsWith('fan:'))).toEqual(['fan:page#13 12', 'fan:index 12'])
})

test('a retried step: attempts, and what its time went to', () => {
  const made = model(cases.rich!)
  const flaky = made.byKey.get('flaky')
  const attempts = attemptsOf(flaky, made.events, 0)
  expect(attempts.map(({ n, outcome }: any) => [n, outcome])).toEqual([
    [1, 'failed'],
    [2, 'failed'],
    [3, 'completed'],
  ])
  const segments = segmentsOf(flaky, made, 0)
  expect(segments.map(({ kind }: any) => kind)).toEqual(['failed', 'retry wait', 'failed', 'retry wait', 'executing'])
  for (const [i, { from, to }] of segments.entries()) {
    expect(to).toBeGreaterThanOrEqual(from)
    if (i > 0) expect(from).toBe(segments[i - 1].to)
  }
})

test('a step between two attempts is told apart from one that runs', () => {
  const made = model(cases.rich!)
  const seen = new Set<string>()
  for (let n = 1; n <= made.length; n++) seen.add(modelAt(made, n).byKey.get('flaky').shown)
  expect([...seen]).toEqual(['ghost', 'running', 'retrying', 'completed'])
})

test('the critical path is the chain that ended last', () => {
  const made = model(cases.rich!)
  const keys = criticalPath(made).map((index: number) => made.steps[index].key)
  expect(keys[0]).toBe('flaky')
  expect(keys).toContain('sleep')
  expect(keys.at(-1)).toBe('go')
})

test('a folded scale keeps order and shows where time was left out', () => {
  const scale = timeScale(
    [
      [0, 100],
      [86_400_000, 86_400_100],
    ],
    0,
    86_400_200,
    true,
  )
  expect(scale.gaps).toHaveLength(1)
  const places = [0, 50, 100, 40_000_000, 86_400_000, 86_400_100, 86_400_200].map(scale.at)
  expect(places).toEqual([...places].sort((a: any, b: any) => a - b))
  expect(places[0]).toBe(0)
  expect(places.at(-1)).toBe(1)
  // Without folding the first hundredth of a second of a day is nowhere to be seen.
  expect(places[2]).toBeGreaterThan(0.2)
  expect(
    timeScale(
      [
        [0, 100],
        [86_400_000, 86_400_100],
      ],
      0,
      86_400_200,
      false,
    ).at(100),
  ).toBeLessThan(0.001)
})

test('10,000 steps: graph, steps and boxes are made at once, and what is new costs less', () => {
  const events = [known({ seq: 1, type: 'RunStarted', op: 0, at: new Date(0).toISOString(), data: { input: null } })]
  const at = (n: number) => new Date(n * 10).toISOString()
  const n = 10_000
  for (let op = 1; op <= n; op++) {
    const where = 'workflows/big.ts:12'
    const nth = op === 1 ? {} : { nth: op }
    const data = { causes: op <= n / 2 ? String(op - 1) : `${n / 2}`, where, ...nth }
    events.push(
      known({
        seq: events.length + 1,
        type: 'StepScheduled',
        op,
        name: 'work',
        at: at(op),
        data: { ...data, began: at(op) },
      }),
    )
    events.push(
      known({
        seq: events.length + 1,
        type: 'StepCompleted',
        op,
        name: 'work',
        at: at(op + 1),
        data: { ...data, output: op, began: at(op) },
      }),
    )
  }
  // The processor's time, not the clock's: others use the machine too.
  const measured = (what: () => unknown) => {
    const times = Array.from({ length: 5 }, () => {
      const begun = process.cpuUsage()
      what()
      const { user, system } = process.cpuUsage(begun)
      return (user + system) / 1_000
    })
    return Math.min(...times)
  }
  const made = modelOf({ events, waits: [], status: 'running' })
  const more = known({
    seq: events.length + 1,
    type: 'StepScheduled',
    op: n + 1,
    name: 'work',
    at: at(n + 9),
    data: { causes: '0', nth: n + 1 },
  })
  const figures = {
    model: measured(() => fold(modelOf({ events, waits: [], status: 'running' }), new Set())),
    back: measured(() => modelAt(made, events.length - 500)),
    grown: measured(() => modelOf({ events: [...events, more], waits: [], status: 'running' }, made)),
    critical: measured(() => criticalPath(made)),
  }
  console.log(`of ${events.length} events: ${JSON.stringify(figures)}`)
  // A twentieth of it on a quiet machine; what grows with the square of the events takes more on any.
  expect(Math.max(...Object.values(figures))).toBeLessThan(3_000)
  expect(fold(made, new Set()).boxes.map(({ id, members }: any) => `${id} ${members.length}`)).toEqual([
    'start 0',
    'chain:work 5000',
    'fan:work#5001 5000',
  ])
  // Opened, it is drawn in parts, and these in parts.
  const opened = fold(made, new Set(['fan:work#5001'])).boxes
  expect(opened.length).toBeLessThan(60)
  const part = opened.at(-1).id
  expect(fold(made, new Set(['fan:work#5001', part])).boxes.length).toBeLessThan(110)
})
