/** Bulks and deletions, as every store does them: part by part, each run once. */
import { describe, expect, inject, test } from 'vitest'
import { beginBulk, checkBulk, doBulkPart, previewBulk } from '../../src/client/bulks.js'
import type { BulkOperation, BulkOptions } from '../../src/core/bulk-types.js'
import type { RunFilter } from '../../src/core/types.js'
import type { Hints } from '../../src/hints/hints.js'
import { type BulkRow, bulkPart } from '../../src/store/bulks.js'
import { createMemoryStore } from '../../src/store/memory/store.js'
import { createPostgresStore, type PostgresStore } from '../../src/store/postgres/store.js'
import { createTestDatabase, dropTestDatabase, postgresTime } from '../../src/store/postgres/test-database.js'
import { child, type OpenStore, Scene, signal } from './scene.js'

const stores: Record<string, () => Promise<OpenStore>> = {
  'in memory': async () => {
    const store = createMemoryStore()
    return { store, time: store.time, remove: () => store.close() }
  },
  'in Postgres': async () => {
    const serverUrl = inject('serverUrl')
    const { name, url } = await createTestDatabase(serverUrl)
    const store = createPostgresStore({ url })
    const remove = async () => {
      await store.close()
      await dropTestDatabase(serverUrl, name)
    }
    return { store, time: postgresTime(store.db), remove }
  },
}

const quiet = { publish: () => {}, local: () => {} } as unknown as Hints

async function begin(s: Scene, operation: BulkOperation, filter: RunFilter, options: BulkOptions = {}) {
  const wanted = checkBulk(operation, filter, options)
  const backend = { store: s.store, hints: quiet }
  return beginBulk(backend, wanted, await previewBulk(backend, wanted))
}

const part = (s: Scene, id: string | null = null) => doBulkPart({ store: s.store, hints: quiet }, id)

async function toEnd(s: Scene, { id }: BulkRow): Promise<BulkRow> {
  for (let i = 0; i < 100; i++) {
    const done = await part(s, id)
    if (done === null) break
  }
  const bulk = (await s.store.bulk(id))!
  expect(bulk.state).toBe('completed')
  return bulk
}

const figures = ({ seen, done, failed, held, refused }: BulkRow) => ({ seen, done, failed, held, refused })

for (const [name, open] of Object.entries(stores)) {
  const scene = () => Scene.open(open)

  describe(`bulks ${name}`, () => {
    test('cancel: what nobody has begun is closed, what was begun is told once, what closes meanwhile is refused', async () => {
      await using s = await scene()
      const hand = await s.worker()
      const begun = await s.held(hand, { runId: 'run_begun' })
      await s.start({ runId: 'run_new' })
      await s.start({ runId: 'run_spared', queue: 'other' })
      const bulk = await begin(s, 'cancel', { queue: 'default' }, { reason: 'because', actor: 'ada' })
      expect(bulk).toMatchObject({ state: 'running', expected: 2, expectedMore: false, actor: 'ada', seen: 0 })
      await s.pass(1)
      await s.start({ runId: 'run_late' })
      const done = await toEnd(s, bulk)
      expect(figures(done)).toEqual({ seen: 2, done: 2, failed: 0, held: 0, refused: {} })
      expect(await part(s, bulk.id)).toBeNull()
      expect(await s.types('run_new')).toEqual(['RunStarted', 'CancelRequested', 'RunCancelled'])
      expect((await s.store.history('run_new'))[1]!.facts).toEqual({ reason: 'because' })
      const [message, ...more] = await s.inbox('run_begun')
      expect(more).toEqual([])
      expect(message).toMatchObject({ kind: 'cancel', payload: '"because"', messageId: bulk.id })
      for (const spared of ['run_late', 'run_spared']) expect((await s.row(spared)).status).toBe('pending')
      // A second one comes to the first again, whose message is another.
      await s.store.change(hand.id, [])
      const again = await begin(s, 'cancel', { queue: 'default', workflow: 'order', status: ['running', 'cancelled'] })
      expect(figures(await toEnd(s, again))).toMatchObject({ seen: 2, done: 1, refused: { run_closed: 1 } })
      expect(await s.inbox('run_begun')).toHaveLength(2)
      await hand.close(begun, 'cancelled')
    })

    test('goes on where it was, in parts, whoever does them', async () => {
      await using s = await scene()
      const runIds = Array.from({ length: bulkPart + 7 }, (_, i) => `run_${String(i).padStart(5, '0')}`)
      await s.store.start(runIds.map((runId) => ({ ...request(runId) })))
      const bulk = await begin(s, 'cancel', { workflow: 'order' })
      const first = await part(s)
      expect(first).toMatchObject({ runs: bulkPart, bulk: { state: 'running', done: bulkPart } })
      await s.store.setBulk(bulk.id, 'paused')
      expect(await part(s, bulk.id)).toBeNull()
      await s.store.setBulk(bulk.id, 'running')
      expect(figures(await toEnd(s, bulk))).toMatchObject({ seen: bulkPart + 7, done: bulkPart + 7, refused: {} })
      expect((await s.store.countRuns()).cancelled).toBe(bulkPart + 7)
    })

    test('one that is cancelled stops where it is; two take turns', async () => {
      await using s = await scene()
      await s.store.start(Array.from({ length: bulkPart + 1 }, (_, i) => request(`run_${String(i).padStart(5, '0')}`)))
      const bulk = await begin(s, 'pause', { workflow: 'order' })
      const other = await begin(s, 'cancel', { workflow: 'nothing' })
      expect((await part(s, bulk.id))!.bulk.done).toBe(bulkPart)
      expect(await s.store.setBulk(bulk.id, 'cancelled')).toMatchObject({
        state: 'cancelled',
        closedAt: expect.any(Number),
      })
      expect(await s.store.setBulk(bulk.id, 'running')).toBeNull()
      expect((await toEnd(s, other)).seen).toBe(0)
      expect((await s.store.countRuns()).paused).toBe(bulkPart)
      const { bulks, next } = await s.store.listBulks({ limit: 1 })
      expect([bulks[0]!.id, next]).toEqual([other.id, other.id])
      expect((await s.store.listBulks({ limit: 5, after: next! })).bulks.map(({ id }) => id)).toEqual([bulk.id])
    })

    test('terminate tells the parent; pause and resume keep what a single one keeps', async () => {
      await using s = await scene()
      const hand = await s.worker()
      const parent = await s.held(hand, { runId: 'run_parent' })
      await hand.append(parent, [child({ runId: 'run_a_child', queue: 'elsewhere' })])
      await hand.park(parent)
      const paused = await toEnd(s, await begin(s, 'pause', { queue: 'elsewhere' }, { reason: 'later' }))
      expect(figures(paused)).toMatchObject({ seen: 1, done: 1 })
      expect(await s.row('run_a_child')).toMatchObject({
        status: 'paused',
        problem: '{"code":"paused","message":"later"}',
      })
      const resumed = await begin(s, 'resume', { workflow: 'order', status: ['paused', 'waiting'] })
      expect(figures(await toEnd(s, resumed))).toMatchObject({ seen: 2, done: 1, refused: { not_resumable: 1 } })
      expect((await s.row('run_a_child')).status).toBe('pending')
      expect(figures(await toEnd(s, await begin(s, 'terminate', { queue: 'elsewhere' })))).toMatchObject({ done: 1 })
      expect(await s.inbox('run_parent')).toMatchObject([{ kind: 'child', name: '1:terminated' }])
      expect((await s.row('run_parent')).status).toBe('pending')
    })

    test('delete takes closed runs with all that is kept of them, and leaves what others may need', async () => {
      await using s = await scene()
      const hand = await s.worker()
      const one = await s.held(hand, { runId: 'run_one', id: 'order-1' })
      await s.post(signal('run_one', 'unread', { messageId: 'm' }))
      await s.store.saveCheckpoint(hand.id, 'run_one', one.claim, 1, '1')
      await hand.close(one, 'completed')
      const parent = await s.held(hand, { runId: 'run_parent' })
      await hand.append(parent, [child({ runId: 'run_x_child', parentClosePolicy: 'abandon' })])
      const kid = await hand.claimOne()
      await hand.close(kid, 'completed', { hasParent: true })
      const bulk = await begin(s, 'delete', { workflow: 'order', status: ['completed', 'running'] })
      expect(figures(await toEnd(s, bulk))).toEqual({
        ...{ seen: 3, done: 1, failed: 0, held: 0, refused: { parent_open: 1, run_open: 1 } },
      })
      expect(await s.store.find('order-1')).toBeNull()
      expect(await s.store.history('run_one')).toEqual([])
      expect(await s.store.find('run_x_child')).not.toBeNull()
      // The id is free, and a message id of then is unknown.
      await s.start({ runId: 'run_anew', id: 'order-1' })
      expect(await s.types('run_anew')).toEqual(['RunStarted'])
      await s.post(signal('order-1', 'again', { messageId: 'm' }))
      expect(await s.inbox('run_anew')).toHaveLength(1)
    })

    test('retry and fork make each run once, under ids that follow from theirs', async () => {
      await using s = await scene()
      const hand = await s.worker()
      for (const i of [1, 2]) {
        const run = await s.held(hand, { runId: `run_${i}`, id: `lost-${i}` })
        await hand.append(run, [{ type: 'StepFailed', op: 1, name: 'one', payload: '{"name":"Error","message":"no"}' }])
        const payload = JSON.stringify({ name: 'Error', message: 'no' })
        await hand.close(run, 'failed', { payload, error: { name: 'Error', message: 'no' } })
      }
      const well = await s.held(hand, { runId: 'run_3', id: 'well' })
      await hand.close(well, 'completed')
      await s.pass(5)
      const retried = await begin(s, 'retry', { workflow: 'order', status: ['failed', 'completed'] })
      const done = await toEnd(s, retried)
      expect(figures(done)).toMatchObject({ seen: 3, done: 2, refused: { no_failure: 1 } })
      expect(done.examples).toMatchObject([{ id: 'well', runId: 'run_3', code: 'no_failure' }])
      const latest = await s.row('lost-1')
      expect(latest).toMatchObject({ status: 'pending', forkedFrom: { runId: 'run_1' } })
      // The ids have later runs by now.
      const twice = await toEnd(s, await begin(s, 'retry', { status: 'failed' }))
      expect(figures(twice)).toMatchObject({ done: 0, refused: { superseded: 2 } })
      const fork = { fork: { at: 'last-failure' as const } }
      expect(figures(await toEnd(s, await begin(s, 'fork', { status: 'failed' }, fork)))).toMatchObject({ done: 2 })
      expect(figures(await toEnd(s, await begin(s, 'fork', { status: 'failed' }, fork)))).toMatchObject({
        ...{ done: 0, refused: { forked_already: 2 } },
      })
    })

    test('a run that continued as new before it was come to is followed', async () => {
      await using s = await scene()
      const hand = await s.worker()
      const run = await s.held(hand, { runId: 'run_1', id: 'for-ever' })
      await hand.park(run)
      const bulk = await begin(s, 'cancel', { workflow: 'order' })
      await s.pass(10)
      await s.post(signal('run_1', 'go on'))
      const again = await hand.claimOne()
      await hand.close(again, 'continued', {
        facts: '{"runId":"run_2"}',
        successor: { runId: 'run_2', version: 1, unread: [] },
      })
      await s.start({ runId: 'run_other' })
      const done = await toEnd(s, bulk)
      expect(figures(done)).toMatchObject({ done: 1, refused: {} })
      expect((await s.row('for-ever')).status).toBe('cancelled')
      expect((await s.row('run_other')).status).toBe('pending')
    })

    test('what cannot be used is told before anything is written', async () => {
      await using s = await scene()
      for (const wrong of [
        () => checkBulk('wipe' as never, { status: 'failed' }, {}),
        () => checkBulk('cancel', {}, {}),
        () => checkBulk('cancel', { limit: 3 }, {}),
        () => checkBulk('cancel', { status: 'gone' as never }, {}),
        () => checkBulk('fork', { status: 'failed' }, {}),
        () => checkBulk('fork', { status: 'failed' }, { fork: { at: 'x', id: 'y' } as never }),
        () => checkBulk('cancel', { status: 'failed' }, { because: 'x' } as never),
      ]) {
        expect(wrong).toThrow(expect.objectContaining({ code: 'invalid_input' }))
      }
      expect((await s.store.listBulks({ limit: 5 })).bulks).toEqual([])
    })
  })
}

describe('in Postgres', () => {
  test('a run that somebody has locked is held, and come to when it is free', async () => {
    await using s = await Scene.open(stores['in Postgres']!)
    await s.start({ runId: 'run_locked' })
    await s.start({ runId: 'run_free' })
    const { db } = s.store as PostgresStore
    const bulk = await begin(s, 'cancel', { workflow: 'order' })
    await db.transaction(async (query) => {
      await query({ text: `SELECT stet.signal('run_locked', 'go')` })
      expect(await part(s, bulk.id)).toMatchObject({ runs: 1, bulk: { seen: 2, done: 1, held: 1, state: 'running' } })
      expect(await part(s, bulk.id)).toMatchObject({ runs: 0, bulk: { seen: 2, done: 1, held: 1 } })
    })
    expect(figures(await toEnd(s, bulk))).toEqual({ seen: 2, done: 2, failed: 0, held: 0, refused: {} })
    expect((await s.row('run_locked')).status).toBe('cancelled')
  })

  test('a part that somebody else is at is left to them; what is undone was not done', async () => {
    await using s = await Scene.open(stores['in Postgres']!)
    await s.start({ runId: 'run_a' })
    const { db } = s.store as PostgresStore
    const bulk = await begin(s, 'cancel', { workflow: 'order' })
    await db.transaction(async (query) => {
      await query({ text: 'SELECT FROM stet_store.bulks FOR UPDATE' })
      expect(await part(s, bulk.id)).toBeNull()
      expect(await part(s)).toBeNull()
    })
    expect((await toEnd(s, bulk)).done).toBe(1)
  })

  test('what no further try would mend ends the bulk with its reason', async () => {
    await using s = await Scene.open(stores['in Postgres']!)
    await s.start({ runId: 'run_a' })
    const { db } = s.store as PostgresStore
    const bulk = await begin(s, 'cancel', { workflow: 'order' })
    await db.query({ text: `ALTER TABLE stet_store.runs ADD CHECK (status <> 'cancelled')` })
    expect(await part(s)).toMatchObject({
      bulk: { id: bulk.id, state: 'failed', problem: expect.stringContaining('check') },
    })
    expect((await s.row('run_a')).status).toBe('pending')
  })
})

function request(runId: string) {
  return {
    ...{ runId, id: runId, workflow: 'order', version: 1, queue: 'default', priority: 0, startAt: null, delayMs: 0 },
    ...{
      timeoutMs: null,
      payload: '"input"',
      facts: null,
      attributes: null,
      ifClosed: 'existing' as const,
      debounce: null,
    },
  }
}
