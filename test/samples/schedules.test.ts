import { testEnv } from 'stet/testing'
import { expect, inject, test } from 'vitest'
import { closeBooks, poll, report, schedules } from '../../samples/schedules.js'

const open = async () => {
  const env = await testEnv({ workflows: [closeBooks, poll, report], url: inject('serverUrl') })
  return env
}

test('the nightly report is about the day before its slot, also when it is started by a backfill', async () => {
  await using env = await open()
  const { stet, clock } = env
  await stet.schedules.create('nightly', schedules.nightly!)
  const [first, second] = await stet.schedules.next('nightly', 2)
  await clock.advance('3d')
  const about = (slot: Date) => `sales of ${new Date(slot.getTime() - 86_400_000).toISOString().slice(0, 10)}`
  expect(await stet.run(`nightly@${first!.toISOString()}`).result()).toBe(about(first!))
  expect(await stet.run(`nightly@${second!.toISOString()}`).result()).toBe(about(second!))
  const before = new Date(first!.getTime() - 3 * 86_400_000)
  expect((await stet.schedules.backfill('nightly', { from: before, to: first! })).started).toBeGreaterThanOrEqual(2)
  await clock.runToIdle()
  expect((await stet.list({ workflow: 'report', status: 'completed' })).runs.length).toBeGreaterThanOrEqual(4)
})

test('the poll never overlaps itself: one waits, and starts when the other is over', async () => {
  await using env = await open()
  const { stet, clock } = env
  await stet.schedules.create('poll', schedules.poll!)
  await clock.advance('2m')
  const { runs } = await stet.list({ workflow: 'poll', limit: 100 })
  const spans = runs.map(
    ({ createdAt, closedAt }) => [createdAt.getTime(), closedAt?.getTime() ?? clock.now()] as const,
  )
  spans.sort(([a], [b]) => a - b)
  expect(spans.length).toBeGreaterThanOrEqual(7)
  for (const [i, [from]] of spans.entries()) if (i > 0) expect(from).toBeGreaterThanOrEqual(spans[i - 1]![1])
})

test('the books are closed on working days at the end of each month but the last', async () => {
  await using env = await open()
  const { workflow: _, overlap: __, ...times } = schedules.books!
  const days = env.stet.schedules.dryRun(times, { count: 40, after: new Date('2026-01-01T00:00:00Z') })
  const of2026 = days.filter((day) => day.getUTCFullYear() === 2026)
  expect(new Set(of2026.map((day) => day.getUTCMonth()))).toEqual(new Set([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]))
  for (const day of of2026) expect([0, 6]).not.toContain(day.getUTCDay())
  await env.stet.schedules.create('books', schedules.books!)
  await env.clock.advance('70d')
  const { fires } = await env.stet.schedules.describe('books')
  expect(fires.length).toBeGreaterThan(0)
  for (const { id } of fires) expect(await env.stet.run(id).result()).toMatch(/^closed for 20\d\d-\d\d$/)
})
