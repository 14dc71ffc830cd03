/**
 * The errors of stet. Two families, told apart by their suffix:
 *
 * - `…Failure` is *recorded*: it reaches workflow code from the history, the same on every replay.
 * - `…Error` is *local*: misuse, or something that could not be done here and now.
 *
 * A process may hold two copies of this package (the CLI's and the one a user's file loads). Every class therefore
 * carries a `Symbol.for` brand and `instanceof` asks for the brand, so `e instanceof TimeoutFailure` holds across copies.
 */
import type { Duration } from './types.js'

const brand = Symbol.for('stet.errors')

/** Gives a class a brand that every copy of the package shares, and lets `instanceof` look for it. */
function branded(className: string, made: abstract new (...args: any[]) => Error): void {
  const brands = new Set<string>((Object.getPrototypeOf(made.prototype) as any)[brand])
  brands.add(className)
  Object.defineProperty(made.prototype, brand, { value: brands })
  Object.defineProperty(made.prototype, 'name', { value: className, configurable: true, writable: true })
  Object.defineProperty(made, Symbol.hasInstance, {
    value(this: { prototype: object }, value: unknown): boolean {
      const own = this.prototype as any
      // A subclass made by a user has no brand of its own: fall back to the ordinary prototype test.
      if (!Object.hasOwn(own, brand)) return Function.prototype[Symbol.hasInstance].call(this, value)
      return typeof value === 'object' && value !== null && Boolean((value as any)[brand]?.has(className))
    },
  })
}

/** The root of all errors of stet. `code` is stable and meant for programs; the message is meant for people. */
export class StetError extends Error {
  readonly code: string
  constructor(code: string, message: string, options?: { cause?: unknown }) {
    super(message, options)
    this.code = code
  }
}
branded('StetError', StetError)

/** Bad input: an option, a name or a definition that cannot be used. Nothing was written. */
export class InvalidInputError extends StetError {
  constructor(message: string, code = 'invalid_input') {
    super(code, message)
  }
}
branded('InvalidInputError', InvalidInputError)

/**
 * Thrown by user code in a step: no further attempt.
 * @example throw new NonRetryableError('card was stolen')
 */
export class NonRetryableError extends Error {
  readonly nonRetryable = true
}
branded('NonRetryableError', NonRetryableError)

/**
 * Thrown by user code in a step: the next attempt not before `after` (a duration from now, or a date).
 * @example throw new RetryAfterError('rate limited', { after: '30s' })
 */
export class RetryAfterError extends Error {
  readonly after: Duration | Date
  constructor(message: string, options: { after: Duration | Date; cause?: unknown }) {
    super(message, 'cause' in options ? { cause: options.cause } : undefined)
    this.after = options.after
  }
}
branded('RetryAfterError', RetryAfterError)

/** A step failed for good: every attempt was used, or the error allows no other. `cause` is the last attempt's error. */
export class StepFailure extends StetError {
  readonly step: string
  readonly attempts: number
  constructor(message: string, details: { step: string; attempts: number; cause?: unknown; code?: string }) {
    super(details.code ?? 'step_failed', message, 'cause' in details ? { cause: details.cause } : undefined)
    this.step = details.step
    this.attempts = details.attempts
  }
}
branded('StepFailure', StepFailure)

/** Something did not happen in time: `operation` names the step, wait, scope or run. */
export class TimeoutFailure extends StetError {
  readonly operation: string
  constructor(message: string, details: { operation: string; cause?: unknown }) {
    super('timeout', message, 'cause' in details ? { cause: details.cause } : undefined)
    this.operation = details.operation
  }
}
branded('TimeoutFailure', TimeoutFailure)

/** A child run failed, was cancelled or was terminated. `cause` is its error. */
export class ChildFailure extends StetError {
  readonly id: string
  readonly runId: string
  constructor(message: string, details: { id: string; runId: string; cause?: unknown }) {
    super('child_failed', message, 'cause' in details ? { cause: details.cause } : undefined)
    this.id = details.id
    this.runId = details.runId
  }
}
branded('ChildFailure', ChildFailure)

/** The run, or the scope around this operation, was cancelled. Rethrow it to end as `cancelled`. */
export class CancelledFailure extends StetError {
  constructor(message = 'the run was cancelled', options?: { cause?: unknown }) {
    super('cancelled', message, options)
  }
}
branded('CancelledFailure', CancelledFailure)

/** `result()` of a run that failed, was cancelled or was terminated. `cause` is the recorded error. */
export class RunFailedError extends StetError {
  readonly runId: string
  constructor(message: string, details: { runId: string; code?: string; cause?: unknown }) {
    super(details.code ?? 'run_failed', message, 'cause' in details ? { cause: details.cause } : undefined)
    this.runId = details.runId
  }
}
branded('RunFailedError', RunFailedError)

/** No run has this id or run id. */
export class RunNotFoundError extends StetError {
  constructor(idOrRunId: string) {
    super('run_not_found', `no run has the id or run id "${idOrRunId}". \`stet list\` shows the runs there are.`)
  }
}
branded('RunNotFoundError', RunNotFoundError)

/** No schedule has this id. */
export class ScheduleNotFoundError extends StetError {
  constructor(id: string) {
    super('schedule_not_found', `no schedule has the id "${id}". \`stet schedule list\` shows the schedules there are.`)
  }
}
branded('ScheduleNotFoundError', ScheduleNotFoundError)

/** The run has ended, so it takes no message. */
export class RunClosedError extends StetError {
  constructor(message: string) {
    super('run_closed', message)
  }
}
branded('RunClosedError', RunClosedError)

/** An update was refused by its validator, or its handler failed. `cause` is what was thrown there. */
export class UpdateRejectedError extends StetError {
  readonly runId: string
  constructor(message: string, details: { runId: string; cause?: unknown }) {
    super('update_rejected', message, { cause: details.cause })
    this.runId = details.runId
  }
}
branded('UpdateRejectedError', UpdateRejectedError)

/** The id is taken by a run of another workflow or with another input, or the policy forbids a second run. */
export class IdConflictError extends StetError {
  constructor(message: string) {
    super('id_conflict', message)
  }
}
branded('IdConflictError', IdConflictError)

/** The code does not do what the history says it did. `seq` is the event, `expected` is the history's word. */
export class NondeterminismError extends StetError {
  readonly seq: number
  readonly expected: string
  readonly actual: string
  /** `file:line` of the code that asked for something else, where it is known. */
  readonly where: string | undefined
  constructor(message: string, details: { seq: number; expected: string; actual: string; where?: string | undefined }) {
    super('nondeterminism', message)
    this.seq = details.seq
    this.expected = details.expected
    this.actual = details.actual
    this.where = details.where
  }
}
branded('NondeterminismError', NondeterminismError)

/** A value cannot be stored. `path` names the place inside it, `$` being the value itself. */
export class SerializationError extends StetError {
  readonly path: string
  constructor(message: string, path: string) {
    super('not_serializable', message)
    this.path = path
  }
}
branded('SerializationError', SerializationError)

/** There is no database to use, or it cannot be reached. The message says what was tried and what to do. */
export class NoDatabaseError extends StetError {
  constructor(message: string, options?: { cause?: unknown }) {
    super('no_database', message, options)
  }
}
branded('NoDatabaseError', NoDatabaseError)
