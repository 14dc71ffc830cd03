/** A bulk over many runs while workers run them, and are killed: no deadlock, no missed run, each run once. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type BulkProgress, Stet } from '../../src/index.js'
import { allOrphans } from '../../src/store/postgres/retention.js'
import { type DurableServer, durableServer, eventually, long, Observer, Workers } from '../support/harness.js'
import { violations } from '../support/invariants.js'

const figures = (name: string, values: object) =>
  process.stderr.write(
    `${name}: ${Object.entries(values)
      .map(([key, value]) => `${key} ${value}`)
      .join(', ')}\n`,
  )

describe('bulks and killed workers', () => {
  let server: DurableServer

  beforeAll(async () => {
    server = await durableServer()
  })
  afterAll(() => server?.remove())

  it('cancels all that a filter names, whoever dies, and then deletes them', async () => {
    const count = long ? 50_000 : 2_000
    const url = await server.database('bulks')
    const observer = new Observer(url)
    const workers = new Workers({ url })
    await using stet = new Stet({ url })
    try {
      await workers.keepSpares(3)
      const two = [workers.replace(), workers.replace()]
      await Promise.all(two.map(({ ready }) => ready))
      // Half of them are taken up and wait for a signal; nobody has the queue of the others.
      const begun = performance.now()
      for (let from = 1; from <= count; from += 5_000) {
        await observer.query(
          `SELECT count(stet.start('listener', '1', queue := CASE WHEN n % 2 = 0 THEN 'nobody' END)) FROM generate_series($1::int, $2::int) n`,
          [from, Math.min(count, from + 4_999)],
        )
      }
      const started = performance.now() - begun
      const states = async () => {
        const { rows } = await observer.query(
          `SELECT status, count(*)::int AS n FROM stet_store.runs WHERE workflow = 'listener' GROUP BY 1`,
        )
        return Object.fromEntries(rows.map(({ status, n }) => [status, n])) as Record<string, number>
      }
      await eventually('some wait', async () => ((await states()).waiting ?? 0) > count / 20, 120_000)
      const before = await states()
      const others = Promise.all(Array.from({ length: 40 }, (_, i) => stet.start('work', { steps: 8, stepMs: i })))

      const bulk = await stet.bulk('cancel', { workflow: 'listener' }, { reason: 'all of them', actor: 'chaos' })
      const late = await Promise.all([1, 2, 3].map(() => stet.start('listener', 1)))
      const at = performance.now()
      const seen: BulkProgress[] = []
      for (const [i, part] of [0.2, 0.5].entries()) {
        await eventually(
          `${part} of it is done`,
          async () => {
            seen.push(await bulk.progress())
            return seen.at(-1)!.done >= count * part
          },
          300_000,
        )
        // Whichever of the two did the last part, in the end both are gone.
        await two[i]!.kill()
        two[i] = workers.replace()
      }
      const done = await bulk.result({ timeout: long ? 600_000 : 120_000, onProgress: (now) => seen.push(now) })
      const took = performance.now() - at
      expect(done).toMatchObject({ state: 'completed', done: count, failed: 0, held: 0, refused: {} })
      expect(done.seen).toBe(count)
      const steps = seen.map((now) => now.done)
      expect(steps).toEqual([...steps].sort((a, b) => a - b))
      expect(new Set(steps).size).toBeGreaterThan(3)
      await eventually('all are cancelled', async () => (await states()).cancelled === count, 600_000)
      const closed = performance.now() - at
      for (const run of late) expect((await run.describe()).closedAt).toBeUndefined()
      await Promise.all((await others).map((run) => run.result({ timeout: 120_000 })))
      expect(
        await observer.one(
          `SELECT count(*)::int FROM (SELECT FROM stet_store.history WHERE type = 'CancelRequested' GROUP BY run_id HAVING count(*) > 1) x`,
        ),
      ).toBe(0)
      expect(await observer.one(`SELECT count(*)::int FROM stet_store.history WHERE type = 'CancelRequested'`)).toBe(
        count,
      )
      const { store } = await stet.internals()
      expect(await violations(observer.query)).toEqual([])

      const deleting = await stet.bulk('delete', { workflow: 'listener' })
      const from = performance.now()
      expect(await deleting.result({ timeout: 600_000, drive: true })).toMatchObject({ done: count, refused: {} })
      const deleted = performance.now() - from
      expect(await states()).toEqual({ waiting: 3 })
      expect(await allOrphans(store.db, 120_000)).toEqual({ orphans: [], looked: 'all' })
      expect(await observer.one('SELECT deadlocks::int FROM pg_stat_database WHERE datname = current_database()')).toBe(
        0,
      )
      const ms = (time: number) => `${Math.round(time)} ms`
      if (long) {
        figures('bulk', {
          ...{ runs: count, 'started in': ms(started), 'statuses at the beginning': JSON.stringify(before) },
          ...{ 'done in': ms(took), 'all closed in': ms(closed), 'deleted in': ms(deleted), looks: seen.length },
        })
      }
    } finally {
      await workers.end()
      await observer.close()
    }
  }, 1_800_000)
})
