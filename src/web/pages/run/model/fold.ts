/**
 * What of a run is drawn: steps, and groups of steps that say the same thing many times.
 *
 * F1. No more than `maxDrawn` boxes are drawn, whatever the run is, but for groups that somebody has opened; an opened
 *     group is drawn in parts when it has many members.
 * F2. A group keeps its id while the run grows: it is named after its first member, and which group a step is in follows
 *     from what it came after, which never changes.
 * F3. No group has a member that came after another group that came after it: what is drawn has no cycle.
 */
import type { RunModel, Shown, Step } from './model.ts'

export interface Box {
  readonly id: string
  readonly kind: 'start' | 'step' | 'fan' | 'chain' | 'part'
  /** Indices of steps; none of the start. */
  readonly members: readonly number[]
}

export interface Folded {
  readonly boxes: readonly Box[]
  /** By index of boxes. */
  readonly edges: readonly { readonly from: number; readonly to: number }[]
  /** Index of the box that a step is drawn in. */
  readonly boxOf: readonly number[]
}

export const startId = 'start'
const maxDrawn = 400
const minFan = 9
const minChain = 51
/** An opened group shows so many members one by one; of more it shows parts. */
const maxOpened = 48

interface Draft {
  id: string
  kind: Box['kind']
  members: number[]
}

/** @param opened ids of groups that are shown as what they hold */
export function fold(model: RunModel, opened: ReadonlySet<string>, limit = maxDrawn): Folded {
  const { steps } = model
  let drafts = fans(steps)
  drafts = chains(steps, drafts, minChain, true)
  if (drafts.length > limit) drafts = chains(steps, drafts, 8, false)
  if (drafts.length > limit) drafts = windows(steps, drafts, limit)
  const shown = drafts.flatMap((draft) => unfold(draft, steps, opened))
  return finish(steps, shown)
}

/** Steps of one name and kind whose causes are drawn as the same boxes are one box, if they are many (F2). */
function fans(steps: readonly Step[]): Draft[] {
  const classes = new Map<string, number[]>()
  const classOf: number[] = []
  const ids = new Map<readonly number[], string>()
  const numbers = new Map<string, number>()
  for (const step of steps) {
    const { after } = step
    let causes = ids.get(after)
    if (causes === undefined) {
      const classes = after.map((index) => (index < 0 ? -1 : classOf[index]!))
      causes = classes.length < 2 ? String(classes[0]) : [...new Set(classes)].sort((a, b) => a - b).join(',')
      ids.set(after, causes)
    }
    // Causes and kinds have no spaces; a name may have any.
    const signature = `${causes} ${step.kind} ${step.name}`
    let n = numbers.get(signature)
    if (n === undefined) {
      n = numbers.size
      numbers.set(signature, n)
      classes.set(signature, [])
    }
    classOf[step.index] = n
    classes.get(signature)!.push(step.index)
  }
  const drafts: Draft[] = []
  for (const members of classes.values()) {
    if (members.length >= minFan) drafts.push({ id: `fan:${steps[members[0]!]!.key}`, kind: 'fan', members })
    else for (const index of members) drafts.push({ id: `step:${steps[index]!.key}`, kind: 'step', members: [index] })
  }
  return drafts.sort((a, b) => a.members[0]! - b.members[0]!)
}

interface Links {
  readonly before: readonly ReadonlySet<number>[]
  readonly behind: readonly ReadonlySet<number>[]
}

function links(steps: readonly Step[], drafts: readonly Draft[]): Links {
  const boxOf: number[] = []
  for (const [i, { members }] of drafts.entries()) for (const index of members) boxOf[index] = i
  const before = drafts.map(() => new Set<number>())
  const behind = drafts.map(() => new Set<number>())
  for (const [i, { members }] of drafts.entries()) {
    const seen = new Set<readonly number[]>()
    for (const index of members) {
      const { after } = steps[index]!
      if (seen.has(after)) continue
      seen.add(after)
      for (const cause of after) {
        const from = cause < 0 ? -1 : boxOf[cause]!
        if (from === i) continue
        before[i]!.add(from)
        if (from >= 0) behind[from]!.add(i)
      }
    }
  }
  return { before, behind }
}

/** Boxes one behind the other, with nothing beside them, are one box, if they are many. */
function chains(steps: readonly Step[], drafts: readonly Draft[], least: number, sameName: boolean): Draft[] {
  const { before, behind } = links(steps, drafts)
  const nameOf = (i: number) => steps[drafts[i]!.members[0]!]!.name
  const only = (set: ReadonlySet<number>) => (set.size === 1 ? [...set][0]! : null)
  /** The box that follows this one in a chain. */
  const next = (i: number): number | null => {
    const to = only(behind[i]!)
    if (to === null || only(before[to]!) !== i) return null
    return !sameName || (nameOf(to) === nameOf(i) && drafts[to]!.kind === 'step' && drafts[i]!.kind === 'step')
      ? to
      : null
  }
  const follows = new Set(drafts.flatMap((_, i) => next(i) ?? []))
  const result: Draft[] = []
  for (const i of drafts.keys()) {
    if (follows.has(i)) continue
    const chain = [i]
    for (let to = next(i); to !== null; to = next(to)) chain.push(to)
    if (chain.length < least) for (const each of chain) result.push(drafts[each]!)
    else {
      const members = chain.flatMap((each) => drafts[each]!.members).sort((a, b) => a - b)
      result.push({ id: `chain:${steps[members[0]!]!.key}`, kind: 'chain', members })
    }
  }
  return result.sort((a, b) => a.members[0]! - b.members[0]!)
}

/**
 * The last resort: boxes that stand beside each other become one. They stand in the order of their first members, and no
 * box has a cause that stands behind it, so no cycle comes of it (F3).
 */
function windows(steps: readonly Step[], drafts: readonly Draft[], limit: number): Draft[] {
  const size = Math.ceil(drafts.length / limit)
  const result: Draft[] = []
  for (let i = 0; i < drafts.length; i += size) {
    const window = drafts.slice(i, i + size)
    const members = window.flatMap((each) => each.members).sort((a, b) => a - b)
    result.push(window.length === 1 ? window[0]! : { id: `part:${steps[members[0]!]!.key}:w`, kind: 'part', members })
  }
  return result
}

/** An opened group as its members, or as parts of itself (F1). */
function unfold(draft: Draft, steps: readonly Step[], opened: ReadonlySet<string>): Draft[] {
  if (draft.members.length === 1 || !opened.has(draft.id)) return [draft]
  const { members } = draft
  if (members.length <= maxOpened) {
    return members.map((index) => ({ id: `step:${steps[index]!.key}`, kind: 'step', members: [index] }))
  }
  // Sizes that stay as they are while the group grows a little (F2).
  let size = 25
  while (members.length / size > maxOpened) size *= size === 25 ? 10 : 4
  const parts: Draft[] = []
  for (let i = 0; i < members.length; i += size) {
    const own = members.slice(i, i + size)
    parts.push({ id: `part:${steps[own[0]!]!.key}:${size}`, kind: own.length === 1 ? 'step' : 'part', members: own })
  }
  return parts.flatMap((part) => unfold(part, steps, opened))
}

function finish(steps: readonly Step[], drafts: readonly Draft[]): Folded {
  const boxes: Box[] = [{ id: startId, kind: 'start', members: [] }, ...drafts]
  const { before } = links(steps, drafts)
  const edges: { from: number; to: number }[] = []
  for (const [i, causes] of before.entries()) for (const from of causes) edges.push({ from: from + 1, to: i + 1 })
  const boxOf: number[] = []
  for (const [i, { members }] of boxes.entries()) for (const index of members) boxOf[index] = i
  return { boxes, edges, boxOf }
}

/** How many members have each status. */
export function tally(members: readonly number[], steps: readonly Step[]): ReadonlyMap<Shown, number> {
  const counts = new Map<Shown, number>()
  for (const index of members) {
    const { shown } = steps[index]!
    counts.set(shown, (counts.get(shown) ?? 0) + 1)
  }
  return counts
}
