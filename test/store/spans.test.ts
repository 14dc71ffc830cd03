/** Sums of minutes that stand beside them: nothing that is read shows whether they are there, but how much is read for it. */
import { expect, inject, onTestFinished, test } from 'vitest'
import { createPostgresStore } from '../../src/store/postgres/store.js'
import { createTestDatabase, dropTestDatabase, postgresTime } from '../../src/store/postgres/test-database.js'
import { counters, type StatsQuery, type Tally } from '../../src/store/statistics.js'

const minute = 60_000
const hour = 60 * minute
const noon = Date.UTC(2030, 0, 15, 12)

async function open() {
  const serverUrl = inject('serverUrl')
  const { name, url } = await createTestDatabase(serverUrl)
  const store = createPostgresStore({ url })
  onTestFinished(async () => {
    await store.close()
    await dropTestDatabase(serverUrl, name)
  })
  const time = postgresTime(store.db)
  const rows = async (text: string) => (await store.db.query({ text })).rows
  let n = 0
  const add = async (at: number) => {
    await time.stop(at)
    await store.addStats('worker', ++n, [tally(at, 'a', null), tally(at, 'a', 'charge'), tally(at + 1, 'b', 'ship')])
  }
  return { store, time, rows, add }
}

function tally(at: number, workflow: string, step: string | null): Tally {
  const i = Math.floor(at / minute)
  const some = Object.fromEntries(counters.map((name, k) => [name, (i * (k + 3)) % 5])) as Record<
    (typeof counters)[number],
    number
  >
  return {
    ...{ workflow, step, version: 1 + (i % 2), ...some },
    duration: { first: i % 30, counts: [1, 0, i % 4] },
    delay: i % 3 === 0 ? { first: 0, counts: [] } : { first: 3, counts: [2] },
  }
}

const windows = (now: number): StatsQuery[] => {
  const query = (from: number, to: number, more: Partial<StatsQuery> = {}): StatsQuery => ({
    ...{ from, to, byVersion: false, everyMs: null, ...more },
  })
  return [
    query(now - 24 * hour, now + minute),
    query(now - 24 * hour, now + minute, { byVersion: true }),
    query(now - 23 * hour - 17 * minute, now - 2 * hour - 4 * minute, { workflow: 'a' }),
    query(now - 3 * hour, now - 3 * hour + 10 * minute, { step: 'ship' }),
    query(now - 50 * minute, now - 41 * minute),
    query(now - 20 * hour, now, { everyMs: hour }),
    query(now - 20 * hour, now, { everyMs: 20 * minute, workflow: 'b' }),
    query(now - 5 * hour, now, { everyMs: 5 * minute }),
    query(now - 5 * hour, now, { everyMs: 7 * minute, version: 2 }),
    query(now - 60 * hour, now + hour),
    query(now - 10 * minute, now - 10 * minute),
  ]
}

test('all that is read is as it was before, and a day is read by the hour', async () => {
  const { store, time, rows, add } = await open()
  // Most minutes of 26 hours; the last is still going on.
  for (let at = noon - 26 * hour; at <= noon; at += minute) if ((at / minute) % 9 !== 0) await add(at + 5_000)
  const now = noon + 5_000
  await time.stop(now)
  const read = () => Promise.all(windows(noon).map((window) => store.readStats(window)))
  const before = await read()
  expect(before[0]!.length).toBe(3)
  expect(before[7]!.length).toBeGreaterThan(100)
  while ((await rows('SELECT count(*)::int AS n FROM stet_store.stats_spans'))[0].n < 700) await store.rollUpStats()
  expect(await read()).toEqual(before)

  const { query } = store.db
  const reads: number[] = []
  store.db.query = async (given) => {
    const explained = { ...given, text: `EXPLAIN (ANALYZE, FORMAT JSON) ${given.text}` }
    const { rows } = (await query.call(store.db, explained)) as { rows: any[] }
    const walk = (node: any): number =>
      (/^stats/.test(node['Relation Name']) ? node['Actual Rows'] * node['Actual Loops'] : 0) +
      (node.Plans ?? []).reduce((sum: number, each: any) => sum + walk(each), 0)
    reads.push(walk(rows[0]['QUERY PLAN'][0].Plan))
    return query.call(store.db, given) as any
  }
  await store.readStats(windows(noon)[0]!)
  store.db.query = query
  // Three series: of 24 hours and a minute, hours, and at either end some spans of ten minutes and some minutes.
  const series = 3
  expect(reads).toHaveLength(1)
  expect(reads[0]!).toBeLessThan(series * 60 + 200)
  expect(reads[0]!).toBeGreaterThan(series * 20)
})

test('as time goes on: what comes meanwhile counts, nothing counts twice, and spans go before their minutes do', async () => {
  const { store, time, rows, add } = await open()
  const whole: StatsQuery = { from: noon - 100 * hour, to: noon + 200 * hour, byVersion: true, everyMs: null }
  let added = 0
  let made = 0
  for (let at = noon; at < noon + 56 * hour; at += 70 * minute) {
    await add(at + 1_000)
    added++
    await store.rollUpStats()
    const sums = await store.readStats(whole)
    const ofRuns = sums.filter(({ workflow, step }) => workflow === 'a' && step === null)
    const [{ n }] = await rows(
      `SELECT sum(completed)::int AS n FROM stet_store.stats WHERE workflow = 'a' AND step = '' AND seconds IN (60, 3600, 86400)`,
    )
    expect(ofRuns.reduce((sum, { completed }) => sum + completed, 0)).toBe(n)
    const [spans] = await rows(
      `SELECT count(*)::int AS n, coalesce(bool_and(s.at >= m.at), true) AS ok FROM stet_store.stats_spans s,
              (SELECT date_bin('1 hour', stet_store.clock() - interval '48 hours', '2000-01-01 00:00+00') AS at) m`,
    )
    expect(spans.ok).toBe(true)
    made = Math.max(made, spans.n)
  }
  expect(made).toBeGreaterThan(100)
  const kept = await rows('SELECT seconds, count(*)::int AS n FROM stet_store.stats GROUP BY 1 ORDER BY 1')
  expect(kept.map(({ seconds }) => seconds)).toEqual([60, 3600])
  expect(added).toBe(48)
  await time.stop(noon + 400 * hour)
  const before = await store.readStats(whole)
  while ((await store.rollUpStats()) > 0);
  expect(await store.readStats(whole)).toEqual(before)
  // Of nothing, too.
  expect(await rows(`SELECT FROM stet_store.stats_spans WHERE workflow <> ''`)).toEqual([])
})
