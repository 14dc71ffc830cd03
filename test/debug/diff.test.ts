/** What differs between two histories, and between two traces of one. */
import { describe, expect, test } from 'vitest'
import { encode, encodeError } from '../../src/core/codec.js'
import { StepFailure } from '../../src/core/errors.js'
import type { EventFacts, EventType, RecordedEvent } from '../../src/core/events.js'
import { definition } from '../../src/core/workflow.js'
import { diffRuns, type Side } from '../../src/debug/diff.js'
import { compareTraces, type Trace, traceReplay } from '../../src/debug/trace.js'
import { compareValues, maxDifferences } from '../../src/debug/values.js'
import { type Ctx, workflow } from '../../src/index.js'

type Draft = readonly [EventType, number | null, string | null, unknown?, EventFacts?]

/** A history a tenth of a second an event. */
function side(
  id: string,
  drafts: readonly Draft[],
  more: { workflow?: string; status?: string; version?: number } = {},
): Side {
  const events = drafts.map(([type, op, name, value, facts], i): RecordedEvent => {
    const payload = value instanceof Error ? encodeError(value) : value === undefined ? null : encode(value, 'a value')
    return { seq: i + 1, type, op, name, payload, facts: facts ?? null, at: 1_000_000 + i * 100 }
  })
  return { run: { id, runId: `run_${id}`, workflow: 'order', version: 1, queue: 'default', ...more }, events }
}

const started = (input: unknown): Draft => ['RunStarted', 0, null, input]
const did = (op: number, name: string, value?: unknown, facts: EventFacts = {}): Draft => [
  'StepCompleted',
  op,
  name,
  value,
  { where: `order.ts:${op}`, ...facts },
]
const completed = (value?: unknown): Draft => ['RunCompleted', null, null, value]

const base: Draft[] = [
  started({ sku: 'A1', n: 2 }),
  did(1, 'check', { ok: true }),
  did(2, 'charge', 'c1'),
  did(3, 'ship', 's1'),
  completed('done'),
]
/** The same with one event in the place of another. */
const but = (i: number, ...drafts: Draft[]) => [...base.slice(0, i), ...drafts, ...base.slice(i + 1)]

describe('two runs', () => {
  test('the same, whatever their ids, times, versions and lines are', () => {
    const b = side('b', but(2, did(2, 'charge', 'c1', { where: 'order.ts:99', began: 1_000_150 })), { version: 2 })
    const diff = diffRuns(side('a', base), {
      ...b,
      events: b.events.map((event) => ({ ...event, at: event.at + 5_000 })),
    })
    expect(diff).toMatchObject({
      same: true,
      alike: 3,
      operations: [],
      input: [],
      records: [],
      outcome: { same: true },
    })
    expect([diff.a, diff.b]).toMatchObject([
      { id: 'a', version: 1, status: 'completed', durationMs: 400, events: 5, operations: 3 },
      { id: 'b', version: 2 },
    ])
  })

  test('inputs and outcomes by path', () => {
    const diff = diffRuns(
      side('a', base),
      side('b', [started({ sku: 'B2', n: 2 }), ...base.slice(1, -1), completed('well done')]),
    )
    expect(diff.same).toBe(false)
    expect(diff.input).toEqual([{ path: '$.sku', how: 'changed', a: 'A1', b: 'B2' }])
    expect(diff.alike).toBe(3)
    expect(diff.outcome).toMatchObject({ same: false, values: [{ path: '$', a: 'done', b: 'well done' }] })
  })

  test('the first operation that differs in its result, and what else differs', () => {
    const diff = diffRuns(
      side('a', base),
      side('b', [...but(2, did(2, 'charge', 'c2')).slice(0, 3), did(3, 'ship', 's2'), completed('done')]),
    )
    expect(diff.alike).toBe(1)
    expect(diff.operations).toMatchObject([
      { a: { key: 'charge', where: 'order.ts:2' }, aspects: ['result'], values: [{ path: '$', a: 'c1', b: 'c2' }] },
      { a: { key: 'ship' }, aspects: ['result'] },
    ])
  })

  test('attempts, and a failure in the place of a result', () => {
    const declined = Object.assign(new RangeError('declined'), { code: 'E1' })
    const failed: Draft[] = [
      ...base.slice(0, 2),
      ['AttemptFailed', 2, 'charge', declined, { attempt: 1 }],
      ['StepFailed', 2, 'charge', declined, { attempt: 2 }],
      [
        'RunFailed',
        null,
        null,
        new StepFailure('step "charge" failed', { step: 'charge', attempts: 2, cause: declined }),
      ],
    ]
    const diff = diffRuns(side('a', base), side('b', failed))
    expect(diff.operations[0]).toMatchObject({
      aspects: ['status', 'attempts', 'result', 'error'],
      b: { attempts: 2, error: declined },
    })
    // What one run alone has.
    expect(diff.operations[1]).toMatchObject({ a: { key: 'ship' }, b: null, aspects: [] })
    expect(diff.outcome).toMatchObject({ a: { status: 'completed' }, b: { status: 'failed' } })
    const other = failed.with(3, ['StepFailed', 2, 'charge', new RangeError('lost'), { attempt: 2 }])
    expect(diffRuns(side('a', failed), side('b', other)).operations[0]).toMatchObject({
      aspects: ['error'],
      values: [
        { path: '$.message', a: 'declined', b: 'lost' },
        { path: '$.code', how: 'removed', a: 'E1' },
      ],
    })
  })

  test('another operation in the order of asking: from there on they are found again by their keys', () => {
    const inserted = [
      ...base.slice(0, 2),
      did(2, 'insure', 'i1'),
      did(3, 'charge', 'c1'),
      did(4, 'ship', 's2'),
      completed('done'),
    ]
    const diff = diffRuns(side('a', base), side('b', inserted))
    expect(diff.alike).toBe(1)
    expect(diff.operations).toMatchObject([
      { a: { key: 'charge' }, b: { key: 'insure' }, aspects: ['name'] },
      { a: { key: 'ship' }, b: { key: 'ship', op: 4 }, aspects: ['result'] },
    ])
    const kind = diffRuns(side('a', base), side('b', but(2, ['TimerFired', 2, 'charge', undefined, {}])))
    expect(kind.operations[0]).toMatchObject({ aspects: ['kind'], a: { kind: 'step' }, b: { kind: 'timer' } })
  })

  test('an operation on record for one alone counts only if it came to something', () => {
    const withdrawn = [
      ...base.slice(0, 4),
      ['TimerStarted', 4, 'scope', undefined, { dueAt: 9 }] as Draft,
      ['TimerCancelled', 4, 'scope'] as Draft,
      base[4]!,
    ]
    expect(diffRuns(side('a', base), side('b', withdrawn)).same).toBe(true)
    const longer = [...base.slice(0, 4), did(4, 'thank'), base[4]!]
    expect(diffRuns(side('a', base), side('b', longer))).toMatchObject({
      same: false,
      alike: 3,
      operations: [{ a: null, b: { key: 'thank' } }],
    })
  })

  test('a run that goes on is not one that has ended', () => {
    const diff = diffRuns(side('a', base), side('b', base.slice(0, 3), { status: 'waiting' }))
    expect(diff).toMatchObject({
      same: false,
      alike: 2,
      b: { status: 'waiting' },
      outcome: { same: false, b: { status: 'open' } },
    })
    expect(
      diffRuns(side('a', base.slice(0, 3), { status: 'waiting' }), side('b', base.slice(0, 3), { status: 'running' }))
        .same,
    ).toBe(true)
  })

  test('what stands beside the operations: messages, patches, attributes, a cancellation', () => {
    const beside = (...drafts: Draft[]) => [...base.slice(0, 2), ...drafts, ...base.slice(2)]
    const a = beside(
      ['SignalReceived', null, 'note', 'x'],
      ['PatchMarked', null, 'new-tax'],
      ['AttributesSet', null, null, { tier: 1 }],
    )
    const b = beside(
      ['SignalReceived', null, 'note', 'y'],
      ['AttributesSet', null, null, { tier: 2 }],
      ['CancelRequested', null, null, undefined, { reason: 'late' }],
    )
    expect(diffRuns(side('a', a), side('b', a)).same).toBe(true)
    expect(diffRuns(side('a', a), side('b', b)).records).toMatchObject([
      { type: 'SignalReceived', nth: 1, values: [{ path: '$', a: 'x', b: 'y' }] },
      { type: 'PatchMarked', a: { name: 'new-tax' }, b: null },
      { type: 'AttributesSet', values: [{ path: '$.tier' }] },
      { type: 'CancelRequested', a: null },
    ])
  })

  test('durations that differ by more than twice are told, and are no difference', () => {
    const took = (ms: number) => side('x', but(2, did(2, 'charge', 'c1', { began: 1_000_200 - ms })))
    expect(diffRuns(took(100), took(30))).toMatchObject({
      same: true,
      durations: [{ key: 'charge', aMs: 100, bMs: 30 }],
    })
    expect(diffRuns(took(100), took(60)).durations).toEqual([])
    expect(diffRuns(took(1), took(5)).durations).toEqual([])
  })

  test('runs of two workflows', () => {
    expect(diffRuns(side('a', base), side('b', base, { workflow: 'other' }))).toMatchObject({
      same: false,
      sameWorkflow: false,
    })
  })
})

describe('two values', () => {
  test('lists by index, objects and Maps by key, errors by what they say, the rest as a whole', () => {
    const at = new Date(0)
    const a = {
      list: [1, 2, 3],
      'odd key': 1,
      at,
      tags: new Set([1]),
      by: new Map([['x', { n: 1 }]]),
      gone: null,
      same: new Map([[1, 2]]),
    }
    const b = {
      list: [1, 5],
      'odd key': 2,
      at: new Date(1),
      tags: new Set([2]),
      by: new Map([['x', { n: 2 }]]),
      came: undefined,
      same: new Map([[1, 2]]),
    }
    expect(compareValues(a, b)).toEqual([
      { path: '$.list[1]', how: 'changed', a: 2, b: 5 },
      { path: '$.list[2]', how: 'removed', a: 3, b: undefined },
      { path: '$["odd key"]', how: 'changed', a: 1, b: 2 },
      { path: '$.at', how: 'changed', a: at, b: new Date(1) },
      { path: '$.tags', how: 'changed', a: new Set([1]), b: new Set([2]) },
      { path: '$.by.x.n', how: 'changed', a: 1, b: 2 },
      { path: '$.gone', how: 'removed', a: null, b: undefined },
      { path: '$.came', how: 'added', a: undefined, b: undefined },
    ])
    expect(compareValues(new Error('a'), new TypeError('a'))).toEqual([
      { path: '$.name', how: 'changed', a: 'Error', b: 'TypeError' },
    ])
    expect(compareValues([1], { 0: 1 })).toHaveLength(1)
    expect(compareValues(Number.NaN, Number.NaN)).toEqual([])
    expect(compareValues(0, -0)).toHaveLength(1)
  })

  test('cycles end, and what differs everywhere is told up to a limit', () => {
    const ring = (end: number) => {
      const one: any = { end }
      one.self = one
      return one
    }
    expect(compareValues(ring(1), ring(1))).toEqual([])
    expect(compareValues(ring(1), ring(2)).length).toBeGreaterThan(0)
    const list = (n: number) => Array.from({ length: 5_000 }, () => n)
    expect(compareValues(list(1), list(2))).toHaveLength(maxDifferences)
  })
})

describe('one history, two versions of the code', () => {
  const identity = { id: 'order-1', runId: 'run_1', workflow: 'order', version: 1, queue: 'default' }
  const { events } = side('a', base)
  const trace = async (fn: (ctx: Ctx<any>, input: any) => Promise<unknown>): Promise<Trace> => {
    const traced = await traceReplay(definition(workflow('order', fn))!, identity, events)
    // As it comes from another process.
    return structuredClone(traced)
  }
  const good = async (ctx: Ctx<any>) => {
    await ctx.step('check', () => 0)
    await ctx.step('charge', () => 0)
    await ctx.step('ship', () => 0)
    return 'done'
  }

  test('the same code further down in the file parts nowhere', async () => {
    const moved = async (ctx: Ctx<any>) => {
      await ctx.step('check', () => 0)

      await ctx.step('charge', () => 0)
      await ctx.step('ship', () => 0)
      return 'done'
    }
    const [a, b] = [await trace(good), await trace(moved)]
    expect(a.outcome).toBe('the run completed with "done"')
    expect(a.turns[0]!.asked[0]!.where).not.toBe(b.turns[0]!.asked[0]!.where)
    expect(compareTraces(a, b)).toBeNull()
  })

  test('another operation: the event after which it is asked for, both lines, and what does not fit', async () => {
    const changed = await trace(async (ctx) => {
      await ctx.step('check', () => 0)
      await ctx.step('insure', () => 0)
    })
    expect(compareTraces(await trace(good), changed)).toEqual({
      seq: 2,
      how: 'asked',
      a: {
        does: 'asks for operation 2: step "charge"',
        where: expect.stringMatching(/diff\.test\.ts:\d+$/),
        message: null,
      },
      b: {
        does: 'asks for operation 2: step "insure"',
        where: expect.stringMatching(/diff\.test\.ts:\d+$/),
        message: expect.stringContaining('expected: operation 2: step "charge"'),
      },
    })
  })

  test('an end too early, and another end', async () => {
    const early = await trace(async (ctx) => {
      await ctx.step('check', () => 0)
      return 'done'
    })
    expect(compareTraces(await trace(good), early)).toMatchObject({
      seq: 2,
      how: 'asked',
      b: { does: 'asks for nothing more', message: expect.stringContaining('had already returned') },
    })
    const other = await trace(async (ctx) => {
      await good(ctx)
      return 'not done'
    })
    expect(compareTraces(await trace(good), other)).toMatchObject({
      seq: 5,
      b: { message: expect.stringContaining('"not done"') },
    })
  })
})
