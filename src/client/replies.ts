import { TimeoutFailure } from '../core/errors.js'
import type { Hint } from '../core/hint.js'
import type { Hints } from '../hints/hints.js'

interface Waiter<Answer> {
  readonly resolve: (answer: Answer) => void
  readonly reject: (error: unknown) => void
}

/** How often all that is waited for is asked for together, in case a hint was lost. */
const pollMs = 1_000

/**
 * Waits for answers of one kind: one waiter for the whole process. Hints make it quick; one statement for all that is
 * waited for, now and then, makes it sure.
 */
export class Replies<Answer> {
  readonly #read: (keys: readonly string[]) => Promise<ReadonlyMap<string, Answer>>
  readonly #waiting = new Map<string, Set<Waiter<Answer>>>()
  readonly #unsubscribe: () => void
  #timer: NodeJS.Timeout | null = null
  #reading = false
  #again = false

  /** `concerns`: whether a hint may mean that answers have come; then all are asked for. */
  constructor(
    hints: Hints,
    concerns: (hint: Hint) => boolean,
    read: (keys: readonly string[]) => Promise<ReadonlyMap<string, Answer>>,
  ) {
    this.#read = read
    this.#unsubscribe = hints.subscribe({
      hint: (hint) => {
        if (this.#waiting.size > 0 && concerns(hint)) this.#look()
      },
      connected: () => this.#look(),
    })
  }

  has(key: string): boolean {
    return this.#waiting.has(key)
  }

  /** @throws TimeoutFailure with `late` as its message */
  wait(key: string, timeoutMs: number | null, late: string, operation: string): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const timer =
        timeoutMs === null
          ? undefined
          : setTimeout(() => {
              waiters.delete(waiter)
              if (waiters.size === 0) this.#waiting.delete(key)
              reject(new TimeoutFailure(late, { operation }))
            }, timeoutMs)
      const waiter: Waiter<Answer> = {
        resolve: (answer) => {
          clearTimeout(timer)
          resolve(answer)
        },
        reject: (error) => {
          clearTimeout(timer)
          reject(error)
        },
      }
      const waiters = this.#waiting.get(key) ?? new Set()
      this.#waiting.set(key, waiters.add(waiter))
      this.#look()
      this.#timer ??= setInterval(() => this.#poll(), pollMs)
    })
  }

  close(error: Error): void {
    this.#unsubscribe()
    if (this.#timer !== null) clearInterval(this.#timer)
    for (const key of [...this.#waiting.keys()]) for (const { reject } of this.#take(key)) reject(error)
  }

  #take(key: string): Iterable<Waiter<Answer>> {
    const waiters = this.#waiting.get(key) ?? []
    this.#waiting.delete(key)
    return waiters
  }

  #poll(): void {
    if (this.#waiting.size > 0) {
      this.#look()
      return
    }
    clearInterval(this.#timer!)
    this.#timer = null
  }

  #look(): void {
    if (this.#reading) this.#again = true
    else if (this.#waiting.size > 0) void this.#readAll()
  }

  async #readAll(): Promise<void> {
    this.#reading = true
    do {
      this.#again = false
      const keys = [...this.#waiting.keys()]
      try {
        for (const [key, answer] of await this.#read(keys)) {
          for (const { resolve } of this.#take(key)) resolve(answer)
        }
      } catch (error) {
        for (const key of keys) for (const { reject } of this.#take(key)) reject(error)
      }
    } while (this.#again && this.#waiting.size > 0)
    this.#reading = false
  }
}
