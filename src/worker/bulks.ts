/**
 * Goes on with bulks, beside what a worker is there for. Parts are done one at a time, whatever the number of workers, and
 * as long as a part took is left to others before the next (`next_at` in the store keeps other workers to that).
 */
import { originals } from '../core/determinism.js'

interface Host {
  /** Does the next part of a bulk; null: there is nothing to do, or another worker is at it. */
  readonly part: () => Promise<{ readonly runs: number } | null>
  readonly troubled: (error: unknown) => void
}

/** All that a bulk has left is locked by others: they are looked at again after this, ms. */
const heldMs = 250

export class BulkDesk {
  readonly #host: Host
  #busy = false
  #stopped = false

  constructor(host: Host) {
    this.#host = host
  }

  /** There are bulks to be gone on with, perhaps. */
  look(): void {
    if (!this.#busy && !this.#stopped) void this.#work()
  }

  stop(): void {
    this.#stopped = true
  }

  async #work(): Promise<void> {
    this.#busy = true
    try {
      while (!this.#stopped) {
        const began = originals.performanceNow()
        const part = await this.#host.part()
        if (part === null) break
        const took = originals.performanceNow() - began
        await rest(part.runs === 0 ? heldMs : took)
      }
    } catch (error) {
      if (!this.#stopped) this.#host.troubled(error)
    }
    this.#busy = false
  }
}

function rest(ms: number): Promise<void> {
  return new Promise((resolve) => {
    const timer = originals.setTimeout(resolve, ms) as unknown as NodeJS.Timeout
    timer.unref()
  })
}
