/**
 * `pg`, without what it brings in by asking: to learn whether it runs at Cloudflare it makes a `Response`, which on
 * Node 20 loads all of fetch, 25 ms and 5 MB in each thread. Where there is a `navigator`, as in later Nodes, it asks that.
 */
import { createRequire } from 'node:module'

export const { Client, Pool } = load()

function load(): typeof import('pg') {
  const require = createRequire(import.meta.url)
  if ('navigator' in globalThis) return require('pg')
  Object.defineProperty(globalThis, 'navigator', { value: { userAgent: 'Node.js' }, configurable: true })
  try {
    return require('pg')
  } finally {
    delete (globalThis as { navigator?: unknown }).navigator
  }
}
