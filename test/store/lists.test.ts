/** Lists of runs in Postgres: whatever is asked for, all of it is found, once and in order, and it is said where a search ended. */
import { expect, test } from 'vitest'
import type { RunFilter } from '../../src/index.js'
import { Stet } from '../../src/index.js'
import { listRuns } from '../../src/store/postgres/lists.js'
import { long } from '../support/long.js'
import { testDatabase } from '../support/server.js'

const db = await testDatabase()
const stet = new Stet({ url: db.url })
const { store } = await stet.internals()

const count = 12_000

// Every 97th was created long after the time in its id, or before; ids of one kind carry no time at all.
await db.query(`
  INSERT INTO stet_store.runs (run_id, id, workflow, version, queue, status, created_at, closed_at, error_name, error_message, attributes, parent_run_id)
  SELECT run_id, CASE WHEN n % 2 = 1 THEN 'order-' || n ELSE run_id END, 'w' || n % 4, n % 3 + 1, 'q' || n / 2 % 3, s, CASE WHEN n % 97 = 0 THEN at + (n % 5 - 2) * interval '1 hour' ELSE at END,
         CASE WHEN n % 10 > 4 THEN at END, CASE WHEN s IN ('failed', 'cancelled') THEN 'Error' END,
         CASE WHEN s IN ('failed', 'cancelled') THEN 'Broken at ' || n % 1000 END,
         CASE WHEN n % 2 = 0 THEN jsonb_build_object('even', true, 'n', n % 500, 'tags', jsonb_build_array('t' || n % 3, 'all')) END,
         CASE WHEN n % 7 = 0 THEN 'run_parent' || n % 2 END
    FROM generate_series(1, ${count}) n, LATERAL (SELECT timestamptz '2026-03-01 00:00:00+00' + n * interval '7 s' AS at) a,
         LATERAL (SELECT CASE WHEN n % 89 = 0 THEN 'run_' || n ELSE
                    'run_' || lpad(stet_store.base36((extract(epoch FROM at) * 1000)::bigint), 9, '0') || substr(md5(n::text), 1, 14) END AS run_id) r,
         LATERAL (SELECT (ARRAY['pending', 'running', 'waiting', 'paused', 'blocked', 'completed', 'failed', 'cancelled', 'terminated', 'continued'])[n % 10 + 1] AS s) x`)
await db.query('ANALYZE stet_store.runs')

/** What the filter means, by looking at every run. */
async function wanted(filter: RunFilter) {
  const { status, workflow, version, queue, attributes, error, startedAfter, startedBefore } = filter
  const { idPrefix, parent, closedAfter, closedBefore } = filter
  const { rows } = await db.query(
    `SELECT run_id FROM stet_store.runs
      WHERE ($1::text[] IS NULL OR status = ANY ($1)) AND ($2::text IS NULL OR workflow = $2) AND ($3::int IS NULL OR version = $3)
        AND ($4::text IS NULL OR queue = $4) AND ($5::jsonb IS NULL OR attributes @> $5)
        AND ($6::text IS NULL OR lower(error_message) LIKE '%' || lower($6) || '%')
        AND ($7::timestamptz IS NULL OR created_at >= $7) AND ($8::timestamptz IS NULL OR created_at < $8)
        AND ($9::text IS NULL OR left(id, length($9)) = $9) AND ($10::text IS NULL OR parent_run_id = $10)
        AND ($11::timestamptz IS NULL OR closed_at >= $11) AND ($12::timestamptz IS NULL OR closed_at < $12) ORDER BY run_id DESC`,
    [
      ...[status === undefined ? null : [status].flat(), workflow, version, queue],
      ...[attributes === undefined ? null : JSON.stringify(attributes), error, startedAfter, startedBefore],
      ...[idPrefix, parent, closedAfter, closedBefore],
    ],
  )
  return rows.map((row) => row.run_id as string)
}

async function pages(filter: RunFilter, lookAt?: number) {
  const found: string[] = []
  let bounded = 0
  for (let after: string | undefined; ; ) {
    const page = await listRuns(store.db, { ...filter, ...(after === undefined ? {} : { after }) }, lookAt)
    expect(page.rows.length).toBeLessThanOrEqual(filter.limit ?? 50)
    if (page.bounded) bounded++
    else if (page.next !== null) expect(page.rows).toHaveLength(filter.limit ?? 50)
    found.push(...page.rows.map(({ runId }) => runId))
    if (page.next === null) return { found, bounded }
    // It always gets on.
    expect(after === undefined || page.next < after).toBe(true)
    after = page.next
  }
}

const at = (hours: number) => new Date(Date.parse('2026-03-01T00:00:00Z') + hours * 3_600_000)
const choices: { readonly [K in keyof RunFilter]?: readonly RunFilter[K][] } = {
  status: ['failed', ['pending', 'waiting'], ['blocked', 'cancelled', 'completed'], 'running'],
  workflow: ['w1', 'w2', 'of nobody'],
  version: [2, 9],
  queue: ['q0', 'q2'],
  attributes: [
    { even: true },
    { n: 42 },
    { even: true, n: 8, tags: ['all'] },
    { tags: ['t1', 'all'] },
    {},
    { tags: [] },
  ],
  error: ['at 7', 'BROKEN', 'nothing like it'],
  startedAfter: [at(3), at(22)],
  startedBefore: [at(5), at(23)],
  // Of the last two more than are looked at all together.
  idPrefix: ['order-11', 'run_0mm', 'none', 'order-', 'run_'],
  parent: ['run_parent1', 'run_nobody'],
  closedAfter: [at(6), at(20)],
  closedBefore: [at(4), at(22)],
}

test('one field of a filter, and any two, and three at random', async () => {
  const fields = Object.keys(choices) as (keyof RunFilter)[]
  const filters: RunFilter[] = [{}]
  const one = (field: keyof RunFilter, i: number) => ({ [field]: choices[field]![i % choices[field]!.length] })
  for (const [i, field] of fields.entries()) {
    for (let n = 0; n < choices[field]!.length; n++) filters.push(one(field, n))
    for (const [k, other] of fields.slice(i + 1).entries()) {
      if (!long && (i + k) % 2 === 1) continue
      filters.push({ ...one(field, k), ...one(other, i) }, { ...one(field, k + 1), ...one(other, i + 2) })
      const third = fields[(i * 3 + k * 5) % fields.length]!
      filters.push({ ...one(field, i + k), ...one(other, k), ...one(third, i) })
    }
  }
  let some = 0
  let bounded = 0
  for (const [i, filter] of filters.entries()) {
    const all = await wanted(filter)
    if (all.length > 0 && all.length < count) some++
    const paged = await pages({ ...filter, limit: i % 4 === 0 ? 150 : 1_000 }, i % 2 === 0 ? 900 : undefined)
    expect([filter, paged.found.length, paged.found]).toEqual([filter, all.length, all])
    if (paged.bounded > 0) bounded++
  }
  expect(some).toBeGreaterThan(50)
  expect(bounded).toBeGreaterThan(10)
})

test('a search that looks only so far says so, and goes on; a client of the library is given all', async () => {
  // The only one, and the oldest.
  await db.query(
    `UPDATE stet_store.runs SET version = 77, status = 'failed', closed_at = now() WHERE run_id = (SELECT min(run_id) FROM stet_store.runs)`,
  )
  const oldest = (await wanted({ version: 77 }))[0]!
  const first = await store.list({ version: 77 })
  expect([first.rows, first.bounded]).toEqual([[], true])
  expect(first.next! > oldest).toBe(true)
  const second = await store.list({ version: 77, after: first.next! })
  expect([second.rows.map(({ runId }) => runId), second.next, second.bounded]).toEqual([[oldest], null, undefined])
  expect((await stet.list({ version: 77 })).runs.map(({ runId }) => runId)).toEqual([oldest])
  expect(await stet.list({ version: 77, after: oldest })).toEqual({ runs: [] })
  // One page of the library's, made of several looks.
  const { runs, next } = await stet.list({ attributes: { n: 42 }, version: 2, limit: 1_000 })
  expect(runs.map(({ runId }) => runId)).toEqual(await wanted({ attributes: { n: 42 }, version: 2 }))
  expect(next).toBeUndefined()
})

test('versions: each that has open runs, however many others there are', async () => {
  await db.query(
    `INSERT INTO stet_store.runs (run_id, id, workflow, version, queue, status, created_at)
     SELECT 'run_v' || n, 'run_v' || n, 'many', CASE WHEN n = 1 THEN 1 ELSE 2 END, 'q', 'waiting', now() FROM generate_series(1, 10500) n`,
  )
  const { rows } = await db.query(
    `SELECT workflow, version, count(*)::int AS open FROM stet_store.runs WHERE closed_at IS NULL GROUP BY 1, 2 ORDER BY 1, 2`,
  )
  const all = await store.versions(null)
  expect(all.map(({ workflow, version }) => [workflow, version])).toEqual(
    rows.map(({ workflow, version }) => [workflow, version]),
  )
  for (const [i, { open, more }] of all.entries()) {
    if (more) expect(open).toBeLessThan(rows[i].open)
    else expect(open).toBe(rows[i].open)
  }
  expect(all.filter(({ workflow }) => workflow === 'many')).toEqual([
    { workflow: 'many', version: 1, open: 1, served: false },
    { workflow: 'many', version: 2, open: expect.any(Number), served: false, more: true },
  ])
  expect(await store.versions('many')).toEqual([
    { workflow: 'many', version: 1, open: 1, served: false },
    { workflow: 'many', version: 2, open: 5_000, served: false, more: true },
  ])
  const { queues, more } = await store.queuedRuns()
  expect(more).toEqual(['waiting'])
  expect(queues.reduce((sum, { waiting }) => sum + waiting, 0)).toBe(5_001)
  await stet.close()
})
