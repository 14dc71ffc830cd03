import { makeReady, type State } from './state.js'

/** As the port has it. */
export function pauseRun(state: State, runId: string, problem: string): boolean {
  const run = state.runs.get(runId)
  if (run === undefined || run.owner !== null || (run.status !== 'pending' && run.status !== 'waiting')) return false
  Object.assign(run, { status: 'paused', problem })
  return true
}

/** As the port has it. Requests to pause that nobody has read yet are void. */
export function resumeRun(state: State, runId: string): boolean {
  const run = state.runs.get(runId)
  if (run?.status !== 'blocked' && run?.status !== 'paused') return false
  Object.assign(run, { problem: null, crashes: 0, crashSeq: 0 })
  for (const { n, kind } of [...run.inbox.values()]) if (kind === 'pause') run.inbox.delete(n)
  if (run.claim === 0 && run.due !== null && run.due > state.at()) run.status = 'waiting'
  else makeReady(run, state.at())
  return true
}
