/** What queues there are, and how each stands. One function, so that the command line, the API and the page say the same. */
import type { RunStatus } from '../core/types.js'
import type { Store } from '../store/port.js'

export interface QueueState {
  readonly queue: string
  /** Nothing of it is claimed. */
  readonly paused: boolean
  /** Runs that could go on, and wait. */
  readonly ready: number
  /** How long the first of those has waited. */
  readonly oldestMs: number | null
  /** Its runs by status, of each the newest `maxQueued` of all queues. */
  readonly runs: {
    readonly running: number
    readonly waiting: number
    readonly paused: number
    readonly blocked: number
  }
  /** Workers that listen on it. */
  readonly workers: number
  /** Of its runs so many may be in hand at once; null: any number. */
  readonly concurrency: number | null
}

const none = { running: 0, waiting: 0, paused: 0, blocked: 0 }

/** Queues that have open runs, workers or limits, by name. `more`: statuses that have more runs than were counted. */
export async function queuesOf(store: Store): Promise<{ queues: QueueState[]; more: readonly RunStatus[] }> {
  const [backlog, queued, live, rules] = await Promise.all([
    store.backlog(),
    store.queuedRuns(),
    store.liveWorkers(),
    store.limits(),
  ])
  const ready = new Map(backlog.queues.map((each) => [each.queue, each]))
  const runs = new Map(queued.queues.map(({ queue, ...counts }) => [queue, counts]))
  const workers = new Map<string, number>()
  for (const { queues } of live) for (const queue of queues) workers.set(queue, (workers.get(queue) ?? 0) + 1)
  const limits = rules.filter(({ scope }) => scope === 'queue')
  const paused = new Set(limits.flatMap((limit) => (limit.paused ? [limit.name] : [])))
  const bounds = new Map(limits.flatMap(({ name, key, concurrency }) => (key === null ? [[name, concurrency]] : [])))
  const names = new Set([...ready.keys(), ...runs.keys(), ...workers.keys(), ...limits.map(({ name }) => name)])
  return {
    queues: [...names].sort().map((queue) => ({
      queue,
      paused: paused.has(queue),
      ready: ready.get(queue)?.ready ?? 0,
      oldestMs: ready.get(queue)?.oldestAgeMs ?? null,
      runs: runs.get(queue) ?? none,
      workers: workers.get(queue) ?? 0,
      concurrency: bounds.get(queue) ?? null,
    })),
    more: queued.more,
  }
}
