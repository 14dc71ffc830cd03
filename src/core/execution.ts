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
 */
import { callsite, StepPlaces } from './callsite.js'
import { currentFrontier, installCauses, withFrontier } from './causes.js'
import { decode, decodeError } from './codec.js'
import { createCtx } from './ctx.js'
import type { TurnSource } from './determinism.js'
import { CancelledFailure, NondeterminismError, StepFailure, StetError, TimeoutFailure } from './errors.js'
import { isTerminal, type RecordedEvent } from './events.js'
import { Frontier } from './frontier.js'
import { type Asker, describeOperation, Operation, type OperationKind, type OperationRequest } from './operation.js'
import { randomFrom } from './random.js'
import { shared } from './state.js'
import { enqueueRecorded, enqueueTurn, type Turn } from './turn.js'
import type { Ctx } from './types.js'
import type { Definition } from './workflow.js'

/** Who a run is. */
export interface RunIdentity {
  readonly id: string
  readonly runId: string
  readonly workflow: string
  readonly version: number
  readonly queue: string
}

/** What became of the function. */
export type Outcome =
  | { readonly type: 'completed'; readonly value: unknown }
  | { readonly type: 'failed' | 'cancelled'; readonly error: unknown }

/** Why a run cannot go on. */
export interface Blockage {
  readonly code: 'nondeterminism' | 'unrecorded_await'
  readonly message: string
  readonly where?: string | undefined
  readonly mismatch?: { readonly seq: number; readonly expected: string; readonly actual: string }
}

/** What the runner is asked to do after a turn. */
export type Command =
  | { readonly do: 'perform'; readonly operation: Operation }
  /** The operation was settled without its own event (cancelled): stop performing it. */
  | { readonly do: 'abandon'; readonly operation: Operation }

export type LogLevel = 'debug' | 'info' | 'warn' | 'error'

export interface ExecutionHooks {
  /** A turn has closed: take the commands, look at the outcome. */
  turnClosed(): void
  /** Code of the run did something outside its turn; called at most once, after `blockage` was set. */
  blockedOutsideTurn?(): void
  /** A continuation of the run was resumed outside its turn: perhaps it awaits something that is not recorded. */
  suspected?(): void
  log?(level: LogLevel, message: string, fields: object | undefined): void
}

export class Execution implements TurnSource, Turn, Asker {
  readonly definition: Definition
  readonly identity: RunIdentity
  readonly ctx: Ctx
  outcome: Outcome | null = null
  blockage: Blockage | null = null
  /** Rejections inside turns that nobody handled. */
  readonly unhandled: unknown[] = []
  /** The last event that was delivered. */
  lastSeq = 0
  startedAt = 0
  cancelRequested: { readonly reason: string | undefined } | null = null
  /** False while recorded history is replayed: logs are silent then. */
  live = false
  scheduledFor: number | undefined
  parent: { id: string; runId: string } | undefined

  readonly #hooks: ExecutionHooks
  readonly #operations: (Operation | undefined)[] = [undefined]
  readonly #pending = new Set<Operation>()
  /** How many operations of each name there are. */
  readonly #named = new Map<string, number>()
  #awaitedPending = 0
  #commands: Command[] = []
  #now = 0
  #seed: string
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
    this.#seed = identity.runId
    this.#start = new Frontier(this, [0])
    this.#turnFrontier = this.#start
    this.ctx = createCtx(this)
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
   * no commands are left: what still waits for its event is in `pending`.
   */
  deliverRecorded(events: readonly RecordedEvent[], done: () => void): void {
    let i = 0
    this.#recorded = true
    const next = (): Turn | null => {
      while (i < events.length && this.blockage === null) if (this.#accept(events[i++]!)) return this
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

  /** Checks an event and applies what needs no turn. True: it needs one, which is prepared. */
  #accept(event: RecordedEvent): boolean {
    if (this.blockage !== null || this.#dropped) return false
    if (event.seq !== this.lastSeq + 1) {
      this.#mismatch(event, `event ${this.lastSeq + 1}`, `event ${event.seq}: the history has a hole or a double`)
      return false
    }
    this.lastSeq = event.seq
    const operation = event.op === null || event.op === 0 ? null : this.#operationOf(event)
    if (this.blockage !== null) return false
    switch (event.type) {
      case 'StepScheduled':
      case 'TimerStarted':
        operation!.announced = true
        return false
      case 'AttemptFailed':
        operation!.failedAttempts = event.facts?.attempt ?? operation!.failedAttempts + 1
        operation!.nextAttemptAt = event.facts?.dueAt ?? null
        // It is known to be over: what comes next is another attempt, to be announced anew.
        operation!.announced = false
        return false
      case 'TimerCancelled':
      case 'PatchMarked':
      case 'AttributesSet':
        return false
      default:
        break
    }
    if (isTerminal(event.type)) {
      this.#checkOutcome(event)
      return false
    }
    // A settled operation's late event (the run was cancelled meanwhile) changes nothing.
    if (operation?.settled) return false
    this.#event = event
    this.#now = event.at
    this.#random = null
    this.#turnFrontier = operation === null ? this.#start : new Frontier(this, [operation.index])
    return true
  }

  frontier(): Frontier {
    return this.#turnFrontier
  }

  apply(): void {
    if (this.#dropped) return
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

  close(): void {
    this.#event = null
    if (this.#dropped) return
    if (this.blockage === null && this.outcome === null && this.#awaitedPending === 0) {
      this.#block({
        code: 'unrecorded_await',
        message:
          'the workflow awaits something that is not recorded, so nothing that stet knows of can wake it. Wrap it in ctx.step(name, fn).',
      })
    }
    if (this.#recorded) this.#commands.length = 0
    else this.#hooks.turnClosed()
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
      case 'StepCompleted':
      case 'SignalReceived':
        if (operation !== null) this.#resolve(operation, decode(event.payload))
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
    this.#seed = event.facts?.seed ?? this.identity.runId
    this.scheduledFor = event.facts?.scheduledFor
    this.parent = event.facts?.parent
    const input = decode(event.payload)
    let result: Promise<unknown>
    try {
      result = Promise.resolve(this.definition.fn(this.ctx, input))
    } catch (error) {
      result = Promise.reject(error)
    }
    result.then(
      (value) => this.#ended({ type: 'completed', value }),
      (error) =>
        this.#ended({
          type: error instanceof CancelledFailure && this.cancelRequested ? 'cancelled' : 'failed',
          error,
        }),
    )
  }

  #ended(outcome: Outcome): void {
    if (shared.current !== this) {
      this.#outsideTurn(outcome.type === 'completed' ? 'the workflow returned' : 'the workflow threw an error')
      return
    }
    this.outcome = outcome
  }

  #cancel(reason: string | undefined): void {
    if (this.cancelRequested !== null) return
    this.cancelRequested = { reason }
    const message = reason === undefined ? 'the run was cancelled' : `the run was cancelled: ${reason}`
    for (const operation of [...this.#pending]) {
      // Timers made by setTimeout belong to code that knows nothing of cancellation.
      if (operation.request.kind === 'timer' && operation.request.callback !== undefined) continue
      // A skip is only put on record: there is nothing to cancel.
      if (operation.kind === 'skip') continue
      this.#commands.push({ do: 'abandon', operation })
      this.#reject(operation, new CancelledFailure(message))
    }
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
  ask(name: string, request: OperationRequest, causes?: readonly number[], where?: string): Operation {
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
        askedAt: this.#now,
      },
      this,
    )
    this.#operations.push(operation)
    this.#pending.add(operation)
    // What is asked for after the outcome can no longer happen; it keeps its number, as it will on every replay.
    if (this.outcome === null) this.#commands.push({ do: 'perform', operation })
    return operation
  }

  awaits(): void {
    this.#awaitedPending++
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
    if (shared.current === this) return this.blockage === null
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

  nextUint32(): number {
    this.#random ??= randomFrom(`${this.#seed}:${this.lastSeq}`)
    return this.#random()
  }

  startTimer(name: string, ms: number, callback: () => void): () => void {
    const operation = this.ask(name, { kind: 'timer', dueAt: Math.ceil(this.#now + ms), callback })
    operation.awaited = true
    return () => this.withdraw(operation)
  }

  log(level: LogLevel, message: string, fields: object | undefined): void {
    if (this.live) this.#hooks.log?.(level, message, fields)
  }

  // ── mismatches ─────────────────────────────────────────────────────────────────────────────────

  #operationOf(event: RecordedEvent): Operation | null {
    const operation = this.#operations[event.op!]
    const kind = kindOf(event)
    const expected = `operation ${event.op}: ${describeOperation(kind, event.name)}`
    if (operation === undefined) {
      const waiting = [...this.#pending].map((pending) => `${pending.describe()}${at(pending)}`)
      this.#mismatch(
        event,
        expected,
        this.outcome !== null
          ? 'the workflow had already returned'
          : `not asked for; the workflow waits for ${waiting.length === 0 ? 'nothing' : waiting.slice(0, 5).join(', ')}`,
        [...this.#pending].at(-1)?.where,
      )
      return null
    }
    if (operation.kind !== kind || operation.name !== event.name) {
      this.#mismatch(event, expected, `operation ${event.op}: ${operation.describe()}`, operation.where)
      return null
    }
    return operation
  }

  #checkOutcome(event: RecordedEvent): void {
    if (event.type === 'RunTerminated' || event.facts?.neverBegan) return
    const actual = this.outcome === null ? 'still running' : this.outcome.type
    const expected = { RunCompleted: 'completed', RunFailed: 'failed', RunCancelled: 'cancelled' }[event.type as string]
    // The run's time was up, or its result could not be stored: not the function's own doing.
    if (event.type === 'RunFailed' && ['timeout', 'result'].includes(event.facts?.kind ?? '')) return
    if (expected !== undefined && expected !== actual) {
      const waiting = [...this.#pending].slice(0, 5).map((pending) => `${pending.describe()}${at(pending)}`)
      this.#mismatch(
        event,
        `the run ${expected}`,
        this.outcome === null
          ? `the workflow still waits for ${waiting.join(', ') || 'something that is not recorded'}`
          : `the run ${actual}`,
        [...this.#pending].at(-1)?.where,
      )
    }
  }

  #mismatch(event: RecordedEvent, expected: string, actual: string, where?: string | undefined): void {
    const recordedAt = event.facts?.where
    const message =
      `the code does not fit the history at event ${event.seq} (${event.type}).\n` +
      `  expected: ${expected}${recordedAt === undefined ? '' : `, as recorded from ${recordedAt}`}\n` +
      `  got:      ${actual}${where === undefined || actual.includes(where) ? '' : `, at ${where}`}\n` +
      '  Keep the old code under its version, use ctx.patched(id) around the change, or fork the run.'
    this.#block({ code: 'nondeterminism', message, where, mismatch: { seq: event.seq, expected, actual } })
  }

  #block(blockage: Blockage): void {
    this.blockage ??= blockage
  }
}

const places = new WeakMap<Definition, StepPlaces>()

function placesOf(definition: Definition): StepPlaces {
  let found = places.get(definition)
  if (found === undefined) {
    found = new StepPlaces()
    places.set(definition, found)
  }
  return found
}

function at(operation: Operation): string {
  return operation.where === undefined ? '' : ` at ${operation.where}`
}

function kindOf(event: RecordedEvent): OperationKind {
  switch (event.type) {
    case 'SignalReceived':
      return 'signal'
    case 'TimerStarted':
    case 'TimerFired':
    case 'TimerCancelled':
      return event.facts?.kind === 'signal' ? 'signal' : 'timer'
    case 'StepSkipped':
      return 'skip'
    default:
      return 'step'
  }
}

/** The failure that the function sees; built from the record alone, so it is the same on every replay. */
function stepFailure(name: string, event: RecordedEvent): StepFailure {
  const cause = event.payload === null ? new Error('unknown error') : decodeError(event.payload)
  const attempts = event.facts?.attempt ?? 1
  return new StepFailure(
    `step "${name}" failed after ${attempts} attempt${attempts === 1 ? '' : 's'}: ${cause.message}`,
    { step: name, attempts, cause },
  )
}

/** The typed error for a blockage. */
export function blockageError(blockage: Blockage): StetError {
  if (blockage.mismatch !== undefined) {
    return new NondeterminismError(blockage.message, { ...blockage.mismatch, where: blockage.where })
  }
  return new StetError(blockage.code, blockage.message)
}
