import { useReactFlow, useStoreApi } from '@xyflow/react'
import { useCallback, useEffect, useMemo, useRef } from 'react'
import type { RunModel, Step } from '../model/model.ts'
import type { Layout } from './layout.ts'

/** Boxes that are to be looked at when the next layout is there. */
export type Aim = (id: string) => boolean

function middleOf(nodes: Layout['nodes']): { x: number; y: number } | null {
  if (nodes.length === 0) return null
  const xs = nodes.flatMap(({ x, width }) => [x, x + width])
  const ys = nodes.flatMap(({ y, height }) => [y, y + height])
  return { x: (Math.min(...xs) + Math.max(...xs)) / 2, y: (Math.min(...ys) + Math.max(...ys)) / 2 }
}

/** A graph that would be drawn smaller than this is shown in part. */
const readable = 0.45

/** Where the graph is looked at: all of it at first, then what is wanted, or what runs. */
export function useCamera(
  aim: { current: Aim | null },
  frame: { readonly current: HTMLElement | null },
  layout: Layout | null,
  placed: ReadonlyMap<string, Layout['nodes'][number]>,
  root: RunModel | null,
  follow: boolean,
) {
  const flow = useReactFlow()
  const store = useStoreApi()
  const shown = useRef(false)
  const calm = useMemo(() => matchMedia('(prefers-reduced-motion: reduce)').matches, [])
  const move = useCallback(
    (x: number, y: number, zoom: number, first = false) =>
      void flow.setCenter(x, y, { zoom, duration: first || calm ? 0 : 250 }),
    [flow, calm],
  )
  /** All of it if it can be read then; else `at`, or its beginning. */
  const fit = useCallback(
    (at: { x: number; y: number } | null, first: boolean, all: boolean) => {
      if (layout === null || frame.current === null) return
      const { clientWidth: width, clientHeight: height } = frame.current.querySelector('.canvas') ?? frame.current
      const zoom = Math.min(1.1, (width - 24) / layout.width, (height - 24) / layout.height)
      if (zoom >= readable || all) {
        move(layout.width / 2, layout.height / 2, Math.max(0.05, zoom), first)
        return
      }
      const near = 0.75
      const [w, h] = [width / near / 2, height / near / 2]
      const inside = (wanted: number, half: number, size: number) =>
        size <= 2 * half ? size / 2 : Math.min(Math.max(wanted, half), size - half)
      const start = layout.nodes[0]!
      const { x, y } = at ?? { x: start.x + start.width / 2, y: start.y + start.height / 2 }
      move(inside(x, w, layout.width), inside(y, h, layout.height), near, first)
    },
    [layout, frame, move],
  )
  /** Where something runs, or what failed. */
  const active = useMemo(() => {
    if (root === null) return null
    const worth = (step: Step) =>
      step.shown === 'running' || step.shown === 'retrying'
        ? 3
        : step.shown === 'failed'
          ? 2
          : step.shown === 'waiting'
            ? 1
            : 0
    let best: Step | null = null
    for (const step of root.steps) if (worth(step) > 0 && (best === null || worth(step) >= worth(best))) best = step
    return best?.key ?? null
  }, [root])
  const activePlace = active === null ? null : (placed.get(`step:${active}`) ?? null)
  const x = activePlace === null ? null : activePlace.x + activePlace.width / 2
  const y = activePlace === null ? null : activePlace.y + activePlace.height / 2
  useEffect(() => {
    if (layout === null) return
    const { current } = aim
    if (current !== null) {
      aim.current = null
      fit(middleOf(layout.nodes.filter(({ id }) => current(id))), false, false)
      return
    }
    if (shown.current && !follow) return
    fit(x === null || y === null ? null : { x, y }, !shown.current, false)
    shown.current = true
  }, [layout, x, y, follow, fit, aim])
  const show = useCallback(
    (id: string | null) => {
      if (id === null) {
        fit(null, false, true)
        return
      }
      const place = placed.get(id)
      if (place === undefined) return
      const { transform, width, height } = store.getState()
      const [left, top, zoom] = transform
      const at = { x: place.x * zoom + left, y: place.y * zoom + top }
      const seen = at.x >= 0 && at.y >= 0 && at.x + place.width * zoom <= width && at.y + place.height * zoom <= height
      if (!seen) move(place.x + place.width / 2, place.y + place.height / 2, Math.max(zoom, readable))
    },
    [fit, placed, store, move],
  )
  return { show }
}
