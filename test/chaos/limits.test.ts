/**
 * Limits while the processes of those who hold slots are killed. A trigger of the test's own notes each change of owner;
 * whoever claims sees what was let go of before, so the notes in order are what was in hand at each instant.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { LimitBounds, LimitTarget } from '../../src/store/limits.js'
import { createPostgresStore } from '../../src/store/postgres/store.js'
import {
  type DurableServer,
  durableServer,
  eventually,
  long,
  type Observer,
  pause,
  scene,
  seeded,
  Workers,
} from '../support/harness.js'
import { violations } from '../support/invariants.js'

const orders: LimitTarget = { scope: 'workflow', name: 'work', key: null }
const byTenant: LimitTarget = { ...orders, key: 'tenant' }

const stillOpen = "SELECT count(*)::int FROM stet_store.runs WHERE status <> 'completed'"
const startWork = `
  SELECT stet.start('work', json_build_object('steps', 2, 'stepMs', 20, 'sleepMs', 5, 'tenant', 't' || i % $2))
    FROM generate_series(1, $1) i`

describe('limits under kills', () => {
  let server: DurableServer

  beforeAll(async () => {
    server = await durableServer()
  })
  afterAll(() => server?.remove())

  async function noteOwners({ query }: Observer): Promise<void> {
    await query(`
      CREATE TABLE chaos.owners (n bigserial, run_id text, tenant text, owned boolean, first boolean, at timestamptz);
      CREATE FUNCTION chaos.note_owner() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN
        INSERT INTO chaos.owners (run_id, tenant, owned, first, at)
        VALUES (NEW.run_id, (SELECT h.payload::json ->> 'tenant' FROM stet_store.history h WHERE h.run_id = NEW.run_id AND h.seq = 1),
                NEW.owner IS NOT NULL, NEW.claim = 1 AND NEW.owner IS NOT NULL, NEW.started_at);
        RETURN NEW;
      END $$;
      CREATE TRIGGER note_owner BEFORE UPDATE ON stet_store.runs FOR EACH ROW
        WHEN ((OLD.owner IS NULL) <> (NEW.owner IS NULL)) EXECUTE FUNCTION chaos.note_owner()`)
  }

  /** The most that were ever in hand at once, of any tenant and of one. */
  async function mostAtOnce({ query }: Observer): Promise<{ all: number; tenant: number }> {
    const { rows } = await query(`
      SELECT max(x.together)::int AS all, max(x.of_tenant)::int AS tenant FROM (
        SELECT sum(CASE WHEN owned THEN 1 ELSE -1 END) OVER (ORDER BY n) AS together,
               sum(CASE WHEN owned THEN 1 ELSE -1 END) OVER (PARTITION BY tenant ORDER BY n) AS of_tenant
          FROM chaos.owners) x`)
    return rows[0]
  }

  /** Kills one of two processes of four workers each again and again until all runs have ended. */
  async function killUntilDone(
    url: string,
    seed: number,
    tenants: number,
    runs: number,
    observer: Observer,
  ): Promise<number> {
    const workers = new Workers({ url, claimers: 4 })
    const random = seeded(seed)
    let kills = 0
    try {
      await workers.keepSpares(1)
      let two = await workers.spawnReady(2)
      const startAll = () => observer.query(startWork, [runs, tenants])
      await startAll()
      const isDone = async () => (await observer.one(stillOpen)) === 0
      const until = performance.now() + (long ? 60_000 : 0)
      for (; !(await isDone()) || performance.now() < until; kills++) {
        await pause(1_000 + random() * 1_000)
        const victim = two[Math.floor(random() * 2)]!
        await victim.kill()
        two = two.map((worker) => (worker === victim ? workers.replace() : worker))
        await Promise.all(two.map(({ ready }) => ready))
        if (performance.now() < until && (await isDone())) await startAll()
      }
    } finally {
      await workers.end()
    }
    return kills
  }

  async function limited(url: string, target: LimitTarget, bounds: LimitBounds): Promise<void> {
    const store = createPostgresStore({ url })
    await store.setLimit(target, { bounds })
    await store.close()
  }

  async function nothingLeft(observer: Observer): Promise<void> {
    await eventually('all runs end', async () => (await observer.one(stillOpen)) === 0)
    expect(await observer.one('SELECT count(*)::int FROM stet_store.slots')).toBe(0)
    expect(await observer.one("SELECT count(*)::int FROM stet_store.runs WHERE line <> ''")).toBe(0)
    expect(await violations(observer.query)).toEqual([])
  }

  it(
    'three at once of a workflow, with eight workers in two processes that are killed: never more, and all end',
    () =>
      scene(server, 'three', {}, async ({ url, observer }) => {
        await noteOwners(observer)
        await limited(url, orders, { concurrency: 3, rate: null })
        const kills = await killUntilDone(url, 3, 1, 60, observer)
        expect(await mostAtOnce(observer)).toMatchObject({ all: 3 })
        await nothingLeft(observer)
        console.info(`${kills} kills`)
      }),
    240_000,
  )

  it(
    'three at once of each of fifty tenants: never more of any, and all end',
    () =>
      scene(server, 'tenants', {}, async ({ url, observer }) => {
        await noteOwners(observer)
        await limited(url, byTenant, { concurrency: 3, rate: null })
        const kills = await killUntilDone(url, 50, 50, 500, observer)
        expect(await mostAtOnce(observer)).toMatchObject({ tenant: 3 })
        await nothingLeft(observer)
        console.info(`${kills} kills`)
      }),
    240_000,
  )

  it(
    'a hundred a second: never passed in any second, and used up',
    () =>
      scene(server, 'rate', {}, async ({ url, observer, workers }) => {
        const seconds = long ? 20 : 5
        await noteOwners(observer)
        await limited(url, orders, { concurrency: null, rate: { limit: 100, periodMs: 1_000 } })
        await observer.query(`SELECT stet.start('work', json_build_object('steps', 1)) FROM generate_series(1, $1)`, [
          100 * seconds + 1,
        ])
        await workers.spawnReady(2, { claimers: 2 })
        for (;;) {
          if ((await observer.one('SELECT count(*)::int FROM chaos.owners WHERE first')) > 100 * seconds) break
          await pause(100)
        }
        const { rows } = await observer.query(`
        SELECT max(x.in_second)::int AS most, extract(epoch FROM max(x.at) - min(x.at))::float8 AS took FROM (
          SELECT at, count(*) OVER (ORDER BY at RANGE BETWEEN interval '999.999 ms' PRECEDING AND CURRENT ROW) AS in_second
            FROM chaos.owners WHERE first) x`)
        console.info(`${100 * seconds + 1} begun in ${rows[0].took} s, at most ${rows[0].most} in a second`)
        expect(rows[0].most).toBeLessThanOrEqual(100)
        // Not a measure of speed: the machine would have begun them all in the first second.
        expect(rows[0].took).toBeGreaterThanOrEqual(seconds)
        await nothingLeft(observer)
      }),
    120_000,
  )
})
