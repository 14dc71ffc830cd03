/** Bulks: one operation on all runs that a filter names, done by workers, a part at a time. */
import type { Duration, ForkOptions, RunDescription, RunFilter } from './types.js'

/** What can be done to many runs. */
export const bulkOperations = ['cancel', 'terminate', 'pause', 'resume', 'retry', 'fork', 'delete'] as const
export type BulkOperation = (typeof bulkOperations)[number]

/** `paused`: no worker goes on with it. `failed`: it could not be gone on with; `problem` says why. */
export type BulkState = 'running' | 'paused' | 'completed' | 'cancelled' | 'failed'

export interface BulkOptions {
  /** Why. Runs are told, as by `handle.cancel(reason)`. */
  reason?: string
  /** Of operation `fork`: as for `handle.fork`, without an `id`: each fork's follows from its run's. */
  fork?: Omit<ForkOptions, 'id'>
  /** Who asks, as it stays on record; default `'code'`. */
  actor?: string
  /** Says what would be done, and does nothing. */
  dryRun?: boolean
}

/** What a bulk would do. */
export interface BulkPreview {
  operation: BulkOperation
  filter: RunFilter
  /** Runs that fit the filter now, as far as was counted, */
  count: number
  /** and whether there are more. */
  more: boolean
  /** The newest of them; `refused`: the code of the reason for which nothing would be done to it. */
  sample: (RunDescription & { refused?: string; message?: string })[]
}

export interface BulkProgress {
  id: string
  operation: BulkOperation
  /** As it was given; of the runs that fit it, those count that were made before `createdAt`. */
  filter: RunFilter
  reason?: string
  actor: string
  state: BulkState
  createdAt: Date
  closedAt?: Date
  /** Runs that fitted the filter when it was made, as far as was counted, and whether there were more. */
  expected?: number
  expectedMore: boolean
  /** Runs that it has come to: `done`, `refused`, `failed`, and `held`, which somebody has locked: they are tried again. */
  seen: number
  done: number
  failed: number
  held: number
  /** Runs to which nothing was done, by the code of the reason: `run_closed`, `run_open`, `not_resumable`, … */
  refused: Record<string, number>
  /** The first 20 that were refused or failed. */
  examples: { id: string; runId: string; code: string; message: string }[]
  problem?: string
}

/** A bulk that was begun. It goes on without the process that began it. */
export interface Bulk {
  readonly id: string
  progress(): Promise<BulkProgress>
  /**
   * Waits until it is over. `drive`: does the work itself, beside the workers that there are.
   * @throws StetError with code `bulk_failed`; TimeoutFailure
   */
  result(options?: {
    timeout?: Duration
    drive?: boolean
    onProgress?: (now: BulkProgress) => void
  }): Promise<BulkProgress>
  /** Ends it where it stands: what is done stays done. Of one that is over: nothing. */
  cancel(): Promise<void>
  /** No run is come to until `resume`. */
  pause(): Promise<void>
  resume(): Promise<void>
}

export interface Bulks {
  /** @throws StetError with code `bulk_not_found` */
  get(id: string): Promise<Bulk>
  /** Newest first, 50 unless said otherwise, 200 at most. */
  list(page?: { limit?: number; after?: string }): Promise<{ bulks: BulkProgress[]; next?: string }>
}
