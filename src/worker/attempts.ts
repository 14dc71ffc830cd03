/** Runs the bodies of steps: at most so many at once in the process, each with its context, limits and abort signal. */
import { originals } from '../core/determinism.js'
import { StetError, TimeoutFailure } from '../core/errors.js'
import { shared } from '../core/state.js'
import type { ResolvedStep } from '../core/step.js'
import type { Log, StepContext } from '../core/types.js'

export interface AttemptRequest {
  readonly name: string
  readonly runId: string
  readonly op: number
  /** From 1. */
  readonly attempt: number
  readonly step: ResolvedStep
  /** What is left of the total time of all attempts, ms; null: no limit. */
  readonly remainingMs: number | null
  readonly checkpoint: () => unknown
  readonly saveCheckpoint: (value: unknown) => Promise<void>
  readonly log: Log
}

export type AttemptResult =
  | { readonly ok: true; readonly value: unknown }
  | { readonly ok: false; readonly error: unknown; readonly totalTimeout?: boolean }

const { setTimeout: after, clearTimeout: cancelTimer } = originals

/** One try of a step. */
export class Attempt implements StepContext {
  readonly #request: AttemptRequest
  readonly #done: (result: AttemptResult) => void
  #controller: AbortController | null = null
  #over = false
  #timer: NodeJS.Timeout | null = null
  #totalTimer: NodeJS.Timeout | null = null
  #heartbeatTimer: NodeJS.Timeout | null = null

  constructor(request: AttemptRequest, done: (result: AttemptResult) => void) {
    this.#request = request
    this.#done = done
  }

  get attempt(): number {
    return this.#request.attempt
  }
  get idempotencyKey(): string {
    return `${this.#request.runId}:${this.#request.op}`
  }
  get checkpoint(): unknown {
    return this.#request.checkpoint()
  }
  get log(): Log {
    return this.#request.log
  }
  /** It has come to its result, or nobody wants that any more. */
  get over(): boolean {
    return this.#over
  }
  get signal(): AbortSignal {
    // Made when first asked for: most bodies never do.
    this.#controller ??= new AbortController()
    return this.#controller.signal
  }

  saveCheckpoint(value: unknown): Promise<void> {
    if (this.#over) return Promise.reject(this.#lateError('saveCheckpoint'))
    this.heartbeat()
    return this.#request.saveCheckpoint(value)
  }

  heartbeat(): void {
    if (this.#over || this.#request.step.heartbeatTimeoutMs === null) return
    cancelTimer(this.#heartbeatTimer ?? undefined)
    this.#heartbeatTimer = this.#limit(this.#request.step.heartbeatTimeoutMs, 'gave no heartbeat for')
  }

  /** Runs the body. The result is handed over once, at once when the body needs no waiting. */
  begin(): void {
    const { step, remainingMs } = this.#request
    if (step.timeoutMs !== null) this.#timer = this.#limit(step.timeoutMs, 'took longer than')
    if (remainingMs !== null)
      this.#totalTimer = this.#limit(Math.max(0, remainingMs), 'used up its total time of', true)
    this.heartbeat()
    let result: unknown
    try {
      const place = { name: this.#request.name, runId: this.#request.runId, context: this }
      result = shared.step.run(place, step.fn, this)
    } catch (error) {
      this.#finish({ ok: false, error })
      return
    }
    if (typeof (result as PromiseLike<unknown> | null)?.then !== 'function') {
      this.#finish({ ok: true, value: result })
      return
    }
    ;(result as PromiseLike<unknown>).then(
      (value) => this.#finish({ ok: true, value }),
      (error) => this.#finish({ ok: false, error }),
    )
  }

  /** Ends the attempt without a result: nobody wants it any more. */
  abandon(reason: Error): void {
    if (this.#over) return
    this.#end(reason)
  }

  #limit(ms: number, what: string, totalTimeout = false): NodeJS.Timeout {
    return longTimeout(ms, () => {
      const limit = totalTimeout ? this.#request.step.totalTimeoutMs! : ms
      const error = new TimeoutFailure(`step "${this.#request.name}" ${what} ${limit} ms`, {
        operation: this.#request.name,
      })
      this.#finish({ ok: false, error, totalTimeout }, error)
    })
  }

  #finish(result: AttemptResult, abortReason?: Error): void {
    if (this.#over) return
    this.#end(abortReason)
    this.#done(result)
  }

  #end(abortReason: Error | undefined): void {
    this.#over = true
    cancelTimer(this.#timer ?? undefined)
    cancelTimer(this.#totalTimer ?? undefined)
    cancelTimer(this.#heartbeatTimer ?? undefined)
    if (abortReason !== undefined) {
      this.#controller ??= new AbortController()
      this.#controller.abort(abortReason)
    }
  }

  #lateError(what: string): StetError {
    return new StetError(
      'attempt_over',
      `step.${what} was called after the attempt had ended (step "${this.#request.name}", attempt ${this.attempt}).`,
    )
  }
}

/** Node turns delays of more than 2^31-1 ms into 1 ms. */
export function longTimeout(ms: number, callback: () => void): NodeJS.Timeout {
  const max = 2 ** 31 - 1
  if (ms <= max) return after(callback, ms) as unknown as NodeJS.Timeout
  // The handle stays the same object for the caller, so that it can be cleared: equal rounds, so it can be refreshed.
  let rounds = Math.ceil(ms / max)
  const round = Math.ceil(ms / rounds)
  const timer = after(() => {
    if (--rounds === 0) callback()
    else timer.refresh()
  }, round) as unknown as NodeJS.Timeout
  return timer
}

/** At most so many bodies at once; the others wait their turn. */
export class StepSlots {
  readonly limit: number
  #used = 0
  #handing = false
  #waiting: (() => void)[] = []
  /** Where in `#waiting` the next is: taking the first out of a long array moves all the others. */
  #next = 0

  constructor(limit: number) {
    this.limit = limit
  }

  /** Calls `begin` when there is a slot; whoever got one gives it back with `release`. */
  take(begin: () => void): void {
    this.#waiting.push(begin)
    this.#handOut()
  }

  release(): void {
    this.#used--
    this.#handOut()
  }

  /** One that begins may be over at once and release in turn: a loop, for ten thousand of them would fill the stack. */
  #handOut(): void {
    if (this.#handing) return
    this.#handing = true
    try {
      while (this.#used < this.limit && this.#next < this.#waiting.length) {
        const begin = this.#waiting[this.#next++]!
        if (this.#next === this.#waiting.length || this.#next === 10_000) {
          this.#waiting = this.#waiting.slice(this.#next)
          this.#next = 0
        }
        this.#used++
        begin()
      }
    } finally {
      this.#handing = false
    }
  }

  get used(): number {
    return this.#used
  }
}
