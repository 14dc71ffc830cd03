/** A store, a worker and a clock for one test. */
import { doBulkPart } from '../client/bulks.js'
import { InvalidInputError, StetError } from '../core/errors.js'
import { oneOf } from '../core/options.js'
import type { AnyWorkflow, Duration, Log } from '../core/types.js'
import { verifyReplay } from '../core/verify.js'
import { definitions } from '../core/workflow.js'
import type { Stet } from '../stet.js'
import type { Store } from '../store/port.js'
import type { Runner } from '../worker/runner.js'
import type { WorkerSettings } from '../worker/settings.js'
import { WorkerLoop } from '../worker/worker.js'
import { checkMaxJumps, VirtualClock } from './clock.js'
import { openMemory, openPostgres, type TestStore } from './stores.js'

export interface TestOptions {
  /** An array, or a module namespace (`import * as workflows`), of which the workflows are taken. */
  workflows: readonly AnyWorkflow[] | Record<string, unknown>
  /** Bodies that replace those of the steps with these names, in every workflow. */
  steps?: Record<string, (...args: any[]) => unknown>
  /**
   * `postgres` (default): a new database for each test on a real server; all that stet does in production happens here
   * too. `memory`: no server, hundreds of tests a second; the same engine on a store in this process, without SQL:
   * no views, no `tx`, and a `ctx.transaction` whose function asks for anything fails, unless `steps` replaces it.
   */
  database?: 'postgres' | 'memory'
  /** A Postgres server, 15 or later, on which this user may create databases. Default: the project's embedded one. */
  url?: string
  /** How often one run may be due within one `runToIdle` before it is taken for endless; default 1,000. */
  maxJumps?: number
  /** Takes what stet and the workflows log. Default: warnings and errors as warnings of the process. */
  log?: Log
}

export interface TestEnv extends AsyncDisposable {
  /** To start runs and talk to them, as in production. */
  readonly stet: Stet
  readonly clock: {
    /** The time that runs live by, ms since the epoch. It goes on at the pace of real time between the moves. */
    now(): number
    /** Moves the time on, running each run that becomes due at its time; resolves when all is quiet. */
    advance(by: Duration): Promise<void>
    /** Moves the time from due time to due time until no run waits for a timer. */
    runToIdle(): Promise<void>
  }
}

/**
 * A Stet on a new database of a real Postgres, or on an in-memory store, with a worker for these workflows in this
 * process and a clock that the test moves. Time moves only when every run waits and no step executes. Steps run their
 * own bodies in real time, unless `steps` replaces them by name. Dispose of it: that ends the worker and deletes the
 * database.
 *
 * Every run is replayed once each time it waits or ends. If the replay differs (the workflow depends on something that
 * is not recorded), the next call of the clock, or the disposal, throws a StetError with the code `nondeterminism`.
 *
 * @throws NoDatabaseError when there is no server
 * @throws InvalidInputError for options that cannot be used
 * @example
 * import { testEnv } from 'stet/testing'
 *
 * test('an order that nobody approves is dropped after three days', async () => {
 *   await using env = await testEnv({
 *     workflows: [order],
 *     steps: { 'charge payment': async () => ({ charge: 'ch_1' }) },
 *   })
 *   const run = await env.stet.start(order, { item: 'book' })
 *   await env.clock.advance('3d') // takes milliseconds
 *   expect(await run.result()).toMatchObject({ approval: null })
 * })
 */
export async function testEnv(options: TestOptions): Promise<TestEnv> {
  return Env.open(options)
}

/** What the tools of this folder set beside the options of users. */
export interface EnvHooks {
  readonly gate?: NonNullable<WorkerSettings['gate']>
}

export class Env implements TestEnv {
  readonly stet: Stet
  readonly clock: VirtualClock
  readonly worker: WorkerLoop
  readonly #store: TestStore
  readonly #checks: ReplayChecks
  #closing: Promise<void> | null = null

  static async open(options: TestOptions, hooks: EnvHooks = {}): Promise<Env> {
    const checked = check(options)
    const opened = checked.inMemory ? openMemory(checked.log) : await openPostgres(options.url, checked.log)
    const { stet, time } = opened
    try {
      const { store, hints } = await stet.internals<Store>()
      const checks = new ReplayChecks()
      const worker: WorkerLoop = new WorkerLoop(store, hints, checked.log, {
        bulkPart: () => doBulkPart({ store, hints }, null),
        workflows: options.workflows,
        ...(options.steps === undefined ? {} : { steps: { ...options.steps } }),
        ...hooks,
        verify: (runner, events) => checks.add(runner, events),
        onIdle: () => clock.wake(),
        // Every wait parks, so that every wait is also a replay.
        holdMs: 0,
        beatMs: 200,
        // Nobody else is there to take over; a debugger may hold the process for as long as it likes.
        leaseMs: 3_600_000,
        drainMs: 500,
      })
      const clock = new VirtualClock(
        { time, worker, lanes: checked.lanes, maxJumps: checked.maxJumps, report: () => checks.report() },
        await store.now(),
      )
      await worker.start()
      return new Env(opened, clock, worker, checks)
    } catch (error) {
      await opened.remove().catch(() => {})
      throw error
    }
  }

  private constructor(store: TestStore, clock: VirtualClock, worker: WorkerLoop, checks: ReplayChecks) {
    this.stet = store.stet
    this.clock = clock
    this.worker = worker
    this.#store = store
    this.#checks = checks
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    this.clock.close()
    try {
      await this.worker.stop()
    } finally {
      await this.#store.remove()
    }
    await this.#checks.report()
  }
}

/** The replays of runs that were let go of, and what they found. */
class ReplayChecks {
  readonly #underWay = new Set<Promise<void>>()
  #found: string[] = []

  add(runner: Runner, events: Parameters<NonNullable<WorkerSettings['verify']>>[1]): void {
    const { execution, definition } = runner
    // A blocked run has been found out already, and says why.
    if (execution.blockage !== null) return
    const live = { outcome: execution.outcome, pending: [...execution.pending] }
    // What was recorded while the run was ending anyway (terminated) was never told to its code.
    const seen = events.filter(({ seq }) => seq <= execution.lastSeq)
    const check = verifyReplay(definition, { ...execution.identity }, seen, live)
      .then(
        (difference) => {
          if (difference !== null) this.#found.push(difference)
        },
        (error) => {
          this.#found.push(`run ${runner.runId}: its replay failed: ${(error as Error).message}`)
        },
      )
      .finally(() => this.#underWay.delete(check))
    this.#underWay.add(check)
  }

  /** Waits for the replays under way. @throws StetError with all that was found since the last report */
  async report(): Promise<void> {
    while (this.#underWay.size > 0) await Promise.all(this.#underWay)
    const found = [...new Set(this.#found)]
    this.#found = []
    if (found.length > 0) throw new StetError('nondeterminism', found.join('\n\n'))
  }
}

function check(options: TestOptions) {
  if (options === null || typeof options !== 'object') {
    throw new InvalidInputError(`testEnv: expected options with workflows, got ${String(options)}.`)
  }
  const defs = definitions(options.workflows)
  for (const [name, body] of Object.entries(options.steps ?? {})) {
    if (typeof body !== 'function') {
      throw new InvalidInputError(`testEnv: steps["${name}"]: expected a function, got ${typeof body}.`)
    }
  }
  const database = oneOf(options.database, ['postgres', 'memory'], 'testEnv: database')
  if (database === 'memory' && options.url !== undefined) {
    throw new InvalidInputError(
      "testEnv: url: expected none with database: 'memory', which uses no server, got one. Leave one of the two out.",
    )
  }
  return {
    inMemory: database === 'memory',
    lanes: {
      queues: [...new Set(['default', ...defs.map(({ queue }) => queue)])],
      workflows: defs.map(({ name, version }) => ({ name, version })),
    },
    maxJumps: checkMaxJumps(options.maxJumps ?? 1_000),
    log: options.log ?? warnings,
  }
}

const warnings: Log = {
  debug() {},
  info() {},
  warn: (message, fields) => process.emitWarning(told(message, fields), { type: 'stet' }),
  error: (message, fields) => process.emitWarning(told(message, fields), { type: 'stet' }),
}

function told(message: string, fields: object | undefined): string {
  return fields === undefined ? message : `${message} ${JSON.stringify(fields)}`
}
