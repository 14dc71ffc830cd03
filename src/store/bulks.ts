/**
 * Bulks in a store: one operation on all runs that a filter names.
 *
 * U1. Each run is come to once: what is done to the runs of a part, and that it was done, is one commit.
 * U2. The filter is looked at newest first, of the runs that were made before the bulk. A run counts by what it is when it
 *     is come to; one that is another thing by the time that it is locked is refused.
 * U3. Nothing is waited for: a run that somebody has locked is held, and tried again with the next part.
 */
import type { BulkOperation, BulkState } from '../core/bulk-types.js'
import type { RecordedEvent } from '../core/events.js'
import type { RunFilter } from '../core/types.js'
import type { Page } from './overview.js'
import type { ForkRequest, RunRow } from './port.js'

/** The reason, as each place has it that it goes to. */
export interface BulkWords {
  /** In the facts of an event; */
  readonly facts: string | null
  /** as the payload of a message; */
  readonly payload: string | null
  /** in the row of a run that is paused. */
  readonly problem: string | null
}

export interface BulkRequest {
  readonly id: string
  readonly operation: BulkOperation
  readonly filter: RunFilter
  readonly options: string | null
  readonly words: BulkWords
  readonly actor: string
  readonly expected: number | null
  readonly expectedMore: boolean
}

export interface BulkExample {
  readonly id: string
  readonly runId: string
  readonly code: string
  readonly message: string
}

/** Times are ms since the epoch. */
export interface BulkRow extends BulkRequest {
  readonly state: BulkState
  readonly createdAt: number
  readonly closedAt: number | null
  readonly seen: number
  readonly done: number
  readonly failed: number
  /** How many. */
  readonly held: number
  readonly refused: Readonly<Record<string, number>>
  readonly examples: readonly BulkExample[]
  readonly problem: string | null
}

/** What one part came to. */
export interface BulkPart {
  readonly bulk: BulkRow
  /** Runs that it has come to in this part, those that it holds left out. */
  readonly runs: number
  /** Who is to be told: runs that were closed; that have messages; queues with runs that are ready. */
  readonly closed: readonly string[]
  readonly messaged: readonly string[]
  readonly ready: readonly string[]
}

/** A fork to be made, and children of its origin that are to be cancelled. */
export interface PlannedFork {
  readonly request: ForkRequest
  /** Not if there is a fork of the run that has the id, open or closed. */
  readonly once: boolean
  readonly cancel: readonly string[]
}

/** Says how a run is to be forked. @throws StetError when it cannot be: the run is refused with its code */
export type PlanFork = (
  bulk: BulkRow,
  row: RunRow,
  events: readonly RecordedEvent[],
  now: number,
) => PlannedFork | Promise<PlannedFork>

export interface BulkStore {
  /** The same request again does nothing. */
  beginBulk(request: BulkRequest): Promise<BulkRow>
  bulk(id: string): Promise<BulkRow | null>
  /** Newest first. */
  listBulks(page: Page): Promise<{ bulks: BulkRow[]; next: string | null }>
  /** Null: it is over, or not there. */
  setBulk(id: string, state: 'running' | 'paused' | 'cancelled'): Promise<BulkRow | null>
  /**
   * The next part of a bulk, or of the one that has waited longest (`id` null). Null: there is nothing to do, or somebody is
   * at it.
   */
  doBulkPart(id: string | null, plan: PlanFork): Promise<BulkPart | null>
}

/** Runs of one part; forks are made one by one, of histories that may be long. */
export const bulkPart = 500
export const bulkForks = 10
/** Runs that are refused or failed, and are named. */
export const maxExamples = 20

/** What children are told of a fork that cancels them. */
export const childReason = 'its parent was forked'

/** Why nothing was done to a run, for people. */
export function why(code: string, operation: BulkOperation): string {
  const reasons: Record<string, string> = {
    run_closed: 'it has closed already.',
    run_open: `it is open. \`${operation}\` is for closed runs.`,
    blocked: 'it is blocked, so it does not go on in any case.',
    not_resumable: 'it is neither paused nor blocked.',
    parent_open: 'its parent is open, and may read it. It can be deleted when that has closed.',
    children_untold: 'it has just closed, and its children are still to be told.',
    run_not_found: 'it is no more.',
    superseded: 'a later run has its id, so it was tried again already, or started anew.',
    run_locked: 'somebody has it locked. Try again.',
  }
  return `${operation}: ${reasons[code] ?? code}`
}
