/**
 * Replay on close: a run that has just been let go of is replayed, and must do again what it did live. What differs
 * would block the run after a crash, or make it take another branch; here it is told while the code is fresh.
 */
import { isDeepStrictEqual } from 'node:util'
import { recordError } from '../core/codec.js'
import type { RecordedEvent } from '../core/events.js'
import type { Execution, Outcome, RunIdentity } from '../core/execution.js'
import type { Operation } from '../core/operation.js'
import { replay } from '../core/replay.js'
import type { Definition } from '../core/workflow.js'

/** A difference between what a run did live and what its replay did. */
export interface Difference {
  /** Of the run's code, where it is known. */
  readonly where: string | undefined
  readonly live: string
  readonly replayed: string
}

/** What is compared; taken before the live Execution is dropped. */
export interface Snapshot {
  readonly definition: Definition
  readonly identity: RunIdentity
  readonly operations: readonly Operation[]
  readonly pending: ReadonlySet<number>
  readonly outcome: Outcome | null
  /** The last event that the live Execution had seen. */
  readonly lastSeq: number
}

/** Remembers what a live Execution did. Null: it is blocked, which has been told already. */
export function snapshot(execution: Execution): Snapshot | null {
  if (execution.blockage !== null) return null
  const operations: Operation[] = []
  for (let index = 1; index <= execution.operationCount; index++) operations.push(execution.operation(index)!)
  return {
    definition: execution.definition,
    identity: execution.identity,
    operations,
    pending: new Set([...execution.pending].map(({ index }) => index)),
    outcome: execution.outcome,
    lastSeq: execution.lastSeq,
  }
}

/** Replays the events that the live Execution was given; the first difference, or null when there is none. */
export async function verify(live: Snapshot, events: readonly RecordedEvent[]): Promise<Difference | null> {
  // A run that is terminated has events on record that its code was never told of.
  const seen = events.filter(({ seq }) => seq <= live.lastSeq)
  const { execution, outcome, blockage } = await replay(live.definition, live.identity, seen)
  if (blockage !== null) {
    const expected = blockage.mismatch?.expected ?? 'a run that goes on'
    return { where: blockage.where, live: expected, replayed: blockage.mismatch?.actual ?? blockage.message }
  }
  const count = Math.max(live.operations.length, execution.operationCount)
  for (let index = 1; index <= count; index++) {
    const was = live.operations[index - 1]
    const is = execution.operation(index)
    const where = is?.where ?? was?.where
    if (was?.describe() !== is?.describe()) {
      return { where, live: asked(index, was), replayed: asked(index, is) }
    }
    if (live.pending.has(index) !== execution.pending.has(is!)) {
      return { where, live: state(was!, live.pending.has(index)), replayed: state(is!, execution.pending.has(is!)) }
    }
  }
  if (!sameOutcome(live.outcome, outcome)) {
    const where = execution.operation(execution.operationCount)?.where
    return { where, live: describeOutcome(live.outcome), replayed: describeOutcome(outcome) }
  }
  return null
}

function asked(index: number, operation: Operation | undefined): string {
  return `operation ${index}: ${operation?.describe() ?? 'none'}${operation?.where === undefined ? '' : ` at ${operation.where}`}`
}

function state(operation: Operation, pending: boolean): string {
  return `${asked(operation.index, operation)}, ${pending ? 'waited for' : 'settled'}`
}

function sameOutcome(a: Outcome | null, b: Outcome | null): boolean {
  if (a?.type !== b?.type) return false
  if (a === null || b === null) return true
  if (a.type === 'completed') return isDeepStrictEqual(a.value, (b as typeof a).value)
  const [one, other] = [recordError(a.error), recordError((b as typeof a).error)]
  return one.name === other.name && one.message === other.message
}

export function describeOutcome(outcome: Outcome | null): string {
  if (outcome === null) return 'the workflow waits'
  if (outcome.type === 'completed') return `the workflow returned ${brief(outcome.value)}`
  const { name, message } = recordError(outcome.error)
  return `the workflow ${outcome.type === 'failed' ? 'threw' : 'ended, cancelled, with'} ${name}: ${message}`
}

function brief(value: unknown): string {
  let text: string | undefined
  try {
    text = JSON.stringify(value)
  } catch {
    // A cycle, a BigInt: the kind of value is enough to go on.
  }
  text ??= String(value)
  return text.length > 120 ? `${text.slice(0, 120)}…` : text
}
