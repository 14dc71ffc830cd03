/** How crashes of workers tell on the runs that they held. */
import { beforeEach, describe, expect, test } from 'vitest'
import { Stet, workflow } from '../../src/index.js'
import type { Store } from '../../src/store/port.js'
import { type TestDatabase, testDatabase } from '../support/server.js'

const lanes = { queues: ['default'], workflows: [{ name: 'quarantined', version: 1 }] }
const quarantined = workflow('quarantined', async (ctx) => ctx.step('one', () => 1))

describe('a run whose workers crash one after another', () => {
  let db: TestDatabase
  let stet: Stet
  let store: Store
  let workers = 0

  beforeEach(async () => {
    db = await testDatabase()
    stet = new Stet({ url: db.url })
    store = (await stet.internals()).store
    await stet.start(quarantined)
    return () => stet.close()
  })

  /** A worker takes the run, gets on with it or not, and dies; after how many seconds the run may be tried again. */
  async function crash({
    getsOn = false,
    suspect = false,
  } = {}): Promise<{ status: string; crashes: number; pause: number }> {
    const id = `worker-${workers++}`
    await db.query(
      `INSERT INTO stet_store.workers (id, expires_at) VALUES ('${id}', clock_timestamp() + interval '1 minute')`,
    )
    await db.query('UPDATE stet_store.runs SET due = created_at')
    const [claimed] = await store.claim(id, lanes, 1, { suspects: suspect, aged: false })
    expect(claimed, 'is there to be claimed').toBeDefined()
    const { rows } = await db.query('SELECT max(seq) AS seq FROM stet_store.history')
    const seq = rows[0].seq + 1
    const type = getsOn ? 'AttemptFailed' : 'StepScheduled'
    const event = { op: 1, name: 'one', payload: null, facts: null, inboxN: null, child: null, answers: null }
    const { runId, claim } = claimed!
    expect(await store.append(id, id, [{ ...event, runId, claim, seq, firstSeq: seq, type }])).toMatchObject({
      fenced: false,
    })
    const before = await store.now()
    const { nextDue, quarantined: blocked } = await store.takeOver([id])
    const row = (await db.query('SELECT status, crashes FROM stet_store.runs')).rows[0]
    expect(blocked).toEqual(row.status === 'blocked' ? [runId] : [])
    return { ...row, pause: nextDue === null ? 0 : Math.round((nextDue - before) / 1_000) }
  }

  test('is tried alone from the second on, after ever longer pauses, and blocked at the fifth', async () => {
    expect(await crash()).toEqual({ status: 'pending', crashes: 1, pause: 0 })
    expect(await crash()).toEqual({ status: 'pending', crashes: 2, pause: 2 })
    await db.query('UPDATE stet_store.runs SET due = created_at')
    expect(await store.claim('nobody', lanes, 1, { suspects: false, aged: false })).toEqual([])
    expect(await crash({ suspect: true })).toEqual({ status: 'pending', crashes: 3, pause: 4 })
    expect(await crash({ suspect: true })).toEqual({ status: 'pending', crashes: 4, pause: 8 })
    expect(await crash({ suspect: true })).toMatchObject({ status: 'blocked', crashes: 5 })
  })

  test('is counted anew when it got on, and not as long as it gets on', async () => {
    expect(await crash()).toMatchObject({ crashes: 1 })
    expect(await crash({ getsOn: true })).toEqual({ status: 'pending', crashes: 1, pause: 0 })
    await crash()
    await crash({ suspect: true })
    expect(await crash({ suspect: true })).toMatchObject({ crashes: 4 })
    for (let i = 0; i < 6; i++)
      expect(await crash({ suspect: true, getsOn: true })).toEqual({ status: 'pending', crashes: 2, pause: 0 })
  })
})
