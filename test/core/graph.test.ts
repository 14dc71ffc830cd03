import { describe, expect, it } from 'vitest'
import type { RecordedEvent } from '../../src/core/events.js'
import { graphOf } from '../../src/core/graph.js'
import { randomFrom } from '../../src/core/random.js'
import type { Ctx } from '../../src/core/types.js'
import { workflow } from '../../src/core/workflow.js'
import { type Driven, type DriveOptions, drive, epoch } from '../support/drive.js'

const run = (fn: (ctx: Ctx) => Promise<unknown>, options: DriveOptions = {}) => drive(workflow('run', fn), options)
const iso = (ms: number) => new Date(epoch + ms).toISOString()
const no = () => {
  throw new Error('no')
}

/** The graph after so many events, with what then waits without an event. */
function after(driven: Driven, events: number) {
  return graphOf(driven.history.slice(0, events))
}
function keys(driven: Driven): string[] {
  return graphOf(driven.history, driven.pending).nodes.map(({ key }) => key)
}

describe('graphOf', () => {
  it('is a start that has not begun, without a history', () => {
    expect(graphOf([])).toEqual({
      nodes: [{ key: 'start', name: 'start', kind: 'start', status: 'pending', attempts: 1 }],
      edges: [],
    })
  })

  it('shows each kind of operation, with times and attempts', async () => {
    const driven = await run(
      async (ctx) => {
        await ctx.step('flaky', { retry: { maxAttempts: 3, initialInterval: 10, jitter: 0 } }, ({ attempt }) => {
          if (attempt < 3) throw new Error('again')
        })
        await ctx.sleep(100)
        await ctx.waitForSignal('go')
        await ctx.waitForSignal('never', { timeout: 50, default: null })
        await ctx.step('bad', { retry: false }, no).catch(() => {})
      },
      { marks: true, latency: () => 5, signals: [{ at: 200, name: 'go' }] },
    )
    // Attempts: 0-5, 15-20, 40-45.
    expect(graphOf(driven.history)).toEqual({
      nodes: [
        {
          key: 'start',
          name: 'start',
          kind: 'start',
          status: 'completed',
          attempts: 1,
          startedAt: iso(0),
          endedAt: iso(0),
        },
        {
          key: 'flaky',
          name: 'flaky',
          kind: 'step',
          status: 'completed',
          attempts: 3,
          startedAt: iso(0),
          endedAt: iso(45),
        },
        {
          key: 'sleep',
          name: 'sleep',
          kind: 'sleep',
          status: 'completed',
          attempts: 1,
          startedAt: iso(45),
          endedAt: iso(145),
        },
        { key: 'go', name: 'go', kind: 'signal', status: 'completed', attempts: 1, endedAt: iso(200) },
        { key: 'never', name: 'never', kind: 'signal', status: 'skipped', attempts: 1, endedAt: iso(250) },
        {
          key: 'bad',
          name: 'bad',
          kind: 'step',
          status: 'failed',
          attempts: 1,
          startedAt: iso(250),
          endedAt: iso(255),
        },
      ],
      edges: [
        { from: 'start', to: 'flaky' },
        { from: 'flaky', to: 'sleep' },
        { from: 'sleep', to: 'go' },
        { from: 'go', to: 'never' },
        { from: 'never', to: 'bad' },
      ],
    })
  })

  it('is running between the events of a step', async () => {
    const driven = await run(
      (ctx) =>
        ctx.step('flaky', { retry: { maxAttempts: 2, initialInterval: 10 } }, ({ attempt }) => {
          if (attempt < 2) throw new Error('again')
        }),
      { marks: true },
    )
    const states = driven.history.map((_, i) =>
      after(driven, i + 1)
        .nodes.slice(1)
        .map((n) => [n.status, n.attempts]),
    )
    expect(driven.history.map(({ type }) => type)).toEqual([
      'RunStarted',
      'StepScheduled',
      'AttemptFailed',
      'StepCompleted',
      'RunCompleted',
    ])
    expect(states).toEqual([[], [['running', 1]], [['running', 1]], [['completed', 2]], [['completed', 2]]])
  })

  it('shows what no event mentions yet', async () => {
    const driven = await run(async (ctx) => {
      await ctx.step('first', () => 1)
      await Promise.all([ctx.waitForSignal('approved'), ctx.waitForSignal('paid', { timeout: '1d' })])
    })
    const waits = driven.history.slice(0, 2)
    expect(waits.map(({ type }) => type)).toEqual(['RunStarted', 'StepCompleted'])
    const pending = [
      { op: 2, kind: 'signal', name: 'approved', causes: '1', askedAt: epoch + 1 },
      { op: 3, kind: 'step', name: 'first', nth: 2, causes: '1', askedAt: epoch + 1 },
      { op: 4, kind: 'step', name: 'tried', causes: '1,3', askedAt: epoch + 1, attempts: 1 },
    ] as const
    const { nodes, edges } = graphOf(waits, pending)
    expect(nodes.slice(2)).toEqual([
      { key: 'approved', name: 'approved', kind: 'signal', status: 'running', attempts: 0, startedAt: iso(1) },
      { key: 'first#2', name: 'first', kind: 'step', status: 'pending', attempts: 0 },
      { key: 'tried', name: 'tried', kind: 'step', status: 'running', attempts: 1, startedAt: iso(1) },
    ])
    expect(edges).toEqual([
      { from: 'start', to: 'first' },
      { from: 'first', to: 'approved' },
      { from: 'first', to: 'first#2' },
      { from: 'first', to: 'tried' },
      { from: 'first#2', to: 'tried' },
    ])
    expect(driven.pending.map(({ name, causes }) => [name, causes])).toEqual([['approved', '1']])
  })

  it('calls an operation that a closed run never settled skipped', async () => {
    const driven = await run(
      async (ctx) => {
        await Promise.race([ctx.step('slow', () => 1), ctx.step('fast', () => 2), ctx.waitForSignal('stop')])
      },
      { latency: (name) => (name === 'slow' ? 50 : 1), marks: true },
    )
    const closed = graphOf(driven.history, driven.pending)
    expect(closed.nodes.map(({ key, status }) => [key, status])).toEqual([
      ['start', 'completed'],
      ['slow', 'skipped'],
      ['fast', 'completed'],
      ['stop', 'skipped'],
    ])
    const open = driven.history.slice(0, -1)
    expect(graphOf(open, driven.pending).nodes.map(({ status }) => status)).toEqual([
      'completed',
      'running',
      'completed',
      'running',
    ])
    expect(graphOf(open, driven.pending, 'terminated').nodes.map(({ status }) => status)).toEqual(
      closed.nodes.map(({ status }) => status),
    )
  })

  it('leaves out an edge from an operation that nothing is known of', () => {
    const event: RecordedEvent = {
      seq: 2,
      type: 'StepCompleted',
      op: 3,
      name: 'clean',
      payload: null,
      facts: { causes: '0,2' },
      at: epoch,
    }
    expect(graphOf([event]).edges).toEqual([{ from: 'start', to: 'clean' }])
  })
})

describe('keys', () => {
  it('are the name, then the name with a number', async () => {
    const driven = await run(async (ctx) => {
      for (const name of ['a', 'b', 'a', 'a', 'b']) await ctx.step(name, () => 1)
    })
    expect(keys(driven)).toEqual(['start', 'a', 'b', 'a#2', 'a#3', 'b#2'])
  })

  it('never collide, whatever steps are called', async () => {
    const names = [
      'start',
      'start',
      'a#2',
      'a',
      'a',
      'a#2',
      'start#2',
      'a#2#1',
      'a#2#2',
      'start#2',
      '#1',
      '#',
      '__proto__',
      '#1',
    ]
    const driven = await run(async (ctx) => {
      for (const name of names) await ctx.step(name, () => 1)
    })
    const found = keys(driven)
    expect(found).toHaveLength(names.length + 1)
    expect(new Set(found).size).toBe(found.length)
    expect(found.slice(0, 6)).toEqual(['start', 'start#2', 'start#3', 'a#2#1', 'a', 'a#2'])
    // Edges go along the chain, so none has found a wrong node.
    expect(graphOf(driven.history).edges).toEqual(found.slice(1).map((to, i) => ({ from: found[i], to })))
  })

  it('never collide for random names, and stay what they are while the run grows', async () => {
    for (let seed = 0; seed < 30; seed++) {
      const random = randomFrom(`keys ${seed}`)
      const pool = ['a', 'a#2', 'a#2#2', 'start', 'start#2', 'b']
      const names = Array.from({ length: 25 }, () => pool[random() % pool.length]!)
      // All at once, ending in any order: an early prefix has holes in its operations.
      const driven = await run((ctx) => Promise.all(names.map((name) => ctx.step(name, () => 1))), {
        latency: () => 1 + (random() % 50),
      })
      const final = keys(driven)
      expect(new Set(final).size).toBe(final.length)
      for (let events = 1; events <= driven.history.length; events++) {
        const seen = driven.history.slice(0, events).flatMap(({ op }) => op ?? [])
        const expected = [0, ...seen.sort((x, y) => x - y)].map((op) => final[op])
        expect(after(driven, events).nodes.map(({ key }) => key)).toEqual(expected)
      }
    }
  })

  it('do not collide in a history that does not say which of its name an operation is', () => {
    const events = Array.from({ length: 5 }, (_, i): RecordedEvent => {
      return {
        seq: i + 2,
        type: 'StepCompleted',
        op: i + 1,
        name: 'a',
        payload: null,
        facts: { causes: '0' },
        at: epoch,
      }
    })
    expect(graphOf(events).nodes.map(({ key }) => key)).toEqual(['start', 'a', 'a#2', 'a#3', 'a#4', 'a#5'])
  })
})

describe('a large run', () => {
  it('is drawn: 100 rounds of 100 steps', async () => {
    const driven = await run(async (ctx) => {
      for (let round = 0; round < 100; round++) {
        await Promise.all(Array.from({ length: 100 }, () => ctx.step('s', () => 1)))
      }
    })
    const { nodes, edges } = graphOf(driven.history)
    expect([nodes.length, edges.length]).toEqual([10_001, 100 + 99 * 100 * 100])
    expect(new Set(nodes.map(({ key }) => key)).size).toBe(nodes.length)
    const history = JSON.stringify(driven.history)
    // Ranges keep the record of a hundred causes short.
    expect(history.length / driven.history.length).toBeLessThan(250)
  })
})
