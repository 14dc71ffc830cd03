/**
 * Packages that buy random bytes in bulk. `nanoid` and `uuid` (to version 11) keep a module-level buffer and fill it
 * only when it is used up, so a call in a turn would be served from bytes of some other time, and a call elsewhere
 * from bytes that a turn had seeded.
 *
 * Both decide by `pool.length` whether the buffer is used up. So a pool, once recognised, is given a `length` of its
 * own:
 *
 * 1. In a turn it is 0: the package finds its pool used up and asks for bytes again at every call.
 * 2. Outside, it is 0 when a turn filled the pool last (those bytes are known to every replay), else the true length.
 */
import { nanoid } from 'nanoid'
import type { Hub } from './turn.js'

/** Looking at the stack costs microseconds, so only what has the shape of a pool is looked at. */
function looksLikePool(buffer: ArrayBufferView): buffer is Uint8Array {
  const { byteLength } = buffer
  // nanoid: a Buffer for 128 ids; uuid: a Uint8Array for 16.
  return Buffer.isBuffer(buffer) ? byteLength % 128 === 0 : byteLength === 256 && buffer instanceof Uint8Array
}

interface Pool {
  /** Whether the last fill came from a turn. */
  seeded: boolean
}
const pools = new WeakMap<ArrayBufferView, Pool>()
let recognised = 0

/** To be told of every fill: `filler` is the patched function that was called, `seeded` whether a turn gave the bytes. */
export function filled(hub: Hub, buffer: ArrayBufferView, seeded: boolean, filler: (...args: any[]) => unknown): void {
  if (!looksLikePool(buffer)) return
  const known = pools.get(buffer)
  if (known !== undefined) known.seeded = seeded
  else if (isPool(filler)) shadow(hub, buffer, seeded)
}

/**
 * nanoid may have been used before the globals were patched; the pool it then has is unknown to us. Using up that pool
 * (at most 65,536 bytes, the quota of one fill) makes it come for a new one.
 */
export function drainNanoid(): void {
  const before = recognised
  for (let used = 0; used <= 65_536 + 21 && recognised === before; used += 21) nanoid()
}

function shadow(hub: Hub, buffer: Uint8Array, seeded: boolean): void {
  const length = buffer.length
  const pool: Pool = { seeded }
  pools.set(buffer, pool)
  recognised++
  Object.defineProperty(buffer, 'length', {
    get: () => (pool.seeded || hub.ask() !== null ? 0 : length),
    configurable: true,
  })
  // Buffer's own `subarray` goes by `length` and would find nothing (nanoid's customAlphabet would never end); the one
  // of typed arrays goes by the true length.
  const { subarray } = Uint8Array.prototype
  Object.defineProperty(buffer, 'subarray', { value: subarray, writable: true, configurable: true })
}

/** Whether a package known for its pool asked for the bytes: by its folder, or by its function when it was bundled. */
function isPool(filler: (...args: any[]) => unknown): boolean {
  const site = callSiteOf(filler)
  if (site === undefined) return false
  return (
    /[\\/]node_modules[\\/](nanoid|uuid)[\\/]/.test(site.getFileName() ?? '') ||
    /^(fillPool|rng)\d*$/.test(site.getFunctionName() ?? '')
  )
}

/** The innermost call site below `fn` outside Node itself (`crypto.getRandomValues` is a wrapper in Node's own code). */
function callSiteOf(fn: (...args: any[]) => unknown): NodeJS.CallSite | undefined {
  const { prepareStackTrace, stackTraceLimit } = Error
  try {
    // Structured frames: a formatted stack is slower by far (source maps) and looks as the user's formatter likes it.
    Error.prepareStackTrace = (_error, sites) => sites
    Error.stackTraceLimit = 3
    const holder: { stack?: NodeJS.CallSite[] } = {}
    Error.captureStackTrace(holder, fn)
    return holder.stack?.find((site) => !site.getFileName()?.startsWith('node:'))
  } finally {
    Error.prepareStackTrace = prepareStackTrace
    Error.stackTraceLimit = stackTraceLimit
  }
}
