import { describe, expect, it } from 'vitest'
import { context } from '../../src/core/ctx.js'
import { NondeterminismError, StepFailure, type StetError, TimeoutFailure } from '../../src/core/errors.js'
import type { EventFacts, EventType, RecordedEvent } from '../../src/core/events.js'
import { blockageError } from '../../src/core/misfit.js'
import type { Ctx } from '../../src/core/types.js'
import { workflow } from '../../src/core/workflow.js'
import { drive, epoch, Hand, replay, replayEveryPrefix } from '../support/drive.js'

type Fn = (ctx: Ctx, input: any) => Promise<unknown>
const define = (fn: Fn) => workflow('hand_fed', fn)

/** An event written by hand: `event(2, 'StepCompleted', 1, 'a', '"value"')`. */
function event(
  seq: number,
  type: EventType,
  op: number | null = null,
  name: string | null = null,
  payload: string | null = null,
  facts: EventFacts | null = null,
): RecordedEvent {
  return { seq, type, op, name, payload, facts, at: epoch + seq }
}
const started = (input: unknown = null) =>
  event(1, 'RunStarted', 0, 'hand_fed', JSON.stringify(input), { seed: 'seed' })

/** Feeds events one after another, also when the run is blocked meanwhile. */
async function feed(fn: Fn, ...events: RecordedEvent[]): Promise<Hand> {
  const hand = new Hand(define(fn))
  for (const each of events) await hand.deliver(each)
  return hand
}
const commands = (hand: Hand) => hand.reactions.map((reaction) => reaction.commands)

describe('events in, commands out', () => {
  const two: Fn = async (ctx) => {
    const a = await ctx.step('a', () => 'not called')
    return [a, await ctx.step('b', () => 'not called')]
  }

  it('E1: the function goes on when an event is delivered, and sees what the event says', async () => {
    const hand = await feed(two, started(), event(2, 'StepCompleted', 1, 'a', '"recorded"'))
    expect(commands(hand)).toEqual([['perform step "a" (op 1) after 0'], ['perform step "b" (op 2) after 1']])
    expect(hand.execution.outcome).toBeNull()
    await hand.deliver(event(3, 'StepCompleted', 2, 'b', '{"n":1}'))
    expect(hand.execution.outcome).toEqual({ type: 'completed', value: ['recorded', { n: 1 }] })
  })

  it('E1: one event, one turn: what another event would resolve is still pending', async () => {
    const seen: string[] = []
    const fn: Fn = async (ctx) => {
      const note = (name: string) => ctx.step(name, () => 1).then(() => seen.push(name))
      await Promise.all([note('a'), note('b')])
    }
    const hand = await feed(fn, started(), event(2, 'StepCompleted', 2, 'b', '1'))
    expect(seen).toEqual(['b'])
    await hand.deliver(event(3, 'StepCompleted', 1, 'a', '1'))
    expect(seen).toEqual(['b', 'a'])
  })

  it('E2: numbers operations in the order of asking', async () => {
    const hand = await feed(async (ctx) => {
      const first = ctx.sleep(5)
      const second = ctx.step('b', () => 1)
      await Promise.all([second, first, ctx.waitForSignal('c')])
    }, started())
    expect(commands(hand)).toEqual([
      [
        'perform timer "sleep" (op 1) after 0',
        'perform step "b" (op 2) after 0',
        'perform wait for signal "c" (op 3) after 0',
      ],
    ])
    expect(hand.execution.operation(1)!.request).toMatchObject({ kind: 'timer', dueAt: epoch + 1 + 5 })
  })

  it('events without a turn change nothing but what is known of the operation', async () => {
    const hand = await feed(
      two,
      started(),
      event(2, 'StepScheduled', 1, 'a'),
      event(3, 'AttemptFailed', 1, 'a', '{"name":"Error","message":"once"}', { attempt: 2, dueAt: epoch + 99 }),
    )
    expect(commands(hand).slice(1)).toEqual([[], []])
    expect(hand.execution.operation(1)).toMatchObject({
      announced: false,
      failedAttempts: 2,
      nextAttemptAt: epoch + 99,
    })
    await hand.deliver(event(4, 'StepCompleted', 1, 'a', '1'))
    expect(commands(hand)[3]).toEqual(['perform step "b" (op 2) after 1'])
  })

  it('a failure is built from the record alone, and alike on replay', async () => {
    const caught: unknown[] = []
    const made = define(async (ctx) => {
      await ctx
        .step('bad', { retry: { maxAttempts: 2, initialInterval: 1 } }, () => {
          throw new RangeError('too far')
        })
        .catch((error) => caught.push(error))
    })
    const driven = await drive(made)
    await replay(made, driven.history)
    expect(caught).toHaveLength(2)
    for (const error of caught as StepFailure[]) {
      expect(error).toBeInstanceOf(StepFailure)
      expect(error).toMatchObject({ step: 'bad', attempts: 2, message: 'step "bad" failed after 2 attempts: too far' })
      expect(error.cause).toBeInstanceOf(RangeError)
    }
  })

  it('a signal that does not come is a TimeoutFailure, or the default', async () => {
    const fn: Fn = async (ctx) => [
      await ctx.waitForSignal('a', { timeout: 5, default: 'none' }),
      await ctx.waitForSignal('b', { timeout: 5 }).catch((error) => error),
    ]
    const fired = { kind: 'signal' }
    const hand = await feed(
      fn,
      started(),
      event(2, 'TimerFired', 1, 'a', null, fired),
      event(3, 'TimerFired', 2, 'b', null, fired),
    )
    const [none, error] = (hand.execution.outcome as { value: unknown[] }).value
    expect(none).toBe('none')
    expect(error).toBeInstanceOf(TimeoutFailure)
    expect(error).toMatchObject({ operation: 'b' })
  })

  it('E4: a late event of a settled operation changes nothing', async () => {
    const fn: Fn = async (ctx) => {
      await ctx.step('long', () => 1).catch(() => {})
      await ctx.step('clean', () => 1)
    }
    const hand = await feed(
      fn,
      started(),
      event(2, 'CancelRequested', null, null, null, { reason: 'enough' }),
      event(3, 'StepCompleted', 1, 'long', '1'),
    )
    expect(commands(hand)[1]).toEqual(['abandon step "long" (op 1) after 0', 'perform step "clean" (op 2) after 0'])
    expect(commands(hand)[2]).toEqual([])
    await hand.deliver(event(4, 'StepCompleted', 2, 'clean', '1'))
    expect(hand.execution.outcome).toEqual({ type: 'completed', value: undefined })
  })

  it('E4: a skip settles what was asked to be skipped, and a cancel leaves it', async () => {
    const fn: Fn = async () => {
      await hand.execution.ask('t', { kind: 'skip', reason: 'why' }, { causes: [0] }).promise
      return 'after'
    }
    const hand = new Hand(define(fn))
    await hand.deliver(started())
    await hand.deliver(event(2, 'CancelRequested'))
    expect(commands(hand)).toEqual([['perform skip "t" (op 1) after 0'], []])
    await hand.deliver(event(3, 'StepSkipped', 1, 't', null, { reason: 'why' }))
    expect(hand.execution.outcome).toEqual({ type: 'completed', value: 'after' })
  })

  it('a signal that comes behind the end of its wait is unread, until another takes it in again', async () => {
    const fn: Fn = async (ctx) => {
      const first = await ctx.scope({ timeout: 10 }, (inner) => inner.waitForSignal('x')).catch(() => 'too late')
      return [first, await ctx.waitForSignal('x')]
    }
    const history = [
      started(),
      event(2, 'TimerFired', 1, 'scope'),
      event(3, 'SignalReceived', 2, 'x', '"hello"'),
      event(4, 'SignalReceived', 3, 'x', '"hello"', { again: 3 }),
    ]
    const hand = new Hand(define(fn))
    for (const each of history.slice(0, 3)) await hand.deliver(each)
    expect(hand.execution.unread.map(({ seq }) => seq)).toEqual([3])
    await hand.deliver(history[3]!)
    expect(hand.execution.unread).toEqual([])
    expect(hand.execution.outcome).toEqual({ type: 'completed', value: ['too late', 'hello'] })
  })

  it('E4: catch and finally around a sleep see nothing of a run that is parked or dropped', async () => {
    const seen: string[] = []
    const made = define(async (ctx) => {
      try {
        await ctx.sleep('1d')
        seen.push('woken')
      } catch {
        seen.push('catch')
      } finally {
        seen.push('finally')
      }
    })
    const parked = await replay(made, [started()])
    expect([...parked.execution.pending].map((each) => each.name)).toEqual(['sleep'])
    parked.execution.drop()
    expect(parked.execution.deliver(event(2, 'TimerFired', 1, 'sleep'))).toBe(false)
    await new Promise((resolve) => setImmediate(resolve))
    expect(seen).toEqual([])
    const again = await replay(made, [started(), event(2, 'TimerFired', 1, 'sleep')])
    expect(seen).toEqual(['woken', 'finally'])
    expect(again.execution.outcome?.type).toBe('completed')
  })
})

describe('races', () => {
  it('the winner is the one that history has first, on every replay', async () => {
    const fn: Fn = (ctx) => {
      const as = (name: string) => ctx.step(name, () => name)
      return Promise.all([
        Promise.race([as('a'), as('b'), as('c')]),
        Promise.any([as('d'), as('e')]),
        Promise.race([as('f').then((name) => name), as('g')]),
      ])
    }
    const made = define(fn)
    const ends: Record<string, number> = { a: 5, b: 2, c: 9, d: 4, e: 3, f: 6, g: 7 }
    const driven = await drive(made, { latency: (name) => ends[name]! })
    expect(driven.outcome).toEqual({ type: 'completed', value: ['b', 'e', 'f'] })
    await replayEveryPrefix(made, driven)
    // Both members are in the history before the function is called: it must not take the first that it asks for.
    const hand = await feed(
      async (ctx) => Promise.race([ctx.step('x', () => 1), ctx.step('y', () => 2)]),
      started(),
      event(2, 'StepCompleted', 2, 'y', '"y"'),
      event(3, 'StepCompleted', 1, 'x', '"x"'),
    )
    expect(hand.execution.outcome).toEqual({ type: 'completed', value: 'y' })
  })
})

describe('the code does not fit the history', () => {
  const line = /^test\/core\/execution\.test\.ts:\d+$/
  const where = 'old.ts:7'
  const history = [
    started(),
    event(2, 'StepCompleted', 1, 'a', '1', { where, causes: '0' }),
    event(3, 'StepCompleted', 2, 'b', '2', { where, causes: '1' }),
    event(4, 'RunCompleted', null, null, 'null'),
  ]
  const steps =
    (...names: string[]): Fn =>
    async (ctx) => {
      for (const name of names) await ctx.step(name, () => 1)
    }

  it('is silent when it fits', async () => {
    expect((await feed(steps('a', 'b'), ...history)).execution.blockage).toBeNull()
  })

  const cases: { what: string; fn: Fn; seq: number; expected: string; actual: RegExp | string; hasWhere: boolean }[] = [
    {
      what: 'a renamed step',
      fn: steps('a', 'renamed'),
      seq: 3,
      expected: 'operation 2: step "b"',
      actual: 'operation 2: step "renamed"',
      hasWhere: true,
    },
    {
      what: 'an added step',
      fn: steps('a', 'added', 'b'),
      seq: 3,
      expected: 'operation 2: step "b"',
      actual: 'operation 2: step "added"',
      hasWhere: true,
    },
    {
      what: 'a step added at the end',
      fn: steps('a', 'b', 'c'),
      seq: 4,
      expected: 'the run completed',
      actual: /^the workflow still waits for step "c" at test\/core\/execution\.test\.ts:\d+$/,
      hasWhere: true,
    },
    {
      what: 'a removed step',
      fn: steps('b'),
      seq: 2,
      expected: 'operation 1: step "a"',
      actual: 'operation 1: step "b"',
      hasWhere: true,
    },
    {
      what: 'a step removed at the end',
      fn: steps('a'),
      seq: 3,
      expected: 'operation 2: step "b"',
      actual: 'the workflow had already returned',
      hasWhere: false,
    },
    {
      what: 'a swapped order',
      fn: steps('b', 'a'),
      seq: 2,
      expected: 'operation 1: step "a"',
      actual: 'operation 1: step "b"',
      hasWhere: true,
    },
    {
      what: 'another kind of the same name',
      fn: async (ctx) => {
        await ctx.waitForSignal('a')
      },
      seq: 2,
      expected: 'operation 1: step "a"',
      actual: 'operation 1: wait for signal "a"',
      hasWhere: true,
    },
    {
      what: 'another end',
      fn: async (ctx) => {
        await steps('a', 'b')(ctx, null)
        throw new Error('new')
      },
      seq: 4,
      expected: 'the run completed',
      actual: 'the run failed',
      hasWhere: false,
    },
    {
      what: 'an operation that was not asked for yet',
      fn: async (ctx) => {
        await ctx.step('a', () => 1)
        await ctx.waitForSignal('before b')
        await ctx.step('b', () => 1)
      },
      seq: 3,
      expected: 'operation 2: step "b"',
      actual: 'operation 2: wait for signal "before b"',
      hasWhere: true,
    },
  ]
  for (const { what, fn, seq, expected, actual, hasWhere } of cases) {
    it(`${what}: blocks, and says where, what was expected and what was got`, async () => {
      const { execution } = await feed(fn, ...history)
      const { blockage } = execution
      expect(blockage?.code).toBe('nondeterminism')
      expect(blockage?.mismatch?.seq).toBe(seq)
      expect(blockage?.mismatch?.expected).toBe(expected)
      if (typeof actual === 'string') expect(blockage?.mismatch?.actual).toBe(actual)
      else expect(blockage?.mismatch?.actual).toMatch(actual)
      if (hasWhere) expect(blockage?.where).toMatch(line)
      expect(blockage?.message).toContain(`event ${seq} `)
      if (seq < 4) expect(blockage?.message).toContain(`as recorded from ${where}`)
      const error = blockageError(blockage!)
      expect(error).toBeInstanceOf(NondeterminismError)
      expect(error).toMatchObject({ seq, expected })
    })
  }

  it('an operation that nobody asked for: names what the workflow waits for', async () => {
    const { blockage } = (
      await feed(async (ctx) => ctx.waitForSignal('go'), started(), event(2, 'StepCompleted', 2, 'b', '1'))
    ).execution
    expect(blockage?.mismatch?.expected).toBe('operation 2: step "b"')
    expect(blockage?.mismatch?.actual).toMatch(
      /^not asked for; the workflow waits for wait for signal "go" at test\/core\/execution\.test\.ts:\d+$/,
    )
  })

  it('a hole or a double in the history', async () => {
    for (const seq of [1, 3]) {
      const { blockage } = (await feed(steps('a'), started(), event(seq, 'StepCompleted', 1, 'a', '1'))).execution
      expect(blockage?.mismatch).toEqual({
        seq,
        expected: 'event 2',
        actual: `event ${seq}: the history has a hole or a double`,
      })
    }
  })

  it('a payload that cannot be read blocks this run, and names the event', async () => {
    const { blockage } = (await feed(steps('a'), started(), event(2, 'StepCompleted', 1, 'a', '{'))).execution
    expect(blockage?.message).toContain('event 2 (StepCompleted) cannot be applied')
  })

  it('E6: nothing happens to a blocked run any more', async () => {
    const hand = await feed(steps('x', 'y'), started(), event(2, 'StepCompleted', 1, 'a', '1'))
    const { blockage } = hand.execution
    expect(hand.execution.deliver(event(3, 'StepCompleted', 1, 'x', '1'))).toBe(false)
    expect(hand.execution.takeCommands()).toEqual([])
    expect(hand.execution.outcome).toBeNull()
    expect(hand.execution.blockage).toBe(blockage)
  })
})

describe('an await that is not recorded', () => {
  const nextImmediate = () => new Promise<void>((resolve) => setImmediate(resolve))

  it('E5: blocks at the end of the turn when nothing else is awaited', async () => {
    const { blockage } = (
      await feed(async (ctx) => {
        // Asked for, but nobody waits for it: its event would not wake the function.
        void ctx.step('unawaited', () => 1)
        await new Promise(() => {})
      }, started())
    ).execution
    expect(blockage?.code).toBe('unrecorded_await')
    expect(blockage?.message).toContain('Wrap it in ctx.step(name, fn)')
  })

  it('a command outside the turn blocks, and names the line', async () => {
    const made = define(async (ctx) => {
      const recorded = ctx.sleep('1d')
      const unrecorded = nextImmediate().then(() => ctx.step('late', () => 1))
      await Promise.all([recorded, unrecorded])
    })
    const hand = new Hand(made)
    await hand.deliver(started())
    expect(hand.execution.blockage).toBeNull()
    await nextImmediate()
    await nextImmediate()
    const { blockage } = hand.execution
    expect(blockage?.code).toBe('unrecorded_await')
    expect(blockage?.message).toMatch(
      /^ctx\.step\("late"\) \(test\/core\/execution\.test\.ts:\d+\) outside of the run's turn/,
    )
    expect(hand.execution.takeCommands()).toEqual([])
    expect(hand.execution.operationCount).toBe(1)
    expect(hand.suspicions.length).toBeGreaterThan(0)
  })

  it('an outcome outside the turn blocks', async () => {
    const hand = new Hand(
      define(async (ctx) => {
        await Promise.race([ctx.sleep('1d'), nextImmediate()])
        return 'too early'
      }),
    )
    await hand.deliver(started())
    await nextImmediate()
    await nextImmediate()
    expect(hand.execution.outcome).toBeNull()
    expect(hand.execution.blockage?.message).toMatch(/^the workflow returned .*outside of the run's turn/)
  })

  it("a command in another run's turn blocks the one whose ctx it is, and throws there", async () => {
    let open!: () => void
    const gate = new Promise<void>((resolve) => {
      open = resolve
    })
    const waiting = new Hand(
      define(async (ctx) => {
        const recorded = ctx.sleep('1d')
        await Promise.race([recorded, gate])
        await ctx.step('foreign', () => 1)
      }),
    )
    await waiting.deliver(started())
    const opening = await feed(async (ctx) => {
      open()
      await ctx.step('own', () => 1)
    }, started())
    expect(waiting.execution.blockage?.code).toBe('unrecorded_await')
    expect(waiting.execution.blockage?.message).toContain('ctx.step("foreign")')
    expect(waiting.execution.outcome).toBeNull()
    // The run whose turn it was is not touched.
    expect(opening.execution.blockage).toBeNull()
    expect(commands(opening)).toEqual([['perform step "own" (op 1) after 0']])
    await opening.deliver(event(2, 'StepCompleted', 1, 'own', '1'))
    expect(opening.execution.outcome?.type).toBe('completed')
  })

  it("another run's ctx, used directly in a turn, throws", async () => {
    let other!: Ctx
    const first = await feed(async (ctx) => {
      other = ctx
      await ctx.sleep('1d')
    }, started())
    const second = await feed(async () => {
      await other.step('wrong', () => 1)
    }, started())
    expect((second.execution.outcome as { error: StetError }).error).toMatchObject({ code: 'foreign_turn' })
    expect(first.execution.blockage?.message).toContain('ctx.step("wrong")')
  })

  it('ctx inside a step is an error of that step, and the run is told which', async () => {
    for (const inner of [(ctx: Ctx) => ctx.step('inner', () => 1), () => context().sleep(1), (ctx: Ctx) => ctx.now()]) {
      const driven = await drive(define((ctx) => ctx.step('outer', async () => await inner(ctx))))
      expect(driven.blockage).toBeNull()
      const { error } = driven.outcome as { error: StepFailure }
      // At once: it would be the same at every attempt.
      expect(error).toMatchObject({ step: 'outer', attempts: 1 })
      expect((error.cause as StetError).code).toBe('inside_step')
      expect((error.cause as Error).message).toContain('step "outer"')
    }
  })
})

describe('time and chance', () => {
  it('are the same on replay, and differ from event to event', async () => {
    const draws: unknown[][] = []
    const made = define(async (ctx) => {
      const mine: unknown[] = []
      draws.push(mine)
      const draw = () => mine.push(ctx.now(), ctx.random(), ctx.random(), ctx.uuid(), context().uuid())
      draw()
      await ctx.step('a', () => 1)
      draw()
      await ctx.sleep(1000)
      draw()
    })
    const driven = await drive(made)
    await replayEveryPrefix(made, driven)
    const [live, ...replayed] = draws
    expect(live).toHaveLength(15)
    expect(new Set(live).size).toBe(15)
    expect([live![0], live![5], live![10]]).toEqual([epoch, epoch + 1, epoch + 1001])
    for (const value of [live![1], live![2]] as number[]) expect(value >= 0 && value < 1).toBe(true)
    expect(live![3]).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
    expect(replayed).toHaveLength(driven.history.length)
    for (const [i, drawn] of replayed.entries()) expect(drawn, `prefix ${i + 1}`).toEqual(live!.slice(0, drawn.length))
    expect(replayed.at(-1)).toEqual(live)
  })

  it('differ from run to run: chance comes from the seed', async () => {
    const made = define(async (ctx) => [ctx.random(), ctx.uuid()])
    const values = []
    for (const seed of ['one', 'one', 'two']) values.push((await drive(made, { seed })).outcome)
    expect(values[0]).toEqual(values[1])
    expect(values[0]).not.toEqual(values[2])
  })

  it('a log line is written once: replay is silent', async () => {
    const lines: string[] = []
    const made = define(async (ctx) => {
      ctx.log.info('before')
      await ctx.step('a', () => 1)
      ctx.log.warn('after', { n: 1 })
    })
    const driven = await drive(made, { log: (level, message) => lines.push(`${level} ${message}`) })
    await replayEveryPrefix(made, driven)
    expect(lines).toEqual(['info before', 'warn after'])
  })
})
