/**
 * When schedules must fire, by Postgres alone: every minute of a year, what the clocks of a zone show in it, and plain
 * conditions on that. It has nothing of what it is compared with: no cron, no arithmetic with zones.
 */
type Query = (text: string, values?: unknown[]) => Promise<{ rows: any[] }>

/** Of 2026 there is nothing odd in any zone but the two changes a year of those that have them. */
export const year = { from: '2026-01-01T00:00:00Z', to: '2027-01-01T00:00:00Z' }

export const zones = [
  'UTC',
  'Europe/Berlin',
  'America/New_York',
  'America/Santiago',
  'Asia/Kolkata',
  'Australia/Lord_Howe',
  'Pacific/Auckland',
]

/** `fixed`: each of its times is meant once. The condition is on `m`inute, `h`our, `dom`, `mon` and `dow` (0: Sunday). */
export interface OracleSpec {
  readonly cron: string
  readonly when: string
  readonly fixed: boolean
}

const spec = (cron: string, when: string, fixed = true): OracleSpec => ({ cron, when, fixed })

export const specs: readonly OracleSpec[] = [
  spec('*/5 * * * *', 'm % 5 = 0', false),
  spec('7 * * * *', 'm = 7', false),
  spec('0 */2 * * *', 'm = 0 AND h % 2 = 0', false),
  spec('30 */6 * * 1-5', 'm = 30 AND h % 6 = 0 AND dow BETWEEN 1 AND 5', false),
  spec('0 0 * * *', 'm = 0 AND h = 0'),
  spec('30 2 * * *', 'm = 30 AND h = 2'),
  spec('15 1 * * *', 'm = 15 AND h = 1'),
  spec('0,30 1-3 * * *', 'm IN (0, 30) AND h BETWEEN 1 AND 3'),
  spec('*/20 2 * * *', 'm % 20 = 0 AND h = 2'),
  spec('59 23 * * *', 'm = 59 AND h = 23'),
  spec('0 9-17 * * MON-FRI', 'm = 0 AND h BETWEEN 9 AND 17 AND dow BETWEEN 1 AND 5'),
  spec('45 3 * * SUN', 'm = 45 AND h = 3 AND dow = 0'),
  spec('10 2 * * 0,6', 'm = 10 AND h = 2 AND dow IN (0, 6)'),
  spec('0 12 1 * *', 'm = 0 AND h = 12 AND dom = 1'),
  spec('30 2 29 3 *', 'm = 30 AND h = 2 AND dom = 29 AND mon = 3'),
  spec('0 0 1 1 *', 'm = 0 AND h = 0 AND dom = 1 AND mon = 1'),
  spec('0 6 13 * 5', 'm = 0 AND h = 6 AND (dom = 13 OR dow = 5)'),
  spec('5 4 L * *', 'm = 5 AND h = 4 AND last'),
  spec('20 0 * APR,OCT *', 'm = 20 AND h = 0 AND mon IN (4, 10)'),
  spec('40 1 1-7/2 3,9,10,11 *', 'm = 40 AND h = 1 AND dom IN (1, 3, 5, 7) AND mon IN (3, 9, 10, 11)'),
]

/** The minutes of a year and what the clocks of a zone show in each, in a table `minutes`. */
export async function fillMinutes(query: Query, zone: string, { from, to } = year): Promise<void> {
  await query('DROP TABLE IF EXISTS minutes, skipped')
  const fields = (local: string) => `
    extract(minute FROM ${local})::int AS m, extract(hour FROM ${local})::int AS h, extract(day FROM ${local})::int AS dom,
    extract(month FROM ${local})::int AS mon, extract(dow FROM ${local})::int AS dow,
    extract(month FROM ${local} + interval '1 day') <> extract(month FROM ${local}) AS last`
  await query(
    `CREATE TEMP TABLE minutes AS
     WITH a AS (SELECT at, at AT TIME ZONE '${zone}' AS local FROM generate_series($1::timestamptz - interval '1 day', $2::timestamptz, '1 minute') at),
          b AS (SELECT *, max(local) OVER (ORDER BY at ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS shown FROM a)
     SELECT at, local, shown, coalesce(local > shown, true) AS first, ${fields('local')} FROM b`
      .replaceAll('$1', `'${from}'`)
      .replaceAll('$2', `'${to}'`),
  )
  // What the clocks never showed, and when they went past it.
  await query(
    `CREATE TEMP TABLE skipped AS
     SELECT b.at, local.local, ${fields('local.local')}
       FROM minutes b, generate_series(b.shown + interval '1 minute', b.local - interval '1 minute', '1 minute') AS local(local)
      WHERE b.local > b.shown + interval '1 minute'`,
  )
}

/** A query for the slots, `at`, from `minutes`. */
export function oracleSlots({ when, fixed }: OracleSpec, { from, to } = year): string {
  const span = `at >= '${from}' AND at < '${to}'`
  if (!fixed) return `SELECT at FROM minutes WHERE (${when}) AND ${span}`
  return `SELECT at FROM minutes WHERE first AND (${when}) AND ${span} UNION SELECT at FROM skipped WHERE (${when}) AND ${span}`
}
