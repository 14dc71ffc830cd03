import { ViewportPortal } from '@xyflow/react'
import { memo } from 'react'
import type { Placed } from './layout.ts'

export interface EdgeData {
  /** `from>to`, of ids of boxes. */
  readonly id: string
  readonly path: string
  readonly state: 'done' | 'active' | 'idle' | 'ghost'
  readonly critical: boolean
}

/**
 * Edges along the points that the layout has given them: above boxes that hold others, below all others. A path each,
 * in one drawing; nobody can take hold of them.
 */
export const Edges = memo(function Edges({ edges }: { readonly edges: readonly EdgeData[] }) {
  return (
    <ViewportPortal>
      <svg className="edges" aria-hidden="true" width="1" height="1">
        <defs>
          {['done', 'active', 'idle', 'ghost', 'critical'].map((state) => (
            <marker
              key={state}
              id={`arrow-${state}`}
              viewBox="0 0 8 8"
              refX="7"
              refY="4"
              markerWidth="8"
              markerHeight="8"
              markerUnits="userSpaceOnUse"
              orient="auto"
            >
              <path d="M0 0.5L7.5 4L0 7.5z" data-state={state} />
            </marker>
          ))}
        </defs>
        {edges.map((edge) => (
          <OneEdge key={edge.id} edge={edge} />
        ))}
      </svg>
    </ViewportPortal>
  )
})

const OneEdge = memo(function OneEdge({ edge: { id, path, state, critical } }: { readonly edge: EdgeData }) {
  return <path className="step-edge" d={path} data-edge={id} data-state={state} data-critical={critical || undefined} />
})

type Point = { readonly x: number; readonly y: number }

const longWay = 150
const turn = 60

/** From the middle of one side to the middle of another, smoothly through what the layout left free between them. */
export function pathThrough(source: Placed, points: readonly Point[], target: Placed, down: boolean): string {
  const first = down
    ? { x: source.x + source.width / 2, y: source.y + source.height }
    : { x: source.x + source.width, y: source.y + source.height / 2 }
  const last = down ? { x: target.x + target.width / 2, y: target.y } : { x: target.x, y: target.y + target.height / 2 }
  const round = (n: number) => Math.round(n * 10) / 10
  let d = `M${round(first.x)} ${round(first.y)}`
  let from = first
  for (const to of [...between(points, first, last, down), last]) {
    // Past something that is much longer than its neighbours: straight on in its own lane, and aside at the end.
    const ahead = down ? to.y - from.y : to.x - from.x
    if (ahead > longWay) {
      from = down ? { x: from.x, y: to.y - turn } : { x: to.x - turn, y: from.y }
      d += `L${round(from.x)} ${round(from.y)}`
    }
    const middle = down ? (from.y + to.y) / 2 : (from.x + to.x) / 2
    const [a, b] = down
      ? [
          { x: from.x, y: middle },
          { x: to.x, y: middle },
        ]
      : [
          { x: middle, y: from.y },
          { x: middle, y: to.y },
        ]
    d += `C${round(a.x)} ${round(a.y)} ${round(b.x)} ${round(b.y)} ${round(to.x)} ${round(to.y)}`
    from = to
  }
  return d
}

/** Points in ranks between the two, one a rank; an edge from one rank to the next needs none. */
function between(points: readonly Point[], first: Point, last: Point, down: boolean): readonly Point[] {
  if (points.length <= 3) return []
  const along = ({ x, y }: Point) => (down ? y : x)
  return points.slice(1, -1).filter((point, i, all) => {
    const before = i === 0 ? along(first) : along(all[i - 1]!)
    return along(point) > before && along(point) < along(last)
  })
}
