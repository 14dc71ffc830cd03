/** The port of whoever counts and times what a worker does. It is told as things are on record, never before. */
import type { RecordedEvent } from '../core/events.js'
import type { Execution } from '../core/execution.js'
import type { ClaimedRun, RowChange } from '../store/port.js'

/** What a worker has in hand, and how much of it there may be. */
export interface Slots {
  readonly runs: number
  readonly maxRuns: number
  /** Bodies of steps that execute. */
  readonly steps: number
  readonly maxSteps: number
}

/** Calls must not throw, and must cost next to nothing: they stand in the way of every step. */
export interface Meter {
  started(slots: () => Slots): void
  /** Nothing more comes. Resolves when what was noted is kept, or cannot be. */
  stopped(): Promise<void>
  /** A run was taken up, now by the database's clock; `first` is the first event of its history. */
  began(run: ClaimedRun, first: RecordedEvent, now: number): void
  /** Events were committed; the execution has not been told yet. */
  committed(run: ClaimedRun, events: readonly RecordedEvent[], execution: Execution): void
  /** Its row says, since `at` by the database's clock, that the run has come to this. */
  left(run: ClaimedRun, status: RowChange['status'], at: number, execution: Execution): void
  blocked(run: ClaimedRun, code: string): void
  counted(fact: 'leaseLost' | 'takenOver' | 'dbError', by?: number): void
}
