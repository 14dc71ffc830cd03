/** Events as the server tells them, in the form in which the engine's own code reads them. */
import { type EventFacts, type EventType, payloadField, type RecordedEvent } from '../../../../core/events.ts'
import type { EventJson } from '../../../lib/types.ts'

/** An event, and its form for `core/graph.ts`. */
export interface Known {
  readonly json: EventJson
  /** Without causes: many steps that start together have the same, and the model keeps those once. */
  readonly recorded: RecordedEvent
  readonly causes: string | undefined
  /** When it was recorded, ms since the epoch. */
  readonly at: number
}

const asTime = (value: unknown): number | undefined => (typeof value === 'string' ? Date.parse(value) : undefined)

export function known(json: EventJson): Known {
  const { causes, began, dueAt, ...rest } = (json.data ?? {}) as EventFacts & Record<string, unknown>
  const at = Date.parse(json.at)
  const facts: EventFacts = {
    ...rest,
    ...(began === undefined ? {} : { began: asTime(began) ?? at }),
    ...(dueAt === undefined ? {} : { dueAt: asTime(dueAt) ?? at }),
  }
  const recorded: RecordedEvent = {
    seq: json.seq,
    type: json.type as EventType,
    op: json.op ?? null,
    name: json.name ?? null,
    payload: null,
    facts,
    at,
  }
  return { json, recorded, causes: typeof causes === 'string' ? causes : undefined, at }
}

/** The field of `data` that holds what the user's code was given or gave; null: this type has none. */
export function payloadOf(type: string): string | null {
  return payloadField[type as EventType] ?? null
}

/** What a long value is in a brief history. */
export function omittedBytes(value: unknown): number | null {
  const bytes = (value as { omitted?: unknown } | null | undefined)?.omitted
  return typeof bytes === 'number' ? bytes : null
}

/** Events that say that something was begun: a compact history does without. */
export const marks: ReadonlySet<string> = new Set(['StepScheduled', 'PatchMarked'])
