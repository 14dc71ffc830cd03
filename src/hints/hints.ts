/**
 * Hints: nudges that something may be ready. They may be lost, doubled or late; polling is the truth. A carrier (the
 * database's own NOTIFY, or a broker) stands behind a small port; what happens in this process is passed on at once.
 */
import type { Hint } from '../core/hint.js'

/** What a carrier must do. `connected` is called each time it (re)connects: hints may have been missed. */
export interface HintCarrier {
  publish(hints: readonly Hint[]): Promise<void>
  subscribe(listener: HintListener): Promise<() => Promise<void>>
}

export interface HintListener {
  hint(hint: Hint): void
  connected(): void
}

export class Hints {
  readonly #carrier: HintCarrier
  readonly #listeners = new Set<HintListener>()
  #subscription: Promise<() => Promise<void>> | null = null
  #waiting: Hint[] = []
  #publishing = false
  #closed = false

  constructor(carrier: HintCarrier) {
    this.#carrier = carrier
  }

  /** Hears hints of this process and of others, from the first subscription on. Returns its end. */
  subscribe(listener: HintListener): () => void {
    this.#listeners.add(listener)
    this.#subscription ??= this.#carrier.subscribe({
      hint: (hint) => this.#spread(hint),
      connected: () => {
        for (const each of this.#listeners) each.connected()
      },
    })
    this.#subscription.catch(() => {
      this.#subscription = null
    })
    return () => this.#listeners.delete(listener)
  }

  /** Resolves when the carrier has been asked to listen; never rejects. */
  async connected(): Promise<void> {
    await this.#subscription?.catch(() => {})
  }

  /** Passes hints on inside this process: the store has told the others, or will. */
  local(hints: readonly Hint[]): void {
    if (!this.#closed) for (const hint of hints) this.#spread(hint)
  }

  /** Sends hints without waiting. What comes while a publication is under way goes with the next. */
  publish(hints: readonly Hint[]): void {
    if (this.#closed) return
    this.local(hints)
    this.#waiting.push(...hints)
    if (!this.#publishing) void this.#send()
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#listeners.clear()
    const stop = await this.#subscription?.catch(() => undefined)
    await stop?.().catch(() => {})
  }

  async #send(): Promise<void> {
    this.#publishing = true
    while (this.#waiting.length > 0 && !this.#closed) {
      const hints = this.#waiting
      this.#waiting = []
      // A lost hint costs time, never correctness.
      await this.#carrier.publish(hints).catch(() => {})
    }
    this.#publishing = false
  }

  #spread(hint: Hint): void {
    for (const listener of this.#listeners) listener.hint(hint)
  }
}
