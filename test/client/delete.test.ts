/** The deletion of a run, for whoever holds it by a handle. */
import { expect, test } from 'vitest'
import { type Ctx, workflow } from '../../src/index.js'
import { allOrphans } from '../../src/store/postgres/retention.js'
import { house, refusal, until } from '../support/house.js'

const { stet, work, reached } = await house()

const leaf = workflow('leaf', async (ctx: Ctx<number>, input) => ctx.step('only', () => input * 2))
const waits = workflow('waits', async (ctx: Ctx<number>) => ctx.waitForSignal<number>('go'))
const parent = workflow('parent', async (ctx: Ctx<number>) => {
  const child = await ctx.startChild(leaf, 4, { id: 'the-child' })
  const first = await child.result()
  await ctx.waitForSignal('go')
  return first
})

test('a closed run goes, an open one stays; the id begins anew, and who waits for what is gone is told', async () => {
  await work([leaf, waits])
  const run = await stet.start(leaf, 4, { id: 'one' })
  expect(await run.result()).toBe(8)
  const fork = await run.fork({ at: 'only' })
  await fork.result()
  await run.delete()
  for (const call of [() => run.describe(), () => run.delete(), () => run.result(), () => stet.run('one').history()]) {
    expect((await refusal(call)).code).toBe('run_not_found')
  }
  // A fork has copies of what it shares.
  expect(await fork.describe()).toMatchObject({ forkedFrom: { runId: run.runId } })
  expect((await fork.history())[0]).toMatchObject({ type: 'RunStarted' })
  const anew = await stet.start(leaf, 5, { id: 'one' })
  expect(anew.runId).not.toBe(run.runId)
  expect(await anew.result()).toBe(10)
  const open = await stet.start(waits, 1)
  await reached(open, 'waiting')
  expect((await refusal(open.delete())).code).toBe('run_open')
  await open.signal('go', 3)
  expect(await open.result()).toBe(3)
  await open.delete()
  expect((await allOrphans((await stet.internals()).store.db)).orphans).toEqual([])
})

test('a child stays for as long as its parent may read it', async () => {
  await work([leaf, parent])
  const run = await stet.start(parent, 1)
  await until(
    async () =>
      (
        await stet
          .run('the-child')
          .describe()
          .catch(() => null)
      )?.status === 'completed',
    'it ended',
  )
  await reached(run, 'waiting')
  expect((await refusal(stet.run('the-child').delete())).code).toBe('parent_open')
  await run.signal('go')
  expect(await run.result()).toBe(8)
  await run.delete()
  expect((await stet.run('the-child').describe()).parent).toEqual({ id: run.runId, runId: run.runId })
  await stet.run('the-child').delete()
  expect((await allOrphans((await stet.internals()).store.db)).orphans).toEqual([])
})
