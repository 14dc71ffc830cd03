/** What goes into an Execution and comes out of it, beside events. */
import type { EventDraft } from './events.js'
import type { Operation } from './operation.js'

/** Who a run is. */
export interface RunIdentity {
  readonly id: string
  readonly runId: string
  readonly workflow: string
  readonly version: number
  readonly queue: string
}

/** What became of the function. */
export type Outcome =
  | { readonly type: 'completed'; readonly value: unknown }
  | { readonly type: 'failed' | 'cancelled'; readonly error: unknown }
  /** `payload` is the encoded input of the run that follows; `version`: the one asked for. */
  | { readonly type: 'continued'; readonly payload: string | null; readonly version: number | null }

/** What the runner is asked to do after a turn. */
export type Command =
  | { readonly do: 'perform'; readonly operation: Operation }
  /** The operation was settled without its own event (cancelled): stop performing it. */
  | { readonly do: 'abandon'; readonly operation: Operation }
  /** Something that takes no number is to be put on record. */
  | { readonly do: 'record'; readonly draft: EventDraft }
  /** Messages of this name have a handler now. */
  | { readonly do: 'listen' }

export type LogLevel = 'debug' | 'info' | 'warn' | 'error'

export interface ExecutionHooks {
  /** A turn has closed: take the commands, look at the outcome. */
  turnClosed(): void
  /** Of `deliverRecorded`: an event was applied, and its turn, if it has one, has closed. Take the commands or leave them. */
  recordedApplied?(): void
  /** Code of the run did something outside its turn; called at most once, after `blockage` was set. */
  blockedOutsideTurn?(): void
  /** A continuation of the run was resumed outside its turn: perhaps it awaits something that is not recorded. */
  suspected?(): void
  /** The function calls ctx, inside its turn: the frames of the user are on the stack. */
  called?(what: string): void
  log?(level: LogLevel, message: string, fields: object | undefined): void
}
