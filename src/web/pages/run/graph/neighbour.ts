import type { Layout } from './layout.ts'

/** Along an edge forwards or backwards, or to the box beside it. Null: there is none. */
export function neighbour(key: string, id: string, layout: Layout): string | null {
  const arrows = ['ArrowUp', 'ArrowDown', 'ArrowLeft', 'ArrowRight']
  if (!arrows.includes(key)) return null
  const places = new Map(layout.nodes.map((each) => [each.id, each]))
  const own = places.get(id)
  if (own === undefined) return null
  const down = layout.direction === 'down'
  const along = down ? ['ArrowUp', 'ArrowDown'] : ['ArrowLeft', 'ArrowRight']
  const side = (each: { x: number; y: number; width: number; height: number }) =>
    down ? each.x + each.width / 2 : each.y + each.height / 2
  const nearest = (ids: readonly string[]) =>
    ids
      .flatMap((each) => places.get(each) ?? [])
      .sort((a, b) => Math.abs(side(a) - side(own)) - Math.abs(side(b) - side(own)))[0]?.id ?? null
  if (key === along[0]) return nearest(layout.edges.filter(({ to }) => to === id).map(({ from }) => from))
  if (key === along[1]) return nearest(layout.edges.filter(({ from }) => from === id).map(({ to }) => to))
  const forwards = key === 'ArrowRight' || key === 'ArrowDown'
  const rank = (each: { x: number; y: number; width: number; height: number }) =>
    down ? each.y + each.height / 2 : each.x + each.width / 2
  return (
    layout.nodes
      .filter((each) => each.id !== id && Math.abs(rank(each) - rank(own)) < 40)
      .filter((each) => (forwards ? side(each) > side(own) : side(each) < side(own)))
      .sort((a, b) => Math.abs(side(a) - side(own)) - Math.abs(side(b) - side(own)))[0]?.id ?? null
  )
}
