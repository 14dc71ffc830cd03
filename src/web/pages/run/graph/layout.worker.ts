import { layout as dagre, graphlib } from '@dagrejs/dagre'
import {
  type Direction,
  type Layout,
  type LayoutAnswer,
  type LayoutGraph,
  type LayoutRequest,
  type Placed,
  type PlacedEdge,
  ranksOf,
} from './layout.ts'

const margin = 14
/** Around what is drawn inside a node, and below its title. */
const inset = 12
/** More than this takes dagre too long; ranks one beside the other are drawn then. */
const most = 4_000

self.onmessage = ({ data }: MessageEvent<LayoutRequest>) => {
  const answer: LayoutAnswer = { n: data.n, layout: layoutOf(data.graph, data.direction) }
  self.postMessage(answer)
}

function layoutOf(graph: LayoutGraph, direction: Direction): Layout {
  const insides = new Map<string, Layout>()
  const nodes = graph.nodes.map(({ id, width, height, inside }) => {
    if (inside === undefined) return { id, width, height }
    const inner = layoutOf(inside, direction)
    insides.set(id, inner)
    return { id, width: Math.max(width, inner.width + 2 * inset), height: height + inner.height + inset }
  })
  const sized = { nodes, edges: graph.edges }
  const placed = nodes.length + graph.edges.length > most ? inRanks(sized, direction) : byDagre(sized, direction)
  const all: Placed[] = []
  const edges: PlacedEdge[] = [...placed.edges]
  for (const node of placed.nodes) {
    all.push(node)
    const inner = insides.get(node.id)
    if (inner === undefined) continue
    const x = node.x + (node.width - inner.width) / 2
    const y = node.y + node.height - inner.height - inset
    for (const each of inner.nodes) all.push({ ...each, x: each.x + x, y: each.y + y })
    for (const { from, to, points } of inner.edges) {
      edges.push({ from, to, points: points.map((point) => ({ x: point.x + x, y: point.y + y })) })
    }
  }
  return { ...placed, nodes: all, edges, direction }
}

type Flat = Omit<Layout, 'direction'>

function byDagre({ nodes, edges }: LayoutGraph, direction: Direction): Flat {
  const graph = new graphlib.Graph()
  graph.setGraph({
    rankdir: direction === 'down' ? 'TB' : 'LR',
    nodesep: direction === 'down' ? 20 : 16,
    ranksep: 44,
    edgesep: 10,
    // Beside a box that holds others, the rest of its rank would hang half way down: edges would cross that box.
    rankalign: nodes.some(({ height }) => height > 160) ? 'top' : 'center',
    marginx: margin,
    marginy: margin,
  })
  graph.setDefaultEdgeLabel(() => ({}))
  for (const { id, width, height } of nodes) graph.setNode(id, { width, height })
  for (const [from, to] of edges) graph.setEdge(from, to)
  dagre(graph)
  const { width = 0, height = 0 } = graph.graph() as { width?: number; height?: number }
  const centres = nodes.map(({ id }) => graph.node(id) as { x: number; y: number; width: number; height: number })
  const down = direction === 'down'
  const mirrored = isBackwards(down ? centres : centres.map(({ x, y }) => ({ x: y, y: x })))
  const turned = <P extends { x: number; y: number }>(point: P): P =>
    mirrored ? (down ? { ...point, x: width - point.x } : { ...point, y: height - point.y }) : point
  return {
    width: Math.max(0, width),
    height: Math.max(0, height),
    nodes: nodes.map(({ id }, i) => {
      const { x, y, width, height } = turned(centres[i]!)
      return { id, x: x - width / 2, y: y - height / 2, width, height }
    }),
    edges: edges.map(([from, to]) => {
      const { points } = graph.edge(from, to) as unknown as Pick<PlacedEdge, 'points'>
      return { from, to, points: points.map(turned) }
    }),
  }
}

/** Most of what stands side by side stands the other way round than it was asked for: its mirror image reads better. */
function isBackwards(centres: readonly { readonly x: number; readonly y: number }[]): boolean {
  const last = new Map<number, number>()
  let balance = 0
  for (const { x, y } of centres) {
    const rank = Math.round(y)
    const before = last.get(rank)
    if (before !== undefined) balance += x > before ? 1 : -1
    last.set(rank, x)
  }
  return balance < 0
}

function inRanks(graph: LayoutGraph, direction: Direction): Flat {
  const ranks = ranksOf(graph)
  const rows = new Map<number, number>()
  const places = new Map<string, Placed>()
  let width = 0
  let height = 0
  for (const node of graph.nodes) {
    const rank = ranks.get(node.id) ?? 0
    const i = rows.get(rank) ?? 0
    rows.set(rank, i + 1)
    const x = margin + (direction === 'down' ? i * 236 : rank * 270)
    const y = margin + (direction === 'down' ? rank * 120 : i * 84)
    places.set(node.id, { ...node, x, y })
    width = Math.max(width, x + node.width + margin)
    height = Math.max(height, y + node.height + margin)
  }
  return {
    width,
    height,
    nodes: [...places.values()],
    edges: graph.edges.map(([from, to]) => {
      const [a, b] = [places.get(from)!, places.get(to)!]
      const points =
        direction === 'down'
          ? [
              { x: a.x + a.width / 2, y: a.y + a.height },
              { x: b.x + b.width / 2, y: b.y },
            ]
          : [
              { x: a.x + a.width, y: a.y + a.height / 2 },
              { x: b.x, y: b.y + b.height / 2 },
            ]
      return { from, to, points }
    }),
  }
}
