/**
 * The second lane of a worker's writes: what becomes of run rows. It follows the events that it depends on (its
 * caller has seen them committed), one batch at a time, at most one change per run. A row that somebody has locked is
 * passed over and tried again: an open transaction of a user must not hold up the rows of other runs.
 */
import { maxChanges, type RowAnswer, type RowChange, type Store } from '../store/port.js'

interface Waiting {
  readonly change: RowChange
  /** `at`: when, by the database's clock. */
  readonly done: (answer: Exclude<RowAnswer, 'locked'>, at: number) => void
  tries: number
}

/** A run is let go of, and nothing else is said. */
export const lettingGo = {
  ...{ seen: null, due: null, waits: null, problem: null, error: null, terminal: null, successor: null },
} satisfies Partial<RowChange>

/** After so many tries a row is waited for. */
const patientTries = 4

export class RowChanger {
  readonly #store: Store
  readonly #workerId: string
  readonly #onFenced: () => void
  readonly #onFailed: (error: unknown) => void
  readonly #onClosed: (runIds: string[]) => void
  readonly #onLeftChildren: () => void
  #waiting: Waiting[] = []
  #busy = false
  #scheduled = false
  #stopped = false

  constructor(
    store: Store,
    workerId: string,
    listener: {
      fenced(): void
      failed(error: unknown): void
      closed(runIds: string[]): void
      /** Runs have closed that started others. */
      leftChildren(): void
    },
  ) {
    this.#store = store
    this.#workerId = workerId
    this.#onFenced = () => listener.fenced()
    this.#onFailed = (error) => listener.failed(error)
    this.#onClosed = (runIds) => listener.closed(runIds)
    this.#onLeftChildren = () => listener.leftChildren()
  }

  change(change: RowChange, done: Waiting['done']): void {
    this.#add({ change, done, tries: 0 })
  }

  stop(): void {
    this.#stopped = true
    this.#waiting = []
  }

  #add(waiting: Waiting): void {
    if (this.#stopped) return
    this.#waiting.push(waiting)
    if (this.#busy || this.#scheduled) return
    this.#scheduled = true
    process.nextTick(() => {
      this.#scheduled = false
      if (!this.#busy) void this.#run()
    })
  }

  async #run(): Promise<void> {
    this.#busy = true
    while (this.#waiting.length > 0 && !this.#stopped) {
      const batch = this.#waiting.splice(0, maxChanges)
      try {
        const { at, others, fenced } = await this.#store.change(
          this.#workerId,
          batch.map(({ change }) => change),
        )
        if (fenced) {
          this.#onFenced()
          break
        }
        this.#answer(batch, at, others)
      } catch (error) {
        this.#onFailed(error)
        break
      }
    }
    this.#busy = false
  }

  #answer(batch: readonly Waiting[], at: number, others: ReadonlyMap<string, Exclude<RowAnswer, 'changed'>>): void {
    const closed: string[] = []
    for (const waiting of batch) {
      const answer = others.get(waiting.change.runId) ?? 'changed'
      if (answer === 'locked') {
        this.#later(waiting)
        continue
      }
      if (answer === 'changed' && waiting.change.terminal !== null) closed.push(waiting.change.runId)
      waiting.done(answer, at)
    }
    if (closed.length > 0) this.#onClosed(closed)
    if (batch.some(({ change }) => change.terminal !== null && change.hasChildren)) this.#onLeftChildren()
  }

  #later(waiting: Waiting): void {
    waiting.tries++
    if (waiting.tries < patientTries) setTimeout(() => this.#add(waiting), 5 * 2 ** waiting.tries)
    else void this.#inTurn(waiting)
  }

  /** Where many send messages to one run, its row is locked by one after the other, and never free when it is looked at. */
  async #inTurn(waiting: Waiting): Promise<void> {
    try {
      const { at, others, fenced } = await this.#store.changeInTurn(this.#workerId, waiting.change)
      if (this.#stopped) return
      if (fenced) this.#onFenced()
      else this.#answer([waiting], at, others)
    } catch (error) {
      this.#onFailed(error)
    }
  }
}
