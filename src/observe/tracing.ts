/**
 * OpenTelemetry, when the process has an SDK of it: without one nothing is loaded, read or done.
 *
 * T1. A run becomes spans once, when it closes, from its history: one for the run, one for each attempt of its steps,
 *     with the times that are on record. Nothing is kept open while it waits, and a replay makes none.
 * T2. The run is a trace of its own that links to whoever started it: the `traceparent` in the facts of its start.
 */
import type { StartCall } from '../core/interceptors.js'
import type { Log } from '../core/types.js'
import type { ClaimedRun, Store } from '../store/port.js'
import { withStartFacts } from '../store/requests.js'

const apiKey = Symbol.for('opentelemetry.js.api.1')

/** Somebody has registered a provider of traces with the API, whichever copy of it. */
function hasProvider(): boolean {
  return (globalThis as { [apiKey]?: { trace?: unknown } })[apiKey]?.trace !== undefined
}

/** How many runs wait for their spans at most: their histories are read one after the other. */
const maxWaiting = 1_000

/** How long the end of a worker waits for spans that are still to be made. */
const partingMs = 2_000

/** Makes spans of the runs that a worker closes. */
export class RunTracer {
  readonly #store: Pick<Store, 'history'>
  readonly #log: Log
  readonly #waiting: ClaimedRun[] = []
  #busy: Promise<void> | null = null
  #dropped = 0

  constructor(store: Pick<Store, 'history'>, log: Log) {
    this.#store = store
    this.#log = log
  }

  closed(run: ClaimedRun): void {
    if (!hasProvider()) return
    if (this.#waiting.length >= maxWaiting) {
      this.#dropped++
      return
    }
    this.#waiting.push(run)
    this.#busy ??= this.#trace().finally(() => {
      this.#busy = null
    })
  }

  async stop(): Promise<void> {
    if (this.#busy === null) return
    let limit: NodeJS.Timeout | undefined
    const patience = new Promise<void>((resolve) => {
      limit = setTimeout(resolve, partingMs)
    })
    await Promise.race([this.#busy, patience])
    clearTimeout(limit)
  }

  async #trace(): Promise<void> {
    const { spansOf } = await import('./spans.js')
    for (let run = this.#waiting.shift(); run !== undefined; run = this.#waiting.shift()) {
      try {
        spansOf(run, await this.#store.history(run.runId))
      } catch (error) {
        this.#log.debug('a run could not be traced', { run: run.runId, message: (error as Error).message })
      }
    }
    if (this.#dropped > 0) {
      this.#log.warn('runs were not traced: too many closed at once', { runs: this.#dropped })
      this.#dropped = 0
    }
  }
}

/** Around starts: notes the span in which the caller is (T2). */
export const tracedStarts = {
  start<T>(call: StartCall, next: (call: StartCall) => Promise<T>): Promise<T> {
    return hasProvider() ? tracedStart(call, next) : next(call)
  },
}

async function tracedStart<T>(call: StartCall, next: (call: StartCall) => Promise<T>): Promise<T> {
  const { activeTraceparent } = await import('./spans.js')
  const traceparent = activeTraceparent()
  if (traceparent === null) return next(call)
  return next({ ...call, options: withStartFacts(call.options, { traceparent }) })
}
