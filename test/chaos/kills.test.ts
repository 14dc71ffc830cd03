/** Worker processes killed, stopped and starved, on a server that waits for the disk. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Stet } from '../../src/index.js'
import {
  type DurableServer,
  durableServer,
  eventually,
  long,
  Observer,
  pause,
  seeded,
  type WorkerProcessOptions,
  Workers,
} from '../support/harness.js'
import { violations } from '../support/invariants.js'

describe('killed workers', () => {
  let server: DurableServer

  beforeAll(async () => {
    server = await durableServer()
  })
  afterAll(() => server?.remove())

  it('20 runs of 36 steps outlive 15 kills: right values, no step again, no signal lost', async () => {
    const kills = long ? 60 : 15
    const url = await server.database('kills')
    const observer = new Observer(url)
    const workers = new Workers({ url })
    await using stet = new Stet({ url })
    try {
      await workers.keepSpares(4)
      let two = [workers.replace(), workers.replace()]
      await Promise.all(two.map(({ ready }) => ready))
      const began = performance.now()
      const runs = await Promise.all(Array.from({ length: 20 }, (_, i) => stet.start('thirty-six', i)))
      const random = seeded(20)
      const signals = runs.map(async (run, i) => {
        await pause(random() * kills * 900 * 0.9)
        await run.signal('go', 1_000 * i)
      })
      for (let kill = 0; kill < kills; kill++) {
        await pause(900)
        const victim = two[kill % 2]!
        await victim.kill()
        two = two.map((worker) => (worker === victim ? workers.replace() : worker))
      }
      await Promise.all(signals)
      const results = await Promise.all(runs.map((run) => run.result({ timeout: 45_000 })))
      const took = performance.now() - began
      expect(results).toEqual(runs.map((_, i) => i + 666 + 1_000 * i))
      expect(took).toBeLessThan(long ? 180_000 : 60_000)
      expect(await violations(observer.query)).toEqual([])
      // The step that fails twice was allowed to, and its failures are on record once each.
      expect(await observer.one("SELECT count(*)::int FROM stet_store.history WHERE type = 'AttemptFailed'")).toBe(40)
      expect(await observer.one("SELECT count(*)::int FROM stet_store.history WHERE type = 'SignalReceived'")).toBe(20)
      expect(await observer.one('SELECT count(*)::int FROM stet_store.inbox')).toBe(0)
      // Not because nothing was hit: steps that were under way at a kill did begin twice, and runs changed hands.
      expect(await observer.one('SELECT min(claim) FROM stet_store.runs')).toBeGreaterThan(1)
      console.info(`20 runs, ${kills} kills: ${Math.round(took)} ms`, {
        begunTwice: await observer.one(
          "SELECT count(*)::int FROM (SELECT FROM chaos.ledger WHERE phase = 'begin' GROUP BY run_id, op, attempt HAVING count(*) > 1) x",
        ),
      })
    } finally {
      await workers.end()
      await observer.close()
    }
  }, 240_000)

  /** A database of its own with worker processes, and all of it gone afterwards. */
  async function scene(
    name: string,
    options: Omit<WorkerProcessOptions, 'url'>,
    play: (scene: { url: string; stet: Stet; observer: Observer; workers: Workers }) => Promise<void>,
  ): Promise<void> {
    const url = await server.database(name)
    const observer = new Observer(url)
    const workers = new Workers({ url, ...options })
    const stet = new Stet({ url })
    try {
      await play({ url, stet, observer, workers })
    } finally {
      await workers.end()
      await stet.close()
      await observer.close()
    }
  }

  it(
    'a run that kills its process is blocked after five claims, the others finish, and it can be resumed',
    () =>
      scene('poison', {}, async ({ stet, observer, workers }) => {
        await workers.keepSpares(3)
        let over = false
        const keepUp = async () => {
          while (!over) {
            const worker = workers.replace()
            await worker.ended
          }
        }
        const keeping = keepUp()
        const sting = await stet.start('poison', undefined)
        const others = await Promise.all(
          Array.from({ length: 30 }, () => stet.start('work', { steps: 6, stepMs: 30, sleepMs: 20 })),
        )
        await eventually('the run is blocked', async () => (await sting.describe()).status === 'blocked', 60_000)
        expect(await Promise.all(others.map((run) => run.result({ timeout: '40s' })))).toEqual(others.map(() => 21))
        const row = (
          await observer.query('SELECT claim, problem FROM stet_store.runs WHERE run_id = $1', [sting.runId])
        ).rows[0]
        expect(row.claim).toBeLessThanOrEqual(5)
        expect(JSON.parse(row.problem).code).toBe('crash_loop')
        expect(await violations(observer.query)).toEqual([])

        await observer.query("INSERT INTO chaos.ledger (phase) VALUES ('antidote')")
        await sting.resume()
        expect(await sting.result({ timeout: '20s' })).toBe('survived')
        over = true
        await workers.end()
        await keeping
      }),
    120_000,
  )

  it(
    'a worker stopped for longer than its lease is refused when it wakes, and goes on under another id',
    () =>
      scene('stopped', { worker: { leaseMs: 2_000, beatMs: 400 } }, async ({ stet, observer, workers }) => {
        // Few slots: bodies that wait for one would begin when the process wakes, though they were carried out elsewhere.
        const [first] = await workers.spawnReady(1, {
          worker: { leaseMs: 2_000, beatMs: 400, concurrency: { steps: 5 } },
        })
        const runs = await Promise.all([
          ...Array.from({ length: 10 }, () => stet.start('work', { steps: 30, stepMs: 40 })),
          stet.start('fan', 60),
        ])
        const done = () =>
          observer.one<number>("SELECT count(*)::int FROM stet_store.history WHERE type = 'StepCompleted'")
        await eventually('steps are done', async () => (await done()) > 10)
        const former = await observer.one<string>('SELECT id FROM stet_store.workers')
        first!.child.kill('SIGSTOP')
        await workers.spawnReady(1)
        await eventually(
          'the other took over',
          async () => (await observer.query('SELECT FROM stet_store.workers WHERE id = $1', [former])).rowCount === 0,
        )
        const atTakeover = await done()
        await eventually('the other gets on', async () => (await done()) > atTakeover + 70)
        first!.child.kill('SIGCONT')
        await eventually('it is there again under another id', async () =>
          observer
            .query('SELECT FROM stet_store.workers WHERE pid = $1 AND id <> $2', [first!.child.pid, former])
            .then(({ rowCount }) => rowCount === 1),
        )
        const results = await Promise.all(runs.map((run) => run.result({ timeout: '30s' })))
        expect(results).toEqual([...Array.from({ length: 10 }, () => 465), 60])
        expect(first!.alive).toBe(true)
        expect(first!.said).toContain('lost its lease')
        // It is of use again.
        await workers.all[1]!.kill()
        expect(await (await stet.start('work', { steps: 1 })).result({ timeout: '20s' })).toBe(1)
        expect(await violations(observer.query)).toEqual([])
      }),
    90_000,
  )

  it(
    'a rolling restart strands no run and repeats no step; a kill in the middle of it does no harm either',
    () =>
      scene('drain', {}, async ({ stet, observer, workers }) => {
        await workers.keepSpares(3)
        let two = [workers.replace(), workers.replace()]
        await Promise.all(two.map(({ ready }) => ready))
        const load = () =>
          Promise.all(Array.from({ length: 30 }, () => stet.start('work', { steps: 14, stepMs: 40, sleepMs: 15 })))
        const gentle = await load()
        for (let i = 0; i < 2; i++) {
          await pause(300)
          const next = workers.replace()
          await next.ready
          const old = two[0]!
          await old.kill('SIGTERM')
          expect(await old.ended).toEqual({ code: 0, signal: null })
          two = [two[1]!, next]
        }
        expect(await Promise.all(gentle.map((run) => run.result({ timeout: '40s' })))).toEqual(gentle.map(() => 105))
        const begunTwice = () =>
          observer.one<number>(
            "SELECT count(*)::int FROM (SELECT FROM chaos.ledger WHERE phase = 'begin' GROUP BY run_id, op HAVING count(*) > 1) x",
          )
        // Steps that ran were waited for, so not even those that had no result yet ran twice.
        expect(await begunTwice()).toBe(0)

        const rough = await load()
        for (const grace of [0, 100]) {
          await pause(300)
          const next = workers.replace()
          await next.ready
          two[0]!.child.kill('SIGTERM')
          await pause(grace)
          await two[0]!.kill('SIGKILL')
          two = [two[1]!, next]
        }
        expect(await Promise.all(rough.map((run) => run.result({ timeout: '40s' })))).toEqual(rough.map(() => 105))
        expect(await violations(observer.query)).toEqual([])
      }),
    120_000,
  )

  it(
    'SIGKILL of Postgres under load: what was acknowledged is there, and the workers finish without help',
    () =>
      scene('crashes', {}, async ({ stet, observer, workers }) => {
        const crew = await workers.spawnReady(2)
        const acknowledged: { runId: string; signal?: number }[] = []
        let loading = true
        let refused = 0
        // Clients that go on whatever happens; what was not acknowledged is not counted.
        const client = async (n: number) => {
          for (let i = 0; loading; i++) {
            try {
              const run = await stet.start(
                'work',
                { steps: 4, stepMs: 10, sleepMs: 10, signal: true },
                { id: `${n}-${i}` },
              )
              const entry: (typeof acknowledged)[number] = { runId: run.runId }
              acknowledged.push(entry)
              await run.signal('go', 1_000 + i)
              entry.signal = 1_000 + i
            } catch {
              refused++
            }
            await pause(20)
          }
        }
        const clients = Array.from({ length: 4 }, (_, n) => client(n))
        const seen = new Map<string, string>()
        const crashes = long ? 20 : 3
        for (let i = 0; i < crashes; i++) {
          await pause(1_000)
          const { rows } = await observer.query(
            "SELECT run_id, seq, md5(concat_ws('|', type, op, name, payload, at)) AS sum FROM stet_store.history",
          )
          for (const { run_id, seq, sum } of rows) seen.set(`${run_id} ${seq}`, sum)
          await (i % 2 === 0 ? server.kill() : server.crash())
          await pause(300)
          await server.start()
        }
        loading = false
        await Promise.all(clients)
        for (const entry of acknowledged) {
          // One whose signal was not acknowledged may have it all the same.
          const { runId, signal } = entry
          const row = await stet.run(runId).describe()
          if (signal === undefined && row.status !== 'completed')
            await stet.run(runId).signal('go', 7, { messageId: 'late' })
        }
        const results = await Promise.all(acknowledged.map(({ runId }) => stet.run(runId).result({ timeout: '40s' })))
        results.forEach((result, i) => {
          const { signal } = acknowledged[i]!
          if (signal !== undefined) expect(result).toBe(10 + signal)
        })
        expect(new Set(acknowledged.map(({ runId }) => runId)).size).toBe(acknowledged.length)
        expect(acknowledged.length).toBeGreaterThan(20)
        // What an observer had read of a history before a crash is word for word what is there now.
        const { rows } = await observer.query(
          "SELECT run_id, seq, md5(concat_ws('|', type, op, name, payload, at)) AS sum FROM stet_store.history",
        )
        const now = new Map(rows.map(({ run_id, seq, sum }) => [`${run_id} ${seq}`, sum]))
        for (const [key, sum] of seen) expect(now.get(key)).toBe(sum)
        expect(seen.size).toBeGreaterThan(50)
        expect(crew.every(({ alive }) => alive)).toBe(true)
        expect(await violations(observer.query)).toEqual([])
        console.info(
          `${acknowledged.length} runs, ${crashes} crashes, ${seen.size} events seen, ${refused} calls refused`,
        )
      }),
    240_000,
  )
})
