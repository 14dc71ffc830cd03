/** The forms that events have outside: for people and programs, and in exported files. */
import { decode, decodeError } from './codec.js'
import { type EventFacts, type EventType, payloadField, type RecordedEvent } from './events.js'
import { parseJson } from './json.js'
import type { HistoryEvent } from './types.js'

const errorFields = new Set(['error'])

/** The public form of an event: payload decoded, facts beside it. */
export function toHistoryEvent(event: RecordedEvent): HistoryEvent {
  const field = payloadField[event.type]
  const data: Record<string, unknown> = {}
  if (field !== undefined && event.payload !== null) {
    data[field] = errorFields.has(field) ? decodeError(event.payload) : decode(event.payload)
  } else if (field !== undefined) {
    data[field] = undefined
  }
  return withData(event, data)
}

/** The form of `stet export`: JSON only, and nothing lost. Read back by `fromExport`. */
export function toExport(event: RecordedEvent): HistoryEvent {
  const field = payloadField[event.type]
  const data: Record<string, unknown> = {}
  if (event.payload !== null) {
    // Plain payloads are JSON text and are shown as what they are; tagged ones keep their text.
    if (field === undefined || event.payload.startsWith('~')) data.encoded = event.payload
    else data[field] = parseJson(event.payload)
  }
  return withData(event, data)
}

function withData(event: RecordedEvent, data: Record<string, unknown>): HistoryEvent {
  const { causes, began, dueAt, scheduledFor, ...facts } = event.facts ?? {}
  Object.assign(data, facts)
  if (causes !== undefined) data.causes = causes
  if (began !== undefined) data.began = new Date(began).toISOString()
  if (dueAt !== undefined) data.dueAt = new Date(dueAt).toISOString()
  if (scheduledFor !== undefined) data.scheduledFor = new Date(scheduledFor).toISOString()
  return {
    seq: event.seq,
    type: event.type,
    ...(event.op === null ? {} : { op: event.op }),
    ...(event.name === null ? {} : { name: event.name }),
    at: new Date(event.at).toISOString(),
    ...(Object.keys(data).length === 0 ? {} : { data }),
  }
}

const dateFacts: ReadonlySet<string> = new Set(['began', 'dueAt', 'scheduledFor'])

/** Reads one event of an exported history. Tolerant of fields that are not known. */
export function fromExport(event: HistoryEvent): RecordedEvent {
  const type = event.type as EventType
  const field = payloadField[type]
  const data = (event.data ?? {}) as Record<string, any>
  let payload: string | null = null
  const facts: Record<string, unknown> = {}
  let hasFacts = false
  for (const key of Object.keys(data)) {
    if (key === 'encoded') payload = data[key]
    else if (key === field) payload ??= JSON.stringify(data[key])
    // To assign it would change what the facts are; whoever wrote the file wrote it by hand.
    else if (key !== '__proto__') {
      facts[key] = dateFacts.has(key) ? Date.parse(data[key]) : data[key]
      hasFacts = true
    }
  }
  return {
    seq: event.seq,
    type,
    op: event.op ?? null,
    name: event.name ?? null,
    payload,
    facts: hasFacts ? (facts as EventFacts) : null,
    at: event.at instanceof Date ? event.at.getTime() : Date.parse(event.at),
  }
}
