/** What a worker knows of the database's time. */
import { originals } from '../core/determinism.js'
import type { Store } from '../store/port.js'

export class DbClock {
  readonly #store: Store
  /** The database's time at a moment of ours, never ahead of the truth: it was read before the answer came. */
  #at = originals.now()
  #readAt = originals.performanceNow()
  #asking: Promise<number> | null = null
  #still = false

  constructor(store: Store) {
    this.#store = store
  }

  /** Every answer of the database that carries its time corrects the estimate. */
  observe(at: number): void {
    this.#at = at
    this.#readAt = originals.performanceNow()
  }

  /** Tells whether the database's time stands still: a test's clock, while it is moved. */
  set still(still: boolean) {
    this.#still = still
  }

  /** The estimate: at most the database's time, ms since the epoch. */
  now(): number {
    if (this.#still) return Math.floor(this.#at)
    return Math.floor(this.#at + (originals.performanceNow() - this.#readAt))
  }

  /** The database's own word; those who ask in the same moment share one statement. */
  ask(): Promise<number> {
    this.#asking ??= this.#store
      .now()
      .then((now) => {
        this.observe(now)
        return now
      })
      .finally(() => {
        this.#asking = null
      })
    return this.#asking
  }
}
