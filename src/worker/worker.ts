/**
 * The process loop: claims runs, hands each to a runner, keeps the lease, takes over from the dead, drains.
 *
 * W1. No leader is needed: every worker sweeps.
 * W2. Polling (the beat) is the truth; hints only make it quick.
 * W3. A fenced worker forgets all its runs, takes a new id and goes on.
 * W4. Nothing that the database does ends the process or fails a run.
 */
import { hostname } from 'node:os'
import { originals } from '../core/determinism.js'
import { InvalidInputError } from '../core/errors.js'
import type { LogLevel } from '../core/execution.js'
import { checkName, newId } from '../core/ids.js'
import { installRuntime } from '../core/runtime.js'
import type { Log, Worker } from '../core/types.js'
import { type Definition, definitions } from '../core/workflow.js'
import type { Hints } from '../hints/hints.js'
import type { ClaimHow } from '../store/limits.js'
import type { Beat, ClaimedRun, Lease, LoadedRun, Store, WorkerInfo } from '../store/port.js'
import { longTimeout, StepSlots } from './attempts.js'
import { BulkDesk } from './bulks.js'
import { DbClock } from './clock.js'
import { Flusher } from './flusher.js'
import type { RunnerHost } from './host.js'
import { declareLimits, Later } from './limits.js'
import type { Meter, Slots } from './meter.js'
import { QueryDesk } from './queries.js'
import { RetentionDesk } from './retention.js'
import { RowChanger } from './rows.js'
import { Runner } from './runner.js'
import { ScheduleKeeper } from './schedules.js'
import { slotCounts, type WorkerSettings } from './settings.js'
import { soon } from './soon.js'

/** Each so many claims one looks at age first. */
const claimsByAge = 8

/** Everything that ends with the worker's row. */
interface Incarnation {
  readonly id: string
  readonly flusher: Flusher
  readonly rows: RowChanger
  readonly runners: Map<string, Runner>
  lease: Lease
  registered: boolean
  over: boolean
  lastBeat: number
}

export class WorkerLoop implements Worker {
  readonly #store: Store
  readonly #hints: Hints
  readonly #log: Log
  readonly #settings: WorkerSettings
  readonly #meter: Meter | undefined
  readonly #definitions: Map<string, Definition>
  readonly #lanes: { queues: string[]; workflows: { name: string; version: number }[] }
  readonly #maxRuns: number
  readonly #slots: StepSlots
  readonly #clock: DbClock
  readonly #leaseMs: number
  readonly #beatMs: number
  #incarnation: Incarnation | null = null
  #state: 'new' | 'running' | 'stopping' | 'stopped' = 'new'
  #unsubscribe: (() => void) | null = null
  #claiming = false
  #claimAgain = false
  /** The last claim came back full: more is probably there. */
  #moreReady = false
  /** The last beat told of runs that are to be claimed one at a time. */
  #suspectsReady = false
  /** The last beat told of limits. */
  #limited = false
  #claims = 0
  #wakeTimer: NodeJS.Timeout | null = null
  #wakeAt = Number.POSITIVE_INFINITY
  #watchdog: NodeJS.Timeout | null = null
  #takingOver: Promise<void> | null = null
  #idleWaiters: (() => void)[] = []
  readonly #inboxWanted = new Set<Runner>()
  /** Up to when waiting runs have been woken, by the database's clock: one that is still due is held by somebody. */
  #wokenUpTo = 0
  #onRegistered = () => {}
  #inboxBusy = false
  #telling = false
  readonly #queries: QueryDesk
  /** When a rate allows more. */
  readonly #lines: Later
  readonly #bulks: BulkDesk
  readonly #retention: RetentionDesk
  readonly #schedules: ScheduleKeeper

  constructor(store: Store, hints: Hints, log: Log, settings: WorkerSettings) {
    this.#store = store
    this.#hints = hints
    this.#log = log
    this.#settings = settings
    this.#meter = settings.meter
    const defs = definitions(settings.workflows)
    this.#definitions = new Map(defs.map((definition) => [`${definition.name}@${definition.version}`, definition]))
    for (const queue of settings.queues ?? []) checkName(queue, 'queues')
    const queues = settings.queues ?? [...new Set(['default', ...defs.map(({ queue }) => queue)])]
    if (queues.length === 0) throw new InvalidInputError('queues: expected at least one queue, got none.')
    this.#lanes = { queues, workflows: defs.map(({ name, version }) => ({ name, version })) }
    const { runs, steps } = slotCounts(settings)
    this.#maxRuns = runs
    this.#slots = new StepSlots(steps)
    this.#clock = new DbClock(store)
    this.#lines = new Later(this.#clock, () => this.#claimSoon())
    this.#queries = new QueryDesk({
      store,
      lanes: this.#lanes,
      definition: (workflow, version) => this.#definitionOf(workflow, version),
      runner: (runId) => this.#incarnation?.runners.get(runId),
      publish: (hints) => hints.length > 0 && this.#hints.publish(hints),
      log: (message, fields) => this.#log.warn(message, fields),
    })
    const part = settings.bulkPart ?? (async () => null)
    this.#bulks = new BulkDesk({ part, troubled: (error) => this.#troubled('a bulk could not be gone on with', error) })
    this.#retention = new RetentionDesk(store, newId('retention'), (deleted, error) => {
      if (error === null) this.#log.info('deleted runs that are kept no longer', { runs: deleted })
      else this.#troubled('what is kept no longer could not be deleted', error)
    })
    this.#schedules = new ScheduleKeeper({
      ...{ store, clock: this.#clock, log },
      publish: (hints) => this.#hints.publish(hints),
      looked: () => this.#checkIdle(),
      troubled: (what, error) => this.#troubled(what, error),
    })
    this.#leaseMs = settings.leaseMs ?? 10_000
    this.#beatMs = settings.beatMs ?? 3_000
  }

  /**
   * Patches what workflow code must not see, registers with the database and begins to claim. Resolves when the first
   * claim may happen. Safe to call again.
   */
  async start(): Promise<void> {
    if (this.#state === 'running') return
    if (this.#state !== 'new') throw new InvalidInputError('worker.start: the worker was stopped. Make a new one.')
    installRuntime()
    this.#state = 'running'
    try {
      await this.#store.migrate()
      await declareLimits(this.#store, [...this.#definitions.values()])
      this.#clock.observe(await this.#store.now())
    } catch (error) {
      if (this.#state === 'running') this.#state = 'new'
      throw error
    }
    if (this.#state !== 'running') return
    this.#unsubscribe = this.#hints.subscribe({
      hint: (hint) => {
        if (hint.kind === 'ready') {
          if (hint.queues.some((queue) => this.#lanes.queues.includes(queue))) this.#claimSoon()
        } else if (hint.kind === 'later') this.#wakeBy(this.#clock.now() + hint.inMs)
        else if (hint.kind === 'message') this.#onMessageHint(hint.runIds)
        else if (hint.kind === 'query') this.#lookForQueries()
        else if (hint.kind === 'closed') this.#schedules.closed(hint.runIds)
        else if (hint.kind === 'workers') this.#incarnation?.lease.poke()
      },
      connected: () => this.#incarnation?.lease.poke(),
    })
    await this.#hints.connected()
    const registered = new Promise<void>((resolve) => {
      this.#onRegistered = resolve
    })
    void this.#incarnate()
    await registered
    if (this.#state !== 'running') return
    this.#meter?.started(() => this.#slotsInUse())
    this.#retention.start()
    await this.#store.unblock(this.#lanes.workflows)
    const gone = await this.#store.goneWorkers()
    await this.#takeOver(gone.filter((id) => id !== this.#incarnation?.id))
    this.#watchdog = originals.setInterval(() => this.#checkLease(), 1_000) as unknown as NodeJS.Timeout
    this.#watchdog.unref()
    this.#claimSoon()
  }

  /**
   * Stops claiming, lets running steps finish for up to 30 s, gives all runs back for others to take, and leaves.
   * Safe to call again, and before `start`.
   */
  async stop(): Promise<void> {
    if (this.#state === 'stopped') return
    if (this.#state === 'new') {
      this.#state = 'stopped'
      return
    }
    if (this.#state === 'stopping') return new Promise((resolve) => this.#idleWaiters.push(resolve))
    this.#state = 'stopping'
    this.#bulks.stop()
    this.#retention.stop()
    this.#onRegistered()
    this.#lines.stop()
    await this.#schedules.stop()
    if (this.#wakeTimer !== null) originals.clearTimeout(this.#wakeTimer)
    const incarnation = this.#incarnation
    if (incarnation !== null && !incarnation.over) {
      for (const runner of [...incarnation.runners.values()]) runner.drain()
      await this.#allReleased(incarnation, this.#settings.drainMs ?? 30_000)
      for (const runner of [...incarnation.runners.values()]) runner.abandon()
      incarnation.over = true
      incarnation.flusher.stop()
      incarnation.rows.stop()
      // Runs that could not be given back in time are found by their owner being gone.
      await this.#store.unregister(incarnation.id).catch(() => {})
      await incarnation.lease.stop()
      this.#hints.publish([
        { kind: 'workers', ids: [incarnation.id] },
        { kind: 'ready', queues: this.#lanes.queues },
      ])
    }
    if (this.#watchdog !== null) originals.clearInterval(this.#watchdog)
    this.#unsubscribe?.()
    await this.#meter?.stopped()
    this.#state = 'stopped'
    for (const resolve of this.#idleWaiters.splice(0)) resolve()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop()
  }

  /** True when no run is held, none is being claimed and no schedule is looked at. */
  get idle(): boolean {
    return !this.#claiming && !this.#schedules.looking && (this.#incarnation?.runners.size ?? 0) === 0
  }

  /** It takes up no further run before it has let go of one (testing). */
  get full(): boolean {
    return (this.#incarnation?.runners.size ?? 0) >= this.#maxRuns
  }

  /** Looks for work now. */
  poke(): void {
    this.#wakeAt = Number.POSITIVE_INFINITY
    this.#schedules.poke()
    void this.#wake()
  }

  get clock(): DbClock {
    return this.#clock
  }

  /**
   * As if the process had died here and another had come: what is not committed is lost (testing). The id that may write
   * nothing from now on; null: the last crash is not over.
   */
  crash(): string | null {
    const incarnation = this.#incarnation
    if (incarnation === null || incarnation.over) return null
    this.#fenced(incarnation)
    return incarnation.id
  }

  /** The runs that it holds; null: others may be on their way to it, or news of children from it (testing). */
  get held(): readonly Runner[] | null {
    const incarnation = this.#incarnation
    const still = incarnation?.registered === true && !incarnation.over && !this.#claiming && !this.#telling
    return still && !this.#inboxBusy ? [...incarnation.runners.values()] : null
  }

  // ── being alive ────────────────────────────────────────────────────────────────────────────────

  #incarnate(): Promise<void> {
    return new Promise((resolve) => {
      const id = newId('worker')
      const listener = {
        fenced: () => this.#fenced(incarnation),
        failed: (error: unknown) => this.#failed(incarnation, error),
      }
      const info: WorkerInfo = { id, pid: process.pid, host: hostname(), ...this.#lanes }
      const incarnation: Incarnation = {
        id,
        flusher: new Flusher(this.#store, id, {
          ...listener,
          time: (at) => this.#clock.observe(at),
          started: (queues) => this.#hints.publish([{ kind: 'ready', queues }]),
        }),
        rows: new RowChanger(this.#store, id, {
          ...listener,
          closed: (runIds) => this.#hints.local([{ kind: 'closed', runIds }]),
          leftChildren: () => void this.#tellChildren(),
        }),
        runners: new Map(),
        lease: null as unknown as Lease,
        registered: false,
        over: false,
        lastBeat: originals.performanceNow(),
      }
      this.#incarnation = incarnation
      incarnation.lease = this.#store.holdLease(info, this.#leaseMs, this.#beatMs, {
        registered: (sentAt) => {
          incarnation.registered = true
          incarnation.lastBeat = sentAt
          this.#hints.publish([{ kind: 'workers', ids: [id] }])
          resolve()
          this.#onRegistered()
          this.#claimSoon()
        },
        beat: (beat, sentAt) => this.#onBeat(incarnation, beat, sentAt),
        fenced: () => this.#fenced(incarnation),
        dead: (workerId) => void this.#takeOver([workerId]),
        failed: (message) => {
          this.#meter?.counted('dbError')
          this.#log.debug('the lease could not be renewed; trying again', { worker: id, message })
        },
      })
    })
  }

  #onBeat(incarnation: Incarnation, beat: Beat, sentAt: number): void {
    if (incarnation.over) return
    incarnation.lastBeat = sentAt
    if (beat.overdue) void this.#takeOver([])
    if (beat.chores) void this.#tellChildren()
    if (beat.queries) this.#lookForQueries()
    if (beat.bulks) this.#bulks.look()
    if (beat.nextDue !== null) this.#wakeBy(beat.nextDue)
    if (beat.nextSchedule !== null) this.#schedules.beat(beat.nextSchedule, beat.now)
    this.#suspectsReady = beat.suspects
    this.#limited = beat.limited
    if (beat.ready || beat.suspects) this.#claimSoon()
    if (beat.owned > incarnation.runners.size) void this.#giveBackStrays(incarnation)
    for (const { runId, msgs } of beat.msgs) {
      const runner = incarnation.runners.get(runId)
      if (runner !== undefined && msgs > runner.seen) this.#fetchInbox(runner)
    }
  }

  /** The lease is as good as over: others may take the runs at any moment, so they are not ours to run any more. */
  #checkLease(): void {
    const incarnation = this.#incarnation
    if (incarnation === null || !incarnation.registered || incarnation.over) return
    if (!this.#leaseHolds(incarnation)) this.#fenced(incarnation)
  }

  #leaseHolds(incarnation: Incarnation): boolean {
    return originals.performanceNow() - incarnation.lastBeat <= this.#leaseMs * 0.9
  }

  /** W3. */
  #fenced(incarnation: Incarnation): void {
    if (incarnation.over) return
    incarnation.over = true
    incarnation.flusher.stop()
    incarnation.rows.stop()
    this.#meter?.counted('leaseLost')
    this.#log.warn('this worker lost its lease: its runs go to others, it goes on under a new id', {
      worker: incarnation.id,
      runs: incarnation.runners.size,
    })
    for (const runner of [...incarnation.runners.values()]) runner.abandon()
    void incarnation.lease.stop()
    const goOn = () => {
      // Its row goes before anything else happens, so that its runs are free at once.
      if (this.#state === 'running') void this.#incarnate().then(() => this.#takeOver([incarnation.id]))
    }
    // What cannot even register is not tried again and again without a pause.
    if (incarnation.registered) goOn()
    else originals.setTimeout(goOn, 1_000)
  }

  /** A statement failed for good (not for want of a database): the runs of this incarnation start over. */
  #failed(incarnation: Incarnation, error: unknown): void {
    if (incarnation.over) return
    this.#meter?.counted('dbError')
    if (this.#state === 'running')
      this.#log.error('a write of this worker failed', { message: (error as Error).message })
    this.#fenced(incarnation)
  }

  #takeOver(dead: readonly string[]): Promise<void> {
    const previous = this.#takingOver ?? Promise.resolve()
    const mine = previous.then(async () => {
      if (this.#state !== 'running') return
      try {
        const { workers, runs, quarantined, nextDue } = await this.#store.takeOver(dead)
        if (workers > 0) this.#meter?.counted('takenOver', workers)
        if (workers > 0 || runs > 0) this.#log.info('took over from workers that are gone', { workers, runs })
        for (const run of quarantined)
          this.#log.error('run is blocked: it keeps ending the process of its worker', { run })
        if (runs > 0) {
          this.#hints.publish([{ kind: 'ready', queues: this.#lanes.queues }])
          this.#claimSoon()
        }
        if (nextDue !== null) {
          const again = () => this.#incarnation !== null && this.#claimNextSuspect(this.#incarnation)
          longTimeout(Math.max(0, nextDue - this.#clock.now()) + 1, again).unref()
        }
      } catch (error) {
        this.#troubled('taking over failed', error)
      }
    })
    this.#takingOver = mine
    return mine
  }

  /** Children of runs that have closed hear of it. Every worker looks, so none of them is forgotten. */
  async #tellChildren(): Promise<void> {
    if (this.#telling) return
    this.#telling = true
    try {
      for (let left = 1; left > 0 && this.#state === 'running'; ) {
        const told = await this.#store.tellChildren()
        left = told.closed.length + told.posted.length === 0 ? 0 : told.left
        if (told.closed.length > 0) this.#hints.publish([{ kind: 'closed', runIds: told.closed }])
        if (told.posted.length > 0) this.#hints.publish([{ kind: 'message', runIds: told.posted }])
      }
    } catch (error) {
      this.#troubled('telling children failed', error)
    }
    this.#telling = false
  }

  #lookForQueries(): void {
    const incarnation = this.#incarnation
    if (incarnation?.registered && !incarnation.over) this.#queries.look(incarnation.id)
  }

  // ── claiming ───────────────────────────────────────────────────────────────────────────────────

  #claimSoon(): void {
    if (this.#claiming) this.#claimAgain = true
    else void this.#claim()
  }

  async #claim(): Promise<void> {
    const incarnation = this.#incarnation
    if (this.#state !== 'running' || incarnation === null || !incarnation.registered || incarnation.over) return
    const free = this.#maxRuns - incarnation.runners.size
    if (free <= 0) {
      this.#moreReady = true
      return
    }
    this.#claiming = true
    this.#claimAgain = false
    try {
      // Now and then by age, so that what has a low priority has its turn too.
      const how = { suspects: false, aged: ++this.#claims % claimsByAge === 0 }
      const claimed = await this.#store.claim(incarnation.id, this.#lanes, free, how)
      this.#moreReady = claimed.length === free
      this.#take(incarnation, claimed)
      if (this.#limited && claimed.length < free) await this.#claimInLine(incarnation, free - claimed.length, how)
      if (incarnation.over) this.#claimAgain = true
      if (this.#suspectsReady) await this.#claimSuspect(incarnation)
    } catch (error) {
      this.#troubled('claiming failed', error)
    }
    this.#claiming = false
    if (this.#claimAgain && this.#state === 'running') void this.#claim()
    else this.#checkIdle()
  }

  /** Runs that crashed their worker before are tried one at a time, so that the next crash tells which one it was. */
  async #claimSuspect(incarnation: Incarnation): Promise<void> {
    if ([...incarnation.runners.values()].some(({ apart }) => apart)) return
    this.#suspectsReady = false
    const how = { suspects: true, aged: false }
    const claimed = await this.#store.claim(incarnation.id, this.#lanes, 1, how)
    this.#take(incarnation, claimed)
    if (this.#limited && claimed.length === 0) await this.#claimInLine(incarnation, 1, how)
  }

  /** Of lanes that have limits. */
  async #claimInLine(incarnation: Incarnation, free: number, how: ClaimHow): Promise<void> {
    const { runs, nextAt } = await this.#store.claimInLine(incarnation.id, this.#lanes, free, how)
    if (runs.length === free) this.#moreReady = true
    this.#take(incarnation, runs)
    if (nextAt !== null) this.#lines.by(nextAt)
  }

  #take(incarnation: Incarnation, claimed: readonly ClaimedRun[]): void {
    // Whoever ends the row of this incarnation gives these back with the rest.
    if (incarnation.over) return
    if (claimed.some(({ runId }) => incarnation.runners.has(runId))) {
      // A crash of the server undid a claim that the worker had been told of (claims do not wait for the disk), and now
      // it has the run twice under the same claim. Which writes are under way is not known: none of them may land.
      this.#failed(
        incarnation,
        new Error('a run was claimed that this worker holds already: the database lost a claim'),
      )
      return
    }
    const toLoad: Runner[] = []
    for (const run of claimed) {
      const definition = this.#definitions.get(`${run.workflow}@${run.version}`)
      // Claims name the versions that this worker has, so it is there.
      const runner = new Runner(this.#hostOf(incarnation), run, definition!)
      incarnation.runners.set(run.runId, runner)
      this.#settings.gate?.took(runner)
      if (this.#state !== 'running') runner.drain()
      if (run.started !== null && run.msgs === 0) this.#begin(runner, freshRun(run))
      else toLoad.push(runner)
    }
    if (toLoad.length > 0) void this.#load(incarnation, toLoad)
  }

  /**
   * Gives back runs that this worker owns and does not hold: a claim was committed and its answer was lost, or their
   * history turned out to be another than this worker thought. No claim is under way meanwhile.
   */
  async #giveBackStrays(incarnation: Incarnation): Promise<void> {
    if (this.#claiming || incarnation.over || this.#state !== 'running') return
    this.#claiming = true
    try {
      const strays = await this.#store.giveBackStrays(incarnation.id, [...incarnation.runners.keys()])
      if (strays > 0) {
        this.#log.warn('gave back runs that were claimed without this worker hearing of it', { runs: strays })
        this.#claimAgain = true
      }
    } catch (error) {
      this.#troubled('giving back failed', error)
    }
    this.#claiming = false
    if (this.#claimAgain && this.#state === 'running') void this.#claim()
    else this.#checkIdle()
  }

  async #load(incarnation: Incarnation, runners: readonly Runner[]): Promise<void> {
    try {
      const loaded = await this.#store.load(runners.map(({ runId }) => runId))
      if (incarnation.over) return
      for (const runner of runners) this.#begin(runner, loaded.get(runner.runId)!)
    } catch (error) {
      this.#failed(incarnation, error)
    }
  }

  #begin(runner: Runner, loaded: LoadedRun): void {
    this.#meter?.began(runner.claimed, loaded.events[0]!, this.#clock.now())
    runner.begin(loaded)
  }

  #slotsInUse(): Slots {
    const { used, limit } = this.#slots
    return { runs: this.#incarnation?.runners.size ?? 0, maxRuns: this.#maxRuns, steps: used, maxSteps: limit }
  }

  /** Tried again by the next beat, hint or timer. */
  #troubled(what: string, error: unknown): void {
    if (this.#state !== 'running') return
    this.#meter?.counted('dbError')
    this.#log.warn(what, { message: (error as Error).message })
  }

  #hostOf(incarnation: Incarnation): RunnerHost {
    const { steps, verify, holdMs = 1_000, gate, interceptors = [] } = this.#settings
    return {
      workerId: incarnation.id,
      store: this.#store,
      flusher: incarnation.flusher,
      rows: incarnation.rows,
      slots: this.#slots,
      clock: this.#clock,
      stepOverrides: steps === undefined ? undefined : new Map(Object.entries(steps)),
      verify,
      holdMs,
      gate,
      interceptors: interceptors.filter(({ step }) => step !== undefined),
      meter: this.#meter,
      mayBegin: () => {
        if (incarnation.over) return false
        if (this.#leaseHolds(incarnation)) return true
        // Not from here: whoever asks is in the middle of something.
        originals.setImmediate(() => this.#fenced(incarnation))
        return false
      },
      log: (level: LogLevel, message, fields) => this.#log[level](message, fields),
      blocked: ({ runId, claimed, definition: { name } }, { code, message }) => {
        this.#meter?.blocked(claimed, code)
        this.#log.error(`run is blocked: ${message}`, { run: runId, workflow: name })
      },
      released: (runner, due) => this.#released(incarnation, runner, due),
      fetchInbox: (runner) => this.#fetchInbox(runner),
      publish: (hints) => this.#hints.publish(hints),
      gotOn: () => this.#claimNextSuspect(incarnation),
    }
  }

  /** Version 0 is not decided yet: the highest. */
  #definitionOf(workflow: string, version: number): Definition | undefined {
    if (version !== 0) return this.#definitions.get(`${workflow}@${version}`)
    const versions = this.#lanes.workflows.filter(({ name }) => name === workflow).map((each) => each.version)
    return this.#definitions.get(`${workflow}@${Math.max(...versions)}`)
  }

  #released(incarnation: Incarnation, runner: Runner, due: number | null): void {
    if (incarnation.runners.get(runner.runId) === runner) incarnation.runners.delete(runner.runId)
    if (due !== null) this.#wakeBy(due)
    if (runner.apart) this.#claimNextSuspect(incarnation)
    // While more is ready, claims wait until they are worth a statement; an empty worker asks at once.
    const free = this.#maxRuns - incarnation.runners.size
    if (this.#moreReady && (free >= this.#maxRuns / 4 || incarnation.runners.size === 0)) this.#claimSoon()
    this.#checkIdle()
  }

  /** The next of those that are tried one at a time need not wait for a beat. */
  #claimNextSuspect(incarnation: Incarnation): void {
    if (incarnation.over) return
    this.#suspectsReady = true
    this.#claimSoon()
  }

  #checkIdle(): void {
    if (this.idle) this.#settings.onIdle?.()
  }

  // ── waking ─────────────────────────────────────────────────────────────────────────────────────

  #wakeBy(wanted: number): void {
    // A run that was due at the last waking and waits still is locked by a transaction of somebody: no hurry.
    const due = wanted <= this.#wokenUpTo ? this.#clock.now() + 250 : wanted
    if (due >= this.#wakeAt || this.#state !== 'running') return
    if (this.#wakeTimer !== null) originals.clearTimeout(this.#wakeTimer)
    this.#wakeAt = due
    this.#wakeTimer = longTimeout(Math.max(0, due - this.#clock.now()), () => {
      this.#wakeTimer = null
      this.#wakeAt = Number.POSITIVE_INFINITY
      void this.#wake()
    })
    this.#wakeTimer.unref()
  }

  async #wake(): Promise<void> {
    if (this.#state !== 'running') return
    const upTo = this.#clock.now()
    try {
      const woken = await this.#store.wake()
      if (woken < 1000) this.#wokenUpTo = upTo
      if (woken >= 1000) void this.#wake()
    } catch (error) {
      this.#troubled('waking runs failed', error)
    }
    this.#claimSoon()
    this.#incarnation?.lease.poke()
  }

  // ── messages ───────────────────────────────────────────────────────────────────────────────────

  #onMessageHint(runIds: readonly string[]): void {
    let elsewhere = false
    for (const runId of runIds) {
      const runner = this.#incarnation?.runners.get(runId)
      if (runner === undefined) elsewhere = true
      else this.#fetchInbox(runner)
    }
    // A run that waited has become ready by its message.
    if (elsewhere) this.#claimSoon()
  }

  #fetchInbox(runner: Runner): void {
    this.#inboxWanted.add(runner)
    if (!this.#inboxBusy) void this.#fetchInboxes()
  }

  async #fetchInboxes(): Promise<void> {
    this.#inboxBusy = true
    while (this.#inboxWanted.size > 0) {
      const runners = [...this.#inboxWanted].filter((runner) => !runner.gone)
      this.#inboxWanted.clear()
      if (runners.length === 0) break
      try {
        const found = await this.#store.inbox(runners.map(({ runId }) => runId))
        for (const runner of runners) {
          const inbox = found.get(runner.runId)
          if (inbox !== undefined) runner.messages(inbox.msgs, inbox.messages)
        }
      } catch (error) {
        if (this.#state !== 'running') break
        this.#troubled('reading messages failed', error)
        // Not dropped: a run that could not park is waiting for just this.
        await new Promise<void>((resolve) => originals.setTimeout(resolve, 500))
        for (const runner of runners) this.#inboxWanted.add(runner)
      }
    }
    this.#inboxBusy = false
  }

  // ── draining ───────────────────────────────────────────────────────────────────────────────────

  #allReleased(incarnation: Incarnation, withinMs: number): Promise<void> {
    return soon(() => (incarnation.runners.size === 0 && !this.#claiming) || incarnation.over, withinMs)
  }
}

function freshRun(run: ClaimedRun): LoadedRun {
  return { events: [run.started!], inbox: [], checkpoints: new Map() }
}
