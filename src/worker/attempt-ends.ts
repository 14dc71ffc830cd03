/** What the end of an attempt is to its step: a result, another attempt, or the end of trying. */
import { encode, encodeError } from '../core/codec.js'
import { originals } from '../core/determinism.js'
import type { EventFacts, EventType } from '../core/events.js'
import type { Operation } from '../core/operation.js'
import { decideRetry, type RetryDecision } from '../core/retry.js'
import type { AttemptResult } from './attempts.js'
import { Committed } from './bodies.js'

/** What an engine can write again and again without the run getting on: the SQL that counts crashes knows them too. */
export const marks: ReadonlySet<EventType> = new Set(['StepScheduled', 'TimerStarted'] as const)

export const attemptEnds: ReadonlySet<EventType> = new Set(['StepCompleted', 'StepFailed', 'AttemptFailed'] as const)

export interface AttemptEnd {
  readonly type: 'StepCompleted' | 'StepFailed' | 'AttemptFailed'
  readonly payload: string | null
  readonly facts: EventFacts
  /** The message in the inbox that has the result already. */
  readonly inboxN?: number
}

export function attemptEnd(operation: Operation, result: AttemptResult, began: number, now: number): AttemptEnd {
  const attempt = operation.failedAttempts + 1
  const facts: EventFacts = { began, ...(attempt === 1 ? {} : { attempt }) }
  if (!result.ok) return failed(operation, result.error, attempt, facts, now, result.totalTimeout === true)
  if (result.value instanceof Committed) {
    return { type: 'StepCompleted', payload: result.value.payload, facts, inboxN: result.value.n }
  }
  try {
    return { type: 'StepCompleted', payload: encode(result.value, `the result of step "${operation.name}"`), facts }
  } catch (error) {
    return failed(operation, error, attempt, facts, now, false)
  }
}

function failed(
  operation: Operation,
  error: unknown,
  attempt: number,
  facts: EventFacts,
  now: number,
  final: boolean,
): AttemptEnd {
  const payload = encodeError(error)
  const end: AttemptEnd = { type: 'StepFailed', payload, facts: { ...facts, attempt } }
  if (operation.request.kind !== 'step' || final) return end
  const { retry, totalTimeoutMs } = operation.request.step
  const decision = decide(retry, attempt, error, now)
  if (!decision.retry) return end
  const tooLate = totalTimeoutMs !== null && decision.at > operation.askedAt + totalTimeoutMs
  return tooLate ? end : { type: 'AttemptFailed', payload, facts: { ...end.facts, dueAt: decision.at } }
}

function decide(
  policy: Parameters<typeof decideRetry>[0],
  attempt: number,
  error: unknown,
  now: number,
): RetryDecision {
  try {
    return decideRetry(policy, attempt, error, now, originals.random())
  } catch {
    // A RetryAfterError with a duration that is none: the policy decides alone.
    return decideRetry(policy, attempt, undefined, now, originals.random())
  }
}

/** The attempt that is about to begin, unless it is the first. */
export function attemptFacts({ failedAttempts }: Operation): EventFacts {
  return failedAttempts === 0 ? {} : { attempt: failedAttempts + 1 }
}

export function isAtMostOnce({ request }: Operation): boolean {
  return request.kind === 'step' && request.step.atMostOnce
}
