/**
 * What retention needs of a store: how long closed runs are kept, and their deletion.
 *
 * V1. All that is kept of a run goes with it, in one commit; of a run with a long history the run itself, and then the
 *     rest piece by piece. No statement does more than a bounded part.
 * V2. Nothing open is deleted, nor what somebody open may still ask for: a child goes after its parent has closed, a run
 *     whose children are to be told after they are.
 * V3. Forks have copies of what they share, children of a deleted run are runs of their own: they stay, and the name of
 *     what they came from with them.
 */
import type { KeptFor } from '../core/retention-rules.js'
import type { ClosedStatus } from '../core/statuses.js'

/** `workflow` '': all that have no rule of their own. Infinity: for ever. */
export interface StoredRetention {
  readonly workflow: string
  readonly status: ClosedStatus
  readonly configMs: number | null
  readonly runtimeMs: number | null
}

/** Runs of one workflow that ended in one way, the oldest ends first. */
export interface EndedRange extends KeptFor {
  /** Behind which of them to begin; null: with the first. */
  readonly after: EndedPlace | null
}

export interface EndedPlace {
  /** As the store writes times. */
  readonly closedAt: string
  readonly runId: string
}

export interface RetainedPart {
  readonly deleted: number
  readonly kept: number
  /** Null: the range is through. */
  readonly next: EndedPlace | null
}

export interface Deleted {
  readonly deleted: readonly string[]
  /** `run_locked`: somebody has it. */
  readonly refused: readonly { readonly runId: string; readonly code: string }[]
}

export interface RetentionStore {
  /** Deletes closed runs, each by itself: what must stay is refused. */
  deleteRuns(runIds: readonly string[]): Promise<Deleted>
  /** Of these runs those that are not there. */
  missingRuns(runIds: readonly string[]): Promise<string[]>
  /** Deletes more of what deleted runs with long histories have left; how many rows that was. */
  deleteLeftovers(): Promise<number>
  retention(): Promise<StoredRetention[]>
  /** Makes these the rules of the config, in place of those there were. */
  setConfigRetention(rules: readonly KeptFor[]): Promise<void>
  /** Null: takes back what was set. */
  setRetention(workflow: string, status: ClosedStatus, keepMs: number | null): Promise<void>
  /** Workflows that have closed runs. */
  endedWorkflows(): Promise<string[]>
  /** Takes the lease, or keeps it, for so long; false: another has it, or the last pass was not long ago. */
  watchRetention(holder: string, forMs: number): Promise<boolean>
  /** Gives the lease back; nobody takes it before so long. */
  unwatchRetention(holder: string, restMs: number): Promise<void>
  retainPart(range: EndedRange): Promise<RetainedPart>
  /** Forgets bulks that were over long ago. */
  pruneBulks(): Promise<void>
}

/** Runs that one part looks at. */
export const retainedPart = 500
/** Bulks are kept for so long, ms. */
export const keepBulksMs = 90 * 86_400_000
