import type { RunFilter } from '../../core/types.js'
import { checkListFilter } from '../list-filter.js'
import type { RunList, RunResult, RunRow } from '../port.js'
import { successorOf } from './messages.js'
import { copyOf, type Run, type State } from './state.js'

export function rowOf(state: State, run: Run): RunRow {
  const { runId, id, workflow, version, queue, priority, status, owner, claim, due, createdAt, startedAt } = run
  const { closedAt, deadline, waits, problem, error, attributes, forkedFrom, parentRunId, history } = run
  return {
    ...{ runId, id, workflow, version, queue, priority, status, owner, claim, due, createdAt, startedAt },
    ...{ closedAt, deadline, waits, problem },
    error: error === null ? null : { ...error },
    attributes: copyOf(attributes),
    parent: parentRunId === null ? null : { id: state.runs.get(parentRunId)?.id ?? parentRunId, runId: parentRunId },
    forkedFrom: copyOf(forkedFrom),
    ...((state.byId.get(id)?.at(-1) ?? run) === run ? {} : { superseded: true as const }),
    ...slotOf(history[0]?.facts ?? null),
    historyLength: history.length,
  }
}

function slotOf(facts: string | null): Pick<RunRow, 'schedule'> {
  const { schedule, scheduledFor } = JSON.parse(facts ?? '{}')
  return schedule === undefined ? {} : { schedule: { id: schedule, slot: scheduledFor } }
}

/** Newest first, a page at a time; run ids carry their time. */
export function listRuns(state: State, filter: RunFilter): RunList {
  const { limit, wanted } = checkListFilter(filter)
  const found = [...state.runs.values()].filter((run) => (wanted?.includes(run.status) ?? true) && passes(run, filter))
  found.sort((a, b) => (a.runId < b.runId ? 1 : -1))
  const page = found.slice(0, limit)
  return { rows: page.map((run) => rowOf(state, run)), next: found.length > limit ? page.at(-1)!.runId : null }
}

function passes(run: Run, filter: RunFilter): boolean {
  const { workflow, version, queue, attributes, error, startedAfter, startedBefore, after } = filter
  const { idPrefix, parent, closedAfter, closedBefore } = filter
  const { closedAt } = run
  return (
    (workflow === undefined || run.workflow === workflow) &&
    (version === undefined || run.version === version) &&
    (queue === undefined || run.queue === queue) &&
    (attributes === undefined || contains(run.attributes, copyOf(attributes))) &&
    (error === undefined || run.error?.message.toLowerCase().includes(error.toLowerCase()) === true) &&
    (startedAfter === undefined || run.createdAt >= startedAfter.getTime()) &&
    (startedBefore === undefined || run.createdAt < startedBefore.getTime()) &&
    (idPrefix === undefined || run.id.startsWith(idPrefix)) &&
    (parent === undefined || run.parentRunId === parent) &&
    (closedAfter === undefined || (closedAt !== null && closedAt >= closedAfter.getTime())) &&
    (closedBefore === undefined || (closedAt !== null && closedAt < closedBefore.getTime())) &&
    (after === undefined || run.runId < after)
  )
}

/** As `jsonb @>` has it: each key of an object, each element of a list; a list contains an element of it as well. */
function contains(value: unknown, part: unknown, inside = false): boolean {
  if (Array.isArray(part)) {
    return Array.isArray(value) && part.every((wanted) => value.some((each) => contains(each, wanted, true)))
  }
  if (Array.isArray(value)) return !inside && typeof part !== 'object' && value.includes(part)
  if (typeof part !== 'object' || part === null) return value === part
  if (typeof value !== 'object' || value === null) return false
  return Object.entries(part).every(
    ([key, wanted]) => Object.hasOwn(value, key) && contains((value as Record<string, unknown>)[key], wanted, true),
  )
}

/** What came of those runs that have closed. */
export function readResults(state: State, runIds: readonly string[]): RunResult[] {
  return runIds.flatMap((runId) => {
    const run = state.runs.get(runId)
    if (run === undefined || run.closedAt === null) return []
    return [{ runId, status: run.status, payload: run.history.at(-1)!.payload, successor: successorOf(run) }]
  })
}
