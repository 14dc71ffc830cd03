/** Feeds a whole history to a new Execution: the pure form of what a worker does when it takes a run up. */

import type { RecordedEvent } from './events.js'
import { type Blockage, Execution, type ExecutionHooks, type Outcome, type RunIdentity } from './execution.js'
import type { Operation } from './operation.js'
import type { Definition } from './workflow.js'

export interface Replayed {
  readonly execution: Execution
  readonly outcome: Outcome | null
  readonly blockage: Blockage | null
  /** Operations that wait for an event which the history does not have. */
  readonly pending: readonly Operation[]
}

/** Replays `events` and stops where they end, or at the first mismatch. No step runs, nothing is written. */
export function replay(
  definition: Definition,
  identity: RunIdentity,
  events: readonly RecordedEvent[],
  hooks: Omit<ExecutionHooks, 'turnClosed'> = {},
): Promise<Replayed> {
  return new Promise((resolve) => {
    const execution = new Execution(definition, identity, { ...hooks, turnClosed() {} })
    execution.deliverRecorded(events, () =>
      resolve({
        execution,
        outcome: execution.outcome,
        blockage: execution.blockage,
        pending: [...execution.pending],
      }),
    )
  })
}
