/**
 * Which operations caused a command, found by following continuations with V8's promise hooks.
 *
 * C1. A continuation has a frontier. The first one of a run has seen the start; a turn begins with the operation whose
 *     event it applies.
 * C2. A promise settles with the frontier of the continuation that settled it. One whose callback returned another
 *     promise has seen both: what the callback had seen, and what that promise had.
 * C3. A continuation that resumes has its own frontier (as it was when it went to wait) joined with the frontier of the
 *     promise it waited for.
 * C4. What needs all members has seen all members, not only the last one to settle: the result of `all` and
 *     `allSettled`, the rejection of `any`. What one member decides has seen that one: the rejection of `all`, the
 *     result of `any`, and `race`, which need nothing for it but C2 and C3.
 * C5. Only turns count: outside of them the hooks do nothing, but notice when code of a run is resumed there.
 *
 * Known misses. V8 says nothing to the hooks at these moments, and what would make it (an accessor in the place of
 * `Promise.prototype.then`) is too much for a picture:
 * - `for await` over an array of promises: an iteration does not show the promise that it waited for.
 * - An async function that ends with `return p`, unawaited, where `p` was asked for before the function's last await
 *   (or `resolve(p)` by hand, likewise): its result shows what `p` has seen, but not what the function had.
 *
 * Causes are a picture and are never used for correctness.
 */
import { promiseHooks } from 'node:v8'
import { type CausesOf, type Frontier, join, joinAll } from './frontier.js'

const born = Symbol('stet.born')
const waitsFor = Symbol('stet.waitsFor')
const settledWith = Symbol('stet.settledWith')

interface Tracked extends Promise<unknown> {
  /** The frontier of the continuation that made it. */
  [born]?: Frontier
  /** The promise that it continues. */
  [waitsFor]?: Tracked | undefined
  [settledWith]?: Frontier
}

/** A promise of an operation knows it, so that being waited for can be noticed. */
export const operationOf = Symbol('stet.operation')

/** A run notices that a continuation of its code was resumed outside its turn. */
export interface RunWatched extends CausesOf {
  resumedOutsideTurn(): void
}

/** The frontier of the continuation that is executing; null outside of turns. */
let current: Frontier | null = null
const stack: (Frontier | null)[] = []

/** What the executing continuation has seen: the causes of a command that it issues. */
export function currentFrontier(): Frontier | null {
  return current
}

/** Begins a turn with what its event has made visible (C1). */
export function enterTurn(frontier: Frontier): void {
  current = frontier
}

export function leaveTurn(): void {
  current = null
  stack.length = 0
}

/** Runs `fn` as a continuation that has seen `frontier`: for callbacks that no promise leads to, such as timers. */
export function withFrontier(frontier: Frontier, fn: () => void): void {
  const before = current
  current = frontier
  try {
    fn()
  } finally {
    current = before
  }
}

const hooks = {
  init(promise: Tracked, parent?: Tracked) {
    if (current === null) return
    promise[born] = current
    if (parent !== undefined) {
      promise[waitsFor] = parent
      const operation = (parent as any)[operationOf]
      if (operation !== undefined) operation.awaited = true
    }
    observer?.init(promise, parent)
  },
  before(promise: Tracked) {
    const own = promise[born]
    if (current === null) {
      // C5. A promise that was made in a turn is continued outside of one.
      if (own !== undefined) (own.owner as RunWatched).resumedOutsideTurn()
      return
    }
    observer?.before(promise)
    stack.push(current)
    if (own === undefined) return
    if (own.owner !== current.owner) (own.owner as RunWatched).resumedOutsideTurn()
    const awaited = promise[waitsFor]
    if (awaited === undefined) {
      current = own
      return
    }
    promise[waitsFor] = undefined
    current = join(own, awaited[settledWith])
    // If its callback returns a promise, it comes here again, to wait for that one, and has seen this much (C2).
    promise[born] = current
  },
  after(promise: Tracked) {
    if (current === null) return
    observer?.after(promise)
    current = stack.pop() ?? null
  },
  settled(promise: Tracked) {
    if (current === null) return
    observer?.settled(promise)
    promise[settledWith] = current
  },
}

/** For the diagnosis of an await that is not recorded (`unrecorded.ts`): sees what happens to promises in turns. */
export interface PromiseObserver {
  init(promise: Promise<unknown>, parent: Promise<unknown> | undefined): void
  before(promise: Promise<unknown>): void
  after(promise: Promise<unknown>): void
  settled(promise: Promise<unknown>): void
}

let observer: PromiseObserver | undefined

export function observePromises(by: PromiseObserver | undefined): void {
  observer = by
}

let installed = false

/** Switches the hooks on and wraps the combinators; once per process and copy of the package. */
export function installCauses(): void {
  if (installed) return
  installed = true
  promiseHooks.createHook(hooks as Parameters<typeof promiseHooks.createHook>[0])
  wrapCombinator('all', 'resolve')
  wrapCombinator('allSettled', 'resolve')
  wrapCombinator('any', 'reject')
}

/**
 * Lets the given way of settling see all members (C4). In a turn the original is given a constructor of its own, which
 * makes a native promise, hears which promises are the members, and stands between the original and its result.
 */
function wrapCombinator(kind: 'all' | 'allSettled' | 'any', needsAll: 'resolve' | 'reject'): void {
  const original = Promise[kind] as (this: unknown, values: unknown) => Promise<unknown>
  const wrapped = {
    [kind](this: unknown, values: Iterable<unknown>): Promise<unknown> {
      if (current === null || this !== Promise) return original.call(this, values)
      const members: Tracked[] = []
      const withAll = (settle: (value: unknown) => void) => (value: unknown) => {
        if (current === null) return settle(value)
        const seen = [current]
        for (const { [settledWith]: frontier } of members) if (frontier !== undefined) seen.push(frontier)
        withFrontier(joinAll(current.owner, seen), () => settle(value))
      }
      function Result(executor: (resolve: (value: any) => void, reject: (reason: any) => void) => void) {
        return new Promise((resolve, reject) => {
          if (needsAll === 'resolve') executor(withAll(resolve), reject)
          else executor(resolve, withAll(reject))
        })
      }
      Result.resolve = (value: unknown) => {
        const member = Promise.resolve(value) as Tracked
        members.push(member)
        return member
      }
      return original.call(Result, values)
    },
  }[kind]!
  Object.defineProperty(Promise, kind, { value: wrapped, writable: true, configurable: true })
}
