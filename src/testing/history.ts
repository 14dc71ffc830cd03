/** Recorded histories as fixtures: does today's code still do what the history says? */
import { readFile } from 'node:fs/promises'
import { InvalidInputError } from '../core/errors.js'
import { type EventType, fromExport, isTerminal, type RecordedEvent } from '../core/events.js'
import type { Execution, RunIdentity } from '../core/execution.js'
import { replay } from '../core/replay.js'
import type { AnyWorkflow, HistoryEvent, RunStatus } from '../core/types.js'
import { findUnrecordedAwait } from '../core/unrecorded.js'
import { type Definition, definition } from '../core/workflow.js'
import { installRuntime } from '../worker/worker.js'

export interface ReplayedHistory {
  /** Where the run stands after the replay: `blocked` on a mismatch, `waiting` when the history ends before the run. */
  status: RunStatus
  /** What the workflow returned, as this code has it. */
  output?: unknown
  /** What the workflow threw, when it failed or was cancelled. */
  error?: unknown
  /** The first place where the code does not fit the history. `where`: `file:line` of the code that does otherwise. */
  mismatch?: { seq: number; expected: string; actual: string; where?: string }
}

/**
 * Replays a history against a workflow: no step runs, nothing is written, no database is needed.
 * `history` is the path of a file that `stet export` wrote (or its text, beginning with `{`), or the parsed object.
 *
 * @throws InvalidInputError when it is no history, or one of another workflow
 * @example
 * const { status, mismatch } = await replayHistory('test/histories/order-42.json', order)
 * expect(mismatch).toBeUndefined()
 */
export async function replayHistory(history: string | object, workflow: AnyWorkflow): Promise<ReplayedHistory> {
  const def = definition(workflow)
  if (def === undefined) {
    throw new InvalidInputError(
      `replayHistory: expected a workflow (what workflow() or dag() returns), got ${typeof workflow}.`,
    )
  }
  const { identity, events } = await read(history, def)
  installRuntime()
  const { execution, blockage } = await replay(def, identity, events)
  if (blockage === null) return ended(execution, events)
  const where =
    blockage.code === 'unrecorded_await' ? await findUnrecordedAwait(def, { ...identity }, events) : blockage.where
  const difference = blockage.mismatch ?? {
    seq: execution.lastSeq,
    expected: 'the workflow to wait for what is recorded alone',
    actual: blockage.message,
  }
  return { status: 'blocked', mismatch: { ...difference, ...(where === undefined ? {} : { where }) } }
}

const statusAfter: Partial<Record<EventType, RunStatus>> = {
  RunCompleted: 'completed',
  RunFailed: 'failed',
  RunCancelled: 'cancelled',
  RunTerminated: 'terminated',
  RunContinued: 'continued',
}

function ended({ outcome }: Execution, events: readonly RecordedEvent[]): ReplayedHistory {
  const last = events.at(-1)!
  const status = (isTerminal(last.type) ? statusAfter[last.type] : undefined) ?? outcome?.type ?? 'waiting'
  if (outcome === null) return { status }
  return outcome.type === 'completed' ? { status, output: outcome.value } : { status, error: outcome.error }
}

async function read(
  history: string | object,
  def: Definition,
): Promise<{ identity: RunIdentity; events: RecordedEvent[] }> {
  const { run, events } = (await parse(history)) as { run?: Partial<RunIdentity>; events?: HistoryEvent[] }
  if (!Array.isArray(events) || events.length === 0) {
    throw notHistory('an object { run, events } with at least one event, as `stet export` writes it')
  }
  if (run?.workflow !== undefined && run.workflow !== def.name) {
    throw new InvalidInputError(
      `replayHistory: expected a history of workflow "${def.name}", got one of "${run.workflow}" (${run.runId ?? 'no run id'}). Pass the workflow that made it.`,
    )
  }
  const identity = {
    id: run?.id ?? 'replayed',
    runId: run?.runId ?? 'replayed',
    workflow: def.name,
    version: run?.version ?? def.version,
    queue: run?.queue ?? def.queue,
  }
  return { identity, events: events.map(readEvent) }
}

function readEvent(event: HistoryEvent, i: number): RecordedEvent {
  const recorded = typeof event?.seq === 'number' && typeof event.type === 'string' ? fromExport(event) : null
  if (recorded !== null && !Number.isNaN(recorded.at)) return recorded
  throw notHistory(`events[${i}] to be { seq, type, at, … }`)
}

async function parse(history: string | object): Promise<object> {
  if (typeof history === 'string' || history instanceof URL) {
    const isText = typeof history === 'string' && history.trimStart().startsWith('{')
    const text = isText ? history : await readFile(history, 'utf8')
    try {
      return JSON.parse(text)
    } catch (error) {
      throw notHistory('JSON', `${isText ? 'text' : String(history)} (${(error as Error).message})`)
    }
  }
  if (typeof history === 'object' && history !== null) return history
  throw notHistory('the path of a file, or an object', typeof history)
}

function notHistory(expected: string, got = 'something else'): InvalidInputError {
  return new InvalidInputError(`replayHistory: expected ${expected}, got ${got}. Make one with: stet export <run>`)
}
