/**
 * The conformance suite under another schema name than the one that SQL is written for, in databases that have no schema
 * `stet`: a name that was left in a statement is an error. The name is one that SQL keeps for itself.
 */
import { expect, inject, test } from 'vitest'
import { createPostgresStore } from '../../src/store/postgres/store.js'
import { createTestDatabase, dropTestDatabase, postgresTime } from '../../src/store/postgres/test-database.js'
import { describeStore } from './conformance.js'

const schema = 'order'

async function open() {
  const serverUrl = inject('serverUrl')
  const { name, url } = await createTestDatabase(serverUrl, schema)
  const store = createPostgresStore({ url, schema })
  const remove = async () => {
    await store.close()
    await dropTestDatabase(serverUrl, name)
  }
  return { store, time: postgresTime(store.db), remove }
}

describeStore(`the Postgres store in schema ${schema}`, open)

test('these databases have no other schema of stet', async () => {
  const { store, remove } = await open()
  const { rows } = await store.db.query({
    text: `SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname NOT IN ('public', 'information_schema') ORDER BY 1`,
  })
  expect(rows.map(({ nspname }) => nspname)).toEqual(['order', 'order_store'])
  await remove()
})
