/**
 * Statistics. Two workers add to the same row one after the other; both take their rows in the order of the key, so
 * that neither waits for the other in a circle.
 */
import {
  type Buckets,
  counters,
  hoursKeptMs,
  maxBacklog,
  minutesKeptMs,
  type QueueBacklog,
  rollUpBatch,
  type Statistics,
  type StatsGroup,
  type StatsQuery,
  type Tally,
} from '../statistics.js'
import { floatArray, intArray, textArray } from './arrays.js'
import type { Db } from './db.js'
import { readyKinds } from './ready.js'

const key = 'seconds, at, workflow, version, step'
const names = counters.join(', ')

/** Where spans of time are counted from: not from the session's midnight, which is another in another time zone. */
const origin = "timestamptz '2000-01-01 00:00:00+00'"

const onTopOf = `
ON CONFLICT (${key}) DO UPDATE SET ${counters.map((name) => `${name} = s.${name} + EXCLUDED.${name}`).join(', ')},
   duration = stet_store.add_histogram(s.duration, EXCLUDED.duration), delay = stet_store.add_histogram(s.delay, EXCLUDED.delay)`

/** What `tallyValues` gives, in parameters from this one on. */
function talliesFrom(first: number): string {
  const types = ['text', 'int', 'text', ...counters.map(() => 'float8'), 'text', 'text']
  return `unnest(${types.map((type, i) => `$${first + i}::${type}[]`).join(', ')}) AS u(workflow, version, step, ${names}, duration, delay)`
}

const add = `
WITH once AS (
  INSERT INTO stet_store.stats_sources AS s (source, n, at) VALUES ($1, $2, clock_timestamp())
      ON CONFLICT (source) DO UPDATE SET n = EXCLUDED.n, at = EXCLUDED.at WHERE s.n < EXCLUDED.n
  RETURNING date_bin('1 minute', stet_store.clock(), ${origin}) AS minute)
INSERT INTO stet_store.stats AS s (${key}, ${names}, duration, delay)
SELECT 60, once.minute, u.workflow, u.version, u.step, ${counters.map((name) => `u.${name}`).join(', ')},
       u.duration::int[], u.delay::int[]
  FROM once, ${talliesFrom(3)}
 ORDER BY u.workflow, u.version, u.step${onTopOf}`

async function addStats(db: Db, source: string, n: number, tallies: readonly Tally[]): Promise<void> {
  await db.query({
    name: 'stet_add_stats',
    text: add,
    values: [source, n, ...tallyValues(tallies)],
  })
}

function tallyValues(tallies: readonly Tally[]): unknown[] {
  return [
    textArray(tallies.map(({ workflow }) => workflow)),
    intArray(tallies.map(({ version }) => version)),
    textArray(tallies.map(({ step }) => step ?? '')),
    ...counters.map((name) => floatArray(tallies.map((tally) => tally[name]))),
    textArray(tallies.map(({ duration }) => arrayText(duration))),
    textArray(tallies.map(({ delay }) => arrayText(delay))),
  ]
}

/** An array whose subscripts are the numbers of the buckets. */
function arrayText({ first, counts }: Buckets): string {
  return counts.length === 0 ? '{}' : `[${first}:${first + counts.length - 1}]={${counts.join(',')}}`
}

/** Spans whose minutes are summed up, s: so that a day is not read by the minute. The minutes stay where they are. */
const spans = [3_600, 600] as const

/** Minutes of a span get nothing more when it has ended so long ago. */
const settledMs = 120_000

/** Spans are summed up while they are not as old as this, and forgotten before their minutes are rolled up. */
const spansMadeMs = minutesKeptMs - 3_600_000
const spansKeptMs = minutesKeptMs - 1_800_000

/** Spans of a kind that one call sums up. */
const spansAtOnce = 24

/**
 * The window in segments: the spans that are summed up (all of a span's rows are there, or none: one without a workflow
 * says that they are), and between them minutes. So each minute is counted once.
 */
const segments = (usable: readonly number[]) => `
bounds AS MATERIALIZED (SELECT to_timestamp($1 / 1000.0) AS begin, to_timestamp($2 / 1000.0) AS until),
spans AS MATERIALIZED (
  SELECT s.seconds, s.at AS begin, s.at + s.seconds * interval '1 s' AS until
    FROM bounds b, unnest(ARRAY[${usable.join(', ')}]::int[]) AS u(seconds), LATERAL (
      SELECT s.seconds, s.at FROM stet_store.stats_spans s
       WHERE s.seconds = u.seconds AND s.at >= b.begin AND s.at <= b.until - u.seconds * interval '1 s' AND s.workflow = '' OFFSET 0) s),
chosen AS MATERIALIZED (
  SELECT * FROM spans s
   WHERE NOT EXISTS (SELECT FROM spans l WHERE l.seconds > s.seconds AND l.begin <= s.begin AND l.until >= s.until)),
rest AS MATERIALIZED (
  SELECT 60 AS seconds, begin, until FROM (
    SELECT coalesce(lag(until) OVER (ORDER BY begin), (SELECT begin FROM bounds)) AS begin, begin AS until
      FROM (SELECT begin, until FROM chosen UNION ALL SELECT until, until FROM bounds) ends) gaps
   WHERE begin < until
  UNION ALL
  SELECT n, begin, until FROM bounds, unnest(ARRAY[3600, 86400]) n)`

/**
 * Histograms come as their texts, a group's in one, and are added up here: there may be a row for each minute and step,
 * and SQL takes ten times as long to add up their elements.
 */
function readText(filter: { workflow: boolean; version: boolean; step: boolean }, usable: readonly number[]): string {
  const rows = (table: string) => `
    SELECT s.* FROM stet_store.${table} s
     WHERE s.seconds = g.seconds AND s.at >= g.begin AND s.at < g.until AND s.workflow <> ''
       AND ${filter.workflow ? 's.workflow = $3::text' : '$3::text IS NULL'}
       AND ${filter.version ? 's.version = $4::int' : '$4::int IS NULL'}
       AND ${filter.step ? 's.step = $5::text' : '$5::text IS NULL'}
    OFFSET 0`
  return `
WITH ${segments(usable)}
SELECT workflow, CASE WHEN $6 THEN version END AS version, step,
       (extract(epoch FROM date_bin($7::float8 * interval '1 ms', at, timestamptz '1970-01-01 00:00:00+00')) * 1000)::float8 AS part,
       ${counters.map((name) => `sum(${name})::float8 AS ${name}`).join(', ')},
       string_agg(duration::text, ';') AS duration, string_agg(delay::text, ';') AS delay
  FROM (SELECT r.* FROM rest g, LATERAL (${rows('stats')}) r
        UNION ALL
        SELECT r.* FROM chosen g, LATERAL (${rows('stats_spans')}) r) r
 GROUP BY 1, 2, 3, 4
 ORDER BY 1, 3, 2, 4`
}

async function readStats(db: Db, query: StatsQuery): Promise<StatsGroup[]> {
  const { from, to, workflow, version, step, byVersion, everyMs } = query
  const filter = { workflow: workflow !== undefined, version: version !== undefined, step: step !== undefined }
  // A part of a chart holds its spans wholly, or is read by the minute.
  const usable = spans.filter((seconds) => everyMs === null || everyMs % (seconds * 1_000) === 0)
  const { rows } = await db.query({
    text: readText(filter, usable),
    values: [from, to, workflow ?? null, version ?? null, step ?? null, byVersion, everyMs],
  })
  return rows.map(({ part, step, duration, delay, ...row }) => ({
    ...row,
    step: step === '' ? null : step,
    at: part,
    duration: sumOf(duration),
    delay: sumOf(delay),
  }))
}

/** Of arrays as Postgres writes them: `[41:43]={1,0,2}`, `{1,2}` when the first subscript is 1, `{}`. */
function sumOf(texts: string): Buckets {
  const sums: number[] = []
  for (let at = 0; at < texts.length; ) {
    let bucket = 1
    if (texts.charCodeAt(at) === 0x5b) {
      bucket = Number.parseInt(texts.slice(at + 1, at + 12), 10)
      at = texts.indexOf('{', at)
    }
    let n = -1
    // Behind the brace: digits, and what ends a number.
    for (at++; ; at++) {
      const code = texts.charCodeAt(at)
      if (code >= 0x30 && code <= 0x39) {
        n = Math.max(n, 0) * 10 + code - 0x30
        continue
      }
      if (n >= 0) {
        while (sums.length <= bucket) sums.push(0)
        sums[bucket]! += n
        bucket++
        n = -1
      }
      if (code !== 0x2c) break
    }
    // The closing brace, and the semicolon behind it.
    at += 2
  }
  const first = sums.findIndex((n) => n > 0)
  return first === -1 ? { first: 0, counts: [] } : { first, counts: sums.slice(first) }
}

const lockKey = 5_837_402_220

/**
 * Only whole spans: what is added to a span that was rolled up already is added to that row. The clock is asked once, or no
 * index would be of use.
 */
const rollUp = `
WITH held AS MATERIALIZED (SELECT pg_try_advisory_xact_lock($1) AS ok),
old AS MATERIALIZED (
  SELECT ${key} FROM held, stet_store.stats
   WHERE held.ok AND seconds = $2 AND at < (SELECT date_bin($4::int * interval '1 s', stet_store.clock() - $3::float8 * interval '1 ms', ${origin}))
   ORDER BY at, workflow, version, step LIMIT $5),
gone AS (
  DELETE FROM stet_store.stats USING old
   WHERE ${key
     .split(', ')
     .map((column) => `stats.${column} = old.${column}`)
     .join(' AND ')}
  RETURNING stats.*),
added AS (
  INSERT INTO stet_store.stats AS s (${key}, ${names}, duration, delay)
  SELECT $4, date_bin($4::int * interval '1 s', at, ${origin}) AS bin, workflow, version, step, ${counters.map((name) => `sum(${name})`).join(', ')},
         stet_store.sum_histograms(duration), stet_store.sum_histograms(delay)
    FROM gone GROUP BY 2, 3, 4, 5 ORDER BY 2, 3, 4, 5${onTopOf})
SELECT count(*)::int AS n FROM gone`

/** Newest first: those are looked at most. */
const unmade = `
SELECT (extract(epoch FROM g.at) * 1000)::float8 AS at
  FROM (SELECT $1::int * interval '1 s' AS span) s,
       generate_series(date_bin(span, stet_store.clock() - $2::float8 * interval '1 ms', ${origin}) + span,
                       date_bin(span, stet_store.clock() - $3::float8 * interval '1 ms', ${origin}) - span, span) g(at)
 WHERE NOT EXISTS (SELECT FROM stet_store.stats_spans m WHERE m.seconds = $1::int AND m.at = g.at AND m.workflow = '')
 ORDER BY g.at DESC LIMIT ${spansAtOnce}`

/** Whoever comes second adds nothing; nor does who comes so late that the minutes may be gone. */
const makeSpan = `
WITH made AS (
  INSERT INTO stet_store.stats_spans (${key}, ${names}, duration, delay)
  SELECT $1::int, at, '', 0, '', ${counters.map(() => '0').join(', ')}, '{}', '{}' FROM (SELECT to_timestamp($2::float8 / 1000) AS at) a
   WHERE at > stet_store.clock() - $3::float8 * interval '1 ms'
      ON CONFLICT DO NOTHING RETURNING at)
INSERT INTO stet_store.stats_spans (${key}, ${names}, duration, delay)
SELECT $1::int, made.at, u.workflow, u.version, u.step, ${counters.map((name) => `u.${name}`).join(', ')}, u.duration::int[], u.delay::int[]
  FROM made, ${talliesFrom(4)}`

async function makeSpans(db: Db): Promise<void> {
  for (const seconds of spans) {
    const { rows } = await db.query({ text: unmade, values: [seconds, spansMadeMs, settledMs] })
    for (const { at } of rows) {
      const window = { from: at, to: at + seconds * 1_000, byVersion: true, everyMs: null }
      const groups = await readStats(db, window)
      const tallies = groups.map((group) => ({ ...group, version: group.version ?? 0 }))
      await db.query({ text: makeSpan, values: [seconds, at, spansKeptMs, ...tallyValues(tallies)] })
    }
  }
}

async function rollUpStats(db: Db): Promise<number> {
  await db.query({
    text: `DELETE FROM stet_store.stats_spans
            WHERE seconds IN (${spans.join(', ')}) AND at < (SELECT stet_store.clock() - $1::float8 * interval '1 ms')`,
    values: [spansKeptMs],
  })
  const pass = async (seconds: number, keptMs: number, into: number, limit: number): Promise<number> => {
    const { rows } = await db.query({ text: rollUp, values: [lockKey, seconds, keptMs, into, limit] })
    return rows[0].n
  }
  const minutes = await pass(60, minutesKeptMs, 3_600, rollUpBatch)
  const hours = minutes >= rollUpBatch ? 0 : await pass(3_600, hoursKeptMs, 86_400, rollUpBatch - minutes)
  // A call is made again within minutes, if at all.
  await db.query({ text: "DELETE FROM stet_store.stats_sources WHERE at < clock_timestamp() - interval '1 day'" })
  await makeSpans(db)
  return minutes + hours
}

/** Counts what is ready of each queue, workflow and version, up to a limit. */
const backlog = `
WITH RECURSIVE ${readyKinds()},
lanes AS MATERIALIZED (
  SELECT queue, workflow, version, min(due) AS due FROM kinds k GROUP BY 1, 2, 3)
SELECT queue, (extract(epoch FROM stet_store.clock() - min(due)) * 1000)::float8 AS age, sum(ready)::int AS ready,
       0 AS workers
  FROM lanes l, LATERAL (
    SELECT count(*) AS ready FROM (
      SELECT FROM stet_store.runs r
       WHERE status = 'pending' AND r.queue = l.queue AND r.workflow = l.workflow AND r.version = l.version AND r.due <= stet_store.clock()
       LIMIT ${maxBacklog}) x) c
 WHERE ready > 0 GROUP BY queue
UNION ALL
SELECT NULL, 0, 0, count(*)::int FROM stet_store.workers WHERE expires_at > clock_timestamp()
 ORDER BY queue NULLS FIRST`

async function readBacklog(db: Db): Promise<{ workers: number; queues: QueueBacklog[] }> {
  const { rows } = await db.query({ name: 'stet_backlog', text: backlog })
  const [{ workers }, ...queues] = rows
  return {
    workers,
    queues: queues.map(({ queue, ready, age }) => ({ queue, ready, oldestAgeMs: Math.max(0, age) })),
  }
}

/** A scrape does not wait for a database that is away. */
const scrapePatienceMs = 2_000

/** Statistics are a picture: a call of a worker is given up soon, and made again with the next. */
const addPatienceMs = 5_000

const readPatienceMs = 15_000

export function statisticsOf(db: Db): Statistics {
  return {
    addStats: (source, n, tallies) =>
      db.retrying('add statistics', () => addStats(db, source, n, tallies), { giveUpAfterMs: addPatienceMs }),
    readStats: (query) => db.retrying('read statistics', () => readStats(db, query), { giveUpAfterMs: readPatienceMs }),
    rollUpStats: () => db.retrying('roll up statistics', () => rollUpStats(db), { giveUpAfterMs: addPatienceMs }),
    backlog: () => db.retrying('count what is ready', () => readBacklog(db), { giveUpAfterMs: scrapePatienceMs }),
  }
}
