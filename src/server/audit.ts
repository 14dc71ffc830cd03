/**
 * What operators do, on record.
 *
 * A1. The row is written before the action: nothing is done that is not on record. What was refused, or did not work,
 *     has the code of its error in `details.error`.
 * A2. No payload goes on record, and no words of anybody's: those are in the histories, encoded where a codec is used.
 */
import { StetError } from '../core/errors.js'
import { parseJson } from '../core/json.js'
import type { Overview } from '../store/overview.js'
import type { Who } from './access.js'

export interface Act {
  readonly action: string
  readonly runId: string | null
  readonly id: string | null
  readonly details: Record<string, unknown>
}

/** What of a result goes on record: the run that was made, perhaps. */
interface Made {
  readonly id?: unknown
  readonly runId?: unknown
}

type Records = Pick<Overview, 'beginAudit' | 'endAudit'>

export class Audit {
  readonly #store: () => Promise<Records>
  readonly #onError: (error: unknown) => void

  constructor(store: () => Promise<Records>, onError: (error: unknown) => void) {
    this.#store = store
    this.#onError = onError
  }

  /** Does it, on record (A1). A run that a start has made, or that another has become, is told too. */
  async of<T>(who: Who, entry: Act, body: () => Promise<T>): Promise<T> {
    const [result] = await this.all(who, [entry], () => body())
    if (result!.status === 'rejected') throw result!.reason
    return result!.value
  }

  /** The same for several at once, which go on record by one statement. */
  async all<T>(
    who: Who,
    entries: readonly Act[],
    body: (entry: Act, i: number) => Promise<T>,
  ): Promise<PromiseSettledResult<T>[]> {
    const { actor, role } = who
    const store = await this.#store()
    const rows = entries.map((entry) => ({ ...entry, actor, role, details: recordable(entry.details) }))
    const numbers = await store.beginAudit(rows)
    const results = await Promise.allSettled(entries.map(body))
    const ends = results.flatMap((result, i) => {
      const { runId, details } = endOf(entries[i]!, result)
      const id = entries[i]!.id === null && result.status === 'fulfilled' ? textOf((result.value as Made)?.id) : null
      if (runId === null && id === null && Object.keys(details).length === 0) return []
      return [{ n: numbers[i]!, runId, id, details }]
    })
    // It is done, or not: what is missing now is only what came of it.
    await store.endAudit(ends).catch(this.#onError)
    return results
  }
}

function endOf({ runId }: Act, result: PromiseSettledResult<unknown>) {
  if (result.status === 'rejected') {
    const { reason } = result
    return { runId: null, details: { error: reason instanceof StetError ? reason.code : 'internal' } }
  }
  const made = textOf((result.value as Made | undefined)?.runId)
  if (runId === null) return { runId: made, details: {} }
  return { runId: null, details: made === null || made === runId ? {} : { made } }
}

function textOf(value: unknown): string | null {
  return typeof value === 'string' ? value : null
}

/** As the database takes it: no NUL, no halves of surrogate pairs, nothing endless. */
function recordable(details: Record<string, unknown>): Record<string, unknown> {
  const text = JSON.stringify(details, (_, value) =>
    typeof value === 'string' ? value.replaceAll('\u0000', '').toWellFormed().slice(0, 1_000) : value,
  )
  const parsed = parseJson(text)
  return text.length > 20_000 ? { note: 'too long to be kept' } : cleanKeys(parsed)
}

function cleanKeys<T>(value: T): T {
  if (Array.isArray(value)) return value.map(cleanKeys) as T
  if (typeof value !== 'object' || value === null) return value
  const clean = (key: string) => key.replaceAll('\u0000', '').toWellFormed()
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [clean(key), cleanKeys(each)])) as T
}
