import { payloadField } from '../../core/events.js'
import type { RunStatus } from '../../core/types.js'
import {
  type AuditRow,
  type LiveWorker,
  maxEventBytes,
  type Overview,
  type Page,
  type Place,
  type PlacedEvent,
  type QueuedRuns,
} from '../overview.js'
import { maxCounted, type RunRow } from '../port.js'
import { rowOf } from './reads.js'
import { copyOf, eventOf, type Run, type State } from './state.js'

type Answer = <T>(body: () => T) => Promise<T>

/** `answer` as the store answers; `real`: the time that leases are on, as `performance.now()` counts. */
export function overviewOf(state: State, answer: Answer, real: () => number): Overview {
  const audit: AuditRow[] = []
  return {
    eventsAfter: (places, limit) => answer(() => eventsAfter(state, places, limit)),
    rows: (runIds, newest) => answer(() => readRows(state, runIds, newest)),
    relatives: (runId, kind, page) => answer(() => readRelatives(state, runId, kind, page)),
    checkpoint: (runId, op) =>
      answer(() => {
        const payload = state.runs.get(runId)?.checkpoints.get(op)
        return payload === undefined ? null : { payload }
      }),
    countRuns: () => answer(() => countRuns(state)),
    queuedRuns: () => answer(() => queuedRuns(state)),
    liveWorkers: () => answer(() => liveWorkers(state, real())),
    knownWorkflows: () => answer(() => knownWorkflows(state, real())),
    beginAudit: (entries) =>
      answer(() => entries.map((entry) => audit.push({ ...copyOf(entry), n: audit.length + 1, at: state.at() }))),
    endAudit: (ends) =>
      answer(() => {
        for (const { n, runId, id, details } of ends) {
          const row = audit[n - 1]
          if (row === undefined) continue
          const all = { ...row.details, ...copyOf(details) }
          audit[n - 1] = { ...row, runId: runId ?? row.runId, id: id ?? row.id, details: all }
        }
      }),
    readAudit: ({ limit, before = Number.POSITIVE_INFINITY, runId }) =>
      answer(() => {
        const found = audit.filter((row) => row.n < before && (runId === undefined || row.runId === runId))
        return copyOf(found.reverse().slice(0, limit))
      }),
  }
}

function eventsAfter(state: State, places: readonly Place[], limit: number): PlacedEvent[][] {
  let bytes = 0
  return places.map(({ runId, after, maxPayload = Number.POSITIVE_INFINITY }) => {
    const found: PlacedEvent[] = []
    for (const stored of state.runs.get(runId)?.history.slice(after, after + limit) ?? []) {
      if (bytes >= maxEventBytes) break
      const event = eventOf(stored)
      const own = event.payload === null ? 0 : Buffer.byteLength(event.payload)
      const omitted = own > maxPayload && payloadField[event.type] !== 'error'
      found.push(omitted ? { ...event, payload: null, omitted: own } : event)
      if (!omitted) bytes += own
    }
    return found
  })
}

const newestFirst = (a: Run, b: Run) => (a.runId < b.runId ? 1 : -1)

function readRows(state: State, runIds: readonly string[], newest: number): RunRow[] {
  const all = [...state.runs.values()].sort(newestFirst)
  const wanted = new Set(runIds)
  return all.filter(({ runId }, i) => i < newest || wanted.has(runId)).map((run) => rowOf(state, run))
}

function readRelatives(state: State, runId: string, kind: 'child' | 'fork', { limit, after }: Page) {
  const isOne = (run: Run) => (kind === 'child' ? run.parentRunId : run.forkedFrom?.runId) === runId
  const found = [...state.runs.values()]
    .filter((run) => isOne(run) && (after === undefined || run.runId < after))
    .sort(newestFirst)
  const rows = found.slice(0, limit).map((run) => rowOf(state, run))
  return { rows, next: found.length > limit ? rows.at(-1)!.runId : null }
}

function countRuns(state: State): Record<RunStatus, number> {
  const counts: Record<RunStatus, number> = {
    ...{ pending: 0, running: 0, waiting: 0, paused: 0, blocked: 0 },
    ...{ completed: 0, failed: 0, cancelled: 0, terminated: 0, continued: 0 },
  }
  for (const { status } of state.runs.values()) counts[status] = Math.min(counts[status] + 1, maxCounted + 1)
  return counts
}

function queuedRuns(state: State): QueuedRuns {
  const queues = new Map<string, { queue: string; running: number; waiting: number; paused: number; blocked: number }>()
  for (const { queue, status } of state.open) {
    if (status !== 'running' && status !== 'waiting' && status !== 'paused' && status !== 'blocked') continue
    const counts = queues.get(queue) ?? { queue, running: 0, waiting: 0, paused: 0, blocked: 0 }
    queues.set(queue, { ...counts, [status]: counts[status] + 1 })
  }
  return { queues: [...queues.values()].sort((a, b) => (a.queue < b.queue ? -1 : 1)), more: [] }
}

function liveWorkers(state: State, real: number): LiveWorker[] {
  return [...state.workers.values()]
    .filter(({ expiresAt }) => expiresAt > real)
    .map(({ info, beatAt }) => ({
      ...copyOf(info),
      runs: [...state.open].filter(({ owner }) => owner === info.id).length,
      startedAt: null,
      beatAgeMs: Math.max(0, real - beatAt),
    }))
    .sort((a, b) => (a.id < b.id ? -1 : 1))
}

function knownWorkflows(state: State, real: number): { name: string; version: number; served: boolean }[] {
  const served = liveWorkers(state, real).flatMap(({ workflows }) => workflows)
  const known = new Map<string, { name: string; version: number; served: boolean }>()
  for (const { workflow, version } of state.runs.values()) {
    if (version > 0) known.set(`${version} ${workflow}`, { name: workflow, version, served: false })
  }
  for (const { name, version } of served) known.set(`${version} ${name}`, { name, version, served: true })
  return [...known.values()].sort((a, b) => (a.name === b.name ? a.version - b.version : a.name < b.name ? -1 : 1))
}
