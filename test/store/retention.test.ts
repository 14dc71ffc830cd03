/** Deletion and retention, as every store does them: all of a run goes, and nothing that is still asked for. */
import { describe, expect, inject, test } from 'vitest'
import { StoredRetention } from '../../src/client/retention.js'
import { checkRetention } from '../../src/core/retention-rules.js'
import type { Keep } from '../../src/core/types.js'
import { createMemoryStore } from '../../src/store/memory/store.js'
import { allOrphans } from '../../src/store/postgres/retention.js'
import { createPostgresStore, type PostgresStore } from '../../src/store/postgres/store.js'
import { createTestDatabase, dropTestDatabase, postgresTime } from '../../src/store/postgres/test-database.js'
import { retainedPart } from '../../src/store/retention.js'
import { RetentionDesk } from '../../src/worker/retention.js'
import { child, type OpenStore, request, Scene, signal, step } from './scene.js'

const day = 86_400_000

async function openPostgres(): Promise<OpenStore> {
  const serverUrl = inject('serverUrl')
  const { name, url } = await createTestDatabase(serverUrl)
  const store = createPostgresStore({ url })
  const remove = async () => {
    await store.close()
    await dropTestDatabase(serverUrl, name)
  }
  return { store, time: postgresTime(store.db), remove }
}

const stores: Record<string, () => Promise<OpenStore>> = {
  'in memory': async () => {
    const store = createMemoryStore()
    return { store, time: store.time, remove: () => store.close() }
  },
  'in Postgres': openPostgres,
}

const of = (s: Scene) => new StoredRetention(async () => s.store)

/** A run that was begun and ended in this way. */
async function ended(
  s: Scene,
  hand: Awaited<ReturnType<Scene['worker']>>,
  runId: string,
  status: 'completed' | 'failed',
  workflow = 'order',
) {
  const run = await s.held(hand, { runId, workflow })
  await hand.close(run, status)
}

for (const [name, open] of Object.entries(stores)) {
  describe(`retention ${name}`, () => {
    test('a run goes when it is older than its rule, the rule of its workflow before that of all', async () => {
      await using s = await Scene.open(open)
      const both = [
        { name: 'order', version: 1 },
        { name: 'bill', version: 1 },
      ]
      const hand = await s.worker({ of: { queues: ['default'], workflows: both } })
      const retention = of(s)
      expect(await retention.sweep()).toEqual({ deleted: 0, kept: 0 })
      for (const age of ['old', 'new']) {
        for (const status of ['completed', 'failed'] as const) {
          await ended(s, hand, `run_order_${age}_${status}`, status)
          await ended(s, hand, `run_bill_${age}_${status}`, status, 'bill')
        }
        await s.start({ runId: `run_open_${age}` })
        const [claimed] = await hand.claim()
        await hand.park(claimed!)
        if (age === 'old') await s.pass(10 * day)
      }
      // Nothing goes by no rule.
      expect(await retention.sweep()).toEqual({ deleted: 0, kept: 0 })
      await s.store.setConfigRetention(
        checkRetention({ completed: '7d', failed: 'forever', perWorkflow: { bill: { completed: 'forever' } } }, 'x'),
      )
      await retention.set({ failed: '9d' }, { workflow: 'bill' })
      expect(await retention.rules()).toEqual([
        { status: 'completed', keepMs: 7 * day, from: 'config', configMs: 7 * day },
        { status: 'failed', keepMs: 'forever', from: 'config', configMs: 'forever' },
        { workflow: 'bill', status: 'completed', keepMs: 'forever', from: 'config', configMs: 'forever' },
        { workflow: 'bill', status: 'failed', keepMs: 9 * day, from: 'runtime' },
      ])
      expect(await retention.sweep()).toEqual({ deleted: 2, kept: 0 })
      const left = (await s.store.list({})).rows.map(({ runId }) => runId).sort()
      expect(left).toEqual([
        ...['run_bill_new_completed', 'run_bill_new_failed', 'run_bill_old_completed', 'run_open_new', 'run_open_old'],
        ...['run_order_new_completed', 'run_order_new_failed', 'run_order_old_failed'],
      ])
      // What was set is taken back: the config, which says nothing of it, holds again. A config without it ends a rule.
      await retention.set({ failed: null }, { workflow: 'bill' })
      await s.store.setConfigRetention([])
      expect(await retention.rules()).toEqual([])
    })

    test('what has to stay is passed by: a child whose parent is open, a run whose children are to be told', async () => {
      await using s = await Scene.open(open)
      const hand = await s.worker()
      const parent = await s.held(hand, { runId: 'run_parent' })
      await hand.append(parent, [child({ runId: 'run_child' })])
      const kid = await hand.claimOne()
      await hand.close(kid, 'completed', { hasParent: true })
      const other = await s.held(hand, { runId: 'run_other' })
      await hand.append(other, [child({ runId: 'run_other_child', queue: 'elsewhere' })])
      await hand.close(other, 'completed', { hasChildren: true })
      await s.pass(10 * day)
      const retention = of(s)
      await retention.set({ completed: '1d', cancelled: '1d' })
      expect(await retention.sweep()).toEqual({ deleted: 0, kept: 2 })
      await s.store.tellChildren()
      while ((await s.store.tellChildren()).left > 0);
      await hand.close(parent, 'completed')
      expect(await retention.sweep()).toEqual({ deleted: 2, kept: 0 })
      // The child outlives its parent; its parent's name is all that it keeps of it.
      expect(await s.row('run_other_child')).toMatchObject({
        ...{ status: 'cancelled', parent: { id: 'run_other', runId: 'run_other' } },
      })
      await s.pass(2 * day)
      expect(await retention.sweep()).toEqual({ deleted: 2, kept: 0 })
      expect((await s.store.list({})).rows).toEqual([])
    })

    test('more than one part: each is bounded, and all of it goes', async () => {
      await using s = await Scene.open(open)
      const count = retainedPart + 3
      const runIds = Array.from({ length: count }, (_, i) => `run_${String(i).padStart(5, '0')}`)
      await s.store.start(runIds.map((runId) => request({ runId })))
      const hand = await s.worker()
      const claimed = await hand.claim(1_000)
      expect(claimed).toHaveLength(count)
      for (const run of claimed) await hand.close(run, 'completed')
      await s.pass(2 * day)
      const retention = of(s)
      await retention.set({ completed: '1d' })
      const seen: number[] = []
      expect(await retention.sweep({ onProgress: ({ deleted }) => seen.push(deleted) })).toEqual({
        deleted: count,
        kept: 0,
      })
      expect(seen).toEqual([retainedPart, count])
    })

    test('one worker at a time, and another when it is gone', async () => {
      await using s = await Scene.open(open)
      expect(await s.store.watchRetention('a', 60_000)).toBe(true)
      expect(await s.store.watchRetention('b', 60_000)).toBe(false)
      expect(await s.store.watchRetention('a', 0)).toBe(true)
      // Its lease is over as soon as it was had.
      let taken = false
      while (!taken) taken = await s.store.watchRetention('b', 60_000)
      await s.store.unwatchRetention('a', 60_000)
      expect(await s.store.watchRetention('c', 60_000)).toBe(false)
      await s.store.unwatchRetention('b', -1)
      const hand = await s.worker()
      await ended(s, hand, 'run_old', 'completed')
      await s.pass(2 * day)
      await of(s).set({ completed: '1d' })
      const told: number[] = []
      const desk = new RetentionDesk(s.store, 'd', (deleted) => told.push(deleted))
      await desk.look()
      expect(told).toEqual([1])
      // It was looked for just now.
      expect(await s.store.watchRetention('e', 60_000)).toBe(false)
    })

    test('what cannot be used is told', async () => {
      await using s = await Scene.open(open)
      const retention = of(s)
      for (const wrong of [
        () => retention.set({}),
        () => retention.set({ open: '1d' } as never),
        () => retention.set({ completed: 'soon' as Keep }),
        () => retention.set({ completed: '1d' }, { workflow: '' }),
        async () => checkRetention({ perWorkflow: { order: { done: '1d' } } } as never, 'x'),
        async () => checkRetention({ completed: -1 }, 'x'),
      ]) {
        await expect(wrong()).rejects.toMatchObject({ code: 'invalid_input' })
      }
      expect(await retention.rules()).toEqual([])
    })
  })
}

describe('in Postgres', () => {
  test('nothing is left of a run, of a long one piece by piece; what is left by others is found', async () => {
    await using s = await Scene.open(openPostgres)
    const { db } = s.store as PostgresStore
    const hand = await s.worker()
    for (const runId of ['run_short', 'run_long']) {
      const run = await s.held(hand, { runId })
      await s.post(signal(runId, 'unread', { messageId: 'm' }))
      await hand.append(run, [step])
      await s.store.saveCheckpoint(hand.id, runId, run.claim, 2, '1')
      if (runId === 'run_long') {
        await db.query({
          text: `INSERT INTO stet_store.history (run_id, seq, type, at) SELECT 'run_long', n, 'SignalReceived', now() FROM generate_series(3, 12000) n`,
        })
      }
      await hand.close(run, 'completed')
    }
    await s.start({ runId: 'run_stays' })
    expect((await s.store.deleteRuns(['run_short', 'run_long', 'run_stays', 'run_none'])).refused).toEqual([
      { runId: 'run_stays', code: 'run_open' },
      { runId: 'run_none', code: 'run_not_found' },
    ])
    const left = async () => {
      const { rows } = await db.query({
        text: `SELECT (SELECT count(*) FROM stet_store.history WHERE run_id = $1)::int AS events,
                      (SELECT count(*) FROM stet_store.inbox WHERE run_id = $1)::int AS messages,
                      (SELECT count(*) FROM stet_store.message_ids WHERE run_id = $1)::int AS ids,
                      (SELECT count(*) FROM stet_store.checkpoints WHERE run_id = $1)::int AS checkpoints`,
        values: ['run_long'],
      })
      return rows[0]
    }
    expect(await left()).toEqual({ events: 12_001, messages: 1, ids: 1, checkpoints: 0 })
    // What is still to be deleted is no orphan.
    expect(await allOrphans(db)).toEqual({ orphans: [], looked: 'all' })
    let pieces = 0
    while ((await s.store.deleteLeftovers()) > 0) pieces++
    expect(pieces).toBeGreaterThan(2)
    expect(await left()).toEqual({ events: 0, messages: 0, ids: 0, checkpoints: 0 })
    expect(await allOrphans(db)).toEqual({ orphans: [], looked: 'all' })
    await db.query({ text: `DELETE FROM stet_store.runs WHERE run_id = 'run_stays'` })
    await db.query({
      text: `INSERT INTO stet_store.inbox (run_id, n, kind, at) VALUES ('run_lost', 1, 'signal', now())`,
    })
    expect((await allOrphans(db)).orphans).toEqual([
      { table: 'history', runId: 'run_stays' },
      { table: 'inbox', runId: 'run_lost' },
    ])
  })

  test('a run that somebody has locked is passed by, and nothing waits for it', async () => {
    await using s = await Scene.open(openPostgres)
    const { db } = s.store as PostgresStore
    const hand = await s.worker()
    await ended(s, hand, 'run_a', 'completed')
    await ended(s, hand, 'run_b', 'completed')
    await s.pass(2 * day)
    await of(s).set({ completed: '1d' })
    await db.transaction(async (query) => {
      await query({ text: `SELECT FROM stet_store.runs WHERE run_id = 'run_a' FOR KEY SHARE` })
      expect(await of(s).sweep()).toEqual({ deleted: 1, kept: 1 })
      expect((await s.store.deleteRuns(['run_a'])).refused).toEqual([{ runId: 'run_a', code: 'run_locked' }])
    })
    expect(await of(s).sweep()).toEqual({ deleted: 1, kept: 0 })
  })
})
