/**
 * The forms that superjson is given for what it would lose, break or bloat, and how each is read back.
 *
 * 1. What superjson is given is a tree of our own making: no object occurs twice in it, no key is
 *    `__proto__`, `constructor` or `prototype` (superjson throws on those), and everything superjson does not hold
 *    exactly stands there as one of the forms below. So of superjson only the well-trodden part is used.
 * 2. Identity is ours too: superjson restores shared references by paths, which come out wrong when a cycle is
 *    reached from two sides or when a Set is rebuilt on the way. A `Graph` is a table whose entries name each other.
 * 3. Nothing that is read runs code: no class is looked up by a stored name outside the fixed tables here.
 */
import { SuperJSON } from 'superjson'
import { put } from '../json.js'
import { type RecordedError, reviveError } from './recorded-error.js'

/** `table[0]` is the value; every object that is used more than once has an entry, and a `Ref` wherever it is used. */
export class Graph extends Array<unknown> {}
export class Ref {
  constructor(readonly index: number) {}
}
/** An object with a key that superjson refuses: `[key, value, key, value, …]`. */
export class Pairs extends Array<unknown> {}
/** An array with holes: `[the indices of the holes, item, item, …]`, with null in the holes. */
export class Sparse extends Array<unknown> {}
/** Binary data: `Uint8Array:<base64>`; its elements are little-endian, as on every platform that Node runs on. */
export class Bytes {
  constructor(readonly text: string) {}
}
export class ErrorForm {
  constructor(readonly record: RecordedError) {}
}

export const superjson = new SuperJSON({ dedupe: false })

function register<T extends object>(
  name: string,
  form: abstract new (...args: any[]) => T,
  write: (form: T) => any,
  read: (json: any) => unknown,
) {
  const isApplicable = (value: any): value is T => value instanceof form
  superjson.registerCustom<T, any>({ isApplicable, serialize: write, deserialize: read as (json: any) => T }, name)
}
register('graph', Graph, (graph) => [...graph], linked)
register(
  'ref',
  Ref,
  (ref) => ref.index,
  (index) => new Ref(index),
)
register('object', Pairs, (pairs) => [...pairs], objectOf)
register('sparse', Sparse, (parts) => [...parts], sparse)
register('bytes', Bytes, (bytes) => bytes.text, bytesOf)
register('error', ErrorForm, (form) => form.record, reviveError)

// ── objects and arrays ───────────────────────────────────────────────────────────────────────────
function objectOf(pairs: unknown[]): object {
  const object = {}
  for (let i = 0; i < pairs.length; i += 2) {
    const key = pairs[i]
    if (typeof key !== 'string') throw new TypeError('a key of an object is not a string')
    put(object, key, pairs[i + 1])
  }
  return object
}

function sparse(parts: unknown[]): unknown[] {
  const [holes, ...items] = parts
  if (!Array.isArray(holes)) throw new TypeError('a sparse array has no list of holes')
  for (const index of holes) if (Number.isInteger(index)) delete items[index]
  return items
}

// ── binary data ──────────────────────────────────────────────────────────────────────────────────
const views = new Map<string, new (buffer: ArrayBuffer) => ArrayBufferView>(
  [
    Int8Array,
    Uint8Array,
    Uint8ClampedArray,
    Int16Array,
    Uint16Array,
    Int32Array,
    Uint32Array,
    Float32Array,
    Float64Array,
    BigInt64Array,
    BigUint64Array,
    DataView,
  ].map((view) => [view.name, view as any]),
)

export function isByteView(name: string): boolean {
  return views.has(name)
}

function bytesOf(text: string): ArrayBuffer | ArrayBufferView {
  const colon = text.indexOf(':')
  const kind = text.slice(0, colon)
  const decoded = Buffer.from(text.slice(colon + 1), 'base64')
  // A buffer of its own: a small Buffer is a window on a pool that other code shares.
  const buffer = new ArrayBuffer(decoded.byteLength)
  new Uint8Array(buffer).set(decoded)
  if (kind === 'ArrayBuffer') return buffer
  const View = views.get(kind)
  if (!View) throw new TypeError(`"${kind.slice(0, 40)}" is not a kind of binary data`)
  return new View(buffer)
}

// ── identity ─────────────────────────────────────────────────────────────────────────────────────
/** Replaces every member, however deep, that `swap` answers with another value; goes into those that stay. */
function swapMembers(container: unknown, swap: (member: unknown) => unknown): void {
  const swapped = (member: unknown) => {
    const other = swap(member)
    if (other === member) swapMembers(member, swap)
    return other
  }
  if (typeof container !== 'object' || container === null) return
  if (Array.isArray(container)) {
    for (let i = 0; i < container.length; i++) if (i in container) container[i] = swapped(container[i])
  } else if (container instanceof Map) {
    const entries = [...container]
    container.clear()
    for (const [key, value] of entries) container.set(swapped(key), swapped(value))
  } else if (container instanceof Set) {
    const members = [...container]
    container.clear()
    for (const member of members) container.add(swapped(member))
  } else if (Object.getPrototypeOf(container) === Object.prototype) {
    for (const [key, value] of Object.entries(container)) {
      const other = swapped(value)
      if (other !== value) put(container, key, other)
    }
  }
}

/** Turns a prepared value in which the `shared` objects occur several times into a tree that names them by index. */
export function graphOf(root: unknown, shared: ReadonlySet<object>): Graph {
  const table: unknown[] = [root, ...[...shared].filter((object) => object !== root)]
  const indices = new Map(table.map((object, index) => [object, index]))
  for (const entry of table) {
    swapMembers(entry, (member) => {
      const index = typeof member === 'object' && member !== null ? indices.get(member) : undefined
      return index === undefined ? member : new Ref(index)
    })
  }
  return Graph.from(table) as Graph
}

function linked(table: unknown[]): unknown {
  if (table.some((entry) => entry instanceof Ref)) throw new TypeError('a table of shared objects refers to itself')
  for (const entry of table) {
    swapMembers(entry, (member) => {
      if (!(member instanceof Ref)) return member
      const target = table[member.index]
      if (typeof target !== 'object') throw new TypeError('a reference leads nowhere')
      return target
    })
  }
  return table[0]
}
