/** What is due in a run, and when: timers, timeouts of waits, next attempts, and the run's own deadline. */
import { originals } from '../core/determinism.js'
import type { Operation } from '../core/operation.js'
import { longTimeout } from './attempts.js'
import type { DbClock } from './clock.js'

/** How soon the time is asked for again when the database did not answer. */
const askAgainMs = 1_000

export class Dues {
  readonly #clock: DbClock
  readonly #deadline: number | null
  readonly #onTime: (now: number) => void
  readonly #dues = new Map<Operation, number>()
  #timer: NodeJS.Timeout | null = null
  #timerAt = Number.POSITIVE_INFINITY
  #stopped = false
  /** The database is being asked for the time. */
  asking = false

  /** `onTime` is called with the database's time when something may be due. */
  constructor(clock: DbClock, deadline: number | null, onTime: (now: number) => void) {
    this.#clock = clock
    this.#deadline = deadline
    this.#onTime = onTime
  }

  set(operation: Operation, at: number): void {
    this.#dues.set(operation, at)
    this.arm(at)
  }

  delete(operation: Operation): void {
    this.#dues.delete(operation)
  }

  has(operation: Operation): boolean {
    return this.#dues.has(operation)
  }

  at(operation: Operation): number | undefined {
    return this.#dues.get(operation)
  }

  /** The nearest of all, ms since the epoch; null: nothing is due ever. */
  next(): number | null {
    let next = this.#deadline ?? Number.POSITIVE_INFINITY
    for (const at of this.#dues.values()) if (at < next) next = at
    return next === Number.POSITIVE_INFINITY ? null : next
  }

  /** True when the run's own time is up. */
  timeIsUp(now: number): boolean {
    return this.#deadline !== null && this.#deadline <= now
  }

  /** Takes out what is due by `now`, earliest first. */
  take(now: number): Operation[] {
    const due = [...this.#dues].filter(([, at]) => at <= now).sort(([a, x], [b, y]) => x - y || a.index - b.index)
    for (const [operation] of due) this.#dues.delete(operation)
    return due.map(([operation]) => operation)
  }

  /** Sees to it that the time is asked for at `at`. The local timer only says when to ask: the database's clock decides. */
  arm(at: number | null): void {
    if (at === null || at >= this.#timerAt || this.#stopped) return
    this.disarm()
    this.#timerAt = at
    this.#timer = longTimeout(Math.max(0, at - this.#clock.now()), () => {
      this.#timer = null
      this.#timerAt = Number.POSITIVE_INFINITY
      void this.#ask()
    })
  }

  disarm(): void {
    if (this.#timer !== null) originals.clearTimeout(this.#timer)
    this.#timer = null
    this.#timerAt = Number.POSITIVE_INFINITY
  }

  stop(): void {
    this.#stopped = true
    this.disarm()
  }

  async #ask(): Promise<void> {
    if (this.asking) return
    this.asking = true
    let now: number | null = null
    try {
      now = await this.#clock.ask()
    } catch {
      this.arm(this.#clock.now() + askAgainMs)
    }
    this.asking = false
    if (now !== null && !this.#stopped) this.#onTime(now)
  }
}

/** What a run that parks waits for, as JSON: at most a thousand operations of it. */
export function describeWaits(pending: Iterable<Operation>, dues: Dues): string {
  const waits = []
  for (const operation of pending) {
    if (waits.length === 1_000) break
    waits.push({
      op: operation.index,
      kind: operation.kind,
      name: operation.name,
      ...operation.facts,
      askedAt: operation.askedAt,
      ...(dues.has(operation) ? { dueAt: dues.at(operation) } : {}),
      ...(operation.failedAttempts > 0 ? { attempts: operation.failedAttempts } : {}),
      ...(operation.request.kind === 'step' ? { maxAttempts: operation.request.step.retry.maxAttempts } : {}),
    })
  }
  return JSON.stringify(waits)
}
