/** The bodies of steps that the engine brings along: transactions, and messages to other runs. */
import { encode } from '../core/codec.js'
import { CancelledFailure, NonRetryableError, RunClosedError, RunNotFoundError } from '../core/errors.js'
import type { Hint } from '../core/hint.js'
import type { EngineWork, Operation } from '../core/operation.js'
import type { StepContext } from '../core/types.js'
import { postMessage, requestCancel } from '../store/asks.js'
import type { ClaimedRun, Store } from '../store/port.js'

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
  publish(hints: readonly Hint[]): void
}

/** `lost` is called when the run turns out to be no longer this worker's. */
export function engineBody(
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
    case 'cancel':
      return async () => {
        const post = (message: Parameters<typeof postMessage>[2]) => postMessage(host.store, publish, message)
        // A run that has closed needs no cancelling.
        await final(() => requestCancel(host.store, publish, does.to, does.reason, post)).catch((error) => {
          if (!(error.cause instanceof RunClosedError)) throw error
        })
      }
  }
}

/** That a run is not there, or closed, is not changed by another attempt. */
async function final<T>(body: () => Promise<T>): Promise<T> {
  try {
    return await body()
  } catch (error) {
    if (!(error instanceof RunNotFoundError) && !(error instanceof RunClosedError)) throw error
    throw Object.assign(new NonRetryableError(error.message, { cause: error }), { code: error.code })
  }
}
