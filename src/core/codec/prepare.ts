import { types } from 'node:util'
import { SerializationError } from '../errors.js'
import { Bytes, ErrorForm, graphOf, isByteView, Pairs, Sparse } from './forms.js'
import { maxDepth, maxPayloadBytes } from './limits.js'
import { recordError } from './recorded-error.js'
import { refusal, tooDeep, tooLarge } from './refuse.js'

const unsafeKeys = new Set(['__proto__', 'constructor', 'prototype'])

/**
 * The strict walk: refuses, with its path, whatever could not be read back equal, and copies the rest into a tree that
 * superjson holds exactly (codec/forms.ts). Every property is read once, so a getter cannot show two faces.
 * @throws SerializationError
 */
export function prepare(value: unknown, what: string): unknown {
  const walk = new Walk(what)
  let root: unknown
  try {
    root = walk.visit(value, 1)
  } catch (error) {
    if (error instanceof SerializationError) throw error
    throw walk.refuse(`something that throws when it is read (${reason(error)})`, 'Store a plain copy of its data.')
  }
  return walk.shared.size === 0 ? root : graphOf(root, walk.shared)
}

/** A property's key, an array's index, or another step in words. They become text only when a path is asked for. */
type Step = string | number | (() => string)

class Walk {
  /** The objects that are used more than once, as prepared. */
  readonly shared = new Set<object>()
  readonly #what: string
  /** From each object met to its prepared copy, which is known before it is filled: so a cycle ends here. */
  readonly #seen = new Map<object, object>()
  /** The steps to the place being looked at. Left as it is on a throw, so it then names the place that threw. */
  readonly #steps: Step[] = []
  /** Bytes of text still allowed. A lower bound is subtracted, so that a giant is refused before it is encoded. */
  #room = maxPayloadBytes

  constructor(what: string) {
    this.#what = what
  }

  refuse(got: string, advice: string): SerializationError {
    return refusal(this.#what, this.#path(), got, advice)
  }

  visit(value: unknown, depth: number): unknown {
    switch (typeof value) {
      case 'string':
        this.#take(value.length + 2)
        return value
      case 'bigint':
        // Hexadecimal takes linear time, decimal does not: a monster is measured before superjson spells it out.
        this.#take(Math.floor(value.toString(16).length / 1.3))
        return value
      case 'function':
        throw this.refuse(
          value.name ? `the function "${value.name}"` : 'a function',
          'Leave it out: keep the function in code, and store the data it needs.',
        )
      case 'symbol':
        throw this.refuse(String(value), 'Store a string instead.')
      case 'object':
        return value === null ? value : this.#visitObject(value, depth)
      default:
        this.#take(1)
        return value
    }
  }

  #visitObject(value: object, depth: number): object {
    const known = this.#seen.get(value)
    if (known) {
      this.shared.add(known)
      return known
    }
    if (depth > maxDepth) throw tooDeep(this.#what, this.#path(), maxDepth)
    this.#take(2)
    if (Array.isArray(value)) return this.#array(value, depth)
    if (types.isNativeError(value) || value instanceof Error)
      return this.#leaf(value, new ErrorForm(recordError(value)))
    const ancestors = ancestorsOf(value)
    if (ancestors <= 1) return this.#plain(value, depth)
    if (ancestors === 2) {
      if (types.isMap(value)) return this.#map(value, depth)
      if (types.isSet(value)) return this.#set(value, depth)
      if (types.isDate(value)) return this.#leaf(value, this.#date(value))
      if (types.isRegExp(value)) return this.#leaf(value, new RegExp(value.source, value.flags))
      if (value instanceof URL) return this.#leaf(value, new URL(value))
      if (types.isArrayBuffer(value)) return this.#leaf(value, this.#bytes('ArrayBuffer', new Uint8Array(value)))
    }
    if (ArrayBuffer.isView(value)) {
      const kind = Buffer.isBuffer(value) ? 'Uint8Array' : className(value)
      if (isByteView(kind)) return this.#leaf(value, this.#bytes(kind, value))
    }
    throw this.#foreign(value)
  }

  #leaf(value: object, prepared: object): object {
    this.#seen.set(value, prepared)
    return prepared
  }

  #plain(value: object, depth: number): object {
    const symbol = Object.getOwnPropertySymbols(value).find(
      (key) => Object.getOwnPropertyDescriptor(value, key)?.enumerable,
    )
    if (symbol !== undefined) {
      this.#steps.push(() => `[${String(symbol)}]`)
      throw this.refuse('a property whose key is a symbol', 'Use a string as the key.')
    }
    const keys = Object.keys(value)
    if (keys.some((key) => unsafeKeys.has(key))) {
      const pairs = this.#leaf(value, new Pairs()) as Pairs
      for (const key of keys) pairs.push(key, this.#property(value, key, depth))
      return pairs
    }
    const copy = this.#leaf(value, {}) as Record<string, unknown>
    for (const key of keys) copy[key] = this.#property(value, key, depth)
    return copy
  }

  #property(value: object, key: string, depth: number): unknown {
    this.#take(key.length + 4)
    return this.#at(key, () => this.visit((value as Record<string, unknown>)[key], depth + 1))
  }

  #array(value: unknown[], depth: number): object {
    // A subclass would come back without its class. (Another realm's Array is as good as ours.)
    if (ancestorsOf(value) !== 2) throw this.#foreign(value)
    const length = value.length
    this.#take(length)
    const holes: number[] = []
    for (let i = 0; i < length; i++) if (!(i in value)) holes.push(i)
    const copy = this.#leaf(value, holes.length === 0 ? [] : Sparse.of(holes)) as unknown[]
    for (let i = 0; i < length; i++) copy.push(this.#at(i, () => this.visit(i in value ? value[i] : null, depth + 1)))
    return copy
  }

  #map(value: Map<unknown, unknown>, depth: number): object {
    const copy = this.#leaf(value, new Map()) as Map<unknown, unknown>
    let index = 0
    for (const [key, item] of value) {
      const position = index++
      const preparedKey = this.#at(
        () => `<key #${position}>`,
        () => this.visit(key, depth + 1),
      )
      const valueStep = () => entryStep(key, position)
      copy.set(
        preparedKey,
        this.#at(valueStep, () => this.visit(item, depth + 1)),
      )
    }
    return copy
  }

  #set(value: Set<unknown>, depth: number): object {
    const copy = this.#leaf(value, new Set()) as Set<unknown>
    let index = 0
    for (const item of value) {
      const position = index++
      copy.add(
        this.#at(
          () => `<item #${position}>`,
          () => this.visit(item, depth + 1),
        ),
      )
    }
    return copy
  }

  #date(value: Date): Date {
    const time = value.getTime()
    if (Number.isNaN(time)) throw this.refuse('an invalid Date', 'Check what it was made from, or store null.')
    return new Date(time)
  }

  #bytes(kind: string, view: ArrayBufferView): Bytes {
    this.#take(Math.ceil(view.byteLength / 3) * 4 + kind.length + 3)
    return new Bytes(`${kind}:${Buffer.from(view.buffer, view.byteOffset, view.byteLength).toString('base64')}`)
  }

  #foreign(value: object): SerializationError {
    if (types.isPromise(value)) return this.refuse('a Promise', 'Did you forget `await`?')
    if (types.isWeakMap(value) || types.isWeakSet(value) || value instanceof WeakRef) {
      return this.refuse(
        `a ${className(value)}`,
        'Nothing can list what it holds: store a Map, a Set or the object itself.',
      )
    }
    const members = value as {
      next?: unknown
      toJSON?: unknown
      [Symbol.iterator]?: unknown
      [Symbol.asyncIterator]?: unknown
    }
    if (types.isGeneratorObject(value) || (typeof members.next === 'function' && isIterable(members))) {
      return this.refuse(
        'a generator or an iterator',
        'Collect its values first ([...values], or `for await` into an array).',
      )
    }
    if (typeof members[Symbol.asyncIterator] === 'function') {
      return this.refuse(`a stream (${className(value)})`, 'Read it to its end first, and store what was read.')
    }
    const way = typeof members.toJSON === 'function' ? 'its toJSON()' : 'a plain copy of its fields ({ ...value })'
    return this.refuse(
      `an instance of the class ${className(value)}`,
      `Its methods would be lost: store ${way}, and make the instance again where it is used.`,
    )
  }

  #take(bytes: number): void {
    this.#room -= bytes
    if (this.#room >= 0) return
    // One giant is named; a value that is large altogether has no one place to blame.
    const path = bytes > maxPayloadBytes ? this.#path() : '$'
    throw tooLarge(this.#what, path, maxPayloadBytes - this.#room, false)
  }

  #at<T>(step: Step, visit: () => T): T {
    this.#steps.push(step)
    const result = visit()
    this.#steps.pop()
    return result
  }

  #path(): string {
    return `$${this.#steps.map(stepText).join('')}`
  }
}

/** The length of the prototype chain. Plain objects have 1 or 0, builtin classes 2, in whichever realm they were made. */
function ancestorsOf(value: object): number {
  let count = 0
  for (let p = Object.getPrototypeOf(value); p !== null; p = Object.getPrototypeOf(p)) {
    // A class without a parent (`class A extends null`), or Object.create(somePlainObject), is not plain data.
    if (count === 0 && Object.getPrototypeOf(p) === null && !Object.hasOwn(p, 'isPrototypeOf')) return 99
    count++
  }
  return count
}

function className(value: object): string {
  const name = Object.getPrototypeOf(value)?.constructor?.name
  return typeof name === 'string' && name !== '' ? name : '(without a name)'
}

function isIterable(value: { [Symbol.iterator]?: unknown; [Symbol.asyncIterator]?: unknown }): boolean {
  return typeof value[Symbol.iterator] === 'function' || typeof value[Symbol.asyncIterator] === 'function'
}

function stepText(step: Step): string {
  if (typeof step === 'number') return `[${step}]`
  if (typeof step === 'function') return step()
  return /^[\p{ID_Start}$_][\p{ID_Continue}$]*$/u.test(step) ? `.${step}` : `[${JSON.stringify(step)}]`
}

/** The value of a Map's entry: by its key where that is a primitive, else by its position. */
function entryStep(key: unknown, position: number): string {
  if (typeof key === 'string') return `<key ${JSON.stringify(key.length <= 60 ? key : `${key.slice(0, 60)}…`)}>`
  if (typeof key === 'bigint') return `<key ${key}n>`
  const isObject = (typeof key === 'object' && key !== null) || typeof key === 'function' || typeof key === 'symbol'
  return isObject ? `<value #${position}>` : `<key ${String(key)}>`
}

function reason(error: unknown): string {
  const { name, message } = recordError(error)
  return `${name}: ${message.slice(0, 200)}`
}
