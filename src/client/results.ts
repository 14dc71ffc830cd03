import { decode, decodeError } from '../core/codec.js'
import { RunFailedError, RunNotFoundError, TimeoutFailure } from '../core/errors.js'
import type { Hints } from '../hints/hints.js'
import type { RunResult, Store } from '../store/port.js'

interface Waiter {
  readonly resolve: (result: RunResult) => void
  readonly reject: (error: unknown) => void
  /** The run was there: if it is not, it was deleted. */
  readonly wasThere: boolean
}

const maxSure = 10_000

/** How often all waits of the process are asked for together, in case a hint was lost. */
const pollMs = 2_000

/**
 * Waits for runs to close: one waiter for the whole process, however many handles wait. Hints make it quick; a single
 * statement for all of them, now and then, makes it sure.
 */
export class ResultWaiter {
  readonly #store: Store
  readonly #hints: Hints
  readonly #waiting = new Map<string, Set<Waiter>>()
  #subscribed: (() => void) | null = null
  #timer: NodeJS.Timeout | null = null
  #toRead = new Set<string>()
  #reading = false
  #closed = false
  #listening = false
  /** Runs that were started while this was listening, and have not been heard of since: no need to ask for them. */
  readonly #sure = new Set<string>()

  constructor(store: Store, hints: Hints) {
    this.#store = store
    this.#hints = hints
  }

  /**
   * What came of a run, as soon as it has closed. `wasThere` false: its start may not be committed yet.
   * @throws RunNotFoundError when it was deleted
   */
  wait(runId: string, timeoutMs: number | null, wasThere = true): Promise<RunResult> {
    this.#subscribe()
    return new Promise((resolve, reject) => {
      const waiter: Waiter = {
        wasThere,
        resolve: (result) => {
          clearTimeout(timer)
          resolve(result)
        },
        reject: (error) => {
          clearTimeout(timer)
          reject(error)
        },
      }
      const waiters = this.#waiting.get(runId) ?? new Set()
      this.#waiting.set(runId, waiters.add(waiter))
      const timer =
        timeoutMs === null
          ? undefined
          : setTimeout(() => {
              this.#forget(runId, waiter)
              reject(
                new TimeoutFailure(`run ${runId} did not close within ${timeoutMs} ms; it goes on`, {
                  operation: 'result',
                }),
              )
            }, timeoutMs)
      if (!this.#sure.has(runId)) this.#read([runId])
      this.#arm()
    })
  }

  /** A run was started by this process: its end will be heard. */
  started(runId: string): void {
    if (!this.#listening) return
    this.#sure.add(runId)
    // Handles that nobody waits on must not add up.
    if (this.#sure.size > maxSure) this.#sure.delete(this.#sure.values().next().value!)
  }

  close(error: Error): void {
    this.#closed = true
    this.#subscribed?.()
    if (this.#timer !== null) clearTimeout(this.#timer)
    for (const waiters of this.#waiting.values()) for (const waiter of waiters) waiter.reject(error)
    this.#waiting.clear()
  }

  #subscribe(): void {
    this.#subscribed ??= this.#hints.subscribe({
      hint: (hint) => {
        if (hint.kind !== 'closed') return
        for (const runId of hint.runIds) this.#sure.delete(runId)
        const awaited = hint.runIds.filter((runId) => this.#waiting.has(runId))
        if (hint.result === undefined) this.#read(awaited)
        else
          for (const runId of awaited)
            this.#settle({ runId, successor: null, ...(hint.result as Pick<RunResult, 'status' | 'payload'>) })
      },
      connected: () => {
        this.#listening = true
        this.#sure.clear()
        this.#read([...this.#waiting.keys()])
      },
    })
  }

  #read(runIds: readonly string[]): void {
    for (const runId of runIds) this.#toRead.add(runId)
    if (!this.#reading && this.#toRead.size > 0) void this.#readAll()
  }

  async #readAll(): Promise<void> {
    this.#reading = true
    while (this.#toRead.size > 0 && !this.#closed) {
      // What is asked for in the same moment is read together.
      await new Promise<void>((resolve) => process.nextTick(resolve))
      const runIds = [...this.#toRead].slice(0, 1_000)
      for (const runId of runIds) this.#toRead.delete(runId)
      try {
        for (const result of await this.#store.results(runIds)) this.#settle(result)
      } catch (error) {
        if (this.#closed) break
        for (const runId of runIds) {
          for (const waiter of this.#waiting.get(runId) ?? []) waiter.reject(error)
          this.#waiting.delete(runId)
        }
      }
    }
    this.#reading = false
  }

  async #lookForDeleted(): Promise<void> {
    const known = [...this.#waiting].filter(([, waiters]) => [...waiters].some(({ wasThere }) => wasThere))
    for (let from = 0; from < known.length; from += 1_000) {
      const runIds = known.slice(from, from + 1_000).map(([runId]) => runId)
      const missing = await this.#store.missingRuns(runIds).catch(() => [])
      for (const runId of missing) {
        for (const waiter of this.#waiting.get(runId) ?? []) {
          if (!waiter.wasThere) continue
          this.#forget(runId, waiter)
          waiter.reject(new RunNotFoundError(runId))
        }
      }
    }
  }

  #settle(result: RunResult): void {
    const waiters = this.#waiting.get(result.runId)
    this.#waiting.delete(result.runId)
    for (const waiter of waiters ?? []) waiter.resolve(result)
  }

  #forget(runId: string, waiter: Waiter): void {
    const waiters = this.#waiting.get(runId)
    waiters?.delete(waiter)
    if (waiters?.size === 0) this.#waiting.delete(runId)
  }

  #arm(): void {
    if (this.#timer !== null || this.#closed) return
    this.#timer = setTimeout(() => {
      this.#timer = null
      if (this.#waiting.size === 0) return
      this.#read([...this.#waiting.keys()])
      void this.#lookForDeleted()
      this.#arm()
    }, pollMs)
    // A process that only waits for a result must not end before it has come, so this timer keeps it alive.
  }
}

/** The output of a run that completed. @throws RunFailedError for any other end */
export function outputOf(result: RunResult): unknown {
  if (result.status === 'completed') return decode(result.payload)
  const cause = result.payload === null ? undefined : decodeError(result.payload)
  throw new RunFailedError(
    `run ${result.runId} ${result.status === 'failed' ? 'failed' : `was ${result.status}`}${cause === undefined ? '' : `: ${cause.message}`}`,
    {
      runId: result.runId,
      code: result.status === 'failed' ? 'run_failed' : `run_${result.status}`,
      ...(cause === undefined ? {} : { cause }),
    },
  )
}
