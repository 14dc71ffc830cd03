import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Ctx, TimeoutFailure, workflow } from 'stet'
import { testEnv } from 'stet/testing'
import { afterAll, expect, inject, test } from 'vitest'
import { acquire, deploy, lock, lockId, lockState, withLock } from '../../samples/mutex.js'

const folder = mkdtempSync(join(tmpdir(), 'stet-mutex-test-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const hour = 3_600_000
/** Holds the lock for an hour of virtual time; says from when to when. */
const user = workflow('user', async (ctx, name: string) =>
  withLock(
    ctx,
    name,
    async (ctx, fence) => {
      const from = ctx.now()
      await ctx.sleep('1h')
      return { from, to: ctx.now(), fence }
    },
    { leaseMs: 2 * hour },
  ),
)
/** Asks and never gives back. */
const hoarder = workflow('hoarder', async (ctx: Ctx<string>, name: string) => {
  await ctx.handle(lockId(name)).signal(acquire, { runId: ctx.run.runId, ticket: 'mine', leaseMs: 2 * hour })
  await ctx.waitForSignal('granted mine')
  await ctx.sleep('365d')
})
/** Takes longer than its lease. */
const slow = workflow('slow', async (ctx, name: string) =>
  withLock(ctx, name, (ctx) => ctx.sleep('5h'), { leaseMs: 2 * hour }),
)
const open = () => testEnv({ workflows: [lock, user, hoarder, slow, deploy], url: inject('serverUrl') })
test('runs that want it at the same time have it one after another', async () => {
  await using env = await open()
  const runs = await Promise.all(Array.from({ length: 8 }, () => env.stet.start(user, 'printer')))
  await env.clock.advance('30m')
  expect((await env.stet.run(lockId('printer')).query(lockState)).queue).toHaveLength(7)
  // Nothing that anybody may send makes it lose its way.
  for (const name of ['acquire', 'release']) await env.stet.run(lockId('printer')).signal(name, 'nonsense')
  await env.clock.advance('9h')
  const times = (await Promise.all(runs.map((run) => run.result()))).sort((a, b) => a.from - b.from)
  for (const [i, { from, to, fence }] of times.entries()) {
    expect(to - from).toBe(hour)
    if (i === 0) continue
    expect(from).toBeGreaterThanOrEqual(times[i - 1]!.to)
    expect(fence).toBeGreaterThan(times[i - 1]!.fence)
  }
  const { fence } = times.at(-1)!
  expect(await env.stet.run(lockId('printer')).query(lockState)).toEqual({ holder: null, queue: [], fence })
  expect((await env.stet.list({ workflow: 'lock' })).runs).toHaveLength(1)
})

test('it is granted in the order of asking, and two locks have nothing to do with each other', async () => {
  await using env = await open()
  const runs = []
  for (let i = 0; i < 3; i++) {
    runs.push(await env.stet.start(user, 'a'))
    await env.clock.advance('1m')
  }
  const other = await env.stet.start(user, 'b')
  await env.clock.advance('4h')
  const times = await Promise.all(runs.map((run) => run.result()))
  const order = times.map(({ from }) => from)
  expect(order).toEqual([...order].sort((a, b) => a - b))
  expect((await other.result()).from).toBeLessThan(times[1]!.from)
})

test('a holder that dies, and one that never gives it back, are passed over after the lease and not before', async () => {
  await using env = await open()
  const dies = await env.stet.start(user, 'c')
  await env.clock.advance('1m')
  const hoards = await env.stet.start(hoarder, 'c')
  await env.clock.advance('1m')
  const waits = await env.stet.start(user, 'c')
  await env.clock.advance('1m')
  const began = env.clock.now()
  // At once, without its cleanup: nobody gives the lock back.
  await dies.terminate()

  const holder = async () => (await env.stet.run(lockId('c')).query(lockState)).holder
  await env.clock.advance('110m')
  expect(await holder()).toBe(dies.runId)
  await env.clock.advance('10m')
  expect(await holder()).toBe(hoards.runId)
  await env.clock.advance('110m')
  expect(await holder()).toBe(hoards.runId)
  await env.clock.advance('2h')
  const { from } = await waits.result()
  // Two leases of two hours, the first of which began three minutes before.
  expect(from - began).toBeGreaterThanOrEqual(4 * hour - 3 * 60_000 - 1_000)
  expect(from - began).toBeLessThan(4 * hour)
})

test('who takes longer than the lease is stopped; who is cancelled gives it back; who gave up waiting gets none', async () => {
  await using env = await open()
  const late = await env.stet.start(slow, 'd')
  await env.clock.advance('1m')
  const cancelled = await env.stet.start(user, 'd')
  await env.clock.advance('1m')
  const givesUp = await env.stet.start(user, 'd')
  await env.clock.advance('1m')
  const waits = await env.stet.start(user, 'd')
  await env.clock.advance('1m')
  await givesUp.cancel()
  await env.clock.advance('2h')
  expect((await late.result().catch((error) => error)).cause).toBeInstanceOf(TimeoutFailure)

  const { holder, queue } = await env.stet.run(lockId('d')).query(lockState)
  expect({ holder, queue }).toEqual({ holder: cancelled.runId, queue: [waits.runId] })
  const before = env.clock.now()
  await cancelled.cancel()
  await env.clock.advance('1h')
  // At once, and not when the lease of the one before is over.
  expect((await waits.result()).from - before).toBeLessThan(60_000)
})

test('deployments to one place come one after another, and each is left alone while it is watched', async () => {
  await using env = await open()
  const runs = []
  for (const version of ['v1', 'v2', 'v3']) {
    runs.push(await env.stet.start(deploy, { version, to: 'production', folder }))
    await env.clock.advance(1)
  }
  await env.clock.advance('1m')
  expect(await Promise.all(runs.map((run) => run.result()))).toMatchObject([
    { version: 'v1', before: null },
    { version: 'v2', before: 'v1' },
    { version: 'v3', before: 'v2' },
  ])
})

test('a lock that an operator ended is there again for the next who asks, and its fence goes on', async () => {
  await using env = await open()
  const first = await env.stet.start(user, 'e')
  await env.clock.advance('2h')
  await env.stet.run(lockId('e')).terminate()
  const second = await env.stet.start(user, 'e')
  await env.clock.advance('2h')
  expect((await second.result()).fence).toBeGreaterThan((await first.result()).fence)
})
