/**
 * Drives one run: performs the commands of its Execution, turns results into events, and delivers each event once it
 * is durable. Lets go of the run when it waits, ends or is blocked.
 *
 * R1. An event reaches the Execution only after its commit.
 * R2. An operation has at most one event on its way that settles it.
 * R3. Whatever was performed for a run that is not this worker's any more is forgotten: bodies are aborted, results
 *     are dropped.
 * R4. A run is let go of only when no body runs, nothing is queued and nothing is under way.
 * R5. A run that is to pause begins no attempt and takes no message; what executes is recorded.
 */
import { encodeError } from '../core/codec.js'
import { createLog } from '../core/ctx.js'
import { CancelledFailure, StetError } from '../core/errors.js'
import type { EventDraft, EventFacts, EventType, RecordedEvent } from '../core/events.js'
import { type Blockage, Execution, type Outcome } from '../core/execution.js'
import type { ChildRequest, Operation } from '../core/operation.js'
import { askExecution } from '../core/query.js'
import type { Definition } from '../core/workflow.js'
import { pausedFor } from '../store/asks.js'
import { type ClaimedRun, type InboxMessage, type LoadedRun, type RowChange, suspectAfter } from '../store/port.js'
import { attemptEnd, attemptFacts, isAtMostOnce, marks } from './attempt-ends.js'
import { Attempt, type AttemptResult } from './attempts.js'
import { AttributeWriter } from './attributes.js'
import { blockSuspect, problemOf } from './blocking.js'
import { bodyOf } from './bodies.js'
import { Checkpoints } from './checkpoints.js'
import { checkedInput, childEvent, childFacts, childStart } from './children.js'
import { type Closing, describeError, endOf, terminated, timedOut, warnAtClose } from './closing.js'
import { Dues, describeWaits } from './dues.js'
import { isRecord, RunLog } from './flusher.js'
import { identityOf, type RunnerHost } from './host.js'
import { warnOfLength } from './length.js'
import { Mailbox, namesComingBack } from './mailbox.js'
import { lettingGo } from './rows.js'

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
  readonly #checkpoints: Checkpoints
  #missedMessages = false
  #cancelOnItsWay = false
  /** Children whose start is on its way. */
  readonly #starting = new Set<number>()
  #hasChildren = false
  readonly #attributes: AttributeWriter
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
    this.#checkpoints = new Checkpoints(host, claimed, () => this.abandon())
    this.#attributes = new AttributeWriter(host, claimed, () => this.#settleState())
    this.#dues = new Dues(host.clock, claimed.deadline, (now) => this.#onTime(now))
    this.#execution = new Execution(definition, identityOf(claimed), {
      turnClosed: () => this.#turnClosed(),
      blockedOutsideTurn: () => (this.#parked ? void this.#lookInto() : this.#settleState()),
      suspected: () => this.#suspect(),
      log: (level, message, fields) => host.log(level, message, { run: this.runId, ...fields }),
    })
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

  /** Bodies that execute are all that is under way (testing). */
  get quiet(): boolean {
    const busy = this.#delivering || this.#cancelOnItsWay || this.#dues.asking || this.#attributes.busy
    return this.#state === 'active' && !busy && this.#log.quiet
  }

  /** Operations whose bodies have not come to their effect (testing). */
  get executing(): Operation[] {
    const open = [...this.#attempts].filter(([, attempt]) => !attempt.over)
    return open.map(([op]) => this.#execution.operation(op)!)
  }

  // ── taking the run up ──────────────────────────────────────────────────────────────────────────

  begin(loaded: LoadedRun): void {
    const { claimed } = this
    this.#openLog = new RunLog(this.runId, claimed.claim, loaded.events.length + 1, {
      committed: (events) => this.#committed(events),
      lost: () => this.abandon(),
    })
    this.#checkpoints.restore(loaded.checkpoints)
    this.#mailbox.add(loaded.inbox, claimed.msgs)
    if (this.#events !== null) for (const event of loaded.events) this.#events.push(event)
    warnOfLength(this.#host, this.runId, 0, loaded.events.length)
    this.#hasChildren = loaded.events.some(({ type }) => type === 'ChildStarted')
    this.#attributes.restore(loaded.events)
    // A run that never ran before has nothing to replay: its first turn is live.
    this.#execution.live = loaded.events.length === 1
    this.#execution.deliverRecorded(loaded.events, () => this.#replayed())
  }

  #replayed(): void {
    if (this.#state === 'gone') return
    this.#state = 'active'
    this.#execution.live = true
    if (this.#execution.blockage === null && this.#execution.outcome === null) {
      for (const draft of this.#execution.unrecorded) this.#append(draft)
      for (const event of this.#execution.unread) this.#mailbox.putBack(event)
      // A cancel that is already there comes first: what it cancels is never begun.
      this.#takeCancel()
      if (!this.#cancelOnItsWay) this.#performAll()
      this.#takeMessages()
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
    this.#host.meter?.committed(this.claimed, events, this.#execution)
    if (this.#state === 'gone') return
    if (this.#apart && events.some(({ type }) => !marks.has(type))) {
      this.#apart = false
      this.#host.gotOn()
    }
    this.#host.gate?.committed(this, events)
    if (this.gone) return
    for (const { type, payload } of events) if (type === 'AttributesSet') this.#attributes.write(payload)
    this.#deliver(events)
    warnOfLength(this.#host, this.runId, this.#log.nextSeq - 1 - events.length, events.length)
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
        else if (command.do === 'abandon') this.#abandonOperation(command.operation)
        else if (command.do === 'record') this.#append(command.draft)
      }
      // Not before the waits of this turn: a message goes to who waits for it rather than to a handler.
      if (commands.some((command) => command.do === 'listen')) this.#takeMessages()
      if (this.#cancelOnItsWay && this.#execution.cancelRequested !== null) {
        this.#cancelOnItsWay = false
        this.#performAll()
        this.#takeMessages()
      }
    }
    this.#next()
  }

  /** Events without a turn that the runner itself acts on. */
  #afterEvent(event: RecordedEvent): void {
    if (this.#execution.unread.at(-1) === event && this.#execution.outcome === null) {
      this.#mailbox.putBack(event)
      this.#takeMessages()
      return
    }
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
      case 'child':
        void this.#startChild(operation, request.child)
        return
    }
  }

  #performStep(operation: Operation): void {
    if (operation.request.kind !== 'step' || this.#attempts.has(operation.index) || this.#dues.has(operation)) return
    const { step } = operation.request
    const committed = this.#mailbox.takeResult(operation.index)
    if (committed !== undefined) {
      // An earlier attempt came as far as the commit of its transaction.
      this.#settle(operation, 'StepCompleted', committed.payload, attemptFacts(operation), committed.n)
      return
    }
    if (operation.nextAttemptAt !== null && operation.nextAttemptAt > this.#host.clock.now()) {
      this.#dues.set(operation, operation.nextAttemptAt)
      return
    }
    if (!step.atMostOnce) {
      if (operation.failedAttempts === 0) this.#mark('StepScheduled', operation, { began: this.#host.clock.now() })
      this.#beginAttempt(operation)
    } else if (!operation.announced) {
      // Once announced it must be begun, for the next worker cannot know that it was not.
      if (!this.#resting) this.#append(this.#draft('StepScheduled', operation, null, attemptFacts(operation)))
    } else {
      const error = new StetError(
        'may_have_run',
        `step "${operation.name}" may have run: its worker ended before the result was recorded, and its mode is atMostOnce`,
      )
      this.#settle(operation, 'StepFailed', encodeError(error), { attempt: operation.failedAttempts + 1 })
    }
  }

  #beginAttempt(operation: Operation): void {
    if (this.#resting && !isAtMostOnce(operation)) return
    this.#bodies++
    this.#host.slots.take(() => this.#runBody(operation))
  }

  #runBody(operation: Operation): void {
    const unwanted =
      this.#state === 'gone' ||
      (this.#resting && !isAtMostOnce(operation)) ||
      operation.settled ||
      this.#attempts.has(operation.index)
    if (unwanted || operation.request.kind !== 'step') {
      this.#bodyOver()
      return
    }
    this.#host.gate?.before(this, operation)
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
    const fn = bodyOf(this.#host, this.claimed, operation, () => this.abandon())
    const attempt = new Attempt(
      {
        name: operation.name,
        runId: this.runId,
        op: operation.index,
        attempt: operation.failedAttempts + 1,
        step: fn === step.fn ? step : { ...step, fn },
        remainingMs: step.totalTimeoutMs === null ? null : operation.askedAt + step.totalTimeoutMs - began,
        checkpoint: () => this.#checkpoints.of(operation),
        saveCheckpoint: (value) => this.#checkpoints.save(operation, value),
        log: createLog((level, message, fields) =>
          this.#host.log(level, message, { run: this.runId, step: operation.name, ...fields }),
        ),
      },
      (result) => {
        const { gate } = this.#host
        if (gate === undefined || this.gone) this.#attemptOver(operation, result, began)
        else gate.effect(this, operation, () => this.#attemptOver(operation, result, began))
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
    // While the gate kept the result nobody came to want it any more, and its body was counted as over then.
    if (!this.#attempts.delete(operation.index)) return
    if (this.#state !== 'gone' && !operation.settled) this.#record(operation, result, began)
    this.#bodyOver()
  }

  #record(operation: Operation, result: AttemptResult, began: number): void {
    const { type, payload, facts, inboxN } = attemptEnd(operation, result, began, this.#host.clock.now())
    if (inboxN !== undefined) this.#mailbox.sawResult(inboxN)
    if (type === 'AttemptFailed') this.#append(this.#draft(type, operation, payload, facts))
    else this.#settle(operation, type, payload, facts, inboxN)
  }

  #abandonOperation(operation: Operation): void {
    this.#attempts.get(operation.index)?.abandon(new CancelledFailure('the run was cancelled'))
    if (this.#attempts.delete(operation.index)) this.#bodyOver()
    this.#dues.delete(operation)
    // A child whose start has not been sent is not started any more.
    if (this.#starting.has(operation.index)) {
      this.#log.queued = this.#log.queued.filter(({ type, op }) => type !== 'ChildStarted' || op !== operation.index)
    }
    const fired = this.#settling.delete(operation.index)
    this.#mailbox.forget(operation)
    if (operation.kind !== 'timer' || fired) return
    if (operation.announced) this.#host.flusher.mark(this.#log, this.#draft('TimerCancelled', operation, null, {}))
    else this.#log.marks?.delete(operation.index)
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

  /** Nothing has settled it, and nothing that will is on its way (R2, R5). */
  #wants(operation: Operation): boolean {
    return !operation.settled && !this.#settling.has(operation.index) && !this.#pausing
  }

  get #pausing(): boolean {
    return this.#mailbox.pause !== null
  }

  /** No attempt begins any more. */
  get #resting(): boolean {
    return this.#draining || this.#pausing
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

  #takeChildren(): void {
    for (const news of this.#mailbox.takeChildren()) {
      const operation = this.#execution.operation(news.op)
      if (operation === undefined || !this.#wants(operation)) continue
      const settled = childEvent(operation, news)
      if (settled !== null) this.#settle(operation, settled.type, news.payload, settled.facts, news.n)
    }
  }

  async #startChild(operation: Operation, child: ChildRequest): Promise<void> {
    this.#hasChildren = true
    if (operation.announced || this.#starting.has(operation.index)) return
    this.#starting.add(operation.index)
    this.#bodies++
    try {
      const payload = child.schema === undefined ? child.payload : await checkedInput(child)
      if (!this.#wants(operation) || this.gone) return
      const draft = this.#draft('ChildStarted', operation, null, childFacts(child))
      this.#host.flusher.append(this.#log, { ...draft, child: childStart(child, payload, this.claimed) })
    } catch (error) {
      if (this.#wants(operation)) this.#settle(operation, 'ChildFailed', encodeError(error), childFacts(child))
    } finally {
      this.#bodies--
      if (this.#bodies === 0 && !this.#delivering) this.#settleState()
    }
  }

  /** Messages that nobody waits for one by one: their handlers begin in the turns of their events. */
  #takeHandled(): void {
    const { signals, updates } = this.#execution.handlers
    if ((signals.size === 0 && updates.size === 0) || this.#pausing) return
    const comingBack = this.#comingBack()
    for (;;) {
      const message = this.#mailbox.takeHandled((kind, name) =>
        kind === 'signal' ? signals.has(name) && !comingBack.has(name) : updates.has(name),
      )
      if (message === undefined) return
      const { kind, name, payload, messageId, n, again } = message
      const id = kind === 'update' ? { id: messageId! } : null
      const facts = again === undefined ? id : { ...id, again }
      const type = kind === 'signal' ? 'SignalReceived' : 'UpdateReceived'
      this.#append({ type, op: null, name, payload, facts }, n === 0 ? undefined : n)
    }
  }

  #takeCancel(): void {
    if (this.#pausing) return
    const cancel = this.#mailbox.takeCancel()
    if (cancel !== null && this.#execution.cancelRequested === null && !this.#cancelOnItsWay) {
      this.#cancelOnItsWay = true
      const facts = cancel.reason === undefined ? null : { reason: cancel.reason }
      this.#append({ type: 'CancelRequested', op: null, name: null, payload: null, facts }, cancel.n)
    }
  }

  #takeMessages(): void {
    this.#takeCancel()
    for (const name of this.#mailbox.signalNames()) this.#matchSignals(name)
    if (this.#cancelOnItsWay || this.#execution.outcome !== null) return
    this.#takeChildren()
    this.#takeHandled()
  }

  /** The answer of a run that is in memory and at rest; null: it is not. */
  query(name: string, payload: string | null): Promise<{ answer: string | null; error: string | null }> | null {
    if (this.#state !== 'active' || this.#execution.blockage !== null) return null
    return askExecution(this.#execution, name, payload)
  }

  /** Gives the oldest signals of a name to the operations that wait for it, oldest first. */
  #matchSignals(name: string): void {
    if (this.#cancelOnItsWay || this.#execution.outcome !== null || this.#comingBack().has(name)) return
    for (;;) {
      const pair = this.#mailbox.match(name, (operation) => this.#wants(operation))
      if (pair === null) return
      const { payload, n, again } = pair.message
      const facts = again === undefined ? {} : { again }
      this.#settle(pair.operation, 'SignalReceived', payload, facts, n === 0 ? undefined : n)
    }
  }

  #comingBack(): ReadonlySet<string> {
    return namesComingBack(this.#execution, this.#log, this.#toDeliver)
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
    this.#host.gate?.rest(this)
    if (this.gone) return
    const { outcome, blockage } = this.#execution
    const ending = outcome !== null || blockage !== null || this.#mailbox.terminate !== null || this.#timedOut
    if (ending) {
      this.#stopBodies('the run has ended')
      // What was answered is answered; the rest does not happen any more.
      this.#log.queued = outcome === null ? [] : this.#log.queued.filter(isRecord)
      // A mark that came later would take the place of the closing event.
      this.#log.marks = null
      if (!this.#log.quiet || this.#attributes.busy) return
      if (this.#mailbox.terminate !== null) this.#leaveClosed(terminated(this.#mailbox.terminate.reason))
      else if (blockage !== null) void this.#blockNow(blockage)
      else if (outcome !== null) this.#close(outcome)
      else this.#leaveClosed(timedOut(this.definition.name))
      return
    }
    if (this.#bodies > 0 || !this.#log.quiet || this.#dues.asking || this.#cancelOnItsWay || this.#attributes.busy)
      return
    const due = this.#dues.next()
    if (!this.#resting && due !== null && due - this.#host.clock.now() <= this.#host.holdMs) {
      this.#dues.arm(due)
      return
    }
    if (this.#host.flusher.flushMarks(this.#log)) return
    if (this.#draining && !this.#pausing) this.#leave({ status: 'pending' }, null)
    else this.#park(due)
  }

  #park(due: number | null): void {
    const waits = describeWaits(this.#execution.pending, this.#dues)
    const { pause, seen } = this.#mailbox
    if (pause !== null) this.#leave({ status: 'paused', problem: pausedFor(pause), waits }, null)
    else this.#leave({ status: 'waiting', seen, due, waits }, due)
  }

  #close(outcome: Outcome): void {
    warnAtClose(this.#host, this.runId, this.#execution)
    const reason = this.#execution.cancelRequested?.reason
    const closing = endOf(outcome, this.definition, reason, this.#execution.unread)
    if (!(closing instanceof Promise)) {
      this.#leaveClosed(closing)
      return
    }
    this.#state = 'leaving'
    void closing.then((checked) => {
      if (!this.gone) this.#leaveClosed(checked)
    })
  }

  #leaveClosed({ status, type, payload, facts, error, successor }: Closing): void {
    const terminal = { seq: this.#log.nextSeq, type, payload, facts: facts === null ? null : JSON.stringify(facts) }
    // A successor gets the messages that were not read: none may come unseen meanwhile.
    this.#leave({ status, error, terminal, successor, seen: successor === null ? null : this.#mailbox.seen }, null)
  }

  async #blockNow(blockage: Blockage): Promise<void> {
    this.#state = 'leaving'
    const problem = await problemOf(this.#host.store, this.#execution, blockage)
    if (this.gone) return
    this.#host.blocked(this, problem)
    this.#leave({ status: 'blocked', problem: JSON.stringify(problem) }, null)
  }

  #leave(change: Partial<RowChange> & { status: RowChange['status'] }, due: number | null): void {
    this.#state = 'leaving'
    this.#dues.disarm()
    this.#host.rows.change(
      {
        ...lettingGo,
        runId: this.runId,
        claim: this.claimed.claim,
        hasParent: this.claimed.hasParent,
        hasChildren: this.#hasChildren,
        ...change,
      },
      (answer, at) => {
        if (answer === 'changed') this.#host.meter?.left(this.claimed, change.status, at, this.#execution)
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
      if (problem !== null) this.#host.blocked(this, problem)
    } catch (error) {
      log('debug', 'a suspicious run could not be looked into', { run: this.runId, ...describeError(error) })
    }
  }
}
