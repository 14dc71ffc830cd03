/**
 * What one worker counts and times, in memory.
 *
 * O1. Only what is on record counts: events that this worker has committed, changes of rows that it has made. So nothing
 *     counts twice: neither a replay nor a run that is taken up again.
 * O2. An event costs two look-ups and a few increments; memory is bounded by the number of names (`names.ts`).
 * O3. Steps: each attempt that has ended is `completed`, `failed` (for good) or `retried`. One whose worker died has not
 *     ended: the next worker's takes its place.
 */
import type { RecordedEvent } from '../core/events.js'
import type { Execution } from '../core/execution.js'
import { isClosed } from '../core/statuses.js'
import type { ClaimedRun, RowChange } from '../store/port.js'
import { type Counts, counters, type Tally } from '../store/statistics.js'
import { Histogram } from './histogram.js'
import { maxQueues, maxSteps, maxWorkflows, Names, stepLabel } from './names.js'

class Tallied implements Counts {
  started = 0
  completed = 0
  failed = 0
  cancelled = 0
  terminated = 0
  continued = 0
  blocked = 0
  retried = 0
}

/** What is counted of the runs of one workflow and version, or of one of its steps. */
export class Series {
  readonly workflow: string
  readonly version: number
  /** Null: the runs. */
  readonly step: string | null
  readonly counts = new Tallied()
  readonly duration = new Histogram()
  readonly delay = new Histogram()
  readonly #taken = new Tallied()
  /** Something came since the last `take`. */
  touched = false

  constructor(workflow: string, version: number, step: string | null) {
    this.workflow = workflow
    this.version = version
    this.step = step
  }

  take(): Tally {
    const fresh = new Tallied()
    for (const name of counters) {
      fresh[name] = this.counts[name] - this.#taken[name]
      this.#taken[name] = this.counts[name]
    }
    this.touched = false
    const { workflow, version, step } = this
    return { workflow, version, step, ...fresh, duration: this.duration.take(), delay: this.delay.take() }
  }
}

interface Family {
  readonly runs: Series
  readonly steps: Map<string, Series>
  /** By the names that the code uses: most are always the same few. */
  readonly shortcuts: Map<string, Series>
}

const maxShortcuts = 1_000

/** Facts about the worker itself. */
export type Fact = 'leaseLost' | 'takenOver' | 'dbError' | 'nondeterminism'

export class Collector {
  readonly facts: Record<Fact, number> = { leaseLost: 0, takenOver: 0, dbError: 0, nondeterminism: 0 }
  /** How long runs were ready before they were first claimed, by queue. */
  readonly queues = new Map<string, Histogram>()
  readonly #queueNames = new Names(maxQueues)
  readonly #workflowNames = new Names(maxWorkflows)
  readonly #stepNames = new Map<string, Names>()
  readonly #families = new Map<string, Map<number, Family>>()

  began(run: ClaimedRun, first: RecordedEvent, now: number): void {
    const { fork } = first.facts ?? {}
    // A fork counts as claimed once before anybody has claimed it.
    if (run.claim !== (fork === undefined ? 1 : 2)) return
    const { runs } = this.#family(run)
    const delay = now - (fork?.at ?? first.at)
    runs.counts.started++
    runs.delay.record(delay)
    runs.touched = true
    const queue = this.#queueNames.of(run.queue)
    let histogram = this.queues.get(queue)
    if (histogram === undefined) {
      histogram = new Histogram()
      this.queues.set(queue, histogram)
    }
    histogram.record(delay)
  }

  committed(run: ClaimedRun, events: readonly RecordedEvent[], execution: Execution): void {
    for (const event of events) {
      const { type } = event
      if (type !== 'StepCompleted' && type !== 'StepFailed' && type !== 'AttemptFailed') continue
      const series = this.#step(run, event.name ?? '')
      // Of the facts, which have many shapes, no more is read than must be.
      const began = event.facts?.began
      series.touched = true
      if (type === 'StepCompleted') {
        series.counts.completed++
        if (began !== undefined) series.duration.record(event.at - began)
      } else if (type === 'StepFailed') series.counts.failed++
      else series.counts.retried++
      if (began === undefined) continue
      const operation = execution.operation(event.op!)
      if (operation?.failedAttempts === 0) series.delay.record(began - operation.askedAt)
    }
  }

  left(run: ClaimedRun, status: RowChange['status'], at: number, execution: Execution): void {
    if (!isClosed(status)) return
    const { runs } = this.#family(run)
    runs.counts[status]++
    runs.duration.record(at - (execution.begun.fork?.at ?? execution.startedAt))
    runs.touched = true
  }

  blocked(run: ClaimedRun, code: string): void {
    const { runs } = this.#family(run)
    runs.counts.blocked++
    runs.touched = true
    if (code === 'nondeterminism') this.facts.nondeterminism++
  }

  counted(fact: Exclude<Fact, 'nondeterminism'>, by = 1): void {
    this.facts[fact] += by
  }

  /** All that was ever counted. */
  *series(): Iterable<Series> {
    for (const versions of this.#families.values()) {
      for (const { runs, steps } of versions.values()) {
        yield runs
        yield* steps.values()
      }
    }
  }

  /** What came since the last call. */
  take(): Tally[] {
    return [...this.series()].filter(({ touched }) => touched).map((series) => series.take())
  }

  #family({ workflow: name, version }: ClaimedRun): Family {
    const found = this.#families.get(name)?.get(version)
    if (found !== undefined) return found
    const workflow = this.#workflowNames.of(name)
    let versions = this.#families.get(workflow)
    if (versions === undefined) {
      versions = new Map()
      this.#families.set(workflow, versions)
    }
    let family = versions.get(version)
    if (family === undefined) {
      family = { runs: new Series(workflow, version, null), steps: new Map(), shortcuts: new Map() }
      versions.set(version, family)
    }
    return family
  }

  #step(run: ClaimedRun, name: string): Series {
    const family = this.#family(run)
    const found = family.shortcuts.get(name)
    if (found !== undefined) return found
    const series = this.#labelled(family, stepLabel(name))
    if (family.shortcuts.size < maxShortcuts) family.shortcuts.set(name, series)
    return series
  }

  #labelled(family: Family, label: string): Series {
    const found = family.steps.get(label)
    if (found !== undefined) return found
    const { workflow, version } = family.runs
    let names = this.#stepNames.get(workflow)
    if (names === undefined) {
      names = new Names(maxSteps)
      this.#stepNames.set(workflow, names)
    }
    const step = names.of(label)
    let series = family.steps.get(step)
    if (series === undefined) {
      series = new Series(workflow, version, step)
      family.steps.set(step, series)
    }
    return series
  }
}
