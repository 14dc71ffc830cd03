/** Worker processes killed, stopped and starved, on a server that waits for the disk. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Stet } from '../../src/index.js'
import { type DurableServer, durableServer, eventually, long, Observer, pause, seeded, Workers } from '../support/harness.js'
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
        const t0 = new Date().toISOString().slice(17, 23)
        await victim.kill()
        console.info('kill', t0, victim.child.pid)
        two = two.map((worker) => (worker === victim ? workers.replace() : worker))
        for (const w of two) w.ready.then(() => console.info('ready', new Date().toISOString().slice(17, 23), w.child.pid), () => {})
      }
      await Promise.all(signals)
      const results = await Promise.all(runs.map((run) => run.result({ timeout: 45_000 })))
      const took = performance.now() - began
      console.info(
        (await observer.query("SELECT date_trunc('second', at)::time s, count(*)::int n, count(*) filter (where type='StepCompleted')::int c FROM stet_store.history GROUP BY 1 ORDER BY 1")).rows.map((r) => `${r.s} ${r.n} ${r.c}`).join('\n'),
        (await observer.query("SELECT claim, crashes, count(*) FROM stet_store.runs GROUP BY 1,2")).rows, (await observer.query("SELECT pid, min(at)::time, max(at)::time, count(*) FROM chaos.ledger GROUP BY 1 order by 2")).rows,
        workers.all.map((w) => w.said).join('|').slice(0, 6000)
      )
      expect(results).toEqual(runs.map((_, i) => i + 666 + 1_000 * i))
      expect(took).toBeLessThan(long ? 180_000 : 60_000)
      expect(await violations(observer.query)).toEqual([])
      // The step that fails twice was allowed to, and its failures are on record once each.
      expect(await observer.one("SELECT count(*)::int FROM stet_store.history WHERE type = 'AttemptFailed'")).toBe(40)
      expect(await observer.one("SELECT count(*)::int FROM stet_store.history WHERE type = 'SignalReceived'")).toBe(20)
      expect(await observer.one('SELECT count(*)::int FROM stet_store.inbox')).toBe(0)
      // Not because nothing was hit: steps that were under way at a kill did begin twice, and runs changed hands.
      expect(await observer.one('SELECT max(claim) FROM stet_store.runs')).toBeGreaterThan(3)
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
})
void eventually
