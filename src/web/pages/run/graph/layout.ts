/** What the layout is asked and what it answers. It is made in a worker: a large graph takes longer than a frame. */

export type Direction = 'down' | 'right'

export interface LayoutNode {
  readonly id: string
  readonly width: number
  readonly height: number
  /** A graph that is drawn inside; the sizes are then those of its title. */
  readonly inside?: LayoutGraph
}

export interface LayoutGraph {
  readonly nodes: readonly LayoutNode[]
  /** Ids of nodes. */
  readonly edges: readonly (readonly [from: string, to: string])[]
}

export interface Placed {
  readonly id: string
  /** Of its upper left corner. */
  readonly x: number
  readonly y: number
  readonly width: number
  readonly height: number
}

export interface PlacedEdge {
  readonly from: string
  readonly to: string
  readonly points: readonly { readonly x: number; readonly y: number }[]
}

export interface Layout {
  readonly width: number
  readonly height: number
  readonly nodes: readonly Placed[]
  readonly edges: readonly PlacedEdge[]
  readonly direction: Direction
}

export interface LayoutRequest {
  readonly n: number
  readonly graph: LayoutGraph
  readonly direction: Direction
}

export interface LayoutAnswer {
  readonly n: number
  readonly layout: Layout
}

/** Lays out one graph after the other; of those that wait only the newest. */
export class Layouter {
  readonly #worker: Worker
  readonly #done: (layout: Layout) => void
  #n = 0
  #busy = false
  #waiting: LayoutRequest | null = null

  constructor(done: (layout: Layout) => void) {
    this.#done = done
    this.#worker = new Worker(new URL('./layout.worker.ts', import.meta.url), { type: 'module' })
    this.#worker.onmessage = ({ data }: MessageEvent<LayoutAnswer>) => {
      this.#busy = false
      if (this.#waiting !== null) this.#send(this.#waiting)
      else if (data.n === this.#n) this.#done(data.layout)
    }
  }

  ask(graph: LayoutGraph, direction: Direction): void {
    const request = { n: ++this.#n, graph, direction }
    if (this.#busy) this.#waiting = request
    else this.#send(request)
  }

  end(): void {
    this.#worker.terminate()
  }

  #send(request: LayoutRequest): void {
    this.#busy = true
    this.#waiting = null
    this.#worker.postMessage(request)
  }
}

/** The direction in which it is drawn larger in a view of this shape. */
export function directionFor(graph: LayoutGraph, width: number, height: number): Direction {
  const ranks = ranksOf(graph)
  const depth = Math.max(1, ...ranks.values()) + 1
  const counts = new Map<number, number>()
  for (const rank of ranks.values()) counts.set(rank, (counts.get(rank) ?? 0) + 1)
  const widest = Math.max(1, ...counts.values())
  const right = Math.min(width / (depth * 270), height / (widest * 76))
  const down = Math.min(width / (widest * 236), height / (depth * 104))
  return right >= down ? 'right' : 'down'
}

/** How many nodes there are on the longest way to each, from 0. */
export function ranksOf({ nodes, edges }: LayoutGraph): Map<string, number> {
  const behind = new Map<string, string[]>()
  const missing = new Map(nodes.map(({ id }) => [id, 0]))
  for (const [from, to] of edges) {
    behind.set(from, [...(behind.get(from) ?? []), to])
    missing.set(to, (missing.get(to) ?? 0) + 1)
  }
  const ranks = new Map<string, number>()
  const ready = nodes.filter(({ id }) => missing.get(id) === 0).map(({ id }) => id)
  for (const id of ready) ranks.set(id, 0)
  for (let i = 0; i < ready.length; i++) {
    const id = ready[i]!
    for (const to of behind.get(id) ?? []) {
      ranks.set(to, Math.max(ranks.get(to) ?? 0, ranks.get(id)! + 1))
      missing.set(to, missing.get(to)! - 1)
      if (missing.get(to) === 0) ready.push(to)
    }
  }
  return ranks
}
