import { createMemoryStore } from '../../src/store/memory/store.js'
import { describeStore } from './conformance.js'
import { describeSchedules } from './schedules-conformance.js'

for (const suite of [describeStore, describeSchedules])
  suite('the in-memory store', async () => {
    const store = createMemoryStore()
    return { store, time: store.time, remove: () => store.close() }
  })
