/** What a worker does about limits beside claiming: it writes down what its code says, and comes back when a rate allows. */
import { originals } from '../core/determinism.js'
import type { Definition } from '../core/workflow.js'
import type { Store } from '../store/port.js'
import { longTimeout } from './attempts.js'
import type { DbClock } from './clock.js'

/** Of several versions of a workflow the highest says what holds. */
export async function declareLimits(store: Store, definitions: readonly Definition[]): Promise<void> {
  const highest = new Map<string, Definition>()
  for (const definition of definitions) {
    if (definition.version >= (highest.get(definition.name)?.version ?? 0)) highest.set(definition.name, definition)
  }
  const limits = [...highest.values()].flatMap(({ name, limits }) =>
    limits.map((limit) => ({ scope: 'workflow' as const, name, ...limit })),
  )
  const changed = await store.declareLimits([...highest.keys()], limits)
  // Others hear of it with their next beat, which is now.
  if (changed) await store.publish([{ kind: 'workers', ids: [] }])
}

/** Something to be done at a time of the database: at the earliest that was asked for. */
export class Later {
  readonly #clock: DbClock
  readonly #do: () => void
  #timer: NodeJS.Timeout | null = null
  #at = Number.POSITIVE_INFINITY

  constructor(clock: DbClock, what: () => void) {
    this.#clock = clock
    this.#do = what
  }

  /** `at` is in ms since the epoch. */
  by(at: number): void {
    if (at >= this.#at) return
    this.stop()
    this.#at = at
    this.#timer = longTimeout(Math.max(0, at - this.#clock.now()) + 1, () => {
      this.#at = Number.POSITIVE_INFINITY
      this.#do()
    })
    this.#timer.unref()
  }

  stop(): void {
    if (this.#timer !== null) originals.clearTimeout(this.#timer)
    this.#at = Number.POSITIVE_INFINITY
  }
}
