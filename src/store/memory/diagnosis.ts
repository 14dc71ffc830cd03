/** What the store knows of why a run is where it is. */
import { maxCounted, type RunDiagnosis, type WorkerLanes } from '../port.js'
import { hasCode, suits } from './claims.js'
import { counted, gatesAhead } from './limits.js'
import { rowOf } from './reads.js'
import type { Run, State, WorkerEntry } from './state.js'

/** So many queues, versions and workers are named. */
const maxNamed = 20

/** Null: there is no such run. */
export function diagnose(state: State, ref: string, real: number): RunDiagnosis | null {
  const run = state.find(ref)
  if (run === undefined) return null
  const live = [...state.workers.values()].filter(({ expiresAt }) => expiresAt > real)
  const able = live.filter(({ info }) => suits(run, info)).sort((a, b) => (a.info.id < b.info.id ? -1 : 1))
  const owner = run.owner === null ? undefined : state.workers.get(run.owner)
  return {
    run: rowOf(state, run),
    now: state.clock.now(),
    crashes: run.crashes,
    owner:
      owner === undefined
        ? null
        : { ...signOf(owner, real), host: owner.info.host, pid: owner.info.pid, ...endOf(owner, real) },
    workers: {
      ...whoHasCode(run, live),
      live: live.length,
      listening: live.filter(({ info }) => info.queues.includes(run.queue)).length,
      queues: [...new Set(live.flatMap(({ info }) => info.queues))].sort().slice(0, maxNamed),
      ableCount: able.length,
      able: able.slice(0, maxNamed).map((entry) => ({
        ...signOf(entry, real),
        runs: counted([...state.open].filter(({ owner }) => owner === entry.info.id).length),
      })),
    },
    gates: gatesAhead(state, run),
    ahead: counted(
      aheadOf(
        state,
        run,
        able.map(({ info }) => info),
      ).length,
    ),
    unseen: run.msgs > run.seen,
    unread: unreadOf(run),
    queries: counted(
      [...state.queries.values()].filter(({ runId, takenBy }) => runId === run.runId && takenBy === null).length,
    ),
  }
}

function signOf({ info, beatAt, expiresAt }: WorkerEntry, real: number) {
  return { id: info.id, beatAgeMs: Math.max(0, real - beatAt), leaseMs: expiresAt - beatAt }
}

function endOf({ expiresAt, held }: WorkerEntry, real: number) {
  return { expired: expiresAt <= real, processGone: !held }
}

/** Versions of the run's workflow: those of workers that listen on its queue, and where others are. */
function whoHasCode({ workflow, queue }: Run, live: readonly WorkerEntry[]) {
  const versions = new Set<number>()
  const elsewhere = new Map<string, { queue: string; version: number }>()
  for (const { info } of live) {
    for (const { name, version } of info.workflows) {
      if (name !== workflow) continue
      for (const other of info.queues) {
        if (other === queue) versions.add(version)
        else elsewhere.set(`${version} ${other}`, { queue: other, version })
      }
    }
  }
  const places = [...elsewhere.values()].sort((a, b) =>
    a.queue === b.queue ? a.version - b.version : a.queue < b.queue ? -1 : 1,
  )
  return {
    versions: [...versions].sort((a, b) => a - b).slice(0, maxNamed),
    elsewhere: places.slice(0, maxNamed),
  }
}

/** Runs that the workers that could take this one take first. */
function aheadOf(state: State, run: Run, able: readonly WorkerLanes[]): Run[] {
  if (run.status !== 'pending') return []
  const now = state.clock.now()
  return [...state.open].filter(
    (other) =>
      other.status === 'pending' &&
      other.queue === run.queue &&
      able.some(({ workflows }) => hasCode(workflows, other.workflow, other.version)) &&
      (other.priority > run.priority
        ? other.due! <= now
        : other.priority === run.priority && other.due! < Math.min(run.due!, now)),
  )
}

function unreadOf(run: Run): RunDiagnosis['unread'] {
  const groups = new Map<string, RunDiagnosis['unread'][number]>()
  for (const { kind, name, at } of [...run.inbox.values()].slice(0, maxCounted + 1)) {
    const key = JSON.stringify([kind, name])
    const group = groups.get(key) ?? { kind, name, count: 0, oldest: at }
    groups.set(key, { ...group, count: group.count + 1, oldest: Math.min(group.oldest, at) })
  }
  return [...groups.values()].sort((a, b) => a.oldest - b.oldest).slice(0, maxNamed)
}
