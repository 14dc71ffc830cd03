/**
 * A history replayed one event at a time, with what the code did at each. Nothing is performed and nothing is written:
 * no body of a step runs.
 */
import type { RecordedEvent } from '../core/events.js'
import { type Blockage, Execution, type Outcome, type RunIdentity } from '../core/execution.js'
import type { Operation } from '../core/operation.js'
import { findUnrecordedAwait } from '../core/unrecorded.js'
import type { Definition } from '../core/workflow.js'

/** What one event brought about. */
export interface Step {
  readonly event: RecordedEvent
  /** Operations that the code asked for in this event's turn. */
  readonly asked: readonly Operation[]
  /** Present from the turn on in which the function returned or threw. */
  readonly outcome: Outcome | null
  readonly blockage: Blockage | null
}

export class ReplaySession {
  readonly execution: Execution
  readonly #definition: Definition
  readonly #identity: RunIdentity
  readonly #events: readonly RecordedEvent[]
  #next = 0
  #known = 0
  #suspected = false
  #closed: (() => void) | null = null

  constructor(definition: Definition, identity: RunIdentity, events: readonly RecordedEvent[]) {
    this.#definition = definition
    this.#identity = identity
    this.#events = events
    this.execution = new Execution(definition, identity, {
      turnClosed: () => this.#closed?.(),
      suspected: () => {
        this.#suspected = true
      },
    })
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
    execution.takeCommands()
    const asked: Operation[] = []
    while (this.#known < execution.operationCount) asked.push(execution.operation(++this.#known)!)
    return { event, asked, outcome: execution.outcome, blockage: execution.blockage }
  }

  /** Operations that wait for an event which the history does not have. */
  get pending(): readonly Operation[] {
    return [...this.execution.pending]
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
    return { outcome, blockage, pending: this.pending }
  }
}
