/**
 * A frontier is the set of operations whose results a continuation has seen last: what a new command is caused by.
 *
 * F1. A frontier never changes after it was made, so continuations share one.
 * F2. It is reduced: no member can be reached from another by going back over causes. An edge that a longer path
 *     already says is not drawn. (Causes that were declared are kept as they were declared.)
 * F3. The causes of an operation have smaller indices than the operation; going back therefore ends.
 * F4. A join costs what the frontiers hold, and never a walk over the run: a loop that awaits an old promise in each
 *     of 10,000 rounds must not look back over all rounds each time.
 */
import { includes, type OpSet, OpSetDraft } from './opset.js'

export class Frontier {
  /** Operation indices, ascending; 0 is the start of the run. */
  readonly members: readonly number[]
  /** The run that it belongs to: frontiers of different runs never meet. */
  readonly owner: CausesOf
  #text: string | undefined
  #seen: OpSet | undefined

  constructor(owner: CausesOf, members: readonly number[]) {
    this.owner = owner
    this.members = members
  }

  /** As it is recorded: ascending ranges, `0`, `1-3,7`. */
  get text(): string {
    this.#text ??= formatRanges(this.members)
    return this.#text
  }

  /** The members and everything that led to them. Made when first asked for, which straight-line code never does. */
  get seen(): OpSet {
    if (this.#seen !== undefined) return this.#seen
    // Not by recursion: a chain of operations is as deep as the run is long.
    const path: Frontier[] = [this]
    while (path.length > 0) {
      const frontier = path.at(-1)!
      const missing = frontier.#seen === undefined ? frontier.#causesWithoutSeen() : []
      if (missing.length > 0) {
        for (const causes of missing) path.push(causes)
        continue
      }
      frontier.#seen ??= frontier.#gather()
      path.pop()
    }
    return this.#seen!
  }

  #causesWithoutSeen(): Frontier[] {
    const missing: Frontier[] = []
    for (const op of this.members) {
      const causes = this.owner.causesOf(op)
      if (causes !== undefined && causes.#seen === undefined && causes !== missing.at(-1)) missing.push(causes)
    }
    return missing
  }

  #gather(): OpSet {
    const draft = beforeAny(this.owner, this.members)
    for (const op of this.members) draft.add(op)
    return draft.done()
  }
}

/** Who knows the causes of each operation of a run. */
export interface CausesOf {
  causesOf(op: number): Frontier | undefined
}

/** Everything that either has seen, reduced (F2). Returns one of the two where that is the answer. */
export function join(a: Frontier, b: Frontier | undefined): Frontier {
  if (b === undefined || a === b || b.owner !== a.owner) return a
  // Straight-line code: the new result was caused by exactly what was seen before.
  if (isOnly(b) && a.owner.causesOf(b.members[0]!) === a) return b
  if (isOnly(a) && a.owner.causesOf(a.members[0]!) === b) return a
  if (isStart(a)) return b
  if (isStart(b)) return a
  if (includes(b.seen, a.seen)) return b
  if (includes(a.seen, b.seen)) return a
  return joinAll(a.owner, [a, b])
}

/** Everything that any of them has seen, reduced (F2). */
export function joinAll(owner: CausesOf, frontiers: readonly Frontier[]): Frontier {
  const distinct = new Set(frontiers)
  if (distinct.size === 1) return frontiers[0]!
  const members = new Set<number>()
  for (const frontier of distinct) {
    if (frontier.owner === owner) for (const op of frontier.members) members.add(op)
  }
  const old = beforeAny(owner, members)
  const kept: number[] = []
  for (const op of members) if (!old.has(op)) kept.push(op)
  kept.sort((x, y) => x - y)
  for (const frontier of distinct) if (sameMembers(frontier.members, kept)) return frontier
  return new Frontier(owner, kept)
}

/** What led to any of the operations: not themselves, unless one led to another. */
function beforeAny(owner: CausesOf, ops: Iterable<number>): OpSetDraft {
  const draft = new OpSetDraft()
  const asked = new Set<Frontier>()
  for (const op of ops) {
    const causes = owner.causesOf(op)
    if (causes === undefined || asked.has(causes)) continue
    asked.add(causes)
    draft.addAll(causes.seen)
  }
  return draft
}

function isOnly(frontier: Frontier): boolean {
  return frontier.members.length === 1
}

function isStart(frontier: Frontier): boolean {
  return frontier.members.length === 1 && frontier.members[0] === 0
}

function sameMembers(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((op, i) => op === b[i])
}

function formatRanges(members: readonly number[]): string {
  if (members.length === 1) return String(members[0])
  const parts: string[] = []
  for (let i = 0; i < members.length; ) {
    let j = i
    while (j + 1 < members.length && members[j + 1] === members[j]! + 1) j++
    parts.push(i === j ? `${members[i]}` : `${members[i]}-${members[j]}`)
    i = j + 1
  }
  return parts.join(',')
}

/** Reads what `Frontier.text` wrote. */
export function parseRanges(text: string): number[] {
  if (text === '') return []
  const members: number[] = []
  for (const part of text.split(',')) {
    const [from, to] = part.split('-').map(Number) as [number, number?]
    for (let op = from; op <= (to ?? from); op++) members.push(op)
  }
  return members
}
