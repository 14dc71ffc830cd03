/**
 * Predicates that a workflow waits for. They are looked at when a turn comes to its end; those that hold are resolved
 * in a turn of their own, after which all are looked at again.
 *
 * N1. A predicate is plain code over the run's own state: it may ask for nothing.
 */
import { callsite } from './callsite.js'
import { StetError } from './errors.js'
import type { CancelScope } from './scope.js'

interface Condition {
  readonly predicate: () => boolean
  readonly scope: CancelScope
  /** `file:line` of the code that waits. */
  readonly where: string | undefined
  readonly resolve: () => void
  readonly reject: (error: unknown) => void
}

export class Conditions {
  readonly #waiting = new Set<Condition>()
  #ready: { condition: Condition; error: unknown }[] = []

  get size(): number {
    return this.#waiting.size
  }

  /** Where the code is that waits. */
  get places(): readonly (string | undefined)[] {
    return [...this.#waiting].map(({ where }) => where)
  }

  /** Waits until the predicate holds; `forget` ends the wait. */
  add(predicate: () => boolean, scope: CancelScope): { promise: Promise<void>; forget: () => void } {
    let condition!: Condition
    const where = callsite()
    const promise = new Promise<void>((resolve, reject) => {
      condition = { predicate, scope, where, resolve, reject }
    })
    promise.catch(() => {})
    this.#waiting.add(condition)
    return { promise, forget: () => this.#waiting.delete(condition) }
  }

  /** Looks at all of them; true when some hold, which `settle` resolves. `asked`: how much the run has asked for so far. */
  look(asked: () => number): boolean {
    for (const condition of this.#waiting) {
      const before = asked()
      try {
        const holds = condition.predicate()
        if (asked() !== before) throw askedError()
        if (holds) this.#ready.push({ condition, error: undefined })
      } catch (error) {
        this.#ready.push({
          condition,
          error: error ?? new StetError('condition_failed', 'the predicate threw nothing'),
        })
      }
    }
    return this.#ready.length > 0
  }

  /** Resolves what `look` has found; true if there was anything. */
  settle(): boolean {
    if (this.#ready.length === 0) return false
    const ready = this.#ready
    this.#ready = []
    for (const { condition, error } of ready) {
      if (!this.#waiting.delete(condition)) continue
      if (error === undefined) condition.resolve()
      else condition.reject(error)
    }
    return true
  }

  /** Rejects those that the scope covers; true if there were any. */
  cancel(scope: CancelScope, makeError: () => Error): boolean {
    let some = false
    for (const condition of this.#waiting) {
      if (!scope.covers(condition.scope)) continue
      this.#waiting.delete(condition)
      condition.reject(makeError())
      some = true
    }
    return some
  }
}

function askedError(): StetError {
  return new StetError(
    'in_condition',
    'the predicate of ctx.condition asked for something through ctx. It may only look at variables; ask before, or after the condition holds.',
  )
}
