/** Statistics in memory: the same rows as in Postgres, by their key. */
import {
  type Buckets,
  counters,
  hoursKeptMs,
  type Measures,
  maxBacklog,
  minutesKeptMs,
  type QueueBacklog,
  rollUpBatch,
  type Statistics,
  type StatsGroup,
  type StatsQuery,
  type Tally,
} from '../statistics.js'
import { isReady } from './claims.js'
import type { State } from './state.js'

type Answer = <T>(body: () => T) => Promise<T>

interface Kept extends Tally {
  readonly seconds: number
  /** ms since the epoch. */
  readonly at: number
}

/** `real`: the time that leases live by. */
export function statisticsOf(state: State, answer: Answer, real: () => number): Statistics {
  const kept = new Map<string, Kept>()
  /** The last call of each source. */
  const sources = new Map<string, number>()
  const add = (seconds: number, at: number, tally: Tally) => {
    const start = Math.floor(at / (seconds * 1_000)) * seconds * 1_000
    const key = JSON.stringify([seconds, start, tally.workflow, tally.version, tally.step])
    const { workflow, version, step } = tally
    const before = kept.get(key)
    kept.set(key, {
      workflow,
      version,
      step,
      ...sum(before === undefined ? [tally] : [before, tally]),
      seconds,
      at: start,
    })
  }
  return {
    addStats: (source, n, tallies) =>
      answer(() => {
        if (n <= (sources.get(source) ?? 0)) return
        sources.set(source, n)
        for (const tally of tallies) add(60, state.at(), tally)
      }),
    readStats: (query) => answer(() => readStats([...kept.values()], query)),
    rollUpStats: () =>
      answer(() => {
        let taken = 0
        for (const [from, into, keptMs] of [
          [60, 3_600, minutesKeptMs],
          [3_600, 86_400, hoursKeptMs],
        ] as const) {
          const before = Math.floor((state.at() - keptMs) / (into * 1_000)) * into * 1_000
          for (const [key, row] of kept) {
            if (row.seconds !== from || row.at >= before || taken === rollUpBatch) continue
            kept.delete(key)
            add(into, row.at, row)
            taken++
          }
        }
        return taken
      }),
    backlog: () =>
      answer(() => ({
        workers: [...state.workers.values()].filter(({ expiresAt }) => expiresAt > real()).length,
        queues: backlogOf(state),
      })),
  }
}

function readStats(rows: readonly Kept[], query: StatsQuery): StatsGroup[] {
  const { from, to, workflow, version, step, byVersion, everyMs } = query
  const wanted = (row: Kept) =>
    row.at >= from &&
    row.at < to &&
    (workflow === undefined || row.workflow === workflow) &&
    (version === undefined || row.version === version) &&
    (step === undefined || row.step === step)
  const groups = new Map<string, Kept[]>()
  const part = ({ at }: Kept) => (everyMs === null ? null : Math.floor(at / everyMs) * everyMs)
  for (const row of rows.filter(wanted)) {
    const key = JSON.stringify([row.workflow, row.step ?? '', byVersion ? row.version : null, part(row)])
    groups.set(key, [...(groups.get(key) ?? []), row])
  }
  return [...groups.values()]
    .map((group) => ({
      workflow: group[0]!.workflow,
      version: byVersion ? group[0]!.version : null,
      step: group[0]!.step,
      at: part(group[0]!),
      ...sum(group),
    }))
    .sort(
      (a, b) =>
        order(a.workflow, b.workflow) ||
        order(a.step ?? '', b.step ?? '') ||
        (a.version ?? 0) - (b.version ?? 0) ||
        (a.at ?? 0) - (b.at ?? 0),
    )
}

function order(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}

function sum(all: readonly Measures[]): Measures {
  const totals = counters.map((name) => [name, all.reduce((total, each) => total + each[name], 0)] as const)
  return {
    ...(Object.fromEntries(totals) as Record<(typeof counters)[number], number>),
    duration: sumBuckets(all.map(({ duration }) => duration)),
    delay: sumBuckets(all.map(({ delay }) => delay)),
  }
}

function sumBuckets(all: readonly Buckets[]): Buckets {
  const some = all.filter(({ counts }) => counts.length > 0)
  if (some.length === 0) return { first: 0, counts: [] }
  const first = Math.min(...some.map((each) => each.first))
  const end = Math.max(...some.map((each) => each.first + each.counts.length))
  const counts = new Array<number>(end - first).fill(0)
  for (const each of some) for (const [i, n] of each.counts.entries()) counts[each.first - first + i]! += n
  return { first, counts }
}

function backlogOf(state: State): QueueBacklog[] {
  const now = state.clock.now()
  const lanes = new Map<string, { queue: string; ready: number; due: number }>()
  for (const run of state.open) {
    if (!isReady(run, now)) continue
    const key = JSON.stringify([run.queue, run.workflow, run.version])
    const lane = lanes.get(key) ?? { queue: run.queue, ready: 0, due: run.due! }
    lanes.set(key, { ...lane, ready: Math.min(lane.ready + 1, maxBacklog), due: Math.min(lane.due, run.due!) })
  }
  const queues = [...new Set([...lanes.values()].map(({ queue }) => queue))].sort(order)
  return queues.map((queue) => {
    const mine = [...lanes.values()].filter((lane) => lane.queue === queue)
    return {
      queue,
      ready: mine.reduce((total, { ready }) => total + ready, 0),
      oldestAgeMs: Math.max(0, now - Math.min(...mine.map(({ due }) => due))),
    }
  })
}
