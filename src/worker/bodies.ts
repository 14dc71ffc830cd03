/** The bodies of steps: the user's, and those that the engine brings along (transactions, messages to other runs). */
import { encode } from '../core/codec.js'
import {
  CancelledFailure,
  InvalidInputError,
  NonRetryableError,
  RunClosedError,
  RunNotFoundError,
} from '../core/errors.js'
import type { Hint } from '../core/hint.js'
import { aroundStep, type Interceptor } from '../core/interceptors.js'
import type { EngineWork, Operation } from '../core/operation.js'
import type { StepContext } from '../core/types.js'
import { cancelLatest, postMessage, startAndSend } from '../store/asks.js'
import type { ClaimedRun, Store } from '../store/port.js'
import { startRequest } from '../store/requests.js'

/** The result of a transaction: it stands in the run's inbox already, as message `n`. */
export class Committed {
  readonly n: number
  readonly payload: string | null

  constructor(n: number, payload: string | null) {
    this.n = n
    this.payload = payload
  }
}

interface Host {
  readonly workerId: string
  readonly store: Store
  readonly stepOverrides: ReadonlyMap<string, (...args: any[]) => unknown> | undefined
  readonly interceptors: readonly Interceptor[]
  publish(hints: readonly Hint[]): void
}

/**
 * What an attempt of a step executes: the user's function, what a test has put in its place, or the engine's own work;
 * with the interceptors around it. `lost` is called when the run turns out to be no longer this worker's.
 */
export function bodyOf(
  host: Host,
  run: ClaimedRun,
  operation: Operation,
  lost: () => void,
): (step: StepContext) => unknown {
  const { request, name } = operation
  if (request.kind !== 'step') throw new Error(`${request.kind} "${name}" is no step`)
  const body =
    host.stepOverrides?.get(name) ??
    (request.does === undefined ? request.step.fn : engineBody(host, run, operation, request.does, lost))
  if (host.interceptors.length === 0) return body
  const { runId, workflow, version } = run
  return (step) =>
    aroundStep(host.interceptors, { name, runId, workflow, version, attempt: step.attempt }, async () => body(step))
}

function engineBody(
  host: Host,
  { runId, claim }: ClaimedRun,
  operation: Operation,
  does: EngineWork,
  lost: () => void,
): (step: StepContext) => Promise<unknown> {
  const publish = (hints: readonly Hint[]) => host.publish(hints)
  switch (does.what) {
    case 'transaction':
      return async (step) => {
        const { signal } = step
        const done = await host.store.transaction(host.workerId, { runId, claim, op: operation.index }, async (tx) => {
          const value = await does.fn(tx, step)
          // An attempt whose time is up must not commit behind the next one's back.
          signal.throwIfAborted()
          return encode(value, `the result of step "${operation.name}"`)
        })
        if (done !== null) return new Committed(done.n, done.payload)
        lost()
        throw new CancelledFailure('the run is no longer held by this worker')
      }
    case 'signal': {
      const { to: run, name, payload, messageId } = does
      return (step) =>
        final(() =>
          postMessage(host.store, publish, {
            run,
            kind: 'signal',
            name,
            payload,
            messageId: messageId ?? step.idempotencyKey,
          }),
        ).then(() => undefined)
    }
    case 'signalWithStart': {
      const { workflow, input, options, name, payload, messageId } = does
      return (step) =>
        final(async () => {
          const request = await startRequest(workflow, input, options)
          const message = { kind: 'signal' as const, name, payload, messageId: messageId ?? step.idempotencyKey }
          await startAndSend(host.store, publish, request, message)
        })
    }
    case 'cancel':
      return () => final(() => cancelLatest(host.store, publish, does.to, does.reason))
  }
}

/** That a run is not there or closed, or that something cannot be used, is not changed by another attempt. */
async function final<T>(body: () => Promise<T>): Promise<T> {
  try {
    return await body()
  } catch (error) {
    const isFinal = [RunNotFoundError, RunClosedError, InvalidInputError].some((kind) => error instanceof kind)
    if (!isFinal) throw error
    const { message, code } = error as RunClosedError
    throw Object.assign(new NonRetryableError(message, { cause: error }), { code })
  }
}
