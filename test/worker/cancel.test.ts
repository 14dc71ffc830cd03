/** Cancel asks, terminate ends, a timeout fails. */
import { describe, expect, test } from 'vitest'
import { CancelledFailure, type Ctx, TimeoutFailure, workflow } from '../../src/index.js'
import { gate, house, refusal, types, until } from '../support/house.js'

const { stet, work, reached, db } = await house()

describe('cancel', () => {
  test.each<[string, (ctx: Ctx<void>) => Promise<unknown>]>([
    ['a sleep', (ctx) => ctx.sleep('3d')],
    ['a wait for a signal', (ctx) => ctx.waitForSignal('x')],
    ['a wait with a timeout', (ctx) => ctx.waitForSignal('x', { timeout: '3d', default: 1 })],
    [
      'a step that is put off',
      (ctx) => ctx.step('x', { retry: { initialInterval: '3d' } }, () => Promise.reject(new Error('x'))),
    ],
    ['several', (ctx) => Promise.all([ctx.sleep('3d'), ctx.waitForSignal('x')])],
  ])('rejects %s with a CancelledFailure, and rethrown it makes the run cancelled', async (what, wait) => {
    const flow = workflow(`cancel ${what}`, async (ctx: Ctx<void>) => {
      await wait(ctx)
    })
    await work([flow])
    const run = await stet.start(flow)
    await reached(run, 'waiting')
    await run.cancel('changed my mind')
    const error = await refusal(run.result())
    expect(error).toMatchObject({ name: 'RunFailedError', code: 'run_cancelled', runId: run.runId })
    expect(error.cause).toBeInstanceOf(CancelledFailure)
    expect(error.cause.message).toContain('changed my mind')
    expect(await run.describe()).toMatchObject({ status: 'cancelled' })
    const history = await run.history()
    expect(history.at(-1)).toMatchObject({ type: 'RunCancelled', data: { reason: 'changed my mind' } })
    expect(history.find(({ type }) => type === 'CancelRequested')).toMatchObject({
      data: { reason: 'changed my mind' },
    })
  })

  test('fires the AbortSignal of the step that runs, and does not wait for it', async () => {
    const began = gate()
    let reason: unknown
    const flow = workflow('cancel-step', async (ctx) => {
      await ctx.step('deaf', (step) => {
        step.signal.addEventListener('abort', () => {
          reason = step.signal.reason
        })
        began.open()
        return new Promise(() => {})
      })
    })
    await work([flow])
    const run = await stet.start(flow)
    await began.promise
    await run.cancel()
    expect((await refusal(run.result())).code).toBe('run_cancelled')
    expect(reason).toBeInstanceOf(CancelledFailure)
    expect(await types(run)).not.toContain('StepCompleted')
  })

  test('lets the workflow clean up with further steps and sleeps; the run is cancelled as it rethrows', async () => {
    const done: string[] = []
    const flow = workflow('cleanup', async (ctx) => {
      try {
        await ctx.sleep('3d')
      } catch (error) {
        await ctx.step('undo', () => done.push('undo'))
        await ctx.sleep(20)
        await ctx.step('tell', () => done.push('tell'))
        throw error
      }
    })
    await work([flow])
    const run = await stet.start(flow)
    await reached(run, 'waiting')
    await run.cancel()
    expect((await refusal(run.result())).code).toBe('run_cancelled')
    expect(done).toEqual(['undo', 'tell'])
  })

  test('that the workflow overcomes leaves it completed; one that ends in another error, failed', async () => {
    const flow = workflow('overcome', async (ctx, how: string) => {
      try {
        await ctx.sleep('3d')
      } catch (error) {
        if (how === 'fail') throw new Error('cleanup failed', { cause: error })
      }
      return 'kept'
    })
    await work([flow])
    const [keep, fail] = [await stet.start(flow, 'keep'), await stet.start(flow, 'fail')]
    await Promise.all([reached(keep, 'waiting'), reached(fail, 'waiting')])
    await Promise.all([keep.cancel(), fail.cancel()])
    expect(await keep.result()).toBe('kept')
    expect(await refusal(fail.result())).toMatchObject({ code: 'run_failed', cause: { message: 'cleanup failed' } })
    expect((await keep.describe()).status).toBe('completed')
    expect((await fail.describe()).status).toBe('failed')
  })

  test('of a run that nobody has begun needs no worker', async () => {
    const flow = workflow('unbegun', async () => 'never')
    const [run, put] = [await stet.start(flow), await stet.start(flow, undefined, { delay: '1h' })]
    await run.cancel('not needed')
    await put.cancel()
    expect((await refusal(run.result())).code).toBe('run_cancelled')
    expect((await put.describe()).status).toBe('cancelled')
    expect(await types(run)).toEqual(['RunStarted', 'CancelRequested', 'RunCancelled'])
    await work([flow])
    expect((await run.describe()).status).toBe('cancelled')
  })

  test('twice is once, and a closed run says so', async () => {
    const flow = workflow('twice', async (ctx) => {
      await ctx.sleep('3d').catch(() => ctx.sleep(40))
      return 'done'
    })
    await work([flow])
    const run = await stet.start(flow)
    await reached(run, 'waiting')
    await Promise.all([run.cancel('one'), run.cancel('two')])
    await run.cancel('three').catch((error) => expect(error.code).toBe('run_closed'))
    expect(await run.result()).toBe('done')
    expect((await types(run)).filter((type) => type === 'CancelRequested')).toHaveLength(1)
    expect(await refusal(run.cancel())).toMatchObject({ name: 'RunClosedError', code: 'run_closed' })
    expect(await refusal(stet.run('nobody').cancel())).toMatchObject({ name: 'RunNotFoundError' })
  })

  test('does not touch what had come before it, and replays', async () => {
    const flow = workflow('settled-first', async (ctx) => {
      const first = await ctx.step('a', () => 1)
      const nap = ctx.sleep('3d').catch((error) => (error as Error).name)
      const name = await nap
      await ctx.sleep(30)
      return [first, name, await ctx.step('b', () => 2)]
    })
    await work([flow])
    const run = await stet.start(flow)
    await reached(run, 'waiting')
    await run.cancel()
    expect(await run.result()).toEqual([1, 'CancelledFailure', 2])
  })

  test('a reason may hold anything that text can', async () => {
    const flow = workflow('reason', async (ctx) => ctx.sleep('3d'))
    await work([flow])
    const run = await stet.start(flow)
    await reached(run, 'waiting')
    await run.cancel('nul \u0000, half \ud800, 😀, \u001b[31m red')
    const { cause } = await refusal(run.result())
    expect(cause.message).toContain('😀')
    expect((await refusal(run.cancel(5 as any))).code).toBe('invalid_input')
  })
})

describe('terminate', () => {
  test.each(['pending', 'waiting', 'running'])('ends a %s run at once, without asking it', async (status) => {
    const began = gate()
    let cleaned = false
    const flow = workflow(`terminate ${status}`, async (ctx) => {
      try {
        if (status === 'waiting') await ctx.sleep('3d')
        await ctx.step('hold', () => {
          began.open()
          return new Promise(() => {})
        })
      } catch {
        cleaned = true
      }
    })
    if (status !== 'pending') await work([flow])
    const run = await stet.start(flow)
    if (status === 'running') await began.promise
    else await reached(run, status as 'pending')
    await run.terminate('enough')
    const error = await refusal(run.result())
    expect(error).toMatchObject({ code: 'run_terminated' })
    expect(await run.describe()).toMatchObject({ status: 'terminated' })
    expect((await run.history()).at(-1)).toMatchObject({ type: 'RunTerminated', data: { reason: 'enough' } })
    expect(cleaned).toBe(false)
    expect(await refusal(run.terminate())).toMatchObject({ code: 'run_closed' })
    expect(await refusal(run.signal('x', 1))).toMatchObject({ code: 'run_closed' })
  })

  test('a blocked run', async () => {
    const flow = workflow('terminate blocked', async () => {
      await new Promise(() => {})
    })
    await work([flow])
    const run = await stet.start(flow)
    await reached(run, 'blocked')
    await run.terminate()
    expect((await run.describe()).status).toBe('terminated')
  })

  test('a blocked run is cancelled when it goes on', async () => {
    let broken = true
    const flow = workflow('cancel blocked', async (ctx) => {
      if (broken) await new Promise(() => {})
      await ctx.sleep('3d')
    })
    await work([flow])
    const run = await stet.start(flow)
    await reached(run, 'blocked')
    await run.cancel()
    broken = false
    await run.resume()
    expect((await refusal(run.result())).code).toBe('run_cancelled')
  })
})

describe('the timeout of a run', () => {
  test.each<[string, (ctx: Ctx<void>) => Promise<unknown>]>([
    ['sleeps', (ctx) => ctx.sleep('3d')],
    ['waits', (ctx) => ctx.waitForSignal('x')],
    ['is in a step', (ctx) => ctx.step('hold', () => new Promise(() => {}))],
  ])('fails one that %s', async (what, wait) => {
    const flow = workflow(`timeout ${what}`, { timeout: 80 }, async (ctx: Ctx<void>) => {
      await wait(ctx).catch(() => {})
      return 'not told'
    })
    await work([flow])
    const run = await stet.start(flow)
    const error = await refusal(run.result())
    expect(error.code).toBe('run_failed')
    expect(error.cause).toBeInstanceOf(TimeoutFailure)
    const { createdAt, closedAt } = await run.describe()
    expect(closedAt!.getTime() - createdAt.getTime()).toBeGreaterThanOrEqual(80)
  })

  test('given at the start goes before that of the workflow, and counts while nobody works', async () => {
    const flow = workflow('timeout at start', { timeout: '1h' }, async (ctx: Ctx<void>) => {
      await ctx.sleep('3d')
    })
    const run = await stet.start(flow, undefined, { timeout: 30 })
    await until(
      async () =>
        (
          await db.query('SELECT deadline < stet_store.clock() AS over FROM stet_store.runs WHERE run_id = $1', [
            run.runId,
          ])
        ).rows[0].over,
      'its time is up',
    )
    await work([flow])
    expect((await refusal(run.result())).cause).toBeInstanceOf(TimeoutFailure)
  })

  test('does not fail one that was in time', async () => {
    const flow = workflow('in time', { timeout: '1h' }, async (ctx: Ctx<void>) => {
      await ctx.sleep(20)
      return 'in time'
    })
    await work([flow])
    expect(await stet.execute(flow)).toBe('in time')
  })
})
