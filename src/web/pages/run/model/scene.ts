/**
 * What is drawn of a run and of the children that are opened in it: boxes with ids that are theirs alone.
 *
 * S1. A path says in which run a box is: '' is the run of the page, `child:ship»` the child that its step `ship` started.
 *     The id of a box is its path and then its id in that run.
 * S2. The boxes and edges follow from the steps alone, never from how they stand: a status changes no place.
 */

import { type Box, type Folded, fold, startId, tally } from './fold.ts'
import { criticalPath, type RunModel, type Shown, type Step } from './model.ts'

/** A run that is shown: that of the page, or a child that was opened. */
export interface Opened {
  readonly runId: string
  /** As it is; null: it is being read. */
  readonly now: RunModel | null
  /** As it is shown: as it is, or as it was. */
  readonly view: RunModel | null
  readonly error?: unknown
}

export interface SceneBox {
  readonly id: string
  readonly path: string
  readonly box: Box
  /** Of a step that stands alone. */
  readonly step: Step | null
  /** The children of this box are drawn in it, or will be when they have been read. */
  readonly inside: Scene | 'reading' | null
}

export interface Scene {
  readonly path: string
  readonly boxes: readonly SceneBox[]
  /** By ids of boxes. */
  readonly edges: readonly (readonly [from: string, to: string])[]
  /** Which steps there are, and what is opened: the same text, the same scene but for statuses. */
  readonly shape: string
}

export const childPath = (path: string, key: string): string => `${path}child:${key}»`

/** The folded form of a run is kept while its steps are the same. */
const kept = new WeakMap<readonly Step[], Map<string, Folded>>()

function folded(model: RunModel, path: string, opened: ReadonlySet<string>): Folded {
  const own = new Set([...opened].flatMap((id) => (id.startsWith(path) ? [id.slice(path.length)] : [])))
  const key = [...own].sort().join('\n')
  let made = kept.get(model.steps)
  if (made === undefined) {
    made = new Map()
    kept.set(model.steps, made)
  }
  const found = made.get(key) ?? fold(model, own)
  made.set(key, found)
  return found
}

/** @param opened ids of groups, and paths of children, that are shown as what they hold */
export function sceneOf(runs: ReadonlyMap<string, Opened>, opened: ReadonlySet<string>, path = ''): Scene | null {
  const run = runs.get(path)
  if (run === undefined || run.now === null || run.view === null) return null
  // By how the run is now: what was asked for later keeps its place.
  const { boxes, edges } = folded(run.now, path, opened)
  const drawn = boxes.map((box): SceneBox => {
    const [index] = box.members
    const step = box.kind === 'step' && index !== undefined ? run.view!.steps[index]! : null
    const child = step?.kind === 'child' ? childPath(path, step.key) : null
    const inside = child !== null && opened.has(child) ? (sceneOf(runs, opened, child) ?? 'reading') : null
    return { id: path + box.id, path, box, step, inside }
  })
  const ids = drawn.map(({ id }) => id)
  const shapes = drawn.map(({ id, inside }) =>
    inside === null ? id : `${id}{${inside === 'reading' ? '' : inside.shape}}`,
  )
  const linked = edges.map(({ from, to }) => [ids[from]!, ids[to]!] as const)
  return {
    path,
    boxes: drawn,
    edges: linked,
    shape: `${shapes.join('\n')}\n${linked.map(([from, to]) => `${from}>${to}`).join('\n')}`,
  }
}

/** What a group says of its members, worst first. */
export const worstFirst: readonly Shown[] = [
  ...(['failed', 'retrying', 'running', 'waiting', 'pending'] as const),
  ...(['completed', 'skipped', 'ghost'] as const),
]

export interface GroupState {
  readonly counts: readonly (readonly [shown: Shown, n: number])[]
  readonly total: number
  readonly attempts: number
  readonly startedAt: number | null
  readonly endedAt: number | null
}

export function groupState({ members }: Box, { steps }: RunModel): GroupState {
  const counts = tally(members, steps)
  let startedAt: number | null = null
  let endedAt: number | null = null
  let attempts = 0
  for (const index of members) {
    const step = steps[index]!
    attempts += Math.max(0, step.attempts - 1)
    if (step.startedAt !== null) startedAt = Math.min(startedAt ?? step.startedAt, step.startedAt)
    if (step.endedAt !== null) endedAt = Math.max(endedAt ?? 0, step.endedAt)
  }
  const open = ['running', 'waiting', 'retrying', 'pending', 'ghost'].some((shown) => counts.has(shown as Shown))
  return {
    counts: worstFirst.flatMap((shown) => (counts.has(shown) ? [[shown, counts.get(shown)!] as const] : [])),
    total: members.length,
    attempts,
    startedAt,
    endedAt: open ? null : endedAt,
  }
}

/** Ids of boxes, and of edges as `from>to`, on the critical path of each run that is drawn. */
export function criticalIn(scene: Scene, runs: ReadonlyMap<string, Opened>): ReadonlySet<string> {
  const found = new Set<string>()
  const view = runs.get(scene.path)?.view
  if (view === undefined || view === null) return found
  const boxOf = new Map<number, string>()
  for (const { id, box } of scene.boxes) for (const index of box.members) boxOf.set(index, id)
  let last = scene.path + startId
  for (const index of criticalPath(view)) {
    const id = boxOf.get(index)
    if (id === undefined) continue
    found.add(id)
    if (id !== last) found.add(`${last}>${id}`)
    last = id
  }
  for (const { inside } of scene.boxes) {
    if (inside !== null && inside !== 'reading') for (const id of criticalIn(inside, runs)) found.add(id)
  }
  return found
}
