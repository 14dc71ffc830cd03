/** The statistics of a store: the same promises of both. */
import { describe, expect, inject, test } from 'vitest'
import { createMemoryStore } from '../../src/store/memory/store.js'
import type { Store } from '../../src/store/port.js'
import { createPostgresStore } from '../../src/store/postgres/store.js'
import { createTestDatabase, dropTestDatabase, postgresTime } from '../../src/store/postgres/test-database.js'
import type { StatsQuery, Tally } from '../../src/store/statistics.js'
import type { TestTime } from '../../src/store/test-time.js'
import { request } from '../store/scene.js'

const zero = { started: 0, completed: 0, failed: 0, cancelled: 0, terminated: 0, continued: 0, blocked: 0, retried: 0 }
const empty = { first: 0, counts: [] }
const minute = 60_000
const hour = 60 * minute
const day = 24 * hour

function tally(fields: Partial<Tally> = {}): Tally {
  return { workflow: 'order', version: 1, step: 'charge', ...zero, duration: empty, delay: empty, ...fields }
}

interface Open {
  readonly store: Store
  readonly time: TestTime
  readonly remove: () => Promise<void>
}

async function openMemory(): Promise<Open> {
  const store = createMemoryStore()
  return { store, time: store.time, remove: () => store.close() }
}

async function openPostgres(): Promise<Open> {
  const serverUrl = inject('serverUrl')
  const { name, url } = await createTestDatabase(serverUrl)
  const store = createPostgresStore({ url })
  const remove = async () => {
    await store.close()
    await dropTestDatabase(serverUrl, name)
  }
  return { store, time: postgresTime(store.db), remove }
}

describe.each([
  ['Postgres', openPostgres],
  ['memory', openMemory],
])('statistics in %s', (_name, open) => {
  /** A store whose clock stands, half a minute past noon. */
  async function at(noon: number, body: (store: Store, move: (to: number) => Promise<void>) => Promise<void>) {
    const { store, time, remove } = await open()
    const move = async (to: number) => {
      await time.stop(to)
    }
    try {
      await move(noon + 30_000)
      await body(store, move)
    } finally {
      await remove()
    }
  }
  const noon = Date.UTC(2030, 0, 15, 12)
  const whole: StatsQuery = { from: noon - 400 * day, to: noon + 400 * day, byVersion: false, everyMs: null }

  test('what is added to a minute adds up, bucket by bucket; a call that is made again adds nothing', () =>
    at(noon, async (store) => {
      const first = tally({ completed: 3, retried: 1, duration: { first: 10, counts: [1, 0, 2] } })
      const second = tally({
        completed: 2,
        failed: 1,
        duration: { first: 8, counts: [1, 0, 1] },
        delay: { first: 0, counts: [2] },
      })
      await store.addStats('a', 1, [first])
      await store.addStats('a', 1, [first])
      await store.addStats('b', 1, [second])
      await store.addStats('a', 2, [tally({ step: null, started: 1 })])
      await store.addStats('a', 1, [first])
      expect(await store.readStats(whole)).toEqual([
        { workflow: 'order', version: null, step: null, at: null, ...zero, started: 1, duration: empty, delay: empty },
        {
          ...{ workflow: 'order', version: null, step: 'charge', at: null },
          ...{ ...zero, completed: 5, failed: 1, retried: 1 },
          ...{ duration: { first: 8, counts: [1, 0, 2, 0, 2] }, delay: { first: 0, counts: [2] } },
        },
      ])
    }))

  test('groups by workflow, version, step and part of the window, in order, and reads no more than is asked for', () =>
    at(noon, async (store, move) => {
      const added = [
        tally(),
        tally({ version: 2 }),
        tally({ step: null }),
        tally({ workflow: 'a "mail"', step: 'send' }),
      ]
      await store.addStats(
        'a',
        1,
        added.map((each) => ({ ...each, completed: 1 })),
      )
      await move(noon + 5 * minute)
      await store.addStats('a', 2, [tally({ completed: 10 })])
      const places = async (query: Partial<StatsQuery>) =>
        (await store.readStats({ ...whole, ...query })).map((each) => [
          each.workflow,
          each.version,
          each.step,
          each.at === null ? null : (each.at - noon) / minute,
          each.completed,
        ])
      expect(await places({})).toEqual([
        ['a "mail"', null, 'send', null, 1],
        ['order', null, null, null, 1],
        ['order', null, 'charge', null, 12],
      ])
      expect(await places({ byVersion: true, workflow: 'order', step: 'charge' })).toEqual([
        ['order', 1, 'charge', null, 11],
        ['order', 2, 'charge', null, 1],
      ])
      expect(await places({ everyMs: minute, workflow: 'order', step: 'charge' })).toEqual([
        ['order', null, 'charge', 0, 2],
        ['order', null, 'charge', 5, 10],
      ])
      expect(await places({ version: 2 })).toEqual([['order', null, 'charge', null, 1]])
      // The end is not in the window.
      expect(await places({ from: noon, to: noon + 5 * minute, step: 'charge' })).toEqual([
        ['order', null, 'charge', null, 2],
      ])
      expect(await places({ from: noon + 1, workflow: 'order', step: 'charge' })).toEqual([
        ['order', null, 'charge', null, 10],
      ])
    }))

  test('minutes become hours after two days and hours days after thirty, and all sums stay', () =>
    at(noon, async (store, move) => {
      const steps = ['charge', 'ship', null]
      let n = 0
      for (let i = 0; i < 30; i++) {
        await move(noon + i * 7 * minute)
        const rows = steps.map((step) => tally({ step, completed: i, duration: { first: i, counts: [1, 2] } }))
        await store.addStats('a', ++n, rows)
      }
      const sums = await store.readStats(whole)
      const parts = async (everyMs: number) => (await store.readStats({ ...whole, everyMs, step: 'charge' })).length
      expect(await parts(minute)).toBe(30)
      await move(noon + 2 * day)
      expect(await store.rollUpStats()).toBe(0)
      await move(noon + 2 * day + 2 * hour)
      // Two whole hours are old enough; 9 of 7 minutes each begin in the first, 9 in the second.
      expect(await store.rollUpStats()).toBe(18 * steps.length)
      expect(await store.rollUpStats()).toBe(0)
      expect(await parts(minute)).toBe(2 + 12)
      expect(await store.readStats(whole)).toEqual(sums)
      await move(noon + 40 * day)
      // The last minutes become hours, and these with the others a day, at once.
      expect(await store.rollUpStats()).toBe((12 + 4) * steps.length)
      expect(await parts(minute)).toBe(1)
      expect(await store.readStats(whole)).toEqual(sums)
      // What comes late is added to the day that is there.
      await store.addStats('b', 1, [tally({ completed: 1 })])
      await move(noon + 80 * day)
      while ((await store.rollUpStats()) > 0) {}
      expect(await parts(minute)).toBe(2)
    }))

  test('the backlog: what is ready, by queue, with the age of the oldest', () =>
    at(noon, async (store, move) => {
      expect(await store.backlog()).toEqual({ workers: 0, queues: [] })
      const start = (runId: string, fields: object) => store.start([request({ runId, ...fields })])
      await start('run_1', { queue: 'mail', priority: 5 })
      await move(noon + 40_000)
      await start('run_2', { queue: 'mail', priority: 9 })
      await start('run_3', { queue: 'mail', workflow: 'other' })
      await start('run_4', { queue: 'default', version: 7 })
      await start('run_5', { queue: 'later', delayMs: hour })
      await move(noon + 50_000)
      expect(await store.backlog()).toEqual({
        workers: 0,
        queues: [
          { queue: 'default', ready: 1, oldestAgeMs: 10_000 },
          { queue: 'mail', ready: 3, oldestAgeMs: 20_000 },
        ],
      })
    }))
})
