/**
 * Drives one run: performs the commands of its Execution, turns results into events, and delivers each event once it
 * is durable. Lets go of the run when it waits, ends or is blocked.
 *
 * R1. An event reaches the Execution only after its commit.
 * R2. An operation has at most one event on its way that settles it.
 * R3. Whatever was performed for a run that is not this worker's any more is forgotten: bodies are aborted, results
 *     are dropped.
 * R4. A run is let go of only when no body runs, nothing is queued and nothing is under way.
 */
import { decode, encode, encodeError } from '../core/codec.js'
import { createLog } from '../core/ctx.js'
import { originals } from '../core/determinism.js'
import { CancelledFailure, StetError } from '../core/errors.js'
import type { EventDraft, EventFacts, EventType, RecordedEvent } from '../core/events.js'
import { type Blockage, Execution, type LogLevel, type Outcome } from '../core/execution.js'
import type { Operation } from '../core/operation.js'
import { decideRetry } from '../core/retry.js'
import type { Definition } from '../core/workflow.js'
import {
  type ClaimedRun,
  type InboxMessage,
  type LoadedRun,
  type RowChange,
  type Store,
  suspectAfter,
} from '../store/port.js'
import { Attempt, type AttemptResult, type StepSlots } from './attempts.js'
import { blockSuspect, type Problem, problemOf } from './blocking.js'
import type { DbClock } from './clock.js'
import { type Closing, closingOf, describeError, terminated, timedOut } from './closing.js'
import { Dues } from './dues.js'
import { type Flusher, RunLog } from './flusher.js'
import { Mailbox } from './mailbox.js'
import type { RowChanger } from './rows.js'

/** What a runner needs of its worker. */
export interface RunnerHost {
  readonly workerId: string
  readonly store: Store
  readonly flusher: Flusher
  readonly rows: RowChanger
  readonly slots: StepSlots
  readonly clock: DbClock
  /** Replaces the bodies of steps by name (testing). */
  readonly stepOverrides: ReadonlyMap<string, (...args: any[]) => unknown> | undefined
  /** Replays each history once when its run is let go of, and reports any difference (dev and testing). */
  readonly verify: ((runner: Runner, events: readonly RecordedEvent[]) => void) | undefined
  /** A run whose next timer is no farther than this, ms, stays in memory. */
  readonly holdMs: number
  /** Told at each place where a crash makes a difference (testing). It may abandon the run. */
  readonly passing: ((point: CrashPoint, step: string) => void) | undefined
  /** False when the lease is over, as after a pause of the whole process: others may have gone on with the run. */
  mayBegin(): boolean
  log(level: LogLevel, message: string, fields: object): void
  /** The run is no longer held. `due`: when it wakes, if it waits. */
  released(runner: Runner, due: number | null): void
  /** Messages were accepted that the runner has not seen. */
  fetchInbox(runner: Runner): void
  /** A run that was held apart (`Runner.apart`) got on. */
  gotOn(): void
}

/** Before a step's body begins; after its effect, before that is recorded; when an attempt's end has been committed. */
export type CrashPoint = 'before' | 'effect' | 'commit'

/** What an engine can write again and again without the run getting on: the SQL that counts crashes knows them too. */
const marks: ReadonlySet<EventType> = new Set(['StepScheduled', 'TimerStarted'] as const)

const attemptEnds: ReadonlySet<EventType> = new Set(['StepCompleted', 'StepFailed', 'AttemptFailed'] as const)

type State = 'loading' | 'active' | 'leaving' | 'gone'

export class Runner {
  readonly runId: string
  readonly definition: Definition
  readonly claimed: ClaimedRun
  readonly #host: RunnerHost
  readonly #execution: Execution
  /** Null until the history is loaded. */
  #openLog: RunLog | null = null
  #state: State = 'loading'
  #delivering = false
  readonly #toDeliver: RecordedEvent[] = []
  readonly #attempts = new Map<number, Attempt>()
  /** Bodies that run or wait for a slot. */
  #bodies = 0
  /** Operations with a settling event on its way (R2). */
  readonly #settling = new Set<number>()
  readonly #mailbox = new Mailbox()
  readonly #dues: Dues
  #checkpoints: Map<number, string | null> | null = null
  #missedMessages = false
  #cancelOnItsWay = false
  #timedOut = false
  #draining = false
  #apart: boolean
  #suspected = false
  #parked = false
  readonly #events: RecordedEvent[] | null

  constructor(host: RunnerHost, claimed: ClaimedRun, definition: Definition) {
    this.#host = host
    this.claimed = claimed
    this.runId = claimed.runId
    this.definition = definition
    this.#apart = claimed.crashes >= suspectAfter
    this.#events = host.verify === undefined ? null : []
    this.#dues = new Dues(host.clock, claimed.deadline, (now) => this.#onTime(now))
    this.#execution = new Execution(
      definition,
      {
        id: claimed.id,
        runId: claimed.runId,
        workflow: claimed.workflow,
        version: claimed.version,
        queue: claimed.queue,
      },
      {
        turnClosed: () => this.#turnClosed(),
        blockedOutsideTurn: () => (this.#parked ? void this.#lookInto() : this.#settleState()),
        suspected: () => this.#suspect(),
        log: (level, message, fields) => host.log(level, message, { run: this.runId, ...fields }),
      },
    )
  }

  get execution(): Execution {
    return this.#execution
  }

  get seen(): number {
    return this.#mailbox.seen
  }

  /** Nothing is appended before the history is loaded. */
  get #log(): RunLog {
    return this.#openLog!
  }

  get gone(): boolean {
    return this.#state === 'gone'
  }

  /** Its workers crashed, and it has not got on since: no other run like it is held beside it. */
  get apart(): boolean {
    return this.#apart
  }

  // ── taking the run up ──────────────────────────────────────────────────────────────────────────

  begin(loaded: LoadedRun): void {
    const { claimed } = this
    this.#openLog = new RunLog(this.runId, claimed.claim, loaded.events.length + 1, {
      committed: (events) => this.#committed(events),
      lost: () => this.abandon(),
    })
    if (loaded.checkpoints.size > 0) this.#checkpoints = new Map(loaded.checkpoints)
    this.#mailbox.add(loaded.inbox, claimed.msgs)
    if (this.#events !== null) for (const event of loaded.events) this.#events.push(event)
    // A run that never ran before has nothing to replay: its first turn is live.
    this.#execution.live = loaded.events.length === 1
    this.#execution.deliverRecorded(loaded.events, () => this.#replayed())
  }

  #replayed(): void {
    if (this.#state === 'gone') return
    this.#state = 'active'
    this.#execution.live = true
    if (this.#execution.blockage === null && this.#execution.outcome === null) {
      this.#takeMessages()
      // A cancel that is already there comes first: what it cancels is never begun.
      if (!this.#cancelOnItsWay) this.#performAll()
      this.#dues.arm(this.claimed.deadline)
    }
    if (this.#missedMessages) this.#host.fetchInbox(this)
    this.#settleState()
  }

  #performAll(): void {
    for (const operation of this.#execution.pending) this.#perform(operation)
  }

  // ── delivering events ──────────────────────────────────────────────────────────────────────────

  #committed(events: RecordedEvent[]): void {
    if (this.#state === 'gone') return
    if (this.#apart && events.some(({ type }) => !marks.has(type))) {
      this.#apart = false
      this.#host.gotOn()
    }
    if (this.#host.passing !== undefined) {
      for (const { type, name } of events) {
        if (attemptEnds.has(type) && !this.gone) this.#host.passing('commit', name!)
      }
      if (this.gone) return
    }
    this.#deliver(events)
  }

  #deliver(events: readonly RecordedEvent[]): void {
    for (const event of events) this.#toDeliver.push(event)
    if (this.#events !== null) for (const event of events) this.#events.push(event)
    if (!this.#delivering) this.#next()
  }

  #next(): void {
    this.#delivering = true
    const events = this.#toDeliver
    let i = 0
    while (i < events.length) {
      const event = events[i++]!
      if (this.#execution.deliver(event)) {
        events.splice(0, i)
        return
      }
      this.#afterEvent(event)
    }
    events.length = 0
    this.#delivering = false
    this.#settleState()
  }

  #turnClosed(): void {
    if (this.#state === 'gone') return
    const commands = this.#execution.takeCommands()
    if (this.#execution.blockage === null) {
      for (const command of commands) {
        if (command.do === 'perform') this.#perform(command.operation)
        else this.#abandonOperation(command.operation)
      }
      if (this.#cancelOnItsWay && this.#execution.cancelRequested !== null) {
        this.#cancelOnItsWay = false
        this.#performAll()
      }
    }
    this.#next()
  }

  /** Events without a turn that the runner itself acts on. */
  #afterEvent(event: RecordedEvent): void {
    if (event.op === null) return
    const operation = this.#execution.operation(event.op)
    if (operation === undefined || operation.settled) return
    if (event.type === 'AttemptFailed') this.#perform(operation)
    else if (event.type === 'StepScheduled' && operation.request.kind === 'step' && operation.request.step.atMostOnce) {
      this.#beginAttempt(operation)
    }
  }

  // ── performing operations ──────────────────────────────────────────────────────────────────────

  #perform(operation: Operation): void {
    if (operation.settled || this.#settling.has(operation.index) || this.#cancelOnItsWay) return
    const { request } = operation
    switch (request.kind) {
      case 'step':
        this.#performStep(operation)
        return
      case 'timer':
        this.#mark('TimerStarted', operation, { dueAt: request.dueAt })
        this.#dues.set(operation, request.dueAt)
        return
      case 'signal': {
        if (request.dueAt !== null) {
          this.#mark('TimerStarted', operation, { dueAt: request.dueAt, kind: 'signal' })
          this.#dues.set(operation, request.dueAt)
        }
        this.#mailbox.await(operation)
        this.#matchSignals(operation.name)
        return
      }
      case 'skip':
        this.#settle(operation, 'StepSkipped', null, { reason: request.reason })
        return
    }
  }

  #performStep(operation: Operation): void {
    if (operation.request.kind !== 'step' || this.#attempts.has(operation.index) || this.#dues.has(operation)) return
    const { step } = operation.request
    if (operation.nextAttemptAt !== null && operation.nextAttemptAt > this.#host.clock.now()) {
      this.#dues.set(operation, operation.nextAttemptAt)
      return
    }
    if (!step.atMostOnce) {
      if (operation.failedAttempts === 0) this.#mark('StepScheduled', operation, { began: this.#host.clock.now() })
      this.#beginAttempt(operation)
    } else if (!operation.announced) {
      // Once announced it must be begun, for the next worker cannot know that it was not.
      if (!this.#draining) this.#append(this.#draft('StepScheduled', operation, null, attemptFacts(operation)))
    } else {
      const error = new StetError(
        'may_have_run',
        `step "${operation.name}" may have run: its worker ended before the result was recorded, and its mode is atMostOnce`,
      )
      this.#settle(operation, 'StepFailed', encodeError(error), { attempt: operation.failedAttempts + 1 })
    }
  }

  #beginAttempt(operation: Operation): void {
    if (this.#draining && !isAtMostOnce(operation)) return
    this.#bodies++
    this.#host.slots.take(() => this.#runBody(operation))
  }

  #runBody(operation: Operation): void {
    const unwanted =
      this.#state === 'gone' ||
      (this.#draining && !isAtMostOnce(operation)) ||
      operation.settled ||
      this.#attempts.has(operation.index)
    if (unwanted || operation.request.kind !== 'step') {
      this.#bodyOver()
      return
    }
    this.#host.passing?.('before', operation.name)
    if (this.gone) {
      this.#bodyOver()
      return
    }
    if (!this.#host.mayBegin()) {
      // Else the body of a step could begin that another worker has completed meanwhile. It stays counted: the run must
      // not park over a step that was not begun; it is about to be abandoned.
      this.#host.slots.release()
      return
    }
    const { step } = operation.request
    const began = this.#host.clock.now()
    const override = this.#host.stepOverrides?.get(operation.name)
    const attempt = new Attempt(
      {
        name: operation.name,
        runId: this.runId,
        op: operation.index,
        attempt: operation.failedAttempts + 1,
        step: override === undefined ? step : { ...step, fn: override },
        remainingMs: step.totalTimeoutMs === null ? null : operation.askedAt + step.totalTimeoutMs - began,
        checkpoint: () => decode(this.#checkpoints?.get(operation.index) ?? null),
        saveCheckpoint: (value) => this.#saveCheckpoint(operation, value),
        log: createLog((level, message, fields) =>
          this.#host.log(level, message, { run: this.runId, step: operation.name, ...fields }),
        ),
      },
      (result) => {
        this.#attempts.delete(operation.index)
        if (this.#state !== 'gone') this.#host.passing?.('effect', operation.name)
        if (this.#state !== 'gone' && !operation.settled) this.#attemptOver(operation, result, began)
        this.#bodyOver()
      },
    )
    this.#attempts.set(operation.index, attempt)
    attempt.begin()
  }

  #bodyOver(): void {
    this.#bodies--
    this.#host.slots.release()
    // Inside `begin` of a body that needed no waiting the caller goes on anyway.
    if (this.#bodies === 0 && !this.#delivering) this.#settleState()
  }

  #attemptOver(operation: Operation, result: AttemptResult, began: number): void {
    const attempt = operation.failedAttempts + 1
    const facts: EventFacts = { began, ...(attempt === 1 ? {} : { attempt }) }
    if (result.ok) {
      try {
        this.#settle(operation, 'StepCompleted', encode(result.value, `the result of step "${operation.name}"`), facts)
        return
      } catch (error) {
        this.#attemptFailed(operation, error, attempt, facts, false)
        return
      }
    }
    this.#attemptFailed(operation, result.error, attempt, facts, result.totalTimeout === true)
  }

  #attemptFailed(operation: Operation, error: unknown, attempt: number, facts: EventFacts, final: boolean): void {
    if (operation.request.kind !== 'step') return
    const { step } = operation.request
    const now = this.#host.clock.now()
    const decision = final ? ({ retry: false } as const) : this.#decide(step.retry, attempt, error, now)
    const payload = encodeError(error)
    const tooLate =
      decision.retry && step.totalTimeoutMs !== null && decision.at > operation.askedAt + step.totalTimeoutMs
    if (!decision.retry || tooLate) this.#settle(operation, 'StepFailed', payload, { ...facts, attempt })
    else this.#append(this.#draft('AttemptFailed', operation, payload, { ...facts, attempt, dueAt: decision.at }))
  }

  #decide(policy: Parameters<typeof decideRetry>[0], attempt: number, error: unknown, now: number) {
    try {
      return decideRetry(policy, attempt, error, now, originals.random())
    } catch {
      // A RetryAfterError with a duration that is none: the policy decides alone.
      return decideRetry(policy, attempt, undefined, now, originals.random())
    }
  }

  async #saveCheckpoint(operation: Operation, value: unknown): Promise<void> {
    const payload = encode(value, `the checkpoint of step "${operation.name}"`)
    const { workerId, store } = this.#host
    if (!(await store.saveCheckpoint(workerId, this.runId, this.claimed.claim, operation.index, payload))) {
      this.abandon()
      throw new CancelledFailure('the run is no longer held by this worker')
    }
    this.#checkpoints ??= new Map()
    this.#checkpoints.set(operation.index, payload)
  }

  #abandonOperation(operation: Operation): void {
    this.#attempts.get(operation.index)?.abandon(new CancelledFailure('the run was cancelled'))
    if (this.#attempts.delete(operation.index)) this.#bodyOver()
    this.#dues.delete(operation)
    this.#settling.delete(operation.index)
    this.#mailbox.forget(operation)
    if (operation.kind === 'timer') this.#mark('TimerCancelled', operation, {})
  }

  // ── what is due ────────────────────────────────────────────────────────────────────────────────

  /** The database's time is `now`, and something may be due by it. */
  #onTime(now: number): void {
    if (this.#state !== 'active') return
    if (this.#dues.timeIsUp(now)) this.#timedOut = true
    for (const operation of this.#dues.take(now)) {
      if (!this.#wants(operation) || this.#cancelOnItsWay) continue
      if (operation.kind === 'step') {
        operation.nextAttemptAt = null
        this.#performStep(operation)
      } else {
        this.#settle(operation, 'TimerFired', null, operation.kind === 'signal' ? { kind: 'signal' } : {})
      }
    }
    this.#dues.arm(this.#dues.next())
    this.#settleState()
  }

  /** Nothing has settled it, and nothing that will is on its way (R2). */
  #wants(operation: Operation): boolean {
    return !operation.settled && !this.#settling.has(operation.index)
  }

  // ── messages ───────────────────────────────────────────────────────────────────────────────────

  /** Messages that were accepted since. `msgs` is the count that they are part of. */
  messages(msgs: number, messages: readonly InboxMessage[]): void {
    if (this.#state === 'gone') return
    if (this.#state === 'loading') {
      // What is loaded may have been read before these came.
      this.#missedMessages = true
      return
    }
    this.#mailbox.add(messages, msgs)
    if (this.#state === 'active' && this.#execution.blockage === null && this.#execution.outcome === null)
      this.#takeMessages()
    this.#settleState()
  }

  #takeMessages(): void {
    const cancel = this.#mailbox.takeCancel()
    if (cancel !== null && this.#execution.cancelRequested === null && !this.#cancelOnItsWay) {
      this.#cancelOnItsWay = true
      const facts = cancel.reason === undefined ? null : { reason: cancel.reason }
      this.#append({ type: 'CancelRequested', op: null, name: null, payload: null, facts }, cancel.n)
    }
    for (const name of this.#mailbox.signalNames()) this.#matchSignals(name)
  }

  /** Gives the oldest signals of a name to the operations that wait for it, oldest first. */
  #matchSignals(name: string): void {
    if (this.#cancelOnItsWay || this.#execution.outcome !== null) return
    for (;;) {
      const pair = this.#mailbox.match(name, (operation) => this.#wants(operation))
      if (pair === null) return
      this.#settle(pair.operation, 'SignalReceived', pair.message.payload, {}, pair.message.n)
    }
  }

  // ── events out ─────────────────────────────────────────────────────────────────────────────────

  #draft(type: EventType, operation: Operation, payload: string | null, facts: EventFacts): EventDraft {
    return {
      type,
      op: operation.index,
      name: operation.name,
      payload,
      facts: { ...operation.facts, ...facts },
    }
  }

  #settle(operation: Operation, type: EventType, payload: string | null, facts: EventFacts, inboxN?: number): void {
    this.#settling.add(operation.index)
    this.#dues.delete(operation)
    this.#append(this.#draft(type, operation, payload, facts), inboxN)
  }

  #append(draft: EventDraft, inboxN?: number): void {
    this.#host.flusher.append(this.#log, inboxN === undefined ? draft : { ...draft, inboxN })
  }

  #mark(type: EventType, operation: Operation, facts: EventFacts): void {
    if (!operation.announced) this.#host.flusher.mark(this.#log, this.#draft(type, operation, null, facts))
  }

  // ── letting go ─────────────────────────────────────────────────────────────────────────────────

  /** Looks whether the run can be let go of, and does it. Called whenever something came to rest. */
  #settleState(): void {
    if (this.#state !== 'active' || this.#delivering) return
    const { outcome, blockage } = this.#execution
    const ending = outcome !== null || blockage !== null || this.#mailbox.terminate !== null || this.#timedOut
    if (ending) {
      this.#stopBodies('the run has ended')
      this.#log.queued = []
      // A mark that came later would take the place of the closing event.
      this.#log.marks = null
      if (this.#log.inFlight !== null) return
      if (this.#mailbox.terminate !== null) this.#leaveClosed(terminated(this.#mailbox.terminate.reason))
      else if (blockage !== null) void this.#blockNow(blockage)
      else if (outcome !== null) this.#close(outcome)
      else this.#leaveClosed(timedOut(this.definition.name))
      return
    }
    if (this.#bodies > 0 || !this.#log.quiet || this.#dues.asking || this.#cancelOnItsWay) return
    const due = this.#dues.next()
    if (!this.#draining && due !== null && due - this.#host.clock.now() <= this.#host.holdMs) {
      this.#dues.arm(due)
      return
    }
    if (this.#host.flusher.flushMarks(this.#log)) return
    if (this.#draining) this.#leave({ status: 'pending' }, null)
    else this.#park(due)
  }

  #park(due: number | null): void {
    const waits = [...this.#execution.pending].slice(0, 1_000).map((operation) => ({
      op: operation.index,
      kind: operation.kind,
      name: operation.name,
      ...operation.facts,
      askedAt: operation.askedAt,
      ...(this.#dues.has(operation) ? { dueAt: this.#dues.at(operation) } : {}),
      ...(operation.failedAttempts > 0 ? { attempts: operation.failedAttempts } : {}),
    }))
    this.#leave({ status: 'waiting', seen: this.#mailbox.seen, due, waits: JSON.stringify(waits) }, due)
  }

  #close(outcome: Outcome): void {
    const { unhandled, cancelRequested } = this.#execution
    if (unhandled.length > 0) {
      this.#host.log('warn', 'promises of the workflow were rejected and nobody handled it', {
        run: this.runId,
        messages: unhandled.map((reason) => describeError(reason).message),
      })
    }
    this.#leaveClosed(closingOf(outcome, this.definition.name, cancelRequested?.reason))
  }

  #leaveClosed({ status, type, payload, facts, error }: Closing): void {
    const terminal = { seq: this.#log.nextSeq, type, payload, facts: facts === null ? null : JSON.stringify(facts) }
    this.#leave({ status, error, terminal }, null)
  }

  async #blockNow(blockage: Blockage): Promise<void> {
    this.#state = 'leaving'
    const problem = await problemOf(this.#host.store, this.#execution, blockage)
    if (this.gone) return
    this.#logBlocked(problem)
    this.#leave({ status: 'blocked', problem: JSON.stringify(problem) }, null)
  }

  #logBlocked({ message }: Problem): void {
    this.#host.log('error', `run is blocked: ${message}`, { run: this.runId, workflow: this.definition.name })
  }

  #leave(change: Partial<RowChange> & { status: RowChange['status'] }, due: number | null): void {
    this.#state = 'leaving'
    this.#dues.disarm()
    this.#host.rows.change(
      {
        runId: this.runId,
        claim: this.claimed.claim,
        seen: null,
        due: null,
        waits: null,
        problem: null,
        error: null,
        terminal: null,
        ...change,
      },
      (answer) => {
        if (this.#state === 'gone') return
        if (answer !== 'messages') {
          this.#parked = answer === 'changed' && change.status === 'waiting'
          this.#end(answer === 'changed' ? due : null, answer === 'changed')
          return
        }
        // Something was accepted between looking and parking: the run goes on.
        this.#state = 'active'
        this.#host.fetchInbox(this)
      },
    )
  }

  #end(due: number | null, verify: boolean): void {
    if (this.#state === 'gone') return
    this.#state = 'gone'
    this.#openLog?.close()
    this.#stopBodies('the run is no longer held by this worker')
    this.#dues.stop()
    if (verify && this.#events !== null) this.#host.verify?.(this, this.#events)
    this.#execution.drop()
    this.#host.released(this, due)
    if (this.#parked && this.#suspected) void this.#lookInto()
  }

  /** The run is not this worker's any more, or the worker may not write: forget it (R3). */
  abandon(): void {
    this.#end(null, false)
  }

  /** No new attempts; the run is given back as soon as its bodies are over. */
  drain(): void {
    this.#draining = true
    this.#settleState()
  }

  #stopBodies(why: string): void {
    if (this.#attempts.size === 0) return
    const reason = new CancelledFailure(why)
    for (const [op, attempt] of this.#attempts) {
      this.#attempts.delete(op)
      attempt.abandon(reason)
      this.#bodies--
      this.#host.slots.release()
    }
  }

  // ── suspicion ──────────────────────────────────────────────────────────────────────────────────

  /**
   * A continuation of the run was resumed outside its turn. That may be harmless work that nobody waits for, so it is
   * looked into when the run has come to rest, and mostly that is before what it awaits has come.
   */
  #suspect(): void {
    if (this.#suspected) return
    this.#suspected = true
    if (this.#parked) void this.#lookInto()
  }

  async #lookInto(): Promise<void> {
    const { store, log } = this.#host
    try {
      const problem = await blockSuspect(store, this.#execution, this.claimed.claim)
      if (problem !== null) this.#logBlocked(problem)
    } catch (error) {
      log('debug', 'a suspicious run could not be looked into', { run: this.runId, ...describeError(error) })
    }
  }
}

/** The attempt that is about to begin, unless it is the first. */
function attemptFacts({ failedAttempts }: Operation): EventFacts {
  return failedAttempts === 0 ? {} : { attempt: failedAttempts + 1 }
}

function isAtMostOnce({ request }: Operation): boolean {
  return request.kind === 'step' && request.step.atMostOnce
}
