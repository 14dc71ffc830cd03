import { types } from 'node:util'
import { maxDepth, maxPayloadBytes } from './limits.js'

// Walks are synchronous and never nested, so what they count may live beside them: cheaper than a context argument.
let room = 0
let deepest = 0

/**
 * True when `JSON.stringify(value)` loses nothing: strings, booleans, null, finite numbers other than -0, plain arrays
 * without holes, plain or null-prototype objects. Named properties of an array (`match.index`) are not looked at and,
 * as in JSON, not kept.
 *
 * Accessor properties and proxies do not pass, so no user code runs in `JSON.stringify`: what was checked is what is
 * stored. (An accessor on the index of an array is not looked for.) False says only "not certainly": the strict walk
 * (codec/prepare.ts) decides.
 */
export function isPlainJSON(value: unknown, maxSize = maxPayloadBytes, depth = maxDepth): boolean {
  room = maxSize
  deepest = depth
  try {
    return isPlain(value, 1)
  } catch {
    return false // a getter named toJSON threw; the strict walk names the place
  }
}

function isPlain(value: unknown, depth: number): boolean {
  switch (typeof value) {
    case 'string':
      room -= value.length + 2
      return room >= 0
    case 'number':
      return Number.isFinite(value) && !Object.is(value, -0)
    case 'boolean':
      return true
    case 'object':
      return value === null || isPlainContainer(value as Record<string, unknown>, depth)
    default:
      return false
  }
}

function isPlainContainer(value: Record<string, unknown>, depth: number): boolean {
  // A proxy can answer differently each time. toJSON counts wherever it is found, also on a prototype.
  if (depth > deepest || types.isProxy(value) || value.toJSON !== undefined) return false
  const prototype = Object.getPrototypeOf(value)
  if (Array.isArray(value)) {
    const length = value.length
    room -= length + 1
    if (prototype !== Array.prototype || room < 0) return false
    for (let i = 0; i < length; i++) if (!isPlain(value[i], depth + 1)) return false
    return true
  }
  if (prototype !== Object.prototype && prototype !== null) return false
  if (Object.getOwnPropertySymbols(value).length > 0) return false
  room -= 2
  for (const key in value) {
    const property = Object.getOwnPropertyDescriptor(value, key)
    if (property === undefined) continue // inherited: JSON.stringify leaves it out as well
    if (property.get !== undefined || property.set !== undefined || key === '__proto__') return false
    room -= key.length + 4
    if (!isPlain(property.value, depth + 1)) return false
  }
  return room >= 0
}
