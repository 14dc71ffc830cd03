import { durationMs } from './duration.js'
import { InvalidInputError, NonRetryableError, RetryAfterError, SerializationError, StetError } from './errors.js'
import type { RetryPolicy } from './types.js'

/** A retry policy with every field filled in; intervals in milliseconds. */
export interface ResolvedRetry {
  readonly maxAttempts: number
  readonly initialMs: number
  readonly coefficient: number
  readonly maxMs: number
  readonly jitter: number
  readonly nonRetryable: readonly (string | (new (...args: any[]) => Error))[]
}

const defaultRetry: ResolvedRetry = {
  maxAttempts: 4,
  initialMs: 1000,
  coefficient: 2,
  maxMs: 100_000,
  jitter: 0.1,
  nonRetryable: [],
}

const onlyOnce: ResolvedRetry = { ...defaultRetry, maxAttempts: 1 }

/**
 * Fills in the defaults (4 attempts, 1 s, ×2, at most 100 × the first interval, jitter 0.1) and checks the numbers.
 * `false` means one attempt. `base` is what the fields that are not given fall back to.
 * @throws InvalidInputError naming the field
 */
export function resolveRetry(
  policy: RetryPolicy | false | undefined,
  what: string,
  base = defaultRetry,
): ResolvedRetry {
  if (policy === undefined) return base
  if (policy === false) return onlyOnce
  if (policy === null || typeof policy !== 'object') {
    throw new InvalidInputError(`${what}: expected a retry policy or false, got ${String(policy)}.`)
  }
  const initialMs =
    policy.initialInterval === undefined
      ? base.initialMs
      : durationMs(policy.initialInterval, `${what}.initialInterval`)
  return {
    maxAttempts: checked(
      policy.maxAttempts,
      base.maxAttempts,
      `${what}.maxAttempts`,
      'a whole number ≥ 1, or Infinity',
      (n) => n >= 1 && (Number.isInteger(n) || n === Number.POSITIVE_INFINITY),
    ),
    initialMs,
    coefficient: checked(
      policy.backoffCoefficient,
      base.coefficient,
      `${what}.backoffCoefficient`,
      'a number ≥ 1',
      (n) => n >= 1 && Number.isFinite(n),
    ),
    maxMs: policy.maxInterval === undefined ? initialMs * 100 : durationMs(policy.maxInterval, `${what}.maxInterval`),
    jitter: checked(policy.jitter, base.jitter, `${what}.jitter`, 'a number from 0 to 1', (n) => n >= 0 && n <= 1),
    nonRetryable:
      policy.nonRetryable === undefined ? base.nonRetryable : kinds(policy.nonRetryable, `${what}.nonRetryable`),
  }
}

function kinds(value: ResolvedRetry['nonRetryable'], what: string): ResolvedRetry['nonRetryable'] {
  const wrong = Array.isArray(value) ? value.find((kind) => !['string', 'function'].includes(typeof kind)) : value
  if (wrong === undefined) return value
  throw new InvalidInputError(`${what}: expected a list of names or classes of errors, got ${String(wrong)}.`)
}

function checked(
  value: number | undefined,
  fallback: number,
  what: string,
  expected: string,
  ok: (n: number) => boolean,
): number {
  if (value === undefined) return fallback
  if (typeof value === 'number' && ok(value)) return value
  throw new InvalidInputError(`${what}: expected ${expected}, got ${String(value)}.`)
}

/** What follows from a failed attempt: another one, not before `at` (ms since the epoch), or none. */
export type RetryDecision = { readonly retry: true; readonly at: number } | { readonly retry: false }

/**
 * Decides after attempt number `attempt` (from 1) failed at `now`. `random` is a number from 0 to 1 for the jitter.
 * The wait is `initial × coefficient^(attempt-1)`, at most `max`, plus or minus the jitter's part of it.
 */
export function decideRetry(
  policy: ResolvedRetry,
  attempt: number,
  error: unknown,
  now: number,
  random: number,
): RetryDecision {
  if (attempt >= policy.maxAttempts || !isRetryable(policy, error)) return { retry: false }
  if (error instanceof RetryAfterError) {
    const at =
      error.after instanceof Date ? error.after.getTime() : now + durationMs(error.after, 'RetryAfterError.after')
    if (Number.isFinite(at)) return { retry: true, at: Math.ceil(at) }
  }
  const plain = Math.min(policy.initialMs * policy.coefficient ** (attempt - 1), policy.maxMs)
  return { retry: true, at: Math.ceil(now + plain * (1 + policy.jitter * (2 * random - 1))) }
}

function isRetryable(policy: ResolvedRetry, error: unknown): boolean {
  if (error instanceof NonRetryableError || error instanceof SerializationError) return false
  // Misuse of stet inside a step (a ctx call, a wrong option) is the same at every attempt.
  if (error instanceof StetError && error.code === 'inside_step') return false
  return !policy.nonRetryable.some((kind) =>
    typeof kind === 'string' ? (error as Error | null)?.name === kind : error instanceof kind,
  )
}
