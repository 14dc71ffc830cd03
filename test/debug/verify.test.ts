import { describe, expect, test } from 'vitest'
import { encode, encodeError } from '../../src/core/codec.js'
import type { EventType, RecordedEvent } from '../../src/core/events.js'
import { replay } from '../../src/core/replay.js'
import { shared } from '../../src/core/state.js'
import type { Ctx } from '../../src/core/types.js'
import { compareOutcome, verifyReplay } from '../../src/core/verify.js'
import { definition, signal, workflow } from '../../src/core/workflow.js'
import { ReplaySession, type Step } from '../../src/debug/session.js'

const identity = { id: 'r', runId: 'run_r', workflow: 'w', version: 1, queue: 'default' }
const of = (fn: (ctx: Ctx) => Promise<unknown>) => definition(workflow('w', fn))!

/** Events as a store would give them back: `[type, operation, name, payload]`. */
function history(...events: [EventType, number | null, string | null, unknown?][]): RecordedEvent[] {
  return events.map(([type, op, name, value], i) => {
    const payload = value instanceof Error ? encodeError(value) : encode(value, 'the value')
    return { seq: i + 1, type, op, name, payload, facts: null, at: 1_000 + i }
  })
}
const started = ['RunStarted', 0, null, null] as const
const done = (op: number, name: string, value: unknown) => ['StepCompleted', op, name, value] as const

async function check(fn: (ctx: Ctx) => Promise<unknown>, events: RecordedEvent[]) {
  const made = of(fn)
  return verifyReplay(made, identity, events, await replay(made, identity, events))
}

describe('verify: the run is replayed against itself', () => {
  const events = history([...started], [...done(1, 'a', 1)])

  test('code that is deterministic has no difference, closed or waiting', async () => {
    expect(await check(async (ctx) => (await ctx.step('a', () => 0)) as number, events)).toBeNull()
    expect(await check(async (ctx) => [await ctx.step('a', () => 0), await ctx.sleep('1d')], events)).toBeNull()
    expect(
      await check(async (ctx) => Promise.reject(new Error(`no ${await ctx.step('a', () => 0)}`)), events),
    ).toBeNull()
  })

  const odd = () => {
    let calls = 0
    return () => ++calls % 2 === 1
  }

  test('another operation asked for, after the last event', async () => {
    const first = odd()
    const difference = await check(async (ctx) => {
      await ctx.step('a', () => 0)
      return ctx.step(first() ? 'b' : 'c', () => 0)
    }, events)
    expect(difference).toMatch(/live: {3}.*operation 2: step "b" at .*verify\.test\.ts:\d+$/m)
    expect(difference).toMatch(/replay: .*operation 2: step "c" at .*verify\.test\.ts:\d+$/m)
  })

  test('another operation at the place of a recorded one', async () => {
    const first = odd()
    const difference = await check(async (ctx) => ctx.step(first() ? 'a' : 'z', () => 0), events)
    expect(difference).toMatch(/expected: operation 1: step "a"[\s\S]*got: {6}operation 1: step "z"/)
  })

  test('one operation more, another result, another end', async () => {
    const more = odd()
    expect(
      await check(
        async (ctx) => {
          if (!more()) void ctx.step('extra', () => 0)
          return ctx.sleep('1d')
        },
        history([...started]),
      ),
    ).toMatch(/live: .*timer "sleep"[\s\S]*replay: .*step "extra"/)
    const result = odd()
    expect(await check(async (ctx) => [await ctx.step('a', () => 0), result()], events)).toMatch(
      /live: .*\[1,true\][\s\S]*replay: .*\[1,false\]/,
    )
    const end = odd()
    const throws = async (ctx: Ctx) => {
      await ctx.step('a', () => 0)
      if (!end()) throw new TypeError('bad')
    }
    expect(await check(throws, events)).toMatch(/replay: .*TypeError: bad/)
  })
})

test('a session tells what was asked for at each event, and stops at a mismatch', async () => {
  const events = history([...started], [...done(2, 'b', 2)], [...done(1, 'a', 1)], ['RunCompleted', null, null, 3])
  const fn = of(async (ctx) => {
    const [a, b] = await Promise.all([ctx.step('a', () => 0), ctx.step('b', () => 0)])
    return a + b
  })
  const session = new ReplaySession(fn, identity, events)
  const asked: string[][] = []
  for (let step = await session.next(); step !== null; step = await session.next()) {
    asked.push(step.asked.map((operation) => operation.describe()))
  }
  expect(asked).toEqual([['step "a"', 'step "b"'], [], [], []])
  const { outcome, blockage } = await session.verdict()
  expect({ outcome, blockage }).toEqual({ outcome: { type: 'completed', value: 3 }, blockage: null })
  expect(compareOutcome(outcome, events)).toBeNull()
  expect(compareOutcome({ type: 'completed', value: 4 }, events)).toMatchObject({
    seq: 4,
    expected: 'the run completed with 3',
    actual: 'the run completed with 4',
  })

  const changed = new ReplaySession(
    of(async (ctx) => ctx.step('x', () => 0)),
    identity,
    events,
  )
  await changed.next()
  expect(await changed.next()).toMatchObject({ event: { seq: 2 }, blockage: { code: 'nondeterminism' } })
  expect(await changed.next()).toBeNull()
})

describe('all that is left in one go tells what one event after another tells', () => {
  const ready = signal<number>('ready')
  const story = async (ctx: Ctx) => {
    const got: number[] = []
    ctx.onSignal(ready, (n) => void got.push(n))
    const [a] = await Promise.all([ctx.step('a', () => 0), ctx.step('b', () => 0)])
    await ctx.condition(() => got.length === 2)
    await Promise.race([ctx.sleep('1h'), ctx.step('c', () => 0)])
    return [a, got]
  }
  const told = history(
    [...started],
    ['StepScheduled', 1, 'a'],
    ['SignalReceived', null, 'ready', 1],
    [...done(2, 'b', 2)],
    ['AttemptFailed', 1, 'a', new Error('not yet')],
    [...done(1, 'a', 1)],
    ['SignalReceived', null, 'ready', 2],
    ['TimerStarted', 3, 'sleep'],
    [...done(4, 'c', 4)],
    ['RunCompleted', null, null, [1, [1, 2]]],
  )
  const hole = told.map((event) => (event.seq > 6 ? { ...event, seq: event.seq + 1 } : event))
  const cases: [string, (ctx: Ctx) => Promise<unknown>, RecordedEvent[], number][] = [
    ['a whole run, with events that have no turn', story, told, 10],
    ['a run that goes on', story, told.slice(0, 7), 7],
    ['code that does not fit', async (ctx) => [await story(ctx), ctx.step('d', () => 0)], told.with(8, done4('x')), 9],
    ['a history with a hole', story, hole, 7],
    ['code that knows no such signal', async (ctx) => ctx.step('a', () => 0), told, 3],
    ['code that awaits what is not recorded', async () => new Promise(() => {}), told, 1],
  ]
  function done4(name: string): RecordedEvent {
    return { ...told[8]!, name }
  }

  test.each(cases)('%s', async (_, fn, events, length) => {
    const plain = ({ event, asked, settled, conditions, outcome, blockage }: Step) => ({
      ...{ event: event.seq, conditions, outcome, blockage: blockage?.message },
      ...{ asked: asked.map((each) => each.describe()), settled: settled.map((each) => each.describe()) },
    })
    const byOne = new ReplaySession(of(fn), identity, events)
    const expected = []
    for (let step = await byOne.next(); step !== null; step = await byOne.next()) expected.push(plain(step))
    const session = new ReplaySession(of(fn), identity, events)
    const found: ReturnType<typeof plain>[] = []
    await session.rest((step) => {
      expect(shared.current).toBeNull()
      found.push(plain(step))
    })
    expect(found).toEqual(expected)
    expect(found).toHaveLength(length)
    expect(await session.verdict()).toMatchObject({ outcome: byOne.execution.outcome })
  })

  test('also from the middle', async () => {
    const session = new ReplaySession(of(story), identity, told)
    for (let i = 0; i < 4; i++) await session.next()
    const seqs: number[] = []
    await session.rest(({ event }) => seqs.push(event.seq))
    expect(seqs).toEqual([5, 6, 7, 8, 9, 10])
    expect(session.execution.outcome).toEqual({ type: 'completed', value: [1, [1, 2]] })
  })
})

test('an error is compared by name and message', () => {
  const events = history([...started], ['RunFailed', null, null, new RangeError('far')])
  expect(compareOutcome({ type: 'failed', error: new RangeError('far') }, events)).toBeNull()
  expect(compareOutcome({ type: 'failed', error: new RangeError('near') }, events)).toMatchObject({
    expected: 'the run failed with RangeError: far',
    actual: 'the run failed with RangeError: near',
  })
})
