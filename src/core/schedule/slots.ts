/**
 * The slots of a schedule: the instants that its times name. All processes get the same from the same times.
 *
 * T1. A time that the clock shows twice is meant once, the first; one that it never shows, for it was put forward, is
 *     meant at the moment that it was. A pattern whose hours are all (or one in so many) fires instead whenever the
 *     clock shows one of its times: in each real hour.
 * T2. `every` counts from the epoch.
 * T3. The jitter of a slot follows from the schedule's id and the slot, and ends before the next slot.
 */
import { createHash } from 'node:crypto'
import type { Pattern } from './fields.js'
import type { Times } from './times.js'
import type { Zone } from './zone.js'

const dayMs = 86_400_000
/** What so many slots in a row are excluded from has none. */
const maxExcluded = 10_000

export class Slots {
  readonly #times: Times
  readonly #sources: readonly ((after: number) => number | null)[]

  constructor(times: Times) {
    this.#times = times
    this.#sources = [
      ...times.patterns
        .map((pattern) => new PatternSlots(pattern, times.zone))
        .map((slots) => (after: number) => slots.next(after)),
      ...(times.every === null ? [] : [everySlots(times.every)]),
      ...(times.at.length === 0 ? [] : [(after: number) => times.at.find((at) => at > after) ?? null]),
    ]
  }

  /** The first slot after an instant, ms since the epoch; null: there is none. */
  next(after: number): number | null {
    const { startAt, endAt, exclude, zone } = this.#times
    let from = Math.max(after, (startAt ?? 0) - 1)
    for (let n = 0; n < maxExcluded; n++) {
      let slot: number | null = null
      for (const source of this.#sources) {
        const next = source(from)
        if (next !== null && (slot === null || next < slot)) slot = next
      }
      if (slot === null || slot > endAt) return null
      const local = exclude.length === 0 ? 0 : zone.local(slot)
      const hit = exclude.map((test) => test(local)).find(({ fits }) => fits)
      if (hit === undefined) return slot
      // To the last moment of what is left out as a whole, unless the clock is set within.
      const end = slot + hit.span - (local % hit.span) - 1
      from = zone.changes(slot, end + 1) ? slot : end
    }
    return null
  }

  /** Slots after an instant, up to and with another. */
  *between(after: number, to: number): Generator<number> {
    for (let slot = this.next(after); slot !== null && slot <= to; slot = this.next(slot)) yield slot
  }

  /** When a slot fires. */
  fireAt(id: string, slot: number): number {
    const { jitterMs } = this.#times
    if (jitterMs === 0) return slot
    const next = this.next(slot)
    const span = Math.min(jitterMs, next === null ? jitterMs : next - slot - 1)
    return slot + Math.floor((hashOf(`${id}@${slot}`) / 2 ** 32) * span)
  }
}

function hashOf(text: string): number {
  return createHash('sha256').update(text).digest().readUInt32BE(0)
}

function everySlots({ everyMs, offsetMs }: { readonly everyMs: number; readonly offsetMs: number }) {
  return (after: number) => {
    const slot = (Math.floor((after - offsetMs) / everyMs) + 1) * everyMs + offsetMs
    return slot <= 8.64e15 ? slot : null
  }
}

class PatternSlots {
  readonly #pattern: Pattern
  readonly #zone: Zone
  /** The slots of the last day on which the clock was set. */
  #odd: { readonly day: number; readonly slots: readonly number[] } = { day: Number.NaN, slots: [] }

  constructor(pattern: Pattern, zone: Zone) {
    this.#pattern = pattern
    this.#zone = zone
  }

  next(after: number): number | null {
    const zone = this.#zone
    const local = zone.local(after)
    // Where clocks are put back over midnight the day before comes again, and the next has begun before.
    const back = zone.changes(after - 2 * dayMs, after + 2 * dayMs) ? dayMs : 0
    let day = this.#pattern.nextDay(local - (local % dayMs) - back)
    for (; day !== null; day = this.#pattern.nextDay(day + dayMs)) {
      const slot = this.#onDay(day, after)
      if (slot === null) continue
      if (!zone.changes(slot - 2 * dayMs, slot + 2 * dayMs)) return slot
      const following = this.#pattern.nextDay(day + dayMs) === day + dayMs ? this.#onDay(day + dayMs, after) : null
      return following !== null && following < slot ? following : slot
    }
    return null
  }

  /** The first slot of a local day that is after an instant. */
  #onDay(day: number, after: number): number | null {
    const zone = this.#zone
    if (!zone.changes(day - 2 * dayMs, day + 2 * dayMs)) {
      const offset = zone.local(day) - day
      const time = this.#timeFrom(after + 1 + offset - day)
      return time === null ? null : day + time - offset
    }
    if (this.#odd.day !== day) this.#odd = { day, slots: this.#oddDay(day) }
    return this.#odd.slots.find((slot) => slot > after) ?? null
  }

  /** T1 */
  #oddDay(day: number): number[] {
    const slots = new Set<number>()
    for (const hour of this.#pattern.hours) {
      for (const minute of this.#pattern.minutes) {
        for (const second of this.#pattern.seconds) {
          const local = day + ((hour * 60 + minute) * 60 + second) * 1_000
          const instants = this.#zone.instants(local)
          if (this.#pattern.everyHour) for (const at of instants) slots.add(at)
          else slots.add(instants[0] ?? this.#zone.gapEnd(local))
        }
      }
    }
    return [...slots].sort((a, b) => a - b)
  }

  /** The first time of the day, in ms, from this one on; null: that was the last. */
  #timeFrom(ms: number): number | null {
    const { hours, minutes, seconds } = this.#pattern
    const from = Math.max(0, Math.ceil(ms / 1_000))
    if (from >= 86_400) return null
    const [h, m, s] = [Math.floor(from / 3_600), Math.floor(from / 60) % 60, from % 60]
    for (const hour of hours) {
      if (hour < h) continue
      for (const minute of minutes) {
        if (hour === h && minute < m) continue
        const second = hour === h && minute === m ? seconds.find((each) => each >= s) : seconds[0]
        if (second !== undefined) return ((hour * 60 + minute) * 60 + second) * 1_000
      }
    }
    return null
  }
}
