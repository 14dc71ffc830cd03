/** What workers keep, against what the histories say that they did. */
import { describe, expect, test } from 'vitest'
import { type Ctx, type Handle, NonRetryableError, type StatsOptions, workflow } from '../../src/index.js'
import { Collector } from '../../src/observe/collector.js'
import { StatsKeeper } from '../../src/observe/keeper.js'
import { WorkerMeter } from '../../src/observe/meter.js'
import type { Store } from '../../src/store/port.js'
import { eventually, prepare, Workers } from '../support/harness.js'
import { gate, house, refusal } from '../support/house.js'
import { testDatabase } from '../support/server.js'

const quiet = { debug() {}, info() {}, warn() {}, error() {} }
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))

/** Nearest rank. */
function exact(values: readonly number[], p: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.max(1, Math.ceil(p * sorted.length)) - 1]!
}

function near(found: number | undefined, truth: number): void {
  expect(Math.abs(found! - truth), `${found} for ${truth}`).toBeLessThanOrEqual(truth * 0.05)
}

/** What the histories of these runs say, by step. */
async function recorded(runs: readonly Handle<unknown>[]) {
  const steps = new Map<string, { completed: number; failed: number; retried: number; durations: number[] }>()
  const closed = new Map<string, number>()
  const durations: number[] = []
  for (const run of runs) {
    const history = await run.history()
    const times = history.map(({ at }) => new Date(at).getTime())
    closed.set(history.at(-1)!.type, (closed.get(history.at(-1)!.type) ?? 0) + 1)
    durations.push(times.at(-1)! - times[0]!)
    for (const [i, { type, name, data }] of history.entries()) {
      if (type !== 'StepCompleted' && type !== 'StepFailed' && type !== 'AttemptFailed') continue
      const step = steps.get(name!) ?? { completed: 0, failed: 0, retried: 0, durations: [] }
      steps.set(name!, step)
      step[type === 'StepCompleted' ? 'completed' : type === 'StepFailed' ? 'failed' : 'retried']++
      if (type === 'StepCompleted') step.durations.push(times[i]! - Date.parse(data.began))
    }
  }
  return { steps, closed, durations }
}

describe('two workers', async () => {
  const { stet, work, db, reached } = await house()
  const flow = workflow('busy', async (ctx: Ctx<number>, n) => {
    await ctx.step('wait', () => pause((n % 7) * 40))
    await ctx.step('flaky', { retry: { initialInterval: 5, maxAttempts: 3 } }, ({ attempt }) => {
      if (attempt <= n % 3) throw new Error('not yet')
    })
    if (n % 5 === 0) {
      await ctx.step('break', { retry: false }, () => {
        throw new NonRetryableError('broken')
      })
    }
    if (n % 5 === 1) await ctx.continueAsNew(2)
    if (n % 5 === 3) await ctx.waitForSignal('go')
  })

  test('add up to what the histories say: counters exactly, percentiles within 5 %', async () => {
    const workers = [await work([flow], { concurrency: 10 }), await work([flow], { concurrency: 10 })]
    const runs = await Promise.all(Array.from({ length: 40 }, (_, n) => stet.start(flow, n, { id: `busy-${n}` })))
    for (const [n, run] of runs.entries()) {
      if (n % 5 !== 3) continue
      // One that is cancelled before a worker has had it is no worker's.
      await reached(run, 'waiting')
      await run.cancel()
    }
    await Promise.all(runs.map((run) => run.result().catch(() => {})))
    await Promise.all(workers.map((worker) => worker.stop()))
    const { rows } = await db.query(
      'SELECT run_id, extract(epoch FROM started_at - created_at) * 1000 AS delay, owner FROM stet_store.runs ORDER BY run_id',
    )
    expect(rows).toHaveLength(48)
    const truth = await recorded(rows.map(({ run_id }) => stet.run(run_id)))

    const stats = await stet.stats({ workflow: 'busy' })
    const [all] = stats.runs
    expect(stats.runs).toEqual([
      expect.objectContaining({
        workflow: 'busy',
        started: 48,
        completed: truth.closed.get('RunCompleted'),
        failed: 8,
        cancelled: truth.closed.get('RunCancelled'),
        continued: 8,
        terminated: 0,
        blocked: 0,
        failureRate: 8 / (8 + truth.closed.get('RunCompleted')!),
      }),
    ])
    expect(all!.perSecond * ((stats.to.getTime() - stats.from.getTime()) / 1_000)).toBeCloseTo(48, 6)
    for (const p of [50, 95, 99] as const) near(all!.durationMs![`p${p}`], exact(truth.durations, p / 100))
    // The claim knows the time; the worker that is told of it has an estimate, a round trip old: on a busy machine a long one.
    const delays = rows.map(({ delay }) => Number(delay))
    const off = all!.delayMs!.p50 - exact(delays, 0.5)
    expect(Math.abs(off)).toBeLessThan(exact(delays, 0.5) * 0.05 + 250)

    expect(stats.steps.map(({ step }) => step)).toEqual(['break', 'flaky', 'wait'])
    for (const { step, ...found } of stats.steps) {
      const { completed, failed, retried, durations } = truth.steps.get(step)!
      const attempts = completed + failed + retried
      expect(found).toMatchObject({ workflow: 'busy', attempts, completed, failed, retried })
      expect(found).toMatchObject({ failureRate: failed / (completed + failed), retryRate: retried / attempts })
      if (durations.length === 0) expect(found.durationMs).toBeNull()
      else for (const p of [50, 95, 99] as const) near(found.durationMs![`p${p}`], exact(durations, p / 100))
    }
    expect(truth.steps.get('flaky')!.retried).toBeGreaterThan(20)
    // Both of them have brought something.
    expect((await db.query('SELECT count(*)::int AS n FROM stet_store.stats_sources')).rows[0].n).toBe(2)

    const sql = await db.query(
      `SELECT step, sum(attempts)::int AS attempts, max(p99_ms) AS p99 FROM stet.step_stats WHERE workflow = 'busy' GROUP BY 1 ORDER BY 1`,
    )
    expect(sql.rows.map(({ step, attempts }) => [step, attempts])).toEqual(
      stats.steps.map(({ step, attempts }) => [step, attempts]),
    )
    expect(sql.rows[2].p99).toBeGreaterThanOrEqual(stats.steps[2]!.durationMs!.p99 * 0.999)
    expect((await db.query('SELECT sum(started)::int AS n FROM stet.run_stats')).rows[0].n).toBe(48)
  })

  test('by version, in parts, beside the window before', async () => {
    const versions = [1, 2].map((version) =>
      workflow('aged', { version }, (ctx) => ctx.step('fetch page 17', () => version)),
    )
    const worker = await work(versions)
    for (const version of [versions[0]!, versions[1]!, versions[1]!]) await stet.execute(version)
    await worker.stop()
    // As if one minute of it had been two hours ago.
    await db.query(
      `INSERT INTO stet_store.stats SELECT seconds, at - interval '90 minutes', workflow, version, step, 7, 7, 7, 0, 0, 0, 0, 7, duration, delay
         FROM stet_store.stats WHERE workflow = 'aged' AND version = 1`,
    )
    const steps = async (options: StatsOptions) => (await stet.stats({ workflow: 'aged', ...options })).steps
    expect(await steps({ by: 'version' })).toMatchObject([
      { step: 'fetch page #', version: 1, completed: 1 },
      { step: 'fetch page #', version: 2, completed: 2 },
    ])
    const [whole] = await steps({ step: 'fetch page 4', compare: true })
    expect(whole).toMatchObject({
      completed: 3,
      retried: 0,
      before: { completed: 7, failed: 7, retried: 7, attempts: 21 },
    })
    expect(whole!.before!.failureRate).toBe(0.5)
    const parts = await steps({ since: '3h', every: '1h' })
    expect(parts.length).toBeGreaterThanOrEqual(2)
    expect(parts.reduce((sum, { completed }) => sum + completed, 0)).toBe(10)
    for (const { at } of parts) expect(at!.getTime() % 3_600_000).toBe(0)
    expect((await stet.stats({ workflow: 'aged', version: 3 })).runs).toEqual([])
  })

  test('what cannot be asked for is told', async () => {
    const wrong: [StatsOptions, RegExp][] = [
      [{ since: 'soon' as any }, /since: expected a duration/],
      [{ until: new Date(Number.NaN) }, /until: expected a valid Date/],
      [{ since: new Date(2_000_000), until: new Date(1_000_000) }, /begins before it ends/],
      [{ every: '1s' }, /every: expected at least a minute/],
      [{ every: '1h', compare: true }, /compare: expected the whole window/],
      [{ version: 1.5 }, /version: expected a whole number/],
      [{ by: 'queue' as any }, /by: expected 'version'/],
      [{ workflow: '' }, /workflow: expected text/],
    ]
    for (const [options, message] of wrong) {
      const error = await refusal(stet.stats(options))
      expect([error.name, message.test(error.message)], error.message).toEqual(['InvalidInputError', true])
    }
  })
})

describe('one worker', async () => {
  const { stet, loop, db, reached } = await house()

  test('a step that waits for its slot has a delay; a blocked run and a retried one count once, also across a crash', async () => {
    const { store } = await stet.internals()
    const meter = new WorkerMeter(store, quiet)
    const crowded = workflow('crowded', (ctx) =>
      Promise.all([1, 2, 3].map((n) => ctx.step(`part ${n}`, () => pause(200)))).then(() => undefined),
    )
    const held = gate()
    const begun = gate()
    const crashed = workflow('crashed', async (ctx) => {
      await ctx.step('flaky', { retry: { initialInterval: 1 } }, ({ attempt }) => {
        if (attempt === 1) throw new Error('not yet')
      })
      await ctx.step('held', async () => {
        begun.open()
        await held.promise
      })
    })
    let name = 'before'
    const changed = workflow('changed', async (ctx) => {
      await ctx.step(name, () => {})
      await ctx.sleep(100)
    })
    const worker = await loop([crowded, crashed, changed], { meter, concurrency: { steps: 1, runs: 5 } })
    const crowd = await stet.start(crowded)
    await crowd.result()
    const run = await stet.start(crashed)
    await begun.promise
    worker.crash()
    held.open()
    await run.result()
    const other = await stet.start(changed)
    await reached(other, 'waiting')
    name = 'after'
    await reached(other, 'blocked')
    await worker.stop()
    const { steps, runs } = await stet.stats()
    const truth = await recorded([run])
    for (const [step, { completed, failed, retried }] of truth.steps) {
      expect(steps.find((each) => each.workflow === 'crashed' && each.step === step)).toMatchObject({
        completed,
        failed,
        retried,
      })
    }
    expect(truth.steps.get('flaky')).toMatchObject({ completed: 1, retried: 1 })
    expect(runs).toMatchObject([
      { workflow: 'changed', started: 1, completed: 0, blocked: 1, durationMs: null },
      { workflow: 'crashed', started: 1, completed: 1 },
      { workflow: 'crowded', started: 1, completed: 1 },
    ])
    const part = steps.find(({ step }) => step === 'part #')!
    expect(part.completed).toBe(3)
    expect(part.delayMs!.p99).toBeGreaterThan(350)
    near(
      part.durationMs!.p50,
      exact(
        [...(await recorded([crowd])).steps.values()].flatMap((each) => each.durations),
        0.5,
      ),
    )
    expect(meter.collector.facts).toEqual({
      leaseLost: 1,
      takenOver: expect.any(Number),
      dbError: 0,
      nondeterminism: 1,
    })
  })

  test('a fork is started once and counts what it does itself, not what it has copied', async () => {
    const flow = workflow('forked', async (ctx: Ctx<number>, n) => {
      await ctx.step('first', () => n)
      await ctx.sleep(50)
      await ctx.step('second', () => n)
    })
    const { store } = await stet.internals()
    const worker = await loop([flow], { meter: new WorkerMeter(store, quiet) })
    const run = await stet.start(flow, 1)
    await run.result()
    await (await run.fork({ at: 'second' })).result()
    await worker.stop()
    const { runs, steps } = await stet.stats({ workflow: 'forked' })
    expect(runs).toMatchObject([{ started: 2, completed: 2 }])
    expect(steps.map(({ step, completed }) => [step, completed])).toEqual([
      ['first', 1],
      ['second', 2],
    ])
    expect(runs[0]!.durationMs!.p50).toBeLessThan(5_000)
  })

  test('nothing is sent when nothing happened; what is sent again, for its answer was lost, adds nothing', async () => {
    const { store } = await stet.internals()
    const sent: number[] = []
    let lose = true
    const losing: Pick<Store, 'addStats' | 'rollUpStats'> = {
      rollUpStats: () => store.rollUpStats(),
      addStats: async (source, n, tallies) => {
        sent.push(n)
        await store.addStats(source, n, tallies)
        if (lose) throw new Error('the connection is gone')
      },
    }
    const collector = new Collector()
    const keeper = new StatsKeeper(losing, collector, quiet)
    await keeper.flush()
    expect(sent).toEqual([])
    const claimed = { workflow: 'lost', version: 1, queue: 'default', claim: 1 } as any
    const first = { type: 'RunStarted', at: 1_000, facts: null } as any
    collector.began(claimed, first, 1_010)
    await keeper.flush()
    collector.began(claimed, first, 1_010)
    await keeper.flush()
    lose = false
    await keeper.flush()
    await keeper.flush()
    await keeper.flush()
    expect(sent).toEqual([1, 1, 1, 2])
    const { rows } = await db.query("SELECT sum(started)::int AS n FROM stet.run_stats WHERE workflow = 'lost'")
    expect(rows).toEqual([{ n: 2 }])
  })
})

test('a worker that is killed loses what it had not brought yet, and nothing else', async () => {
  const db = await testDatabase()
  await prepare(db.url)
  const workers = new Workers({ url: db.url })
  const one = async (text: string) => Number((await db.query(text)).rows[0].n)
  const kept = () => one("SELECT coalesce(sum(attempts), 0) AS n FROM stet.step_stats WHERE step = 'unit'")
  try {
    const [victim] = await workers.spawnReady(1)
    await using stet = new (await import('../../src/index.js')).Stet({ url: db.url })
    const run = await stet.start('work', { steps: 180, stepMs: 60 })
    await eventually('the victim has brought something', async () => (await kept()) > 0)
    await victim!.kill()
    const before = await kept()
    const [{ rows: victims }] = [
      await db.query("SELECT DISTINCT split_part(batch, '.', 1) AS id FROM stet_store.history WHERE batch IS NOT NULL"),
    ]
    const [heir] = await workers.spawnReady(1)
    await run.result()
    await heir!.kill('SIGTERM')
    const ended = (whose: string) =>
      one(
        `SELECT count(*) AS n FROM stet_store.history WHERE type = 'StepCompleted' AND ${whose} split_part(batch, '.', 1) = '${victims[0].id}'`,
      )
    const [byVictim, byHeir] = [await ended(''), await ended('NOT')]
    expect(byVictim + byHeir).toBe(180)
    expect(before).toBeLessThanOrEqual(byVictim)
    expect(await kept()).toBe(before + byHeir)
    const { runs } = await stet.stats({ workflow: 'work' })
    expect(runs[0]).toMatchObject({ completed: 1 })
  } finally {
    await workers.end()
  }
})
