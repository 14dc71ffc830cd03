/**
 * A run as a fold over its history. Live execution and replay are this one class: events go in, commands come out.
 * It does no I/O and knows nothing of a database, a clock or a worker.
 *
 * E1. The function sees an event only by `deliver`, one at a time, each in a turn of its own. Whoever delivers it has
 *     made it durable before.
 * E2. Operations are numbered from 1 in the order of asking, inside the run's own turns only.
 * E3. An event that belongs to operation n finds it asked for, with the kind and name that the event has. Anything
 *     else is a mismatch, and blocks.
 * E4. An operation settles once. To park is to never settle it: no exception that user code could catch.
 * E5. A turn that ends with no outcome leaves some operation (or handler) that the function waits for. Otherwise the
 *     function waits for something that is not recorded, and is blocked.
 * E6. Nothing happens to a blocked or dropped Execution any more.
 * E7. What takes no number (an update's answer, attributes, a patch) follows from the code like a command; its event
 *     says that it is on record, and what is not is told to the runner again.
 */
import { callsite, placesOf } from './callsite.js'
import { currentFrontier, installCauses, withFrontier } from './causes.js'
import { decode } from './codec.js'
import { Conditions } from './conditions.js'
import { createCtx } from './ctx.js'
import { originals, type TurnSource } from './determinism.js'
import { CancelledFailure, StetError, TimeoutFailure } from './errors.js'
import { type EventDraft, type EventFacts, isTerminal, type RecordedEvent } from './events.js'
import type { Command, ExecutionHooks, LogLevel, Outcome, RunIdentity } from './execution-types.js'
import { Frontier } from './frontier.js'
import { Handlers } from './handlers.js'
import type { CodeState, Misfit } from './misfit.js'
import { type Blockage, blockageOf, compareEnd, compareOperation, nothingWakes } from './misfit.js'
import { type Asker, type ChildRequest, Operation, type OperationRequest } from './operation.js'
import { randomFrom } from './random.js'
import { childFailure, stepFailure } from './recorded-failures.js'
import { Records } from './records.js'
import { Rollback } from './rollback.js'
import { CancelScope } from './scope.js'
import { shared } from './state.js'
import { engineStep } from './step.js'
import { enqueueRecorded, enqueueTurn, type Turn } from './turn.js'
import type { Ctx } from './types.js'
import type { Definition } from './workflow.js'

export type { Blockage } from './misfit.js'
export type { Command, ExecutionHooks, LogLevel, Outcome, RunIdentity }

export class Execution implements TurnSource, Turn, Asker {
  readonly definition: Definition
  readonly identity: RunIdentity
  readonly ctx: Ctx
  outcome: Outcome | null = null
  blockage: Blockage | null = null
  /** Rejections inside turns that nobody handled. */
  readonly unhandled: unknown[] = []
  /** Messages in the history that nobody has read: they came behind the end of their wait, or of the function. */
  unread: readonly RecordedEvent[] = []
  /** The last event that was delivered. */
  lastSeq = 0
  startedAt = 0
  cancelRequested: { readonly reason: string | undefined } | null = null
  /** False while recorded history is replayed: logs are silent then. */
  live = false
  /** What is on record about its start. */
  begun: EventFacts = {}

  readonly scope = new CancelScope(null)
  readonly handlers: Handlers
  readonly rollback = new Rollback()
  readonly conditions = new Conditions()
  readonly #records = new Records()
  /** A handler of a query is executing: it may ask for nothing. */
  #answering = false
  /** Between a turn and the further turn of its conditions. */
  #more = false
  readonly #hooks: ExecutionHooks
  readonly #operations: (Operation | undefined)[] = [undefined]
  readonly #pending = new Set<Operation>()
  /** How many operations of each name there are. */
  readonly #named = new Map<string, number>()
  #awaitedPending = 0
  #commands: Command[] = []
  #now = 0
  #random: (() => number) | null = null
  #dropped = false
  /** Recorded events are being delivered. */
  #recorded = false
  #event: RecordedEvent | null = null
  readonly #start: Frontier
  /** Frontiers of exactly one operation, shared by all who have seen just that. */
  #turnFrontier: Frontier

  constructor(definition: Definition, identity: RunIdentity, hooks: ExecutionHooks) {
    installCauses()
    this.definition = definition
    this.identity = identity
    this.#hooks = hooks
    this.#start = new Frontier(this, [0])
    this.#turnFrontier = this.#start
    this.handlers = new Handlers({
      answer: (draft) => this.#commands.push({ do: 'record', draft }),
      failed: (error) => {
        this.outcome ??= { type: 'failed', error }
      },
    })
    this.ctx = createCtx(this, this.scope)
  }

  /** For `state.ts`, `turn.ts`: this is the run that is inside its turn. */
  get run(): this {
    return this
  }

  // ── events in ──────────────────────────────────────────────────────────────────────────────────

  /**
   * Delivers the next event. True: a turn was queued, and `turnClosed` will be called after it. False: it was applied
   * at once. Check `blockage` in both cases.
   */
  deliver(event: RecordedEvent): boolean {
    const hasTurn = this.#accept(event)
    if (hasTurn) enqueueTurn(this)
    return hasTurn
  }

  /**
   * Delivers a recorded history up to its end or the first mismatch, then calls `done`. No `turnClosed` is called and
   * no commands are left: what still waits for its event is in `pending`. `history`: all of it, if these are a part. An
   * event is still delivered in a turn of its own; only the one who delivers it is not asked in between.
   */
  deliverRecorded(events: readonly RecordedEvent[], done: () => void, history = events): void {
    let i = 0
    this.#recorded = true
    this.expect(history)
    const next = (): Turn | null => {
      while (i < events.length && this.blockage === null) {
        if (this.#accept(events[i++]!)) return this
        this.#hooks.recordedApplied?.()
      }
      return null
    }
    enqueueRecorded(next, events.length, () => {
      // Events behind the last one that has a turn.
      next()
      this.#recorded = false
      this.#commands = []
      done()
    })
  }

  /** This is the recorded history, of which events are to be delivered: what lies behind it is new. */
  expect(events: readonly RecordedEvent[]): void {
    this.#records.expect(events)
  }

  /** Checks an event and applies what needs no turn. True: it needs one, which is prepared. */
  #accept(event: RecordedEvent): boolean {
    if (this.blockage !== null || this.#dropped) return false
    if (event.seq !== this.lastSeq + 1) {
      this.#mismatch(event, `event ${this.lastSeq + 1}`, `event ${event.seq}: the history has a hole or a double`)
      return false
    }
    this.lastSeq = event.seq
    if (this.#tookInVain(event)) return false
    const operation = event.op === null || event.op === 0 ? null : this.#operationOf(event)
    if (this.blockage !== null) return false
    switch (event.type) {
      case 'StepScheduled':
      case 'TimerStarted':
        operation!.announced = true
        return false
      case 'ChildStarted':
        operation!.announced = true
        operation!.adopt(event.facts)
        // Its start was on its way when its scope was cancelled: only now is there somebody to be asked.
        if (operation!.settled ? !operation!.unasked : operation!.started === null) return false
        break
      case 'AttemptFailed':
        operation!.failedAttempts = event.facts?.attempt ?? operation!.failedAttempts + 1
        operation!.nextAttemptAt = event.facts?.dueAt ?? null
        // It is known to be over: what comes next is another attempt, to be announced anew.
        operation!.announced = false
        return false
      case 'TimerCancelled':
        return false
      case 'PatchMarked':
        this.#records.recorded(event)
        return false
      case 'AttributesSet':
        if (!this.#records.recorded(event)) this.#mismatch(event, 'ctx.setAttributes', 'not called')
        return false
      case 'UpdateCompleted':
      case 'UpdateRejected':
        if (!this.handlers.recorded(event.facts?.id ?? '')) {
          this.#mismatch(event, `an answer to update "${event.name}"`, 'none was given')
        }
        return false
      case 'SignalReceived':
        if (event.op === null && !this.handlers.signals.has(event.name!)) {
          this.#mismatch(event, `a handler of signal "${event.name}"`, 'none is registered')
          return false
        }
        break
      case 'UpdateReceived':
        if (!this.handlers.updates.has(event.name!)) {
          this.#mismatch(event, `a handler of update "${event.name}"`, 'none is registered')
          return false
        }
        break
      default:
        break
    }
    if (isTerminal(event.type)) {
      const misfit = compareEnd(event, this.#state)
      if (misfit !== null) this.#misfit(event, misfit)
      return false
    }
    // A settled operation's late event (the run was cancelled meanwhile) changes nothing.
    if (operation?.settled && event.type !== 'ChildStarted') return false
    this.#event = event
    this.#now = event.at
    this.#random = null
    this.#turnFrontier = operation === null ? this.#start : new Frontier(this, [operation.index])
    return true
  }

  /** A message was on its way into the history when whatever wanted it ended: it is still to be read. */
  #tookInVain(event: RecordedEvent): boolean {
    if (event.type !== 'SignalReceived' && event.type !== 'UpdateReceived') return false
    const again = event.facts?.again
    if (again !== undefined) this.unread = this.unread.filter(({ seq }) => seq !== again)
    if (this.outcome === null && !(event.op !== null && this.#operations[event.op]?.settled)) return false
    this.unread = [...this.unread, event]
    return true
  }

  frontier(): Frontier {
    return this.#turnFrontier
  }

  apply(): void {
    if (this.#dropped || this.conditions.settle()) return
    const event = this.#event!
    try {
      this.#apply(event)
    } catch (error) {
      // Only a payload that cannot be decoded gets here: it belongs to this history, and must stop this run alone.
      this.#block({
        code: 'nondeterminism',
        message: `event ${event.seq} (${event.type}) cannot be applied: ${(error as Error).message}`,
      })
    }
  }

  more(): boolean {
    this.#more =
      this.conditions.size > 0 &&
      !this.#dropped &&
      this.blockage === null &&
      this.outcome === null &&
      this.conditions.look(() => this.#operations.length)
    return this.#more
  }

  /** Something that stet knows of can wake the function (E5). */
  get #canGoOn(): boolean {
    return this.#awaitedPending > 0 || this.handlers.any || (this.conditions.size > 0 && this.#pending.size > 0)
  }

  close(): void {
    this.#event = null
    if (this.#dropped) return
    if (this.blockage === null && this.outcome === null && !this.#canGoOn) {
      this.#block(nothingWakes(this.conditions.size > 0))
    }
    if (this.#recorded) {
      this.#hooks.recordedApplied?.()
      this.#commands.length = 0
    } else this.#hooks.turnClosed()
  }

  #apply(event: RecordedEvent): void {
    const operation = event.op === null || event.op === 0 ? null : this.#operations[event.op]!
    switch (event.type) {
      case 'RunStarted':
        this.#begin(event)
        return
      case 'CancelRequested':
        this.#cancel(event.facts?.reason)
        return
      case 'SignalReceived':
        if (operation === null) {
          this.#handle(this.handlers.signals.get(event.name!)!, () => this.handlers.signal(event.name!, event.payload))
          return
        }
        this.#resolve(operation, decode(event.payload))
        return
      case 'UpdateReceived':
        this.#handle(this.handlers.updates.get(event.name!)!, () =>
          this.handlers.update(event.name!, event.facts?.id ?? '', event.payload),
        )
        return
      case 'StepCompleted':
      case 'ChildCompleted':
        this.#resolve(operation!, decode(event.payload))
        return
      case 'ChildStarted':
        if (operation!.settled) this.#askToCancel(operation!)
        else operation!.start(undefined)
        return
      case 'ChildFailed':
        this.#reject(operation!, childFailure(operation!, event))
        return
      case 'StepFailed':
        this.#reject(operation!, stepFailure(operation!.name, event))
        return
      case 'TimerFired':
        this.#fire(operation!)
        return
      case 'StepSkipped':
        this.#resolve(operation!, undefined)
        return
      default:
        throw new StetError('unknown_event', `this version of stet does not know events of type ${event.type}`)
    }
  }

  #begin(event: RecordedEvent): void {
    this.startedAt = event.at
    this.begun = event.facts ?? {}
    const input = decode(event.payload)
    let result: Promise<unknown>
    try {
      result = Promise.resolve(this.definition.fn(this.ctx, input))
    } catch (error) {
      result = Promise.reject(error)
    }
    result.then(
      (value) => this.#ended({ type: 'completed', value }),
      (error) => {
        if (this.rollback.empty) this.#failed(error)
        else
          this.rollback
            .run(createCtx(this, new CancelScope(this.scope, true)), error)
            .then((last) => this.#failed(last))
      },
    )
  }

  #failed(error: unknown): void {
    this.#ended({ type: error instanceof CancelledFailure && this.cancelRequested ? 'cancelled' : 'failed', error })
  }

  /** Ends this run in favour of one that begins anew with another input. */
  continueAsNew(payload: string | null, version: number | null): void {
    this.outcome ??= { type: 'continued', payload, version }
  }

  /** Runs a handler with what its registration had seen, and what this turn has. */
  #handle({ seen }: { seen: Frontier | null }, body: () => void): void {
    withFrontier(seen ?? this.#turnFrontier, body)
  }

  #ended(outcome: Outcome): void {
    if (shared.current !== this) {
      this.#outsideTurn(outcome.type === 'completed' ? 'the workflow returned' : 'the workflow threw an error')
      return
    }
    // Whoever continues as new has ended before; what the function does behind that is of no account.
    this.outcome ??= outcome
  }

  #cancel(reason: string | undefined): void {
    if (this.cancelRequested !== null) return
    this.cancelRequested = { reason }
    const message = reason === undefined ? 'the run was cancelled' : `the run was cancelled: ${reason}`
    this.cancelScope(this.scope, () => new CancelledFailure(message))
  }

  /** Cancels what a scope waits for (S1). Called inside a turn. */
  cancelScope(scope: CancelScope, makeError: () => Error): void {
    let heard = this.conditions.cancel(scope, makeError)
    for (const operation of [...this.#pending]) {
      const { request } = operation
      // Timers made by setTimeout belong to code that knows nothing of cancellation.
      if (request.kind === 'timer' && request.callback !== undefined) continue
      // A skip is only put on record: there is nothing to cancel.
      if (request.kind === 'skip' || !scope.covers(operation.scope)) continue
      heard ||= operation.awaited
      // A child that was not started is not there to be asked.
      if (operation.announced && operation.unasked) this.#askToCancel(operation)
      if (operation.cancelAsked && request.kind === 'child' && request.child.cancellation === 'wait') continue
      this.#commands.push({ do: 'abandon', operation })
      this.#reject(operation, makeError())
    }
    if (!heard) scope.keep(makeError)
  }

  /** A step of the engine's own that nothing cancels: whoever cancels this run wants its children cancelled too. */
  #askToCancel(operation: Operation): void {
    const { id, runId: to } = (operation.request as { child: ChildRequest }).child
    operation.cancelAsked = true
    const causes = [operation.index]
    this.ask(
      `cancel ${id}`.slice(0, 200),
      {
        kind: 'step',
        step: engineStep,
        does: { what: 'cancel', to, reason: 'the run that started it was cancelled' },
      },
      { causes, scope: new CancelScope(this.scope, true), where: operation.where },
    )
  }

  #fire(operation: Operation): void {
    const { request } = operation
    if (request.kind === 'signal') {
      if (request.fallback !== undefined) this.#resolve(operation, request.fallback.value)
      else {
        const message = `no signal "${operation.name}" came in time`
        this.#reject(operation, new TimeoutFailure(message, { operation: operation.name }))
      }
      return
    }
    if (request.kind === 'timer' && request.callback !== undefined) {
      const { callback } = request
      this.#resolve(operation, undefined)
      withFrontier(this.#turnFrontier, () => {
        try {
          callback()
        } catch (error) {
          // What Node would make an uncaught exception is this run's own failure.
          this.outcome ??= { type: 'failed', error }
        }
      })
      return
    }
    this.#resolve(operation, undefined)
  }

  #resolve(operation: Operation, value: unknown): void {
    this.#forget(operation)
    operation.resolve(value)
  }

  #reject(operation: Operation, reason: unknown): void {
    this.#forget(operation)
    operation.reject(reason)
  }

  #forget(operation: Operation): void {
    if (this.#pending.delete(operation) && operation.awaited) this.#awaitedPending--
  }

  // ── commands out ───────────────────────────────────────────────────────────────────────────────

  /** What the function asked for since the last call. */
  takeCommands(): Command[] {
    const commands = this.#commands
    this.#commands = []
    return commands
  }

  /** Operations that wait for their event. */
  get pending(): ReadonlySet<Operation> {
    return this.#pending
  }

  causesOf(op: number): Frontier | undefined {
    return this.#operations[op]?.causes
  }

  operation(index: number): Operation | undefined {
    return this.#operations[index]
  }

  get operationCount(): number {
    return this.#operations.length - 1
  }

  /**
   * Asks for an operation on behalf of the executing continuation. `causes` and `where` are given when the shape is
   * declared (a dag): it was not this continuation's code that decided them.
   */
  ask(
    name: string,
    request: OperationRequest,
    {
      causes,
      where,
      scope = this.scope,
    }: { causes?: readonly number[]; where?: string | undefined; scope?: CancelScope } = {},
  ): Operation {
    const index = this.#operations.length
    const nth = (this.#named.get(name) ?? 0) + 1
    this.#named.set(name, nth)
    const operation = new Operation(
      index,
      name,
      request,
      {
        nth,
        causes: causes === undefined ? (currentFrontier() ?? this.#start) : new Frontier(this, causes),
        where: where ?? (request.kind === 'step' ? placesOf(this.definition).find(name, request.step.fn) : callsite()),
        askedAt: this.asked(),
        scope,
      },
      this,
    )
    this.#operations.push(operation)
    const cancelled = scope.takeUndelivered()
    if (cancelled !== null) {
      operation.reject(cancelled)
      return operation
    }
    this.#pending.add(operation)
    // What is asked for after the outcome can no longer happen; it keeps its number, as it will on every replay.
    if (this.outcome === null) this.#commands.push({ do: 'perform', operation })
    return operation
  }

  awaits(): void {
    this.#awaitedPending++
  }

  awaitsNoMore(): void {
    this.#awaitedPending--
  }

  /** Waits until the predicate holds. It is looked at now, and then at the end of each turn. */
  condition(predicate: () => boolean, scope: CancelScope): { promise: Promise<void>; forget: () => void } {
    const cancelled = scope.takeUndelivered()
    if (cancelled !== null) return { promise: Promise.reject(cancelled), forget: () => {} }
    return this.conditions.add(predicate, scope)
  }

  /** Puts something on record that takes no number (E7). */
  record(record: Pick<EventDraft, 'type' | 'name' | 'payload'>): void {
    const draft = this.#records.add(record)
    if (this.outcome === null) this.#commands.push({ do: 'record', draft })
  }

  /** What the code has put on record and the history does not have. */
  get unrecorded(): EventDraft[] {
    return [...this.#records.unrecorded, ...this.handlers.unrecorded]
  }

  /** Messages of a name have a handler now: those that are there can be taken. */
  listen(): void {
    this.#commands.push({ do: 'listen' })
  }

  /** What the executing continuation has seen. */
  get seen(): Frontier {
    return currentFrontier() ?? this.#start
  }

  /**
   * True when this run is on the patched path: it reached the place for the first time beyond its recorded history, or
   * it is on record that it did.
   */
  patched(id: string): boolean {
    const { patched, first } = this.#records.patch(id, this.lastSeq)
    if (first) this.record({ type: 'PatchMarked', name: id, payload: null })
    return patched
  }

  /** Calls `body` in a turn in which the run may be looked at, and nothing may be asked for (a query). */
  look(body: () => void, done: () => void): void {
    const turn: Turn = {
      run: this,
      frontier: () => this.#start,
      apply: () => {
        this.#answering = true
        body()
      },
      more: () => {
        this.#answering = false
        return false
      },
      close: done,
    }
    // Not in the middle of something: after the turn of its conditions.
    const begin = () => (this.#more ? originals.setImmediate(begin) : enqueueTurn(turn))
    begin()
  }

  /** Takes back an operation that the function no longer wants (clearTimeout). */
  withdraw(operation: Operation): void {
    if (operation.settled) return
    this.#commands.push({ do: 'abandon', operation })
    this.#resolve(operation, undefined)
  }

  /**
   * Called by everything that the function can do through ctx. True: go on. False: the call came outside the run's own
   * turn; the run is blocked and the caller gets a promise that never settles.
   * @throws StetError inside a step, and in the turn of another run
   */
  inTurn(what: string): boolean {
    if (shared.current === this) {
      if (!this.#answering) {
        if (this.blockage === null) this.#hooks.called?.(what)
        return this.blockage === null
      }
      throw new StetError(
        'in_query',
        `${what} was called in the handler of a query. A query only looks: let it return what the workflow has put into variables.`,
      )
    }
    const step = shared.step.getStore()
    if (step !== undefined && shared.current === null) {
      throw new StetError(
        'inside_step',
        `${what} was called inside step "${step.name}". A step is one unit of work: call ctx in the workflow function, outside of ctx.step.`,
      )
    }
    this.#outsideTurn(what)
    if (shared.current !== null) {
      throw new StetError(
        'foreign_turn',
        `${what} of run ${this.identity.runId} was called in a turn of another run. The workflow awaits something that another run settles; let runs talk by signals.`,
      )
    }
    return false
  }

  #outsideTurn(what: string): void {
    if (this.blockage !== null) return
    const where = callsite()
    this.#block({
      code: 'unrecorded_await',
      message: `${what}${where === undefined ? '' : ` (${where})`} outside of the run's turn: before it, the workflow awaited something that is not recorded. Wrap it in ctx.step(name, fn).`,
    })
    this.#hooks.blockedOutsideTurn?.()
  }

  resumedOutsideTurn(): void {
    this.#hooks.suspected?.()
  }

  /** Ends this Execution's part in the run: its promises never settle, its memory can go. */
  drop(): void {
    this.#dropped = true
    this.#commands = []
    this.#pending.clear()
  }

  // ── what a turn offers ─────────────────────────────────────────────────────────────────────────

  now(): number {
    return this.#now
  }

  /** From when on what is asked for now is waited for: what a fork's prefix left pending is begun anew by the fork. */
  asked(): number {
    return Math.max(this.#now, this.begun.fork?.at ?? 0)
  }

  nextUint32(): number {
    this.#random ??= randomFrom(this.#event?.facts?.from ?? `${this.begun.seed ?? this.identity.runId}:${this.lastSeq}`)
    return this.#random()
  }

  startTimer(name: string, ms: number, callback: () => void): () => void {
    const operation = this.ask(name, { kind: 'timer', dueAt: Math.ceil(this.asked() + ms), callback })
    operation.awaited = true
    return () => this.withdraw(operation)
  }

  log(level: LogLevel, message: string, fields: object | undefined): void {
    if (this.live) this.#hooks.log?.(level, message, fields)
  }

  // ── mismatches ─────────────────────────────────────────────────────────────────────────────────

  /** What the code had come to, for a comparison with what is recorded. */
  get #state(): CodeState {
    return { outcome: this.outcome, pending: this.#pending }
  }

  #operationOf(event: RecordedEvent): Operation | null {
    const operation = this.#operations[event.op!]
    const misfit = compareOperation(event, operation, this.#state)
    if (misfit === null) return operation!
    this.#misfit(event, misfit)
    return null
  }

  #mismatch(event: RecordedEvent, expected: string, actual: string): void {
    this.#misfit(event, { expected, actual, where: undefined })
  }

  #misfit(event: RecordedEvent, misfit: Misfit): void {
    this.#block(blockageOf(event, misfit))
  }

  #block(blockage: Blockage): void {
    this.blockage ??= blockage
  }
}
