/** When schedules fire: zones, clocks that are put forward and back, calendars, intervals, jitter; and what is refused. */
import { describe, expect, test } from 'vitest'
import { calendarTest, cronPattern } from '../../src/core/schedule/fields.js'
import { Slots } from '../../src/core/schedule/slots.js'
import { checkTimes, checkTimesFrom } from '../../src/core/schedule/times.js'
import { zoneOf } from '../../src/core/schedule/zone.js'
import type { ScheduleTimes } from '../../src/core/types.js'
import { InvalidInputError } from '../../src/index.js'

function slots(times: ScheduleTimes, from: string, to: string): string[] {
  const found = new Slots(checkTimes(times, 'schedule')).between(Date.parse(from) - 1, Date.parse(to))
  return [...found].map((slot) => new Date(slot).toISOString().replace(':00.000Z', 'Z'))
}

describe('clocks that are set', () => {
  const berlin = { timeZone: 'Europe/Berlin' }
  test('put forward: a fixed time that is skipped fires once, at the moment that the clock was put forward', () => {
    const day = ['2026-03-28T12:00Z', '2026-03-30T12:00Z'] as const
    expect(slots({ cron: '30 2 * * *', ...berlin }, ...day)).toEqual(['2026-03-29T01:00Z', '2026-03-30T00:30Z'])
    expect(slots({ cron: '*/15 2 * * *', ...berlin }, '2026-03-29T00:00Z', '2026-03-29T12:00Z')).toEqual([
      '2026-03-29T01:00Z',
    ])
    expect(slots({ calendars: [{ hours: 2, minutes: 30 }], ...berlin }, ...day)).toEqual([
      '2026-03-29T01:00Z',
      '2026-03-30T00:30Z',
    ])
    // Together with what is meant for that moment anyway.
    expect(slots({ cron: '0,30 2,3 * * *', ...berlin }, '2026-03-29T00:00Z', '2026-03-29T12:00Z')).toEqual([
      '2026-03-29T01:00Z',
      '2026-03-29T01:30Z',
    ])
  })
  test('put back: a fixed time that comes twice fires the first time', () => {
    const day = ['2026-10-24T12:00Z', '2026-10-26T12:00Z'] as const
    expect(slots({ cron: '30 2 * * *', ...berlin }, ...day)).toEqual(['2026-10-25T00:30Z', '2026-10-26T01:30Z'])
    expect(slots({ cron: '0,30 1-3 * * *', ...berlin }, '2026-10-24T22:30Z', '2026-10-25T06:00Z')).toEqual([
      '2026-10-24T23:00Z',
      '2026-10-24T23:30Z',
      '2026-10-25T00:00Z',
      '2026-10-25T00:30Z',
      '2026-10-25T02:00Z',
      '2026-10-25T02:30Z',
    ])
  })
  test('hours that are all, or one in so many, fire in each real hour that the clock shows', () => {
    expect(slots({ cron: '30 * * * *', ...berlin }, '2026-10-24T23:00Z', '2026-10-25T02:59Z')).toEqual([
      '2026-10-24T23:30Z',
      '2026-10-25T00:30Z',
      '2026-10-25T01:30Z',
      '2026-10-25T02:30Z',
    ])
    expect(slots({ cron: '30 * * * *', ...berlin }, '2026-03-29T00:00Z', '2026-03-29T01:59Z')).toEqual([
      '2026-03-29T00:30Z',
      '2026-03-29T01:30Z',
    ])
    expect(slots({ cron: '0 */2 * * *', ...berlin }, '2026-10-24T22:00Z', '2026-10-25T04:00Z')).toEqual([
      '2026-10-24T22:00Z',
      '2026-10-25T00:00Z',
      '2026-10-25T01:00Z',
      '2026-10-25T03:00Z',
    ])
    const all = { hours: '*', minutes: 30 } as const
    expect(slots({ calendars: [all], ...berlin }, '2026-10-24T23:00Z', '2026-10-25T02:59Z')).toHaveLength(4)
  })
  test('half an hour, midnight, and a day that was left out', () => {
    const lordHowe = { timeZone: 'Australia/Lord_Howe' }
    expect(slots({ cron: '15 2 * * *', ...lordHowe }, '2026-10-03T12:00Z', '2026-10-04T12:00Z')).toEqual([
      '2026-10-03T15:30Z',
    ])
    expect(slots({ cron: '45 1 * * *', ...lordHowe }, '2026-04-04T10:00Z', '2026-04-05T10:00Z')).toEqual([
      '2026-04-04T14:45Z',
    ])
    // In Beirut the day of the change has no midnight.
    const beirut = { timeZone: 'Asia/Beirut' }
    expect(slots({ cron: '0 0 * * *', ...beirut }, '2026-03-27T12:00Z', '2026-03-30T12:00Z')).toEqual([
      '2026-03-27T22:00Z',
      '2026-03-28T22:00Z',
      '2026-03-29T21:00Z',
    ])
    const apia = { timeZone: 'Pacific/Apia' }
    expect(slots({ cron: '0 9 * * *', ...apia }, '2011-12-29T00:00Z', '2012-01-01T00:00Z')).toEqual([
      '2011-12-29T19:00Z',
      '2011-12-30T10:00Z',
      '2011-12-30T19:00Z',
      '2011-12-31T19:00Z',
    ])
    // Put back a minute past midnight: the day before comes again.
    const johns = { timeZone: 'America/St_Johns' }
    expect(slots({ cron: '30 * * * *', ...johns }, '2010-11-07T01:00Z', '2010-11-07T05:00Z')).toEqual([
      '2010-11-07T01:00Z',
      '2010-11-07T02:00Z',
      '2010-11-07T03:00Z',
      '2010-11-07T04:00Z',
      '2010-11-07T05:00Z',
    ])
  })
})

describe('what can be said', () => {
  const year = ['2026-01-01T00:00Z', '2026-12-31T23:59Z'] as const
  test('cron: seconds, years, names, the last day, the nth weekday, nicknames', () => {
    expect(slots({ cron: '*/20 0 0 1 1 *' }, '2026-01-01T00:00Z', '2026-01-01T01:00Z')).toEqual([
      '2026-01-01T00:00Z',
      '2026-01-01T00:00:20.000Z',
      '2026-01-01T00:00:40.000Z',
    ])
    expect(slots({ cron: '0 0 12 1 JAN ? 2027' }, '2026-01-01T00:00Z', '2030-01-01T00:00Z')).toEqual([
      '2027-01-01T12:00Z',
    ])
    expect(slots({ cron: '0 0 L * *' }, ...year).map((slot) => slot.slice(5, 10))).toEqual(
      '01-31 02-28 03-31 04-30 05-31 06-30 07-31 08-31 09-30 10-31 11-30 12-31'.split(' '),
    )
    expect(slots({ cron: '0 0 * * MON#1' }, '2026-01-01T00:00Z', '2026-03-31T00:00Z')).toEqual([
      '2026-01-05T00:00Z',
      '2026-02-02T00:00Z',
      '2026-03-02T00:00Z',
    ])
    expect(slots({ cron: '@weekly' }, '2026-01-01T00:00Z', '2026-01-15T00:00Z')).toEqual([
      '2026-01-04T00:00Z',
      '2026-01-11T00:00Z',
    ])
    // Either of both days, as cron has it.
    expect(slots({ cron: '0 0 13 * 5' }, '2026-02-10T00:00Z', '2026-02-21T00:00Z')).toEqual([
      '2026-02-13T00:00Z',
      '2026-02-20T00:00Z',
    ])
  })
  test('calendars: ranges, steps, from the end of the month, both days', () => {
    const calendar = {
      months: { from: 1, to: 12, step: 3 },
      daysOfMonth: -1,
      hours: [8, { from: 20, to: 22, step: 2 }],
    }
    expect(slots({ calendars: [calendar] }, '2026-01-01T00:00Z', '2026-05-01T00:00Z')).toEqual([
      ...['2026-01-31T08:00Z', '2026-01-31T20:00Z', '2026-01-31T22:00Z'],
      ...['2026-04-30T08:00Z', '2026-04-30T20:00Z', '2026-04-30T22:00Z'],
    ])
    const friday = { daysOfMonth: 13, daysOfWeek: 5, years: [2026] }
    expect(slots({ calendars: [friday] }, '2020-01-01T00:00Z', '2030-01-01T00:00Z')).toEqual([
      '2026-02-13T00:00Z',
      '2026-03-13T00:00Z',
      '2026-11-13T00:00Z',
    ])
  })
  test('several together are one sequence, less what is excluded', () => {
    const times: ScheduleTimes = {
      cron: ['0 9 * * 1-5', '0 9 * * 1'],
      at: [new Date('2026-12-24T15:00Z')],
      exclude: [
        { months: 12, daysOfMonth: [24, 25] },
        { hours: 9, daysOfWeek: 2 },
      ],
      timeZone: 'America/New_York',
    }
    expect(slots(times, '2026-12-21T00:00Z', '2026-12-29T23:00Z')).toEqual([
      '2026-12-21T14:00Z',
      '2026-12-23T14:00Z',
      '2026-12-28T14:00Z',
    ])
  })
  test('intervals count from the epoch', () => {
    expect(slots({ every: '40m', offset: '5m' }, '2026-01-01T00:00Z', '2026-01-01T02:00Z')).toEqual([
      '2026-01-01T00:05Z',
      '2026-01-01T00:45Z',
      '2026-01-01T01:25Z',
    ])
  })
  test('from and until', () => {
    const times = { every: '1d', startAt: new Date('2026-01-03T00:00Z'), endAt: new Date('2026-01-05T00:00Z') } as const
    expect(slots(times, ...year)).toEqual(['2026-01-03T00:00Z', '2026-01-04T00:00Z', '2026-01-05T00:00Z'])
  })
  test('jitter follows from the id and the slot, is within its span, and ends before the next slot', () => {
    const [some, same] = [1, 2].map(() => new Slots(checkTimes({ every: '1m', jitter: '10m' }, 'schedule')))
    const at = (id: string, of = some!) => Array.from({ length: 200 }, (_, i) => of.fireAt(id, i * 60_000) - i * 60_000)
    expect(at('a')).toEqual(at('a', same))
    expect(at('a')).not.toEqual(at('b'))
    expect(Math.min(...at('a'))).toBeGreaterThanOrEqual(0)
    expect(Math.max(...at('a'))).toBeLessThan(60_000)
    expect(new Set(at('a')).size).toBeGreaterThan(150)
    const rare = new Slots(checkTimes({ cron: '@daily', jitter: '1h' }, 'schedule'))
    const late = Array.from({ length: 100 }, (_, i) => rare.fireAt('a', i * 86_400_000) - i * 86_400_000)
    expect(Math.max(...late)).toBeLessThan(3_600_000)
    expect(Math.max(...late)).toBeGreaterThan(2_400_000)
  })
  test('the next of any instant is the same as in the sequence', () => {
    const of = new Slots(checkTimes({ cron: '*/7 1-3 * * *', timeZone: 'Europe/Berlin' }, 'schedule'))
    for (const from of ['2026-03-28T20:00Z', '2026-10-24T20:00Z'].map(Date.parse)) {
      const all = [...of.between(from, from + 2 * 86_400_000)]
      for (let at = from; at < from + 86_400_000; at += 61_000) expect(of.next(at)).toBe(all.find((slot) => slot > at))
    }
  })
})

describe('what is refused', () => {
  const refused: [string, any, string][] = [
    ['nothing', {}, 'one of cron, every, at and calendars'],
    ['an unknown field', { crom: '* * * * *' }, 'Did you mean "cron"?'],
    ['too few fields', { cron: '* * *' }, 'cron: expected five fields'],
    ['a number out of range', { cron: '61 * * * *' }, 'Invalid value for minute: 61'],
    ['one of several', { cron: ['* * * * *', '* 25 * * *'] }, 'cron[1]'],
    ['text that is none', { cron: "'; DROP TABLE runs; --" }, 'cron'],
    ['a date as cron', { cron: '2026-01-01T00:00:00' }, 'cron: expected five fields'],
    ['no text', { cron: 5 }, 'cron: expected a cron expression, got 5'],
    ['endless text', { cron: '1,'.repeat(10_000) }, 'cron: expected a cron expression, got text of 20000'],
    ['a day that never comes', { cron: '0 0 30 2 *' }, 'never fire (0 0 30 2 *)'],
    [
      'a calendar that never comes',
      { calendars: [{ months: 2, daysOfMonth: 30 }] },
      'calendars, taken together, never fire',
    ],
    [
      'everything excluded',
      { cron: '0 0 * * *', exclude: [{ hours: 0 }] },
      'cron, exclude, taken together, never fire',
    ],
    ['everything excluded, by day', { every: '1s', exclude: [{}] }, 'never fire'],
    [
      'all days before the first',
      { at: new Date('2026-01-01'), startAt: new Date('2027-01-01') },
      'at, startAt, taken together, never fire',
    ],
    ['all but an hour that it has not', { cron: '* 5 * * *', exclude: [{ hours: 5 }] }, 'never fire'],
    ['a year that is over', { cron: '0 0 0 1 1 * 1969' }, 'never fire'],
    ['an unknown zone', { cron: '@daily', timeZone: 'Europe/Berlim' }, 'Did you mean "Europe/Berlin"?'],
    ['a zone that is no text', { cron: '@daily', timeZone: 3 }, 'timeZone: expected the IANA name'],
    ['less than a second', { every: '500ms' }, 'every: expected a second or more'],
    ['half a millisecond', { every: 1_000.5 }, 'every: expected whole milliseconds'],
    ['an offset alone', { cron: '@daily', offset: '1m' }, 'offset: expected every beside it'],
    ['an invalid date', { at: new Date('x') }, 'at: expected a valid Date'],
    ['a date in words', { at: 'tomorrow' }, 'at: expected a valid Date'],
    [
      'a month too many',
      { calendars: [{ months: 13 }] },
      'calendars[0], months: expected whole numbers from 1 to 12, got 13',
    ],
    ['no day', { calendars: [{ daysOfMonth: 0 }] }, 'daysOfMonth'],
    ['a range backwards', { calendars: [{ hours: { from: 5, to: 1 } }] }, 'hours: expected a range'],
    ['an empty list', { calendars: [{ hours: [] }] }, 'hours: expected at least one value'],
    ['a step of nothing', { calendars: [{ hours: { from: 1, to: 5, step: 0 } }] }, 'step (from 1)'],
    ['a calendar that is none', { exclude: [null] }, 'exclude[0]: expected an object'],
    [
      'the end before the beginning',
      { every: '1m', startAt: new Date(2), endAt: new Date(1) },
      'endAt: expected a time that is not before startAt',
    ],
    ['too many', { at: Array.from({ length: 101 }, (_, i) => new Date(i)) }, 'at: expected at most 100, got 101'],
    ['null', null, 'expected an object'],
  ]
  test.each(refused)('%s', (_, times, message) => {
    let error: unknown
    try {
      checkTimes(times, 'schedule "x"')
    } catch (thrown) {
      error = thrown
    }
    expect(error).toBeInstanceOf(InvalidInputError)
    expect((error as Error).message).toContain(message)
    expect((error as Error).message).toMatch(/^schedule "x"/)
  })
  test('what is past, when it is asked for now', () => {
    const now = Date.parse('2026-06-01T00:00Z')
    expect(() => checkTimesFrom({ at: new Date('2026-05-31') }, now, 'schedule "x"')).toThrow(
      'at: expected a time that is still to come',
    )
    expect(() => checkTimesFrom({ every: '1h', endAt: new Date('2026-05-31') }, now, 'schedule "x"')).toThrow(
      'endAt: expected',
    )
    expect(checkTimesFrom({ at: new Date('2026-06-02') }, now, 'x').next(now)).toBe(Date.parse('2026-06-02'))
  })
})

test('a zone answers alike whichever way it is asked', () => {
  const zone = zoneOf('Europe/Berlin', 'zone')
  for (let at = Date.parse('2026-01-01'); at < Date.parse('2027-01-01'); at += 3_333_000) {
    expect(zone.instants(zone.local(at))).toContain(at)
  }
  expect(cronPattern('5 4 * * *', 'cron')).toMatchObject({ seconds: [0], minutes: [5], hours: [4], everyHour: false })
  expect(calendarTest({ hours: 3 }, 'x')(Date.UTC(2026, 0, 1, 3, 59))).toEqual({ fits: true, span: 3_600_000 })
})
