/** What a workflow sees is the same when it runs, parks and is replayed: every wait here parks (`holdMs: 0`). */
import crypto, { randomBytes, randomInt, randomUUID } from 'node:crypto'
import { setTimeout as delay, setInterval as ticks } from 'node:timers/promises'
import { nanoid } from 'nanoid'
import { describe, expect, test } from 'vitest'
import { type Ctx, StepFailure, workflow } from '../../src/index.js'
import { gate, house, types, until } from '../support/house.js'

const { stet, work, reached } = await house()
const claims = async (run: { runId: string }) => (await reached(run, 'completed')).claim

/** Every execution of a function notes what it saw; a replay notes it again. */
function notes<T>() {
  const all: T[][] = []
  return {
    begin(): T[] {
      const mine: T[] = []
      all.push(mine)
      return mine
    },
    /** What the longest execution saw, after the others were found to be the beginnings of it. */
    agreed(): T[] {
      const longest = all.reduce((a, b) => (b.length > a.length ? b : a), [])
      for (const each of all) expect(each).toEqual(longest.slice(0, each.length))
      return longest
    },
    get executions(): number {
      return all.length
    },
  }
}

describe('a race', () => {
  test('has the same winner after parks and replays, also when the loser ends', async () => {
    const slow = gate()
    const seen = notes<string>()
    const flow = workflow('race', async (ctx) => {
      const note = seen.begin()
      const loser = ctx.step('slow', async () => {
        await slow.promise
        return 'slow'
      })
      note.push(await Promise.race([loser, ctx.sleep(5).then(() => 'nap')]))
      note.push(await ctx.step('open', () => slow.open()).then(() => 'opened'))
      note.push(await loser)
      await ctx.sleep(250)
      note.push(await Promise.race([loser, ctx.sleep(5).then(() => 'nap')]))
      await ctx.sleep(250)
      note.push(await Promise.any([ctx.sleep(5).then(() => 'late'), ctx.sleep(2).then(() => 'early')]))
      await ctx.sleep(250)
      return note
    })
    await work([flow])
    const run = await stet.start(flow)
    expect(await run.result()).toEqual(['nap', 'opened', 'slow', 'slow', 'early'])
    expect(seen.agreed()).toEqual(['nap', 'opened', 'slow', 'slow', 'early'])
    expect(seen.executions).toBeGreaterThanOrEqual(2)
  })

  test('between a signal and a timer is decided once, by what was recorded first', async () => {
    const seen = new Map<string, ReturnType<typeof notes<string>>>()
    const flow = workflow('race-signal', async (ctx) => {
      const mine = seen.get(ctx.run.runId) ?? notes<string>()
      seen.set(ctx.run.runId, mine)
      const note = mine.begin()
      for (let i = 0; i < 5; i++) {
        note.push(await Promise.race([ctx.waitForSignal<string>('go'), ctx.sleep(10).then(() => 'time')]))
      }
      await ctx.sleep(20)
      return note
    })
    await work([flow])
    const runs = await Promise.all(Array.from({ length: 6 }, () => stet.start(flow)))
    // Messages aimed at the deadlines.
    for (let i = 0; i < 6; i++) await Promise.all(runs.map((run) => run.signal('go', `signal ${i}`).catch(() => {})))
    for (const run of runs) {
      const result = await run.result()
      expect(result).toHaveLength(5)
      expect(seen.get(run.runId)!.agreed()).toEqual(result)
    }
  })
})

test('try and catch: a step with 4 attempts gets its 4, a sleep shows nothing, nor does a park', async () => {
  let attempts = 0
  const caught: unknown[] = []
  const flow = workflow('catching', async (ctx) => {
    try {
      await ctx.sleep(100)
    } catch (error) {
      caught.push(error)
    } finally {
      caught.push('finally')
    }
    for (let i = 0; i < 3; i++) await ctx.sleep(250).catch((error) => caught.push(error))
    try {
      await ctx.step('weak', { retry: { initialInterval: 1 } }, () => {
        attempts++
        throw new Error(`no ${attempts}`)
      })
    } catch (error) {
      return error
    }
    return 'no error'
  })
  await work([flow])
  const run = await stet.start(flow)
  const failure = (await run.result()) as StepFailure
  expect(attempts).toBe(4)
  expect(failure).toBeInstanceOf(StepFailure)
  expect(failure).toMatchObject({ step: 'weak', attempts: 4, code: 'step_failed', cause: { message: 'no 4' } })
  // `finally` runs once for each execution that got past the sleep, never for one that parked in it.
  expect(caught.filter((each) => each !== 'finally')).toEqual([])
  const history = await run.history()
  expect(history.filter(({ type }) => type === 'AttemptFailed').map(({ data }) => data.attempt)).toEqual([1, 2, 3])
  expect(history.filter(({ type }) => type === 'StepFailed').map(({ data }) => data.attempt)).toEqual([4])
  expect(await claims(run)).toBeGreaterThanOrEqual(4)
})

describe('time and chance', () => {
  const draws: Record<string, (ctx: Ctx<void>) => unknown> = {
    'ctx.now': (ctx) => ctx.now(),
    'ctx.random': (ctx) => ctx.random(),
    'ctx.uuid': (ctx) => ctx.uuid(),
    'Date.now': () => Date.now(),
    'new Date': () => new Date().toISOString(),
    'Date()': () => Date(),
    'performance.now': () => performance.now(),
    'process.hrtime': () => String(process.hrtime.bigint()),
    'Intl.DateTimeFormat': () => new Intl.DateTimeFormat('en', { dateStyle: 'full', timeStyle: 'long' }).format(),
    'Math.random': () => Math.random(),
    'crypto.randomUUID': () => globalThis.crypto.randomUUID(),
    'crypto.getRandomValues': () => [...globalThis.crypto.getRandomValues(new Uint8Array(4))].join(),
    'node:crypto randomUUID': () => randomUUID(),
    'node:crypto randomBytes': () => randomBytes(8).toString('hex'),
    'node:crypto randomInt': () => randomInt(1_000_000),
    'node:crypto default': () => crypto.randomUUID(),
    nanoid: () => nanoid(),
  }
  test.each(Object.keys(draws))('%s replays alike', async (name) => {
    const draw = draws[name]!
    const seen = notes<unknown>()
    const flow = workflow(`draw-${name}`, async (ctx: Ctx<void>) => {
      const note = seen.begin()
      note.push(draw(ctx), draw(ctx))
      for (let i = 0; i < 3; i++) {
        await ctx.sleep(40)
        note.push(draw(ctx))
      }
      return note
    })
    await work([flow])
    const run = await stet.start(flow)
    const result = await run.result()
    expect(seen.agreed()).toEqual(result)
    expect(seen.executions).toBeGreaterThanOrEqual(2)
    if (/random|uuid|nanoid/i.test(name)) expect(new Set(result as unknown[]).size).toBe(5)
  })

  test('the clock stands still in a turn and moves with timers, never short of what was slept', async () => {
    const flow = workflow('clock', async (ctx) => {
      const times = [Date.now()]
      for (let i = 0; i < 5e6; i++) Math.sqrt(i)
      times.push(Date.now(), ctx.now())
      await ctx.sleep(40)
      times.push(Date.now())
      await ctx.sleep(1)
      times.push(ctx.now())
      return times
    })
    await work([flow])
    const run = await stet.start(flow)
    const [a, b, c, d, e] = (await run.result()) as [number, number, number, number, number]
    expect([b, c]).toEqual([a, a])
    expect(d - a).toBeGreaterThanOrEqual(40)
    expect(e - d).toBeGreaterThanOrEqual(1)
    const [started] = await run.history()
    expect(new Date(started!.at).getTime()).toBe(a)
  })

  test('two runs do not draw the same', async () => {
    const flow = workflow('different', async (ctx) => [ctx.uuid(), Math.random(), nanoid()])
    await work([flow])
    const [one, two] = await Promise.all([stet.execute(flow), stet.execute(flow)])
    for (let i = 0; i < 3; i++) expect(one[i]).not.toBe(two[i])
  })

  test('steps have the real ones', async () => {
    const flow = workflow('real', (ctx) =>
      ctx.step('look', async () => {
        const before = performance.now()
        await new Promise((resolve) => setTimeout(resolve, 15))
        return performance.now() - before
      }),
    )
    await work([flow])
    const run = await stet.start(flow)
    expect(await run.result()).toBeGreaterThanOrEqual(14)
    expect(await types(run)).not.toContain('TimerStarted')
  })
})

describe('timers of the language are durable inside a workflow', () => {
  test('setTimeout, its arguments and clearTimeout', async () => {
    const seen = notes<unknown>()
    const flow = workflow('set-timeout', async (ctx) => {
      const note = seen.begin()
      const never = setTimeout(() => note.push('never'), 5)
      clearTimeout(never)
      await new Promise<void>((resolve) => {
        setTimeout(
          (a: string, b: string) => {
            note.push(`${a} ${b}`)
            resolve()
          },
          15,
          'hello',
          'timer',
        )
      })
      await ctx.sleep(400)
      return note
    })
    await work([flow])
    const run = await stet.start(flow)
    expect(await run.result()).toEqual(['hello timer'])
    expect(seen.agreed()).toEqual(['hello timer'])
    expect(seen.executions).toBeGreaterThanOrEqual(2)
    expect((await run.history()).filter(({ name }) => name === 'setTimeout').length).toBeGreaterThan(0)
  })

  test('setInterval', async () => {
    const flow = workflow('set-interval', async (ctx) => {
      const times: number[] = []
      const from = ctx.now()
      await new Promise<void>((resolve) => {
        const timer = setInterval(() => {
          times.push(ctx.now() - from)
          if (times.length === 3) {
            clearInterval(timer)
            resolve()
          }
        }, 12)
      })
      await ctx.sleep(30)
      return times
    })
    await work([flow])
    const times = await stet.execute(flow)
    expect(times).toHaveLength(3)
    times.forEach((time, i) => {
      expect(time).toBeGreaterThanOrEqual(12 * (i + 1))
    })
  })

  test('node:timers/promises, setImmediate and AbortSignal.timeout', async () => {
    const flow = workflow('timer-promises', async () => {
      const seen: unknown[] = [await delay(5, 'value')]
      await new Promise((resolve) => setImmediate(resolve))
      for await (const tick of ticks(5, 'tick')) {
        seen.push(tick)
        if (seen.length === 3) break
      }
      const signal = AbortSignal.timeout(5)
      await new Promise((resolve) => signal.addEventListener('abort', resolve))
      seen.push(signal.reason.name)
      return seen
    })
    await work([flow])
    expect(await stet.execute(flow)).toEqual(['value', 'tick', 'tick', 'TimeoutError'])
  })

  test('an error in a callback fails the run, as it would end a process', async () => {
    const flow = workflow('timer-throws', async (ctx) => {
      setTimeout(() => {
        throw new TypeError('in a callback')
      }, 3)
      await ctx.sleep('3d')
    })
    await work([flow])
    const run = await stet.start(flow)
    await until(async () => (await run.describe()).status === 'failed', 'the run fails')
    expect((await run.describe()).error).toEqual({ name: 'TypeError', message: 'in a callback' })
  })
})

test('what an error was is the same live and replayed', async () => {
  class Broke extends Error {
    override name = 'Broke'
    readonly limit = 5
  }
  const seen = notes<unknown>()
  const flow = workflow('errors', async (ctx) => {
    const note = seen.begin()
    for (const [name, thrown] of Object.entries({
      class: new Broke('no money', { cause: new RangeError('below') }),
      builtin: new TypeError('not a function'),
      aggregate: new AggregateError([new Error('one'), 'two'], 'many'),
      text: 'just text',
      nothing: null,
      bigint: 5n,
    })) {
      await ctx
        .step(name, { retry: false }, () => Promise.reject(thrown))
        .catch((failure: StepFailure) => {
          const cause = failure.cause as any
          note.push([
            failure.message,
            cause instanceof Error,
            cause?.name,
            cause?.message,
            cause?.limit,
            String(cause?.cause),
          ])
        })
    }
    await ctx.sleep(40)
    return note
  })
  await work([flow])
  const result = await stet.execute(flow)
  expect(seen.agreed()).toEqual(result)
  expect(seen.executions).toBeGreaterThanOrEqual(2)
  expect((result[0] as unknown[]).slice(1)).toEqual([true, 'Broke', 'no money', 5, 'RangeError: below'])
  expect((result[1] as unknown[]).slice(1, 4)).toEqual([true, 'TypeError', 'not a function'])
  expect((result[3] as unknown[]).slice(1, 4)).toEqual([true, 'Error', 'a string was thrown: "just text"'])
})

test('a step gives the decoded recorded value, live as on replay', async () => {
  const seen = notes<unknown>()
  const flow = workflow('decoded', async (ctx) => {
    const note = seen.begin()
    const shared = { n: 1 }
    const value = await ctx.step('make', () => ({
      shared,
      toJSON: undefined,
      buffer: Buffer.from('ab'),
      at: new Date(5),
    }))
    note.push(value.shared === shared, value.buffer.constructor.name, value.at instanceof Date, 'toJSON' in value)
    await ctx.sleep(40)
    return note
  })
  await work([flow])
  await stet.execute(flow)
  expect(seen.agreed()).toEqual([false, 'Uint8Array', true, true])
})
