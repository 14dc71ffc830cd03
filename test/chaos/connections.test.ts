/** Connections that are few, killed, deaf, or lost between a commit and its answer. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { newRunId } from '../../src/core/ids.js'
import { Stet } from '../../src/index.js'
import { createPostgresStore } from '../../src/store/postgres/store.js'
import { request } from '../store/scene.js'
import { long, Observer, pause, prepare, type WorkerProcessOptions, Workers } from '../support/harness.js'
import { violations } from '../support/invariants.js'
import { CuttingProxy } from '../support/proxy.js'
import { testDatabase } from '../support/server.js'

describe('connections', async () => {
  const { url } = await testDatabase()
  const observer = new Observer(url)

  beforeAll(() => prepare(url))
  afterAll(() => observer.close())

  async function withWorkers(
    count: number,
    options: Partial<WorkerProcessOptions>,
    play: (workers: Workers) => Promise<void>,
  ): Promise<void> {
    const workers = new Workers({ url, ...options })
    try {
      await workers.spawnReady(count)
      await play(workers)
      expect(workers.all.map(({ alive }) => alive)).toEqual(workers.all.map(() => true))
      expect(await violations(observer.query)).toEqual([])
    } finally {
      await workers.end()
    }
  }

  /** Runs with everything in them: steps, short and long sleeps, a signal; and a cancelled one and a terminated one. */
  async function everything(stet: Stet, count: number): Promise<void> {
    const runs = await Promise.all(
      Array.from({ length: count }, (_, i) =>
        stet.start('work', { steps: 4, stepMs: 5, sleepMs: i % 5 === 0 ? 1_100 : 20, signal: true }),
      ),
    )
    const [cancelled, terminated, early] = await Promise.all([
      stet.start('work', { steps: 2, signal: true }),
      stet.start('work', { steps: 2, signal: true }),
      stet.start('work', { steps: 1 }, { delay: '1h' }),
    ])
    await Promise.all([
      ...runs.map((run, i) => run.signal('go', i)),
      cancelled.cancel(),
      terminated.terminate(),
      early.cancel(),
    ])
    expect(await Promise.all(runs.map((run) => run.result({ timeout: '40s' })))).toEqual(runs.map((_, i) => 10 + i))
    for (const run of [cancelled, early]) {
      await expect(run.result({ timeout: '20s' })).rejects.toMatchObject({ code: 'run_cancelled' })
    }
    await expect(terminated.result({ timeout: '20s' })).rejects.toMatchObject({ code: 'run_terminated' })
  }

  it(
    'one connection is enough, for the worker and for the client',
    () =>
      withWorkers(1, { poolSize: 1 }, async () => {
        await using stet = new Stet({ url, poolSize: 1 })
        await everything(stet, 40)
      }),
    60_000,
  )

  it("with one connection nobody's statement gets into another's transaction", async () => {
    const store = createPostgresStore({ url, poolSize: 1 })
    const nobodys = (runId: string) => request({ runId, workflow: 'nobody', queue: 'nobody', payload: null })
    const closed = newRunId()
    await store.start([nobodys(closed)])
    const runIds = Array.from({ length: 100 }, () => newRunId())
    // Transactions that come to nothing, with starts in the middle of them: a start that is in one is undone with it.
    const failing: Promise<unknown>[] = []
    const starting: Promise<unknown>[] = [store.closeUnowned(closed, 'terminate', null)]
    for (const runId of runIds) {
      const transaction = store.db.transaction(async (query) => {
        await query({ text: 'SELECT pg_sleep(0.003)' })
        throw new Error('no')
      })
      failing.push(transaction.catch(() => {}))
      await pause(2)
      starting.push(store.start([nobodys(runId)]))
    }
    await Promise.all([...failing, ...starting])
    const there = await observer.one('SELECT count(*)::int FROM stet_store.runs WHERE run_id = ANY($1)', [runIds])
    expect(there).toBe(runIds.length)
    await store.close()
    await observer.query(
      "DELETE FROM stet_store.history WHERE run_id IN (SELECT run_id FROM stet_store.runs WHERE workflow = 'nobody')",
    )
    await observer.query("DELETE FROM stet_store.runs WHERE workflow = 'nobody'")
  })

  it(
    'all sessions terminated again and again: everything finishes, no process ends',
    () =>
      withWorkers(2, {}, async () => {
        await using stet = new Stet({ url })
        let over = false
        let killed = 0
        const killing = (async () => {
          const end = performance.now() + (long ? 120_000 : 4_000)
          while (!over || performance.now() < end) {
            killed += await observer.one<number>(
              `SELECT count(pg_terminate_backend(pid))::int FROM pg_stat_activity
              WHERE datname = current_database() AND application_name = 'stet'`,
            )
            await pause(200)
            if (performance.now() > end) break
          }
        })()
        const rounds = long ? 20 : 1
        for (let round = 0; round < rounds; round++) {
          const runs = await Promise.all(
            Array.from({ length: 20 }, () => stet.start('work', { steps: 8, stepMs: 10, sleepMs: 20, signal: true })),
          )
          await Promise.all(runs.map((run, i) => run.signal('go', i)))
          expect(await Promise.all(runs.map((run) => run.result({ timeout: '60s' })))).toEqual(
            runs.map((_, i) => 36 + i),
          )
        }
        over = true
        await killing
        expect(killed).toBeGreaterThan(50)
        await everything(stet, 5)
      }),
    240_000,
  )

  it('without any notification polling finishes the runs', async () => {
    const proxy = await CuttingProxy.open(url)
    proxy.loseNotifications()
    try {
      await withWorkers(1, { url: proxy.url, ledger: url, worker: { beatMs: 300, leaseMs: 5_000 } }, async () => {
        await using stet = new Stet({ url })
        const began = performance.now()
        await everything(stet, 10)
        expect(performance.now() - began).toBeLessThan(20_000)
      })
    } finally {
      await proxy.close()
    }
  }, 60_000)

  it('64 starts of one id at once, by 8 clients: one run', async () => {
    const clients = Array.from({ length: 8 }, () => new Stet({ url }))
    const rounds = long ? 50 : 5
    for (let round = 0; round < rounds; round++) {
      const handles = await Promise.all(
        clients.flatMap((stet) =>
          Array.from({ length: 8 }, () => stet.start('work', { steps: 1 }, { id: `one ${round}`, delay: '1h' })),
        ),
      )
      expect(new Set(handles.map(({ runId }) => runId)).size).toBe(1)
      expect(await observer.one('SELECT count(*)::int FROM stet_store.runs WHERE id = $1', [`one ${round}`])).toBe(1)
      await handles[0]!.cancel()
    }
    await Promise.all(clients.map((stet) => stet.close()))
  })

  it('a connection lost between the commit and its answer: nothing is doubled, nothing is lost', async () => {
    const proxy = await CuttingProxy.open(url)
    const statements = [
      ...['stet_start_fresh', 'stet_start_named', 'stet_post', 'stet_claim'],
      ...['stet_append', 'stet_append_inbox', 'stet_change'],
    ]
    try {
      await withWorkers(1, { url: proxy.url, ledger: url, worker: { beatMs: 300, leaseMs: 5_000 } }, async () => {
        await using stet = new Stet({ url: proxy.url })
        await stet.migrate()
        const rounds = long ? 20 : 1
        for (let round = 0; round < rounds; round++) {
          for (const statement of statements) proxy.cutAfter(statement, 3)
          const runs = await Promise.all(
            Array.from({ length: 12 }, (_, i) =>
              stet.start(
                'work',
                { steps: 4, stepMs: 5, sleepMs: 15, signal: true },
                i % 2 === 0 ? {} : { id: `cut ${round} ${i}` },
              ),
            ),
          )
          for (const [i, run] of runs.entries()) await run.signal('go', i)
          expect(await Promise.all(runs.map((run) => run.result({ timeout: '40s' })))).toEqual(
            runs.map((_, i) => 10 + i),
          )
        }
        // Each statement was hit, else this proves nothing.
        expect([...proxy.cuts.keys()].sort()).toEqual([...statements].sort())
        // One signal was sent to each run, and one was accepted.
        expect(
          await observer.one(
            "SELECT count(*)::int FROM stet_store.runs WHERE msgs <> 1 AND (id LIKE 'cut %' OR created_at > now() - interval '1 hour') AND workflow = 'work' AND status = 'completed' AND msgs > 1",
          ),
        ).toBe(0)
        console.info('cut', Object.fromEntries(proxy.cuts))
      })
    } finally {
      await proxy.close()
    }
  }, 120_000)
})
