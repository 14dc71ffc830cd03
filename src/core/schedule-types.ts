/** What a caller says of schedules, and is told. Types only. */
import type { Attributes, Duration, Handle, RunStatus, Workflow } from './types.js'

/** One value, a list, a range (both ends count), or all. */
export type CalendarField = '*' | number | CalendarRange | readonly (number | CalendarRange)[]
export interface CalendarRange {
  from: number
  to: number
  step?: number
}
/**
 * Local times. What is not given: in `calendars` 0 for hours, minutes and seconds, and any for the rest; in `exclude`
 * any, so `{ months: 12, daysOfMonth: 25 }` is a whole day.
 */
export interface Calendar {
  years?: CalendarField
  /** 1 to 12. */
  months?: CalendarField
  /** 1 to 31, or from the end of the month: -1 is its last day. */
  daysOfMonth?: CalendarField
  /** 0 (Sunday) to 6; 7 is Sunday too. A day fits when `daysOfMonth` and `daysOfWeek` both do. */
  daysOfWeek?: CalendarField
  hours?: CalendarField
  minutes?: CalendarField
  seconds?: CalendarField
}

/** When a schedule fires: at all times that any of `cron`, `every`, `at` and `calendars` names, less what is excluded. */
export interface ScheduleTimes {
  /** Five fields; six with seconds in front; seven with the year behind. */
  cron?: string | readonly string[]
  /** From a second on. Counted from 1970-01-01T00:00:00Z, so that everybody agrees. */
  every?: Duration
  /** Moves the times of `every`: `every: '1h', offset: '5m'` is five past each hour. */
  offset?: Duration
  at?: Date | readonly Date[]
  calendars?: readonly Calendar[]
  exclude?: readonly Calendar[]
  /** IANA name for `cron`, `calendars` and `exclude`; default UTC. */
  timeZone?: string
  /** No slot before. */
  startAt?: Date
  /** No slot after. */
  endAt?: Date
  /** Each slot fires up to so much later: always the same for one slot, and never as late as the next. */
  jitter?: Duration
}

/** What becomes of a slot while an earlier run of the schedule is open. */
export type OverlapPolicy = 'skip' | 'bufferOne' | 'bufferAll' | 'cancelOther' | 'terminateOther' | 'allow'

export interface ScheduleSettings extends ScheduleTimes {
  /** Default `skip`. */
  overlap?: OverlapPolicy
  /** A slot that nobody could fire in time still fires up to so much later; default `'1d'`, at least 10 s. */
  catchUp?: Duration
  paused?: boolean
  /** For people. */
  note?: string
  /** After so many runs that slots have started it fires no more. */
  maxRuns?: number
  /** Default: the highest that a live worker has when it fires. */
  version?: number
  queue?: string
  priority?: number
  /** Of each run. */
  timeout?: Duration
  attributes?: Attributes
}
export interface ScheduleOptions<I = any, O = any> extends ScheduleSettings {
  workflow: Workflow<I, O> | string
  input?: I
}
/** What is given replaces what is there; `null` for `maxRuns`, `note`, `startAt`, `endAt`, `jitter` and the like takes it away. */
export type ScheduleChange = { [K in keyof ScheduleOptions]?: ScheduleOptions[K] | null }

/** What became of a slot. `due`: it was asked for, and no worker has looked yet. */
export type FireStatus = 'due' | 'started' | 'skipped' | 'buffered' | 'missed'
export interface ScheduleFire {
  /** The nominal time, before jitter. */
  slot: Date
  status: FireStatus
  via: 'slot' | 'trigger' | 'backfill'
  /** When that was decided. */
  at: Date
  /** The run is `<schedule>@<slot>`. */
  id: string
  runId?: string
  /** Of the run, as it is now. */
  runStatus?: RunStatus
  reason?: string
  /** A row of missed slots stands for all up to here. */
  until?: Date
}
export interface ScheduleSummary {
  id: string
  workflow: string
  paused: boolean
  next?: Date
  /** When it fires, in words that were given: `cron 0 3 * * *`. */
  times: string
  timeZone: string
  overlap: OverlapPolicy
  note?: string
  /** Why it cannot fire: the times that were given by SQL cannot be read. */
  problem?: string
  source: 'call' | 'config' | 'sql'
  last?: Date
}
export interface ScheduleDescription extends ScheduleSummary {
  /** As it was given. */
  spec: ScheduleTimes
  input?: unknown
  catchUpMs: number
  queue: string
  priority: number
  version?: number
  timeoutMs?: number
  attributes: Attributes
  /** Runs that slots have started. */
  runs: number
  maxRuns?: number
  /** Waiting for an earlier run to close. */
  buffered: number
  createdAt: Date
  updatedAt: Date
  nextFires: Date[]
  /** Newest first. */
  fires: ScheduleFire[]
}

export interface Schedules {
  /**
   * Makes a schedule. The same again does nothing.
   * @throws InvalidInputError naming the field; IdConflictError when another schedule has the id
   * @example await stet.schedules.create('nightly', { workflow: report, cron: '0 3 * * *', timeZone: 'Europe/Berlin' })
   */
  create<I, O>(id: string, options: ScheduleOptions<I, O>): Promise<void>
  /** Changes what is given. With other times it goes on from now; what was due under the former ones is let go. */
  update(id: string, options: ScheduleChange): Promise<void>
  /** No slot fires, none counts as missed, nothing buffered starts, until it is resumed. */
  pause(id: string, note?: string): Promise<void>
  resume(id: string): Promise<void>
  /**
   * Fires it now, through its overlap policy, paused or not. One that was buffered has no run yet.
   * @throws StetError `schedule_skipped` when the policy skips it
   */
  trigger(id: string, options?: { overlap?: OverlapPolicy }): Promise<Handle<unknown>>
  /**
   * Starts what has not been started of a span of the past, both ends counted; safe to call again. `overlap` is `allow`
   * unless given: all at once.
   */
  backfill(
    id: string,
    range: { from: Date; to: Date; overlap?: OverlapPolicy },
  ): Promise<{ started: number; buffered: number; skipped: number; existing: number }>
  /** Its next slots (10), before jitter; none while it is paused. */
  next(id: string, count?: number): Promise<Date[]>
  /** The same of times that are no schedule yet, from now or from `after`. Needs no database. */
  dryRun(times: ScheduleTimes, options?: { count?: number; after?: Date }): Date[]
  /** By id. */
  list(options?: { limit?: number; after?: string }): Promise<ScheduleSummary[]>
  /** With its last fires (20). */
  describe(id: string, options?: { fires?: number }): Promise<ScheduleDescription>
  /** Its runs go on; what was buffered is gone. */
  delete(id: string): Promise<void>
}
