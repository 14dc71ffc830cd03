import type { Run, State } from './state.js'

/** Why a run cannot be deleted; null: it can. */
export function isUndeletable(state: State, run: Run): 'run_open' | 'children_untold' | 'parent_open' | null {
  if (run.closedAt === null) return 'run_open'
  if (state.chores.has(run.runId)) return 'children_untold'
  const parent = run.parentRunId === null ? undefined : state.runs.get(run.parentRunId)
  return parent !== undefined && parent.closedAt === null ? 'parent_open' : null
}

/** All that is kept of a run is kept with it. */
export function deleteRun(state: State, run: Run): void {
  state.runs.delete(run.runId)
  const others = state.byId.get(run.id)?.filter((each) => each !== run) ?? []
  if (others.length > 0) state.byId.set(run.id, others)
  else state.byId.delete(run.id)
}
