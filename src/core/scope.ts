/**
 * What is cancelled together. A run is one scope; `ctx.scope` makes one inside of another, and `ctx.shield` one that
 * the outer does not reach into.
 *
 * S1. A cancellation is delivered once: to what the scope waits for at that moment, or, when it waits for nothing (all
 *     of it is shielded, or it is between two waits), to the next thing that it asks for. After that cleanup may run.
 * S2. Whether and where it is delivered follows from the history alone, so a replay delivers it at the same place.
 */
export class CancelScope {
  readonly parent: CancelScope | null
  readonly shielded: boolean
  /** A cancellation that nobody has heard of yet. */
  #undelivered: (() => Error) | null = null

  constructor(parent: CancelScope | null, shielded = false) {
    this.parent = parent
    this.shielded = shielded
  }

  /** True when cancelling this scope cancels what `inner` waits for. */
  covers(inner: CancelScope): boolean {
    for (let scope: CancelScope | null = inner; scope !== null; scope = scope.shielded ? null : scope.parent) {
      if (scope === this) return true
    }
    return false
  }

  /** Nothing waited: the next thing that is asked for inside hears of it. */
  keep(makeError: () => Error): void {
    this.#undelivered ??= makeError
  }

  /** The cancellation that what is asked for here has to hear of; null: none. */
  takeUndelivered(): Error | null {
    for (let scope: CancelScope | null = this; scope !== null; scope = scope.shielded ? null : scope.parent) {
      const makeError = scope.#undelivered
      if (makeError === null) continue
      scope.#undelivered = null
      return makeError()
    }
    return null
  }
}
