/** Checks when a schedule is to fire, field by field, whether a program, a config, JSON or SQL says it. */
import { durationMs } from '../duration.js'
import { InvalidInputError } from '../errors.js'
import type { ScheduleTimes } from '../schedule-types.js'
import { checkFields } from '../suggest.js'
import type { Duration } from '../types.js'
import { calendarPattern, calendarTest, cronPattern, type Pattern } from './fields.js'
import { Slots } from './slots.js'
import { type Zone, zoneOf } from './zone.js'

export const timesFields = [
  'cron',
  'every',
  'offset',
  'at',
  'calendars',
  'exclude',
  'timeZone',
  'startAt',
  'endAt',
  'jitter',
] as const

/** Ready to be worked with. Times are ms since the epoch. */
export interface Times {
  readonly patterns: readonly Pattern[]
  readonly every: { readonly everyMs: number; readonly offsetMs: number } | null
  /** Ascending. */
  readonly at: readonly number[]
  readonly exclude: readonly ((local: number) => { fits: boolean; span: number })[]
  readonly zone: Zone
  readonly startAt: number | null
  readonly endAt: number
  readonly jitterMs: number
}

/** The last moment that a database and a Date both have. */
const never = Date.UTC(9999, 11, 31)
const maxSpecs = 100

/**
 * `what` says where they stand. Dates may be given as text.
 * @throws InvalidInputError naming the field, also when no slot fits ever
 */
export function checkTimes(given: ScheduleTimes, what: string): Times {
  if (typeof given !== 'object' || given === null || Array.isArray(given)) {
    throw new InvalidInputError(`${what}: expected an object with cron, every, at or calendars, got ${String(given)}.`)
  }
  checkFields(given, timesFields, what)
  const { cron, every, offset, at, calendars, exclude, timeZone = 'UTC', startAt, endAt, jitter } = given
  const field = (name: string, i?: number) => `${what}: ${name}${i === undefined ? '' : `[${i}]`}`
  if (typeof timeZone !== 'string') {
    throw new InvalidInputError(`${field('timeZone')}: expected the IANA name of a time zone, got ${String(timeZone)}.`)
  }
  const zone = zoneOf(timeZone, field('timeZone'))
  const crons = listOf(cron, field('cron'))
  const everyMs = every === undefined ? null : wholeMs(every, field('every'))
  if (everyMs !== null && everyMs < 1_000) {
    throw new InvalidInputError(`${field('every')}: expected a second or more, got ${String(every)}.`)
  }
  if (offset !== undefined && everyMs === null) {
    throw new InvalidInputError(`${field('offset')}: expected every beside it, got none.`)
  }
  const times: Times = {
    patterns: [
      ...crons.map((each, i) => cronPattern(each, field('cron', Array.isArray(cron) ? i : undefined))),
      ...listOf(calendars, field('calendars')).map((each, i) => calendarPattern(each, field('calendars', i))),
    ],
    every:
      everyMs === null
        ? null
        : { everyMs, offsetMs: offset === undefined ? 0 : wholeMs(offset, field('offset')) % everyMs },
    at: listOf(at, field('at'))
      .map((each, i) => instant(each, field('at', Array.isArray(at) ? i : undefined)))
      .sort((a, b) => a - b),
    exclude: listOf(exclude, field('exclude')).map((each, i) => calendarTest(each, field('exclude', i))),
    zone,
    startAt: startAt === undefined ? null : instant(startAt, field('startAt')),
    endAt: endAt === undefined ? never : instant(endAt, field('endAt')),
    jitterMs: jitter === undefined ? 0 : wholeMs(jitter, field('jitter')),
  }
  if (times.patterns.length === 0 && times.every === null && times.at.length === 0) {
    throw new InvalidInputError(`${what}: expected when to fire: one of cron, every, at and calendars, got none.`)
  }
  if (times.startAt !== null && times.startAt > times.endAt) {
    throw new InvalidInputError(`${field('endAt')}: expected a time that is not before startAt, got ${String(endAt)}.`)
  }
  if (new Slots(times).next(0) === null) {
    const named = timesFields.filter((name) => given[name] !== undefined && name !== 'jitter' && name !== 'timeZone')
    throw new InvalidInputError(
      `${what}: expected times that come, but ${named.join(', ')}, taken together, never fire${crons.length === 0 ? '' : ` (${crons.map(String).join('; ')})`}.`,
    )
  }
  return times
}

/** Those that a caller of this moment may give. @throws InvalidInputError also when the last slot is past */
export function checkTimesFrom(given: ScheduleTimes, now: number, what: string): Slots {
  const slots = new Slots(checkTimes(given, what))
  if (slots.next(now) !== null) return slots
  const field = given.endAt !== undefined && given.at === undefined ? 'endAt' : 'at'
  throw new InvalidInputError(
    `${what}: ${field}: expected a time that is still to come, but no slot is after ${new Date(now).toISOString()}: it would never fire.`,
  )
}

const known = new Map<string, Slots>()

/** The slots of times as they are stored. @throws InvalidInputError when they cannot be read */
export function slotsOf(times: string): Slots {
  let slots = known.get(times)
  if (slots === undefined) {
    slots = new Slots(checkTimes(JSON.parse(times), 'schedule'))
    if (known.size >= 10_000) known.clear()
    known.set(times, slots)
  }
  return slots
}

/** Of options of a schedule, those that say when. */
export function timesIn(options: ScheduleTimes): ScheduleTimes {
  return Object.fromEntries(
    timesFields.flatMap((field) => (options[field] === undefined ? [] : [[field, options[field]]])),
  )
}

/** In words, for lists: `cron 0 3 * * *`. */
export function sayTimes({ cron, every, offset, at, calendars, exclude }: ScheduleTimes): string {
  const list = (value: unknown) =>
    (Array.isArray(value) ? value : [value]).map((each) => (each instanceof Date ? each.toISOString() : String(each)))
  const parts = [
    ...(cron === undefined ? [] : list(cron).map((each) => `cron ${each}`)),
    ...(every === undefined
      ? []
      : [
          `every ${typeof every === 'number' ? `${every}ms` : every}${offset === undefined ? '' : ` + ${typeof offset === 'number' ? `${offset}ms` : offset}`}`,
        ]),
    ...(at === undefined
      ? []
      : list(at)
          .slice(0, 3)
          .map((each) => `at ${each}`)),
    ...(calendars === undefined ? [] : [`${calendars.length === 1 ? 'a calendar' : `${calendars.length} calendars`}`]),
  ]
  return parts.join(', ') + (exclude === undefined || exclude.length === 0 ? '' : ', with exclusions')
}

function listOf(value: unknown, what: string): readonly unknown[] {
  const list = value === undefined ? [] : Array.isArray(value) ? value : [value]
  if (list.length <= maxSpecs) return list
  throw new InvalidInputError(`${what}: expected at most ${maxSpecs}, got ${list.length}.`)
}

function wholeMs(value: Duration, what: string): number {
  const ms = durationMs(value, what)
  if (Number.isInteger(ms)) return ms
  throw new InvalidInputError(`${what}: expected whole milliseconds, got ${String(value)}.`)
}

function instant(value: unknown, what: string): number {
  const ms =
    value instanceof Date
      ? value.getTime()
      : typeof value === 'string' && /^\d{4}-\d\d-\d\dT.*(Z|[+-]\d\d:\d\d)$/.test(value)
        ? Date.parse(value)
        : Number.NaN
  if (ms >= 0 && ms <= never) return ms
  throw new InvalidInputError(
    `${what}: expected a valid Date from 1970 on (in JSON: 2026-01-31T08:00:00Z), got ${value instanceof Date ? 'another Date' : JSON.stringify(value)}.`,
  )
}
