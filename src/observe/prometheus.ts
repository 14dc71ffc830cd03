/**
 * Metrics for Prometheus, in a registry of their own. Labels are names of workflows, steps and queues, of each no more
 * than `names.ts` says; never ids. What a worker has counted is read when it is scraped: a scrape costs, an event does not.
 */
import { Counter, Gauge, type Histogram as Metric, Registry } from 'prom-client'
import { originals } from '../core/determinism.js'
import type { Store } from '../store/port.js'
import type { Series } from './collector.js'
import { endOf, type Histogram } from './histogram.js'
import type { WorkerMeter } from './meter.js'
import { maxQueues, Names } from './names.js'

/** The database is asked no more often than this, however often it is scraped. */
const askMs = 5_000

/** Ends of buckets that are shown: three to a power of ten, from 1 ms to 1,000,000 s. */
const shown = Array.from({ length: 28 }, (_, i) => i * 8)

/**
 * The metrics of a process. With a worker's meter: what that worker did. In any case: what waits in the queues, and how
 * many workers there are. `content()` is the text that Prometheus scrapes.
 */
export function prometheus(store: Store, meter?: WorkerMeter): { readonly type: string; content(): Promise<string> } {
  const registry = new Registry()
  const asked = new Backlog(store, registry, () => meter?.counted('dbError'))
  if (meter !== undefined) workerMetrics(registry, meter)
  return {
    type: registry.contentType,
    content: async () => {
      await asked.refresh()
      return registry.metrics()
    },
  }
}

class Backlog {
  readonly #store: Store
  readonly #failed: () => void
  readonly #backlog: Gauge<'queue'>
  readonly #oldest: Gauge<'queue'>
  readonly #workers: Gauge
  #askedAt = Number.NEGATIVE_INFINITY
  #asking: Promise<void> | null = null

  constructor(store: Store, registry: Registry, failed: () => void) {
    this.#store = store
    this.#failed = failed
    const registers = [registry]
    const labelNames = ['queue'] as const
    this.#backlog = new Gauge({
      name: 'stet_queue_backlog',
      help: 'Runs that are ready and that no worker has claimed; counted up to 10,000 of a workflow and version.',
      registers,
      labelNames,
    })
    this.#oldest = new Gauge({
      name: 'stet_queue_oldest_ready_age_seconds',
      help: 'For how long the run that is ready the longest has been so.',
      registers,
      labelNames,
    })
    this.#workers = new Gauge({ name: 'stet_workers_alive', help: 'Workers whose leases are not over.', registers })
  }

  refresh(): Promise<void> {
    if (originals.performanceNow() - this.#askedAt < askMs) return Promise.resolve()
    this.#asking ??= this.#ask().finally(() => {
      this.#asking = null
    })
    return this.#asking
  }

  async #ask(): Promise<void> {
    try {
      const { workers, queues } = await this.#store.backlog()
      this.#clear()
      this.#workers.set(workers)
      const names = new Names(maxQueues)
      const oldest = new Map<string, number>()
      for (const { queue, ready, oldestAgeMs } of queues) {
        const label = names.of(queue)
        this.#backlog.inc({ queue: label }, ready)
        oldest.set(label, Math.max(oldest.get(label) ?? 0, oldestAgeMs / 1_000))
      }
      for (const [queue, age] of oldest) this.#oldest.set({ queue }, age)
    } catch {
      // No figure rather than an old one: Prometheus tells its absence.
      this.#clear()
      this.#workers.remove()
      this.#failed()
    }
    this.#askedAt = originals.performanceNow()
  }

  #clear(): void {
    this.#backlog.reset()
    this.#oldest.reset()
  }
}

const runCounters = {
  started: ['stet_runs_started_total', 'Runs that were claimed for the first time.'],
  completed: ['stet_runs_completed_total', 'Runs that completed.'],
  failed: ['stet_runs_failed_total', 'Runs that failed.'],
  cancelled: ['stet_runs_cancelled_total', 'Runs that ended by being cancelled.'],
  terminated: ['stet_runs_terminated_total', 'Runs that this worker held when they were terminated.'],
  continued: ['stet_runs_continued_total', 'Runs that continued as new.'],
  blocked: ['stet_runs_blocked_total', 'How often runs were blocked, for their code does not fit their history.'],
} as const

const stepCounters = {
  completed: ['stet_steps_completed_total', 'Steps that completed.'],
  failed: ['stet_steps_failed_total', 'Steps that failed for good.'],
  retried: ['stet_step_retries_total', 'Attempts that failed and are followed by another.'],
} as const

const facts = {
  nondeterminism: [
    'stet_nondeterminism_total',
    'Runs that were blocked because their code does not fit their history.',
  ],
  leaseLost: ['stet_lease_lost_total', 'How often this worker lost its lease, and its runs went to others.'],
  takenOver: ['stet_takeovers_total', 'Workers that were gone and whose runs this worker gave back.'],
  dbError: ['stet_db_errors_total', 'Times that the database did not do what this worker asked of it.'],
} as const

function workerMetrics(registry: Registry, meter: WorkerMeter): void {
  const { collector } = meter
  const registers = [registry]
  const all = (kind: 'runs' | 'steps') =>
    [...collector.series()].filter(({ step }) => (step === null) === (kind === 'runs'))
  for (const [field, [name, help]] of Object.entries(runCounters)) {
    const counter = new Counter({
      ...{ name, help, registers, labelNames: ['workflow'] },
      collect: () => {
        counter.reset()
        for (const { workflow, counts } of all('runs'))
          counter.inc({ workflow }, counts[field as keyof typeof runCounters])
      },
    })
  }
  for (const [field, [name, help]] of Object.entries(stepCounters)) {
    const counter = new Counter({
      ...{ name, help, registers, labelNames: ['workflow', 'step'] },
      collect: () => {
        counter.reset()
        for (const { workflow, step, counts } of all('steps')) {
          counter.inc({ workflow, step: step! }, counts[field as keyof typeof stepCounters])
        }
      },
    })
  }
  for (const [field, [name, help]] of Object.entries(facts)) {
    const counter = new Counter({
      ...{ name, help, registers },
      collect: () => {
        counter.reset()
        counter.inc(collector.facts[field as keyof typeof facts])
      },
    })
  }
  const byWorkflow = ({ workflow }: Series) => ({ workflow })
  const byStep = ({ workflow, step }: Series) => ({ workflow, step: step! })
  times(registry, 'stet_run_duration_seconds', 'From the start of a run to its close.', () =>
    all('runs').map((series) => [byWorkflow(series), series.duration]),
  )
  times(registry, 'stet_run_delay_seconds', 'From the start of a run to its first claim.', () =>
    [...collector.queues].map(([queue, histogram]) => [{ queue }, histogram]),
  )
  times(registry, 'stet_step_duration_seconds', 'Attempts that completed, until their result was on record.', () =>
    all('steps').map((series) => [byStep(series), series.duration]),
  )
  times(registry, 'stet_step_delay_seconds', 'From the asking for a step to the beginning of its first attempt.', () =>
    all('steps').map((series) => [byWorkflow(series), series.delay]),
  )
  const used: Gauge<'kind'> = new Gauge({
    ...{ name: 'stet_worker_slots_used', help: 'Runs in memory, bodies of steps that execute.', registers },
    labelNames: ['kind'],
    collect: () => setSlots(used, meter.slots?.runs, meter.slots?.steps),
  })
  const available: Gauge<'kind'> = new Gauge({
    ...{ name: 'stet_worker_slots_available', help: 'How many more there may be at once.', registers },
    labelNames: ['kind'],
    collect: () => {
      const slots = meter.slots
      if (slots !== null) setSlots(available, slots.maxRuns - slots.runs, slots.maxSteps - slots.steps)
    },
  })
}

function setSlots(gauge: Gauge<'kind'>, runs = 0, steps = 0): void {
  gauge.set({ kind: 'runs' }, runs)
  gauge.set({ kind: 'steps' }, steps)
}

type Labels = Record<string, string>

/** A histogram whose values stand elsewhere and are read by the scrape. Those with the same labels are one. */
function times(
  registry: Registry,
  name: string,
  help: string,
  read: () => readonly (readonly [Labels, Histogram])[],
): void {
  const get = async () => {
    const sums = new Map<string, { labels: Labels; counts: number[]; sum: number }>()
    for (const [labels, histogram] of read()) {
      const key = JSON.stringify(labels)
      const entry = sums.get(key) ?? { labels, counts: [], sum: 0 }
      sums.set(key, entry)
      entry.sum += histogram.sum
      for (const [i, n] of histogram.all().entries()) entry.counts[i] = (entry.counts[i] ?? 0) + n
    }
    const values = [...sums.values()].flatMap(({ labels, counts, sum }) => valuesOf(name, labels, counts, sum))
    return { name, help, type: 'histogram', values, aggregator: 'sum' }
  }
  // The registry asks a metric for its name and its values, and for nothing else.
  registry.registerMetric({ name, get } as unknown as Metric)
}

function valuesOf(name: string, labels: Labels, counts: readonly number[], sumMs: number) {
  const values: { metricName: string; labels: Record<string, string | number>; value: number }[] = []
  let upTo = 0
  let next = 0
  for (const bucket of shown) {
    for (; next <= bucket && next < counts.length; next++) upTo += counts[next]!
    const le = Number((endOf(bucket) / 1_000).toPrecision(4))
    values.push({ metricName: `${name}_bucket`, labels: { ...labels, le }, value: upTo })
  }
  const count = counts.reduce((sum, n) => sum + n, 0)
  values.push({ metricName: `${name}_bucket`, labels: { ...labels, le: '+Inf' }, value: count })
  values.push({ metricName: `${name}_sum`, labels, value: sumMs / 1_000 })
  values.push({ metricName: `${name}_count`, labels, value: count })
  return values
}
