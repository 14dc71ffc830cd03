/**
 * A database with a million runs, and how long each question of the API's pages takes in it: the longest of the
 * statements that were sent for it (median, and the worst of all rounds), and the whole request.
 */
import pg from 'pg'
import { createDashboard } from '../src/server/index.js'
import { Stet } from '../src/stet.js'
import type { Store } from '../src/store/port.js'
import type { Query } from '../src/store/postgres/db.js'
import { percentile, report } from './measure.js'
import type { BenchServer } from './server.js'

/** A share of all runs is open, spread over the days; the rest has ended in every way there is. */
const fill = (count: number) => /* sql */ `
SET synchronous_commit = off;
SET work_mem = '128MB';
INSERT INTO stet_store.workers (id, expires_at, pid, host, queues, workflows, versions)
SELECT 'worker_' || w, now() + interval '1 day', 1000 + w, 'host-' || w % 3, ARRAY['queue-' || w % 5],
       (SELECT array_agg('workflow-' || lpad(n::text, 2, '0') ORDER BY n) FROM generate_series(0, 19) n), (SELECT array_agg(3) FROM generate_series(0, 19))
  FROM generate_series(0, 9) w;

INSERT INTO stet_store.runs (run_id, id, workflow, version, queue, priority, status, owner, claim, msgs, seen, due, created_at, started_at, closed_at,
                             waits, problem, error_name, error_message, parent_run_id, parent_op, attributes, forked_from, forked_seq)
SELECT r.run_id, CASE WHEN i % 2 = 0 THEN 'order-' || i ELSE r.run_id END, 'workflow-' || lpad((least(h % 20, h / 20 % 20))::text, 2, '0'),
       1 + (i * 3 / ${count + 1} + (h % 10 = 0)::int) % 3, 'queue-' || h / 7 % 5, 0, s.status,
       CASE WHEN s.status = 'running' THEN 'worker_' || i % 10 END, 1, h % 3, h % 3,
       CASE WHEN s.status = 'pending' THEN t.at WHEN s.status = 'waiting' AND i % 3 = 0 THEN now() + i % 1000 * interval '1 h' END,
       t.at, t.at + interval '1 s', CASE WHEN s.closed THEN t.at + interval '20 s' END,
       CASE WHEN s.status = 'waiting' THEN '[{"op":3,"kind":"signal","name":"approved","causes":"2","askedAt":1760000000000,"where":"order.ts:12"}]' END,
       CASE WHEN s.status = 'blocked' THEN '{"code":"nondeterminism","message":"the code asks for another step"}' END,
       CASE WHEN s.status IN ('failed', 'cancelled') THEN (ARRAY['TypeError', 'StepFailure', 'RangeError'])[1 + h % 3] END,
       CASE WHEN s.status IN ('failed', 'cancelled') THEN 'request ' || i || ' to service-' || h % 20 || ' failed: connection ' || (ARRAY['reset', 'refused', 'timed out'])[1 + h % 3] END,
       CASE WHEN h % 10 = 3 THEN (SELECT run_id FROM ids WHERE n = greatest(1, i - h % 50)) END, CASE WHEN h % 10 = 3 THEN 2 END,
       CASE WHEN h % 5 < 3 THEN jsonb_build_object('customer', 'c-' || h % 50000, 'region', (ARRAY['eu', 'us', 'asia', 'africa', 'oceania'])[1 + h / 3 % 5], 'vip', h % 50 = 0) END,
       CASE WHEN h % 200 = 7 THEN (SELECT run_id FROM ids WHERE n = greatest(1, i - 5)) END, CASE WHEN h % 200 = 7 THEN 3 END
  FROM ids r, LATERAL (SELECT r.n AS i, abs(hashint4(r.n)) AS h, abs(hashint4(r.n + 7)) % 10000 AS share) x, LATERAL (SELECT r.at) t,
       LATERAL (SELECT CASE WHEN share < 400 THEN 'waiting' WHEN share < 460 THEN 'pending' WHEN share < 490 THEN 'running' WHEN share < 498 THEN 'blocked'
                            WHEN share < 500 THEN 'paused' WHEN share < 1100 THEN 'failed' WHEN share < 1300 THEN 'cancelled' WHEN share < 1350 THEN 'terminated'
                            WHEN share < 1400 THEN 'continued' ELSE 'completed' END AS status, share >= 500 AS closed) s
 ORDER BY i;

INSERT INTO stet_store.history (run_id, seq, type, op, name, payload, facts, at)
SELECT r.run_id, seq, CASE WHEN seq = 1 THEN 'RunStarted' WHEN seq < events THEN 'StepCompleted' WHEN r.closed_at IS NULL THEN 'StepScheduled'
                           WHEN r.status = 'failed' THEN 'RunFailed' ELSE 'RunCompleted' END,
       CASE WHEN seq < events OR r.closed_at IS NULL THEN seq - 1 END, CASE WHEN seq > 1 THEN 'step ' || seq END,
       CASE WHEN r.status = 'failed' AND seq = events THEN json_build_object('name', r.error_name, 'message', r.error_message)::text
            ELSE json_build_object('order', seq, 'filler', repeat('x', 60))::text END,
       CASE WHEN seq > 1 THEN '{"causes":"' || seq - 2 || '","where":"order.ts:' || seq || '"}' END, r.created_at + seq * interval '1 s'
  FROM ids n JOIN stet_store.runs r ON r.run_id = n.run_id, LATERAL (SELECT 3 + n.n % 8 AS events) e, LATERAL generate_series(1, events) seq
 WHERE n.n % 10 < 3;

INSERT INTO stet_store.runs (run_id, id, workflow, version, queue, status, claim, created_at, started_at, closed_at)
SELECT run_id, 'long', 'workflow-00', 3, 'queue-0', 'completed', 1, now(), now(), now() FROM (SELECT ${runId('now()', "'long'")} AS run_id) l;
INSERT INTO stet_store.history (run_id, seq, type, op, name, payload, facts, at)
SELECT r.run_id, n, CASE n WHEN 1 THEN 'RunStarted' WHEN 10002 THEN 'RunCompleted' ELSE 'StepCompleted' END, CASE WHEN n = 1 THEN 0 WHEN n < 10002 THEN n - 1 END,
       CASE WHEN n BETWEEN 2 AND 10001 THEN 'item' END, CASE WHEN n % 100 = 0 THEN to_json(repeat('y', 5000))::text ELSE '{"n":' || n || '}' END,
       CASE WHEN n BETWEEN 2 AND 10001 THEN '{"causes":"' || CASE WHEN n % 10 = 2 THEN greatest(0, n - 12) ELSE n - 2 END || '","nth":' || n - 1 || ',"where":"order.ts:7"}' END, now()
  FROM stet_store.runs r, generate_series(1, 10002) n WHERE r.id = 'long';

INSERT INTO stet_store.audit (at, actor, role, action, run_id, id)
SELECT r.at, 'otto', 'operate', 'cancel', r.run_id, 'order-' || r.n FROM ids r WHERE r.n % 10 = 0 ORDER BY r.n;

-- A hundred workflows and steps, each with something in each minute of two days.
INSERT INTO stet_store.stats (seconds, at, workflow, version, step, started, completed, failed, cancelled, terminated, continued, blocked, retried, duration, delay)
SELECT 60, date_bin('1 minute', now(), timestamptz '2000-01-01 00:00:00+00') - m * interval '1 minute', 'workflow-' || lpad((k / 5)::text, 2, '0'), 3,
       CASE WHEN k % 5 = 0 THEN '' ELSE 'step ' || k % 5 END, CASE WHEN k % 5 = 0 THEN 12 ELSE 0 END, 11, 1, 0, 0, 0, 0, 2,
       ('[' || 20 + k || ':' || 25 + k || ']={3,1,' || m % 7 || ',0,2,1}')::int[], '[0:4]={5,2,1,0,1}'::int[]
  FROM generate_series(0, 2 * 1440 - 1) m, generate_series(0, 99) k;
`

const runId = (at: string, seed: string) =>
  `'run_' || lpad(stet_store.base36((extract(epoch FROM ${at}) * 1000)::bigint), 9, '0') || substr(md5(${seed}), 1, 14)`

/** Thirty days of them, the last a moment ago. */
const ids = (count: number) => /* sql */ `
CREATE UNLOGGED TABLE ids AS
SELECT n, at, ${runId('at', 'n::text')} AS run_id
  FROM (SELECT n, now() - (${count} - n) * interval '30 days' / ${count} AS at FROM generate_series(1, ${count}) n) t;
CREATE UNIQUE INDEX ON ids (n);
ANALYZE ids`

const rounds = 20
const token = 'of-the-bench-and-of-no-other'
const goalMs = 50

export async function million(server: BenchServer, count = 1_000_000): Promise<void> {
  const url = await server.database()
  await fillMillion(url, count)
  await askMillion(url)
}

/** Makes the runs, in a database that is empty. */
export async function fillMillion(url: string, count: number): Promise<void> {
  const stet = new Stet({ url })
  await stet.migrate()
  const { store } = await stet.internals<Store>()
  const client = new pg.Client(url)
  await client.connect()
  const began = performance.now()
  await client.query(ids(count))
  await client.query(fill(count))
  // A worker does so every ten minutes, all of its life.
  while ((await store.rollUpStats()) > 0);
  for (const table of ['runs', 'history', 'stats', 'audit', 'workers']) {
    await client.query(`VACUUM ANALYZE stet_store.${table}`)
  }
  await client.query('CHECKPOINT')
  report('a million runs: s to fill', ((performance.now() - began) / 1_000).toFixed(0))
  await client.end()
  await stet.close()
}

/** Asks for every page, and reports what its statements took. */
export async function askMillion(url: string): Promise<void> {
  const client = new pg.Client(url)
  await client.connect()
  const { rows } = await client.query(
    `SELECT (SELECT run_id FROM ids ORDER BY n OFFSET (SELECT count(*) / 2 FROM ids) LIMIT 1) AS middle,
            (SELECT parent_run_id FROM stet_store.runs WHERE parent_run_id IS NOT NULL ORDER BY run_id DESC LIMIT 1) AS parent`,
  )
  const { middle, parent } = rows[0]
  await client.end()

  const stet = new Stet({ url })
  const { store } = await stet.internals<Store & { db: { query(query: Query): Promise<unknown> } }>()
  const { query } = store.db
  let statements: number[] = []
  store.db.query = async (given) => {
    const began = performance.now()
    try {
      return await query.call(store.db, given)
    } finally {
      statements.push(performance.now() - began)
    }
  }
  const dashboard = createDashboard(stet, { tokens: { [token]: 'admin' } })
  const day = (n: number) => new Date(Date.now() - n * 86_400_000).toISOString()
  const json = (value: unknown) => encodeURIComponent(JSON.stringify(value))
  const paths = [
    '/api/runs',
    '/api/runs?limit=200',
    `/api/runs?limit=200&after=${middle}`,
    ...['pending', 'running', 'waiting', 'paused', 'blocked', 'completed', 'failed', 'cancelled', 'continued'].map(
      (status) => `/api/runs?status=${status}`,
    ),
    '/api/runs?status=pending,running,waiting,paused,blocked',
    '/api/runs?status=failed,cancelled,terminated',
    '/api/runs?workflow=workflow-00',
    '/api/runs?workflow=workflow-19',
    '/api/runs?workflow=workflow-07&version=1',
    '/api/runs?workflow=workflow-07&status=failed',
    '/api/runs?workflow=workflow-07&version=2&status=failed,blocked',
    '/api/runs?workflow=nothing',
    '/api/runs?queue=queue-3',
    '/api/runs?queue=queue-3&status=failed',
    '/api/runs?queue=nothing',
    '/api/runs?queue=nothing&workflow=workflow-00',
    '/api/runs?version=1',
    '/api/runs?version=9',
    `/api/runs?attributes=${json({ customer: 'c-77' })}`,
    `/api/runs?attributes=${json({ region: 'eu' })}`,
    `/api/runs?attributes=${json({ region: 'eu', vip: true })}&status=failed`,
    `/api/runs?attributes=${json({ customer: 'nobody' })}`,
    `/api/runs?attributes=${json({})}`,
    '/api/runs?error=timed%20out',
    '/api/runs?error=service-7%20failed',
    '/api/runs?error=nothing%20like%20it',
    '/api/runs?error=nothing%20like%20it&status=failed&workflow=workflow-03',
    `/api/runs?startedAfter=${day(1)}`,
    `/api/runs?startedBefore=${day(20)}`,
    `/api/runs?startedAfter=${day(20)}&startedBefore=${day(19)}&status=failed`,
    `/api/runs?startedAfter=${day(20)}&startedBefore=${day(19)}&workflow=workflow-07&queue=queue-1`,
    '/api/counts',
    '/api/workflows',
    '/api/versions',
    '/api/versions?workflow=workflow-00',
    '/api/workers',
    '/api/queues',
    '/api/audit',
    `/api/audit?runId=${middle}`,
    `/api/runs/${middle}/summary`,
    '/api/runs/long/summary',
    '/api/runs/long/history?limit=1000&brief=1',
    '/api/runs/long/history?limit=1000&brief=1&after=9000',
    `/api/runs/${parent}/children`,
    `/api/runs/${middle}/forks`,
    `/api/runs/${middle}/why`,
  ]
  // Something that might have changed what is shown: no answer is shared with the round before.
  const forget = () =>
    dashboard.fetch(
      new Request('http://localhost:4400/api/session', {
        method: 'DELETE',
        headers: { 'content-type': 'application/json', authorization: `Bearer ${token}` },
        body: '{}',
      }),
    )
  for (const path of paths) {
    const sql: number[] = []
    const whole: number[] = []
    let count = 0
    // The first two plan, and bring pages in.
    for (let round = -2; round < rounds; round++) {
      await forget()
      statements = []
      const began = performance.now()
      const response = await dashboard.fetch(
        new Request(`http://localhost:4400${path}`, { headers: { authorization: `Bearer ${token}` } }),
      )
      const text = await response.text()
      if (response.status === 404 && !path.includes('/long/')) break
      if (response.status !== 200) throw new Error(`${path}: ${response.status} ${text.slice(0, 300)}`)
      if (round < 0) continue
      whole.push(performance.now() - began)
      sql.push(Math.max(...statements))
      count = statements.length
    }
    if (sql.length === 0) continue
    const p50 = percentile(sql, 0.5)
    const shown = decodeURIComponent(path.replace(middle, '…').replace(parent, '…')).replace('/api/', '')
    const figures = `${p50.toFixed(1)} (${Math.max(...sql).toFixed(1)}; ${percentile(whole, 0.5).toFixed(1)})`
    report(`${shown.slice(0, 60)}: ${count}`, figures, p50 / goalMs, { atMost: 1 })
  }
  await others(stet, store)
  await dashboard.close()
  await stet.close()
}

/** What is asked once for all who look: by the feed with 20 tabs open, for charts, for metrics. */
async function others(stet: Stet, store: Store): Promise<void> {
  const { runId } = await stet.run('long').describe()
  const asked: [string, () => Promise<unknown>][] = [
    [
      'feed: rows of 20 runs and the newest',
      async () =>
        store.rows(
          (await store.rows([], 20)).map((row) => row.runId),
          50,
        ),
    ],
    ['feed: 2,000 events in brief', () => store.eventsAfter([{ runId, after: 0, maxPayload: 2_048 }], 2_000)],
    [
      'feed: 100 events of 20 places',
      () =>
        store.eventsAfter(
          Array.from({ length: 20 }, (_, i) => ({ runId, after: i * 400 })),
          100,
        ),
    ],
    ['feed: counts', () => store.countRuns()],
    // Its route gives one answer to all who ask within some seconds.
    ['stats of an hour', () => stet.stats({ since: '1h' })],
    ['stats of a day', () => stet.stats({ since: '24h' })],
    ['chart of a day, one workflow: hours', () => stet.stats({ since: '24h', every: '1h', workflow: 'workflow-03' })],
    [
      'chart of six hours, one workflow: 5 minutes',
      () => stet.stats({ since: '6h', every: '5m', workflow: 'workflow-03' }),
    ],
    [
      'stats of a day, one workflow by version',
      () => stet.stats({ since: '24h', workflow: 'workflow-03', by: 'version' }),
    ],
    ['what is ready, for metrics', () => store.backlog()],
  ]
  for (const [what, ask] of asked) {
    const times: number[] = []
    for (let round = -2; round < rounds; round++) {
      const began = performance.now()
      await ask()
      if (round >= 0) times.push(performance.now() - began)
    }
    const p50 = percentile(times, 0.5)
    report(what, `${p50.toFixed(1)} (${Math.max(...times).toFixed(1)})`, p50 / goalMs, { atMost: 1 })
  }
}
