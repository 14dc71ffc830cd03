/** Recorded histories as fixtures: does today's code still do what the history says? */
import { readFile } from 'node:fs/promises'
import { compareReplay, type Divergence } from '../core/divergence.js'
import { InvalidInputError } from '../core/errors.js'
import type { EventType, RecordedEvent } from '../core/events.js'
import type { Outcome } from '../core/execution.js'
import { fromHistoryFile } from '../core/history-file.js'
import { parseJson } from '../core/json.js'
import { installRuntime } from '../core/runtime.js'
import type { AnyWorkflow, RunStatus } from '../core/types.js'
import { definition } from '../core/workflow.js'

export interface ReplayedHistory {
  /** Where the run stands after the replay: `blocked` if it cannot go on, `waiting` if the history ends before the run. */
  status: RunStatus
  /** What the workflow returned, as this code has it. */
  output?: unknown
  /** What the workflow threw, when it failed or was cancelled. */
  error?: unknown
  /**
   * The first place where the code does not do what is on record, its end included. `seq` is the event, `where` the
   * `file:line` of the code that does otherwise.
   */
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
  const { run, events } = await read(history)
  if (run.workflow !== def.name) {
    throw new InvalidInputError(
      `replayHistory: expected a history of workflow "${def.name}", got one of "${run.workflow}" (run ${run.runId}). Pass the workflow that made it.`,
    )
  }
  const { id, runId, version, queue } = run
  const identity = { id, runId, workflow: def.name, version, queue }
  installRuntime()
  const { outcome, blocked, divergence } = await compareReplay(def, identity, events)
  const mismatch = divergence === null ? {} : { mismatch: mismatchOf(divergence) }
  return blocked ? { status: 'blocked', ...mismatch } : { ...ended(outcome, events), ...mismatch }
}

function mismatchOf({ seq, expected, actual, where }: Divergence): NonNullable<ReplayedHistory['mismatch']> {
  return { seq, expected, actual, ...(where === undefined ? {} : { where }) }
}

const statusAfter: Partial<Record<EventType, RunStatus>> = {
  RunCompleted: 'completed',
  RunFailed: 'failed',
  RunCancelled: 'cancelled',
  RunTerminated: 'terminated',
  RunContinued: 'continued',
}

function ended(outcome: Outcome | null, events: readonly RecordedEvent[]): ReplayedHistory {
  const last = events.at(-1)!
  const status = statusAfter[last.type] ?? outcome?.type ?? 'waiting'
  if (outcome === null || outcome.type === 'continued') return { status }
  return outcome.type === 'completed' ? { status, output: outcome.value } : { status, error: outcome.error }
}

async function read(history: string | object): Promise<ReturnType<typeof fromHistoryFile>> {
  if (typeof history !== 'string' && !(history instanceof URL)) return fromHistoryFile(history, 'replayHistory')
  const isText = typeof history === 'string' && history.trimStart().startsWith('{')
  const what = isText ? 'replayHistory' : `replayHistory: ${String(history)}`
  const text = isText ? history : await readFile(history, 'utf8')
  let document: unknown
  try {
    document = parseJson(text)
  } catch (error) {
    throw new InvalidInputError(`${what}: expected JSON, as \`stet export\` writes it: ${(error as Error).message}`)
  }
  return fromHistoryFile(document, what)
}
