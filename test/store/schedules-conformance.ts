/** What every store does with schedules: the promises of `src/store/schedules.ts`. */
import { describe, expect, test } from 'vitest'
import type { ScheduleFacts } from '../../src/store/schedules.js'
import { Ear, type OpenStore, Scene } from './scene.js'

const hour = 3_600_000
const facts = (over: Partial<ScheduleFacts> & { readonly every?: string } = {}): ScheduleFacts => {
  const { every = '1h', ...rest } = over
  return {
    ...{ workflow: 'order', version: 1, queue: 'default', priority: 2, timeoutMs: 60_000, payload: '"input"' },
    ...{ attributes: { shop: 'nord' }, times: JSON.stringify({ every }), overlap: 'allow', catchUpMs: 30 * 24 * hour },
    ...{ maxRuns: null, note: 'a note' },
    ...rest,
  }
}

export function describeSchedules(name: string, open: () => Promise<OpenStore>): void {
  const scene = async () => {
    const s = await Scene.open(open)
    // On the hour, so that slots are where they are expected.
    const now = await s.time.stop(Math.ceil((await s.store.now()) / hour) * hour)
    return Object.assign(s, { now, of: s.store.schedules })
  }

  describe(`${name}: schedules`, () => {
    test('are kept as they were made, in the order of their ids, and made once', async () => {
      await using s = await scene()
      expect(await s.of.create('b', facts(), 'call', false)).toBeNull()
      expect(await s.of.create('b', facts({ workflow: 'other' }), 'config', true)).toMatchObject({
        workflow: 'order',
        source: 'call',
        paused: false,
      })
      await s.of.create(
        'a',
        facts({ version: null, attributes: null, payload: null, maxRuns: 3, timeoutMs: null, note: null }),
        'config',
        true,
      )
      expect(await s.of.find('b')).toEqual({
        ...facts(),
        ...{
          id: 'b',
          source: 'call',
          paused: false,
          cursor: s.now,
          nextSlot: null,
          problem: null,
          runs: 0,
          buffered: 0,
        },
        ...{ last: null, createdAt: s.now, updatedAt: s.now },
      })
      expect((await s.of.list(10, null)).map(({ id }) => id)).toEqual(['a', 'b'])
      expect((await s.of.list(1, null)).map(({ id }) => id)).toEqual(['a'])
      expect((await s.of.list(10, 'a')).map(({ id }) => id)).toEqual(['b'])
      expect(await s.of.find('a')).toMatchObject({
        version: null,
        payload: null,
        attributes: null,
        maxRuns: 3,
        paused: true,
      })
      expect([await s.of.remove('a'), await s.of.remove('a'), await s.of.find('a')]).toEqual([true, false, null])
    })

    test('a slot is a run with its facts, its fire and the next slot, at its time and not before', async () => {
      await using s = await scene()
      await s.of.create('a', facts(), 'call', false)
      expect((await s.of.look(null)).nextAt).toBe(s.now + hour)
      await s.pass(hour - 1)
      expect(await s.of.look(null)).toMatchObject({ looked: 0, queues: [], nextAt: s.now + hour })
      await s.pass(1)
      const ear = await Ear.on(s.store)
      expect(await s.of.look(null)).toMatchObject({ looked: 1, queues: ['default'], nextAt: s.now + 2 * hour })
      await ear.hears('ready', 'default')
      await ear.end()
      const id = `a@${new Date(s.now + hour).toISOString()}`
      const row = await s.row(id)
      expect(row).toMatchObject({
        ...{ id, workflow: 'order', version: 1, priority: 2, status: 'pending', attributes: { shop: 'nord' } },
        ...{ deadline: s.now + hour + 60_000, schedule: { id: 'a', slot: s.now + hour } },
      })
      expect(await s.store.history(row.runId)).toMatchObject([
        { type: 'RunStarted', payload: '"input"', facts: { schedule: 'a', scheduledFor: s.now + hour } },
      ])
      expect(await s.of.fires('a', 10)).toEqual([
        ...[
          {
            slot: s.now + hour,
            status: 'started',
            via: 'slot',
            at: s.now + hour,
            runId: row.runId,
            runStatus: 'pending',
          },
        ].map((fire) => ({ ...fire, reason: null, until: null })),
      ])
      expect(await s.of.find('a')).toMatchObject({
        runs: 1,
        last: s.now + hour,
        cursor: s.now + hour,
        nextSlot: s.now + 2 * hour,
      })
    })

    test('many who look at once fire each slot once', async () => {
      await using s = await scene()
      const ids = Array.from({ length: 120 }, (_, i) => `s${String(i).padStart(3, '0')}`)
      for (const id of ids) await s.of.create(id, facts({ every: '10m' }), 'call', false)
      await s.pass(hour)
      const looks = async () => {
        for (let idle = 0; idle < 3; ) idle = (await s.of.look(null)).looked === 0 ? idle + 1 : 0
      }
      await Promise.all(Array.from({ length: 6 }, looks))
      const started = (await Promise.all(ids.map((id) => s.of.fires(id, 100)))).flat()
      expect(started).toHaveLength(ids.length * 6)
      expect(new Set(started.map(({ runId }) => runId)).size).toBe(ids.length * 6)
      let count = 0
      for (let after: string | null = null; ; count++) {
        const page = await s.store.list({ limit: 500, ...(after === null ? {} : { after }) })
        count += page.rows.length
        if (page.next === null) break
        count--
        after = page.next
      }
      expect(count).toBe(ids.length * 6)
    })

    test('by hand: taken on once, done by whoever looks, also of one that is paused', async () => {
      await using s = await scene()
      await s.of.create('a', facts(), 'call', true)
      expect(await s.of.ask('nobody', null, 'trigger', null)).toBeNull()
      expect(await s.of.ask('a', null, 'trigger', null)).toEqual([s.now])
      expect(await s.of.ask('a', null, 'trigger', null)).toEqual([s.now + 1])
      const past = [s.now - hour, s.now - 2 * hour]
      expect((await s.of.ask('a', past, 'backfill', 'allow'))!.sort()).toEqual([...past].sort())
      expect(await s.of.ask('a', past, 'backfill', 'allow')).toEqual([])
      expect((await s.of.fires('a', 10)).map(({ status }) => status)).toEqual(Array(4).fill('due'))
      await s.of.look(null)
      expect((await s.of.firesAt('a', [...past, 5])).map(({ status, via }) => [status, via])).toEqual([
        ['started', 'backfill'],
        ['started', 'backfill'],
      ])
      expect((await s.of.fires('a', 10)).filter(({ runId }) => runId !== null)).toHaveLength(4)
      expect(await s.of.ask('a', past, 'backfill', 'allow')).toEqual([])
      // Asked for again what was skipped: it has its chance.
      expect(await s.of.find('a')).toMatchObject({ runs: 0, paused: true, nextSlot: null })
    })

    test('whoever ends others tells which, again each time until they have ended, and what waits', async () => {
      await using s = await scene()
      await s.of.create('a', facts({ overlap: 'cancelOther' }), 'call', false)
      await s.pass(hour)
      await s.of.look(null)
      const [{ runId }] = (await s.of.fires('a', 1)) as unknown as [{ runId: string }]
      await s.pass(hour)
      const wanted = { toEnd: [{ runId, how: 'cancel', schedule: 'a' }], waits: [{ runId, schedule: 'a' }] }
      expect(await s.of.look(null)).toMatchObject({ ...wanted, nextAt: s.now + 2 * hour + 10_000 })
      expect((await s.of.look(null)).looked).toBe(0)
      expect(await s.of.look(['a'])).toMatchObject(wanted)
      expect(await s.of.find('a')).toMatchObject({ buffered: 1 })
      await s.store.closeUnowned(runId, 'cancelBeforeBegin', null)
      expect(await s.of.look(['a'])).toMatchObject({ toEnd: [], waits: [], queues: ['default'] })
      expect((await s.of.fires('a', 10)).map(({ status }) => status)).toEqual(['started', 'started'])
    })

    test('a beat tells when the next is to be looked at', async () => {
      await using s = await scene()
      const worker = await s.worker()
      expect((await worker.beat()).nextSchedule).toBeNull()
      await s.of.create('a', facts(), 'call', false)
      expect((await worker.beat()).nextSchedule).toBe(s.now)
      await s.of.look(null)
      expect((await worker.beat()).nextSchedule).toBe(s.now + hour)
      expect(await s.time.read({ queues: [], workflows: [] })).toMatchObject({
        busy: false,
        schedule: { id: 'a', due: s.now + hour },
      })
      await s.of.setPaused('a', true)
      await s.of.look(null)
      expect((await worker.beat()).nextSchedule).toBeNull()
    })

    test('changed: with other times it counts from now; resumed: too; a note stays unless one is given', async () => {
      await using s = await scene()
      await s.of.create('a', facts(), 'call', false)
      await s.pass(3 * hour)
      expect(await s.of.change('a', facts({ every: '30m', note: 'b' }), { restart: true, source: 'config' })).toBe(true)
      expect(await s.of.look(null)).toMatchObject({ queues: [], nextAt: s.now + 3.5 * hour })
      expect(await s.of.find('a')).toMatchObject({ note: 'b', source: 'config', nextSlot: s.now + 3.5 * hour })
      await s.of.setPaused('a', true)
      await s.pass(2 * hour)
      await s.of.look(null)
      await s.of.setPaused('a', false)
      await s.of.look(null)
      expect(await s.of.find('a')).toMatchObject({ note: 'b', nextSlot: s.now + 5.5 * hour })
      await s.pass(hour)
      // What runs is not paused, and so nothing is let go.
      await s.of.setPaused('a', false)
      await s.of.look(null)
      expect(await s.of.fires('a', 10)).toHaveLength(2)
      expect(await s.of.change('nobody', facts(), { restart: false, source: null })).toBe(false)
      expect(await s.of.setPaused('nobody', true)).toBe(false)
    })

    test('one whose times cannot be read says so, and the others fire', async () => {
      await using s = await scene()
      await s.of.create('bad', facts({ times: '{"cron":"often"}' }), 'call', false)
      await s.of.create('good', facts(), 'call', false)
      await s.pass(hour)
      const { problems } = await s.of.look(null)
      expect(problems).toEqual([{ schedule: 'bad', problem: expect.stringContaining('cron: expected five fields') }])
      expect(await s.of.find('bad')).toMatchObject({ problem: expect.stringContaining('five fields'), nextSlot: null })
      expect(await s.of.fires('good', 10)).toHaveLength(1)
      expect((await s.of.look(null)).looked).toBe(0)
      await s.of.change('bad', facts(), { restart: true, source: null })
      await s.of.look(null)
      expect(await s.of.find('bad')).toMatchObject({ problem: null, nextSlot: s.now + 2 * hour })
    })
  })
}
