/** Bodies of steps that really run during a replay, because somebody asked for it by name. */
import { isDeepStrictEqual } from 'node:util'
import { decode, decodeError, encode } from '../core/codec.js'
import type { RecordedEvent } from '../core/events.js'
import type { Operation } from '../core/operation.js'
import type { ResolvedStep } from '../core/step.js'
import type { Log } from '../core/types.js'
import { Attempt, type AttemptResult } from '../worker/attempts.js'
import { valueText } from './probe.js'

/** What a body came to now, beside what is on record. */
export interface LiveResult {
  readonly op: number
  readonly name: string
  /** The event that has what was recorded; null: nothing is, yet. */
  readonly seq: number | null
  readonly tookMs: number
  readonly result: string
  readonly failed: boolean
  /** Null: nothing is on record. */
  readonly recorded: string | null
  readonly same: boolean
}

/**
 * Takes the body of a step that was asked for, to be run later: what the step does is forgotten once it is settled.
 * Null: it is no step with a body of the user's.
 */
export function bodyToRun({ request, name, index }: Operation, runId: string, log: Log) {
  if (request.kind !== 'step' || request.does !== undefined) return null
  // Whoever looks at it in a debugger takes all the time that there is.
  const step: ResolvedStep = { ...request.step, timeoutMs: null, heartbeatTimeoutMs: null, totalTimeoutMs: null }
  return async (settledBy: RecordedEvent | null): Promise<LiveResult> => {
    const began = performance.now()
    const result = await new Promise<AttemptResult>((resolve) => {
      const attempt = settledBy?.facts?.attempt ?? 1
      const request = { name, runId, op: index, attempt, step, remainingMs: null, log }
      const nothing = { checkpoint: () => undefined, saveCheckpoint: async () => {} }
      new Attempt({ ...request, ...nothing }, resolve).begin()
    })
    const tookMs = Math.round(performance.now() - began)
    const base = { op: index, name, seq: settledBy?.seq ?? null, tookMs, failed: !result.ok }
    const now = result.ok ? decode(encode(result.value, `the result of step "${name}"`)) : result.error
    if (settledBy === null) return { ...base, result: valueText(now), recorded: null, same: true }
    const wasFailure = settledBy.type === 'StepFailed'
    const then = wasFailure ? decodeError(settledBy.payload ?? '{}') : decode(settledBy.payload)
    const same =
      wasFailure === !result.ok && (wasFailure ? valueText(now) === valueText(then) : isDeepStrictEqual(now, then))
    return { ...base, result: valueText(now), recorded: valueText(then), same }
  }
}
