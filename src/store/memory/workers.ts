import { type Beat, quarantineAfter, suspectAfter, type TakenOver, type WorkerInfo } from '../port.js'
import { hasCode, isReady, suits } from './claims.js'
import { concernsLanes } from './limits.js'
import { nextLook } from './schedules.js'
import { makeReady, type Run, type State, type WorkerEntry } from './state.js'

/** Makes the entry that allows a worker to write. */
export function register(state: State, info: WorkerInfo, real: number, leaseMs: number): void {
  if (state.workers.has(info.id)) return
  const copy = { ...info, queues: [...info.queues], workflows: info.workflows.map((each) => ({ ...each })) }
  state.workers.set(info.id, { info: copy, beatAt: real, expiresAt: real + leaseMs, held: true })
}

/** Says that a worker lives, and answers all that an idle one wants to know. Null: its entry is gone. */
export function beat(state: State, { id, ...lanes }: WorkerInfo, real: number, leaseMs: number): Beat | null {
  const entry = state.workers.get(id)
  if (entry === undefined) return null
  entry.beatAt = real
  entry.expiresAt = real + leaseMs
  const now = state.clock.now()
  const open = [...state.open]
  const waiting = open.filter(({ status }) => status === 'waiting')
  const own = open.filter(({ owner }) => owner === id)
  return {
    now,
    ready: open.some((run) => isReady(run, now) && suits(run, lanes)),
    suspects: open.some((run) => isReady(run, now) && run.crashes >= suspectAfter),
    chores: state.chores.size > 0,
    queries: [...state.queries.values()].some(({ takenBy }) => takenBy === null),
    limited: [...state.limits.values()].some((limit) => concernsLanes(limit, lanes)),
    bulks: state.hasBulks(),
    nextDue: leastOf(waiting.map(({ due }) => due)),
    nextSchedule: nextLook(state),
    overdue:
      [...state.workers.values()].some(({ expiresAt }) => expiresAt < real) || open.some((run) => isOrphan(state, run)),
    owned: own.length,
    msgs: own.flatMap(({ runId, msgs }) => (msgs > 0 ? [{ runId, msgs }] : [])),
    neighbour: neighbourOf(state, id),
  }
}

/** The next in the order of ids, so that everyone is watched by someone. */
export function neighbourOf(state: State, id: string): string | null {
  const others = [...state.workers.keys()].filter((other) => other !== id).sort()
  return others.find((other) => other > id) ?? others[0] ?? null
}

/** Workers whose lease was let go of by whoever held it, and that are registered still. */
export function goneWorkers(state: State): string[] {
  return [...state.workers].flatMap(([id, { held }]) => (held ? [] : [id]))
}

/** Gives back runs that a live worker owns and does not hold. */
export function giveBackStrays(state: State, workerId: string, held: readonly string[]): number {
  const strays = [...state.open].filter(({ owner, runId }) => owner === workerId && !held.includes(runId))
  for (const run of strays) {
    run.owner = null
    makeReady(run, state.at())
  }
  return strays.length
}

/** Ends workers and gives their runs back. */
export function takeOver(state: State, dead: readonly string[], real: number): TakenOver {
  const isOver = (id: string, { expiresAt }: WorkerEntry) => expiresAt < real || dead.includes(id)
  const ended = [...state.workers].filter(([id, entry]) => isOver(id, entry))
  for (const [id] of ended) state.workers.delete(id)
  const at = state.at()
  const orphans = [...state.open].filter((run) => isOrphan(state, run))
  for (const run of orphans) giveBack(run, at)
  const pausing = orphans.filter(({ status, due }) => status === 'pending' && due! > at)
  return {
    workers: ended.length,
    runs: orphans.length,
    quarantined: orphans.flatMap(({ runId, status }) => (status === 'blocked' ? [runId] : [])),
    nextDue: leastOf(pausing.map(({ due }) => due)),
  }
}

/** Whoever got nowhere twice is tried again after 2, 4 and 8 s: somebody else may be killing the workers, and will stop. */
function giveBack(run: Run, at: number): void {
  const seq = run.history.findLast(({ type }) => type !== 'StepScheduled' && type !== 'TimerStarted')?.seq ?? 0
  const gotOn = seq > run.crashSeq
  run.crashes = gotOn ? Math.max(1, Math.min(run.crashes, suspectAfter)) : run.crashes + 1
  run.crashSeq = seq
  run.owner = null
  const pauses = !gotOn && run.crashes >= suspectAfter
  makeReady(run, pauses ? at + 2 ** (run.crashes - 1) * 1_000 : at)
  run.problem = null
  if (run.crashes < quarantineAfter) return
  run.status = 'blocked'
  run.problem = JSON.stringify({
    code: 'crash_loop',
    message: `the process of its worker ended ${run.crashes} times in a row while it ran, without getting on. Mend what ends the process, then: stet resume ${run.runId}`,
  })
}

/** Gives blocked runs of these workflows another try. */
export function unblock(state: State, workflows: WorkerInfo['workflows']): number {
  const blocked = [...state.open].filter(
    ({ status, workflow, version, problem }) =>
      status === 'blocked' &&
      version !== 0 &&
      hasCode(workflows, workflow, version) &&
      (JSON.parse(problem ?? '{}').code ?? 'crash_loop') !== 'crash_loop',
  )
  for (const run of blocked) makeReady(run, state.at())
  return blocked.length
}

/** Its worker is gone. */
function isOrphan(state: State, { owner }: Run): boolean {
  return owner !== null && !state.workers.has(owner)
}

function leastOf(times: readonly (number | null)[]): number | null {
  return times.reduce((least, time) => (time !== null && (least === null || time < least) ? time : least), null)
}
