/**
 * What clocks show somewhere. Local times are numbers as if they were UTC, in ms.
 *
 * Z1. Offsets are whole seconds, and a zone changes its offset at most once a day: a year is known by one look at each
 *     of its days, and where two differ, at the second between them.
 */
import { InvalidInputError } from '../errors.js'
import { didYouMean } from '../suggest.js'

const dayMs = 86_400_000

/** The moment from which on an offset holds. */
interface Change {
  readonly at: number
  readonly before: number
  readonly after: number
}

const zones = new Map<string, Zone>()

/** @throws InvalidInputError */
export function zoneOf(name: string, what: string): Zone {
  let zone = zones.get(name)
  if (zone === undefined) {
    zone = new Zone(name, what)
    zones.set(name, zone)
  }
  return zone
}

export class Zone {
  readonly name: string
  readonly #format: Intl.DateTimeFormat | null
  readonly #years = new Map<number, { readonly first: number; readonly changes: readonly Change[] }>()

  constructor(name: string, what: string) {
    this.name = name
    try {
      this.#format = name === 'UTC' ? null : formatOf(name)
    } catch {
      const help = didYouMean(name, Intl.supportedValuesOf('timeZone')) || " Examples: 'Europe/Berlin', 'UTC'."
      throw new InvalidInputError(`${what}: expected the IANA name of a time zone, got ${JSON.stringify(name)}.${help}`)
    }
  }

  /** What a clock there shows at an instant. */
  local(at: number): number {
    return at + this.#offset(at)
  }

  /** When a clock there shows this: once, twice (the clock was put back), or never (it was put forward). */
  instants(local: number): number[] {
    if (this.#format === null) return [local]
    const offsets = new Set([this.#offset(local - dayMs), this.#offset(local + dayMs), this.#offset(local)])
    return [...offsets]
      .map((offset) => local - offset)
      .filter((at) => this.local(at) === local)
      .sort((a, b) => a - b)
  }

  /** The moment at which the clock skipped a local time that it never showed. */
  gapEnd(local: number): number {
    const year = new Date(local).getUTCFullYear()
    for (const each of [year - 1, year, year + 1]) {
      for (const { at, before, after } of this.#year(each).changes) {
        if (after > before && local >= at + before && local < at + after) return at
      }
    }
    throw new Error(`${this.name}: ${new Date(local).toISOString()} is in no gap`)
  }

  /** The clock is put forward or back within this span of instants. */
  changes(from: number, to: number): boolean {
    return this.#format !== null && this.#offset(from) !== this.#offset(to)
  }

  #offset(at: number): number {
    if (this.#format === null) return 0
    const { first, changes } = this.#year(new Date(at).getUTCFullYear())
    let offset = first
    for (const change of changes) if (change.at <= at) offset = change.after
    return offset
  }

  #year(year: number): { readonly first: number; readonly changes: readonly Change[] } {
    const known = this.#years.get(year)
    if (known !== undefined) return known
    const end = Date.UTC(year + 1, 0, 1)
    let from = Date.UTC(year, 0, 1)
    const first = this.#ask(from)
    let before = first
    const changes: Change[] = []
    for (; from < end; from += dayMs) {
      const after = this.#ask(from + dayMs)
      if (after === before) continue
      let [low, high] = [from / 1_000, (from + dayMs) / 1_000]
      while (high - low > 1) {
        const middle = Math.floor((low + high) / 2)
        if (this.#ask(middle * 1_000) === before) low = middle
        else high = middle
      }
      changes.push({ at: high * 1_000, before, after })
      before = after
    }
    const found = { first, changes }
    this.#years.set(year, found)
    return found
  }

  #ask(at: number): number {
    const parts: Record<string, number> = {}
    for (const { type, value } of this.#format!.formatToParts(at)) parts[type] = Number(value)
    const { year, month, day, hour, minute, second } = parts as Record<string, number>
    return Date.UTC(year!, month! - 1, day, hour! % 24, minute, second) - Math.floor(at / 1_000) * 1_000
  }
}

function formatOf(timeZone: string): Intl.DateTimeFormat {
  return new Intl.DateTimeFormat('en-US', {
    timeZone,
    calendar: 'gregory',
    numberingSystem: 'latn',
    hourCycle: 'h23',
    year: 'numeric',
    month: 'numeric',
    day: 'numeric',
    hour: 'numeric',
    minute: 'numeric',
    second: 'numeric',
  })
}
