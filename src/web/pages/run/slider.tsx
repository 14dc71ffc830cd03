/** The run as it was: after which event is said here, for all of the page. */
import { useEffect, useRef, useState } from 'react'
import { count, duration, exactTime } from '../../lib/format.ts'
import { usePlace } from '../../lib/place.ts'
import type { Known } from './model/events.ts'

/** A play takes about so long, however many events there are. */
const playMs = 15_000
const minStepMs = 60
const maxStepMs = 600

export interface Moment {
  /** After which event; null: as it is. */
  readonly at: number | null
  go(at: number | null): void
}

/** Kept in the address, though not at each move of the slider: browsers allow only so many changes of it. */
export function useMoment(length: number): Moment {
  const place = usePlace()
  const given = place.get('at')
  const inAddress = given !== null && /^[1-9]\d{0,8}$/.test(given) ? Number(given) : null
  const [at, setAt] = useState(inAddress)
  const written = useRef(inAddress)
  const { set } = place
  // The browser's own steps back and forth.
  useEffect(() => {
    if (inAddress === written.current) return
    written.current = inAddress
    setAt(inAddress)
  }, [inAddress])
  useEffect(() => {
    if (at === written.current) return
    const timer = setTimeout(() => {
      written.current = at
      set({ at: at === null ? null : String(at) }, { replace: true })
    }, 250)
    return () => clearTimeout(timer)
  }, [at, set])
  return { at: at === null || length === 0 ? null : Math.min(at, length), go: setAt }
}

export function Slider({
  events,
  length,
  moment,
}: {
  readonly events: readonly Known[]
  readonly length: number
  readonly moment: Moment
}) {
  const { at, go } = moment
  const [playing, setPlaying] = useState(false)
  const value = at ?? length
  const latest = useRef({ value, length, go })
  latest.current = { value, length, go }
  useEffect(() => {
    if (!playing) return
    const stepMs = Math.min(maxStepMs, Math.max(minStepMs, playMs / Math.max(1, length)))
    const by = Math.max(1, Math.round((length * stepMs) / playMs))
    const timer = setInterval(() => {
      const { value, length, go } = latest.current
      if (value + by >= length) setPlaying(false)
      go(Math.min(length, value + by))
    }, stepMs)
    return () => clearInterval(timer)
  }, [playing, length])
  const play = () => {
    if (!playing && value >= length) go(1)
    setPlaying(!playing)
  }
  const to = (next: number) => {
    setPlaying(false)
    go(Math.max(1, Math.min(length, next)))
  }
  const event = events[value - 1]
  const began = events[0]?.at ?? 0
  return (
    // biome-ignore lint/a11y/useSemanticElements: a fieldset would be drawn as one
    <div className="slider" role="group" aria-label="Time" data-past={at !== null || undefined}>
      <span className="row controls">
        <button type="button" onClick={() => to(1)} disabled={value <= 1} aria-label="First event" title="first event">
          <PlayerIcon d="M4 3v10M13 3L6 8l7 5z" />
        </button>
        <button
          type="button"
          onClick={() => to(value - 1)}
          disabled={value <= 1}
          aria-label="One event back"
          title="one event back"
        >
          <PlayerIcon d="M11 3L5 8l6 5z" />
        </button>
        <button
          type="button"
          onClick={play}
          aria-label={playing ? 'Stop' : 'Play'}
          title={playing ? 'stop' : 'play'}
          disabled={length < 2}
        >
          <PlayerIcon d={playing ? 'M5 3v10M11 3v10' : 'M4 3v10l9-5z'} />
        </button>
        <button
          type="button"
          onClick={() => to(value + 1)}
          disabled={value >= length}
          aria-label="One event on"
          title="one event on"
        >
          <PlayerIcon d="M3 3l6 5-6 5zM12 3v10" />
        </button>
      </span>
      <input
        type="range"
        min={1}
        max={Math.max(1, length)}
        value={value}
        disabled={length < 2}
        aria-label="After event"
        aria-valuetext={
          event === undefined
            ? undefined
            : `after event ${value} of ${length}: ${event.json.type} ${(event.json.name ?? '').slice(0, 100)}`
        }
        onChange={({ target }) => to(Number(target.value))}
      />
      <span className="said">
        {at === null ? (
          <span className="muted">{count(length)} events</span>
        ) : (
          <span title={event === undefined ? undefined : exactTime(event.at)}>
            <b>
              event {count(value)} of {count(length)}
            </b>{' '}
            <span className="muted">+{duration((event?.at ?? began) - began)}</span>
          </span>
        )}
      </span>
      <button
        type="button"
        onClick={() => {
          setPlaying(false)
          go(null)
        }}
        disabled={at === null}
        className={at === null ? '' : 'primary'}
      >
        Back to now
      </button>
    </div>
  )
}

function PlayerIcon({ d }: { readonly d: string }) {
  return (
    <svg viewBox="0 0 16 16" width="13" height="13" aria-hidden="true" fill="currentColor" stroke="currentColor">
      <path d={d} strokeWidth="1.6" strokeLinejoin="round" strokeLinecap="round" />
    </svg>
  )
}
