/**
 * What schedules need of a store.
 *
 * S1. What becomes of a slot is one transaction: the row of its fire, the start of its run, and the schedule's next slot.
 * S2. A run of a schedule has the id `<schedule>@<slot>`, and no second run is started under it: not by another worker,
 *     not by a backfill, not after a crash.
 * S3. Nobody waits for a schedule that another looks at: it is passed over.
 * S4. Nothing fires early by the clock of the store.
 */
import type { FireVia } from '../core/schedule/plan.js'
import type { Attributes, FireStatus, OverlapPolicy, RunStatus } from '../core/types.js'

/** Fires that are kept of each schedule. */
export const firesKept = 10_000
/** Schedules that one look deals with. */
export const maxLooked = 50

/** Slots of each that one look deals with: it is one transaction, and others wait for the connection. */
export function slotsEach(schedules: number): number {
  return Math.max(20, Math.floor(1_000 / schedules))
}

/** What its maker says of a schedule. */
export interface ScheduleFacts {
  readonly workflow: string
  /** Null: the highest that a live worker has. */
  readonly version: number | null
  readonly queue: string
  readonly priority: number
  readonly timeoutMs: number | null
  readonly payload: string | null
  readonly attributes: Attributes | null
  /** `ScheduleTimes` as JSON. */
  readonly times: string
  readonly overlap: OverlapPolicy
  readonly catchUpMs: number
  readonly maxRuns: number | null
  readonly note: string | null
}

/** Times are ms since the epoch. */
export interface StoredSchedule extends ScheduleFacts {
  readonly id: string
  readonly source: 'call' | 'config' | 'sql'
  readonly paused: boolean
  /** Null: it has none, or nobody has looked since it was changed. */
  readonly nextSlot: number | null
  /** All slots up to here are dealt with. */
  readonly cursor: number
  readonly problem: string | null
  readonly runs: number
  readonly buffered: number
  /** The last slot that started a run. */
  readonly last: number | null
  readonly createdAt: number
  readonly updatedAt: number
}

export interface StoredFire {
  readonly slot: number
  readonly status: FireStatus
  readonly via: FireVia
  readonly at: number
  readonly runId: string | null
  readonly runStatus: RunStatus | null
  readonly reason: string | null
  readonly until: number | null
}

/** What a look at the schedules that were due has done. */
export interface Look {
  /** Schedules that were looked at. */
  readonly looked: number
  /** Queues of runs that were started. */
  readonly queues: readonly string[]
  /** Open runs that are to end, so that others may start. */
  readonly toEnd: readonly {
    readonly runId: string
    readonly how: 'cancel' | 'terminate'
    readonly schedule: string
  }[]
  /** Open runs for whose end something waits. */
  readonly waits: readonly { readonly runId: string; readonly schedule: string }[]
  /** When the next of all is to be looked at. */
  readonly nextAt: number | null
  /** Of these the times cannot be read. */
  readonly problems: readonly { readonly schedule: string; readonly problem: string }[]
}

export interface ScheduleStore {
  /** Null: it is made. Else what has its id. It is not fired for slots before now. */
  create(id: string, facts: ScheduleFacts, source: 'call' | 'config', paused: boolean): Promise<StoredSchedule | null>
  /** `restart`: slots count from now on. False: there is none. */
  change(
    id: string,
    facts: ScheduleFacts,
    how: { readonly restart: boolean; readonly source: 'call' | 'config' | null },
  ): Promise<boolean>
  /** False: there is none. A note of undefined stays. */
  setPaused(id: string, paused: boolean, note?: string | null): Promise<boolean>
  remove(id: string): Promise<boolean>
  find(id: string): Promise<StoredSchedule | null>
  /** In the order of ids. */
  list(limit: number, after: string | null): Promise<StoredSchedule[]>
  /** Newest slots first. */
  fires(id: string, limit: number): Promise<StoredFire[]>
  /** Of these slots; those of which nothing is known are left out. */
  firesAt(id: string, slots: readonly number[]): Promise<StoredFire[]>
  /**
   * Asks for fires by hand: those of which nothing is on record, or that were skipped or missed. `slots` null: one, of
   * this moment. The slots that were taken on; null: there is no such schedule.
   */
  ask(
    id: string,
    slots: readonly number[] | null,
    via: 'trigger' | 'backfill',
    overlap: OverlapPolicy | null,
  ): Promise<number[] | null>
  /** Does what is due (S1), of all schedules or of these. Also gives the hint that runs are ready. */
  look(ids: readonly string[] | null): Promise<Look>
}
