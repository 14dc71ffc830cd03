/**
 * How the questions of the API are answered: by the ends of indexes, however many runs there are. Each statement that a
 * route sends is sent once more, as it was, to a session that tells the plan that it was carried out by.
 */
import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Stet } from '../../src/index.js'
import { routes } from '../../src/server/dashboard.js'
import type { Query } from '../../src/store/postgres/db.js'
import { testDatabase } from '../support/server.js'
import { type Browser, browse } from './support.js'

const db = await testDatabase()
const stet = new Stet({ url: db.url })
const { store } = await stet.internals()
const count = 20_000

interface Plan {
  readonly query: string
  readonly root: any
}

let session: pg.Client
const plans: Plan[] = []

beforeAll(async () => {
  const runId = (n: string, at: string) =>
    `'run_' || lpad(stet_store.base36((extract(epoch FROM ${at}) * 1000)::bigint), 9, '0') || substr(md5(${n}::text), 1, 14)`
  await db.query(`
    INSERT INTO stet_store.runs (run_id, id, workflow, version, queue, status, owner, created_at, started_at, closed_at, due, waits, error_name, error_message,
                                 attributes, parent_run_id, parent_op, forked_from, forked_seq)
    SELECT ${runId('n', 'at')}, 'id-' || n, 'w' || n % 20, n % 3 + 1, 'q' || n / 3 % 5, s, CASE WHEN s = 'running' THEN 'worker_1' END, at, at,
           CASE WHEN n % 20 > 4 THEN at END, CASE WHEN s = 'pending' THEN at END, CASE WHEN s = 'waiting' THEN '[]' END,
           CASE WHEN s = 'failed' THEN 'Error' END, CASE WHEN s = 'failed' THEN 'broken ' || n END,
           CASE WHEN n % 2 = 0 THEN jsonb_build_object('customer', 'c' || n % 5000, 'region', 'r' || n / 2 % 2) END,
           CASE WHEN n % 10 = 1 THEN 'run_parent' END, CASE WHEN n % 10 = 1 THEN 1 END, CASE WHEN n % 10 = 2 THEN 'run_origin' END, CASE WHEN n % 10 = 2 THEN 1 END
      FROM generate_series(1, ${count}) n, LATERAL (SELECT now() - (${count} - n) * interval '30 s' AS at) a,
           LATERAL (SELECT (ARRAY['pending', 'running', 'waiting', 'paused', 'blocked', 'failed', 'cancelled', 'terminated', 'continued'] || array_fill('completed'::text, ARRAY[11]))[n % 20 + 1] AS s) x`)
  await db.query(`
    INSERT INTO stet_store.runs (run_id, id, workflow, version, queue, status, created_at, closed_at)
    SELECT id, id, 'w0', 1, 'q0', 'completed', now(), now() FROM unnest(ARRAY['run_parent', 'run_origin', 'run_long']) id`)
  await db.query(`
    INSERT INTO stet_store.history (run_id, seq, type, op, name, payload, facts, at)
    SELECT run_id, seq, CASE seq WHEN 1 THEN 'RunStarted' ELSE 'StepCompleted' END, seq - 1, 'step', '"x"', '{"causes":"0"}', now()
      FROM stet_store.runs, generate_series(1, CASE run_id WHEN 'run_long' THEN 10000 ELSE 3 END) seq WHERE run_id >= 'run_l' OR version = 1`)
  await db.query(
    `INSERT INTO stet_store.audit (actor, role, action, run_id) SELECT 'a', 'b', 'c', 'run_' || n % 3000 FROM generate_series(1, 20000) n`,
  )
  await db.query(
    `INSERT INTO stet_store.workers (id, expires_at, queues, workflows, versions) VALUES ('worker_1', now() + interval '1 day', '{q1}', '{w1}', '{2}')`,
  )
  await db.query(
    `INSERT INTO stet_store.stats SELECT 60, date_trunc('minute', now()) - m * interval '1 minute', 'w' || k, 1, '', 1, 1, 0, 0, 0, 0, 0, 0, '{1}', '{}'
       FROM generate_series(0, 1500) m, generate_series(0, 9) k`,
  )
  while (
    (await db.query('SELECT count(*)::int AS n FROM stet_store.stats_spans WHERE seconds = 600')).rows[0].n < 1_400
  )
    await store.rollUpStats()
  await db.query(
    `INSERT INTO stet_store.bulks (id, operation, filter, words, actor, created_at, next_at)
     SELECT 'bulk_' || lpad(stet_store.base36(n), 9, '0') || 'x', 'cancel', '{}', '{}', 'a', now(), now() FROM generate_series(0, 5000) n`,
  )
  await db.query('ANALYZE')
  // The same session as those of the store, but for what it tells.
  const { rows } = await store.db.query({
    text: `SELECT current_setting('plan_cache_mode') AS mode, current_setting('enable_seqscan') AS seqscan`,
  })
  session = new pg.Client({
    connectionString: db.url,
    options: `-c plan_cache_mode=${rows[0].mode} -c enable_seqscan=${rows[0].seqscan}`,
  })
  await session.connect()
  await session.query(
    `LOAD 'auto_explain'; SET auto_explain.log_min_duration = 0; SET auto_explain.log_analyze = on; SET auto_explain.log_format = json;
     SET auto_explain.log_nested_statements = on; SET client_min_messages = log`,
  )
  session.on('notice', ({ message = '' }) => {
    const json = /plan:\s*(\{[\s\S]*\})\s*$/.exec(message)?.[1]
    if (json === undefined) return
    const plan = JSON.parse(json)
    plans.push({ query: plan['Query Text'], root: plan.Plan })
  })
}, 120_000)

afterAll(async () => {
  await session.end()
  await stet.close()
})

/** The plans of all statements that `body` sends. */
async function plansOf(body: () => Promise<unknown>): Promise<Plan[]> {
  const sent: Query[] = []
  const { query } = store.db
  store.db.query = (given) => {
    sent.push(given)
    return query.call(store.db, given) as any
  }
  try {
    await body()
  } finally {
    store.db.query = query
  }
  plans.length = 0
  // Only reads: doing them again changes nothing.
  for (const { text, values } of sent) await session.query(text, values as unknown[])
  return [...plans]
}

const large = /^(runs|history|audit|bulks|stats|stats_spans|lines|slots|takings)(_|$)/

/** What is wrong with a plan: tables that were read from end to end, and whatever read more than `most` rows of one. */
function faults({ query, root }: Plan, most: number): string[] {
  const walk = (node: any): string[] => {
    const of: string = node['Relation Name'] ?? node['Index Name'] ?? ''
    const loops = node['Actual Loops']
    const removed = (node['Rows Removed by Filter'] ?? 0) + (node['Rows Removed by Index Recheck'] ?? 0)
    const read = (node['Actual Rows'] + removed) * loops
    const own = [
      ...(node['Node Type'] === 'Seq Scan' && loops > 0 ? [`Seq Scan of ${of}`] : []),
      ...(read > most ? [`${node['Node Type']} of ${of} (${node['Index Name']}): ${read} rows`] : []),
    ]
    return [...(large.test(of) ? own : []), ...(node.Plans ?? []).flatMap(walk)]
  }
  return walk(root).map((fault) => `${fault} in ${query.replaceAll(/\s+/g, ' ').slice(0, 200)}`)
}

/** A page of 50, of ten statuses, of three versions; so much may be read of any one index. */
const page = 51 * 10 * 3
/** What no index knows is looked for in so many, and where that ends, in as many more. */
const search = 10_000

const json = (value: unknown) => encodeURIComponent(JSON.stringify(value))
const ago = (hours: number) => new Date(Date.now() - hours * 3_600_000).toISOString()

const asked: readonly (readonly [string, number])[] = [
  ...['', '?limit=200', '?after=run_zzz', '?workflow=w3', '?workflow=w3&version=2', '?workflow=w3&status=failed'].map(
    (query) => [`/api/runs${query}`, page] as const,
  ),
  ...['pending', 'running', 'waiting', 'paused', 'blocked', 'failed', 'completed', 'continued', 'failed,waiting'].map(
    (status) => [`/api/runs?status=${status}`, page] as const,
  ),
  ['/api/runs?queue=q2&status=failed,terminated', page],
  [`/api/runs?attributes=${json({ customer: 'c78' })}`, page],
  [`/api/runs?attributes=${json({ customer: 'c78' })}&status=waiting`, page],
  ['/api/runs?queue=q2', search],
  ['/api/runs?version=3', page],
  ['/api/runs?version=9', search],
  ['/api/runs?workflow=w3&queue=none', search],
  [`/api/runs?attributes=${json({ region: 'r1' })}`, search],
  [`/api/runs?attributes=${json({ region: 'r1', customer: 'c78' })}`, search],
  ['/api/runs?error=broken%2019', search],
  ['/api/runs?error=none', search],
  ['/api/runs?error=none&workflow=w5', search],
  [`/api/runs?startedAfter=${ago(2)}`, page],
  [`/api/runs?startedBefore=${ago(100)}`, page],
  [`/api/runs?startedAfter=${ago(101)}&startedBefore=${ago(100)}`, page],
  [`/api/runs?startedAfter=${ago(101)}&startedBefore=${ago(100)}&status=completed`, page],
  ['/api/runs?idPrefix=id-77', page],
  ['/api/runs?idPrefix=run_', search + 1],
  ['/api/runs?idPrefix=id-1&status=failed', search],
  ['/api/runs?parent=run_parent', page],
  ['/api/runs?parent=run_parent&status=failed', search],
  [`/api/runs?closedAfter=${ago(2)}`, search],
  [`/api/runs?closedBefore=${ago(100)}&workflow=w3`, search],
  ['/api/bulks', page],
  ['/api/bulks/bulk_000000001x', page],
  ['/api/retention', page],
  // Ten statuses, of each a thousand and one.
  ['/api/counts', 10_010],
  ['/api/workflows', page],
  // As many as are counted of all versions together, of each status.
  ['/api/versions', search],
  ['/api/versions?workflow=w3', page],
  ['/api/workers', page],
  ['/api/queues', search],
  ['/api/limits', search],
  ['/api/audit', page],
  ['/api/audit?before=10000&limit=200', page],
  ['/api/audit?runId=run_77', page],
  ['/api/stats?since=24h', page],
  ['/api/runs/run_long/summary', page],
  ['/api/runs/run_long/history?limit=1000&brief=1', page],
  ['/api/runs/run_long/history?limit=1000&after=9000', page],
  ['/api/runs/run_parent', page],
  ['/api/runs/run_parent/graph', page],
  ['/api/runs/run_parent/export', page],
  ['/api/runs/run_parent/why', page],
  ['/api/runs/run_parent/checkpoint?op=1', page],
  ['/api/runs/run_parent/children', page],
  ['/api/runs/run_parent/children?after=run_zzz', page],
  ['/api/runs/run_origin/forks', page],
]

test('every question of the API is asked here', () => {
  const bare = new Set(
    asked.map(([path]) =>
      path
        .replace(/\?.*/, '')
        .replace(/run_[a-z]+/, ':run')
        .replace(/bulk_\w+/, ':bulk'),
    ),
  )
  const read = routes.filter(({ method, path }) => method === 'GET' && path.startsWith('/api/')).map(({ path }) => path)
  const left = read.filter((path) => !bare.has(path))
  // No statement; below; of rules and schedules, and what they look at, which have tests of their own.
  expect(left.filter((path) => !/^\/api\/(alert|schedule)/.test(path)).sort()).toEqual(['/api/feed', '/api/session'])
})

test.each(asked)('%s', async (path, most) => {
  const browser: Browser = browse(stet)
  const found = await plansOf(() => browser.get(path))
  expect(found.length).toBeGreaterThan(0)
  expect(found.flatMap((plan) => faults(plan, most))).toEqual([])
})

test('the statements of the feed', async () => {
  const newest = (await store.list({ limit: 20 })).rows.map(({ runId }) => runId)
  const found = await plansOf(async () => {
    await store.rows(newest, 50)
    await store.eventsAfter(
      newest.map((runId) => ({ runId, after: 0 })),
      100,
    )
    await store.eventsAfter([{ runId: 'run_long', after: 4_000, maxPayload: 2_048 }], 2_000)
    await store.countRuns()
  })
  expect(found).toHaveLength(4)
  expect(found.flatMap((plan) => faults(plan, 10_010))).toEqual([])
  expect(found.slice(0, 2).flatMap((plan) => faults(plan, page))).toEqual([])
})

test('a bad statement is found out', async () => {
  const bad = (text: string, values: unknown[] = []) => plansOf(async () => store.db.query({ text, values }))
  const [all] = await bad(`SELECT count(*) FROM stet_store.runs WHERE $1::text IS NULL OR workflow || '' = $1`, ['w1'])
  expect(faults(all!, search)[0]).toMatch(/Scan of runs .*: 20003 rows/)
  const [backwards] = await bad(
    `SELECT run_id FROM stet_store.runs WHERE ($1::text IS NULL OR error_message = $1) ORDER BY run_id DESC LIMIT 50`,
    ['nothing'],
  )
  expect(faults(backwards!, search)).toEqual([expect.stringMatching(/Index Scan of runs \(runs_pkey\): 20003 rows/)])
  await session.query('SET enable_seqscan = on')
  const [scan] = await bad(`SELECT max(length(payload)) FROM stet_store.history`)
  await session.query('SET enable_seqscan = off')
  expect(faults(scan!, search)).toEqual([
    expect.stringContaining('Seq Scan of history'),
    expect.stringContaining('rows in SELECT max'),
  ])
})

test('limits by a key with thousands of values that are full, and thousands of runs that wait for one of them', async () => {
  await store.setLimit(
    { scope: 'workflow', name: 'keyed', key: 'tenant' },
    { bounds: { concurrency: 1, rate: { limit: 9, periodMs: 1_000 } } },
  )
  const gate = (n: string) => `stet_store.gate('workflow', 'keyed', 'tenant', 't' || ${n})`
  await db.query(`
    INSERT INTO stet_store.lines (queue, workflow, version, line, gates, fresh, closed_by)
    SELECT 'default', 'keyed', 1, '+' || n, ARRAY[${gate('n')}], true, ${gate('n')} FROM generate_series(1, 3000) n`)
  await db.query(`
    INSERT INTO stet_store.runs (run_id, id, workflow, version, queue, status, created_at, due, line)
    SELECT 'keyed_' || n, 'keyed_' || n, 'keyed', 1, 'default', 'pending', now(), now(), '+' || CASE WHEN n <= 6000 THEN n % 3000 + 1 ELSE 1 END
      FROM generate_series(1, 12000) n`)
  await db.query(`
    INSERT INTO stet_store.slots (run_id, gate) SELECT 'held_' || n, ${gate('n % 3000 + 1')} FROM generate_series(1, 9000) n`)
  await db.query('ANALYZE')
  const browser = browse(stet)
  const found = await plansOf(() => browser.get('/api/limits'))
  expect(found.flatMap((plan) => faults(plan, search))).toEqual([])
  const { limits } = await browser.get('/api/limits')
  const keyed = limits.find(({ target }: any) => target.workflow === 'keyed')
  expect(keyed).toMatchObject({ running: 1_001, queued: 1_001, full: 1_001 })
  expect(keyed.fullValues).toHaveLength(20)
  expect(keyed.fullValues[0]).toMatchObject({ value: 't1', queued: 201 })
})
