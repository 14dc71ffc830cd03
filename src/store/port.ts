/**
 * What stet asks of a store. One implementation is Postgres; whatever else comes passes the same conformance suite.
 *
 * Every write of a worker carries the worker's id and is refused when that worker may no longer write. Methods that
 * write may be called again after a failure: a commit that was reported as failed and happened all the same is
 * recognised.
 */

import type { EventFacts, EventType, RecordedEvent } from '../core/events.js'
import type { Hint } from '../core/hint.js'
import type { Attributes, RunFilter, RunStatus } from '../core/types.js'

export interface StartRequest {
  readonly runId: string
  /** Same as `runId` when the caller gave none. */
  readonly id: string
  readonly workflow: string
  /** Null: the highest that a live worker has, else decided by the worker that claims the run. */
  readonly version: number | null
  readonly queue: string
  readonly priority: number
  /** When it may begin, ms since the epoch; null: now. */
  readonly startAt: number | null
  /** Not before this long from now, ms. */
  readonly delayMs: number
  readonly timeoutMs: number | null
  readonly payload: string | null
  readonly facts: EventFacts | null
  readonly attributes: Attributes | null
  readonly ifClosed: 'existing' | 'new' | 'newIfFailed' | 'fail'
}

/** What a start found under its id, when it did not start. */
export interface ExistingRun {
  readonly runId: string
  readonly workflow: string
  readonly status: RunStatus
  readonly open: boolean
  readonly payload: string | null
}

export interface MessageRequest {
  /** An id or a run id. */
  readonly run: string
  readonly kind: 'signal' | 'cancel' | 'terminate'
  readonly name: string | null
  readonly payload: string | null
  readonly messageId: string | null
}

/** `runId` null: there is no such run. `closed`: the status of a run that takes no message. */
export interface MessageAnswer {
  readonly runId: string | null
  readonly closed: RunStatus | null
}

export interface WorkerLanes {
  readonly queues: readonly string[]
  readonly workflows: readonly { readonly name: string; readonly version: number }[]
}

export interface WorkerInfo extends WorkerLanes {
  readonly id: string
  readonly pid: number
  readonly host: string
}

/** A run that a worker now owns. */
export interface ClaimedRun {
  readonly runId: string
  readonly id: string
  readonly workflow: string
  readonly version: number
  readonly queue: string
  /** Counts the claims of this run; part of every fence. */
  readonly claim: number
  /** Messages ever accepted. */
  readonly msgs: number
  readonly crashes: number
  /** When its time is up, ms since the epoch; null: never. */
  readonly deadline: number | null
  /** The whole history, when nothing but the start is in it; else null, to be loaded. */
  readonly started: RecordedEvent | null
}

export interface InboxMessage {
  readonly n: number
  readonly kind: MessageRequest['kind']
  readonly name: string | null
  readonly payload: string | null
}

export interface LoadedRun {
  readonly events: RecordedEvent[]
  readonly inbox: InboxMessage[]
  readonly checkpoints: ReadonlyMap<number, string | null>
}

/** One event to append. All events of one run in a batch stand together, in order. */
export interface AppendEvent {
  readonly runId: string
  readonly claim: number
  readonly seq: number
  /** The seq of this run's first event in the batch. */
  readonly firstSeq: number
  readonly type: EventType
  readonly op: number | null
  readonly name: string | null
  readonly payload: string | null
  readonly facts: string | null
  /** The inbox message that this event takes in. */
  readonly inboxN: number | null
}

export interface AppendAnswer {
  /** The database's time of the batch, ms since the epoch: the `at` of its events. */
  readonly at: number
  /** Runs whose events were refused: they are no longer this worker's. */
  readonly lost: ReadonlySet<string>
  /** The worker may write nothing any more. */
  readonly fenced: boolean
}

/** At most so many changes in one call of `change`: as many run ids as one hint can name. */
export const maxChanges = 250

/** What taking over from workers that are gone has changed. */
export interface TakenOver {
  readonly workers: number
  readonly runs: number
  /** Runs that are blocked now, for they crashed one worker after another. */
  readonly quarantined: readonly string[]
  /** When the first of those that are under suspicion may be tried again, ms since the epoch. */
  readonly nextDue: number | null
}

/** From this many crashes in a row without progress on, a run is claimed alone, so that the next crash tells on it. */
export const suspectAfter = 2

/** What becomes of a run's row when its worker lets go of it. */
export interface RowChange {
  readonly runId: string
  readonly claim: number
  readonly status: 'waiting' | 'pending' | 'blocked' | 'completed' | 'failed' | 'cancelled' | 'terminated'
  /** Parking: refused if the run has accepted other messages than these. Null: whatever was accepted. */
  readonly seen: number | null
  readonly due: number | null
  readonly waits: string | null
  readonly problem: string | null
  readonly error: { readonly name: string; readonly message: string } | null
  /** The event that closes the run, committed with the status. */
  readonly terminal: {
    readonly seq: number
    readonly type: EventType
    readonly payload: string | null
    readonly facts: string | null
  } | null
}

export type RowAnswer =
  | 'changed'
  /** Somebody holds the row's lock: ask again. */
  | 'locked'
  /** Messages came meanwhile: take them in first. */
  | 'messages'
  | 'lost'

export interface ChangeAnswer {
  readonly at: number
  /** By run id; a run that is not named was changed. */
  readonly others: ReadonlyMap<string, Exclude<RowAnswer, 'changed'>>
  readonly fenced: boolean
}

/** What a worker learns each time it says that it lives. Null: it may write nothing any more. */
export interface Beat {
  readonly now: number
  /** Runs that it could claim wait. */
  readonly ready: boolean
  /** Among them are runs that are to be claimed one at a time. */
  readonly suspects: boolean
  /** When the next waiting run is due, ms since the epoch. */
  readonly nextDue: number | null
  /** Workers that should be gone: their lease is over, or they own runs without being there. */
  readonly overdue: boolean
  /** How many runs it owns. */
  readonly owned: number
  /** Its own runs and how many messages each has accepted, for runs that have accepted any. */
  readonly msgs: readonly { readonly runId: string; readonly msgs: number }[]
  /** Some other live worker, to be watched; chosen so that everyone is watched by someone. */
  readonly neighbour: string | null
}

/** `sentAt` is when the sign of life was sent, as `performance.now()` counts: its lease ends that much after. */
export interface LeaseListener {
  /** The worker may write from now on. */
  registered(sentAt: number): void
  beat(beat: Beat, sentAt: number): void
  /** The worker may write nothing any more. */
  fenced(): void
  /** Another worker's process is gone. */
  dead(workerId: string): void
  failed(message: string): void
}

export interface Lease {
  /** Beats now, for fresh news. */
  poke(): void
  stop(): Promise<void>
}

export interface RunRow {
  readonly runId: string
  readonly id: string
  readonly workflow: string
  readonly version: number
  readonly queue: string
  readonly priority: number
  readonly status: RunStatus
  readonly owner: string | null
  readonly claim: number
  readonly due: number | null
  readonly createdAt: number
  readonly startedAt: number | null
  readonly closedAt: number | null
  readonly deadline: number | null
  readonly waits: string | null
  readonly problem: string | null
  readonly error: { readonly name: string; readonly message: string } | null
  readonly attributes: Attributes | null
  readonly historyLength: number
}

export interface RunResult {
  readonly runId: string
  readonly status: RunStatus
  readonly payload: string | null
}

export interface Store {
  /** Where the data is, for people; no password in it. */
  readonly description: string
  migrate(): Promise<number>

  // starting, talking to and reading runs
  /** Also gives the hint that runs are ready. */
  start(requests: readonly StartRequest[]): Promise<(ExistingRun | null)[]>
  /** An answer that is a promise: a transaction of somebody has the run locked, and the others need not wait for that. */
  post(messages: readonly MessageRequest[]): Promise<(MessageAnswer | Promise<MessageAnswer>)[]>
  /** Closes a run that nobody owns; false: somebody does, or it is closed. */
  closeUnowned(runId: string, how: 'terminate' | 'cancelBeforeBegin', reason: string | null): Promise<boolean>
  /** Blocks a run that waits, unless somebody has had it since this claim. */
  blockParked(runId: string, claim: number, problem: string): Promise<boolean>
  resume(runId: string): Promise<boolean>
  find(ref: string): Promise<RunRow | null>
  list(filter: RunFilter): Promise<{ rows: RunRow[]; next: string | null }>
  history(runId: string): Promise<RecordedEvent[]>
  results(runIds: readonly string[]): Promise<RunResult[]>

  // workers
  /** Registers the worker and keeps it alive until stopped. */
  holdLease(worker: WorkerInfo, leaseMs: number, beatMs: number, listener: LeaseListener): Lease
  /** Workers whose processes are known to be gone. */
  goneWorkers(): Promise<string[]>
  unregister(workerId: string): Promise<void>
  /** Ends workers whose lease is over, and those named (their session is gone); gives their runs back. */
  takeOver(dead: readonly string[]): Promise<TakenOver>
  /** Gives waiting runs that are due back to be claimed. */
  wake(): Promise<number>
  claim(workerId: string, lanes: WorkerLanes, limit: number, suspects: boolean): Promise<ClaimedRun[]>
  /** Gives back what the worker owns beside the runs that it holds. Not while it claims. */
  giveBackStrays(workerId: string, held: readonly string[]): Promise<number>
  load(runIds: readonly string[]): Promise<Map<string, LoadedRun>>
  inbox(runIds: readonly string[]): Promise<Map<string, { msgs: number; messages: InboxMessage[] }>>
  append(workerId: string, batch: string, events: readonly AppendEvent[]): Promise<AppendAnswer>
  /** Also gives the hint that runs have closed. */
  change(workerId: string, changes: readonly RowChange[]): Promise<ChangeAnswer>
  saveCheckpoint(workerId: string, runId: string, claim: number, op: number, payload: string | null): Promise<boolean>
  /** Gives blocked runs of these workflows another try: the code may be other code now. Not those that end processes. */
  unblock(workflows: WorkerLanes['workflows']): Promise<number>
  now(): Promise<number>

  // hints
  publish(hints: readonly Hint[]): Promise<void>
  /** Calls back for each hint; `connected` each time listening (re)starts, when hints may have been missed. */
  subscribe(listener: { hint(hint: Hint): void; connected(): void }): Promise<() => Promise<void>>

  close(): Promise<void>
}
