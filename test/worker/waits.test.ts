/** Signals, sleeps, and what ends a wait. */
import { describe, expect, test } from 'vitest'
import { type Ctx, signal, TimeoutFailure, workflow } from '../../src/index.js'
import { house, refusal, types, until } from '../support/house.js'

const { stet, work, loop, reached, db } = await house()
const go = signal<unknown>('go')

describe('waitForSignal', () => {
  const one = workflow('one-signal', (ctx: Ctx<void>) => ctx.waitForSignal(go))

  test('takes a signal that came before anybody waited', async () => {
    const run = await stet.start(one)
    await run.signal(go, { early: true })
    await work([one])
    expect(await run.result()).toEqual({ early: true })
  })

  test('takes one that comes while the run is parked', async () => {
    await work([one])
    const run = await stet.start(one)
    const { claim, due } = await reached(run, 'waiting')
    expect(due).toBeNull()
    await run.signal('go', 'by its name')
    expect(await run.result()).toBe('by its name')
    expect((await reached(run, 'completed')).claim).toBe(claim + 1)
  })

  test('hands out messages in the order of their commits, to waits in the order of asking, each once', async () => {
    const flow = workflow('fifo', async (ctx) => {
      const first = ctx.waitForSignal<number>('n')
      const second = ctx.waitForSignal<number>('n')
      const other = ctx.waitForSignal<string>('other')
      const taken = [await second, await first]
      for (let i = 0; i < 20; i++) {
        taken.push(await ctx.waitForSignal<number>('n'))
        if (i % 7 === 0) await ctx.sleep(10)
      }
      return { taken, other: await other }
    })
    await work([flow])
    const run = await stet.start(flow)
    for (let i = 0; i < 22; i++) await run.signal('n', i)
    await run.signal('other', 'x')
    const { taken, other } = await run.result()
    expect(taken).toEqual([1, 0, ...Array.from({ length: 20 }, (_, i) => i + 2)])
    expect(other).toBe('x')
  })

  test('loses none of many sent at once', async () => {
    const flow = workflow('many', async (ctx) => {
      const taken: number[] = []
      for (let i = 0; i < 200; i++) taken.push(await ctx.waitForSignal<number>('n'))
      return taken
    })
    await work([flow])
    const run = await stet.start(flow)
    await Promise.all(Array.from({ length: 200 }, (_, i) => run.signal('n', i)))
    expect([...(await run.result())].sort((a, b) => a - b)).toEqual(Array.from({ length: 200 }, (_, i) => i))
  })

  test('the same messageId is accepted once by a run', async () => {
    const flow = workflow('dedupe', async (ctx) => {
      const taken: unknown[] = []
      for (let i = 0; i < 3; i++) taken.push(await ctx.waitForSignal('n', { timeout: 200, default: 'none' }))
      return taken
    })
    const run = await stet.start(flow)
    const other = await stet.start(flow)
    await Promise.all([1, 2, 3].map(() => run.signal('n', 'once', { messageId: 'm1' })))
    await run.signal('n', 'again', { messageId: 'm1' })
    await run.signal('n', 'another', { messageId: 'm2' })
    await other.signal('n', 'elsewhere', { messageId: 'm1' })
    await work([flow])
    expect(await run.result()).toEqual(['once', 'another', 'none'])
    expect(await other.result()).toEqual(['elsewhere', 'none', 'none'])
  })

  test('throws a TimeoutFailure, or gives the default, also one that is undefined', async () => {
    const flow = workflow('timeouts', async (ctx) => {
      const failure = await ctx.waitForSignal(go, { timeout: 20 }).catch((error) => error)
      const given = await ctx.waitForSignal(go, { timeout: 20, default: new Map([[1, 2]]) })
      const nothing = await ctx.waitForSignal(go, { timeout: 0, default: undefined })
      return { failure, given, nothing }
    })
    await work([flow])
    const run = await stet.start(flow)
    const { failure, given, nothing } = (await run.result()) as any
    expect(failure).toBeInstanceOf(TimeoutFailure)
    expect(failure).toMatchObject({ operation: 'go', code: 'timeout' })
    expect(given).toEqual(new Map([[1, 2]]))
    expect(nothing).toBeUndefined()
    expect((await types(run)).filter((type) => type === 'TimerFired')).toHaveLength(3)
  })

  test('a signal that came too late for one wait is there for the next of its name', async () => {
    const flow = workflow('late', async (ctx) => {
      const first = await ctx.waitForSignal(go, { timeout: 20, default: 'late' })
      return [first, await ctx.waitForSignal(go)]
    })
    await work([flow])
    const run = await stet.start(flow)
    await until(async () => (await types(run)).includes('TimerFired'), 'the time is up')
    await run.signal(go, 'here')
    expect(await run.result()).toEqual(['late', 'here'])
  })

  test('one that a signal ended in time is not ended again by its timer', async () => {
    const flow = workflow('in-time', async (ctx) => {
      const value = await ctx.waitForSignal(go, { timeout: 60 })
      await ctx.sleep(90)
      return value
    })
    await work([flow])
    const run = await stet.start(flow)
    await run.signal(go, 'in time')
    expect(await run.result()).toBe('in time')
    const fired = (await run.history()).filter(({ type }) => type === 'TimerFired')
    expect(fired.map(({ name }) => name)).toEqual(['sleep'])
  })

  test('a closed run takes no signal; one that is not there is not found', async () => {
    const flow = workflow('closed', async () => 1)
    await work([flow])
    const run = await stet.start(flow)
    await run.result()
    expect(await refusal(run.signal(go, 1))).toMatchObject({ name: 'RunClosedError', code: 'run_closed' })
    expect(await refusal(stet.run('nobody').signal(go, 1))).toMatchObject({ name: 'RunNotFoundError' })
  })

  test('an unread signal is left unread by the close of the run', async () => {
    const flow = workflow('unread', async (ctx) => ctx.waitForSignal('other'))
    await work([flow])
    const run = await stet.start(flow)
    await run.signal(go, 1)
    await run.signal('other', 2)
    expect(await run.result()).toBe(2)
    expect((await run.history()).filter(({ type }) => type === 'SignalReceived')).toHaveLength(1)
  })

  test.each<[string, (ctx: Ctx<void>) => unknown, RegExp]>([
    ['a default without a timeout', (ctx) => ctx.waitForSignal('x', { default: 1 } as any), /default needs a timeout/],
    [
      'a timeout that is none',
      (ctx) => ctx.waitForSignal('x', { timeout: Number.NaN }),
      /timeout: expected a duration, got NaN/,
    ],
    ['an empty name', (ctx) => ctx.waitForSignal(''), /signal name: expected text of 1 to 255 bytes/],
    ['no name', (ctx) => ctx.waitForSignal(undefined as any), /signal name/],
  ])('refuses %s', async (what, call, message) => {
    const flow = workflow(`refuse ${what}`, async (ctx: Ctx<void>) => await call(ctx))
    await work([flow])
    expect((await refusal(stet.execute(flow))).cause).toMatchObject({
      name: 'InvalidInputError',
      message: expect.stringMatching(message),
    })
  })
})

describe('sleep', () => {
  test('of nothing, and until a time that is past, is over at once', async () => {
    const flow = workflow('no-sleep', async (ctx) => {
      const from = ctx.now()
      await ctx.sleep(0)
      await ctx.sleepUntil(new Date(0))
      await ctx.sleep('0.5ms')
      return ctx.now() - from
    })
    await work([flow])
    expect(await stet.execute(flow)).toBeLessThan(3_000)
  })

  test('of 400 days parks the run until then, and wakes no sooner', async () => {
    const flow = workflow('long-sleep', async (ctx) => {
      await ctx.sleep('400d')
    })
    await work([flow])
    const run = await stet.start(flow)
    const { due } = await reached(run, 'waiting')
    const began = new Date((await run.history())[0]!.at).getTime()
    expect(due!.getTime()).toBe(began + 400 * 86_400_000)
    expect((await run.history()).at(-1)).toMatchObject({
      type: 'TimerStarted',
      name: 'sleep',
      data: { dueAt: due!.toISOString() },
    })
    const worker = await loop([flow])
    worker.poke()
    expect((await reached(run, 'waiting')).due).toEqual(due)
    // The time has come: by the database's clock, which alone decides.
    await db.query("UPDATE stet_store.runs SET due = stet_store.clock() - interval '1 s' WHERE run_id = $1", [
      run.runId,
    ])
    worker.poke()
    await until(async () => (await reached(run, 'waiting')).claim > 1, 'it is looked at')
    expect((await reached(run, 'waiting')).due).toEqual(due)
    await run.terminate()
  })

  test('until the last day of all parks too', async () => {
    const flow = workflow('doomsday', async (ctx) => {
      await Promise.all([ctx.sleepUntil(new Date(8.64e15)), ctx.sleep('521785w')])
    })
    await work([flow])
    const run = await stet.start(flow)
    await reached(run, 'waiting')
    await run.terminate()
  })

  test('keeps many apart: they end in the order of their times, not of asking', async () => {
    const flow = workflow('order', async (ctx) => {
      const ended: number[] = []
      await Promise.all([80, 20, 60, 40].map((ms) => ctx.sleep(ms).then(() => ended.push(ms))))
      return ended
    })
    await work([flow])
    expect(await stet.execute(flow)).toEqual([20, 40, 60, 80])
  })

  test.each<[string, (ctx: Ctx<void>) => unknown, RegExp]>([
    ['a negative number', (ctx) => ctx.sleep(-1), /ctx\.sleep: expected a duration, got -1/],
    ['NaN', (ctx) => ctx.sleep(Number.NaN), /got NaN/],
    ['Infinity', (ctx) => ctx.sleep(Number.POSITIVE_INFINITY), /got Infinity/],
    ['text', (ctx) => ctx.sleep('tomorrow' as any), /got 'tomorrow'/],
    ['nothing', (ctx) => ctx.sleep(undefined as any), /got undefined/],
    ['20,000 years', (ctx) => ctx.sleep('1043000w'), /at most 10,000 years/],
    [
      'an invalid date',
      (ctx) => ctx.sleepUntil(new Date(Number.NaN)),
      /ctx\.sleepUntil: expected a valid Date, got Invalid Date/,
    ],
    ['a number for a date', (ctx) => ctx.sleepUntil(5 as any), /got 5/],
  ])('refuses %s', async (what, call, message) => {
    const flow = workflow(`sleep ${what}`, async (ctx: Ctx<void>) => {
      await call(ctx)
    })
    await work([flow])
    expect((await refusal(stet.execute(flow))).cause).toMatchObject({
      name: 'InvalidInputError',
      message: expect.stringMatching(message),
    })
  })
})
