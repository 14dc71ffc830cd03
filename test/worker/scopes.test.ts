/** What is cancelled together, what is undone, and the same work over many items. */
import { describe, expect, test } from 'vitest'
import { CancelledFailure, type Ctx, context, StepFailure, TimeoutFailure, workflow } from '../../src/index.js'
import { house, refusal, until } from '../support/house.js'

const { stet, work, reached } = await house({ verify: true })

describe('scope', () => {
  test('cancels what was asked for inside, and nothing else', async () => {
    const flow = workflow('scoped', async (ctx: Ctx<void>) => {
      const inner = ctx.scope((ctx) => Promise.all([ctx.sleep('1d'), ctx.waitForSignal('never')]))
      const outer = ctx.step('outer', () => 'outer')
      await ctx.sleep(30)
      inner.cancel('not needed')
      const [what, kept] = await Promise.allSettled([inner, outer])
      return [what.status === 'rejected' && what.reason instanceof CancelledFailure && what.reason.message, kept.status]
    })
    await work([flow])
    expect(await stet.execute(flow)).toEqual(['the scope was cancelled: not needed', 'fulfilled'])
  })

  test('a timeout cancels it and is a TimeoutFailure; cleanup inside runs; the run is not cancelled', async () => {
    const flow = workflow('timed scope', async (ctx: Ctx<void>) => {
      const done: string[] = []
      const error = await ctx
        .scope({ timeout: 50 }, async (ctx) => {
          try {
            await ctx.sleep('1d')
          } finally {
            done.push(await ctx.step('clean', () => 'cleaned'))
          }
        })
        .catch((error) => error)
      const quick = await ctx.scope({ timeout: '1d' }, (ctx) => ctx.step('quick', () => 'in time'))
      return { done, timedOut: error instanceof TimeoutFailure, operation: error.operation, quick }
    })
    await work([flow])
    expect(await stet.execute(flow)).toEqual({
      done: ['cleaned'],
      timedOut: true,
      operation: 'scope',
      quick: 'in time',
    })
  })

  test('the AbortSignal of a step inside fires; context() is that of the scope', async () => {
    const aborted: unknown[] = []
    const helper = () =>
      context().step('deaf', (step) => {
        step.signal.addEventListener('abort', () => aborted.push(step.signal.reason))
        return new Promise<never>(() => {})
      })
    const flow = workflow('aborting scope', async (ctx: Ctx<void>) => {
      const inner = ctx.scope(async (ctx) => {
        await ctx.sleep(1)
        await helper()
      })
      await ctx.sleep(100)
      inner.cancel()
      return inner.catch((error) => error.code)
    })
    await work([flow], { holdMs: 1_000 })
    expect(await stet.execute(flow)).toBe('cancelled')
    await until(() => aborted.length === 1, 'it is told')
  })

  test('a cancelled run: what waits hears of it, a shield does not, and what comes after the shield does', async () => {
    const flow = workflow('shielded', async (ctx: Ctx<void>) => {
      const kept = await ctx.shield(async (ctx) => {
        await ctx.waitForSignal('go')
        return ctx.step('kept', () => 'kept')
      })
      try {
        await ctx.step('next', () => 1)
      } catch (error) {
        if (error instanceof CancelledFailure) {
          return [kept, 'cancelled after', await ctx.step('cleanup', () => 'cleaned')]
        }
      }
      return [kept]
    })
    await work([flow])
    const run = await stet.start(flow)
    await reached(run, 'waiting')
    await run.cancel()
    await until(async () => (await run.history()).some(({ type }) => type === 'CancelRequested'), 'it is asked')
    await run.signal('go')
    expect(await run.result()).toEqual(['kept', 'cancelled after', 'cleaned'])
  })

  test('nested: the outer reaches into the inner, a condition hears of it too', async () => {
    const flow = workflow('nested', async (ctx: Ctx<void>) => {
      const outer = ctx.scope(async (ctx) => {
        const inner = ctx.scope(async (ctx) => {
          await Promise.all([ctx.condition(() => false), ctx.sleep('1d')])
        })
        return inner.catch((error) => error instanceof CancelledFailure)
      })
      await ctx.sleep(10)
      outer.cancel()
      return outer
    })
    await work([flow])
    expect(await stet.execute(flow)).toBe(true)
  })
})

describe('compensate', () => {
  const booking = (fails: string) =>
    workflow(`booking ${fails}`, async (ctx: Ctx<void>) => {
      for (const what of ['flight', 'hotel', 'car']) {
        ctx.compensate(`cancel ${what}`, { retry: { maxAttempts: 2, initialInterval: 1 } }, ({ attempt }) => {
          undone.push(`${what} ${attempt}`)
          if (what === 'hotel' && attempt === 1) throw new Error('try again')
          if (what === 'flight' && fails === 'undoing') throw new Error('no refund')
        })
        await ctx.step(`book ${what}`, { retry: false }, () => {
          if (what === 'car' && fails !== 'nothing') throw new Error('no car')
        })
      }
      await ctx.sleep(fails === 'nothing' ? '1d' : 0)
      return 'booked'
    })
  let undone: string[] = []

  test('undoes in reverse order, each with its own attempts, and the run fails with its own error', async () => {
    undone = []
    const flow = booking('car')
    await work([flow])
    const error = await refusal(stet.execute(flow))
    expect(error.cause).toBeInstanceOf(StepFailure)
    expect(error.cause.message).toContain('no car')
    expect(undone).toEqual(['car 1', 'hotel 1', 'hotel 2', 'flight 1'])
  })

  test('one that fails is named, and does not keep the others from running', async () => {
    undone = []
    const flow = booking('undoing')
    await work([flow])
    const error = (await refusal(stet.execute(flow))).cause
    expect(error).toMatchObject({ code: 'compensation_failed', cause: { name: 'StepFailure' } })
    expect(error.message).toContain('"cancel flight"')
    expect(undone).toEqual(['car 1', 'hotel 1', 'hotel 2', 'flight 1', 'flight 2'])
  })

  test('runs after a cancellation too, and the run is cancelled', async () => {
    undone = []
    const flow = booking('nothing')
    await work([flow])
    const run = await stet.start(flow)
    await reached(run, 'waiting')
    await run.cancel()
    expect((await refusal(run.result())).code).toBe('run_cancelled')
    expect(undone).toEqual(['car 1', 'hotel 1', 'hotel 2', 'flight 1'])
  })
})

describe('map', () => {
  const over = (
    name: string,
    options: Parameters<Ctx['map']>[2] & object,
    fail: (n: number) => boolean = () => false,
    count = 10,
  ) =>
    workflow(`map ${name}`, async (ctx: Ctx<void>) =>
      ctx.map(
        'items',
        Array.from({ length: count }, (_, n) => n),
        options as any,
        async (n: number) =>
          ctx.step('item', { retry: false }, async () => {
            running++
            most = Math.max(most, running)
            await new Promise((resolve) => setTimeout(resolve, 5))
            running--
            if (fail(n)) throw new Error(`item ${n}`)
            return n * n
          }),
      ),
    )
  let running = 0
  let most = 0

  test('gives all results in order, so many at once, and items have the causes of the map', async () => {
    most = 0
    const flow = over('plain', { concurrency: 3 })
    await work([flow])
    const run = await stet.start(flow)
    expect(await run.result()).toEqual([0, 1, 4, 9, 16, 25, 36, 49, 64, 81])
    expect(most).toBe(3)
    const { edges } = await run.graph()
    expect(edges).toHaveLength(10)
    expect(new Set(edges.map(({ from }) => from))).toEqual(new Set(['start']))
  })

  test('without a policy the first failure rejects, and no further item begins', async () => {
    const flow = over('strict', { concurrency: 2 }, (n) => n === 3)
    await work([flow])
    const run = await stet.start(flow)
    expect((await refusal(run.result())).cause.message).toContain('item 3')
    expect((await run.history()).filter(({ type }) => type === 'StepCompleted').length).toBeLessThan(9)
  })

  test.each([
    [
      'minSuccessful',
      { concurrency: 1, minSuccessful: 3 },
      (n: number) => n === 1,
      { values: [0, 4, 9], failed: [1], notStarted: 6 },
    ],
    [
      'toleratedFailures',
      { concurrency: 1, toleratedFailures: '10%' },
      (n: number) => n < 2,
      { values: [], failed: [0, 1], notStarted: 8 },
    ],
    [
      'all',
      { toleratedFailures: 2 },
      (n: number) => n === 9,
      { values: [0, 1, 4, 9, 16, 25, 36, 49, 64], failed: [9], notStarted: 0 },
    ],
  ] as const)('%s says why it stopped, and the reason is on record', async (reason, options, fail, expected) => {
    const flow = over(reason, options as any, fail)
    await work([flow])
    const run = await stet.start(flow)
    const result = (await run.result()) as any
    expect({
      values: result.values,
      failed: result.failures.map(({ index }: { index: number }) => index),
      notStarted: result.notStarted,
    }).toEqual(expected)
    expect(result.reason).toBe(reason)
    const recorded = (await run.history()).find(({ type }) => type === 'StepSkipped')
    if (reason === 'all') expect(recorded).toBeUndefined()
    else expect(recorded).toMatchObject({ name: 'items', data: { reason: expect.stringContaining(`${reason}: `) } })
  })

  test('10,000 items', async () => {
    const flow = workflow('map many', async (ctx: Ctx<void>) => {
      const all = await ctx.map(
        'many',
        Array.from({ length: 10_000 }, (_, n) => n),
        { concurrency: 500 },
        (n) => ctx.step('one', () => n),
      )
      return all.reduce((a, b) => a + b)
    })
    const { stet, work } = await house()
    await work([flow])
    expect(await stet.execute(flow)).toBe(49_995_000)
  })
})
