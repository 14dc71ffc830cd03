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
  scene,
  seeded,
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
      const results = await Promise.all(runs.map((run) => run.result({ timeout: 45_000 }))).catch(async (error) => {
        throw new Error(`${error.message}\n${await openRuns(observer)}`)
      })
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

  it(
    'a run that kills its process is blocked after five claims, the others finish, and it can be resumed',
    () =>
      scene(server, 'poison', {}, async ({ stet, observer, workers }) => {
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
      scene(server, 'stopped', { worker: { leaseMs: 2_000, beatMs: 400 } }, async ({ stet, observer, workers }) => {
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
})

/** What stands in the database about the runs that have not closed. */
async function openRuns(observer: Observer): Promise<string> {
  const { rows } = await observer.query(
    `SELECT now(), r.run_id, status, owner, claim, crashes, crash_seq, msgs, seen, due, problem, waits,
            (SELECT json_agg(json_build_array(seq, type, op, name, at)) FROM
              (SELECT * FROM stet_store.history h WHERE h.run_id = r.run_id ORDER BY seq DESC LIMIT 3) h) AS last,
            (SELECT json_agg(w) FROM stet_store.workers w) AS workers
       FROM stet_store.runs r WHERE closed_at IS NULL`,
  )
  return rows.map((row) => JSON.stringify(row)).join('\n')
}
