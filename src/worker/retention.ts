/**
 * Deletes what is kept no longer, once a minute, one worker at a time: it has a lease on that while it does, which another
 * takes over when it dies. The parts are small, with a rest after each, so that claims do not feel them.
 */
import { originals } from '../core/determinism.js'
import type { Store } from '../store/port.js'
import { sweepRetention } from '../store/retention-pass.js'

const everyMs = 60_000
const leaseMs = 30_000

export class RetentionDesk {
  readonly #store: Store
  readonly #holder: string
  readonly #told: (deleted: number, error: unknown) => void
  #timer: NodeJS.Timeout | null = null
  #stopped = false

  constructor(store: Store, holder: string, told: (deleted: number, error: unknown) => void) {
    this.#store = store
    this.#holder = holder
    this.#told = told
  }

  start(): void {
    // Not all workers of a deploy in the same moment.
    if (this.#timer === null) this.#in(originals.random() * everyMs)
  }

  stop(): void {
    this.#stopped = true
    if (this.#timer !== null) originals.clearTimeout(this.#timer)
  }

  #in(ms: number): void {
    if (this.#stopped) return
    this.#timer = originals.setTimeout(() => void this.look().then(() => this.#in(everyMs)), ms)
    this.#timer.unref()
  }

  /** Looks now, unless another does. Never rejects. */
  async look(): Promise<void> {
    try {
      if (!(await this.#store.watchRetention(this.#holder, leaseMs))) return
      let renewed = originals.performanceNow()
      const { deleted } = await sweepRetention(this.#store, {
        gently: true,
        goOn: async () => {
          if (this.#stopped) return false
          if (originals.performanceNow() - renewed < leaseMs / 3) return true
          renewed = originals.performanceNow()
          return this.#store.watchRetention(this.#holder, leaseMs)
        },
      })
      await this.#store.unwatchRetention(this.#holder, everyMs / 2)
      if (deleted > 0) this.#told(deleted, null)
    } catch (error) {
      if (!this.#stopped) this.#told(0, error)
    }
  }
}
