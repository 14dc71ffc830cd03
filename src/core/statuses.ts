import type { RunStatus } from './types.js'

/** Every status of a run: those that are open, then those that are closed. */
export const runStatuses = [
  ...(['pending', 'running', 'waiting', 'paused', 'blocked'] as const),
  ...(['completed', 'failed', 'cancelled', 'terminated', 'continued'] as const),
] as const satisfies readonly RunStatus[]

type OpenStatus = 'pending' | 'running' | 'waiting' | 'paused' | 'blocked'
export type ClosedStatus = Exclude<RunStatus, OpenStatus>

export const openStatuses: readonly RunStatus[] = runStatuses.slice(0, 5)
export const closedStatuses: readonly RunStatus[] = runStatuses.slice(5)

const closed: ReadonlySet<RunStatus> = new Set(closedStatuses)

export function isClosed(status: RunStatus): status is ClosedStatus {
  return closed.has(status)
}
