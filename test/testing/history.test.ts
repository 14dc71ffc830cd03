import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import { toHistoryFile } from '../../src/core/history-file.js'
import { type Ctx, workflow } from '../../src/index.js'
import { replayHistory, type TestEnv, testEnv } from '../../src/testing/index.js'

interface Order {
  item: string
  on?: Date
}
const fn = async (ctx: Ctx, order: Order) => {
  const [price, stock] = await Promise.all([
    ctx.step('price', () => new Map([[order.item, 12n]])),
    ctx.step('reserve', () => `${order.item} reserved`),
  ])
  await ctx.sleep('1d')
  const by = await ctx.waitForSignal<string>('approved')
  if (by === 'nobody') throw new RangeError('nobody approved')
  return { price, stock, by, noise: Math.random() }
}
const order = workflow('order', fn)
const input = { item: 'book', on: new Date(0) }

let env: TestEnv
const exported = async (runId: string) => {
  const { store } = await env.stet.internals()
  // As a file would have it.
  return JSON.parse(JSON.stringify(toHistoryFile(await env.stet.run(runId).describe(), await store.history(runId))))
}
const record = async (by: string | null) => {
  const run = await env.stet.start(order, input)
  await env.clock.advance('1d')
  if (by !== null) await run.signal('approved', by)
  await env.clock.runToIdle()
  return { run, history: await exported(run.runId) }
}
const events = (history: any, ...types: string[]) => history.events.filter(({ type }: any) => types.includes(type))

beforeAll(async () => {
  env = await testEnv({ workflows: [order], url: inject('serverUrl') })
})
afterAll(() => env[Symbol.asyncDispose]())

describe('replayHistory', () => {
  test('gives the output of a history, from an object, a text, a path or a file URL', async () => {
    const { run, history } = await record('Ada')
    const expected = { status: 'completed', output: await run.result() }
    expect(expected.output).toMatchObject({ price: new Map([['book', 12n]]), by: 'Ada', noise: expect.any(Number) })
    expect(await replayHistory(history, order)).toEqual(expected)
    expect(await replayHistory(JSON.stringify(history), order)).toEqual(expected)
    const folder = await mkdtemp(join(tmpdir(), 'stet-history-'))
    const file = join(folder, 'order.json')
    await writeFile(file, JSON.stringify(history, null, 2))
    expect(await replayHistory(file, order)).toEqual(expected)
    expect(await replayHistory(pathToFileURL(file), order)).toEqual(expected)
    await rm(folder, { recursive: true })
  })

  test('a failed, a cancelled, a terminated and an open run', async () => {
    const failed = await record('nobody')
    const result = await replayHistory(failed.history, order)
    expect(result).toMatchObject({ status: 'failed', error: expect.any(RangeError) })
    expect(result.mismatch).toBeUndefined()

    const open = await record(null)
    expect(await replayHistory(open.history, order)).toEqual({ status: 'waiting' })
    await open.run.cancel('enough')
    await env.clock.runToIdle()
    const cancelled = await replayHistory(await exported(open.run.runId), order)
    expect(cancelled).toMatchObject({ status: 'cancelled', error: { code: 'cancelled' } })
    expect(cancelled.mismatch).toBeUndefined()

    const ended = await record(null)
    await ended.run.terminate()
    expect(await replayHistory(await exported(ended.run.runId), order)).toEqual({ status: 'terminated' })
  })

  test('names the first event that other code does not fit, and its line', async () => {
    const { history } = await record('Ada')
    const renamed = workflow('order', async (ctx, order: Order) => {
      await Promise.all([ctx.step('price', () => 1), ctx.step('hold', () => order.item)])
    })
    const { status, mismatch } = await replayHistory(history, renamed)
    expect(status).toBe('blocked')
    const [reserved] = events(history, 'StepScheduled', 'StepCompleted').filter(({ name }: any) => name === 'reserve')
    expect(mismatch).toMatchObject({
      seq: reserved.seq,
      expected: expect.stringContaining('step "reserve"'),
      actual: expect.stringContaining('step "hold"'),
      where: expect.stringMatching(/history\.test\.ts:\d+$/),
    })

    const shorter = workflow('order', async (ctx) => {
      await Promise.all([ctx.step('price', () => 1), ctx.step('reserve', () => 1)])
    })
    const [timer] = events(history, 'TimerStarted')
    expect((await replayHistory(history, shorter)).mismatch).toMatchObject({
      seq: timer.seq,
      actual: 'the workflow had already returned',
    })

    const longer = workflow('order', async (ctx, order: Order) => {
      const result = await fn(ctx, order)
      await ctx.step('one more', () => 1)
      return result
    })
    expect((await replayHistory(history, longer)).mismatch).toMatchObject({
      seq: history.events.length,
      expected: 'the run completed',
      actual: expect.stringContaining('step "one more"'),
    })
  })

  test('tells of another output or error, and of an await that is not recorded', async () => {
    const { history } = await record('Ada')
    const other = workflow('order', async (ctx, order: Order) => ({ ...(await fn(ctx, order)), by: 'Bob' }))
    const result = await replayHistory(history, other)
    expect(result).toMatchObject({ status: 'completed', output: { by: 'Bob' } })
    expect(result.mismatch).toMatchObject({
      seq: history.events.length,
      expected: expect.stringContaining('Ada'),
      actual: expect.stringContaining('Bob'),
    })

    const failed = await record('nobody')
    const friendlier = workflow('order', (ctx, order: Order) =>
      fn(ctx, order).catch(() => Promise.reject(new RangeError('ask again'))),
    )
    expect((await replayHistory(failed.history, friendlier)).mismatch).toMatchObject({
      expected: 'the run failed with RangeError: nobody approved',
      actual: 'the run failed with RangeError: ask again',
    })

    const foreign = workflow('order', async (ctx, order: Order) => {
      await new Promise((resolve) => setImmediateOutside(resolve))
      return fn(ctx, order)
    })
    expect(await replayHistory(history, foreign)).toMatchObject({
      status: 'blocked',
      mismatch: {
        actual: expect.stringContaining('not recorded'),
        where: expect.stringMatching(/history\.test\.ts:\d+$/),
      },
    })
  })

  test('refuses what is no history of this workflow', async () => {
    const { history } = await record(null)
    const bad = (value: any, of: any = order) => expect(replayHistory(value, of)).rejects
    await bad(
      history,
      workflow('invoice', async () => 1),
    ).toThrow(/of workflow "invoice", got one of "order"/)
    await bad(history, 'order').toThrow(/expected a workflow/)
    await bad({}).toThrow(/expected a history in format "stet-history-1"/)
    await bad({ ...history, events: [] }).toThrow(/at least one event/)
    await bad('{').toThrow(/expected JSON/)
    await bad(join(tmpdir(), 'not there.json')).toMatchObject({ code: 'ENOENT' })
  })
})

/** Some I/O that takes its time, whatever is patched. */
function setImmediateOutside(callback: (value?: unknown) => void): void {
  void import('node:fs').then(({ stat }) => stat('.', () => callback()))
}
