/** The children of a run: how they are started, and what their ends mean to the run that started them. */
import { decode, encode } from '../core/codec.js'
import { IdConflictError } from '../core/errors.js'
import type { EventFacts, EventType } from '../core/events.js'
import type { ChildRequest, Operation } from '../core/operation.js'
import { validate } from '../core/validate.js'
import type { ChildStart, ClaimedRun, Store } from '../store/port.js'
import type { ChildNews } from './mailbox.js'

/** The input of a child as its schema leaves it. @throws InvalidInputError */
export async function checkedInput({ schema, payload, workflow }: ChildRequest): Promise<string | null> {
  if (schema === undefined) return payload
  const what = `the input of child "${workflow}"`
  return encode(await validate(schema, decode(payload), what), what)
}

/** What the store needs to start a child together with the event that says so. */
export function childStart(child: ChildRequest, payload: string | null, parent: ClaimedRun): ChildStart {
  const { attributes, staged: _staged, cancellation: _cancellation, schema: _schema, ...rest } = child
  return {
    ...rest,
    payload,
    attributes: attributes === null ? null : JSON.stringify(attributes),
    facts: JSON.stringify({ parent: { id: parent.id, runId: parent.runId } }),
  }
}

/** The event that a child's end is to the run that started it; null: that run did not start it. */
export function childEvent(
  { request }: Operation,
  { status }: ChildNews,
): { type: EventType; facts: EventFacts } | null {
  if (request.kind !== 'child') return null
  const { id, runId } = request.child
  if (status === 'completed') return { type: 'ChildCompleted', facts: { id, runId } }
  return { type: 'ChildFailed', facts: { id, runId, kind: status } }
}

/** The error of a child whose id is that of an open run. */
export function idConflict({ id, workflow }: ChildRequest): IdConflictError {
  return new IdConflictError(`child "${workflow}": id "${id}" is taken by an open run. Use another id.`)
}

/** Of children whose start is on record, the operations of those that are not there: their ids were taken. */
export async function notStarted(store: Store, pending: Iterable<Operation>): Promise<number[]> {
  // Only an id that somebody chose can be taken.
  const named = [...pending].flatMap(({ index, request, announced }) =>
    request.kind === 'child' && announced && request.child.id !== request.child.runId
      ? [{ index, runId: request.child.runId }]
      : [],
  )
  if (named.length === 0) return []
  const present = await store.present(named.map(({ runId }) => runId))
  return named.flatMap(({ index, runId }) => (present.has(runId) ? [] : [index]))
}
