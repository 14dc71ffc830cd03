import { originals } from '../../core/determinism.js'
import type { Hint } from '../../core/hint.js'

interface Listener {
  hint(hint: Hint): void
  connected(): void
}

/** Passes hints on inside the process, after whoever did what they speak of has had his answer. */
export class MemoryHints {
  readonly #listeners = new Set<Listener>()

  publish(hints: readonly Hint[]): void {
    if (hints.length === 0) return
    const copies = hints.map((hint) => structuredClone(hint))
    const spread = () => {
      for (const hint of copies) for (const listener of this.#listeners) listener.hint(hint)
    }
    originals.setImmediate(() => originals.setImmediate(spread))
  }

  /** Returns its end. */
  subscribe(listener: Listener): () => void {
    // Twice the same object is two subscriptions.
    const own: Listener = { hint: (hint) => listener.hint(hint), connected: () => listener.connected() }
    this.#listeners.add(own)
    own.connected()
    return () => this.#listeners.delete(own)
  }

  close(): void {
    this.#listeners.clear()
  }
}
