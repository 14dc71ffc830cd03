/** Where the time of a run went: a row for each step, and for those of children that are opened. */
import { useVirtualizer } from '@tanstack/react-virtual'
import { type KeyboardEvent, memo, useEffect, useMemo, useRef, useState } from 'react'
import { duration, exactTime } from '../../../lib/format.ts'
import { useNow } from '../../../lib/now.ts'
import { StatusIcon } from '../../../parts/status.tsx'
import { cutName, shownWord } from '../graph/node.tsx'
import { KindIcon } from '../kinds.tsx'
import { type Segment, segmentsOf } from '../model/model.ts'
import { type TimeScale, tickMs, timeScale } from '../model/scale.ts'
import { childPath, type Opened } from '../model/scene.ts'
import type { Selected } from '../selection.ts'
import { busyIn, lastAt, type Row, Rows } from './rows.ts'
import './timeline.css'

export interface TimelineProps {
  readonly runs: ReadonlyMap<string, Opened>
  readonly selected: Selected
  /** The moment that is shown, ms since the epoch; null: now. */
  readonly then: number | null
}

const rowHeight = 26
const axisHeight = 26
const maxZoom = 2_000

export function Timeline({ runs, selected, then }: TimelineProps) {
  const clock = useNow()
  const { selection, select, opened, toggle } = selected
  const root = runs.get('')?.view ?? null
  const [zoom, setZoom] = useState(1)
  const [fold, setFold] = useState(true)
  const scroll = useRef<HTMLDivElement>(null)
  const { width, left } = useFrame(scroll)
  const rows = useMemo(() => new Rows(runs, opened), [runs, opened])
  const busy = busyIn(runs)
  const from = root?.startedAt ?? 0
  const lastEvent = Math.max(from, ...[...runs.values()].map(({ view }) => lastAt(view)))
  const live = root !== null && !root.closed && then === null
  // The clocks of the database and of this machine may differ: nothing is drawn before what is on record.
  const now = then ?? (live ? Math.max(clock, lastEvent) : lastEvent)
  const scale = useMemo(() => timeScale(busy, from, now, fold), [busy, from, now, fold])
  const labels = Math.min(250, Math.max(110, width * 0.28))
  const track = Math.max(100, width - labels - 24) * zoom
  const virtual = useVirtualizer({
    count: rows.length,
    getScrollElement: () => scroll.current,
    estimateSize: () => rowHeight,
    scrollPaddingStart: axisHeight,
    paddingStart: axisHeight,
    overscan: 6,
  })
  const chosen = rows.indexOf(selection.path, selection.step)
  useEffect(() => {
    if (chosen >= 0) virtual.scrollToIndex(chosen, { align: 'auto' })
  }, [chosen, virtual])

  /** Keeps the time at `x` of the frame where it is. */
  const zoomTo = (next: number, x = width / 2) => {
    const { current } = scroll
    const wanted = Math.min(maxZoom, Math.max(1, next))
    if (current === null || wanted === zoom) return
    const place = (current.scrollLeft + x - labels) / track
    setZoom(wanted)
    requestAnimationFrame(() => {
      current.scrollLeft = place * Math.max(100, width - labels - 24) * wanted - x + labels
    })
  }
  const latest = useRef(zoomTo)
  latest.current = zoomTo
  const latestZoom = useRef(zoom)
  latestZoom.current = zoom
  useEffect(() => {
    const { current } = scroll
    if (current === null) return
    // Not by React: it could not keep the page from being zoomed.
    const onWheel = (event: WheelEvent) => {
      if (!event.ctrlKey && !event.metaKey) return
      event.preventDefault()
      const { left } = current.getBoundingClientRect()
      latest.current(latestZoom.current * 1.0025 ** -event.deltaY, event.clientX - left)
    }
    current.addEventListener('wheel', onWheel, { passive: false })
    return () => current.removeEventListener('wheel', onWheel)
  }, [])
  const onKeyDown = (event: KeyboardEvent) => {
    const by = { ArrowDown: 1, ArrowUp: -1, PageDown: 12, PageUp: -12 }[event.key]
    if (event.key === '+' || event.key === '-') zoomTo(event.key === '+' ? zoom * 1.5 : zoom / 1.5)
    if (by === undefined || rows.length === 0) return
    event.preventDefault()
    const next = rows.at(Math.min(rows.length - 1, Math.max(0, chosen + by)))
    select({ path: next.path, step: next.step.key })
  }
  const onChoose = useRef((_row: Row) => {})
  onChoose.current = ({ path, step }) => select({ path, step: step.key })
  const onToggle = useRef((_row: Row) => {})
  onToggle.current = ({ path, step }) => toggle(childPath(path, step.key))

  return (
    <section className="timeline" aria-label="Timeline">
      <div className="tools" role="toolbar" aria-label="Timeline">
        <button type="button" onClick={() => zoomTo(zoom / 1.6)} aria-label="Zoom out" disabled={zoom <= 1}>
          −
        </button>
        <button type="button" onClick={() => zoomTo(zoom * 1.6)} aria-label="Zoom in">
          +
        </button>
        <button type="button" onClick={() => setZoom(1)} disabled={zoom === 1}>
          All
        </button>
        <button
          type="button"
          aria-pressed={fold}
          onClick={() => setFold(!fold)}
          title="time in which nothing executed takes little room"
        >
          Fold idle time
        </button>
        <Legend />
      </div>
      <div className="scroll" ref={scroll} onKeyDown={onKeyDown} tabIndex={0} role="listbox" aria-label="Steps by time">
        <div className="inner" style={{ width: labels + track + 24, height: virtual.getTotalSize() }}>
          <div className="axis" style={{ height: axisHeight }}>
            <div className="corner" style={{ width: labels }}>
              {zoom > 1 ? `× ${zoom < 10 ? zoom.toFixed(1) : Math.round(zoom)}` : ''}
            </div>
            {scale.gaps.map((gap) => (
              <span
                key={gap.from}
                className="gap-label"
                title={`idle for ${duration(gap.to - gap.from)}: nothing executed`}
                style={{ left: labels + ((gap.start + gap.end) / 2) * track }}
              >
                {duration(gap.to - gap.from)}
              </span>
            ))}
            <Ticks scale={scale} track={track} offset={labels} from={left - labels} to={left + width} />
          </div>
          {scale.gaps.map((gap) => (
            <div
              key={gap.from}
              className="gap"
              data-gap
              style={{ left: labels + gap.start * track, width: Math.max(6, (gap.end - gap.start) * track) }}
            />
          ))}
          {live && <div className="now" style={{ left: labels + scale.at(now) * track }} aria-hidden="true" />}
          {virtual.getVirtualItems().map(({ index, start }) => {
            const row = rows.at(index)
            const { step } = row
            const open = step.endedAt === null && !row.view.closed
            return (
              <TimelineRow
                key={row.path + step.key}
                row={row}
                top={start}
                labels={labels}
                track={track}
                scale={scale}
                // A row that has ended is the same whatever the time is.
                now={open || row.step.shown === 'skipped' ? now : 0}
                selected={index === chosen}
                opened={step.kind === 'child' && opened.has(childPath(row.path, step.key))}
                onChoose={onChoose}
                onToggle={onToggle}
              />
            )
          })}
        </div>
        {rows.length === 0 && (
          <div className="empty">No step has been asked for{then === null ? ' yet' : ' then'}.</div>
        )}
      </div>
    </section>
  )
}

interface RowProps {
  readonly row: Row
  readonly top: number
  readonly labels: number
  readonly track: number
  readonly scale: TimeScale
  readonly now: number
  readonly selected: boolean
  readonly opened: boolean
  readonly onChoose: { readonly current: (row: Row) => void }
  readonly onToggle: { readonly current: (row: Row) => void }
}

const sameRow = (a: RowProps, b: RowProps) =>
  (Object.keys(a) as (keyof RowProps)[]).every((key) => key === 'row' || a[key] === b[key]) &&
  a.row.step === b.row.step &&
  a.row.path === b.row.path &&
  a.row.depth === b.row.depth

const TimelineRow = memo(function TimelineRow({
  row,
  top,
  labels,
  track,
  scale,
  now,
  selected,
  opened,
  onChoose,
  onToggle,
}: RowProps) {
  const { step, view, depth } = row
  const { key, kind, shown, attempts } = step
  const segments = segmentsOf(step, view, now)
  const took = segments.length === 0 ? 0 : segments.at(-1)!.to - segments[0]!.from
  return (
    <div
      className="line-row"
      data-row={key}
      data-shown={shown}
      data-selected={selected || undefined}
      style={{ transform: `translateY(${top}px)`, height: rowHeight }}
    >
      <div className="label" style={{ width: labels, paddingLeft: 6 + depth * 14 }}>
        {kind === 'child' && step.child !== null && (
          <button
            type="button"
            className="plain fold"
            tabIndex={-1}
            aria-expanded={opened}
            aria-label={`Steps of child ${cutName(key)}`}
            onClick={() => onToggle.current(row)}
          >
            {opened ? '▾' : '▸'}
          </button>
        )}
        <button
          type="button"
          className="plain choose"
          tabIndex={-1}
          aria-pressed={selected}
          aria-label={`${cutName(key)}, ${shownWord[shown]}${attempts > 1 ? `, ${attempts} attempts` : ''}, ${duration(took)}`}
          onClick={() => onChoose.current(row)}
        >
          <span className={`dot tone-${shown}`}>
            <StatusIcon status={shown} />
          </span>
          <KindIcon kind={kind} />
          <bdi className="cut">{cutName(key)}</bdi>
        </button>
      </div>
      {/* biome-ignore lint/a11y/noStaticElementInteractions: the button of the row does the same */}
      {/* biome-ignore lint/a11y/useKeyWithClickEvents: the button of the row does the same */}
      <div className="track" style={{ width: track }} onClick={() => onChoose.current(row)}>
        {segments.map((segment) => (
          <Bar
            key={`${segment.kind}${segment.from}${segment.attempt ?? ''}`}
            segment={segment}
            scale={scale}
            track={track}
            shown={shown}
          />
        ))}
      </div>
    </div>
  )
}, sameRow)

function Bar({ segment, scale, track, shown }: { segment: Segment; scale: TimeScale; track: number; shown: string }) {
  const { kind, from, to, attempt, open } = segment
  const x = scale.at(from) * track
  const width = Math.max(kind === 'executing' || kind === 'failed' ? 3 : 1, scale.at(to) * track - x)
  const what = `${kind}${attempt === undefined ? '' : `, attempt ${attempt}`}`
  return (
    <i
      className={`bar-segment ${kind === 'executing' ? (shown === 'skipped' ? 'tone-skipped' : open ? 'tone-running' : 'tone-completed') : ''}`}
      data-kind={kind}
      data-open={open || undefined}
      title={`${what}: ${duration(to - from)}${open ? ' so far' : ''}, from ${exactTime(from)}`}
      style={{ left: x, width }}
    />
  )
}

function Legend() {
  return (
    <ul className="legend" aria-label="Legend">
      {(['queued', 'executing', 'failed', 'retry wait', 'waiting'] as const).map((kind) => (
        <li key={kind}>
          <i
            className={`bar-segment swatch ${kind === 'executing' ? 'tone-completed' : ''}`}
            data-kind={kind}
            aria-hidden="true"
          />
          {kind === 'failed' ? 'failed attempt' : kind}
        </li>
      ))}
    </ul>
  )
}

/** Round marks in what is in view, from the beginning of the run on; none in what is folded. */
function Ticks({
  scale,
  track,
  offset,
  from,
  to,
}: {
  scale: TimeScale
  track: number
  offset: number
  from: number
  to: number
}) {
  const [t0, t1] = [scale.timeAt(Math.max(0, from / track)), scale.timeAt(Math.min(1, to / track))]
  const bounds = [scale.from, ...scale.gaps.flatMap((gap) => [gap.from, gap.to]), scale.to]
  const ticks: { time: number; x: number }[] = []
  // Where the length of a gap stands there is no room for another text.
  const clear = (x: number) =>
    scale.gaps.every(
      ({ start, end }) => x + 56 < ((start + end) / 2) * track - 24 || x > ((start + end) / 2) * track + 24,
    )
  for (let i = 0; i + 1 < bounds.length; i += 2) {
    const [a, b] = [Math.max(bounds[i]!, t0), Math.min(bounds[i + 1]!, t1)]
    if (b <= a) continue
    const px = (scale.at(b) - scale.at(a)) * track
    const every = tickMs(b - a, Math.max(1, px / 110))
    for (
      let time = Math.ceil((a - scale.from) / every) * every + scale.from;
      time <= b && ticks.length < 60;
      time += every
    ) {
      const x = scale.at(time) * track
      if ((ticks.length === 0 || x - ticks.at(-1)!.x > 60) && clear(x)) ticks.push({ time, x })
    }
  }
  return ticks.map(({ time, x }) => (
    <span key={time} className="tick" style={{ left: offset + x }}>
      {time === scale.from ? '0' : `+${duration(time - scale.from)}`}
    </span>
  ))
}

function useFrame(scroll: { readonly current: HTMLElement | null }): { width: number; left: number } {
  const [frame, setFrame] = useState({ width: 800, left: 0 })
  useEffect(() => {
    const { current } = scroll
    if (current === null) return
    let due = 0
    const measure = () => {
      due = 0
      const { clientWidth: width, scrollLeft: left } = current
      setFrame((before) => (before.width === width && before.left === left ? before : { width, left }))
    }
    const soon = () => {
      due ||= requestAnimationFrame(measure)
    }
    measure()
    const observer = new ResizeObserver(soon)
    observer.observe(current)
    current.addEventListener('scroll', soon, { passive: true })
    return () => {
      observer.disconnect()
      current.removeEventListener('scroll', soon)
      cancelAnimationFrame(due)
    }
  }, [scroll])
  return frame
}
