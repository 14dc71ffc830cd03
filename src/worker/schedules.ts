/**
 * Schedules, as every worker looks after them.
 *
 * K1. A worker looks when one is due by what the store has said, and when a run closes for which something waits: never
 *     because time has passed.
 * K2. What another is looking at is passed over; it is asked for again a little later, not at once.
 */
import { originals } from '../core/determinism.js'
import type { Hint } from '../core/hint.js'
import type { Log } from '../core/types.js'
import { lookAtSchedules } from '../store/firing.js'
import type { Store } from '../store/port.js'
import { maxLooked } from '../store/schedules.js'
import { longTimeout } from './attempts.js'
import type { DbClock } from './clock.js'

/** How long one that is due and was not to be had (K2) is left alone, ms. */
const heldMs = 250

export interface ScheduleHost {
  readonly store: Store
  readonly clock: DbClock
  readonly log: Log
  publish(hints: readonly Hint[]): void
  /** No look is under way any more. */
  looked(): void
  troubled(what: string, error: unknown): void
}

export class ScheduleKeeper {
  readonly #host: ScheduleHost
  /** By run, the schedule of which something waits for its end. */
  readonly #waits = new Map<string, string>()
  /** To be looked at whether they are due or not. */
  readonly #named = new Set<string>()
  #due = false
  #timer: NodeJS.Timeout | null = null
  #timerAt = Number.POSITIVE_INFINITY
  /** Up to when all that was due was looked at, or held by others. */
  #lookedUpTo = 0
  #looking: Promise<void> | null = null
  #stopped = false

  constructor(host: ScheduleHost) {
    this.#host = host
  }

  /** What a beat has told: when the next is due, and what time it was. A timer may be wrong, as after a pause of the machine. */
  beat(next: number, now: number): void {
    if (next > now || next <= this.#lookedUpTo) {
      this.#wakeBy(next)
      return
    }
    this.#due = true
    this.#look()
  }

  /** One is due at this time, ms since the epoch. */
  #wakeBy(at: number): void {
    const { clock } = this.#host
    const due = at <= this.#lookedUpTo ? clock.now() + heldMs : at
    if (due >= this.#timerAt || this.#stopped) return
    if (this.#timer !== null) originals.clearTimeout(this.#timer)
    this.#timerAt = due
    this.#timer = longTimeout(Math.max(0, due - clock.now()), () => {
      this.#timer = null
      this.#timerAt = Number.POSITIVE_INFINITY
      this.#due = true
      this.#look()
    })
    this.#timer.unref()
  }

  /** These runs have closed. */
  closed(runIds: readonly string[]): void {
    if (this.#waits.size === 0) return
    for (const runId of runIds) {
      const schedule = this.#waits.get(runId)
      if (schedule === undefined) continue
      this.#waits.delete(runId)
      this.#named.add(schedule)
    }
    if (this.#named.size > 0) this.#look()
  }

  /** Time has moved: looks at what waits, and takes the next beat's word for what is due. */
  poke(): void {
    for (const schedule of this.#waits.values()) this.#named.add(schedule)
    this.#lookedUpTo = 0
    // A clock that was moved has left the timer behind: the beat that follows tells what is due.
    this.#timerAt = Number.POSITIVE_INFINITY
    if (this.#named.size > 0) this.#look()
  }

  /** A look is under way: it starts runs, and ends others. */
  get looking(): boolean {
    return this.#looking !== null
  }

  /** Resolves when no look is under way. */
  async stop(): Promise<void> {
    this.#stopped = true
    if (this.#timer !== null) originals.clearTimeout(this.#timer)
    await this.#looking
  }

  #look(): void {
    this.#looking ??= this.#lookOn().finally(() => {
      this.#looking = null
      if ((this.#due || this.#named.size > 0) && !this.#stopped) this.#look()
      else this.#host.looked()
    })
  }

  async #lookOn(): Promise<void> {
    const { store, clock, log, publish, troubled } = this.#host
    const named = [...this.#named]
    const due = this.#due
    this.#named.clear()
    this.#due = false
    try {
      for (const ids of [...(named.length > 0 ? [named] : []), ...(due ? [null] : [])]) {
        const began = clock.now()
        const look = await lookAtSchedules(store, publish, ids)
        if (this.#stopped) return
        for (const { runId, schedule } of look.waits) {
          // It may have closed before anybody listened for that.
          if (!this.#waits.has(runId)) this.#named.add(schedule)
          this.#waits.set(runId, schedule)
        }
        for (const { schedule, problem } of look.problems) log.warn('a schedule cannot fire', { schedule, problem })
        if (ids === null) this.#lookedUpTo = look.looked === 0 ? began : 0
        if (look.looked === maxLooked) this.#due = true
        else if (look.nextAt !== null) this.#wakeBy(look.nextAt)
      }
    } catch (error) {
      // The next beat tells what is due.
      troubled('looking at schedules failed', error)
    }
  }
}
