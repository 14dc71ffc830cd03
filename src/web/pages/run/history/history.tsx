import { useVirtualizer } from '@tanstack/react-virtual'
import { type KeyboardEvent, memo, useEffect, useMemo, useRef, useState } from 'react'
import { runPath } from '../../../lib/api.ts'
import { count, duration, exactTime } from '../../../lib/format.ts'
import { usePlace } from '../../../lib/place.ts'
import { cutName } from '../graph/node.tsx'
import { type Known, marks, omittedBytes, payloadOf } from '../model/events.ts'
import type { RunModel } from '../model/model.ts'
import type { Selected } from '../selection.ts'
import './history.css'

const rowHeight = 28

/** The events of the run, as they are on record. */
export function History({
  view,
  runId,
  selected,
}: {
  readonly view: RunModel
  readonly runId: string
  readonly selected: Selected
}) {
  const { selection, select } = selected
  const place = usePlace()
  const [filter, setFilter] = useState('')
  const compact = place.get('events') === 'compact'
  const scroll = useRef<HTMLDivElement>(null)
  const own = selection.path === ''
  const found = useMemo(() => {
    const wanted = filter.trim().toLowerCase()
    const events = view.events.length === view.length ? view.events : view.events.slice(0, view.length)
    if (wanted === '' && !compact) return events
    return events.filter(
      (event) => (!compact || !marks.has(event.json.type)) && (wanted === '' || textOf(event).includes(wanted)),
    )
  }, [view, filter, compact])
  const rows = useVirtualizer({
    count: found.length,
    getScrollElement: () => scroll.current,
    estimateSize: () => rowHeight,
    overscan: 8,
  })
  const step = own && selection.step !== undefined ? view.byKey.get(selection.step) : undefined
  const firstOfStep = step?.events[0] === undefined ? undefined : step.events[0] + 1
  const wanted = own ? (selection.event ?? firstOfStep) : undefined
  const found2 = useRef(found)
  found2.current = found
  useEffect(() => {
    const index = wanted === undefined ? -1 : found2.current.findIndex(({ json }) => json.seq >= wanted)
    if (index >= 0) rows.scrollToIndex(index, { align: 'auto' })
  }, [wanted, rows])
  const onKeyDown = (event: KeyboardEvent) => {
    const by = { ArrowDown: 1, ArrowUp: -1, PageDown: 15, PageUp: -15 }[event.key]
    if (by === undefined || found.length === 0) return
    event.preventDefault()
    const at = selection.event === undefined ? -1 : found.findIndex(({ json }) => json.seq === selection.event)
    const next = found[Math.min(found.length - 1, Math.max(0, at + by))]!
    select({ path: '', event: next.json.seq })
  }
  const choose = useRef((_seq: number) => {})
  choose.current = (seq) => select({ path: '', event: seq })
  const began = view.startedAt ?? 0
  return (
    <section className="history" aria-label="History">
      <div className="tools" role="toolbar" aria-label="History">
        <input
          type="search"
          placeholder="type, name, number, text"
          aria-label="Filter the events"
          value={filter}
          onChange={(event) => setFilter(event.target.value)}
        />
        <button
          type="button"
          aria-pressed={compact}
          onClick={() => place.set({ events: compact ? null : 'compact' }, { replace: true })}
          title="leave out what only says that something was begun"
        >
          Compact
        </button>
        <span className="muted small" aria-live="polite">
          {found.length === view.length
            ? `${count(view.length)} events`
            : `${count(found.length)} of ${count(view.length)} events`}
        </span>
        <a className="button" href={runPath(runId, '/export')} download>
          Download
        </a>
      </div>
      <div className="scroll" ref={scroll} onKeyDown={onKeyDown} tabIndex={0} role="listbox" aria-label="Events">
        <div style={{ height: rows.getTotalSize(), position: 'relative' }}>
          {rows.getVirtualItems().map(({ index, start }) => {
            const event = found[index]!
            const { seq, op } = event.json
            return (
              <EventRow
                key={seq}
                event={event}
                top={start}
                began={began}
                selected={own && selection.event === seq}
                ofStep={step !== undefined && op === step.op}
                choose={choose}
                name={op === undefined ? (event.json.name ?? '') : (view.byOp.get(op)?.key ?? event.json.name ?? '')}
              />
            )
          })}
        </div>
        {found.length === 0 && <div className="empty">No event is like that.</div>}
      </div>
    </section>
  )
}

interface EventRowProps {
  readonly event: Known
  readonly top: number
  readonly began: number
  readonly selected: boolean
  readonly ofStep: boolean
  readonly name: string
  readonly choose: { readonly current: (seq: number) => void }
}

const EventRow = memo(function EventRow({ event, top, began, selected, ofStep, name, choose }: EventRowProps) {
  const { json, at } = event
  return (
    <button
      type="button"
      className="plain event-row"
      tabIndex={-1}
      role="option"
      data-event={json.seq}
      data-type={json.type}
      data-of-step={ofStep || undefined}
      aria-selected={selected}
      style={{ transform: `translateY(${top}px)`, height: rowHeight }}
      onClick={() => choose.current(json.seq)}
    >
      <span className="seq">{json.seq}</span>
      <span className="at" title={exactTime(at)}>
        +{duration(at - began)}
      </span>
      <span className="type" data-tone={toneOf(json.type)}>
        {json.type}
      </span>
      <bdi className="cut name">{cutName(name)}</bdi>
      <bdi className="cut brief">{briefOf(event)}</bdi>
    </button>
  )
})

function toneOf(type: string): string | undefined {
  if (/Failed|Rejected|Terminated/.test(type)) return 'failed'
  if (/Completed|Fired|Received/.test(type)) return 'completed'
  return undefined
}

/** What it says, on one line. */
function briefOf({ json }: Known): string {
  const field = payloadOf(json.type)
  const { [field ?? '']: payload, where: _, causes: __, began: ___, nth: ____, id: _____, ...facts } = json.data ?? {}
  const parts: string[] = []
  const size = omittedBytes(payload)
  if (field === 'error') {
    const { name, message } = (payload ?? {}) as { name?: string; message?: string }
    parts.push(`${name}: ${message}`)
  } else if (size !== null) parts.push(`${field}: ${size} bytes`)
  else if (field !== null && payload !== undefined) parts.push(JSON.stringify(payload) ?? '')
  for (const [key, value] of Object.entries(facts))
    parts.push(`${key} ${typeof value === 'string' ? value : JSON.stringify(value)}`)
  return parts.join(' · ').slice(0, 300)
}

const texts = new WeakMap<Known, string>()

function textOf(event: Known): string {
  let text = texts.get(event)
  if (text === undefined) {
    const { seq, type, name = '', data } = event.json
    text = `${seq} ${type} ${name} ${JSON.stringify(data ?? '')}`.toLowerCase()
    texts.set(event, text)
  }
  return text
}
