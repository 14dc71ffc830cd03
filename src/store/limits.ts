/**
 * What flow control needs of a store: limits, and claims that obey them. A *limit* bounds the runs of a queue or a
 * workflow, all together or for each value of a key in their inputs; it counts runs that a worker has in hand, so a run
 * that waits (for a signal, a timer, a child) counts for nothing meanwhile.
 *
 * F1. A slot is free in the commit in which its run is let go of: by its end, its parking, its worker's death, or a pause.
 * F2. No limit is exceeded at any instant, however many claim at once.
 * F3. A claim costs the same however many runs stand in line, and however many values a key has.
 */
import type { ClaimedRun, WorkerLanes } from './port.js'

/** Which runs a limit is for: of a queue or a workflow, and by which path into their inputs; null: all together. */
export interface LimitTarget {
  readonly scope: 'queue' | 'workflow'
  readonly name: string
  readonly key: string | null
}

export interface LimitBounds {
  /** How many may be in hand at once; null: any number. */
  readonly concurrency: number | null
  /** How many may be begun in any period; null: any number. */
  readonly rate: { readonly limit: number; readonly periodMs: number } | null
}

export interface LimitRule extends LimitTarget, LimitBounds {
  /** Nothing is claimed. */
  readonly paused: boolean
  /** What the code says; null: it says nothing. */
  readonly declared: LimitBounds | null
  /** Its bounds were set while the system ran, whatever the code says. */
  readonly overridden: boolean
}

/** At most so many values of a key are told of. */
export const maxGates = 20

/** And so many values that are full while runs wait; of each so many of those runs are counted, and one. */
export const maxFullGates = 20
export const maxCountedBehind = 200

/** What one limit counts under one value of its key. */
export interface GateState {
  /** Null: the limit has no key. */
  readonly value: string | null
  /** Of runs in hand at most `maxCounted` and one are counted. */
  readonly running: number
  /** How many of the rate are used up. */
  readonly begun: number | null
}

/** A value that is full while runs wait. */
export interface FullGate extends GateState {
  /** Runs that wait for it, at most `maxCountedBehind` and one. */
  readonly queued: number
  /** How long the first of those has been ready. */
  readonly oldestMs: number
}

export interface LimitState extends LimitRule {
  readonly running: number
  /** Ready and not claimed, at most `maxCounted` and one. */
  readonly queued: number
  /** How long the first of those has been ready. */
  readonly oldestMs: number | null
  /** Values of the key with the most runs in hand, first. */
  readonly gates: readonly GateState[]
  /** Values of the key that are full while runs wait, at most `maxCounted` and one. */
  readonly full: number
  /** Of those at most `maxFullGates`; the longest wait first. */
  readonly fullGates: readonly FullGate[]
}

/** What a run that is ready stands behind. */
export interface GateAhead extends LimitRule, GateState {
  /** It lets nobody through now. */
  readonly closed: boolean
}

export interface Limits {
  /** Beside `claim`, for lanes that have limits, which `claim` passes over. `nextAt`: when more may begin, ms since the epoch. */
  claimInLine(
    workerId: string,
    lanes: WorkerLanes,
    limit: number,
    how: ClaimHow,
  ): Promise<{ readonly runs: ClaimedRun[]; readonly nextAt: number | null }>
  limits(): Promise<LimitRule[]>
  /** The limits of these queues and workflows, or of all; by scope, name and key. */
  limitStates(): Promise<LimitState[]>
  /** Sets bounds, or pauses; what is undefined stays. Runs in hand count from now on. Makes the limit, if there is none. */
  setLimit(target: LimitTarget, change: { readonly bounds?: LimitBounds; readonly paused?: boolean }): Promise<void>
  /** Back to what the code says, or away; false: there is no such limit. */
  resetLimit(target: LimitTarget): Promise<boolean>
  /** What the code of these workflows says, in place of what it said before. Returns whether anything changed. */
  declareLimits(workflows: readonly string[], limits: readonly (LimitTarget & LimitBounds)[]): Promise<boolean>
}

export interface ClaimHow {
  /** Those that are to be claimed one at a time. */
  readonly suspects: boolean
  /** A minute of waiting counts as much as one of priority. */
  readonly aged: boolean
}
