import { createMemoryStore } from '../../src/store/memory/store.js'
import { describeStore } from './conformance.js'
import { describeLimits } from './conformance-limits.js'
import { describeSchedules } from './schedules-conformance.js'

for (const suite of [describeStore, describeSchedules, describeLimits])
  suite('the in-memory store', async () => {
    const store = createMemoryStore()
    return { store, time: store.time, remove: () => store.close() }
  })
