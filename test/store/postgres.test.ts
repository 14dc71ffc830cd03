import { inject } from 'vitest'
import { createPostgresStore } from '../../src/store/postgres/store.js'
import { createTestDatabase, dropTestDatabase, postgresTime } from '../../src/store/postgres/test-database.js'
import { describeStore } from './conformance.js'
import { describeLimits } from './conformance-limits.js'
import { describeSchedules } from './schedules-conformance.js'

for (const suite of [describeStore, describeSchedules, describeLimits])
  suite('the Postgres store', async () => {
    const serverUrl = inject('serverUrl')
    const { name, url } = await createTestDatabase(serverUrl)
    const store = createPostgresStore({ url })
    const remove = async () => {
      await store.close()
      await dropTestDatabase(serverUrl, name)
    }
    return { store, time: postgresTime(store.db), remove }
  })
