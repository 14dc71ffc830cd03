import { createMemoryStore } from '../../src/store/memory/store.js'
import { describeStore } from './conformance.js'
import { describeLimits } from './conformance-limits.js'

const open = async () => {
  const store = createMemoryStore()
  return { store, time: store.time, remove: () => store.close() }
}

describeStore('the in-memory store', open)
describeLimits('the in-memory store', open)
