/** Fences and wake-ups under storms. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { newId, newRunId } from '../../src/core/ids.js'
import { Stet } from '../../src/index.js'
import type { AppendEvent, ClaimedRun, WorkerLanes } from '../../src/store/port.js'
import { createPostgresStore, type PostgresStore } from '../../src/store/postgres/store.js'
import { request } from '../store/scene.js'
import { eventually, long, Observer, pause, prepare, seeded, Workers } from '../support/harness.js'
import { violations } from '../support/invariants.js'
import { type TestDatabase, testDatabase } from '../support/server.js'

/** One after another, workers own the same runs and write to them as fast as they can until they are refused. */
class Chain {
  readonly #store: PostgresStore
  readonly #taker: PostgresStore
  readonly #observer: Observer
  /** Of its own, so that chains do not claim each other's runs. */
  readonly #lanes: WorkerLanes = { queues: [newId('queue')], workflows: [{ name: 'storm', version: 1 }] }
  takeovers = 0
  refusals = 0
  appended = 0
  /** Events of a former owner that were not there when the new one had read the history. */
  late = 0
  /** Writes of the rightful owner that were refused. */
  wronged = 0

  constructor(url: string, observer: Observer) {
    this.#store = createPostgresStore({ url })
    this.#taker = createPostgresStore({ url })
    this.#observer = observer
  }

  async run(
    untilMs: number,
    random: () => number,
    takeOver = (id: string) => this.#taker.takeOver([id]) as Promise<unknown>,
  ) {
    const runIds = Array.from({ length: 40 }, () => newRunId())
    await this.#store.start(
      runIds.map((runId) => request({ runId, workflow: 'storm', queue: this.#lanes.queues[0]!, payload: null })),
    )
    let owner = await this.#register()
    let held = await this.#claim(owner, runIds.length)
    const seqs = new Map(held.map(({ runId }) => [runId, 1]))
    while (performance.now() < untilMs) {
      const fate = { over: false }
      const writing = this.#write(owner, held, new Map(seqs), fate)
      await pause(2 + random() * 20)
      const next = await this.#register()
      // Being taken over is no crash of the run here, and a writer may have been too slow to get on.
      await this.#observer.query('UPDATE stet_store.runs SET crashes = 0, crash_seq = 0 WHERE run_id = ANY($1)', [
        runIds,
      ])
      fate.over = true
      await takeOver(owner)
      held = await this.#claim(next, runIds.length)
      const loaded = await this.#taker.load(held.map(({ runId }) => runId))
      for (const [runId, { events }] of loaded) seqs.set(runId, events.length)
      await writing
      this.late += await this.#observer.one(
        `SELECT count(*)::int FROM stet_store.history h JOIN unnest($1::text[], $2::int[]) u(run_id, seen) USING (run_id)
          WHERE h.seq > u.seen`,
        [[...seqs.keys()], [...seqs.values()]],
      )
      this.takeovers++
      owner = next
    }
    // Given up for good: nobody is to count these as owned.
    await this.#taker.takeOver([owner])
    await this.#observer.query("UPDATE stet_store.runs SET status = 'blocked' WHERE run_id = ANY($1)", [runIds])
  }

  async close(): Promise<void> {
    await Promise.all([this.#store.close(), this.#taker.close()])
  }

  async #register(): Promise<string> {
    const id = newId('worker')
    await this.#observer.query(
      "INSERT INTO stet_store.workers (id, expires_at) VALUES ($1, clock_timestamp() + interval '1 hour')",
      [id],
    )
    return id
  }

  async #claim(owner: string, count: number): Promise<ClaimedRun[]> {
    const claimed: ClaimedRun[] = []
    while (claimed.length < count)
      claimed.push(
        ...(await this.#taker.claim(owner, this.#lanes, count - claimed.length, { suspects: false, aged: false })),
      )
    return claimed
  }

  async #write(owner: string, held: ClaimedRun[], seqs: Map<string, number>, fate: { over: boolean }): Promise<void> {
    for (;;) {
      const events = held.map(({ runId, claim }): AppendEvent => {
        const seq = seqs.get(runId)! + 1
        return {
          ...{ runId, claim, seq, firstSeq: seq, type: 'StepCompleted', op: seq - 1, name: 'unit', payload: '1' },
          ...{ facts: null, inboxN: null, child: null, answers: null },
        }
      })
      const { fenced, lost } = await this.#store.append(owner, newId('b'), events)
      if (fenced || lost.size > 0) {
        this.refusals++
        if (!fate.over) this.wronged++
        if (fenced) return
      }
      if (lost.size === held.length) return
      for (const { runId } of held) if (!lost.has(runId)) seqs.set(runId, seqs.get(runId)! + 1)
      this.appended += events.length - lost.size
    }
  }
}

function total(chains: readonly Chain[], what: 'takeovers' | 'appended' | 'refusals' | 'late' | 'wronged'): number {
  return chains.reduce((sum, chain) => sum + chain[what], 0)
}

describe('storms', async () => {
  const database: TestDatabase = await testDatabase()
  const observer = new Observer(database.url)

  beforeAll(() => prepare(database.url))
  afterAll(() => observer.close())

  /** Three chains side by side, each with new runs every half second, until it is enough. */
  async function storm(
    atMostMs: number,
    enough: (chains: Chain[]) => boolean,
    takeOver?: (id: string) => Promise<unknown>,
  ): Promise<Record<'takeovers' | 'appended' | 'refusals' | 'late' | 'wronged', number>> {
    const chains = Array.from({ length: 3 }, () => new Chain(database.url, observer))
    const until = performance.now() + atMostMs
    await Promise.all(
      chains.map(async (chain, i) => {
        const random = seeded(i)
        while (performance.now() < until && !enough(chains)) await chain.run(performance.now() + 500, random, takeOver)
      }),
    )
    await Promise.all(chains.map((chain) => chain.close()))
    return {
      takeovers: total(chains, 'takeovers'),
      appended: total(chains, 'appended'),
      refusals: total(chains, 'refusals'),
      late: total(chains, 'late'),
      wronged: total(chains, 'wronged'),
    }
  }

  it('takeovers of live writers: nothing of a former owner lands once the next has read', async () => {
    const wanted = long ? 5_000 : 220
    const chain = await storm(long ? 300_000 : 60_000, (chains) => total(chains, 'takeovers') >= wanted)
    console.info(`${chain.takeovers} takeovers, ${chain.appended} events, ${chain.refusals} writes refused`)
    expect(chain.late).toBe(0)
    expect(chain.wronged).toBe(0)
    expect(chain.takeovers).toBeGreaterThanOrEqual(200)
    expect(chain.refusals).toBeGreaterThan(0)
    expect(await violations(observer.query, { ledger: false })).toEqual([])
  }, 330_000)

  it('the storm would tell: without the fence events of former owners land late', async () => {
    // What a takeover would be that only changes the owner.
    const unfenced = (id: string) =>
      observer.query(
        "UPDATE stet_store.runs SET owner = NULL, status = 'pending', due = clock_timestamp() WHERE owner = $1",
        [id],
      )
    // An append that takes its time is on its way more often than not.
    await observer.query(
      `CREATE FUNCTION take_time() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(0.02); RETURN NULL; END'`,
    )
    await observer.query('CREATE TRIGGER slow AFTER INSERT ON stet_store.history EXECUTE FUNCTION take_time()')
    const chain = await storm(40_000, (chains) => total(chains, 'late') > 0, unfenced)
    await observer.query('DROP FUNCTION take_time CASCADE')
    expect(chain.late).toBeGreaterThan(0)
    await observer.query('TRUNCATE stet_store.runs, stet_store.history, stet_store.workers')
  }, 60_000)

  it('signals against parking: each is heard once, in the order of its sender, and no run sleeps through one', async () => {
    // Beats are far apart: a wake-up that is lost is not made good by a sweep.
    const workers = new Workers({ url: database.url, worker: { leaseMs: 100_000, beatMs: 60_000 } })
    const senders = Array.from({ length: 5 }, () => new Stet({ url: database.url }))
    try {
      await workers.spawnReady(2)
      const words = 50
      const random = seeded(5)
      const runs = await Promise.all(
        Array.from({ length: long ? 100 : 16 }, () => senders[0]!.start('listener', words)),
      )
      await Promise.all(
        runs.map(async (run, i) => {
          const handles = senders.map((stet) => stet.run(run.runId))
          const word = (sender: number, n: number) => handles[sender]!.signal('word', { sender, n })
          const perSender = words / senders.length
          if (i % 2 === 0) {
            // At full speed, all senders at once.
            const all = handles.map(async (_, sender) => {
              for (let n = 0; n < perSender; n++) await word(sender, n)
            })
            await Promise.all(all)
            return
          }
          // About when the run parks.
          for (let n = 0; n < perSender; n++) {
            for (let sender = 0; sender < senders.length; sender++) {
              await word(sender, n)
              await pause(random() * 100)
            }
          }
        }),
      )
      const heard = (await Promise.all(runs.map((run) => run.result({ timeout: '20s' })))) as {
        sender: number
        n: number
      }[][]
      for (const all of heard) {
        for (let sender = 0; sender < senders.length; sender++) {
          const own = all.filter((word) => word.sender === sender).map(({ n }) => n)
          expect(own).toEqual(Array.from({ length: words / senders.length }, (_, n) => n))
        }
      }
      // Runs did park and were woken, else this was about something else.
      const claims = await observer.one<number>(
        "SELECT sum(claim)::int FROM stet_store.runs WHERE workflow = 'listener'",
      )
      console.info(`${runs.length * words} signals, ${claims} claims`)
      expect(claims).toBeGreaterThan(runs.length * 3)
      expect(await violations(observer.query)).toEqual([])
    } finally {
      await Promise.all(senders.map((stet) => stet.close()))
      await workers.end()
    }
  }, 120_000)

  it('an open transaction that has signalled, cancelled or started delays no other run', async () => {
    const workers = new Workers({ url: database.url, worker: { beatMs: 500 } })
    await using stet = new Stet({ url: database.url })
    const clients = await Promise.all([observer.client(), observer.client()])
    const [tx, undone] = clients
    try {
      await workers.spawnReady(1)
      const input = { steps: 2, stepMs: 5, signal: true }
      const [signalled, cancelled, rolledBack, sleeper] = await Promise.all([
        stet.start('work', input),
        stet.start('work', input),
        stet.start('work', input),
        stet.start('work', { steps: 2, sleepMs: 1_500 }),
      ])
      await eventually('the runs wait', async () => {
        const waiting = [signalled, cancelled, rolledBack, sleeper].map(async (run) => (await run.describe()).status)
        return (await Promise.all(waiting)).every((status) => status === 'waiting')
      })
      await tx.query('BEGIN')
      await tx.query("SELECT stet.signal($1, 'go', '10')", [signalled.runId])
      await tx.query("SELECT stet.cancel($1, 'no more')", [cancelled.runId])
      const started = (await tx.query(`SELECT stet.start('work', '{"steps":1}') AS run`)).rows[0].run
      await undone.query('BEGIN')
      await undone.query("SELECT stet.signal($1, 'go', '99')", [rolledBack.runId])
      // This one comes due while it is locked.
      await undone.query("SELECT stet.signal($1, 'nobody waits for this', '1')", [sleeper.runId])

      const others = await Promise.all(Array.from({ length: 100 }, () => stet.start('work', { steps: 3 })))
      // A client's own signals to the locked run and to others: only the first has to wait.
      const late = sleeper.signal('later', 1)
      const open = await stet.start('work', input)
      await open.signal('go', 1)
      const results = await Promise.all([...others, open].map((run) => run.result({ timeout: '15s' })))
      expect(results).toEqual([...others.map(() => 6), 4])

      // A run that is due and locked is no reason to ask the database over and over.
      await pause(1_500)
      const statements = () =>
        observer.one<number>('SELECT xact_commit::int FROM pg_stat_database WHERE datname = current_database()')
      await observer.query('SELECT pg_stat_clear_snapshot()')
      const before = await statements()
      await pause(2_500)
      expect((await statements()) - before).toBeLessThan(250)

      await tx.query('COMMIT')
      await undone.query('ROLLBACK')
      await late
      await rolledBack.signal('go', 20)
      expect(await signalled.result({ timeout: '10s' })).toBe(13)
      expect(await rolledBack.result({ timeout: '10s' })).toBe(23)
      expect(await sleeper.result({ timeout: '10s' })).toBe(3)
      expect(await stet.run(started).result({ timeout: '10s' })).toBe(1)
      await expect(cancelled.result({ timeout: '10s' })).rejects.toMatchObject({ code: 'run_cancelled' })
      expect(await violations(observer.query)).toEqual([])
    } finally {
      for (const client of clients) {
        await client.query('ROLLBACK')
        client.release()
      }
      await workers.end()
    }
  }, 60_000)
})
