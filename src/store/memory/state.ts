/**
 * The tables of the in-memory store.
 *
 * M1. Each method of the store changes them in one go, without waiting for anything in between: it is atomic.
 * M2. What comes in is copied, and so is what goes out: nobody outside holds a row. Payloads are text.
 * M3. Histories have no holes: the event with seq n is at place n - 1.
 */
import type { EventType, RecordedEvent } from '../../core/events.js'
import { parseJson } from '../../core/json.js'
import type { Attributes, RunStatus } from '../../core/types.js'
import type { LimitRule, LimitTarget } from '../limits.js'
import type { InboxMessage, QueryAnswer, QueryRequest, RunRow, WorkerInfo } from '../port.js'
import type { MemoryClock } from './clock.js'
import { MemoryHints } from './hints.js'
import type { ScheduleEntry } from './schedules.js'

/** Columns that `RunRow` does not show stand beside it. */
export interface Run extends Mutable<Omit<RunRow, 'parent' | 'historyLength'>> {
  /** Messages ever accepted. */
  msgs: number
  /** Of those, how many it had looked at when it parked. */
  seen: number
  crashes: number
  crashSeq: number
  forkedFrom: { readonly runId: string; readonly seq: number } | null
  /** Changes when a fork takes it over. */
  parentRunId: string | null
  readonly parentOp: number | null
  readonly parentClose: string | null
  readonly history: StoredEvent[]
  /** By their number, oldest first. */
  readonly inbox: Map<number, StoredMessage>
  /** Ids of messages that were accepted, with the seq of the answer to an update. */
  readonly messageIds: Map<string, number | null>
  readonly checkpoints: Map<number, string | null>
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] }

export interface StoredMessage extends InboxMessage {
  readonly at: number
}

export interface StoredEvent extends Omit<RecordedEvent, 'facts'> {
  readonly facts: string | null
  /** Which write of which worker put it here. */
  readonly batch: string | null
}

export interface WorkerEntry {
  readonly info: WorkerInfo
  /** As `performance.now()` counts: leases are on real time. */
  beatAt: number
  expiresAt: number
  /** Somebody holds its lease. */
  held: boolean
}

export interface QueryEntry extends QueryRequest {
  readonly workflow: string
  readonly version: number
  readonly askedAt: number
  takenBy: string | null
  answer: QueryAnswer | null
}

export interface LimitEntry extends LimitRule {
  /** By gate, when runs were begun. */
  readonly begun: Map<string, number[]>
}

/** A run that was claimed behind a gate; it holds for as long as the run is owned under that claim. */
export interface Slot {
  readonly run: Run
  readonly claim: number
  readonly limit: string
  readonly value: string | null
}

export const limitKey = ({ scope, name, key }: LimitTarget) => JSON.stringify([scope, name, key ?? ''])

/** The limit is one for this run. */
export function concerns({ scope, name }: LimitTarget, run: Run): boolean {
  return scope === 'queue' ? run.queue === name : run.workflow === name
}

type RunColumns = Pick<
  Run,
  'runId' | 'id' | 'workflow' | 'version' | 'queue' | 'priority' | 'due' | 'createdAt' | 'deadline'
>

export class State {
  readonly clock: MemoryClock
  readonly hints = new MemoryHints()
  readonly runs = new Map<string, Run>()
  /** Runs with ids that callers chose, in the order of their starts. */
  readonly byId = new Map<string, Run[]>()
  readonly open = new Set<Run>()
  /** By workflow and key, the last run that was started so. */
  readonly debounced = new Map<string, Run>()
  readonly workers = new Map<string, WorkerEntry>()
  /** Closed runs whose children are to be told, and since when. */
  readonly chores = new Map<string, number>()
  readonly queries = new Map<string, QueryEntry>()
  /** By `limitKey`. */
  readonly limits = new Map<string, LimitEntry>()
  /** Runs that were claimed behind limits; those that are over are taken out when they are counted. */
  readonly slots = new Set<Slot>()
  /** When each line had its last turn, and how many turns there were. */
  readonly turns = new Map<string, number>()
  turn = 0
  /** A bulk is to be gone on with. */
  hasBulks = (): boolean => false
  readonly schedules = new Map<string, ScheduleEntry>()
  /** Ends of leases that are held. */
  readonly leases = new Set<() => void>()
  /** By worker: told when the process of the one that it watches is gone. */
  readonly watchers = new Map<string, (dead: string) => void>()

  constructor(clock: MemoryClock) {
    this.clock = clock
  }

  /** The time of what happens now, as it is recorded: whole milliseconds since the epoch. */
  at(): number {
    return Math.floor(this.clock.now())
  }

  /** The run that an id or a run id means: the latest one. */
  find(ref: string): Run | undefined {
    let latest = this.runs.get(ref)
    for (const run of this.byId.get(ref) ?? []) {
      if (latest === undefined || run.createdAt >= latest.createdAt) latest = run
    }
    return latest
  }

  /** Undefined: there is an open run with this id, or the run itself. */
  insert(
    columns: RunColumns,
    {
      status,
      attributes,
      parent = null,
    }: {
      readonly status: 'pending' | 'waiting'
      readonly attributes: Attributes | null
      readonly parent?: { readonly runId: string; readonly op: number | null; readonly close: string | null } | null
    },
  ): Run | undefined {
    const { runId, id } = columns
    const others = this.byId.get(id) ?? []
    if (this.runs.has(runId) || (id !== runId && others.some(({ closedAt }) => closedAt === null))) return undefined
    const run: Run = {
      ...columns,
      status,
      owner: null,
      claim: 0,
      msgs: 0,
      seen: 0,
      crashes: 0,
      crashSeq: 0,
      startedAt: null,
      closedAt: null,
      waits: null,
      problem: null,
      error: null,
      attributes: copyOf(attributes),
      forkedFrom: null,
      parentRunId: parent?.runId ?? null,
      parentOp: parent?.op ?? null,
      parentClose: parent?.close ?? null,
      history: [],
      inbox: new Map(),
      messageIds: new Map(),
      checkpoints: new Map(),
    }
    this.runs.set(runId, run)
    this.open.add(run)
    if (id !== runId) this.byId.set(id, [...others, run])
    return run
  }

  close(run: Run, status: RunStatus, at: number): void {
    run.status = status
    run.closedAt = at
    this.open.delete(run)
  }

  /** The highest version of a workflow that a live worker has. */
  liveVersion(workflow: string, now: number): number | undefined {
    let highest: number | undefined
    for (const { info, expiresAt } of this.workers.values()) {
      if (expiresAt <= now) continue
      for (const { name, version } of info.workflows) {
        if (name === workflow && (highest === undefined || version > highest)) highest = version
      }
    }
    return highest
  }

  /** The run, if this worker may write to it: it is registered, and the run has it as its owner under this claim. */
  owned(workerId: string, runId: string, claim: number): Run | undefined {
    const run = this.runs.get(runId)
    return this.workers.has(workerId) && run?.owner === workerId && run.claim === claim ? run : undefined
  }
}

export function record(
  run: Run,
  event: { readonly type: EventType; readonly at: number } & Partial<Omit<StoredEvent, 'seq'>>,
): void {
  run.history.push({
    op: null,
    name: null,
    payload: null,
    facts: null,
    batch: null,
    ...event,
    seq: run.history.length + 1,
  })
}

/** Accepts a message. A run that waits is ready with it, so none waits with a message that it has not seen. */
export function accept(run: Run, { kind, name, payload, messageId }: Omit<InboxMessage, 'n'>, at: number): number {
  const n = ++run.msgs
  if (messageId !== null) run.messageIds.set(messageId, null)
  run.inbox.set(n, { n, kind, name, payload, messageId, at })
  if (run.status === 'waiting' && run.claim > 0) makeReady(run, at)
  return n
}

export function makeReady(run: Run, due: number): void {
  run.status = 'pending'
  run.due = due
}

export function eventOf({ batch: _batch, facts, ...event }: StoredEvent): RecordedEvent {
  return { ...event, facts: facts === null ? null : parseJson(facts) }
}

/** As JSON keeps it. */
export function copyOf<T>(value: T): T {
  return value === null ? value : parseJson(JSON.stringify(value))
}
