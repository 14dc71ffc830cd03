/** Limits that a workflow's options declare. */
import { durationMs } from './duration.js'
import { InvalidInputError } from './errors.js'
import type { WorkflowOptions } from './types.js'

/** What a workflow says of its runs, all together (`key` null) or for each value of a key. */
export interface DeclaredLimit {
  readonly key: string | null
  readonly concurrency: number | null
  readonly rate: { readonly limit: number; readonly periodMs: number } | null
}

const maxLimit = 2 ** 31 - 1
const maxKeyLength = 200
/** Shorter periods could not be told apart. */
const minPeriodMs = 10

/** @throws InvalidInputError */
export function resolveLimits(options: WorkflowOptions, what: string): DeclaredLimit[] {
  const { concurrency, rateLimit, fairness } = options
  const limits = new Map<string | null, DeclaredLimit>()
  const add = (key: string | null, part: Partial<DeclaredLimit>) =>
    limits.set(key, { concurrency: null, rate: null, ...limits.get(key), key, ...part })
  if (concurrency !== undefined) {
    const { limit, key } = partsOf(concurrency, `${what}, concurrency`)
    add(checkKey(key, `${what}, concurrency.key`), { concurrency: checkLimit(limit, `${what}, concurrency.limit`) })
  }
  if (rateLimit !== undefined) {
    const { limit, period, key } = partsOf(rateLimit, `${what}, rateLimit`) as typeof rateLimit
    add(checkKey(key, `${what}, rateLimit.key`), {
      rate: checkRate({ limit, periodMs: durationMs(period, `${what}, rateLimit.period`) }, `${what}, rateLimit`),
    })
  }
  if (fairness !== undefined) {
    const { key } = partsOf(fairness, `${what}, fairness`)
    if (key === undefined)
      throw new InvalidInputError(`${what}, fairness.key: expected a path into the input, got none.`)
    add(checkKey(key, `${what}, fairness.key`), {})
  }
  return [...limits.values()]
}

function partsOf<T>(value: T, what: string): T {
  if (typeof value === 'object' && value !== null) return value
  throw new InvalidInputError(`${what}: expected an object such as { limit: 3 }, got ${String(value)}.`)
}

/** @throws InvalidInputError */
export function checkLimit(limit: unknown, what: string, least = 1): number {
  if (Number.isInteger(limit) && (limit as number) >= least && (limit as number) <= maxLimit) return limit as number
  throw new InvalidInputError(`${what}: expected a whole number from ${least}, got ${String(limit)}.`)
}

/** @throws InvalidInputError */
export function checkRate(
  rate: { limit: number; periodMs: number },
  what: string,
): { limit: number; periodMs: number } {
  checkLimit(rate.limit, `${what}.limit`)
  if (rate.periodMs < minPeriodMs) {
    throw new InvalidInputError(`${what}.period: expected ${minPeriodMs} ms at least, got ${rate.periodMs}.`)
  }
  return rate
}

/** A path into the input: names with dots between them. @throws InvalidInputError */
export function checkKey(key: string | null | undefined, what: string): string | null {
  if (key === undefined || key === null) return null
  const parts = typeof key === 'string' ? key.split('.') : ['']
  // Commas, quotes and braces would end or nest the path where it is looked up.
  const usable = parts.every((part) => part.trim() === part && part !== '' && !/[",{}\\\p{Cc}]/u.test(part))
  if (usable && key.length <= maxKeyLength) return key
  throw new InvalidInputError(
    `${what}: expected a path into the input such as 'customer.id' (names with dots between them, at most ${maxKeyLength} characters), got ${JSON.stringify(key)}.`,
  )
}
