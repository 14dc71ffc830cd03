import { durationMs } from './duration.js'
import { InvalidInputError } from './errors.js'
import { type ResolvedRetry, resolveRetry } from './retry.js'
import type { StepContext, StepOptions } from './types.js'

/** A step with its options checked and filled in; durations in milliseconds, null meaning no limit. */
export interface ResolvedStep {
  readonly fn: (step: StepContext) => unknown
  readonly retry: ResolvedRetry
  readonly timeoutMs: number | null
  readonly totalTimeoutMs: number | null
  readonly heartbeatTimeoutMs: number | null
  readonly atMostOnce: boolean
}

/**
 * Checks what was given to `ctx.step`.
 * @throws InvalidInputError naming the step and the option
 */
export function resolveStep(
  name: string,
  fn: (step: StepContext) => unknown,
  options: StepOptions | undefined,
  workflowRetry: ResolvedRetry,
): ResolvedStep {
  const what = `step "${name}"`
  if (typeof fn !== 'function') {
    throw new InvalidInputError(
      `${what}: expected a function as the last argument, got ${fn === null ? 'null' : typeof fn}.`,
    )
  }
  if (options === undefined) return plainStep(fn, workflowRetry)
  if (options === null || typeof options !== 'object') {
    throw new InvalidInputError(`${what}: expected options as the second argument, got ${String(options)}.`)
  }
  const mode = options.mode ?? 'atLeastOnce'
  if (mode !== 'atLeastOnce' && mode !== 'atMostOnce') {
    throw new InvalidInputError(`${what}, mode: expected 'atLeastOnce' or 'atMostOnce', got ${String(mode)}.`)
  }
  const limit = (value: StepOptions['timeout'], option: string) =>
    value === undefined ? null : atLeastOneMs(durationMs(value, `${what}, ${option}`), `${what}, ${option}`)
  return {
    fn,
    retry: resolveRetry(options.retry, `${what}, retry`, workflowRetry),
    timeoutMs: limit(options.timeout, 'timeout'),
    totalTimeoutMs: limit(options.totalTimeout, 'totalTimeout'),
    heartbeatTimeoutMs: limit(options.heartbeatTimeout, 'heartbeatTimeout'),
    atMostOnce: mode === 'atMostOnce',
  }
}

function plainStep(fn: (step: StepContext) => unknown, retry: ResolvedRetry): ResolvedStep {
  return { fn, retry, timeoutMs: null, totalTimeoutMs: null, heartbeatTimeoutMs: null, atMostOnce: false }
}

function atLeastOneMs(ms: number, what: string): number {
  if (ms >= 1) return ms
  throw new InvalidInputError(`${what}: expected at least 1 ms, got ${ms} ms.`)
}

/** A step whose body the worker brings along. It is tried until it succeeds, or the error says that it never will. */
export const engineStep: ResolvedStep = resolveStep(
  'engine',
  () => undefined,
  { retry: { maxAttempts: Number.POSITIVE_INFINITY, maxInterval: '30s' } },
  resolveRetry(undefined, ''),
)
