/** `stet.schedules` in both stores: fired at their times, once, through each policy. */
import { describe, expect, inject, onTestFinished, test } from 'vitest'
import { IdConflictError, InvalidInputError, ScheduleNotFoundError, Stet, signal, workflow } from '../../src/index.js'
import { createTestDatabase, dropTestDatabase, postgresTime } from '../../src/store/postgres/test-database.js'
import { type TestEnv, testEnv } from '../../src/testing/index.js'
import { eventually } from '../support/harness.js'
import { databases } from '../testing/databases.js'

const go = signal('go')
const note = workflow('note', async (ctx, input: string) => `${input} ${ctx.run.scheduledFor?.toISOString()}`)
const hold = workflow('hold', async (ctx) => {
  try {
    await ctx.waitForSignal(go)
  } finally {
    await ctx.shield(async (ctx) => ctx.sleep('1m'))
  }
  return 'held'
})
const again = workflow('again', async (ctx) => {
  if (
    ctx.run.parent === undefined &&
    (await ctx.waitForSignal(go, { timeout: '5m', default: 'next' as never })) === ('next' as never)
  ) {
    await ctx.continueAsNew()
  }
})
const all = [note, hold, again]

/** A minute past an hour, so that each hour that passes has one slot, and minutes that pass have none. */
async function opened(on: (typeof databases)[number]): Promise<TestEnv> {
  const env = await testEnv({ workflows: all, ...on })
  await env.clock.advance(3_660_000 - (env.clock.now() % 3_600_000))
  return env
}

describe.each(databases)('$database', (on) => {
  test('a cron schedule starts a run for each slot, which knows its slot', async () => {
    await using env = await opened(on)
    const { stet, clock } = env
    await stet.schedules.create('hourly', { workflow: note, input: 'at', cron: '0 * * * *' })
    const next = await stet.schedules.next('hourly', 3)
    await clock.advance('3h')
    for (const slot of next) {
      const run = stet.run(`hourly@${slot.toISOString()}`)
      expect(await run.result()).toBe(`at ${slot.toISOString()}`)
    }
    const { runs } = await stet.list({ workflow: 'note' })
    expect(runs.map(({ id }) => id)).toEqual(next.map((slot) => `hourly@${slot.toISOString()}`).reverse())
    const described = await stet.schedules.describe('hourly')
    expect(described).toMatchObject({ id: 'hourly', workflow: 'note', runs: 3, buffered: 0, paused: false })
    expect(await stet.run(`hourly@${next[0]!.toISOString()}`).describe()).toMatchObject({
      ...{ schedule: 'hourly', scheduledFor: next[0] },
    })
    expect((await stet.run(`hourly@${next[0]!.toISOString()}`).why()).evidence).toMatchObject({ schedule: 'hourly' })
    expect(described.fires.map(({ status, slot }) => [status, slot])).toEqual(
      [...next].reverse().map((slot) => ['started', slot]),
    )
  })

  const statuses = async (stet: Stet, id: string) =>
    (await stet.schedules.describe(id, { fires: 100 })).fires.map(({ status }) => status).reverse()
  const open = async (stet: Stet) =>
    (await stet.list({ status: ['pending', 'running', 'waiting'] })).runs.map(({ id }) => id)
  const every = { every: '1h', workflow: hold } as const
  const inHours = (next: Date, hours: number) => new Date(next.getTime() + hours * 3_600_000)

  test('skip: what comes while a run is open is skipped, also of a run that went on under another run id', async () => {
    await using env = await opened(on)
    const { stet, clock } = env
    await stet.schedules.create('s', every)
    const [first] = await stet.schedules.next('s', 1)
    await clock.advance('3h')
    expect(await statuses(stet, 's')).toEqual(['started', 'skipped', 'skipped'])
    await stet.run(`s@${first!.toISOString()}`).signal(go)
    await clock.advance('1h')
    expect(await statuses(stet, 's')).toEqual(['started', 'skipped', 'skipped', 'started'])
    expect((await stet.schedules.describe('s')).fires[1]).toMatchObject({ reason: 'an earlier run was open' })

    await stet.schedules.create('c', { workflow: again, every: '1h' })
    await clock.advance('2h')
    expect(await statuses(stet, 'c')).toEqual(['started', 'skipped'])
    const { runs } = await stet.list({ workflow: 'again' })
    expect(runs.length).toBeGreaterThan(2)
    expect(new Set(runs.map(({ schedule }) => schedule))).toEqual(new Set(['c']))
    const [{ id }] = (await stet.schedules.describe('c')).fires.slice(-1) as unknown as [{ id: string }]
    await stet.run(id).signal(go)
    await clock.advance('1h')
    expect(await statuses(stet, 'c')).toEqual(['started', 'skipped', 'started'])
  })

  test('bufferOne: the first that comes waits and starts when the run has closed, at once', async () => {
    await using env = await opened(on)
    const { stet, clock } = env
    await stet.schedules.create('b', { ...every, overlap: 'bufferOne' })
    const [first] = await stet.schedules.next('b', 1)
    await clock.advance('3h')
    expect(await statuses(stet, 'b')).toEqual(['started', 'buffered', 'skipped'])
    await stet.run(`b@${first!.toISOString()}`).signal(go)
    await clock.advance('2m')
    expect(await statuses(stet, 'b')).toEqual(['started', 'started', 'skipped'])
    const second = `b@${inHours(first!, 1).toISOString()}`
    expect(await open(stet)).toEqual([second])
    // Started late, and it knows for when.
    expect((await stet.run(second).history())[0]!.data.scheduledFor).toBe(inHours(first!, 1).toISOString())
  })

  test('bufferAll: all wait, one after the other', async () => {
    await using env = await opened(on)
    const { stet, clock } = env
    await stet.schedules.create('b', { ...every, overlap: 'bufferAll', maxRuns: 4 })
    const [first] = await stet.schedules.next('b', 1)
    await clock.advance('3h')
    expect((await stet.schedules.describe('b')).buffered).toBe(2)
    for (let n = 0; n < 3; n++) {
      expect(await open(stet)).toEqual([`b@${inHours(first!, n).toISOString()}`])
      await stet.run(`b@${inHours(first!, n).toISOString()}`).signal(go)
      await clock.advance('2m')
    }
    expect(await open(stet)).toEqual([])
    expect((await stet.schedules.describe('b')).buffered).toBe(0)
  })

  test('cancelOther: the open one is cancelled, its cleanup included, and the latest follows', async () => {
    await using env = await opened(on)
    const { stet, clock } = env
    await stet.schedules.create('c', { ...every, overlap: 'cancelOther' })
    const [first] = await stet.schedules.next('c', 1)
    await clock.advance(inHours(first!, 1).getTime() - clock.now())
    expect(await statuses(stet, 'c')).toEqual(['started', 'buffered'])
    await clock.advance('2m')
    expect(await statuses(stet, 'c')).toEqual(['started', 'started'])
    const [old, young] = [0, 1].map((n) => stet.run(`c@${inHours(first!, n).toISOString()}`))
    expect(await old!.describe()).toMatchObject({ status: 'cancelled' })
    expect((await young!.describe()).createdAt.getTime()).toBeGreaterThanOrEqual(
      (await old!.describe()).closedAt!.getTime(),
    )
    expect((await old!.history()).filter(({ type }) => type === 'CancelRequested')).toHaveLength(1)
  })

  test('terminateOther: the open one ends at once, and the new one follows', async () => {
    await using env = await opened(on)
    const { stet, clock } = env
    await stet.schedules.create('t', { ...every, overlap: 'terminateOther' })
    const [first] = await stet.schedules.next('t', 1)
    await clock.advance('3h')
    expect(await statuses(stet, 't')).toEqual(['started', 'started', 'started'])
    const described = await Promise.all(
      [0, 1, 2].map((n) => stet.run(`t@${inHours(first!, n).toISOString()}`).describe()),
    )
    expect(described.map(({ status }) => status)).toEqual(['terminated', 'terminated', 'waiting'])
    expect(described[1]!.createdAt.getTime()).toBeGreaterThanOrEqual(described[0]!.closedAt!.getTime())
  })

  test('allow: all run at once', async () => {
    await using env = await opened(on)
    const { stet, clock } = env
    await stet.schedules.create('a', { ...every, overlap: 'allow' })
    await clock.advance('3h')
    expect(await open(stet)).toHaveLength(3)
  })

  test('paused: nothing fires and nothing is missed; what waits waits on; by hand it fires', async () => {
    await using env = await opened(on)
    const { stet, clock } = env
    await stet.schedules.create('p', { ...every, overlap: 'bufferOne', paused: true, note: 'not yet' })
    expect(await stet.schedules.next('p')).toEqual([])
    await clock.advance('3h')
    expect(await statuses(stet, 'p')).toEqual([])
    const run = await stet.schedules.trigger('p')
    await clock.runToIdle()
    expect((await run.describe()).status).toBe('waiting')
    const second = await stet.schedules.trigger('p')
    expect(await statuses(stet, 'p')).toEqual(['started', 'buffered'])
    await run.signal(go)
    await clock.advance('2m')
    await expect(second.describe()).rejects.toMatchObject({ code: 'run_not_found' })
    await stet.schedules.resume('p')
    await clock.runToIdle()
    expect((await second.describe()).status).toBe('waiting')
    await expect(stet.schedules.trigger('p', { overlap: 'skip' })).rejects.toMatchObject({ code: 'schedule_skipped' })
    await stet.schedules.pause('p', 'enough')
    expect((await stet.schedules.list())[0]).toMatchObject({ paused: true, note: 'enough' })
    expect((await stet.schedules.list())[0]).not.toHaveProperty('next')
  })

  test('two triggers of one moment are two runs, each with its own instant', async () => {
    await using env = await opened(on)
    const { stet, clock } = env
    await stet.schedules.create('t', { workflow: note, input: 'by hand', cron: '@yearly', overlap: 'allow' })
    const runs = await Promise.all([1, 2, 3].map(() => stet.schedules.trigger('t')))
    await clock.runToIdle()
    expect(new Set(await Promise.all(runs.map((run) => run.result()))).size).toBe(3)
    expect((await stet.schedules.describe('t')).runs).toBe(0)
  })

  test('backfill starts what was not started, once, however often it is asked for', async () => {
    await using env = await opened(on)
    const { stet, clock } = env
    await stet.schedules.create('f', { workflow: note, input: 'late', every: '1h' })
    const now = new Date(Math.floor(clock.now() / 3_600_000) * 3_600_000)
    const from = inHours(now, -299)
    expect(await stet.schedules.backfill('f', { from, to: now })).toEqual({
      started: 300,
      buffered: 0,
      skipped: 0,
      existing: 0,
    })
    const again = await Promise.all(
      [1, 2].map(() => stet.schedules.backfill('f', { from: inHours(now, -301), to: now })),
    )
    expect(again.map(({ started }) => started).reduce((a, b) => a + b)).toBe(2)
    await clock.runToIdle()
    expect(await stet.run(`f@${from.toISOString()}`).result()).toBe(`late ${from.toISOString()}`)
    await expect(stet.schedules.backfill('f', { from: now, to: inHours(now, 5) })).rejects.toThrow(
      'to: expected a time that is not to come',
    )
    await expect(stet.schedules.backfill('f', { from: now, to: from })).rejects.toThrow(
      'to: expected a time that is not before from',
    )
    // One after the other.
    await stet.schedules.create('o', { ...every })
    const counts = await stet.schedules.backfill('o', { from: inHours(now, -2), to: now, overlap: 'bufferAll' })
    expect(counts).toEqual({ started: 1, buffered: 2, skipped: 0, existing: 0 })
  })

  test('a limited number of runs, a date, and an end', async () => {
    await using env = await opened(on)
    const { stet, clock } = env
    const at = new Date(clock.now() + 3_600_000)
    await stet.schedules.create('twice', { workflow: note, input: 'x', every: '1h', maxRuns: 2 })
    await stet.schedules.create('once', { workflow: note, input: 'x', at })
    await clock.advance('5h')
    expect(await statuses(stet, 'twice')).toEqual(['started', 'started'])
    expect(await statuses(stet, 'once')).toEqual(['started'])
    expect(await stet.schedules.next('twice')).toEqual([])
    expect(await stet.schedules.next('once')).toEqual([])
    await stet.schedules.update('twice', { maxRuns: 3 })
    await clock.advance('5h')
    expect(await statuses(stet, 'twice')).toEqual(['started', 'started', 'started'])
  })

  test('update: other times count from now, the rest stays; what is not there is told', async () => {
    await using env = await opened(on)
    const { stet, clock } = env
    await stet.schedules.create('u', {
      workflow: note,
      input: 'a',
      cron: '@hourly',
      timeZone: 'Asia/Kolkata',
      note: 'n',
      priority: 3,
    })
    await stet.schedules.update('u', { input: 'b', every: '2h', overlap: 'allow' })
    expect(await stet.schedules.describe('u')).toMatchObject({
      ...{ input: 'b', times: 'every 2h', timeZone: 'Asia/Kolkata', overlap: 'allow', note: 'n', priority: 3 },
    })
    const [next] = await stet.schedules.next('u', 1)
    expect(next!.getTime() % 7_200_000).toBe(0)
    await clock.advance('2h')
    expect(await stet.run(`u@${next!.toISOString()}`).result()).toBe(`b ${next!.toISOString()}`)
    await stet.schedules.update('u', { note: null })
    expect(await stet.schedules.describe('u')).not.toHaveProperty('note')
    await stet.schedules.delete('u')
    expect(await stet.schedules.list()).toEqual([])
    for (const call of [
      () => stet.schedules.update('u', { note: 'x' }),
      () => stet.schedules.pause('u'),
      () => stet.schedules.resume('u'),
      () => stet.schedules.trigger('u'),
      () => stet.schedules.next('u'),
      () => stet.schedules.describe('u'),
      () => stet.schedules.delete('u'),
      () => stet.schedules.backfill('u', { from: new Date(1), to: new Date(2) }),
    ]) {
      await expect(call()).rejects.toBeInstanceOf(ScheduleNotFoundError)
    }
  })

  test('the same again is no second schedule; another under its id is refused; so is what cannot be', async () => {
    await using env = await opened(on)
    const { stet, clock } = env
    const options = { workflow: note, input: 'a', cron: '0 3 * * *' }
    await stet.schedules.create('s', options)
    await stet.schedules.create('s', options)
    await expect(stet.schedules.create('s', { ...options, input: 'b' })).rejects.toBeInstanceOf(IdConflictError)
    const wrong: [string, any, string][] = [
      ['', options, 'schedules.create: id'],
      ['a\nb', options, 'control character'],
      ['x'.repeat(201), options, 'at most 200'.slice(8)],
      ['w', { ...options, workflow: undefined }, 'workflow: expected a workflow or its name'],
      ['w', { ...options, overlap: 'never' }, 'overlap: expected one of'],
      ['w', { ...options, catchUp: 'long' }, 'catchUp: expected a duration'],
      ['w', { ...options, maxRuns: 0 }, 'maxRuns: expected a whole number'],
      ['w', { ...options, paused: 'yes' }, 'paused: expected true or false'],
      ['w', { ...options, note: 'x\0' }, 'note: expected text'],
      ['w', { ...options, overlapp: 'skip' }, 'Did you mean "overlap"?'],
      [
        'w',
        { ...options, cron: undefined, at: new Date(clock.now() - 1) },
        'at: expected a time that is still to come',
      ],
      ['w', { ...options, priority: 99_999 }, 'priority'],
      ['w', null, 'expected options'],
    ]
    for (const [id, given, message] of wrong) {
      const refused = stet.schedules.create(id, given)
      await expect(refused).rejects.toBeInstanceOf(InvalidInputError)
      await expect(refused).rejects.toThrow(message)
    }
    expect((await stet.schedules.list()).map(({ id }) => id)).toEqual(['s'])
  })

  test('ids that look like ids of runs and like SQL are ids', async () => {
    await using env = await opened(on)
    const { stet, clock } = env
    const ids = ['a', 'a@b', "'; DROP TABLE x; --", '<script>', '日本 %_', 'a@2026-01-01T00:00:00.000Z']
    for (const id of ids) await stet.schedules.create(id, { ...every })
    await clock.advance('2h')
    for (const id of ids) expect([id, await statuses(stet, id)]).toEqual([id, ['started', 'skipped']])
    expect((await stet.schedules.list({ limit: 2, after: 'a' })).map(({ id }) => id)).toEqual([
      'a@2026-01-01T00:00:00.000Z',
      'a@b',
    ])
  })

  test('a run that somebody else has put under the id of a slot is left alone', async () => {
    await using env = await opened(on)
    const { stet, clock } = env
    await stet.schedules.create('s', { workflow: note, input: 'x', every: '1h', overlap: 'allow' })
    const [next] = await stet.schedules.next('s', 1)
    const squatter = await stet.start(again, undefined, {
      id: `s@${next!.toISOString()}`,
      startAt: new Date(next!.getTime() + 9e7),
    })
    await clock.advance('1h')
    const [fire] = (await stet.schedules.describe('s')).fires
    expect(fire).toMatchObject({ status: 'skipped', reason: expect.stringContaining(squatter.runId) })
  })
})

describe('slots that nobody could fire', () => {
  test('within the window they fire late, before it they are missed, and each says so', async () => {
    const { url, name } = await createTestDatabase(inject('serverUrl'))
    await using stet = new Stet({ url })
    onTestFinished(() => dropTestDatabase(inject('serverUrl'), name))
    const { db } = (await stet.internals()).store
    const time = postgresTime(db)
    const begin = await time.stop(Math.ceil(Date.now() / 86_400_000) * 86_400_000)
    for (const [id, catchUp] of [
      ['none', 0],
      ['hours', '3h'],
      ['default', undefined],
    ] as const) {
      await stet.schedules.create(id, {
        ...{ workflow: note, input: id, every: '1h', overlap: 'allow' },
        ...(catchUp === undefined ? {} : { catchUp }),
      })
    }
    await stet.schedules.create('often', {
      workflow: note,
      input: 'often',
      every: '1m',
      catchUp: '2m',
      overlap: 'allow',
    })
    await time.stop(begin + 30 * 3_600_000 + 60_000)
    await using worker = stet.worker({ workflows: [note] })
    await worker.start()
    const told = await eventually('all is dealt with', async () => {
      const { rows } = await db.query({
        text: `SELECT schedule, status, count(*)::int AS n, max(until) AS until FROM stet.schedule_fires GROUP BY 1, 2 ORDER BY 1, 2`,
      })
      return rows.length === 7 && rows
    })
    expect(told.map(({ schedule, status, n }) => [schedule, status, n])).toEqual([
      ['default', 'missed', 6],
      ['default', 'started', 24],
      ['hours', 'missed', 27],
      ['hours', 'started', 3],
      ['none', 'missed', 30],
      ['often', 'missed', 501],
      ['often', 'started', 3],
    ])
    // Of very many, the last row stands for the rest.
    expect(told[5]!.until.getTime()).toBe(begin + 30 * 3_600_000 - 60_001)
  })

  test('a slot that is a moment late is not missed, and none is early', async () => {
    await using env = await opened(databases[0]!)
    const { stet, clock } = env
    await stet.schedules.create('j', { workflow: note, input: 'x', every: '10s', jitter: '5s', catchUp: 0 })
    await clock.advance('2m')
    const { fires } = await stet.schedules.describe('j')
    expect(fires.length).toBeGreaterThanOrEqual(11)
    for (const { status, at, slot } of fires) {
      expect(status).toBe('started')
      const late = at.getTime() - slot.getTime()
      expect(late).toBeGreaterThanOrEqual(0)
      expect(late).toBeLessThan(5_001)
    }
    expect(new Set(fires.map(({ at, slot }) => at.getTime() - slot.getTime())).size).toBeGreaterThan(3)
  })
})
