/** Workers that are restarted one after another, and a Postgres that is killed, on a server that waits for the disk. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type DurableServer, durableServer, long, pause, scene } from '../support/harness.js'
import { violations } from '../support/invariants.js'

describe('restarts and crashes', () => {
  let server: DurableServer

  beforeAll(async () => {
    server = await durableServer()
  })
  afterAll(() => server?.remove())

  it(
    'a rolling restart strands no run and repeats no step; a kill in the middle of it does no harm either',
    () =>
      scene(server, 'drain', {}, async ({ stet, observer, workers }) => {
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
      scene(server, 'crashes', {}, async ({ stet, observer, workers }) => {
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
