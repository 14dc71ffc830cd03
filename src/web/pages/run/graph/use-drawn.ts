/** What is given to the drawing: the same objects as before for all that says the same (V2 in `graph-view.tsx`). */
import type { Node } from '@xyflow/react'
import { useMemo, useRef } from 'react'
import type { RunModel } from '../model/model.ts'
import { groupState, type Opened, type Scene, type SceneBox } from '../model/scene.ts'
import type { Selection } from '../selection.ts'
import { boxesOf, isSelected } from './boxes.ts'
import { type EdgeData, pathThrough } from './edge.tsx'
import type { Layout } from './layout.ts'
import type { NodeData } from './node.tsx'

export function useDrawn(
  scene: Scene | null,
  layout: Layout | null,
  runs: ReadonlyMap<string, Opened>,
  selection: Selection,
  onPath: ReadonlySet<string>,
  then: number | null,
) {
  const before = useRef(new Map<string, { readonly text: string; readonly node: Node }>())
  const beforeEdges = useRef(new Map<string, EdgeData>())
  return useMemo(() => {
    const placed = new Map((layout?.nodes ?? []).map((each) => [each.id, each]))
    const nodes: Node[] = []
    const edges: EdgeData[] = []
    if (scene === null || layout === null) return { nodes, edges, placed }
    const states = new Map<string, NodeData>()
    const chosen = [...boxesOf(scene).values()].find((each) => isSelected(each, selection))?.id ?? null
    const keptNodes = new Map<string, { text: string; node: Node }>()
    const visit = (each: Scene, depth: number) => {
      const view = runs.get(each.path)?.view
      if (view === undefined || view === null) return
      for (const sceneBox of each.boxes) {
        const place = placed.get(sceneBox.id)
        if (place === undefined) continue
        const { id, inside } = sceneBox
        const about = dataOf(sceneBox, view)
        const isFirst = depth === 0 && sceneBox.box.kind === 'start'
        const data: NodeData = {
          ...about,
          selected: id === chosen,
          focusable: chosen === null ? isFirst : id === chosen,
          critical: onPath.has(id),
          width: place.width,
          height: place.height,
          then: about.endedAt === null && about.startedAt !== null ? then : null,
        }
        states.set(id, data)
        const text = JSON.stringify([data, place])
        const old = before.current.get(id)
        const node = old?.text === text ? old.node : nodeOf(data, place, depth)
        keptNodes.set(id, { text, node })
        nodes.push(node)
        if (inside !== null && inside !== 'reading') visit(inside, depth + 1)
      }
    }
    visit(scene, 0)
    before.current = keptNodes
    const keptEdges = new Map<string, EdgeData>()
    const down = layout.direction === 'down'
    for (const { from, to, points } of layout.edges) {
      const [source, target] = [states.get(from), states.get(to)]
      if (source === undefined || target === undefined) continue
      const id = `${from}>${to}`
      const made = {
        id,
        path: pathThrough(placed.get(from)!, points, placed.get(to)!, down),
        state: edgeState(source, target),
        critical: onPath.has(id),
      }
      const old = beforeEdges.current.get(id)
      const isSame = old?.path === made.path && old.state === made.state && old.critical === made.critical
      const edge = isSame ? old : made
      keptEdges.set(id, edge)
      edges.push(edge)
    }
    beforeEdges.current = keptEdges
    return { nodes, edges, placed }
  }, [scene, layout, runs, selection, onPath, then])
}

function nodeOf(data: NodeData, place: Layout['nodes'][number], depth: number): Node {
  const { width, height } = place
  return {
    id: data.id,
    type: 'step',
    position: { x: place.x, y: place.y },
    data,
    width,
    height,
    zIndex: data.child === 'open' || data.child === 'reading' ? depth : 100,
  }
}

function dataOf({ id, box, step, inside }: SceneBox, view: RunModel) {
  const base = { id, group: null, folded: null, child: null, attempts: 0 } as const
  if (box.kind === 'start') {
    const { startedAt } = view
    const shown = startedAt === null ? ('pending' as const) : ('completed' as const)
    return { ...base, key: 'start', name: 'start', kind: 'start', shown, status: shown, startedAt, endedAt: startedAt }
  }
  if (step === null) {
    const group = groupState(box, view)
    const first = view.steps[box.members[0]!]!
    const names = new Set<string>()
    for (const index of box.members) if (names.size < 4) names.add(view.steps[index]!.name)
    // A part of a group goes by where it begins.
    const name =
      box.kind === 'part' ? `${first.key} …` : [...names].slice(0, 3).join(', ') + (names.size > 3 ? ', …' : '')
    const { startedAt, endedAt } = group
    const shown = group.counts[0]?.[0] ?? 'pending'
    return {
      ...base,
      key: first.key,
      name,
      kind: first.kind,
      shown,
      status: null,
      group,
      folded: box.kind,
      startedAt,
      endedAt,
    }
  }
  const { key, name, kind, shown, status, attempts, startedAt, endedAt } = step
  const canOpen = kind === 'child' && step.child !== null
  const child =
    inside === 'reading'
      ? ('reading' as const)
      : inside !== null
        ? ('open' as const)
        : canOpen
          ? ('closed' as const)
          : null
  return { ...base, key, name, kind, shown, status, attempts, startedAt, endedAt, child }
}

function edgeState(from: NodeData, to: NodeData): EdgeData['state'] {
  if (to.shown === 'ghost') return 'ghost'
  if (from.shown === 'ghost' || (to.group === null && to.shown === 'pending')) return 'idle'
  return to.shown === 'running' || to.shown === 'retrying' || to.shown === 'waiting' ? 'active' : 'done'
}
