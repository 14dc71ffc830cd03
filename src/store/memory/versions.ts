/** Versions of code: which have open runs, and moving a run from one to another. */
import type { VersionCount } from '../port.js'
import { hasCode } from './claims.js'
import { makeReady, type State } from './state.js'

/** A run that is under way takes another version when its worker lets go of it, so it must not be owned. */
export function setVersion(state: State, runId: string, version: number): boolean {
  const run = state.runs.get(runId)
  if (run === undefined || run.owner !== null || run.closedAt !== null) return false
  run.version = version
  run.crashes = 0
  run.crashSeq = 0
  if (run.status === 'blocked') {
    run.problem = null
    makeReady(run, state.at())
  }
  return true
}

/** Of one workflow, or of all. */
export function countVersions(state: State, wanted: string | null, real: number): VersionCount[] {
  const live = [...state.workers.values()].filter(({ expiresAt }) => expiresAt > real)
  const served = live.flatMap(({ info }) => info.workflows)
  const counts = new Map<string, { workflow: string; version: number; open: number; served: boolean }>()
  for (const { workflow, version } of state.open) {
    if (wanted !== null && workflow !== wanted) continue
    const key = `${version} ${workflow}`
    const count = counts.get(key) ?? { workflow, version, open: 0, served: hasCode(served, workflow, version) }
    counts.set(key, { ...count, open: count.open + 1 })
  }
  return [...counts.values()].sort((a, b) =>
    a.workflow === b.workflow ? a.version - b.version : a.workflow < b.workflow ? -1 : 1,
  )
}
