/**
 * Schedules on a clock that is moved through days (through a year, with `npm run chaos`) and three worker processes, of
 * which one is killed each day while slots are being fired: every slot fires exactly once, and none is early. What must
 * fire is said by Postgres alone (`slots-oracle.ts`).
 */
import { afterAll, describe, expect, inject, it } from 'vitest'
import { Stet } from '../../src/index.js'
import { createTestDatabase, dropTestDatabase, postgresTime } from '../../src/store/postgres/test-database.js'
import { eventually, long, Observer, pause, prepare, seeded, Workers } from '../support/harness.js'
import { fillMinutes, oracleSlots, specs, year, zones } from '../support/slots-oracle.js'

const dayMs = 86_400_000
/** The clocks of Europe/Berlin are put forward within. */
const span = long ? year : { from: '2026-03-28T00:00:00Z', to: '2026-03-31T00:00:00Z' }
const stepsEach = 6
const chosen = specs.map((spec, i) => ({ ...spec, id: `s${i}`, zone: zones[i % zones.length]! }))

describe('schedules under kills', () => {
  const database = createTestDatabase(inject('serverUrl'))
  afterAll(async () => dropTestDatabase(inject('serverUrl'), (await database).name))

  it(
    `${(Date.parse(span.to) - Date.parse(span.from)) / dayMs} days of ${chosen.length} schedules, a worker killed each day`,
    async () => {
      const { url } = await database
      await prepare(url)
      const observer = new Observer(url)
      await using stet = new Stet({ url })
      const time = postgresTime((await stet.internals()).store.db)
      const [from, to] = [Date.parse(span.from), Date.parse(span.to)]
      await observer.query(`UPDATE stet_store.test_clock SET stopped_at = to_timestamp($1::float8 / 1000)`, [from - 1])
      for (const { id, cron, zone } of chosen) {
        await stet.schedules.create(id, { workflow: 'tick', cron, timeZone: zone, overlap: 'allow' })
      }
      const workers = new Workers({ url })
      const random = seeded(6)
      let kills = 0
      try {
        await workers.keepSpares(1)
        let alive = await workers.spawnReady(3)
        for (let day = from; day < to; day += dayMs) {
          const deadly = Math.floor(random() * stepsEach)
          for (let step = 0; step < stepsEach; step++) {
            // The last moment of the span is not part of it.
            await time.stop(day + ((step + 1) * dayMs) / stepsEach - 1)
            await observer.query(`SELECT pg_notify('stet', 'l0')`)
            if (step === deadly) {
              await pause(random() * 40)
              const [victim] = alive.splice(Math.floor(random() * alive.length), 1)
              await victim!.kill('SIGKILL')
              kills++
              alive = [...alive, workers.replace()]
            }
            await eventually(
              'what was due is dealt with',
              () =>
                observer.one(
                  'SELECT NOT EXISTS (SELECT FROM stet_store.schedules WHERE next_at <= stet_store.clock())',
                ),
              60_000,
            )
          }
        }
        await eventually(
          'all runs are through',
          () => observer.one('SELECT NOT EXISTS (SELECT FROM stet_store.runs WHERE closed_at IS NULL)'),
          120_000,
        )
        const slots = await expectOracle(observer)
        expect(kills).toBe((to - from) / dayMs)
        console.info(`${slots} slots, ${kills} kills: each once`)
      } finally {
        await workers.end()
        await observer.close()
      }
    },
    long ? 3 * 3_600_000 : 240_000,
  )
})

/** How many slots there were. */
async function expectOracle(observer: Observer): Promise<number> {
  const client = await observer.client()
  const query = (text: string) => client.query(text)
  try {
    await query('CREATE TEMP TABLE oracle (schedule text, slot timestamptz)')
    for (const zone of zones) {
      await fillMinutes(query, zone, span)
      for (const spec of chosen.filter((each) => each.zone === zone)) {
        await query(`INSERT INTO oracle SELECT '${spec.id}', at FROM (${oracleSlots(spec, span)}) o`)
      }
    }
    const one = async (text: string) => Object.values((await query(text)).rows[0])[0]
    const ids = `SELECT schedule || '@' || stet_store.iso(slot) AS id FROM oracle`
    const both = (a: string, b: string) =>
      `SELECT count(*)::int FROM ((${a} EXCEPT ALL ${b}) UNION ALL (${b} EXCEPT ALL ${a})) x`
    // Each slot has one run, each run its slot, and each says so.
    expect(await one(both(ids, 'SELECT id FROM stet_store.runs'))).toBe(0)
    expect(
      await one(
        `SELECT count(*)::int FROM stet.runs WHERE status <> 'completed' OR id NOT LIKE '%@' || (output #>> '{}')`,
      ),
    ).toBe(0)
    // One fire each, which names that run; of those that fire most often not all are kept.
    const kept = `SELECT schedule FROM oracle GROUP BY 1 HAVING count(*) <= 10000`
    expect(
      await one(
        both(
          `SELECT schedule, slot FROM oracle WHERE schedule IN (${kept})`,
          `SELECT f.schedule, f.slot FROM stet_store.schedule_fires f JOIN stet_store.runs r USING (run_id)
            WHERE f.status = 'started' AND f.schedule IN (${kept})`,
        ),
      ),
    ).toBe(0)
    expect(
      await one(`SELECT count(*)::int FROM stet_store.schedule_fires WHERE status <> 'started' OR slot > at`),
    ).toBe(0)
    expect(
      await one(`SELECT count(*)::int FROM stet_store.runs WHERE created_at < split_part(id, '@', 2)::timestamptz`),
    ).toBe(0)
    expect(await one('SELECT sum(runs)::int = (SELECT count(*) FROM oracle) FROM stet_store.schedules')).toBe(true)
    return (await one('SELECT count(*)::int FROM oracle')) as number
  } finally {
    client.release()
  }
}
