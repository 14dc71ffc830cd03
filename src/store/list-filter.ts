/** What a filter of a list may say: the same for every store. */
import { checkAttributes } from '../core/attributes.js'
import { InvalidInputError } from '../core/errors.js'
import { runStatuses } from '../core/statuses.js'
import type { RunFilter, RunStatus } from '../core/types.js'

/**
 * The size of a page, and the statuses that are wanted; null: any.
 * @throws InvalidInputError naming the field
 */
export function checkListFilter(filter: RunFilter): {
  readonly limit: number
  readonly wanted: readonly RunStatus[] | null
} {
  const limit = filter.limit ?? 50
  if (!Number.isInteger(limit) || limit < 1 || limit > 1000) {
    throw new InvalidInputError(`list: limit: expected a whole number from 1 to 1000, got ${String(limit)}.`)
  }
  const wanted = filter.status === undefined ? null : [...new Set([filter.status].flat())]
  const unknown = wanted?.find((status) => !runStatuses.includes(status))
  if (unknown !== undefined) {
    throw new InvalidInputError(`list: status: expected one of ${runStatuses.join(', ')}, got "${unknown}".`)
  }
  for (const key of ['workflow', 'queue', 'error', 'idPrefix', 'parent', 'after'] as const) {
    const text: unknown = filter[key]
    if (text === undefined || (typeof text === 'string' && text.isWellFormed() && !text.includes('\u0000'))) continue
    throw new InvalidInputError(`list: ${key}: expected text without NUL and halves of surrogate pairs.`)
  }
  for (const key of ['startedAfter', 'startedBefore', 'closedAfter', 'closedBefore'] as const) {
    const date: unknown = filter[key]
    if (date === undefined || (date instanceof Date && !Number.isNaN(date.getTime()))) continue
    throw new InvalidInputError(`list: ${key}: expected a valid Date, got ${String(date)}.`)
  }
  if (filter.version !== undefined && !Number.isInteger(filter.version)) {
    throw new InvalidInputError(`list: version: expected a whole number, got ${String(filter.version)}.`)
  }
  if (filter.attributes !== undefined) checkAttributes(filter.attributes, 'list')
  return { limit, wanted }
}
