/**
 * The events of a history, in the form in which the engine keeps them: a payload that is still encoded, and a small
 * set of facts beside it. `HistoryEvent` in `types.ts` is the same for people and programs outside.
 */
export type EventType =
  | 'RunStarted'
  | 'RunCompleted'
  | 'RunFailed'
  | 'RunCancelled'
  | 'RunTerminated'
  | 'RunContinued'
  | 'StepScheduled'
  | 'StepCompleted'
  | 'StepFailed'
  | 'AttemptFailed'
  | 'StepSkipped'
  | 'TimerStarted'
  | 'TimerFired'
  | 'TimerCancelled'
  | 'SignalReceived'
  | 'UpdateReceived'
  | 'UpdateCompleted'
  | 'UpdateRejected'
  | 'ChildStarted'
  | 'ChildCompleted'
  | 'ChildFailed'
  | 'CancelRequested'
  | 'PatchMarked'
  | 'AttributesSet'

/** Facts about an event beside its payload. Short field names: they are stored with every event. */
export interface EventFacts {
  /** Causes, as ranges of operation indices: `0`, `1-3,7`. */
  causes?: string
  /** `file:line` of the code that asked for the operation. */
  where?: string
  /** Which operation of its name it is, from 2; absent means the first. Makes its key in the graph. */
  nth?: number
  /** Which try it was, from 1; absent means 1. */
  attempt?: number
  /** When the attempt began, ms since the epoch by the database's clock. */
  began?: number
  /** When a timer is due, or the next attempt may start: ms since the epoch. */
  dueAt?: number
  /** What kind of operation a timer belongs to. */
  kind?: string
  /** Why: of a cancel, a termination, a skip. */
  reason?: string
  /** The id of an update, or of a child. */
  id?: string
  /** SignalReceived: the event that had taken this message in for a wait that was over by then. */
  again?: number
  /** The run id of a child, or of the run that follows this one. */
  runId?: string
  /** RunStarted: what the run was started with, beside its input. */
  seed?: string
  /** RunStarted: the span in which the caller was, as W3C trace context has it. */
  traceparent?: string
  /** RunStarted of a fork: the event of the other run at which it parted from it, and when, ms since the epoch. */
  fork?: { runId: string; seq: number; at: number }
  /** RunStarted: the slot that the run was started for, ms since the epoch, and the schedule whose it is. */
  scheduledFor?: number
  schedule?: string
  parent?: { id: string; runId: string }
  /** An event that a fork has copied: what randomness was seeded with in its turn, so that it is drawn again alike. */
  from?: string
  /** StepCompleted: the result was given by whoever forked the run. */
  set?: true
  /** ChildStarted: somebody waited for the start, so the event has a turn. */
  staged?: boolean
  /** RunCancelled: the function was never called. */
  neverBegan?: boolean
}

/** One recorded event. `at` is the database's time in ms since the epoch. */
export interface RecordedEvent {
  readonly seq: number
  readonly type: EventType
  /** Index of the operation it belongs to, from 1; 0 is the start of the run; null: none. */
  readonly op: number | null
  readonly name: string | null
  readonly payload: string | null
  readonly facts: EventFacts | null
  readonly at: number
}

/** An event that is not recorded yet: the store gives it its place and its time. */
export type EventDraft = Omit<RecordedEvent, 'seq' | 'at'>

const terminalTypes: ReadonlySet<EventType> = new Set([
  'RunCompleted',
  'RunFailed',
  'RunCancelled',
  'RunTerminated',
  'RunContinued',
] as const)

/** True for the event that closes a run. */
export function isTerminal(type: EventType): boolean {
  return terminalTypes.has(type)
}

/** The field of `HistoryEvent.data` that holds an event's payload. */
export const payloadField: Partial<Record<EventType, string>> = {
  RunStarted: 'input',
  RunContinued: 'input',
  RunCompleted: 'output',
  StepCompleted: 'output',
  ChildCompleted: 'output',
  UpdateCompleted: 'output',
  RunFailed: 'error',
  RunCancelled: 'error',
  RunTerminated: 'error',
  StepFailed: 'error',
  AttemptFailed: 'error',
  ChildFailed: 'error',
  UpdateRejected: 'error',
  SignalReceived: 'message',
  UpdateReceived: 'argument',
  AttributesSet: 'attributes',
}
