/**
 * What a test that moves the time needs of the store that it runs on.
 *
 * T1. Run time stands still where it was stopped, at a whole millisecond, or goes on at the pace of real time. It never
 *     goes back.
 * T2. Leases stay on real time.
 */
import type { WorkerLanes } from './port.js'

export interface TimeReading {
  /** The time that runs live by, ms since the epoch. */
  readonly now: number
  /** Some run executes, or is ready for a worker that is there, or has a message to look at; or a schedule is due. */
  readonly busy: boolean
  /** The run that is due next, and when (ms since the epoch); null: none waits for a timer. */
  readonly next: { readonly runId: string; readonly workflow: string; readonly due: number } | null
  /** The schedule that fires next, and when. */
  readonly schedule: { readonly id: string; readonly due: number } | null
}

export interface TestTime {
  /** Looks at the clock and at what runs do, in one moment. `lanes` are those of the asker's worker. */
  read(lanes: WorkerLanes): Promise<TimeReading>
  /** Has the clock stand at `to` (ms since the epoch), or where it is when that is later or null. Returns the time. */
  stop(to: number | null): Promise<number>
  /** Lets the clock go on from where it stands. Returns the time. */
  go(): Promise<number>
  /** The runs that execute, at most five, for a message. */
  running(): Promise<{ runId: string; workflow: string }[]>
}
