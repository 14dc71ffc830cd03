import type { WorkerLanes } from '../port.js'
import type { TimeReading } from '../test-time.js'
import { isReady, suits } from './claims.js'
import { gatesOf } from './limits.js'
import { openRuns } from './schedules.js'
import type { State } from './state.js'

/** Looks at the clock and at what runs do. */
export function readTime(state: State, lanes: WorkerLanes): TimeReading {
  const now = state.clock.now()
  const served = [lanes, ...Array.from(state.workers.values(), ({ info }) => info)]
  let busy = false
  let next: TimeReading['next'] = null
  for (const run of state.open) {
    const { runId, workflow, status, due } = run
    if (status === 'running') busy = true
    else if (status === 'pending' && isReady(run, now) && served.some((each) => suits(run, each))) {
      const { closed, opensAt } = gatesOf(state, run)
      busy ||= !closed
      if (opensAt !== null && (next === null || opensAt < next.due)) next = { runId, workflow, due: opensAt }
    } else if (status === 'waiting') {
      busy ||= due !== null && due <= now
      if (due !== null && (next === null || due < next.due)) next = { runId, workflow, due }
    }
  }
  let schedule: TimeReading['schedule'] = null
  for (const { schedule: each, nextFire, nextAt } of state.schedules.values()) {
    const { id, buffered, paused } = each
    busy ||= nextAt !== null && nextAt <= now
    busy ||= buffered > 0 && !paused && openRuns(state, id).length === 0
    if (nextFire !== null && (schedule === null || nextFire < schedule.due)) schedule = { id, due: nextFire }
  }
  return { now, busy, next, schedule }
}

export function runningRuns(state: State): { runId: string; workflow: string }[] {
  const running = [...state.open].filter(({ status }) => status === 'running')
  return running.slice(0, 5).map(({ runId, workflow }) => ({ runId, workflow }))
}
