/**
 * True causes, for programs that are made up from a seed.
 *
 * A program is a tree of statements. It is executed as real async code (an async function for each helper, native
 * await, native combinators), and at the same time keeps its own books: every continuation carries the set of
 * operations it has seen, by hand, through values alone. Nothing here knows of promise hooks or frontiers, so what the
 * books say can be held against what the engine recorded.
 *
 * Whose result it was that won a race is read from the value, because every promise settles with a value of its own.
 */
import type { Execution } from '../../src/core/execution.js'
import { randomFrom } from '../../src/core/random.js'
import { shared } from '../../src/core/state.js'
import type { Ctx } from '../../src/core/types.js'

// ── programs ─────────────────────────────────────────────────────────────────────────────────────

/** Promises are kept in numbered places; a helper sees those of its caller, and adds its own behind them. */
export type Statement =
  | { readonly do: 'step'; readonly fails: boolean }
  | { readonly do: 'sleep'; readonly ms: number }
  | { readonly do: 'helper'; readonly body: readonly Statement[]; readonly end: End }
  | { readonly do: 'group'; readonly kind: GroupKind; readonly places: readonly number[] }
  | { readonly do: 'then'; readonly place: number; readonly both: boolean; readonly body: Callback }
  | { readonly do: 'finally'; readonly place: number; readonly body: Callback }
  | { readonly do: 'deferred'; readonly place: number }
  | { readonly do: 'await'; readonly place: number; readonly rethrow: boolean }
  | { readonly do: 'tick' }
  | { readonly do: 'loop'; readonly times: number; readonly body: readonly Statement[] }

export type GroupKind = 'all' | 'allSettled' | 'race' | 'any'

/** What a callback of `.then` does: starts a step and returns its promise, calls a helper, … */
export type Callback =
  | { readonly do: 'value' | 'throw' | 'step' }
  | { readonly do: 'helper'; readonly body: readonly Statement[]; readonly end: End }
  | { readonly do: 'promise'; readonly place: number }

/** How a helper ends: with a value, an error, or by returning a promise without awaiting it. */
export type End = { readonly do: 'value' | 'throw' } | { readonly do: 'promise'; readonly place: number }

/** Makes a program. The same seed makes the same program. */
export function generate(seed: string): readonly Statement[] {
  const next = randomFrom(seed)
  const upTo = (n: number) => next() % n
  const chance = (percent: number) => upTo(100) < percent
  let budget = 8 + upTo(20)

  /** Only a promise that was made after the last await is returned: the other case is a known miss of `causes.ts`. */
  const end = (fresh: number, places: number): End => {
    if (chance(15)) return { do: 'throw' }
    const returns = chance(25) && places > fresh
    return returns ? { do: 'promise', place: fresh + upTo(places - fresh) } : { do: 'value' }
  }

  const callback = (places: number, depth: number): Callback => {
    const kind = upTo(10)
    if (kind < 4) return { do: 'step' }
    if (kind < 6 && depth < 3) return helper(places, depth)
    if (kind < 7) return { do: 'promise', place: upTo(places) }
    return { do: kind === 7 ? 'throw' : 'value' }
  }

  const helper = (places: number, depth: number) => {
    const made = block(places, depth + 1, 1 + upTo(4))
    return { do: 'helper' as const, body: made.body, end: end(made.fresh, made.places) }
  }

  const block = (before: number, depth: number, length: number) => {
    const body: Statement[] = []
    let places = before
    let fresh = 0
    const waits = (statement: Statement) => {
      body.push(statement)
      fresh = places
    }
    // Late and early promises alike are awaited, but the latest most often.
    const some = () => (chance(50) ? places - 1 : upTo(places))
    for (let i = 0; i < length; i++) {
      const kind = places === 0 ? upTo(22) : upTo(100)
      if (kind < 20) {
        if (budget-- <= 0) continue
        body.push({ do: 'step', fails: chance(20) })
        places++
        if (chance(45)) waits({ do: 'await', place: places - 1, rethrow: chance(30) })
      } else if (kind < 22) {
        body.push({ do: 'sleep', ms: 1 + upTo(8) })
        places++
      } else if (kind < 34) {
        if (depth >= 3 || budget <= 0) continue
        body.push(helper(places, depth))
        places++
      } else if (kind < 54) {
        const members = Array.from({ length: 1 + upTo(4) }, () => upTo(places))
        const kinds: GroupKind[] = ['all', 'all', 'allSettled', 'race', 'any']
        body.push({ do: 'group', kind: kinds[upTo(kinds.length)]!, places: members })
        places++
        if (chance(60)) waits({ do: 'await', place: places - 1, rethrow: chance(20) })
      } else if (kind < 66) {
        body.push({ do: 'then', place: some(), both: chance(30), body: callback(places, depth) })
        places++
      } else if (kind < 70) {
        body.push({ do: 'finally', place: some(), body: callback(places, depth) })
        places++
      } else if (kind < 74) {
        body.push({ do: 'deferred', place: some() })
        places++
      } else if (kind < 92) {
        waits({ do: 'await', place: some(), rethrow: chance(20) })
      } else if (kind < 95) {
        waits({ do: 'tick' })
      } else if (depth < 2) {
        waits({ do: 'loop', times: 2 + upTo(2), body: block(places, depth + 1, 1 + upTo(3)).body })
      }
    }
    return { body, places, fresh }
  }

  return block(0, 0, 8 + upTo(10)).body
}

// ── books ────────────────────────────────────────────────────────────────────────────────────────

/** Operations that a continuation has seen, with all that led to them. */
type Seen = ReadonlySet<number>

/** Who won could not be told from the value: nothing can be said of such a program. */
export class Ambiguous extends Error {}

export class Books {
  /** By operation: what its asker had seen. */
  readonly seenBy = new Map<number, Seen>()

  ask(op: number, seen: Seen): void {
    this.seenBy.set(op, seen)
  }

  after(op: number): Seen {
    return union(this.seenBy.get(op)!, new Set([op]))
  }

  /** The true causes of an operation: what was seen, less what something else that was seen had seen already. */
  causes(op: number): number[] {
    const seen = this.seenBy.get(op)!
    const old = new Set<number>()
    for (const other of seen) for (const before of this.seenBy.get(other) ?? []) old.add(before)
    return [...seen].filter((other) => !old.has(other)).sort((a, b) => a - b)
  }
}

const nothing: Seen = new Set()

function union(...sets: readonly Seen[]): Seen {
  const all = new Set<number>()
  for (const set of sets) for (const op of set) all.add(op)
  return all
}

type Ended = { readonly ok: boolean; readonly value: unknown }

/** A promise, and how the books find out what whoever waited for it has seen. */
interface Tracked {
  readonly promise: Promise<unknown>
  /** Could it have settled with this? */
  matches(ended: Ended): boolean
  /** What has been seen by who sees it settled with this. */
  seen(ended: Ended): Seen
  /** It settled with another promise's value: later than that one. */
  forwards(ended: Ended): boolean
}

class Label {
  readonly seen: Seen
  constructor(seen: Seen) {
    this.seen = seen
  }
}
class LabelledError extends Error {
  readonly seen: Seen
  constructor(seen: Seen) {
    super('made up')
    this.seen = seen
  }
}

// ── execution ────────────────────────────────────────────────────────────────────────────────────

/** Executes a program as workflow code. `books` tells afterwards what is true. */
export async function execute(program: readonly Statement[], ctx: Ctx, books: Books): Promise<string> {
  // Inside a turn this is the run itself; it alone knows the index of the operation that was just asked for.
  const run = shared.current as unknown as Execution
  const machine = new Machine(ctx, books, () => run.operationCount)
  await machine.block(program, [], new Set([0]))
  return 'done'
}

class Machine {
  readonly #ctx: Ctx
  readonly #books: Books
  readonly #lastOperation: () => number

  constructor(ctx: Ctx, books: Books, lastOperation: () => number) {
    this.#ctx = ctx
    this.#books = books
    this.#lastOperation = lastOperation
  }

  /** One continuation: everything between two of its awaits has seen `seen`. */
  async block(statements: readonly Statement[], places: Tracked[], start: Seen): Promise<Seen> {
    let seen = start
    for (const statement of statements) {
      switch (statement.do) {
        case 'await': {
          const tracked = places[statement.place]!
          let ended: Ended
          try {
            ended = { ok: true, value: await tracked.promise }
          } catch (error) {
            ended = { ok: false, value: error }
          }
          seen = union(seen, tracked.seen(ended))
          if (!ended.ok && statement.rethrow) throw new LabelledError(seen)
          break
        }
        case 'tick':
          await null
          break
        case 'loop':
          for (let i = 0; i < statement.times; i++) seen = await this.#inner(statement.body, [...places], seen)
          break
        default:
          places.push(this.#make(statement, places, seen))
      }
    }
    return seen
  }

  /** The body of a loop: a helper that is awaited at once, so what it has seen comes back with its value. */
  async #inner(statements: readonly Statement[], places: Tracked[], seen: Seen): Promise<Seen> {
    return await this.block(statements, places, seen)
  }

  #make(
    statement: Exclude<Statement, { do: 'await' | 'tick' | 'loop' }>,
    places: readonly Tracked[],
    seen: Seen,
  ): Tracked {
    switch (statement.do) {
      case 'step':
        return this.#step(seen, statement.fails)
      case 'sleep': {
        const promise = this.#ctx.sleep(statement.ms)
        const op = this.#lastOperation()
        this.#books.ask(op, seen)
        return {
          promise,
          matches: ({ ok, value }) => ok && value === undefined,
          seen: () => this.#books.after(op),
          forwards: () => false,
        }
      }
      case 'helper':
        return this.#helper(statement, [...places], seen)
      case 'group':
        return group(
          statement.kind,
          statement.places.map((place) => places[place]!),
          seen,
        )
      // A callback sees the places as they are now: later ones may be waiting for it.
      case 'then':
        return this.#then(places[statement.place]!, statement, [...places], seen)
      case 'finally':
        return this.#finally(places[statement.place]!, statement.body, [...places], seen)
      case 'deferred':
        return deferred(places[statement.place]!, seen)
    }
  }

  #step(seen: Seen, fails: boolean): Tracked {
    const promise = this.#ctx.step('s', { retry: false }, () => {
      if (fails) throw new Error(String(op))
      return { op }
    })
    const op = this.#lastOperation()
    this.#books.ask(op, seen)
    return {
      promise,
      matches: ({ ok, value }) => (ok ? (value as any)?.op : Number((value as any)?.cause?.message)) === op,
      seen: () => this.#books.after(op),
      forwards: () => false,
    }
  }

  #helper({ body, end }: { body: readonly Statement[]; end: End }, places: Tracked[], seen: Seen): Tracked {
    const result: Result = { own: nothing, returned: undefined, labels: new Set() }
    const run = async () => {
      let last: Seen
      try {
        last = await this.#inlined(body, places, seen)
      } catch (error) {
        result.labels.add(error)
        throw error
      }
      return finish(end.do === 'promise' ? places[end.place] : undefined, end.do === 'throw', last, result)
    }
    return forwarding(quiet(run()), result)
  }

  #inlined(body: readonly Statement[], places: Tracked[], seen: Seen): Promise<Seen> {
    return this.block(body, places, seen)
  }

  #callback(body: Callback, places: readonly Tracked[], seen: Seen, result: Result): unknown {
    switch (body.do) {
      case 'value':
      case 'throw':
        return finish(undefined, body.do === 'throw', seen, result)
      case 'step':
        return finish(this.#step(seen, false), false, seen, result)
      case 'helper':
        return finish(this.#helper(body, [...places], seen), false, seen, result)
      case 'promise':
        return finish(places[body.place], false, seen, result)
    }
  }

  #then(
    parent: Tracked,
    { both, body }: { both: boolean; body: Callback },
    places: readonly Tracked[],
    seen: Seen,
  ): Tracked {
    const result: Result = { own: nothing, returned: undefined, labels: new Set() }
    const on = (ok: boolean) => (value: unknown) =>
      this.#callback(body, places, union(seen, parent.seen({ ok, value })), result)
    const promise = quiet(both ? parent.promise.then(on(true), on(false)) : parent.promise.then(on(true)))
    const passed: Result = { own: seen, returned: parent, labels: new Set() }
    const called = forwarding(promise, result)
    const passedOn = forwarding(promise, passed)
    const which = (ended: Ended) => (called.matches(ended) ? called : passedOn)
    return {
      promise,
      matches: (ended) => called.matches(ended) || (!ended.ok && !both && parent.matches(ended)),
      seen: (ended) => which(ended).seen(ended),
      forwards: (ended) => which(ended).forwards(ended),
    }
  }

  #finally(parent: Tracked, body: Callback, places: readonly Tracked[], seen: Seen): Tracked {
    // The callback is not told how the promise settled. The books are: they looked first, at the same promise.
    let parentEnded: Ended | undefined
    const look = (ok: boolean) => (value: unknown) => {
      parentEnded = { ok, value }
    }
    parent.promise.then(look(true), look(false))
    const result: Result = { own: nothing, returned: undefined, labels: new Set() }
    let called: Seen = nothing
    const promise = quiet(
      parent.promise.finally(() => {
        called = union(seen, parent.seen(parentEnded!))
        return this.#callback(body, places, called, result)
      }),
    )
    return {
      promise,
      matches: (ended) => parent.matches(ended) || forwarding(promise, result).matches(ended),
      seen: (ended) => {
        // Either its own error, or the parent's result after all that the callback returned has settled.
        if (!ended.ok && forwarding(promise, result).matches(ended)) return forwarding(promise, result).seen(ended)
        if (result.returned === undefined) return called
        if (result.ended === undefined) throw new Ambiguous('finally')
        return union(called, result.returned.seen(result.ended))
      },
      forwards: () => true,
    }
  }
}

/** How a function ended: what it had seen, and the promise that it returned, if it did. */
interface Result {
  own: Seen
  returned: Tracked | undefined
  readonly labels: Set<unknown>
  ended?: Ended
}

function finish(returned: Tracked | undefined, throws: boolean, seen: Seen, result: Result): unknown {
  result.own = seen
  if (throws) {
    const error = new LabelledError(seen)
    result.labels.add(error)
    throw error
  }
  if (returned === undefined) {
    const label = new Label(seen)
    result.labels.add(label)
    return label
  }
  result.returned = returned
  const look = (ok: boolean) => (value: unknown) => {
    result.ended = { ok, value }
  }
  returned.promise.then(look(true), look(false))
  return returned.promise
}

function forwarding(promise: Promise<unknown>, result: Result): Tracked {
  return {
    promise,
    matches: (ended) => result.labels.has(ended.value) || (result.returned?.matches(ended) ?? false),
    seen: (ended) => {
      if (result.labels.has(ended.value)) return (ended.value as Label | LabelledError).seen
      return result.returned === undefined ? result.own : union(result.own, result.returned.seen(ended))
    },
    forwards: (ended) => !result.labels.has(ended.value),
  }
}

/** `new Promise` that a reaction to another promise resolves. */
function deferred(parent: Tracked, seen: Seen): Tracked {
  let label: Label | LabelledError | undefined
  const promise = quiet(
    new Promise((resolve, reject) => {
      const on = (ok: boolean) => (value: unknown) => {
        const known = union(seen, parent.seen({ ok, value }))
        label = ok ? new Label(known) : new LabelledError(known)
        if (ok) resolve(label)
        else reject(label)
      }
      parent.promise.then(on(true), on(false))
    }),
  )
  return {
    promise,
    matches: ({ value }) => label !== undefined && value === label,
    seen: ({ value }) => (value as Label).seen,
    forwards: () => false,
  }
}

function group(kind: GroupKind, members: readonly Tracked[], seen: Seen): Tracked {
  const promises = members.map(({ promise }) => promise)
  const promise = quiet((Promise[kind].bind(Promise) as (members: Promise<unknown>[]) => Promise<unknown>)(promises))
  const ends = (ended: Ended): Ended[] | null => {
    const { ok, value } = ended
    if (kind === 'all' && ok) return Array.isArray(value) ? value.map((each) => ({ ok: true, value: each })) : null
    if (kind === 'any' && !ok) {
      return value instanceof AggregateError ? value.errors.map((each) => ({ ok: false, value: each })) : null
    }
    if (kind !== 'allSettled' || !ok || !Array.isArray(value)) return null
    return value.map((each) =>
      each?.status === 'fulfilled' ? { ok: true, value: each.value } : { ok: false, value: each?.reason },
    )
  }
  const decidedByOne = (ok: boolean) => kind === 'race' || (kind === 'all' && !ok) || (kind === 'any' && ok)
  return {
    promise,
    matches: (ended) => {
      if (decidedByOne(ended.ok)) return members.some((member) => member.matches(ended))
      const each = ends(ended)
      return each !== null && each.length === members.length && members.every((member, i) => member.matches(each[i]!))
    },
    seen: (ended) => {
      if (!decidedByOne(ended.ok)) return union(seen, ...ends(ended)!.map((each, i) => members[i]!.seen(each)))
      const candidates = [...new Set(members)].filter((member) => member.matches(ended))
      // All sleeps settle with the same nothing: then being direct says nothing either.
      const direct = candidates.filter((member) => ended.value !== undefined && !member.forwards(ended))
      const [winner, ...others] = direct.length > 0 ? direct : candidates
      if (winner === undefined) throw new Error('nobody won')
      const known = union(seen, winner.seen(ended))
      if (others.some((other) => !sameSet(union(seen, other.seen(ended)), known))) throw new Ambiguous('race')
      return known
    },
    forwards: ({ ok }) => decidedByOne(ok),
  }
}

function sameSet(a: Seen, b: Seen): boolean {
  return a.size === b.size && [...a].every((op) => b.has(op))
}

/** A rejection that the program never looks at is no matter here. */
function quiet<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => {})
  return promise
}
