/** Flow control: what a claim behind limits costs as lines grow, and how long one waits behind the backlog of another. */
import pg from 'pg'
import { Stet } from 'stet'
import { createPostgresStore } from '../src/store/postgres/store.js'
import { median, percentile, report } from './measure.js'
import type { BenchServer } from './server.js'
import { tenants } from './workflows.js'

const lanes = { queues: ['default'], workflows: [{ name: 'tenants', version: 1 }] }
const how = { suspects: false, aged: false }

/** Starts runs in one statement, as many for each of the keys. */
async function fill(url: string, runs: number, keys: number): Promise<void> {
  const client = new pg.Client(url)
  await client.connect()
  await client.query(
    `SELECT stet.start('tenants', json_build_object('tenant', 'tenant-' || i % $2), version => 1) FROM generate_series(1, $1) i`,
    [runs, keys],
  )
  await client.query('ANALYZE stet_store.runs')
  await client.end()
}

/** Claims ten and gives nothing back, so that lines close one after the other; then ends them, so that they open again. */
async function claims(server: BenchServer, runs: number, keys: number): Promise<number[]> {
  const url = await server.database()
  const store = createPostgresStore({ url })
  await store.migrate()
  const lease = await new Promise<{ stop(): Promise<void> }>((resolve) => {
    const held = store.holdLease({ id: 'bench', pid: 1, host: 'here', ...lanes }, 600_000, 60_000, {
      registered: () => resolve(held),
      beat: () => {},
      fenced: () => {},
      dead: () => {},
      failed: (message) => console.error(message),
    })
  })
  await store.setLimit(
    { scope: 'workflow', name: 'tenants', key: 'tenant' },
    { bounds: { concurrency: 2, rate: null } },
  )
  await fill(url, runs, keys)
  // All are put into line first.
  for (let left = runs; left > 0; left -= 200) await store.claimInLine('bench', lanes, 0, how)
  const times: number[] = []
  for (let round = 0; round < 100; round++) {
    const began = performance.now()
    const { runs: claimed } = await store.claimInLine('bench', lanes, 10, how)
    times.push(performance.now() - began)
    const closing = { status: 'completed', seen: null, due: null, waits: null, problem: null, error: null } as const
    const terminal = { seq: 2, type: 'RunCompleted', payload: null, facts: null } as const
    await store.change(
      'bench',
      claimed.map(({ runId, claim }) => ({
        ...{ runId, claim, ...closing, terminal, hasParent: false, hasChildren: false, successor: null },
      })),
    )
  }
  await lease.stop()
  await store.close()
  return times
}

export async function flow(
  server: BenchServer,
  startWorker: (url: string) => Promise<{ kill(): unknown }>,
): Promise<void> {
  for (const [runs, keys] of [
    [1_000, 10],
    [100_000, 10],
    [100_000, 1_000],
  ] as const) {
    const times = await claims(server, runs, keys)
    report(
      `claim of ten, ${runs.toLocaleString('en-US')} queued, ${keys.toLocaleString('en-US')} keys`,
      `p50 ${median(times).toFixed(1)} ms, p95 ${percentile(times, 0.95).toFixed(1)} ms`,
    )
  }
  const url = await server.database()
  await using stet = new Stet({ url })
  await stet.migrate()
  const worker = await startWorker(url)
  await fill(url, 100_000, 1)
  const waits: number[] = []
  for (let i = 0; i < 5; i++) {
    const began = performance.now()
    await (await stet.start(tenants, { tenant: `small-${i}` })).result()
    waits.push(performance.now() - began)
  }
  const left = (await stet.limits.list())[0]!
  worker.kill()
  report(
    'one run of another tenant behind 100,000',
    `start to result ${waits.map((ms) => `${ms.toFixed(0)} ms`).join(', ')}; ${left.queued > 1_000 ? 'more than 1,000' : left.queued} still queued`,
  )
}
