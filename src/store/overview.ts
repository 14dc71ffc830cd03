/**
 * What people who look after runs ask of a store, beside the runs themselves: pages, counts, who works, who did what.
 * Each answer is bounded: it costs the same however many runs there are, and however long they are.
 */
import type { RecordedEvent } from '../core/events.js'
import type { RunStatus } from '../core/types.js'
import type { RunRow } from './port.js'

export interface LiveWorker {
  readonly id: string
  readonly host: string | null
  readonly pid: number | null
  readonly queues: readonly string[]
  readonly workflows: readonly { readonly name: string; readonly version: number }[]
  /** Runs that it owns, at most `maxCounted` and one. */
  readonly runs: number
  /** ms since the epoch; null: not known. */
  readonly startedAt: number | null
  /** Since its last sign of life. */
  readonly beatAgeMs: number
}

/** An action of somebody's. `details` holds no payload: what was sent is in the history of the run. */
export interface AuditEntry {
  readonly actor: string
  readonly role: string
  readonly action: string
  readonly runId: string | null
  readonly id: string | null
  readonly details: Readonly<Record<string, unknown>>
}

export interface AuditRow extends AuditEntry {
  /** Its place among all actions, from 1, perhaps with holes. */
  readonly n: number
  /** ms since the epoch. */
  readonly at: number
}

/** What became of an action. What is null stays as it was; `details` are added to those that there are. */
export type AuditEnd = Pick<AuditRow, 'n' | 'runId' | 'id' | 'details'>

export interface Page {
  readonly limit: number
  /** `next` of the page before. */
  readonly after?: string | undefined
}

/** Runs of one status that are counted by queue, the newest. */
export const maxQueued = 5_000

export interface QueuedRuns {
  readonly queues: readonly {
    readonly queue: string
    readonly running: number
    readonly waiting: number
    readonly paused: number
    readonly blocked: number
  }[]
  /** Statuses of which there are more than `maxQueued`: their figures are of the newest alone. */
  readonly more: readonly RunStatus[]
}

/** Where somebody stands in a history. */
export interface Place {
  readonly runId: string
  /** The seq of the last event that is known there. */
  readonly after: number
  /** Payloads of more bytes than this are left where they are, but for errors; undefined: none is. */
  readonly maxPayload?: number | undefined
}

export interface PlacedEvent extends RecordedEvent {
  /** The payload, of so many bytes as it is kept, was left out: `payload` is null. */
  readonly omitted?: number
}

/** An answer of `eventsAfter` ends when its payloads have this many bytes, with the event that made them so many. */
export const maxEventBytes = 2 ** 24

export interface Overview {
  /**
   * Of each history the events behind a place, at most `limit` of them, in order, and all of them together no more than
   * fill `maxEventBytes`: whoever was given less than there is asks again from there. One answer a place, in their order.
   */
  eventsAfter(places: readonly Place[], limit: number): Promise<PlacedEvent[][]>
  /** The rows of these runs and of the `newest` newest ones, each once, newest first. */
  rows(runIds: readonly string[], newest: number): Promise<RunRow[]>
  /** Children of a run, or its forks, newest first. */
  relatives(runId: string, kind: 'child' | 'fork', page: Page): Promise<{ rows: RunRow[]; next: string | null }>
  /** What a step has saved for its next attempt; null: nothing, or it was settled since and has none any more. */
  checkpoint(runId: string, op: number): Promise<{ readonly payload: string | null } | null>
  /** Runs by status, of each at most `maxCounted` and one. */
  countRuns(): Promise<Record<RunStatus, number>>
  /** Which queues the runs of some statuses are of. */
  queuedRuns(): Promise<QueuedRuns>
  /** Workers whose leases are not over. */
  liveWorkers(): Promise<LiveWorker[]>
  /** Names and versions of workflows that live workers or runs have. */
  knownWorkflows(): Promise<{ readonly name: string; readonly version: number; readonly served: boolean }[]>
  /** Puts actions on record, before they are done; their numbers, in order. */
  beginAudit(entries: readonly AuditEntry[]): Promise<number[]>
  endAudit(ends: readonly AuditEnd[]): Promise<void>
  /** Actions, newest first, `before` a number; those on one run, or all. */
  readAudit(page: { readonly limit: number; readonly before?: number; readonly runId?: string }): Promise<AuditRow[]>
}
