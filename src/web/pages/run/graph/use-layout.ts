import { useEffect, useRef, useState } from 'react'
import type { Scene } from '../model/scene.ts'
import { type Direction, directionFor, type Layout, Layouter, type LayoutGraph } from './layout.ts'

const sizes = { width: 212, height: 58 }
const groupSizes = { width: 236, height: 74 }
const titleHeight = 66

/** The layout of a scene, made anew when its shape changes and not when its statuses do (S2). */
export function useLayout(
  scene: Scene | null,
  wanted: Direction | null,
  frame: { readonly current: HTMLElement | null },
) {
  const [layout, setLayout] = useState<Layout | null>(null)
  const chosen = useRef<{ readonly direction: Direction; readonly boxes: number } | null>(null)
  const layouter = useRef<Layouter | null>(null)
  useEffect(() => {
    layouter.current = new Layouter(setLayout)
    return () => layouter.current?.end()
  }, [])
  const shape = scene?.shape
  // The scene of this shape: another one of the same shape is laid out alike.
  const latest = useRef(scene)
  latest.current = scene
  useEffect(() => {
    const { current } = latest
    if (shape === undefined || current === null) return
    const graph = graphFor(current)
    const { clientWidth = 900, clientHeight = 600 } = frame.current ?? {}
    // A graph that grows keeps its direction until it is twice as large.
    const before = chosen.current
    const boxes = current.boxes.length
    const keep = before !== null && boxes < 2 * before.boxes
    const direction = wanted ?? (keep ? before.direction : directionFor(graph, clientWidth, clientHeight))
    if (!keep || before.direction !== direction) chosen.current = { direction, boxes }
    layouter.current?.ask(graph, direction)
  }, [shape, wanted, frame])
  return { layout, direction: layout?.direction ?? 'down' }
}

function graphFor(scene: Scene): LayoutGraph {
  return {
    nodes: scene.boxes.map(({ id, box, inside }) => {
      if (box.kind === 'start') return { id, width: 88, height: 34 }
      if (inside === null) return { id, ...(box.kind === 'step' ? sizes : groupSizes) }
      if (inside === 'reading') return { id, width: sizes.width, height: titleHeight + 34 }
      return { id, width: sizes.width, height: titleHeight, inside: graphFor(inside) }
    }),
    edges: scene.edges,
  }
}
