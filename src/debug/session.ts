/**
 * A history replayed one event at a time, with what the code did at each. Nothing is performed and nothing is written:
 * no body of a step runs.
 */
import type { RecordedEvent } from '../core/events.js'
import { type Blockage, Execution, type LogLevel, type Outcome, type RunIdentity } from '../core/execution.js'
import type { Operation } from '../core/operation.js'
import { findUnrecordedAwait } from '../core/unrecorded.js'
import { compareOutcome } from '../core/verify.js'
import type { Definition } from '../core/workflow.js'

/** What one event brought about. */
export interface Step {
  readonly event: RecordedEvent
  /** Operations that the code asked for in this event's turn. */
  readonly asked: readonly Operation[]
  /** Operations that wait no more: the one that the event settles, and those that were given up in its turn. */
  readonly settled: readonly Operation[]
  /** `file:line` of each condition that the code waits for. */
  readonly conditions: readonly (string | undefined)[]
  /** Present from the turn on in which the function returned or threw. */
  readonly outcome: Outcome | null
  readonly blockage: Blockage | null
}

export interface SessionHooks {
  /** The code calls ctx; its frames are on the stack. */
  called?(what: string): void
  /** The code logs something, in the turn of an event for which logs are wanted. */
  log?(level: LogLevel, message: string, fields: object | undefined): void
}

const none: readonly never[] = []

export class ReplaySession {
  readonly execution: Execution
  readonly #definition: Definition
  readonly #identity: RunIdentity
  readonly #events: readonly RecordedEvent[]
  #next = 0
  #known = 0
  #suspected = false
  #closed: (() => void) | null = null
  #applied: (() => void) | null = null

  constructor(
    definition: Definition,
    identity: RunIdentity,
    events: readonly RecordedEvent[],
    hooks: SessionHooks = {},
  ) {
    this.#definition = definition
    this.#identity = identity
    this.#events = events
    this.execution = new Execution(definition, identity, {
      turnClosed: () => this.#closed?.(),
      recordedApplied: () => this.#applied?.(),
      suspected: () => {
        this.#suspected = true
      },
      ...hooks,
    })
    this.execution.expect(events)
  }

  /** Applies the next event; null: the history is over, or the code does not fit it. */
  async next(): Promise<Step | null> {
    const { execution } = this
    const event = this.#events[this.#next]
    if (event === undefined || execution.blockage !== null) return null
    this.#next++
    await new Promise<void>((resolve) => {
      this.#closed = resolve
      if (!execution.deliver(event)) resolve()
    })
    return this.#stepOf(event)
  }

  /**
   * Applies all that is left, as `next` does one by one, and tells of each event when its turn has closed. Nobody waits
   * in between, which takes half as long; so nothing can be done in between either.
   */
  async rest(told: (step: Step) => void): Promise<void> {
    const left = this.#events.slice(this.#next)
    this.#applied = () => told(this.#stepOf(this.#events[this.#next++]!))
    await new Promise<void>((resolve) => this.execution.deliverRecorded(left, resolve, this.#events))
    this.#applied = null
  }

  /** What an event brought about that has just been applied. */
  #stepOf(event: RecordedEvent): Step {
    const { execution } = this
    const settled: Operation[] = []
    for (const command of execution.takeCommands()) if (command.do === 'abandon') settled.push(command.operation)
    const own = event.op === null ? undefined : execution.operation(event.op)
    if (own?.settled && !settled.includes(own)) settled.push(own)
    const asked: Operation[] = []
    while (this.#known < execution.operationCount) asked.push(execution.operation(++this.#known)!)
    const conditions = execution.conditions.size === 0 ? none : execution.conditions.places
    return { event, asked, settled, conditions, outcome: execution.outcome, blockage: execution.blockage }
  }

  /** Applies what comes before event `seq`, and tells nothing of it. Only from the start. */
  async skipTo(seq: number): Promise<void> {
    const { execution } = this
    this.#next = seq - 1
    const before = this.#events.slice(0, this.#next)
    await new Promise<void>((resolve) => execution.deliverRecorded(before, resolve, this.#events))
    this.#known = execution.operationCount
  }

  /** Operations that wait for an event which the history does not have. */
  get pending(): readonly Operation[] {
    return [...this.execution.pending]
  }

  /** The end is of the same kind as the one on record; null: it is the same value, too. */
  #otherEnd(): Blockage | null {
    const difference = compareOutcome(this.execution.outcome, this.#events)
    if (difference === null) return null
    const { seq, expected, actual } = difference
    const message = `the replay came to another end than the run, at event ${seq}.\n  expected: ${expected}\n  got:      ${actual}`
    return { code: 'nondeterminism', message, where: undefined, mismatch: difference }
  }

  /** Where the code stands after the last event, an await that is not recorded found by its line. */
  async verdict(): Promise<{ outcome: Outcome | null; blockage: Blockage | null; pending: readonly Operation[] }> {
    const { outcome } = this.execution
    let { blockage } = this.execution
    const unrecorded = blockage?.code === 'unrecorded_await' || (blockage === null && this.#suspected)
    if (unrecorded && outcome === null) {
      const ground = blockage === null ? 'suspected' : 'stuck'
      const where = await findUnrecordedAwait(this.#definition, this.#identity, this.#events, ground)
      if (where !== undefined || blockage !== null) {
        blockage = {
          code: 'unrecorded_await',
          message:
            blockage?.message ?? 'the workflow awaits something that is not recorded. Wrap it in ctx.step(name, fn).',
          where: where ?? blockage?.where,
        }
      }
    }
    blockage ??= this.#otherEnd()
    return { outcome, blockage, pending: this.pending }
  }
}
