/** The document that `stet export` writes, and that replay reads: a run and its whole history as JSON. */
import { InvalidInputError } from './errors.js'
import type { RecordedEvent } from './events.js'
import { fromExport, toExport } from './history-event.js'
import type { HistoryEvent, RunDescription } from './types.js'

export const historyFormat = 'stet-history-1'

/** What is known of the run beside its events. Only the first five are needed for a replay. */
export type ExportedRun = Pick<RunDescription, 'id' | 'runId' | 'workflow' | 'version' | 'queue'> &
  Partial<Record<keyof RunDescription, unknown>>

export interface HistoryFile {
  readonly format: string
  readonly run: ExportedRun
  readonly events: readonly HistoryEvent[]
}

export function toHistoryFile(run: ExportedRun, events: readonly RecordedEvent[]): HistoryFile {
  return { format: historyFormat, run, events: events.map(toExport) }
}

/**
 * Reads a document that `toHistoryFile` made. `what` names it in errors: a file, usually.
 * @throws InvalidInputError with the place in the document that is not as it should be
 * @example const { run, events } = fromHistoryFile(JSON.parse(text), 'order-42.json')
 */
export function fromHistoryFile(document: unknown, what: string): { run: ExportedRun; events: RecordedEvent[] } {
  const { format, run, events } = (document ?? {}) as Partial<HistoryFile>
  if (format !== historyFormat) {
    const got = format === undefined ? 'a document without "format"' : `format ${JSON.stringify(format)}`
    throw new InvalidInputError(
      `${what}: expected a history in format "${historyFormat}", as \`stet export <run>\` writes it, got ${got}.`,
    )
  }
  for (const field of ['id', 'runId', 'workflow', 'queue'] as const) {
    if (typeof run?.[field] !== 'string') throw new InvalidInputError(`${what}: run.${field}: expected text.`)
  }
  if (!Number.isInteger(run?.version)) throw new InvalidInputError(`${what}: run.version: expected a whole number.`)
  if (!Array.isArray(events) || events.length === 0) {
    throw new InvalidInputError(`${what}: events: expected a list of at least one event.`)
  }
  return { run: run!, events: events.map((event, i) => readEvent(event, `${what}: events[${i}]`)) }
}

function readEvent(event: HistoryEvent, what: string): RecordedEvent {
  if (!Number.isInteger(event?.seq) || typeof event.type !== 'string') {
    throw new InvalidInputError(`${what}: expected an event with seq and type.`)
  }
  const read = fromExport(event)
  if (Number.isNaN(read.at)) throw new InvalidInputError(`${what}.at: expected a date and time.`)
  return read
}
