import { originals } from '../../core/determinism.js'

/** The time that the runs of an in-memory store live by. Stands where it was stopped, or goes on at the pace of real time. */
export class MemoryClock {
  readonly #startedAt = originals.now()
  readonly #startedTick = originals.performanceNow()
  #shift = 0
  #stoppedAt: number | null = null

  /** ms since the epoch, with a fraction. */
  now(): number {
    return this.#stoppedAt ?? this.#real() + this.#shift
  }

  /** Has it stand at a whole millisecond: at `to`, or where it is when that is later or null. Returns the time. */
  stop(to: number | null): number {
    this.#stoppedAt = Math.ceil(Math.max(this.now(), to ?? 0))
    return this.#stoppedAt
  }

  /** Lets it go on from where it stands. Returns the time. */
  go(): number {
    if (this.#stoppedAt !== null) this.#shift = this.#stoppedAt - this.#real()
    this.#stoppedAt = null
    return this.now()
  }

  /** Of the monotonic clock: what is set on the machine must not turn the time of runs back. */
  #real(): number {
    return this.#startedAt + (originals.performanceNow() - this.#startedTick)
  }
}
