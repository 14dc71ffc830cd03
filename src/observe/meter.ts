/** What a worker tells of itself, handed to those who count, keep and trace it. */
import type { RecordedEvent } from '../core/events.js'
import type { Execution } from '../core/execution.js'
import { isClosed } from '../core/statuses.js'
import type { Log } from '../core/types.js'
import type { ClaimedRun, RowChange, Store } from '../store/port.js'
import { Collector, type Fact } from './collector.js'
import { StatsKeeper } from './keeper.js'
import { RunTracer } from './tracing.js'

/** What a worker has in hand, and how much of it there may be. */
export interface SlotsInUse {
  readonly runs: number
  readonly maxRuns: number
  readonly steps: number
  readonly maxSteps: number
}

/** The meter of one worker (`worker/meter.ts` says when it is told what). */
export class WorkerMeter {
  readonly collector = new Collector()
  readonly #keeper: StatsKeeper
  readonly #tracer: RunTracer
  #slots: (() => SlotsInUse) | null = null

  constructor(store: Store, log: Log) {
    this.#keeper = new StatsKeeper(store, this.collector, log)
    this.#tracer = new RunTracer(store, log)
  }

  /** Null: the worker has not started. */
  get slots(): SlotsInUse | null {
    return this.#slots?.() ?? null
  }

  /** Brings what was counted so far into the database, without waiting for the ten seconds to be over. */
  flush(): Promise<void> {
    return this.#keeper.flush()
  }

  started(slots: () => SlotsInUse): void {
    this.#slots = slots
    this.#keeper.start()
  }

  async stopped(): Promise<void> {
    await Promise.all([this.#keeper.stop(), this.#tracer.stop()])
  }

  began(run: ClaimedRun, first: RecordedEvent, now: number): void {
    this.collector.began(run, first, now)
  }

  committed(run: ClaimedRun, events: readonly RecordedEvent[], execution: Execution): void {
    this.collector.committed(run, events, execution)
  }

  left(run: ClaimedRun, status: RowChange['status'], at: number, execution: Execution): void {
    this.collector.left(run, status, at, execution)
    if (isClosed(status)) this.#tracer.closed(run)
  }

  blocked(run: ClaimedRun, code: string): void {
    this.collector.blocked(run, code)
  }

  counted(fact: Exclude<Fact, 'nondeterminism'>, by?: number): void {
    this.collector.counted(fact, by)
  }
}
