/**
 * What workers keep of how often, and how long: counters and histograms by workflow, version and step, a row a minute,
 * later an hour, later a day. They are a picture: nothing that runs depends on them.
 */

/**
 * How many values fell into which bucket: `counts[i]` of them into bucket `first + i`. Buckets are numbered from 0; what
 * lies in which is none of the store's business (`observe/histogram.ts`).
 */
export interface Buckets {
  readonly first: number
  readonly counts: readonly number[]
}

export const counters = [
  'started',
  'completed',
  'failed',
  'cancelled',
  'terminated',
  'continued',
  'blocked',
  'retried',
] as const

/** Of runs: all but `retried`. Of steps: `completed`, `failed` for good, `retried`; together these are the attempts. */
export type Counts = Readonly<Record<(typeof counters)[number], number>>

export interface Measures extends Counts {
  /** How long, in buckets of ms: of a run from its start to its close, of a step the attempt that completed. */
  readonly duration: Buckets
  /** How long it was ready before it began. */
  readonly delay: Buckets
}

/** What is to be added for one workflow, version and step. `step` null: for the runs. */
export interface Tally extends Measures {
  readonly workflow: string
  readonly version: number
  readonly step: string | null
}

export interface StatsQuery {
  /** The rows that begin in this window, ms since the epoch; `to` is not in it. */
  readonly from: number
  readonly to: number
  readonly workflow?: string | undefined
  readonly version?: number | undefined
  readonly step?: string | undefined
  readonly byVersion: boolean
  /** In parts of so many ms, counted from the epoch; null: the window as a whole. */
  readonly everyMs: number | null
}

/** What was kept of one workflow and step. */
export interface StatsGroup extends Measures {
  readonly workflow: string
  /** Null: of all versions. */
  readonly version: number | null
  readonly step: string | null
  /** The beginning of the part, ms since the epoch; null: the whole window. */
  readonly at: number | null
}

/** Runs of a queue that are ready to be claimed. */
export interface QueueBacklog {
  readonly queue: string
  /** Of each of its workflows and versions at most `maxBacklog` are counted. */
  readonly ready: number
  /** For how long the oldest has been ready, ms. */
  readonly oldestAgeMs: number
}

export const maxBacklog = 10_000

/** How many rows one call of `rollUpStats` takes. */
export const rollUpBatch = 5_000

/** Rows of minutes are kept so long, then those of hours. */
export const minutesKeptMs = 48 * 3_600_000
export const hoursKeptMs = 30 * 86_400_000

export interface Statistics {
  /**
   * Adds to what is kept of this minute. `n` counts the calls of a source from 1: a call that is made again, for its
   * answer was lost, adds nothing.
   */
  addStats(source: string, n: number, tallies: readonly Tally[]): Promise<void>
  /** Groups in which something was counted, by workflow, step (runs first), version and time. */
  readStats(query: StatsQuery): Promise<StatsGroup[]>
  /** Makes hours of minutes, and days of hours, that are old enough: at most `rollUpBatch` rows; how many there were. */
  rollUpStats(): Promise<number>
  /** Queues that have runs which are ready, and how many workers are alive. Costs the same however many runs there are. */
  backlog(): Promise<{ readonly workers: number; readonly queues: readonly QueueBacklog[] }>
}
