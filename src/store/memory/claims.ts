import type { ClaimHow } from '../limits.js'
import { type ClaimedRun, type LoadedRun, suspectAfter, type WorkerLanes } from '../port.js'
import { messagesOf } from './messages.js'
import { concerns, eventOf, type Run, type State } from './state.js'

/** Of lanes without limits. None when the worker may not write any more: its next append or beat tells. */
export function claimRuns(
  state: State,
  workerId: string,
  lanes: WorkerLanes,
  limit: number,
  how: ClaimHow,
): ClaimedRun[] {
  if (!state.workers.has(workerId)) return []
  const limits = [...state.limits.values()]
  return candidates(state, lanes, how)
    .filter((run) => !limits.some((each) => concerns(each, run)))
    .slice(0, limit)
    .map((run) => take(state, workerId, lanes, run))
}

/** What is ready for these lanes: highest priority first, then oldest; of equals, whichever was there first. */
export function candidates(state: State, lanes: WorkerLanes, { suspects, aged }: ClaimHow): Run[] {
  const now = state.clock.now()
  const ready = [...state.open].filter(
    (run) => isReady(run, now) && suits(run, lanes) && run.crashes >= suspectAfter === suspects,
  )
  const age = (run: Run) => run.due! - run.priority * ageOfPriorityMs
  return ready.sort((a, b) => (aged ? age(a) - age(b) : b.priority - a.priority || a.due! - b.due!))
}

/** So much waiting counts as much as one of priority, in a claim that looks at age. */
const ageOfPriorityMs = 60_000

export function take(state: State, workerId: string, lanes: WorkerLanes, run: Run): ClaimedRun {
  run.status = 'running'
  run.owner = workerId
  run.claim++
  run.startedAt ??= state.at()
  run.waits = null
  run.problem = null
  if (run.version === 0) {
    run.version = Math.max(...lanes.workflows.filter(({ name }) => name === run.workflow).map((each) => each.version))
  }
  const { runId, id, workflow, version, queue, claim, msgs, crashes, deadline, parentRunId } = run
  const started = claim === 1 ? eventOf(run.history[0]!) : null
  return {
    runId,
    id,
    workflow,
    version,
    queue,
    claim,
    msgs,
    crashes,
    deadline,
    hasParent: parentRunId !== null,
    started,
  }
}

export function isReady({ status, due }: Run, now: number): boolean {
  return status === 'pending' && due !== null && due <= now
}

/** Some worker with these lanes has its code. A run whose version is open goes to whoever comes first. */
export function suits({ queue, workflow, version }: Run, lanes: WorkerLanes): boolean {
  return lanes.queues.includes(queue) && hasCode(lanes.workflows, workflow, version)
}

export function hasCode(workflows: WorkerLanes['workflows'], workflow: string, version: number): boolean {
  return workflows.some((each) => each.name === workflow && (version === 0 || each.version === version))
}

/** All that a worker needs to go on with runs that it has claimed. */
export function loadRuns(state: State, runIds: readonly string[]): Map<string, LoadedRun> {
  return new Map(runIds.map((runId) => [runId, loadRun(state.runs.get(runId))]))
}

function loadRun(run: Run | undefined): LoadedRun {
  if (run === undefined) return { events: [], inbox: [], checkpoints: new Map() }
  return { events: run.history.map(eventOf), inbox: messagesOf(run), checkpoints: new Map(run.checkpoints) }
}

/** How many are woken in one call. */
const maxWoken = 1_000

/** Gives waiting runs that are due back to be claimed. */
export function wakeDue(state: State): number {
  const now = state.clock.now()
  const due = [...state.open].filter((run) => run.status === 'waiting' && run.due !== null && run.due <= now)
  due.sort((a, b) => a.due! - b.due!)
  const woken = due.slice(0, maxWoken)
  for (const run of woken) run.status = 'pending'
  return woken.length
}
