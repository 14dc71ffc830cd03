/** The boxes of a scene, and what is selected when one of them is. */
import type { Scene, SceneBox } from '../model/scene.ts'
import type { Selection } from '../selection.ts'

/** By their ids, those in children too. */
export function boxesOf(scene: Scene | null, into = new Map<string, SceneBox>()): Map<string, SceneBox> {
  for (const each of scene?.boxes ?? []) {
    into.set(each.id, each)
    if (each.inside !== null && each.inside !== 'reading') boxesOf(each.inside, into)
  }
  return into
}

/** How many steps are not drawn by themselves. */
export function hidden(scene: Scene): number {
  let n = 0
  for (const { box, inside } of scene.boxes) {
    if (box.members.length > 1) n += box.members.length
    if (inside !== null && inside !== 'reading') n += hidden(inside)
  }
  return n
}

export function selectionOf({ path, box, step }: SceneBox): Selection {
  if (step !== null) return { path, step: step.key }
  return box.kind === 'start' ? { path } : { path, group: box.id }
}

export function isSelected({ path, box, step }: SceneBox, selection: Selection): boolean {
  if (path !== selection.path) return false
  if (selection.group !== undefined) return box.id === selection.group
  if (selection.step !== undefined) return step?.key === selection.step
  return false
}
