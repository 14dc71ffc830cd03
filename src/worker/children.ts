/** The children of a run: how they are started, and what their ends mean to the run that started them. */
import { decode, encode, encodeError } from '../core/codec.js'
import { IdConflictError } from '../core/errors.js'
import type { EventFacts, EventType } from '../core/events.js'
import type { ChildRequest, Operation } from '../core/operation.js'
import { validate } from '../core/validate.js'
import type { ChildStart, ClaimedRun } from '../store/port.js'
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
    conflict: encodeError(idConflict(child)),
    facts: JSON.stringify({ parent: { id: parent.id, runId: parent.runId } }),
  }
}

/** The event that a child's end is to the run that started it; null: that run did not start it. */
export function childEvent(
  { request }: Operation,
  { status }: ChildNews,
): { type: EventType; facts: EventFacts } | null {
  if (request.kind !== 'child') return null
  const facts = childFacts(request.child)
  if (status === 'completed') return { type: 'ChildCompleted', facts }
  return { type: 'ChildFailed', facts: { ...facts, kind: status } }
}

/** What the events of a child say of it. */
export function childFacts({ id, runId, staged }: ChildRequest): EventFacts {
  return { id, runId, ...(staged ? { staged } : {}) }
}

function idConflict({ id, workflow }: ChildRequest): IdConflictError {
  return new IdConflictError(`child "${workflow}": id "${id}" is taken by an open run. Use another id.`)
}
