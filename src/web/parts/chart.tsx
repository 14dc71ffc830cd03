import { useEffect, useMemo, useRef, useState, useSyncExternalStore } from 'react'
import uPlot from 'uplot'
import 'uplot/dist/uPlot.min.css'
import { time } from '../lib/format.ts'
import { useTheme } from '../lib/theme.ts'
import './chart.css'

export interface Line {
  readonly label: string
  /** A token of `base.css`, without its dashes. */
  readonly colour: string
  /** Told apart also by how it is drawn. */
  readonly dash?: readonly number[]
  readonly values: readonly (number | null)[]
  readonly fill?: boolean
}

const daySeconds = 86_400
const clock = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit' })
const day = new Intl.DateTimeFormat(undefined, { day: 'numeric', month: 'short' })
const dayAndTime = new Intl.DateTimeFormat(undefined, {
  day: 'numeric',
  month: 'short',
  hour: '2-digit',
  minute: '2-digit',
})

const dark = window.matchMedia('(prefers-color-scheme: dark)')

/** Changes when the colours of the page do. */
function useColours(): string {
  const theme = useTheme()
  const system = useSyncExternalStore(
    (changed) => {
      dark.addEventListener('change', changed)
      return () => dark.removeEventListener('change', changed)
    },
    () => dark.matches,
  )
  return `${theme} ${system}`
}

/** The colour that a token stands for now: a canvas knows no tokens. */
function colourOf(token: string, alpha = 1): string {
  const probe = document.createElement('span')
  probe.style.color =
    alpha === 1 ? `var(--${token})` : `color-mix(in srgb, var(--${token}) ${alpha * 100}%, transparent)`
  document.body.append(probe)
  const { color } = getComputedStyle(probe)
  probe.remove()
  return color
}

/** Lines over time. What it shows is told to those who do not see it by `label`, and by a table that the page has. */
export function Chart({
  label,
  at,
  lines,
  format,
  height = 200,
  max,
}: {
  /** What it shows, in words. */
  readonly label: string
  /** s since the epoch, ascending. */
  readonly at: readonly number[]
  readonly lines: readonly Line[]
  readonly format: (value: number) => string
  readonly height?: number
  /** The top of the scale, where several charts have one. */
  readonly max?: number
}) {
  const box = useRef<HTMLDivElement>(null)
  const plot = useRef<uPlot | null>(null)
  const colours = useColours()
  const [hovered, setHovered] = useState<number | null>(null)
  const shape = JSON.stringify([lines.map(({ values: _, ...rest }) => rest), height, max, colours])
  const data = useMemo(
    () => [at, ...lines.map(({ values }) => values)].map((each) => [...each]) as uPlot.AlignedData,
    [at, lines],
  )
  const latest = useRef({ data, format })
  latest.current = { data, format }
  useEffect(() => {
    const [lines, height, max] = JSON.parse(shape) as [Omit<Line, 'values'>[], number, number | null]
    const axis = {
      stroke: colourOf('muted'),
      font: '11px system-ui, sans-serif',
      grid: { stroke: colourOf('line'), width: 1 },
      ticks: { show: false },
    }
    const options: uPlot.Options = {
      width: box.current!.clientWidth,
      height,
      padding: [8, 22, 0, 0],
      legend: { show: false },
      cursor: { y: false, drag: { x: false, y: false }, points: { size: 6 } },
      scales: { y: { range: (_, __, high) => [0, max ?? (high > 0 ? high * 1.1 : 1)] } },
      axes: [
        {
          ...axis,
          size: 28,
          space: 76,
          values: (self, values) => {
            const [from = 0, to = 0] = [self.scales.x!.min, self.scales.x!.max]
            const format = to - from > 3 * daySeconds ? day : to - from > daySeconds ? dayAndTime : clock
            return values.map((value) => format.format(value * 1_000))
          },
        },
        {
          ...axis,
          size: 62,
          space: 34,
          values: (_, values) => values.map((value) => latest.current.format(value)),
        },
      ],
      series: [
        {},
        ...lines.map(({ label, colour, dash, fill }) => ({
          label,
          stroke: colourOf(colour),
          width: 1.75,
          points: { show: false },
          ...(dash === undefined ? {} : { dash: [...dash] }),
          ...(fill === true ? { fill: colourOf(colour, 0.12) } : {}),
        })),
      ],
      hooks: { setCursor: [({ cursor }) => setHovered(cursor.idx ?? null)] },
    }
    // A value between two gaps is no line: it is drawn as a point.
    for (const series of options.series.slice(1)) {
      series.points = {
        show: (self, i) => [...(self.data[i] as Iterable<unknown>)].filter((value) => value !== null).length <= 2,
        size: 6,
      }
    }
    const drawn = new uPlot(options, latest.current.data, box.current!)
    plot.current = drawn
    const observer = new ResizeObserver(([entry]) => drawn.setSize({ width: entry!.contentRect.width, height }))
    observer.observe(box.current!)
    return () => {
      observer.disconnect()
      drawn.destroy()
      plot.current = null
    }
  }, [shape])
  useEffect(() => plot.current?.setData(data), [data])
  const shown = hovered === null || at[hovered] === undefined ? null : hovered
  return (
    <figure className="chart">
      <figcaption className="row">
        {lines.map((line) => {
          const value = shown === null ? null : line.values[shown]
          return (
            <span key={line.label} className="row key">
              <svg viewBox="0 0 24 8" width="24" height="8" aria-hidden="true">
                <line
                  x1="0"
                  y1="4"
                  x2="24"
                  y2="4"
                  strokeWidth="2"
                  stroke={`var(--${line.colour})`}
                  strokeDasharray={line.dash?.join(' ')}
                />
              </svg>
              {line.label}
              {shown !== null && <b>{value === null || value === undefined ? '–' : format(value)}</b>}
            </span>
          )
        })}
        <span className="muted">{shown === null ? '' : time(at[shown]! * 1_000)}</span>
      </figcaption>
      <div ref={box} role="img" aria-label={label} />
    </figure>
  )
}
