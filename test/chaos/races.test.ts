/**
 * Whatever can come at the same moment, in both orders: each race is run often enough to see both, and the outcome of
 * every single run is checked. Workers and clients are processes of their own.
 */
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import { replay } from '../../src/core/replay.js'
import { installRuntime } from '../../src/core/runtime.js'
import { compareOutcome } from '../../src/core/verify.js'
import { definitions } from '../../src/core/workflow.js'
import { type Handle, type HistoryEvent, Stet } from '../../src/index.js'
import { createPostgresStore } from '../../src/store/postgres/store.js'
import {
  type Call,
  ClientProcess,
  eventually,
  long,
  Observer,
  pause,
  prepare,
  seeded,
  type WorkerProcess,
  Workers,
} from '../support/harness.js'
import { violations } from '../support/invariants.js'
import { testDatabase } from '../support/server.js'
import * as workflows from './workflows.js'

/** How often, in the suite and in the long variant. */
const times = (short: number, more: number) => (long ? more : short)

/** Rounds: at least so many, and on until both orders were seen, within bounds. */
function* rounds(atLeast: number, seenBoth: () => boolean): Generator<number> {
  for (let round = 0; round < atLeast || (round < 8 * atLeast && !seenBoth()); round++) yield round
}

const upTo = (n: number) => Array.from({ length: n }, (_, i) => i)

/** Two workers that can be killed one at a time: another takes the place at once. */
class Pair {
  readonly workers: Workers
  readonly #two: WorkerProcess[] = []
  #turn = 0

  constructor(workers: Workers) {
    this.workers = workers
  }

  async begin(): Promise<void> {
    await this.workers.keepSpares(3)
    this.#two.push(this.workers.replace(), this.workers.replace())
    await Promise.all(this.#two.map(({ ready }) => ready))
  }

  /** Those that are alive. */
  get two(): readonly WorkerProcess[] {
    return this.#two
  }

  /** Sees to it that one that has ended is replaced. */
  async mend(): Promise<void> {
    for (const [i, worker] of this.#two.entries()) if (!worker.alive) this.#two[i] = this.workers.replace()
    await Promise.all(this.#two.map(({ ready }) => ready))
  }

  async kill(): Promise<void> {
    await this.#two[this.#turn++ % 2]!.kill()
    await this.mend()
  }

  /** Kills one after another until what is going on is over; at least so many. */
  async killDuring(goingOn: Promise<unknown>, atLeast: number, everyMs: number): Promise<number> {
    let over = false
    void goingOn
      .finally(() => {
        over = true
      })
      .catch(() => {})
    let kills = 0
    while (!over || kills < atLeast) {
      await pause(everyMs)
      if (over && kills >= atLeast) break
      await this.kill()
      kills++
    }
    return kills
  }
}

describe('races', { timeout: long ? 900_000 : 120_000 }, async () => {
  const { url } = await testDatabase()
  const observer = new Observer(url)
  const workers = new Workers({ url })
  const pair = new Pair(workers)
  const clients: ClientProcess[] = []
  let stet: Stet

  beforeAll(async () => {
    await prepare(url)
    await observer.query('CREATE TABLE chaos.paid (run_id text, pid int)')
    stet = new Stet({ url })
    clients.push(...upTo(4).map(() => new ClientProcess({ url })))
    await Promise.all([pair.begin(), ...clients.map(({ ready }) => ready)])
  })
  afterAll(async () => {
    await Promise.all(clients.map((client) => client.kill()))
    await workers.end()
    await stet.close()
    await observer.close()
  })

  /** What an earlier test has found is told once. */
  const found = new Set<string>()
  async function sound(): Promise<void> {
    const all = await violations(observer.query, { transactions: ['pay'], withdrawing: ['patient'] })
    const news = all.filter(({ check, run }) => !found.has(`${check} ${run}`))
    for (const { check, run } of news) found.add(`${check} ${run}`)
    expect(news).toEqual([])
  }

  /** How a run ended, once it has: what its result, its row and its history say, which must be one and the same. */
  async function end(
    run: Pick<Handle<any>, 'runId'>,
  ): Promise<{ status: string; value: any; history: HistoryEvent[] }> {
    const handle = stet.run(run.runId)
    const result = await handle.result({ timeout: '20s' }).then(
      (value) => ({ status: 'completed', value }),
      (error) => ({ status: String(error.code).replace('run_', ''), value: error }),
    )
    if (result.status === 'timeout') throw new Error(`${result.value.message}\n${await told(run.runId)}`)
    const [{ status }, history] = await Promise.all([handle.describe(), handle.history()])
    expect(status).toBe(result.status)
    expect(history.at(-1)!.type.toLowerCase()).toBe(`run${status}`)
    return { ...result, history }
  }

  async function told(runId: string): Promise<string> {
    const { rows } = await observer.query(
      `SELECT status, owner, claim, msgs, seen, due, waits, problem,
              (SELECT json_agg(json_build_array(seq, type, op, name) ORDER BY seq) FROM stet_store.history h WHERE h.run_id = r.run_id) AS history,
              (SELECT json_agg(json_build_array(n, kind, name)) FROM stet_store.inbox i WHERE i.run_id = r.run_id) AS inbox
         FROM stet_store.runs r WHERE run_id = $1 OR parent_run_id = $1`,
      [runId],
    )
    return rows.map((row) => JSON.stringify(row)).join('\n')
  }

  /** What came of a cancel: null, or the code of its refusal. */
  const cancelled = (run: Handle<any>) =>
    run.cancel().then(
      () => null,
      (error) => error.code as string,
    )

  it('a cancel against the last step: completed or cancelled, and all agree on it', async () => {
    const random = seeded(1)
    const seen = { cancelled: 0, completed: 0, 'completed, cancel accepted': 0, 'completed, cancel refused': 0 }
    // When to cancel, after the step began: moved to where both happen.
    let aim = 25
    for (const _ of rounds(times(6, 60), () => Math.min(seen.cancelled, seen.completed) > 5)) {
      await Promise.all(
        upTo(20).map(async () => {
          const run = await stet.start('brink', 60)
          await workers.said(`last ${run.runId}`)
          await pause(aim - 8 + random() * 16)
          const refused = await cancelled(run)
          expect([null, 'run_closed']).toContain(refused)
          const { status, value, history } = await end(run)
          const types = history.map(({ type }) => type)
          expect(types.filter((type) => type === 'CancelRequested').length).toBeLessThanOrEqual(1)
          if (status === 'completed') {
            expect(value).toBe('done')
            expect(types).toContain('StepCompleted')
            seen[refused === null ? 'completed, cancel accepted' : 'completed, cancel refused']++
          } else {
            expect(status).toBe('cancelled')
            expect(refused).toBe(null)
            expect(types).toContain('CancelRequested')
          }
          seen[status as 'cancelled' | 'completed']++
          aim = Math.max(0, aim + (status === 'cancelled' ? 1 : -1))
        }),
      )
    }
    console.info('cancel against complete', seen)
    expect(Math.min(seen.cancelled, seen.completed)).toBeGreaterThan(5)
    await sound()
  })

  /** Starts a run in a transaction of its own, so that workers do not hear of it. */
  async function startUnheard(name: string, input: unknown): Promise<Handle<any>> {
    const tx = await observer.client()
    try {
      await tx.query('BEGIN')
      const run = await stet.start(name, input, { tx })
      await tx.query('COMMIT')
      return run
    } finally {
      tx.release()
    }
  }

  it('a cancel against the claim: a run that was cancelled before it began has done nothing', async () => {
    const random = seeded(2)
    const seen = { 'never began': 0, began: 0, completed: 0 }
    for (const _ of rounds(times(10, 100), () => Math.min(seen['never began'], seen.began) > 3)) {
      await Promise.all(
        upTo(10).map(async () => {
          const run = await startUnheard('work', { steps: 2, stepMs: 10 })
          const hint = pause(random() * 10).then(() => observer.query("SELECT pg_notify('stet', 'rdefault')"))
          await pause(random() * 10)
          const refused = await cancelled(run)
          await hint
          expect([null, 'run_closed']).toContain(refused)
          const { status, history } = await end(run)
          const { startedAt } = await run.describe()
          const neverBegan = history.at(-1)!.data?.neverBegan === true
          if (neverBegan) {
            expect(history.map(({ type }) => type)).toEqual(['RunStarted', 'CancelRequested', 'RunCancelled'])
            expect(startedAt).toBe(undefined)
            expect(await observer.one('SELECT count(*)::int FROM chaos.ledger WHERE run_id = $1', [run.runId])).toBe(0)
          } else {
            expect(startedAt).toBeInstanceOf(Date)
          }
          if (status === 'completed') expect(history.filter(({ type }) => type === 'StepCompleted')).toHaveLength(2)
          seen[neverBegan ? 'never began' : status === 'completed' ? 'completed' : 'began']++
        }),
      )
    }
    console.info('cancel against claim', seen)
    expect(seen['never began']).toBeGreaterThan(3)
    expect(seen.began).toBeGreaterThan(3)
    await sound()
  })

  it('a cancel against the starting of children: none is left open, each is named, each that is named is there', async () => {
    const random = seeded(3)
    const children = 6
    const seen: Record<number, number> = {}
    for (const _ of rounds(times(5, 50), () => seen[0] !== undefined && Object.keys(seen).length > 3)) {
      await Promise.all(
        upTo(16).map(async (i) => {
          const run = await stet.start('brood', { children, together: i % 2 === 0 })
          await workers.said(`first ${run.runId}`)
          await pause(random() * (i % 2 === 0 ? 15 : 80))
          await run.cancel()
          const { status, history } = await end(run)
          expect(status).toBe('cancelled')
          const named = history.flatMap(({ type, data }) => (type === 'ChildStarted' ? [data.runId] : []))
          const there = () =>
            observer.query('SELECT run_id, status, closed_at FROM stet_store.runs WHERE parent_run_id = $1', [
              run.runId,
            ])
          expect((await there()).rows.map((row) => row.run_id).sort()).toEqual(named.sort())
          await eventually(`the children of ${run.runId} are closed`, async () =>
            (await there()).rows.every((row) => row.closed_at !== null),
          )
          expect((await there()).rows.every((row) => row.status === 'cancelled')).toBe(true)
          seen[named.length] = (seen[named.length] ?? 0) + 1
        }),
      )
    }
    console.info('children started when the cancel came: runs', seen)
    // Before the first, after the last of the turn, and somewhere in between.
    expect(Object.keys(seen).length).toBeGreaterThan(3)
    expect(seen[0]).toBeGreaterThan(0)
    await sound()
  })

  it('a cancel while a child asks for an id that another run has: the other run is left alone', async () => {
    const random = seeded(33)
    const other = await stet.start('nap', undefined, { id: 'taken' })
    const seen: Record<string, number> = {}
    for (const _ of rounds(times(4, 40), () => Object.keys(seen).length === 2)) {
      await Promise.all(
        upTo(16).map(async () => {
          const run = await stet.start('namesake', 'taken')
          await workers.said(`first ${run.runId}`)
          await pause(random() * 12)
          await cancelled(run)
          const { status } = await end(run)
          seen[status] = (seen[status] ?? 0) + 1
        }),
      )
    }
    console.info('cancel against the conflict of ids', seen)
    expect(Object.keys(seen).sort()).toEqual(['cancelled', 'failed'])
    expect((await other.history()).map(({ type }) => type)).not.toContain('CancelRequested')
    expect((await other.describe()).status).toBe('waiting')
    await other.terminate()
    await sound()
  })

  it.each(['wait', 'scope'] as const)(
    'a signal against the timeout of its %s: one of both, none lost',
    async (timeoutOf) => {
      const random = seeded(4)
      // One that holds runs in memory, and one that parks them at each wait.
      const [parking] = await workers.spawnReady(1, { worker: { holdMs: 0 } })
      onTestFinished(() => parking!.kill())
      const timeoutMs = 40
      const waits = times(12, 100)
      const seen = { signal: 0, timeout: 0 }
      await Promise.all(
        upTo(16).map(async () => {
          const run = await stet.start('patient', { waits, timeoutMs, timeoutOf })
          for (let i = 0; i < waits; i++) {
            await workers.said(`armed ${run.runId} ${i}`)
            await pause(timeoutMs - 10 + random() * 20)
            await run.signal('ping', i)
          }
          const { value, history } = await end(run)
          // In the order in which they were sent, each once.
          expect(value.filter((n: number | null) => n !== null)).toEqual(upTo(waits))
          const taken = history.filter(({ type, data }) => type === 'SignalReceived' && data.again === undefined)
          expect(taken).toHaveLength(waits)
          const late = value.slice(0, waits).filter((n: number | null) => n === null).length
          seen.signal += waits - late
          seen.timeout += late
        }),
      )
      console.info(`signal against the timeout of its ${timeoutOf}`, seen)
      expect(Math.min(seen.signal, seen.timeout)).toBeGreaterThan(0)
      await sound()
    },
  )

  it.each(['existing', 'new'] as const)(
    '64 starts of one id at once, by 4 processes, if closed %s: one run, and all are given it',
    async (ifClosed) => {
      for (let round = 0; round < times(8, 80); round++) {
        // The run that had the id before has closed.
        const id = ifClosed === 'new' ? 'one' : `one ${round}`
        const call: Call = ['start', 'work', { steps: 1, stepMs: 10_000 }, { id, ifClosed }]
        const at = Date.now() + 30
        const answers = (
          await Promise.all(
            clients.map((client) =>
              client.call(
                upTo(16).map(() => call),
                { at },
              ),
            ),
          )
        ).flat()
        expect(answers.filter(({ ok }) => !ok)).toEqual([])
        const runIds = new Set(answers.map((answer) => answer.ok && answer.value))
        expect(runIds.size).toBe(1)
        expect(await observer.one('SELECT count(*)::int FROM stet_store.runs WHERE id = $1', [id])).toBe(
          ifClosed === 'new' ? round + 1 : 1,
        )
        await stet.run(id).cancel()
        expect((await end({ runId: [...runIds][0] })).status).toBe('cancelled')
      }
      await sound()
    },
  )

  it('64 children that finish at one instant, and one of their two workers is killed: the parent gets all results', async () => {
    const children = 64
    const random = seeded(6)
    const options = { worker: { queues: ['crowd'], concurrency: { runs: 40, steps: 100 } } }
    const crew = new Workers({ url, ...options })
    const finished: number[] = []
    try {
      await crew.spawnReady(2)
      for (let round = 0; round < times(3, 30); round++) {
        const two = crew.all.filter(({ alive }) => alive)
        const until = `crowd ${round}`
        const run = await stet.start('crowd', { children, until }, { queue: 'crowd' })
        await eventually('all children run, on both workers', async () => {
          const { rows } = await observer.query(
            'SELECT owner, count(*)::int FROM stet_store.runs WHERE parent_run_id = $1 AND owner IS NOT NULL GROUP BY owner',
            [run.runId],
          )
          return rows.length === 2 && rows[0].count + rows[1].count === children
        })
        const another = crew.spawn()
        await observer.query('INSERT INTO chaos.ledger (phase) VALUES ($1)', [until])
        await pause(random() * 60)
        await two[round % 2]!.kill()
        finished.push(
          await observer.one(
            "SELECT count(*)::int FROM stet_store.runs WHERE parent_run_id = $1 AND status = 'completed'",
            [run.runId],
          ),
        )
        const { value, history } = await end(run)
        expect(value).toEqual(upTo(children))
        expect(history.filter(({ type }) => type === 'ChildCompleted')).toHaveLength(children)
        await another.ready
      }
    } finally {
      await crew.end()
    }
    console.info(`children that had finished when a worker was killed: ${finished.join(', ')}`)
    expect(finished.some((n) => n < children)).toBe(true)
    await sound()
  })

  it('signal-with-start from 16 clients while runs close: each that was accepted is in one run, once', async () => {
    const seen = { accepted: 0, heard: 0, 'left unread by the run that closed': 0, runs: 0 }
    const refused: unknown[] = []
    const quota = 6
    for (let round = 0; round < times(4, 40); round++) {
      const id = `session ${round}`
      const at = Date.now() + 30
      const accepted = new Map<string, string>()
      await Promise.all(
        upTo(16).map(async (client) => {
          const words = upTo(12).map((n) => `${round} ${client} ${n}`)
          const answers = await clients[client % 4]!.call(
            words.map((word) => ['signalWithStart', 'session', quota, 'say', word, { id, ifClosed: 'new' }]),
            { at, order: 'inTurn', pauseMs: 150 },
          )
          answers.forEach((answer, n) => {
            if (answer.ok) accepted.set(words[n]!, answer.value)
            else refused.push(answer)
          })
        }),
      )
      // All runs but the last close by themselves; that one is given what it lacks.
      const filler: string[] = []
      while ((await stet.run(id).describe()).closedAt === undefined) {
        const word = `filler ${filler.length}`
        const sent = await stet
          .run(id)
          .signal('say', word)
          .then(
            () => true,
            (error) => expect(error.code).toBe('run_closed') as never,
          )
        if (sent) filler.push(word)
        await pause(10)
      }
      const { rows } = await observer.query(
        `SELECT x.run_id, x.payload, x.unread FROM stet_store.runs r, LATERAL (
           SELECT run_id, payload, false AS unread FROM stet_store.history WHERE run_id = r.run_id AND type = 'SignalReceived'
           UNION ALL SELECT run_id, payload, true FROM stet_store.inbox WHERE run_id = r.run_id AND kind = 'signal') x
          WHERE r.id = $1`,
        [id],
      )
      const found = rows.map((row) => ({ word: JSON.parse(row.payload), runId: row.run_id, unread: row.unread }))
      const ours = found.filter(({ word }) => !word.startsWith('filler'))
      expect(ours.map(({ word, runId }) => `${word} ${runId}`).sort()).toEqual(
        [...accepted].map(([word, runId]) => `${word} ${runId}`).sort(),
      )
      // What a run heard is what its result says, and it heard no more than it wanted.
      for (const runId of new Set(found.map(({ runId }) => runId))) {
        const { value } = await end({ runId })
        const heard = found.filter((each) => each.runId === runId && !each.unread).map(({ word }) => word)
        expect([...value].sort()).toEqual(heard.sort())
        expect(value).toHaveLength(quota)
        seen.runs++
      }
      seen.accepted += accepted.size
      seen.heard += ours.filter(({ unread }) => !unread).length
      seen['left unread by the run that closed'] += ours.filter(({ unread }) => unread).length
    }
    // From the end of its last step to its close, while others hold its row one after another.
    const slowest = await observer.one<number>(
      `SELECT max(extract(epoch FROM c.at - s.at) * 1000)::int FROM stet_store.history c
         JOIN stet_store.history s ON s.run_id = c.run_id AND s.type = 'StepCompleted' AND s.name = 'good-bye'
        WHERE c.type = 'RunCompleted'`,
    )
    console.info('signal with start', seen, `${refused.length} refused, the slowest close took ${slowest} ms`)
    expect(slowest).toBeLessThan(20_000)
    // With ifClosed 'new' there is always a run that takes it.
    expect(refused).toEqual([])
    expect(seen.runs).toBeGreaterThan(times(8, 80))
    await sound()
  })

  it('a process killed around the commit of a transaction step: its rows are there once, and the run goes on', async () => {
    const seen = { 'before the commit': 0, 'between the commit and the record': 0, 'after the record': 0 }
    const deaths = [
      { dies: 'before the commit', ballast: false },
      { dies: 'after the commit', ballast: true },
      { dies: 'after the commit', ballast: false },
    ] as const
    for (const round of rounds(times(5, 60), () => seen['between the commit and the record'] > 0)) {
      const death = deaths[round % 3]!
      const lives = { dies: 'never', ballast: false }
      const runs = await Promise.all(upTo(9).map((i) => stet.start('payer', i === 4 ? death : lives)))
      await Promise.race(workers.all.filter(({ alive }) => alive).map(({ ended }) => ended))
      await pair.mend()
      for (const [i, run] of runs.entries()) {
        const { status, value } = await end(run)
        expect(status).toBe('completed')
        const { rows } = await observer.query('SELECT pid FROM chaos.paid WHERE run_id = $1', [run.runId])
        expect(rows).toEqual([{ pid: value }])
        if (i !== 4) continue
        if (death.dies === 'before the commit') {
          seen['before the commit']++
          continue
        }
        // Who recorded the step before the payment, and who the payment.
        const { rows: writers } = await observer.query(
          `SELECT name, split_part(batch, '.', 1) AS worker FROM stet_store.history
            WHERE run_id = $1 AND type = 'StepCompleted' AND name IN ('open', 'pay') ORDER BY seq`,
          [run.runId],
        )
        seen[writers[0].worker === writers[1].worker ? 'after the record' : 'between the commit and the record']++
      }
    }
    console.info('killed', seen)
    expect(seen['before the commit']).toBeGreaterThan(0)
    expect(seen['between the commit and the record']).toBeGreaterThan(0)
    await sound()
  })

  it('continueAsNew against a storm of signals while workers are killed: each is heard once, in the order of its sender', async () => {
    const perSender = times(50, 300)
    const runs = await Promise.all(
      upTo(3).map((i) =>
        stet.start('hopper', { heard: [], every: 1 + i * 3, total: 2 * perSender }, { id: `hopper ${i}` }),
      ),
    )
    const sending = Promise.all(
      runs.flatMap(({ id }) =>
        [0, 1].map((sender) =>
          clients[sender]!.call(
            upTo(perSender).map((n): Call => ['signal', id, 'word', { sender, n }]),
            { order: 'inTurn', againOn: 'run_closed' },
          ),
        ),
      ),
    )
    const heard = sending.then(() => Promise.all(runs.map((run) => run.result({ timeout: long ? '5m' : '40s' }))))
    const kills = await pair.killDuring(heard, times(4, 20), 400)
    const answers = (await sending).flat()
    expect(answers.filter(({ ok }) => !ok)).toEqual([])
    for (const all of (await heard) as { sender: number; n: number }[][]) {
      for (const sender of [0, 1]) {
        expect(all.filter((word) => word.sender === sender).map(({ n }) => n)).toEqual(upTo(perSender))
      }
    }
    const hops = await observer.one("SELECT count(*)::int FROM stet_store.runs WHERE workflow = 'hopper'")
    const refused = answers.reduce((sum, { tries }) => sum + tries - 1, 0)
    console.info(`${answers.length} signals over ${hops} runs, ${kills} kills, ${refused} refused and sent again`)
    // One that is sent by id goes to whichever run has it: that the one before has just continued is no reason to refuse.
    expect(refused).toBe(0)
    await sound()
  })

  it('updates with the same ids from two processes while workers are killed: one effect, one answer', async () => {
    const count = times(50, 400)
    const runs = await Promise.all(upTo(3).map(() => stet.start('tally', undefined)))
    const sending = Promise.all(
      runs.flatMap((run) =>
        [0, 1].map((sender) => {
          const calls = upTo(count).map((n): Call => ['update', run.runId, 'add', n, { messageId: `add ${n}` }])
          // One sends them one after another, the other all at once, so that both are first for some.
          return clients[sender]!.call(calls, { order: sender === 0 ? 'inTurn' : 'atOnce' })
        }),
      ),
    )
    const kills = await pair.killDuring(sending, times(3, 20), 400)
    const answers = await sending
    for (const [i, run] of runs.entries()) {
      await run.signal('stop')
      const { value, history } = await end(run)
      const expected = upTo(count).map((n) => value.indexOf(n) + 1)
      expect([...value].sort((a, b) => a - b)).toEqual(upTo(count))
      expect(answers[2 * i]!.map((answer) => answer.ok && answer.value)).toEqual(expected)
      expect(answers[2 * i + 1]!.map((answer) => answer.ok && answer.value)).toEqual(expected)
      expect(history.filter(({ type }) => type === 'UpdateReceived')).toHaveLength(count)
      expect(history.filter(({ type }) => type === 'UpdateCompleted')).toHaveLength(count)
    }
    console.info(`${3 * count} updates, each sent twice, ${kills} kills`)
    await sound()
  })

  it('versions: a run ends on the one that it began on, by one process with both and by two with one each', async () => {
    for (const layout of [
      [
        [1, 2],
        [1, 2],
      ],
      [[1], [2]],
    ]) {
      const crew = new Workers({ url })
      try {
        const [first] = await crew.spawnReady(1, { versions: [1] })
        // Starts by name, one after another, while version 2 comes up.
        const runs: Handle<any>[] = []
        let over = false
        const starting = (async () => {
          while (!over) {
            runs.push(await stet.start('versioned', undefined))
            await pause(50)
          }
        })()
        const next = await Promise.all(layout.map((versions) => crew.spawnReady(1, { versions })))
        const atOnce = runs.length
        await pause(100)
        await first!.kill()
        await pause(100)
        over = true
        await starting
        const has = (version: number) =>
          next.flatMap(([worker], i) => (layout[i]!.includes(version) ? [worker!.child.pid] : []))
        const both = runs.map(async (run, i) => {
          await run.signal('go')
          const { value } = await end(run)
          const { version } = await run.describe()
          expect(value).toMatchObject({ version, before: { version }, after: { version } })
          expect(has(version)).toContain(value.after.pid)
          if (i > atOnce) expect(version).toBe(2)
          return version
        })
        const versions = await Promise.all(both)
        expect(versions).toEqual([...versions].sort())
        expect(new Set(versions)).toEqual(new Set([1, 2]))
        console.info(`versions, ${JSON.stringify(layout)}: ${versions.join('')}`)
      } finally {
        await crew.end()
      }
    }
    await sound()
  })

  it('all of these runs come out the same when they are replayed', async () => {
    const known = new Map(
      definitions([
        ...Object.values(workflows).filter((each) => typeof each === 'object'),
        ...[1, 2].map(workflows.versioned),
      ] as any[]).map((definition) => [`${definition.name}@${definition.version}`, definition]),
    )
    installRuntime()
    const store = createPostgresStore({ url })
    try {
      const { rows } = await observer.query(
        'SELECT run_id, id, workflow, version, queue, status FROM stet_store.runs WHERE claim > 0',
      )
      for (const { run_id: runId, id, workflow, version, queue, status } of rows) {
        const events = await store.history(runId)
        const definition = known.get(`${workflow}@${version}`)!
        const { blockage, outcome, execution } = await replay(
          definition,
          { id, runId, workflow, version, queue },
          events,
        )
        execution.drop()
        if (blockage === null && (outcome === null || compareOutcome(outcome, events) === null)) continue
        throw new Error(
          `run ${runId} of ${workflow}, ${status}: ${JSON.stringify(blockage ?? outcome)}\n${await told(runId)}`,
        )
      }
      expect(rows.length).toBeGreaterThan(100)
    } finally {
      await store.close()
    }
  })
})
