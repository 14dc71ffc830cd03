/**
 * What stet asks of a store. One implementation is Postgres; whatever else comes passes the same conformance suite.
 *
 * Every write of a worker carries the worker's id and is refused when that worker may no longer write. Methods that
 * write may be called again after a failure: a commit that was reported as failed and happened all the same is
 * recognised.
 */

import type { EventFacts, EventType, RecordedEvent } from '../core/events.js'
import type { Hint } from '../core/hint.js'
import type { ChildRequest } from '../core/operation.js'
import type { ClosedStatus } from '../core/statuses.js'
import type { Attributes, RunFilter, RunStatus, Tx } from '../core/types.js'
import type { AlertStore } from './alerts.js'
import type { BulkStore } from './bulks.js'
import type { ClaimHow, GateAhead, Limits } from './limits.js'
import type { Overview } from './overview.js'
import type { RetentionStore } from './retention.js'
import type { ScheduleStore } from './schedules.js'
import type { Statistics } from './statistics.js'

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
  /** Stands for a run of the workflow with the same key that has not begun, if there is one: its input and all else is this. */
  readonly debounce: Debounce | null
}

export interface Debounce {
  readonly key: string
  /** It begins so long after the last start, but so long after the first at most (null: whatever comes), ms. */
  readonly waitMs: number
  readonly maxWaitMs: number | null
}

/** A run that begins with a history of another's making. It may begin to run at once. */
export interface ForkRequest
  extends Omit<StartRequest, 'startAt' | 'delayMs' | 'payload' | 'facts' | 'ifClosed' | 'debounce'> {
  /** 0: decided by the worker that claims it. */
  readonly version: number
  /** Numbered from 1 without holes; their times are given. */
  readonly events: readonly RecordedEvent[]
  /** The run that it is forked from, which need not be in this store, and the first event that it does not share. */
  readonly origin: { readonly runId: string; readonly seq: number }
  /** Signals for its inbox, in order. */
  readonly signals: readonly { readonly name: string; readonly payload: string | null }[]
  /**
   * In their place: those that the origin took in from its event `origin.seq` on (a second time does not count), then
   * those that it has not taken in, as they are at the moment of the fork. Ids of messages that the origin has accepted
   * are known to the fork too, but those of updates that it shares no answer to.
   */
  readonly redeliver: boolean
  /** Updates in its history, by message id, and the event that answers them. */
  readonly updates: readonly { readonly messageId: string; readonly answer: number | null }[]
  /**
   * Children of the origin that it takes over, by the operation that started them. What came of one that has closed is put
   * into the inbox behind the signals, as its closing would have done.
   */
  readonly children: readonly { readonly op: number; readonly runId: string }[]
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
  readonly kind: 'signal' | 'update' | 'cancel' | 'terminate' | 'pause'
  readonly name: string | null
  readonly payload: string | null
  readonly messageId: string | null
}

/** `runId` null: there is no such run. `closed`: the status of a run that takes no message. */
export interface MessageAnswer {
  readonly runId: string | null
  readonly closed: RunStatus | null
}

/** `existing`: what stood under the id. `closed`: it takes no message, so nothing was done. */
export interface StartedAndPosted {
  readonly runId: string
  readonly existing: ExistingRun | null
  readonly closed: RunStatus | null
}

/** Open runs are counted no farther than this, of all versions together. */
export const maxVersioned = 10_000

export interface VersionCount {
  readonly workflow: string
  readonly version: number
  /** So many, and perhaps `more`. */
  readonly open: number
  readonly more?: true
  /** Some live worker has the code. */
  readonly served: boolean
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
  /** Another run has started it. */
  readonly hasParent: boolean
  /** The whole history, when nothing but the start is in it; else null, to be loaded. */
  readonly started: RecordedEvent | null
}

export interface InboxMessage {
  readonly n: number
  /** Beside those that are sent: `child`, what came of a child; `result`, of a step's own transaction. */
  readonly kind: MessageRequest['kind'] | 'child' | 'result'
  readonly name: string | null
  readonly payload: string | null
  readonly messageId: string | null
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
  /** The run that this event starts. */
  readonly child: ChildStart | null
  /** The id of the update that this event answers. */
  readonly answers: string | null
}

/** A run that another starts. */
export interface ChildStart extends Omit<ChildRequest, 'attributes' | 'cancellation' | 'staged' | 'schema'> {
  readonly facts: string
  readonly attributes: string | null
  /** The recorded error of a child whose id an open run has. */
  readonly conflict: string
}

export interface AppendAnswer {
  /** The database's time of the batch, ms since the epoch: the `at` of its events. */
  readonly at: number
  /** Runs whose events were refused: they are no longer this worker's. */
  readonly lost: ReadonlySet<string>
  /** Children that were not started, for an open run has their id: their events became `ChildFailed`, as `conflict` says. */
  readonly refused: ReadonlySet<string>
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

/** A run that crashes its worker this often in a row without getting on is blocked. */
export const quarantineAfter = 5
/** From this many crashes in a row without progress on, a run is claimed alone, so that the next crash tells on it. */
export const suspectAfter = 2

/** What becomes of a run's row when its worker lets go of it. */
export interface RowChange {
  readonly runId: string
  readonly claim: number
  readonly status: 'waiting' | 'pending' | 'paused' | 'blocked' | ClosedStatus
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
  /** Closing: its parent, if it has one that is open, gets a message. */
  readonly hasParent: boolean
  /** Closing: it has started children, who are to be told (`tellChildren`). */
  readonly hasChildren: boolean
  /** The run that follows this one, with the payload of the closing event as its input. */
  readonly successor: Successor | null
}

export interface Successor {
  readonly runId: string
  readonly version: number | null
  /** Messages that this run took in and did not come to read: the first that the successor gets. */
  readonly unread: readonly Pick<InboxMessage, 'kind' | 'name' | 'payload' | 'messageId'>[]
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
  /** Children wait to be told that their parent has closed. */
  readonly chores: boolean
  /** Somebody asks runs something. */
  readonly queries: boolean
  /** Some of its lanes have limits. */
  readonly limited: boolean
  /** A bulk is to be gone on with. */
  readonly bulks: boolean
  /** When the next waiting run is due, ms since the epoch. */
  readonly nextDue: number | null
  /** When the next schedule is to be looked at. */
  readonly nextSchedule: number | null
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
  readonly parent: { readonly id: string; readonly runId: string } | null
  /** The run that it was forked from, and the first event of it that it does not share. */
  readonly forkedFrom?: { readonly runId: string; readonly seq: number } | null
  /** A later run has its id. */
  readonly superseded?: true
  /** The schedule that has started it, and for which slot, ms since the epoch. */
  readonly schedule?: { readonly id: string; readonly slot: number }
  readonly historyLength: number
}

/** Runs, newest first. */
export interface RunList {
  readonly rows: RunRow[]
  /** Where the next page goes on; null: there is none. */
  readonly next: string | null
  /** It was looked for only as far as `next`: behind that may be others that belong on this page. */
  readonly bounded?: true
}

export interface RunResult {
  readonly runId: string
  readonly status: RunStatus
  readonly payload: string | null
  /** The run that follows one that continued as new. */
  readonly successor: string | null
}

/** A run that was closed without a worker. `parent`: the run that was told. */
export interface ClosedUnowned {
  readonly parent: string | null
}

/** What is known of an update that was sent. */
export interface UpdateAnswer {
  /** `payload`: the answer, or the error that it was rejected with. */
  readonly answer: { readonly accepted: boolean; readonly payload: string | null } | null
  /** The status of the run, if it is closed. */
  readonly closed: RunStatus | null
  readonly successor: string | null
}

/** A question to a run. */
export interface QueryRequest {
  readonly id: string
  readonly runId: string
  readonly name: string
  readonly payload: string | null
}

/** One that a worker has taken on. */
export interface TakenQuery extends QueryRequest {
  readonly workflow: string
  readonly version: number
  readonly identity: { readonly id: string; readonly queue: string }
}

export interface QueryAnswer {
  readonly id: string
  readonly answer: string | null
  /** A recorded error; null: it was answered. */
  readonly error: string | null
}

/** At most so many of anything are counted in a diagnosis: one more stands for "more than these". */
export const maxCounted = 1_000

/** A worker that could take a run. */
export interface AbleWorker {
  readonly id: string
  /** How many runs it owns, at most `maxCounted` and one. */
  readonly runs: number
  /** Since its last sign of life. */
  readonly beatAgeMs: number
  readonly leaseMs: number
}

/** What the store knows of why a run is where it is, beside its history. */
export interface RunDiagnosis {
  readonly run: RunRow
  /** The time that runs live by, ms since the epoch. */
  readonly now: number
  /** Crashes of its workers in a row, without progress. */
  readonly crashes: number
  /** Its owner, if that may still write; null: nobody owns it, or its owner is no more. */
  readonly owner: {
    readonly id: string
    readonly host: string | null
    readonly pid: number | null
    readonly beatAgeMs: number
    readonly leaseMs: number
    /** Its lease is over. */
    readonly expired: boolean
    /** Its session with the store has ended, and so has its process. */
    readonly processGone: boolean
  } | null
  /** Workers whose leases are not over. Of queues, versions and workers only some are named. */
  readonly workers: {
    readonly live: number
    /** Of those, how many listen on the run's queue. */
    readonly listening: number
    readonly queues: readonly string[]
    /** Versions of its workflow that those have who listen on its queue, */
    readonly versions: readonly number[]
    /** and that others have. */
    readonly elsewhere: readonly { readonly queue: string; readonly version: number }[]
    readonly ableCount: number
    readonly able: readonly AbleWorker[]
  }
  /** Runs that those who could take this one take before it, at most `maxCounted` and one; 0 unless it is pending. */
  readonly ahead: number
  /** Of a run that is ready: what it stands behind. */
  readonly gates: readonly GateAhead[]
  /** Messages were accepted since it parked. */
  readonly unseen: boolean
  /** What is in its inbox, the oldest first; of at most `maxCounted` and one messages. */
  readonly unread: readonly {
    readonly kind: InboxMessage['kind']
    readonly name: string | null
    readonly count: number
    /** ms since the epoch. */
    readonly oldest: number
  }[]
  /** Queries of it that nobody has taken on. */
  readonly queries: number
}

export interface Store extends Overview, Statistics, Limits, BulkStore, RetentionStore {
  /** Where the data is, for people; no password in it. */
  readonly description: string
  /** Null: this store has no alerts. */
  readonly alerts: AlertStore | null
  readonly schedules: ScheduleStore
  migrate(): Promise<number>

  // starting, talking to and reading runs
  /** Also gives the hint that runs are ready. */
  start(requests: readonly StartRequest[]): Promise<(ExistingRun | null)[]>
  /** An answer that is a promise: a transaction of somebody has the run locked, and the others need not wait for that. */
  post(messages: readonly MessageRequest[]): Promise<(MessageAnswer | Promise<MessageAnswer>)[]>
  /** Closes a run that nobody owns; null: somebody does, or it is closed. */
  closeUnowned(
    runId: string,
    how: 'terminate' | 'cancelBeforeBegin',
    reason: string | null,
  ): Promise<ClosedUnowned | null>
  /** Blocks a run that waits, unless somebody has had it since this claim. */
  blockParked(runId: string, claim: number, problem: string): Promise<boolean>
  /**
   * Pauses an open run that nobody owns, `problem` being its reason; false: somebody owns it, or it is not `pending` or
   * `waiting`. An owner is told by a message.
   */
  pause(runId: string, problem: string): Promise<boolean>
  /** A run that is blocked or paused is ready again, or waits again for the time of its start. */
  resume(runId: string): Promise<boolean>
  find(ref: string): Promise<RunRow | null>
  /** Costs the same however many runs there are. @throws InvalidInputError naming the field of the filter */
  list(filter: RunFilter): Promise<RunList>
  history(runId: string): Promise<RecordedEvent[]>
  /** By run id; of a run that is not there: none. */
  histories(runIds: readonly string[]): Promise<Map<string, RecordedEvent[]>>
  /** What is known of why a run, by its id or run id, is where it is. Costs the same however many runs there are. */
  diagnose(ref: string): Promise<RunDiagnosis | null>
  results(runIds: readonly string[]): Promise<RunResult[]>
  /** In the order of asking. */
  answers(updates: readonly { readonly runId: string; readonly messageId: string }[]): Promise<UpdateAnswer[]>
  /**
   * Inserts a run with its history and its inbox, all or nothing, unless an open run has its id, which is then told. The
   * same request again does nothing. Also gives the hint that runs are ready.
   * @throws StetError `origin_open`, `child_taken`, `child_missing`: a child cannot be taken over
   */
  fork(request: ForkRequest): Promise<ExistingRun | null>
  /** Starts a run under an id, unless it is open, and sends it a message, both or neither. */
  startAndPost(request: StartRequest, message: Omit<MessageRequest, 'run'>): Promise<StartedAndPosted>
  /** Puts a question where workers find it; the status of a run that is not there: null. */
  ask(query: QueryRequest): Promise<boolean>
  /** Answers that have come, which are forgotten with this. */
  collectAnswers(ids: readonly string[]): Promise<QueryAnswer[]>
  /** Gives a waiting or blocked run to another version of its code. */
  setVersion(runId: string, version: number): Promise<boolean>
  /** Which versions have open runs, and how many. */
  versions(workflow: string | null): Promise<VersionCount[]>

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
  /** Of lanes without limits. */
  claim(workerId: string, lanes: WorkerLanes, limit: number, how: ClaimHow): Promise<ClaimedRun[]>
  /** Gives back what the worker owns beside the runs that it holds. Not while it claims. */
  giveBackStrays(workerId: string, held: readonly string[]): Promise<number>
  load(runIds: readonly string[]): Promise<Map<string, LoadedRun>>
  inbox(runIds: readonly string[]): Promise<Map<string, { msgs: number; messages: InboxMessage[] }>>
  append(workerId: string, batch: string, events: readonly AppendEvent[]): Promise<AppendAnswer>
  /** Also gives the hint that runs have closed. */
  change(workerId: string, changes: readonly RowChange[]): Promise<ChangeAnswer>
  /** The same for a row that others have locked again and again: it is waited for, for a while. */
  changeInTurn(workerId: string, change: RowChange): Promise<ChangeAnswer>
  /**
   * Runs `body` in a transaction of the user's and puts its result into the run's inbox with the same commit. Null: the
   * run is no longer this worker's, and nothing was committed.
   */
  transaction(
    workerId: string,
    run: { readonly runId: string; readonly claim: number; readonly op: number },
    body: (tx: Tx) => Promise<string | null>,
  ): Promise<{ readonly n: number; readonly payload: string | null } | null>
  /** Puts attributes beside those that the run has; false: the run is no longer this worker's. */
  setAttributes(workerId: string, runId: string, claim: number, attributes: string): Promise<boolean>
  /** Asks children of runs that have closed to do what their policy says; how many such runs are left. */
  tellChildren(): Promise<{
    readonly left: number
    readonly closed: readonly string[]
    readonly posted: readonly string[]
  }>
  takeQueries(workerId: string, lanes: WorkerLanes): Promise<TakenQuery[]>
  answerQuery(answer: QueryAnswer): Promise<void>
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
