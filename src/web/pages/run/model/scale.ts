/** The axis of the timeline: from a time to a place between 0 and 1, with idle time folded or not. */

export interface Gap {
  readonly from: number
  readonly to: number
  /** Where it is drawn. */
  readonly start: number
  readonly end: number
}

export interface TimeScale {
  readonly from: number
  readonly to: number
  /** Place of a time; times outside are at the ends. */
  at(time: number): number
  /** Time of a place. */
  timeAt(place: number): number
  readonly gaps: readonly Gap[]
}

/** A folded gap takes this share of the axis. */
const gapShare = 0.05
/** What is folded: longer than this, and than this share of the time that is not idle. */
const minGapMs = 1_000
const minGapShare = 0.5

/**
 * @param busy spans in which something executed, in any order
 * @param folded idle spans take little room
 */
export function timeScale(
  busy: readonly (readonly [from: number, to: number])[],
  from: number,
  to: number,
  folded: boolean,
): TimeScale {
  const end = Math.max(to, from + 1)
  const idle = folded ? idleSpans(busy, from, end) : []
  // Points (time, weight so far) between which the axis is straight.
  const lengthOfGaps = idle.reduce((sum, [a, b]) => sum + (b - a), 0)
  const rest = end - from - lengthOfGaps
  const share = Math.min(gapShare, 0.5 / Math.max(1, idle.length))
  const restShare = rest <= 0 ? 0 : 1 - share * idle.length
  const points: { time: number; place: number }[] = [{ time: from, place: 0 }]
  const gaps: Gap[] = []
  let place = 0
  let time = from
  for (const [a, b] of idle) {
    place += rest <= 0 ? 0 : ((a - time) / rest) * restShare
    points.push({ time: a, place })
    const start = place
    place += rest <= 0 ? 1 / idle.length : share
    points.push({ time: b, place })
    gaps.push({ from: a, to: b, start, end: place })
    time = b
  }
  points.push({ time: end, place: 1 })
  return {
    from,
    to: end,
    at: (wanted) => between(points, wanted, 'time', 'place'),
    timeAt: (wanted) => between(points, wanted, 'place', 'time'),
    gaps,
  }
}

type Point = { time: number; place: number }

function between(points: readonly Point[], wanted: number, x: keyof Point, y: keyof Point): number {
  if (wanted <= points[0]![x]) return points[0]![y]
  let low = 0
  let high = points.length - 1
  if (wanted >= points[high]![x]) return points[high]![y]
  while (high - low > 1) {
    const middle = (low + high) >> 1
    if (points[middle]![x] <= wanted) low = middle
    else high = middle
  }
  const [a, b] = [points[low]!, points[high]!]
  return b[x] === a[x] ? a[y] : a[y] + ((wanted - a[x]) / (b[x] - a[x])) * (b[y] - a[y])
}

/** Spans in which nothing executed, if they are long beside the rest. */
function idleSpans(busy: readonly (readonly [number, number])[], from: number, to: number): [number, number][] {
  const sorted = [...busy].sort((a, b) => a[0] - b[0])
  const idle: [number, number][] = []
  let reached = from
  for (const [a, b] of sorted) {
    if (a > reached) idle.push([reached, Math.min(a, to)])
    reached = Math.max(reached, b)
  }
  if (to > reached) idle.push([reached, to])
  idle.sort((a, b) => a[1] - a[0] - (b[1] - b[0]))
  // The shortest first: as long as it is short beside what is not folded so far, it is not folded either.
  let shown = to - from - idle.reduce((sum, [a, b]) => sum + (b - a), 0)
  let i = 0
  for (; i < idle.length; i++) {
    const length = idle[i]![1] - idle[i]![0]
    if (length > minGapMs && length > shown * minGapShare) break
    shown += length
  }
  return idle.slice(i).sort((a, b) => a[0] - b[0])
}

/** Round steps for a labelled axis of `ms` with about `wanted` marks. */
export function tickMs(ms: number, wanted: number): number {
  const rough = ms / Math.max(1, wanted)
  const units = [
    ...[1, 2, 5, 10, 20, 50, 100, 200, 500],
    ...[1, 2, 5, 10, 15, 30].map((s) => s * 1_000),
    ...[1, 2, 5, 10, 15, 30].map((min) => min * 60_000),
    ...[1, 2, 3, 6, 12].map((h) => h * 3_600_000),
    ...[1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000].map((d) => d * 86_400_000),
  ]
  return units.find((unit) => unit >= rough) ?? units.at(-1)!
}
