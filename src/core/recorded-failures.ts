/** The failures that a workflow sees, built from the record alone: so they are the same on every replay. */
import { decodeError } from './codec.js'
import { CancelledFailure, ChildFailure, StepFailure } from './errors.js'
import type { RecordedEvent } from './events.js'
import type { Operation } from './operation.js'

export function stepFailure(name: string, event: RecordedEvent): StepFailure {
  const cause = event.payload === null ? new Error('unknown error') : decodeError(event.payload)
  const attempts = event.facts?.attempt ?? 1
  return new StepFailure(
    `step "${name}" failed after ${attempts} attempt${attempts === 1 ? '' : 's'}: ${cause.message}`,
    { step: name, attempts, cause },
  )
}

/** What the function sees of a child that did not complete. */
export function childFailure(operation: Operation, event: RecordedEvent): ChildFailure | CancelledFailure {
  const { id = '', runId = '', kind = 'failed' } = event.facts ?? {}
  const cause = event.payload === null ? undefined : decodeError(event.payload)
  const what = kind === 'failed' ? `failed: ${cause?.message ?? 'unknown error'}` : `was ${kind}`
  const failure = new ChildFailure(`child "${operation.name}" (${id}) ${what}`, {
    id,
    runId,
    ...(cause === undefined ? {} : { cause }),
  })
  // The run asked for that itself, when it was cancelled: it ends as cancelled when nobody catches it.
  return operation.cancelAsked && kind === 'cancelled'
    ? new CancelledFailure(failure.message, { cause: failure })
    : failure
}
