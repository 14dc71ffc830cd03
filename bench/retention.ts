/**
 * What claims feel of retention: half a million closed runs are deleted by workers while these take up new ones. The claim
 * is timed as the worker sends it, and what it means for a run is read from its row: from its start to its first claim.
 */
import pg from 'pg'
import { type Hints, Hints as HintsOf } from '../src/hints/hints.js'
import { Stet } from '../src/stet.js'
import type { Store } from '../src/store/port.js'
import { allOrphans } from '../src/store/postgres/retention.js'
import type { PostgresStore } from '../src/store/postgres/store.js'
import { WorkerLoop } from '../src/worker/worker.js'
import { pause, percentile, report } from './measure.js'
import type { BenchServer } from './server.js'
import { oneStep } from './workflows.js'

const everyMs = 15
const beforeMs = 30_000

const fill = (count: number) => /* sql */ `
SET synchronous_commit = off;
INSERT INTO stet_store.runs (run_id, id, workflow, version, queue, status, claim, msgs, seen, created_at, started_at, closed_at)
SELECT 'run_' || lpad(stet_store.base36((extract(epoch FROM at) * 1000)::bigint), 9, '0') || substr(md5(n::text), 1, 14), 'old-' || n, 'old ' || n % 10, 1, 'default',
       CASE WHEN n % 10 = 0 THEN 'failed' ELSE 'completed' END, 1, 1, 1, at, at, at + interval '2 s'
  FROM generate_series(1, ${count}) n, LATERAL (SELECT now() - interval '60 days' + n * interval '1 s' AS at) a;
INSERT INTO stet_store.history (run_id, seq, type, op, name, payload, facts, at)
SELECT run_id, seq, CASE seq WHEN 1 THEN 'RunStarted' WHEN 5 THEN 'RunCompleted' ELSE 'StepCompleted' END, seq - 1, 'step', '"' || repeat('x', 120) || '"', '{"causes":"0"}', created_at
  FROM stet_store.runs, generate_series(1, 5) seq WHERE workflow LIKE 'old %';
INSERT INTO stet_store.message_ids SELECT run_id, 'm' FROM stet_store.runs WHERE workflow LIKE 'old %' AND id LIKE '%0';
INSERT INTO stet_store.inbox (run_id, n, kind, name, at) SELECT run_id, 1, 'signal', 'unread', now() FROM stet_store.runs WHERE workflow LIKE 'old %' AND id LIKE '%0'`

export async function retention(server: BenchServer, count = 500_000): Promise<void> {
  const url = await server.database()
  const stet = new Stet({ url })
  await stet.migrate()
  const client = new pg.Client(url)
  await client.connect()
  await client.query(fill(count))
  for (const table of ['runs', 'history', 'inbox', 'message_ids'])
    await client.query(`VACUUM ANALYZE stet_store.${table}`)
  await client.query('CHECKPOINT')
  const { store } = await stet.internals<PostgresStore>()
  let claims: number[] = []
  const timed: Store = {
    ...store,
    claim: async (...args) => {
      const began = performance.now()
      const found = await store.claim(...args)
      claims.push(performance.now() - began)
      return found
    },
  }
  const hints: Hints[] = []
  const log = { debug() {}, info() {}, warn: console.warn, error: console.error }
  const workers = [0, 1].map(() => {
    const own = new HintsOf(timed)
    hints.push(own)
    return new WorkerLoop(timed, own, log, { workflows: { oneStep } })
  })
  for (const worker of workers) await worker.start()
  const runIds: string[] = []
  let over = false
  const load = (async () => {
    for (; !over; await pause(everyMs)) runIds.push((await stet.start(oneStep as never)).runId)
  })()
  const figures = async (): Promise<{ claim: number; delay: number; n: number }> => {
    const taken = claims.splice(0)
    const ids = runIds.splice(0)
    const { rows } = await client.query(
      `SELECT extract(epoch FROM started_at - created_at) * 1000 AS ms FROM stet_store.runs WHERE run_id = ANY ($1) AND started_at IS NOT NULL`,
      [ids],
    )
    return {
      claim: percentile(taken, 0.99),
      delay: percentile(
        rows.map(({ ms }) => Number(ms)),
        0.99,
      ),
      n: taken.length,
    }
  }
  await pause(3_000)
  claims = []
  runIds.splice(0)
  await pause(beforeMs)
  const before = await figures()
  await stet.retention.set({ completed: '1d', failed: '2d' })

  const old = async () =>
    (await client.query(`SELECT count(*)::int AS n FROM stet_store.runs WHERE workflow LIKE 'old %'`)).rows[0].n
  let left = await old()
  while (left === (await old())) await pause(500)
  claims.splice(0)
  runIds.splice(0)
  const began = performance.now()
  const parts: { claim: number; delay: number; n: number }[] = []
  for (; left > 0; left = await old()) {
    await pause(5_000)
    parts.push(await figures())
  }
  const took = performance.now() - began
  over = true
  await load
  for (const worker of workers) await worker.stop()
  const { orphans } = await allOrphans(store.db, 600_000)
  const worst = (key: 'claim' | 'delay') => Math.max(...parts.map((part) => part[key]))
  const middle = (key: 'claim' | 'delay') =>
    percentile(
      parts.map((part) => part[key]),
      0.5,
    )
  report(`retention: ${count} runs deleted, s`, (took / 1_000).toFixed(0))
  report('retention: runs deleted a second', (count / (took / 1_000)).toFixed(0))
  report('claim, p99 ms before', `${before.claim.toFixed(1)} (of ${before.n})`)
  report(
    'claim, p99 ms meanwhile (worst of 5 s)',
    `${middle('claim').toFixed(1)} (${worst('claim').toFixed(1)})`,
    middle('claim') / before.claim,
    { atMost: 2 },
  )
  report('start to claim, p99 ms before', before.delay.toFixed(1))
  report(
    'start to claim, p99 ms meanwhile (worst)',
    `${middle('delay').toFixed(1)} (${worst('delay').toFixed(1)})`,
    middle('delay') / Math.max(1, before.delay),
    { atMost: 2 },
  )
  report('orphans', String(orphans.length), orphans.length, { atMost: 0 })
  for (const own of hints) await own.close()
  await client.end()
  await stet.close()
}
