/** The history that a fork begins with. K1–K5: core/fork.ts. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { encode, encodeError } from '../../src/core/codec.js'
import { ChildFailure, StepFailure } from '../../src/core/errors.js'
import type { EventFacts, EventType, RecordedEvent } from '../../src/core/events.js'
import { type ForkRequest, forkHistory, forkKeys } from '../../src/core/fork.js'
import { replay } from '../../src/core/replay.js'
import { definition } from '../../src/core/workflow.js'
import { type Ctx, workflow } from '../../src/index.js'
import { drive, epoch } from '../support/drive.js'

type Sketch = [
  type: EventType,
  op?: number | undefined,
  name?: string | undefined,
  payload?: unknown,
  facts?: EventFacts | undefined,
]

const errors: readonly EventType[] = ['StepFailed', 'AttemptFailed', 'ChildFailed', 'RunFailed', 'RunCancelled']

/** A history by hand, an event a second. */
function history(...sketches: Sketch[]): RecordedEvent[] {
  return ([['RunStarted', 0, undefined, 'in'], ...sketches] as Sketch[]).map(
    ([type, op, name, payload, facts], i): RecordedEvent => ({
      seq: i + 1,
      type,
      op: op ?? null,
      name: name ?? null,
      payload: errors.includes(type) ? encodeError(payload) : encode(payload, 'payload'),
      facts: facts ?? null,
      at: epoch + i * 1000,
    }),
  )
}

const now = epoch + 1_000_000
const fork = (events: readonly RecordedEvent[], request: Partial<ForkRequest>) =>
  forkHistory(events, { runId: 'run_origin', now, ...request })
const said = (events: readonly RecordedEvent[]) =>
  events.map(({ type, name }) => (name === null ? type : `${type} ${name}`))
const message = (attempt: () => unknown): string => {
  try {
    attempt()
  } catch (error) {
    return (error as Error).message
  }
  throw new Error('nothing was thrown')
}

const ordered = history(
  ['StepScheduled', 1, 'check'],
  ['StepScheduled', 2, 'reserve'],
  ['StepCompleted', 1, 'check', 'ok', { causes: '0' }],
  ['StepScheduled', 3, 'charge'],
  ['AttemptFailed', 3, 'charge', new Error('no'), { attempt: 1 }],
  ['StepCompleted', 2, 'reserve', 'yes'],
  ['StepCompleted', 3, 'charge', 'paid', { causes: '1', where: 'order.ts:7', attempt: 2 }],
  ['StepCompleted', 4, 'charge', 'paid again', { nth: 2 }],
  ['RunCompleted', undefined, undefined, 'done'],
)

describe('what is kept', () => {
  it('is everything before the event that settles the step, without what had begun it', () => {
    const made = fork(ordered, { at: 'charge' })
    expect(said(made.events)).toEqual([
      'RunStarted',
      'StepScheduled check',
      'StepScheduled reserve',
      'StepCompleted check',
      'StepCompleted reserve',
    ])
    expect(made).toMatchObject({ cut: 8, kept: 5, anew: 'charge', movedBy: null })
    expect(made.events.map(({ seq }) => seq)).toEqual([1, 2, 3, 4, 5])
    expect(made.events.map(({ at }) => (at - epoch) / 1000)).toEqual([0, 1, 2, 3, 6])
    expect(made.events[0]!.facts).toEqual({
      fork: { runId: 'run_origin', seq: 8, at: now },
      from: 'run_origin:1',
    })
    expect(made.events[4]!.facts).toEqual({ from: 'run_origin:7' })
  })

  it.each<[ForkRequest['at'], string[], string | null]>([
    [2, ['RunStarted'], 'check'],
    ['start', ['RunStarted'], 'check'],
    [4, ['RunStarted'], 'check'],
    [5, ['RunStarted', 'StepScheduled check', 'StepCompleted check'], 'charge'],
  ])('at %s', (at, kept, anew) => {
    const made = fork(ordered, { at })
    expect(said(made.events)).toEqual(kept)
    expect(made.anew).toBe(anew)
  })

  it('never has the end, also when the place is behind it', () => {
    for (const at of [10, 11]) {
      const made = fork(ordered, { at })
      expect(made.kept).toBe(9)
      expect(made.cut).toBe(10)
      expect(said(made.events).at(-1)).toBe('StepCompleted charge')
    }
  })

  it('is everything when the step is pending, also when no event mentions it', () => {
    const open = ordered.slice(0, 6)
    expect(fork(open, { at: 'charge' })).toMatchObject({ cut: 7, kept: 3 })
    const pending = [{ op: 4, kind: 'signal' as const, name: 'approved', causes: '1', askedAt: epoch }]
    expect(fork(open, { at: 'approved', pending })).toMatchObject({ cut: 7, anew: 'approved' })
    expect(forkKeys(open, pending)).toEqual(['check', 'reserve', 'charge', 'approved'])
  })

  it('has marks of timers that are over, and not of those that are not', () => {
    const events = history(
      ['TimerStarted', 1, 'sleep'],
      ['TimerStarted', 2, 'sleep'],
      ['TimerFired', 1, 'sleep'],
      ['StepCompleted', 3, 'a', 1],
    )
    expect(said(fork(events, { at: 'a' }).events)).toEqual(['RunStarted', 'TimerStarted sleep', 'TimerFired sleep'])
  })

  it('leaves the origin as it was', () => {
    const before = structuredClone(ordered)
    fork(ordered, { at: 'charge', set: new Map([['check', '"x"']]), input: { payload: '1' } })
    expect(ordered).toEqual(before)
  })

  it.each([0, 1, 12, 2.5, -1, Number.NaN])('refuses event %s and says which there are', (at) => {
    expect(message(() => fork(ordered, { at }))).toContain(`from 2 to 11, got ${at}`)
  })

  it('refuses a step that is not there and says which are', () => {
    const told = message(() => fork(ordered, { at: 'chrage' }))
    expect(told).toContain('no step "chrage". Did you mean "charge"?')
    expect(told).toContain(
      'Its steps: "check", "reserve", "charge", "charge#2". Or give the number of an event, from 2 to 11',
    )
    expect(message(() => fork(ordered, {}))).toContain('expected the place of the fork')
  })
})

describe('the last failure', () => {
  const cause = new Error('card declined')
  const text = 'step "charge" failed after 2 attempts: card declined'
  const failure = new StepFailure(text, { step: 'charge', attempts: 2, cause })
  const ending = (error: unknown, facts?: EventFacts) =>
    history(
      ['StepFailed', 1, 'charge', new Error('another card'), { attempt: 1 }],
      ['StepFailed', 2, 'charge', cause, { attempt: 2, nth: 2 }],
      ['StepFailed', 3, 'charge', new Error('a third'), { attempt: 1, nth: 3 }],
      ['StepCompleted', 4, 'refund'],
      ['RunFailed', undefined, undefined, error, facts],
    )

  it.each<[string, unknown, number]>([
    ['came out as it was', failure, 3],
    ['is a cause of what came out', new Error('no order', { cause: new Error('no payment', { cause: failure }) }), 3],
    ['is one of several', new AggregateError([new Error('other'), failure], 'all failed'), 3],
    ['is told by its name alone', new StepFailure('changed', { step: 'charge', attempts: 1 }), 4],
    ['is none of a step: the end alone is left out', new TypeError('x is undefined'), 6],
  ])('that ended the run %s', (_, error, cut) => {
    expect(fork(ending(error), { at: 'last-failure' }).cut).toBe(cut)
  })

  it('is the step in whose turn something else was thrown', () => {
    const events = history(
      ['StepFailed', 1, 'charge', cause, { attempt: 1 }],
      ['RunFailed', undefined, undefined, new Error('charging failed')],
    )
    expect(fork(events, { at: 'last-failure' })).toMatchObject({ cut: 2, anew: 'charge' })
  })

  it('is no step when the time was up', () => {
    expect(fork(ending(failure, { kind: 'timeout' }), { at: 'last-failure' }).cut).toBe(6)
  })

  it('is a child, and not the step of that name that failed in the child', () => {
    const child = new ChildFailure('child', { id: 'c', runId: 'run_c', cause: failure })
    const events = history(
      ['ChildStarted', 1, 'pay', undefined, { id: 'c', runId: 'run_c' }],
      ['StepFailed', 2, 'charge', cause, { attempt: 2 }],
      ['ChildFailed', 1, 'pay', failure, { id: 'c', runId: 'run_c' }],
      ['RunFailed', undefined, undefined, child],
    )
    const made = fork(events, { at: 'last-failure' })
    expect(made).toMatchObject({ cut: 4, anew: 'pay', kept: 2 })
    expect(said(made.events)).toEqual(['RunStarted', 'StepFailed charge'])
  })

  it('is not there in a run that did not fail', () => {
    expect(message(() => fork(ordered, { at: 'last-failure' }))).toContain('did not fail')
  })
})

describe('what is other', () => {
  it('the input', () => {
    expect(fork(ordered, { at: 2, input: { payload: '7' } }).events[0]!.payload).toBe('7')
    expect(fork(ordered, { at: 2 }).events[0]!.payload).toBe('"in"')
  })

  it('results in the prefix, also of a step that failed', () => {
    const events = history(
      ['StepFailed', 1, 'a', new Error('x'), { attempt: 4 }],
      ['StepCompleted', 2, 'b', 1],
      ['StepCompleted', 3, 'c'],
    )
    const made = fork(events, { at: 'c', set: new Map([['a', '"set"']]) })
    expect(said(made.events)).toEqual(['RunStarted', 'StepCompleted a', 'StepCompleted b'])
    expect(made.events[1]).toMatchObject({ payload: '"set"', facts: { set: true, attempt: 4 } })
  })

  it('the result of the step at the place, which then does not run', () => {
    for (const at of ['charge', undefined, 8]) {
      const made = fork(ordered, { at, set: new Map([['charge', '"free"']]) })
      expect(made.anew).toBeNull()
      expect(said(made.events).slice(-3)).toEqual([
        'AttemptFailed charge',
        'StepCompleted reserve',
        'StepCompleted charge',
      ])
      expect(made.events.at(-1)).toEqual({
        seq: 8,
        type: 'StepCompleted',
        op: 3,
        name: 'charge',
        payload: '"free"',
        facts: { set: true },
        at: now,
      })
    }
  })

  it('a step under way in the prefix is given its result, in the order of asking; one behind it is refused', () => {
    const made = fork(ordered, {
      set: new Map([
        ['reserve', '2'],
        ['check', '1'],
      ]),
    })
    expect(made.cut).toBe(4)
    expect(said(made.events).slice(-2)).toEqual(['StepCompleted check', 'StepCompleted reserve'])
    expect(
      message(() =>
        fork(ordered, {
          set: new Map([
            ['charge', '2'],
            ['check', '1'],
          ]),
        }),
      ),
    ).toContain('step "charge" was not asked for yet at event 4')
  })

  it('a result is for a step that is there', () => {
    const events = history(
      ['TimerFired', 1, 'sleep'],
      ['StepSkipped', 2, 'task'],
      ['ChildCompleted', 3, 'kid', 1, { runId: 'run_k' }],
    )
    expect(message(() => fork(events, { set: new Map([['sleep', '1']]) }))).toContain('"sleep" is a sleep')
    expect(message(() => fork(events, { set: new Map([['task', '1']]) }))).toContain('"task" was skipped')
    expect(message(() => fork(events, { set: new Map([['kid', '1']]) }))).toContain('"kid" is a child')
    expect(message(() => fork(events, { set: new Map([['tusk', '1']]) }))).toContain('Did you mean "task"?')
  })

  it('a parent, a seed and a predecessor are not carried; when it was scheduled for is', () => {
    const [started] = history()
    const facts = { parent: { id: 'p', runId: 'run_p' }, seed: 'abc', runId: 'run_before', scheduledFor: 5 }
    const made = fork([{ ...started!, facts }, ...history(['StepCompleted', 1, 'a']).slice(1)], { at: 3 })
    const forked = { runId: 'run_origin', seq: 3, at: now }
    expect(made.events.map((event) => event.facts)).toEqual([
      { scheduledFor: 5, fork: forked, from: 'abc:1' },
      { from: 'abc:2' },
    ])
  })

  it('a fork of a fork draws what the first run drew', () => {
    const first = fork(ordered, { at: 'charge' })
    const second = forkHistory(first.events, { runId: 'run_fork', now, at: 6 })
    const seeds = (events: readonly RecordedEvent[]) => events.map(({ facts }) => facts?.from)
    expect(seeds(second.events)).toEqual(seeds(first.events))
    expect(second.events[0]!.facts!.fork).toEqual({ runId: 'run_fork', seq: 6, at: now })
  })
})

describe('messages', () => {
  const events = history(
    ['StepScheduled', 1, 'a'],
    ['SignalReceived', 2, 'word', 'early'],
    ['UpdateReceived', undefined, 'hear', 1, { id: 'u1' }],
    ['SignalReceived', 2, 'word', 'in vain'],
    ['UpdateReceived', undefined, 'hear', 2, { id: 'u2' }],
    ['SignalReceived', 3, 'word', 'in vain', { again: 5 }],
    ['UpdateCompleted', undefined, 'hear', 1, { id: 'u1' }],
    ['StepCompleted', 1, 'a'],
    ['SignalReceived', 4, 'word', 'late'],
    ['SignalReceived', undefined, 'other', 'later'],
    ['SignalReceived', 5, 'word', 'late', { again: 10 }],
  )

  it('behind the cut are delivered anew, once; those before it are renumbered where they are named', () => {
    const made = fork(events, { at: 'a' })
    expect(made.redeliver).toEqual([
      { name: 'word', payload: '"late"' },
      { name: 'other', payload: '"later"' },
    ])
    // The mark of the step that runs anew is gone, so all are one earlier.
    expect(made.events[5]!.facts).toEqual({ again: 4, from: 'run_origin:7' })
    expect(made.updates).toEqual([
      { messageId: 'u1', answer: 7 },
      { messageId: 'u2', answer: null },
    ])
  })

  it('that came back out of the prefix are not delivered a second time', () => {
    expect(fork(events, { at: 7 }).redeliver.map(({ payload }) => payload)).toEqual(['"late"', '"later"'])
    expect(fork(events, { at: 5 }).redeliver[0]).toEqual({ name: 'word', payload: '"in vain"' })
  })
})

describe('children that the prefix leaves open', () => {
  const child = (staged?: true): EventFacts => ({ id: 'kid', runId: 'run_kid', ...(staged ? { staged } : {}) })
  const family = (staged?: true, ...more: Sketch[]) =>
    history(
      ['StepCompleted', 1, 'a'],
      ['ChildStarted', 2, 'kid', undefined, child(staged)],
      ['StepCompleted', 3, 'b'],
      ...more,
      ['StepCompleted', 4, 'c'],
      ['ChildCompleted', 2, 'kid', 'done', child(staged)],
    )

  it('are started anew by the fork', () => {
    const made = fork(family(), { at: 'c' })
    expect(said(made.events)).toEqual(['RunStarted', 'StepCompleted a', 'StepCompleted b'])
    expect(made).toMatchObject({ taken: [], movedBy: null, open: [] })
  })

  it('are started anew from before their start, where the code awaited it', () => {
    const made = fork(family(true), { at: 'c' })
    expect(said(made.events)).toEqual(['RunStarted', 'StepCompleted a'])
    expect(made).toMatchObject({ cut: 3, movedBy: 'kid', anew: 'kid' })
  })

  it('are started anew from before their start, where they were asked to cancel', () => {
    expect(fork(family(undefined, ['CancelRequested']), { at: 'c' }).cut).toBe(3)
    expect(fork(family(undefined, ['StepCompleted', 5, 'cancel kid']), { at: 'c' }).cut).toBe(3)
  })

  it('stay when they are to be kept', () => {
    const made = fork(family(true), { at: 'c', children: 'keep' })
    expect(said(made.events)).toEqual(['RunStarted', 'StepCompleted a', 'ChildStarted kid', 'StepCompleted b'])
    expect(made.taken).toEqual([{ op: 2, runId: 'run_kid' }])
  })

  it('stay when they have ended in the prefix', () => {
    const made = fork(family(true), { at: 7 })
    expect(made).toMatchObject({ kept: 6, taken: [], open: [] })
    expect(said(made.events)).toContain('ChildStarted kid')
  })

  it('are named when no end of theirs is on record, wherever they were started', () => {
    expect(fork(family().slice(0, 5), { at: 2 }).open).toEqual(['run_kid'])
  })
})

it('patches that the prefix came upon are kept, wherever their marks stand (K4)', async () => {
  const flow = definition(
    workflow('patched', async (ctx: Ctx<void>) => {
      const [a] = await Promise.all([ctx.step('a', () => 1).then(() => ctx.patched('new')), ctx.step('b', () => 2)])
      return ctx.step(a ? 'new way' : 'old way', () => 3)
    }),
  )!
  const events = history(
    ['StepCompleted', 1, 'a', 1],
    ['StepCompleted', 2, 'b', 2],
    ['PatchMarked', undefined, 'new'],
    ['StepCompleted', 3, 'new way', 3],
  )
  const made = fork(events, { at: 4 })
  const { pending, blockage } = await replay(flow, identity, made.events)
  expect(blockage).toBeNull()
  expect(pending.map(({ name }) => name)).toEqual(['new way'])
  // Not when what is decided is decided beyond the history anyway.
  expect(fork(events, { at: 2 }).kept).toBe(1)
})

it('attributes that were set behind the cut alone are named', () => {
  const events = history(
    ['AttributesSet', undefined, undefined, { stage: 1 }],
    ['StepCompleted', 1, 'a'],
    ['AttributesSet', undefined, undefined, { stage: 2, done: true }],
  )
  expect(fork(events, { at: 'a' }).unset).toEqual(['done'])
})

// ── random workflows ─────────────────────────────────────────────────────────────────────────────

const identity = { id: 'fork', runId: 'run_fork', workflow: 'random', version: 1, queue: 'default' }

type Node =
  | { do: 'step'; name: string; failures: number }
  | { do: 'sleep'; ms: number }
  | { do: 'signal' }
  | { do: 'draw' }
  | { do: 'all' | 'race' | 'settled' | 'sequence'; nodes: Node[] }

const { node } = fc.letrec<{ node: Node }>((tie) => ({
  node: fc.oneof(
    { maxDepth: 4, depthSize: 'medium' },
    fc.record({
      do: fc.constant('step' as const),
      name: fc.constantFrom('a', 'b', 'c'),
      failures: fc.constantFrom(0, 0, 1, 4),
    }),
    fc.record({ do: fc.constant('sleep' as const), ms: fc.integer({ min: 1, max: 30 }) }),
    fc.constant({ do: 'signal' as const }),
    fc.constant({ do: 'draw' as const }),
    fc.record({
      do: fc.constantFrom('all' as const, 'race' as const, 'settled' as const, 'sequence' as const),
      nodes: fc.array(tie('node'), { minLength: 1, maxLength: 4 }),
    }),
  ),
}))

/** What was drawn, and in the turn of which event. */
interface Drawn {
  seq: number
  values: unknown[]
}

function programOf(root: Node, drawn: Drawn[]) {
  const draw = (ctx: Ctx) => drawn.push({ seq: ctx.run.historyLength, values: [ctx.random(), ctx.uuid(), ctx.now()] })
  const run = async (ctx: Ctx, node: Node): Promise<unknown> => {
    draw(ctx)
    switch (node.do) {
      case 'step':
        return ctx
          .step(node.name, { retry: { initialInterval: 5, maxAttempts: 4 } }, ({ attempt }) => {
            if (attempt <= node.failures) throw new Error(`failure ${attempt}`)
            return attempt
          })
          .catch(() => draw(ctx))
      case 'sleep':
        return ctx.sleep(node.ms)
      case 'signal':
        return ctx.waitForSignal('word', { timeout: 20, default: null })
      case 'draw':
        return undefined
      case 'sequence':
        for (const each of node.nodes) await run(ctx, each)
        return draw(ctx)
      default: {
        const all = node.nodes.map((each) => run(ctx, each))
        await (node.do === 'all' ? Promise.all(all) : node.do === 'race' ? Promise.race(all) : Promise.allSettled(all))
        return draw(ctx)
      }
    }
  }
  return workflow('random', async (ctx: Ctx<void>) => {
    await run(ctx, root)
    return ctx.step('last', () => 'done')
  })
}

it('a fork at any event of any run replays, draws what was drawn, and waits for what the run waited for then', async () => {
  const latency = (name: string, op: number) => 1 + ((name.charCodeAt(0) * 7 + op * 13) % 17)
  await fc.assert(
    fc.asyncProperty(node, fc.boolean(), async (root, marks) => {
      const live: Drawn[] = []
      const signals = [3, 9, 27, 81].map((at) => ({ at, name: 'word', message: at }))
      const { history: events } = await drive(programOf(root, live), { marks, latency, signals })
      for (let at = 2; at <= events.length + 1; at++) {
        const made = forkHistory(events, { runId: 'run_driven', now: epoch, at })
        const again: Drawn[] = []
        const forked = await replay(definition(programOf(root, again))!, identity, made.events)
        expect(forked.blockage).toBeNull()
        const before = live.filter(({ seq }) => seq < at)
        expect(again.map(({ values }) => values)).toEqual(before.map(({ values }) => values))
        const was = await replay(definition(programOf(root, []))!, identity, events.slice(0, at - 1))
        const waits = ({ pending }: typeof was) => pending.map(({ index, name, kind }) => [index, name, kind])
        if (at <= events.length) expect(waits(forked)).toEqual(waits(was))
        expect(forked.pending.every(({ announced, failedAttempts }) => !announced && failedAttempts === 0)).toBe(true)
      }
    }),
    { numRuns: 60 },
  )
})

it('what is drawn behind the shared part is the fork’s own', async () => {
  const drawn: Drawn[] = []
  const flow = programOf({ do: 'sequence', nodes: [{ do: 'draw' }, { do: 'step', name: 'a', failures: 0 }] }, drawn)
  const { history: events } = await drive(flow, { seed: 'run_driven' })
  const live = drawn.splice(0)
  const made = forkHistory(events, { runId: 'run_driven', now: epoch, at: 'a' })
  const [, completed] = events
  await replay(definition(flow)!, identity, [...made.events, { ...completed!, seq: made.events.length + 1 }])
  expect(drawn.slice(0, -1).map(({ values }) => values)).toEqual(live.slice(0, -1).map(({ values }) => values))
  expect(drawn.at(-1)!.values[2]).toEqual(live.at(-1)!.values[2])
  expect(drawn.at(-1)!.values.slice(0, 2)).not.toEqual(live.at(-1)!.values.slice(0, 2))
})

it('what the shared part leaves waiting counts from the fork; a date is a date', async () => {
  const flow = definition(
    workflow('waits', async (ctx: Ctx<void>) => {
      void ctx.sleepUntil(new Date(epoch + 5))
      void ctx.waitForSignal('word', { timeout: 2000 }).catch(() => {})
      void ctx.scope({ timeout: 3000 }, (inner) => inner.sleep(4000))
      await ctx.step('a', () => 1)
      return ctx.now()
    }),
  )!
  const forkedAt = epoch + 86_400_000
  const made = forkHistory(history(), { runId: 'run_driven', now: forkedAt, at: 2 })
  const { pending } = await replay(flow, identity, made.events)
  const dues = pending.map(({ name, request }) => [name, 'dueAt' in request ? request.dueAt : null])
  expect(dues).toEqual([
    ['sleep', epoch + 5],
    ['word', forkedAt + 2000],
    ['scope', forkedAt + 3000],
    ['sleep', forkedAt + 4000],
    ['a', null],
  ])
  expect(pending.at(-1)!.askedAt).toBe(forkedAt)
})
