/** Limits that come while somebody claims. */
import pg from 'pg'
import { expect, inject, test } from 'vitest'
import { createPostgresStore } from '../../src/store/postgres/store.js'
import { createTestDatabase, dropTestDatabase, postgresTime } from '../../src/store/postgres/test-database.js'
import { Scene } from './scene.js'

const serverUrl = inject('serverUrl')
const of = (customer: string, region: string) => JSON.stringify({ customer, region })
const bounds = { concurrency: 2, rate: null }
const byCustomer = { scope: 'workflow', name: 'order', key: 'customer' } as const
const byRegion = { ...byCustomer, key: 'region' }

/** Six runs of two customers in one region, behind a limit of each customer that is far away; and a client. */
async function scene() {
  const { name, url } = await createTestDatabase(serverUrl)
  const store = createPostgresStore({ url })
  const client = new pg.Client(url)
  await client.connect()
  const remove = async () => {
    await client.end()
    await store.close()
    await dropTestDatabase(serverUrl, name)
  }
  const s = await Scene.open(async () => ({ store, time: postgresTime(store.db), remove }))
  await store.setLimit(byCustomer, { bounds: { ...bounds, concurrency: 9 } })
  const worker = await s.worker()
  for (let i = 0; i < 6; i++) await s.start({ runId: `run_${i}`, payload: of(`c-${i % 2}`, 'north') })
  const putInLine = `SELECT stet_store.claim_in_line('${worker.id}', '{default}', '{order}', '{1}', '{1}', 0, 3, false, false)`
  const obeyed = async () => {
    const held: string[] = []
    for (let i = 0; i < 5; i++) held.push(...(await worker.inLine()))
    expect(held).toHaveLength(2)
    expect(await store.limitStates()).toMatchObject([
      { key: 'customer', running: 2 },
      { key: 'region', running: 2, queued: 4 },
    ])
  }
  return { s, store, client, worker, putInLine, obeyed, [Symbol.asyncDispose]: () => s[Symbol.asyncDispose]() }
}

test('a claim that is under way comes first: what it puts into line obeys the new limit', async () => {
  await using at = await scene()
  await at.client.query('BEGIN')
  await at.client.query(at.putInLine)
  const setting = at.store.setLimit(byRegion, { bounds })
  await at.client.query('COMMIT')
  await setting
  await at.obeyed()
})

test('a run that somebody holds is not waited for, and obeys the new limit', async () => {
  await using at = await scene()
  await at.client.query(at.putInLine)
  await at.client.query('BEGIN')
  await at.client.query(`SELECT FROM stet_store.runs WHERE run_id IN ('run_0', 'run_1', 'run_2', 'run_5') FOR UPDATE`)
  await at.store.setLimit(byRegion, { bounds })
  await at.client.query('COMMIT')
  await at.obeyed()
})

test('where the last limit goes no run stays in a line', async () => {
  await using at = await scene()
  await at.client.query(at.putInLine)
  await at.client.query('BEGIN')
  await at.client.query(`SELECT FROM stet_store.runs WHERE run_id = 'run_0' FOR UPDATE`)
  const going = at.store.resetLimit(byCustomer)
  await at.client.query('COMMIT')
  expect(await going).toBe(true)
  expect(await at.worker.claim()).toHaveLength(6)
})
