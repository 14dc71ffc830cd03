/** Sets of hours, minutes, days and the like, from cron or a calendar. */
import { Cron } from 'croner'
import { InvalidInputError } from '../errors.js'
import type { Calendar, CalendarField } from '../schedule-types.js'
import { checkFields } from '../suggest.js'

const dayMs = 86_400_000

/** Local times: on which days, and at which times of a day. Local times are ms as if they were UTC. */
export interface Pattern {
  /** The first day that fits, from this one on (its first ms); null: none. */
  nextDay(from: number): number | null
  /** Ascending. */
  readonly hours: readonly number[]
  readonly minutes: readonly number[]
  readonly seconds: readonly number[]
  /**
   * Its hours follow the clock, which shows some times twice in a year and others not at all: it fires whenever the
   * clock shows one. Else each of its times is meant once.
   */
  readonly everyHour: boolean
}

// ── cron ─────────────────────────────────────────────────────────────────────────────────────────

const nicknames: Record<string, string> = {
  '@yearly': '0 0 1 1 *',
  '@annually': '0 0 1 1 *',
  '@monthly': '0 0 1 * *',
  '@weekly': '0 0 * * 0',
  '@daily': '0 0 * * *',
  '@midnight': '0 0 * * *',
  '@hourly': '0 * * * *',
}

/** @throws InvalidInputError */
export function cronPattern(text: unknown, what: string): Pattern {
  if (typeof text !== 'string' || text.length > 1_000) {
    throw new InvalidInputError(
      `${what}: expected a cron expression, got ${typeof text === 'string' ? `text of ${text.length} characters` : String(text)}.`,
    )
  }
  const shown = JSON.stringify(text.slice(0, 80))
  const given = (nicknames[text.trim().toLowerCase()] ?? text).trim().split(/\s+/)
  if (given.length < 5 || given.length > 7 || given[0] === '') {
    throw new InvalidInputError(
      `${what}: expected five fields (minute, hour, day of month, month, day of week), six with seconds in front, or seven with the year behind, got ${shown}.`,
    )
  }
  const [seconds, minutes, hours, ...day] = given.length === 5 ? ['0', ...given] : given
  let days: Cron
  try {
    // What is read here is read strictly, all fields of it; only the days are asked for.
    new Cron(given.join(' '), { timezone: 'UTC', paused: true })
    days = new Cron(`0 0 0 ${day.join(' ')}`, { timezone: 'UTC', paused: true })
  } catch (error) {
    const said = (error as Error).message.replace(/^CronPattern: /, '')
    throw new InvalidInputError(`${what}: expected a cron expression, got ${shown}: ${said}`)
  }
  const hourSet = cronField(hours!, 0, 23)
  return {
    nextDay: cachedDays((from) => days.nextRun(new Date(from - 1_000))?.getTime() ?? null),
    hours: hourSet,
    minutes: cronField(minutes!, 0, 59),
    seconds: cronField(seconds!, 0, 59),
    everyHour: hours!.startsWith('*') || hours!.startsWith('?') || hourSet.length === 24,
  }
}

/** A field that has been found to be well formed. */
function cronField(text: string, min: number, max: number): number[] {
  const found = new Set<number>()
  for (const part of text.split(',')) {
    const [range, step = '1'] = part.split('/') as [string, string?]
    const [from, to] = range === '*' || range === '?' ? [min, max] : (range.split('-').map(Number) as [number, number?])
    for (let value = from; value <= (to ?? from); value += Number(step)) found.add(value)
  }
  return [...found].sort((a, b) => a - b)
}

/** Those who go through the times of a day ask for the same day again and again. */
function cachedDays(ask: (from: number) => number | null): (from: number) => number | null {
  let asked = Number.NaN
  let answer: number | null = null
  return (from) => {
    if (from >= asked && (answer === null || from <= answer)) return answer
    asked = from
    answer = ask(from)
    return answer
  }
}

// ── calendars ────────────────────────────────────────────────────────────────────────────────────

const ranges = {
  years: [1970, 9_999],
  months: [1, 12],
  daysOfMonth: [-31, 31],
  daysOfWeek: [0, 7],
  hours: [0, 23],
  minutes: [0, 59],
  seconds: [0, 59],
} as const
type FieldName = keyof typeof ranges

/** Null: any. */
type Fields = Record<FieldName, readonly number[] | null>

function fieldsOf(calendar: unknown, what: string): Fields {
  if (typeof calendar !== 'object' || calendar === null || Array.isArray(calendar)) {
    throw new InvalidInputError(
      `${what}: expected an object with months, daysOfMonth, hours and the like, got ${String(calendar)}.`,
    )
  }
  checkFields(calendar, Object.keys(ranges), what)
  const given = calendar as Calendar
  const names = Object.keys(ranges) as FieldName[]
  return Object.fromEntries(names.map((name) => [name, calendarField(given[name], name, what)])) as Fields
}

function calendarField(field: CalendarField | undefined, name: FieldName, what: string): number[] | null {
  if (field === undefined || field === '*') return null
  const [min, max] = ranges[name]
  const found = new Set<number>()
  const number = (value: unknown) => {
    if (Number.isInteger(value) && (value as number) >= min && (value as number) <= max) return value as number
    throw new InvalidInputError(
      `${what}, ${name}: expected whole numbers from ${min} to ${max}, got ${JSON.stringify(value)}.`,
    )
  }
  const parts = Array.isArray(field) ? field : [field]
  if (parts.length === 0) throw new InvalidInputError(`${what}, ${name}: expected at least one value, got none.`)
  for (const part of parts) {
    if (typeof part !== 'object' || part === null) {
      found.add(number(part))
      continue
    }
    checkFields(part, ['from', 'to', 'step'], `${what}, ${name}`)
    const { from, to, step = 1 } = part
    if (!Number.isInteger(step) || step < 1 || number(from) > number(to)) {
      throw new InvalidInputError(
        `${what}, ${name}: expected a range with from, to (not before from) and step (from 1), got ${JSON.stringify(part)}.`,
      )
    }
    for (let value = from; value <= to; value += step) found.add(value)
  }
  if (name === 'daysOfMonth' && found.has(0)) {
    throw new InvalidInputError(`${what}, ${name}: expected days from 1, or from -1 for the last of the month, got 0.`)
  }
  if (name === 'daysOfWeek' && found.delete(7)) found.add(0)
  return [...found].sort((a, b) => a - b)
}

/** A day of week, a day of February and a year fit together once in so many days at the latest. */
const farthestDays = 366 * 41

/** @throws InvalidInputError */
export function calendarPattern(calendar: unknown, what: string): Pattern {
  const fields = fieldsOf(calendar, what)
  const hours = fields.hours ?? ((calendar as Calendar).hours === '*' ? all(24) : [0])
  return {
    nextDay: cachedDays((from) => {
      const { years } = fields
      const last = years?.at(-1)
      const first = years?.find((year) => year >= new Date(from).getUTCFullYear())
      for (
        let day = first === undefined ? from : Math.max(from, Date.UTC(first, 0, 1)), n = 0;
        n < farthestDays;
        n++, day += dayMs
      ) {
        if (dayFits(fields, day)) return day
        if (last !== undefined && new Date(day).getUTCFullYear() > last) return null
      }
      return null
    }),
    hours,
    minutes: fields.minutes ?? ((calendar as Calendar).minutes === '*' ? all(60) : [0]),
    seconds: fields.seconds ?? ((calendar as Calendar).seconds === '*' ? all(60) : [0]),
    everyHour: hours.length === 24 || isStepped((calendar as Calendar).hours),
  }
}

/** All hours, one in so many. */
function isStepped(hours: CalendarField | undefined): boolean {
  return (
    typeof hours === 'object' &&
    !Array.isArray(hours) &&
    (hours as { from: number; to: number }).from === 0 &&
    (hours as { to: number }).to === 23
  )
}

/**
 * Whether a local time is one of a calendar's, and how much around it is alike, ms: its day, hour, minute or second.
 * @throws InvalidInputError
 */
export function calendarTest(calendar: unknown, what: string): (local: number) => { fits: boolean; span: number } {
  const fields = fieldsOf(calendar, what)
  const span =
    fields.seconds !== null ? 1_000 : fields.minutes !== null ? 60_000 : fields.hours !== null ? 3_600_000 : dayMs
  return (local) => {
    const at = new Date(local)
    const fits =
      has(fields.hours, at.getUTCHours()) &&
      has(fields.minutes, at.getUTCMinutes()) &&
      has(fields.seconds, at.getUTCSeconds()) &&
      dayFits(fields, local)
    return { fits, span }
  }
}

function dayFits({ years, months, daysOfMonth, daysOfWeek }: Fields, local: number): boolean {
  const at = new Date(local)
  const [year, month, day] = [at.getUTCFullYear(), at.getUTCMonth(), at.getUTCDate()]
  if (!has(years, year) || !has(months, month + 1) || !has(daysOfWeek, at.getUTCDay())) return false
  if (has(daysOfMonth, day)) return true
  return has(daysOfMonth, day - new Date(Date.UTC(year, month + 1, 0)).getUTCDate() - 1)
}

const has = (set: readonly number[] | null, value: number) => set === null || set.includes(value)
const all = (count: number) => Array.from({ length: count }, (_, i) => i)
