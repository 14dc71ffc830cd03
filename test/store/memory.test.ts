import { createMemoryStore } from '../../src/store/memory/store.js'
import { describeStore } from './conformance.js'

describeStore('the in-memory store', async () => {
  const store = createMemoryStore()
  return { store, time: store.time, remove: () => store.close() }
})
