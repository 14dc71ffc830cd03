import { runInNewContext } from 'node:vm'
import fc from 'fast-check'
import { afterEach, describe, expect, test } from 'vitest'
import { superjson } from '../../src/core/codec/forms.js'
import { prepare } from '../../src/core/codec/prepare.js'
import { serialize } from '../../src/core/codec/serialize.js'
import { decode, decodeError, encode, encodeError, maxDepth, maxPayloadBytes } from '../../src/core/codec.js'
import {
  CancelledFailure,
  ChildFailure,
  NonRetryableError,
  RunFailedError,
  SerializationError,
  StepFailure,
  StetError,
  TimeoutFailure,
} from '../../src/core/errors.js'

const what = 'the result of step "charge"'
const roundTrip = (value: unknown) => decode(encode(value, what))

// No test of this file may leave a trace on the prototypes that every object shares.
const globalKeys = () => [Object.prototype, Array.prototype, Function.prototype].map((p) => Reflect.ownKeys(p).length)
const keysBefore = globalKeys()
afterEach(() => {
  expect(globalKeys()).toEqual(keysBefore)
  expect(({} as any).x).toBeUndefined()
})

/**
 * Throws unless `b` is `a` again: same kinds, same values, same order, and the same objects in the same places.
 * Written out here, because the assertion libraries are lax about holes, URLs, identity or the fields of errors.
 */
function expectSame(a: any, b: any): void {
  const there = new Map<object, object>()
  const back = new Map<object, object>()
  const same = (x: any, y: any, path: string): void => {
    const wrong = (why: string) => new Error(`at ${path}: ${why}`)
    if (typeof x !== 'object' || x === null) {
      if (!Object.is(x, y)) throw wrong(`${String(x)} became ${String(y)}`)
      return
    }
    if (typeof y !== 'object' || y === null) throw wrong(`an object became ${String(y)}`)
    if (there.has(x)) {
      if (there.get(x) !== y) throw wrong('one object became two')
      return
    }
    if (back.has(y)) throw wrong('two objects became one')
    there.set(x, y)
    back.set(y, x)
    const kind = (v: any) => (v instanceof Error ? 'Error' : Object.prototype.toString.call(v))
    if (kind(x) !== kind(y)) throw wrong(`${kind(x)} became ${kind(y)}`)
    if (x instanceof Map || x instanceof Set) {
      same([...x], [...y], `${path}<entries>`)
    } else if (x instanceof Date) same(x.getTime(), y.getTime(), path)
    else if (x instanceof RegExp || x instanceof URL) same(String(x), String(y), path)
    else if (x instanceof ArrayBuffer) same([...new Uint8Array(x)], [...new Uint8Array(y)], path)
    else if (x instanceof DataView) same(x.buffer, y.buffer, path)
    else if (ArrayBuffer.isView(x)) same([...(x as Uint8Array)], [...(y as Uint8Array)], path)
    else if (x instanceof Error) {
      for (const field of ['name', 'message', 'stack', 'code', 'cause', 'errors']) {
        same((x as any)[field], y[field], `${path}.${field}`)
      }
    } else {
      same(Object.keys(x).length, Object.keys(y).length, `${path}<keys>`)
      if (Array.isArray(x)) same(x.length, y.length, `${path}.length`)
      Object.keys(x).forEach((key, i) => {
        if (Object.keys(y)[i] !== key) throw wrong(`the key ${key} became ${Object.keys(y)[i]}`)
        same(x[key], y[key], `${path}.${key}`)
      })
    }
  }
  same(a, b, '$')
}

function nested(levels: number, wrap: (inner: unknown) => unknown = (inner) => [inner]): unknown {
  let value: unknown = 1
  for (let i = 0; i < levels; i++) value = wrap(value)
  return value
}

function refusalOf(value: unknown): SerializationError {
  try {
    encode(value, what)
  } catch (error) {
    expect(error).toBeInstanceOf(SerializationError)
    return error as SerializationError
  }
  throw new Error('it was not refused')
}

describe('plain JSON', () => {
  test.each([
    [null, 'null'],
    [true, 'true'],
    [0, '0'],
    [-1.5, '-1.5'],
    [2 ** 53 + 2, '9007199254740994'],
    [1e300, '1e+300'],
    ['', '""'],
    ['~1', '"~1"'],
    ['é\u2028\ufeff😀', '"é\u2028\ufeff😀"'],
    ['a\u0000b', '"a\\u0000b"'],
    ['\ud800', '"\\ud800"'],
    ['\udc00\ud800', '"\\udc00\\ud800"'],
    [[], '[]'],
    [{}, '{}'],
    [{ a: [1, { b: null }] }, '{"a":[1,{"b":null}]}'],
    [{ constructor: 1, prototype: 2, toJSON: 3 }, '{"constructor":1,"prototype":2,"toJSON":3}'],
    [Object.assign(Object.create(null), { a: 1 }), '{"a":1}'],
  ])('%j is stored as bare JSON', (value, text) => {
    if ((value as any)?.toJSON === undefined) expect(encode(value, what)).toBe(text)
    expect(decode(text)).toEqual(value)
    expectSame(value, roundTrip(value))
  })

  test('what only looks unusual is still stored as bare JSON', () => {
    expect(encode({ get total() { return 3 } }, what)).toBe('{"total":3}') // biome-ignore format: one line
    expect(encode(new Proxy({ a: [1] }, {}), what)).toBe('{"a":[1]}')
    expect(encode(runInNewContext('({ a: [1, {}] })'), what)).toBe('{"a":[1,{}]}')
  })

  test('a top-level undefined is SQL NULL, which is not JSON null', () => {
    expect(encode(undefined, what)).toBeNull()
    expect(decode(null)).toBeUndefined()
    expect(encode(null, what)).toBe('null')
    expect(decode('null')).toBeNull()
  })

  test('a getter is read once: what was checked is what is stored', () => {
    let reads = 0
    const value = { get a() { return ++reads === 1 ? 1 : () => {} } } // biome-ignore format: one line
    expect(encode(value, what)).toBe('{"a":1}')
    expect(reads).toBe(1)
  })

  test('a proxy is read through its traps alone', () => {
    const value = new Proxy({ a: 1 }, { get: (_, key) => (key === 'a' ? () => {} : undefined) })
    expect(refusalOf(value).path).toBe('$.a')
  })

  test('toJSON is never called in silence', () => {
    expect(refusalOf({ a: { toJSON: () => 1 } }).path).toBe('$.a.toJSON')
    const hidden = Object.defineProperty({ a: 1 }, 'toJSON', { value: () => 'other', enumerable: false })
    expect(roundTrip(hidden)).toEqual({ a: 1 })
  })

  test('which JSON objects are the same object is not kept', () => {
    const shared = { a: 1 }
    const [a, b] = roundTrip([shared, shared]) as object[]
    expect(a).toEqual(b)
    expect(a).not.toBe(b)
  })
})

class CardError extends Error {
  override name = 'CardError'
  constructor(
    message: string,
    readonly code = 'card_declined',
  ) {
    super(message)
  }
}

const withKey = (key: string, value: unknown) => JSON.parse(`{${JSON.stringify(key)}:${JSON.stringify(value)}}`)
const bytes = new Uint8Array([0, 1, 127, 128, 255, 254, 3, 9]).buffer
const richValues: [string, unknown][] = [
  ['NaN', Number.NaN],
  ['Infinity', Number.POSITIVE_INFINITY],
  ['-Infinity', Number.NEGATIVE_INFINITY],
  ['-0', -0],
  ['bigint', 123456789012345678901234567890n],
  ['negative bigint', -1n],
  ['Date', new Date('2024-02-29T12:34:56.789Z')],
  ['the first and last Date', [new Date(-8.64e15), new Date(8.64e15)]],
  ['an undefined property', { a: undefined, b: null }],
  ['an undefined element', [undefined, null]],
  ['holes', Object.assign(new Array(4), { 1: 1, 3: undefined })],
  ['only holes', new Array(3)],
  ['a list of indices that is no list of holes', [[0], undefined]],
  ['Map', new Map<unknown, unknown>([['a', 1], [2, 'b'], [null, undefined], [undefined, null], [Number.NaN, 0], [1n, 1n], ['1', 1]])], // biome-ignore format: one line
  ['Map with object keys', new Map([[{ a: 1 }, new Map([[[1], new Set([1])]])]])],
  ['empty Map and Set', [new Map(), new Set()]],
  ['Set', new Set<unknown>([undefined, null, 0, '', Number.NaN, 5n, new Date(0), [1], { a: undefined }])],
  ['RegExp', [/a\/b[/]/giu, /(?:)/, /\n"\\/y, /\0/]],
  ['URL', new URL('https://user:p%40ss@example.com:8443/a%20b?q=1&q=2#é')],
  ['ArrayBuffer', bytes],
  ['empty ArrayBuffer', new ArrayBuffer(0)],
  ['DataView', new DataView(bytes.slice(0))],
  ...[
    Int8Array, Uint8Array, Uint8ClampedArray, Int16Array, Uint16Array, Int32Array, Uint32Array, Float32Array,
    Float64Array, BigInt64Array, BigUint64Array,
  ].map((View): [string, unknown] => [View.name, new View(bytes.slice(0))]), // biome-ignore format: a list
  ['a window on a larger buffer', new Uint16Array(bytes, 2, 2)],
  ['Float64Array of the special numbers', new Float64Array([Number.NaN, -0, Number.POSITIVE_INFINITY])],
  ['Error', Object.assign(new Error('no\u0000\ud800'), { code: 'E_NO' })],
  ['TypeError', new TypeError('x')],
  ['an error class of a user', new CardError('declined')],
  ['Error with causes', new Error('a', { cause: new RangeError('b', { cause: new CardError('c') }) })],
  ['Error with a plain cause', new Error('a', { cause: { status: 500 } })],
  ['Error with a null cause', new Error('a', { cause: null })],
  ['AggregateError', new AggregateError([new TypeError('1'), 'two', new CardError('3')], 'all failed')],
  [
    'awkward keys',
    { '': new Date(1), 'a.b': { 'c\\': [1n] }, '\\.': { '.': undefined }, '0': -0, __defineGetter__: 1n },
  ],
  ['toString as a key', { toString: new Date(1), hasOwnProperty: 1n, valueOf: { a: undefined } }],
  ['the key __proto__', withKey('__proto__', { x: 1 })],
  ['the key __proto__ with a string', withKey('__proto__', 'x')],
  ['unsafe keys beside a Date', { ...withKey('constructor', { prototype: { x: 1 } }), at: new Date(5), in: [withKey('__proto__', [1])] }], // biome-ignore format: one line
  ['a string that looks tagged', { s: '~1{"json":1}', d: new Date(0) }],
  ['an object that looks like an envelope', { json: { a: 1n }, meta: { values: { a: ['bigint'] }, v: 1 } }],
]

describe('the tagged form', () => {
  test.each(richValues)('%s comes back equal', (_, value) => {
    const text = encode(value, what)
    expect(text?.startsWith('~1{"json":')).toBe(true)
    expect(text?.isWellFormed() && !text.includes('\0')).toBe(true)
    expectSame(value, decode(text))
    // and anywhere inside another value
    const inside = [{ 'a.b': value }, new Map<unknown, unknown>([['k', value], [[1], new Set([value])]]), 1n] // biome-ignore format: one line
    expectSame(inside, roundTrip(inside))
  })

  test('all of them together', () => {
    const all = Object.fromEntries(richValues)
    expectSame(all, roundTrip(all))
  })

  test('a Buffer becomes a Uint8Array of its own, stored as base64', () => {
    const text = encode({ b: Buffer.from('hi') }, what)
    expect(text).toContain('"Uint8Array:aGk="')
    const { b } = decode(text) as { b: Uint8Array }
    expect(Object.getPrototypeOf(b)).toBe(Uint8Array.prototype)
    expect([...b]).toEqual([104, 105])
    expect(b.buffer.byteLength).toBe(2)
    expect(encode(new Uint8Array(30_000), what)!.length).toBeLessThan(41_000)
  })

  test('objects of another realm count as what they are', () => {
    const value = runInNewContext(
      '({ d: new Date(5), m: new Map([[1, [new Set([2n])]]]), r: /x/g, e: new TypeError("t") })',
    )
    const back = roundTrip(value) as any
    expect(back.d).toEqual(new Date(5))
    expect(back.m).toEqual(new Map([[1, [new Set([2n])]]]))
    expect(back.r).toEqual(/x/g)
    expect(back.e).toBeInstanceOf(TypeError)
  })

  test('cycles and shared references keep their identity', () => {
    const date = new Date(1)
    const a: any = { name: 'a', date }
    const b: any = { a, list: [a, date] }
    a.b = b
    a.map = new Map<unknown, unknown>([[a, b], ['set', new Set([b, 1n, a, date])], [b, new Error('e')]]) // biome-ignore format: one line
    a.error = a.map.get(b)
    const back = roundTrip([a, b, a.map]) as any
    expectSame([a, b, a.map], back)
    expect(back[0].b).toBe(back[1])
    expect([...back[2].keys()][0]).toBe(back[0])
    expect([...back[2].get('set')][3]).toBe(back[0].date)
  })

  test('a value may contain itself, in any container', () => {
    const array: unknown[] = []
    array.push(array)
    const map = new Map()
    map.set(map, map)
    const set = new Set()
    set.add(set)
    const odd = withKey('__proto__', 1)
    odd.constructor = odd
    Object.defineProperty(odd, '__proto__', { value: odd, enumerable: true })
    const sparse: unknown[] = new Array(2)
    sparse[1] = sparse
    for (const value of [array, map, set, odd, sparse]) expectSame(value, roundTrip(value))
  })

  test('references that double at each level stay small', () => {
    let value: unknown = [new Date(0)]
    for (let i = 0; i < 100; i++) value = [value, value]
    expect(encode(value, what)!.length).toBeLessThan(20_000)
    expectSame(value, roundTrip(value))
  })

  test('doubling JSON, too large as text, is stored by reference', () => {
    let value: unknown = ['x'.repeat(1000)]
    for (let i = 0; i < 30; i++) value = [value, value]
    let back = roundTrip(value) as any
    for (let i = 0; i < 30; i++) back = back[i % 2]
    expect(back).toEqual(['x'.repeat(1000)])
  })

  test('the text is what superjson would write', () => {
    for (const [name, value] of richValues) {
      const { json, meta } = superjson.serialize(prepare(value, what) as any)
      if (meta) delete meta.referentialEqualities
      expect([name, serialize(prepare(value, what))]).toEqual([name, { json, meta }])
    }
  })
})

// ── properties ───────────────────────────────────────────────────────────────────────────────────
const key = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.constantFrom('__proto__', 'constructor', 'prototype', 'a.b', '\\', '', '0', 'json', 'meta', '\ud800', '\0'),
)
const leaf = fc.oneof(
  fc.constantFrom(null, undefined, true, false, Number.NaN, Number.POSITIVE_INFINITY, -0, '', '\ud800', '~1', '\0'),
  fc.double(),
  fc.maxSafeInteger(),
  fc.string({ unit: 'binary' }),
  fc.bigInt(),
  fc.date({ noInvalidDate: true }),
  fc.webUrl({ withQueryParameters: true, withFragments: true }).map((url) => new URL(url)),
  fc.constantFrom('a+', '[/]', '\\/', '\n').map((source) => new RegExp(source, 'gm')),
  fc.uint8Array(),
  fc.float64Array(),
  fc.bigInt64Array(),
  fc.tuple(fc.string(), fc.string(), fc.json()).map(([message, code, json]) => {
    const error = code.length % 2 ? new RangeError(message, { cause: JSON.parse(json) }) : new CardError(message, code)
    return error
  }),
)
const { value: anyValue } = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 5, withCrossShrink: true },
    leaf,
    fc.array(tie('value'), { maxLength: 5 }),
    fc.array(fc.option(tie('value'), { nil: Symbol.for('hole') }), { maxLength: 4 }).map((items) => {
      const sparse: unknown[] = new Array(items.length)
      items.forEach((item, i) => {
        if (item !== Symbol.for('hole')) sparse[i] = item
      })
      return sparse
    }),
    fc.dictionary(key, tie('value'), { maxKeys: 5, noNullPrototype: true }),
    fc.array(fc.tuple(tie('value'), tie('value')), { maxLength: 4 }).map((entries) => new Map(entries)),
    fc.array(tie('value'), { maxLength: 4 }).map((items) => new Set(items)),
  ),
}))

/** Objects that refer to each other at random: `links[i]` says what container `i` holds, `-n` being a leaf. */
const anyGraph = fc
  .array(fc.tuple(fc.nat(6), fc.array(fc.tuple(fc.nat(11), leaf), { maxLength: 4 })), { minLength: 1, maxLength: 8 })
  .map((nodes) => {
    const made: any[] = nodes.map(([kind]) => {
      if (kind === 0) return []
      if (kind === 1) return new Map()
      if (kind === 2) return new Set()
      if (kind === 3) return withKey('__proto__', 0)
      if (kind === 4) return new Array(1)
      return {}
    })
    nodes.forEach(([, links], i) => {
      links.forEach(([to, value], n) => {
        const target = made[to] ?? value
        const from = made[i]
        if (Array.isArray(from)) from.push(target)
        else if (from instanceof Map) n % 2 ? from.set(n, target) : from.set(target, n)
        else if (from instanceof Set) from.add(target)
        else from[`k.${n}`] = target
      })
    })
    return [...made, 1n]
  })

describe('properties', () => {
  test('decode(encode(value)) equals value', () => {
    fc.assert(
      fc.property(anyValue, (value) => {
        const text = encode(value, what)
        expect(text === null || (text.isWellFormed() && !text.includes('\0'))).toBe(true)
        expectSame(value, decode(text))
      }),
      { numRuns: 2000 },
    )
  })

  test('graphs of references come back with the same shape', () => {
    fc.assert(
      fc.property(anyGraph, (value) => {
        expectSame(value, roundTrip(value))
      }),
      { numRuns: 2000 },
    )
  })

  test('JSON is stored as JSON.stringify writes it', () => {
    fc.assert(
      fc.property(fc.json(), (json) => {
        const value = JSON.parse(json.replaceAll('__proto__', 'proto'))
        const text = JSON.stringify(value)
        fc.pre(!json.includes('-0'))
        expect(encode(value, what)).toBe(text)
        expectSame(value, decode(text))
      }),
    )
  })

  test('our writing and that of superjson agree', () => {
    fc.assert(
      fc.property(fc.oneof(anyValue, anyGraph), (value) => {
        const { json, meta } = superjson.serialize(prepare(value, what) as any)
        if (meta) delete meta.referentialEqualities
        const expected = meta?.values ? { json, meta } : { json }
        expect(JSON.stringify(serialize(prepare(value, what)))).toBe(JSON.stringify(expected))
      }),
    )
  })

  test('encodeError takes anything', () => {
    fc.assert(
      fc.property(fc.oneof(anyValue, fc.anything({ withBigInt: true, withSparseArray: true })), (value) => {
        expect(decodeError(encodeError(value))).toBeInstanceOf(Error)
      }),
      { numRuns: 500 },
    )
  })
})

// ── refusals ─────────────────────────────────────────────────────────────────────────────────────
class Order {
  id = 1
}
class Money {
  toJSON() {
    return '1 EUR'
  }
}
class Rows extends Array {}
class Cache extends Map {}
class Day extends Date {}
const throwing = {
  get x(): number {
    throw new RangeError('not now')
  },
}
const trap = () => {
  throw new Error('trapped')
}

describe('what cannot be stored is refused, with its path', () => {
  // No test.each: it looks into its values to print them, which some of these do not survive.
  const refusals: [string, unknown, string, RegExp][] = [
    ['a function', () => 1, '$', /got a function\. Leave it out/],
    ['a named function', { a: [0, { send() {} }] }, '$.a[1].send', /the function "send"/],
    ['a class', { Order }, '$.Order', /the function "Order"/],
    ['a symbol', { a: Symbol('s') }, '$.a', /got Symbol\(s\)\. Store a string/],
    ['a symbol as key', { a: { [Symbol('s')]: 1 } }, '$.a[Symbol(s)]', /key is a symbol/],
    ['a Promise', { a: [0, 0, 0, { b: Promise.resolve(1) }] }, '$.a[3].b', /a Promise\. Did you forget `await`\?/],
    ['a WeakMap', [new WeakMap()], '$[0]', /a WeakMap.*store a Map/],
    ['a WeakSet', [new WeakSet()], '$[0]', /a WeakSet/],
    ['a WeakRef', [new WeakRef({})], '$[0]', /a WeakRef/],
    ['an invalid Date', { at: new Date('x') }, '$.at', /an invalid Date.*or store null/],
    ['a class instance', { o: new Order() }, '$.o', /class Order\..*\{ \.\.\.value \}/],
    ['a class instance with toJSON', [new Money()], '$[0]', /class Money\..*toJSON\(\)/],
    ['a subclass of Array', new Rows(), '$', /class Rows/],
    ['a subclass of Map', { c: new Cache() }, '$.c', /class Cache/],
    ['a subclass of Date', new Day(0), '$', /class Day/],
    ['a subclass of a typed array', new (class Vector extends Float32Array {})(2), '$', /class Vector/],
    ['a nameless class', new (class {})(), '$', /class \(without a name\)/],
    ['an object whose prototype is another', Object.create(Object.create(null)), '$', /instance of the class/],
    ['a boxed string', [Object('x')], '$[0]', /class String/],
    ['a generator', { g: (function* () {})() }, '$.g', /a generator or an iterator\. Collect/],
    ['an async generator', (async function* () {})(), '$', /a generator or an iterator/],
    ['an iterator', { i: new Map().keys() }, '$.i', /a generator or an iterator/],
    ['a stream', new ReadableStream(), '$', /a stream \(ReadableStream\)/],
    ['SharedArrayBuffer', new SharedArrayBuffer(1), '$', /class SharedArrayBuffer/],
    ['a getter that throws', { a: throwing }, '$.a.x', /throws when it is read \(RangeError: not now\)/],
    ['a proxy that throws on get', { p: new Proxy({ a: 1 }, { get: trap }) }, '$.p.a', /throws when it is read/],
    ['a proxy that throws on keys', [new Proxy({}, { ownKeys: trap })], '$[0]', /trapped/],
    ['a proxy that throws on its prototype', [new Proxy({}, { getPrototypeOf: trap })], '$[0]', /trapped/],
    ['a revoked proxy', { r: revoked() }, '$.r', /throws when it is read/],
    ['a proxy of a Map', { m: new Proxy(new Map(), {}) }, '$.m', /class Map/],
    ['inside a Map, at a string key', { m: new Map([['x', () => 1]]) }, '$.m<key "x">', /a function/],
    ['inside a Map, at another key', new Map<unknown, unknown>([[1n, 0], [2, trap]]), '$<key 2>', /"trap"/], // biome-ignore format: one line
    ['inside a Map, at an object key', new Map([[{}, [trap]]]), '$<value #0>[0]', /"trap"/],
    ['inside a key of a Map', new Map<unknown, unknown>([[1, 1], [{ a: trap }, 1]]), '$<key #1>.a', /"trap"/], // biome-ignore format: one line
    ['inside a Set', { s: new Set([1, [trap]]) }, '$.s<item #1>[0]', /"trap"/],
    ['at an awkward key', { 'a b': { '': { '0x': trap } } }, '$["a b"][""]["0x"]', /"trap"/],
    ['at the key __proto__', withTrap(), '$.__proto__.f', /"trap"/],
    ['the same object twice, then a function', (() => { const o = {}; return [o, o, new Date(0), trap] })(), '$[3]', /"trap"/], // biome-ignore format: one line
  ]
  for (const [name, value, path, message] of refusals) {
    test(name, () => {
      const error = refusalOf(value)
      expect(error.path).toBe(path)
      expect(error.message).toMatch(message)
      expect(error.message).toContain(`${what} cannot be stored: at ${path}: expected `)
      expect(error.code).toBe('not_serializable')
    })
  }

  test('500 levels are stored, in every form; 501 are not', () => {
    const wraps: [string, (inner: unknown) => unknown][] = [
      ['[0]', (inner) => [inner]],
      ['.a', (inner) => ({ a: inner })],
      ['.a', (inner) => ({ a: inner, d: 1n })],
      ['<key 1>', (inner) => new Map([[1, inner]])],
      ['<key #0>', (inner) => new Map([[inner, 1]])],
      ['<item #0>', (inner) => new Set([inner])],
      ['.constructor', (inner) => ({ constructor: inner, d: 1n })],
    ]
    for (const [step, wrap] of wraps) {
      const deepest = nested(maxDepth, wrap)
      expectSame(deepest, roundTrip(deepest))
      const error = refusalOf(nested(maxDepth + 1, wrap))
      expect(error.path).toBe(`$${step.repeat(maxDepth)}`)
      expect(error.message).toMatch(/expected at most 500 levels of nesting, got more/)
      expect(error.message.length).toBeLessThan(600)
    }
  })

  test('a million levels are refused without a stack overflow', () => {
    expect(refusalOf(nested(1_000_000)).message).toContain('500 levels')
    expect(refusalOf([1n, nested(1_000_000, (inner) => ({ inner }))]).message).toContain('500 levels')
  })

  test('an endless getter is refused', () => {
    const endless = (): object => Object.defineProperty({}, 'more', { get: endless, enumerable: true })
    expect(refusalOf(endless()).message).toContain('500 levels')
  })

  test('the limit of 32 MiB is exact, in bytes', () => {
    expect(encode('x'.repeat(maxPayloadBytes - 2), what)!.length).toBe(maxPayloadBytes)
    expect(refusalOf('x'.repeat(maxPayloadBytes - 1)).message).toMatch(/at most 33,554,432 bytes .* 33,554,433/)
    const wide = refusalOf({ a: 'é'.repeat(maxPayloadBytes / 2) })
    expect(wide.path).toBe('$')
    expect(wide.message).toContain('got 33,554,440.')
    expect(refusalOf({ d: new Date(0), a: '\0'.repeat(maxPayloadBytes / 4) }).message).toContain('got 50,331,7')
  })

  test('a giant is refused before it is encoded', () => {
    const giant = { body: 'x'.repeat(300_000_000) }
    const before = process.memoryUsage.rss()
    const error = refusalOf(giant)
    // Writing it out would take 300 MB and more; looking at a length takes none of that.
    expect(process.memoryUsage.rss() - before).toBeLessThan(150_000_000)
    expect(error.path).toBe('$.body')
    expect(error.message).toMatch(/at most 33,554,432 bytes \(32 MiB\).*at least 300,000,0/)
    expect(refusalOf({ list: new Array(1e9) }).path).toBe('$.list')
    expect(refusalOf({ b: new Uint8Array(40_000_000) }).path).toBe('$.b')
    expect(refusalOf({ n: 1n << 200_000_000n }).path).toBe('$.n')
    expect(refusalOf(Array.from({ length: 40 }, () => new Uint8Array(1_000_000))).path).toBe('$')
  })
})

function revoked(): object {
  const { proxy, revoke } = Proxy.revocable({}, {})
  revoke()
  return proxy
}
function withTrap(): object {
  return Object.defineProperty({}, '__proto__', { value: { f: trap }, enumerable: true })
}

// ── hostile text ─────────────────────────────────────────────────────────────────────────────────
const envelope = (json: unknown, values: unknown, rest: object = {}) =>
  `~1${JSON.stringify({ json, meta: { values, v: 1, ...rest } })}`

describe('text that stet did not write', () => {
  test.each([
    ['empty', ''],
    ['no JSON', 'hello'],
    ['cut short', '{"a":'],
    ['trailing bytes', '{} {}'],
    ['a tag alone', '~'],
    ['a tag without a body', '~1'],
    ['a body that is no JSON', '~1hello'],
    ['a body that is no envelope', '~1[1]'],
    ['an empty envelope', '~1{}'],
    ['an envelope that inherits', '~1{"__proto__":{"json":1}}'],
    ['an unknown part', '~1{"json":1,"extra":1}'],
    ['metadata of no version', '~1{"json":{},"meta":{"values":{}}}'],
    ['metadata of another version', '~1{"json":{},"meta":{"values":{},"v":2}}'],
    ['metadata that is no object', '~1{"json":{},"meta":[]}'],
    ['a path to __proto__', envelope({ a: {} }, { '__proto__.x': ['undefined'] })],
    ['an own key __proto__ and a path to it', `~1{"json":{"__proto__":{"x":null}},"meta":{"values":{"__proto__.x":["undefined"]},"v":1}}`], // biome-ignore format: one line
    ['a tree that goes to __proto__', `~1{"json":{"__proto__":{"x":null}},"meta":{"values":{"__proto__":{"x":["undefined"]}},"v":1}}`], // biome-ignore format: one line
    ['a path to constructor.prototype', envelope({ a: {} }, { 'constructor.prototype.x': ['undefined'] })],
    ['a path through an array', envelope([[]], { '0.constructor.prototype.x': ['undefined'] })],
    ['a path to length', envelope([[]], { '0.length': ['bigint'] })],
    ['a path to nowhere', envelope({ a: 1 }, { b: ['Date'] })],
    ['equalities to __proto__', envelope({ a: { x: 1 } }, {}, { referentialEqualities: { a: ['__proto__.x'] } })],
    [
      'equalities to the prototype',
      envelope({ a: 1 }, {}, { referentialEqualities: { a: ['constructor.prototype.x'] } }),
    ],
    ['equalities of the root', envelope({ a: 1 }, {}, { referentialEqualities: [['a']] })],
    ['an unknown type', envelope('x', ['Temporal'])],
    ['an unknown custom type', envelope('x', [['custom', 'money']])],
    ['a custom type named like a method', envelope('x', [['custom', 'constructor']])],
    ['a custom type named __proto__', envelope('x', [['custom', '__proto__']])],
    ['a class', envelope({ a: 1 }, [['class', 'Order']])],
    ['a symbol', envelope('s', [['symbol', 's']])],
    ['an Error of superjson', envelope({ name: 'E', message: 'm' }, ['Error'])],
    ['a typed array that allocates 4 GB', envelope(4294967296, [['typed-array', 'Uint8Array']])],
    ['bytes that are none', envelope(['x'], [['custom', 'bytes']])],
    ['bytes of an unknown kind', envelope('Function:AAAA', [['custom', 'bytes']])],
    ['bytes of no kind', envelope('AAAA', [['custom', 'bytes']])],
    ['bytes that do not fill an element', envelope('Float64Array:AAAA', [['custom', 'bytes']])],
    ['a Set of 4 billion', envelope(4294967295, ['set'])],
    ['a Map of no pairs', envelope([1], ['map'])],
    ['a Date of nonsense', envelope('yesterday', ['Date'])],
    ['a Date of an object', envelope({ valueOf: 1 }, ['Date'])],
    ['a bigint of nonsense', envelope('1e3', ['bigint'])],
    ['a number of nonsense', envelope('12px', ['number'])],
    ['undefined that has a value', envelope({ a: 1 }, { a: ['undefined'] })],
    ['a RegExp of nonsense', envelope('/(/', ['regexp'])],
    ['a URL of nonsense', envelope('nowhere', ['URL'])],
    ['an object whose keys are none', envelope([1, 2], [['custom', 'object']])],
    ['a sparse array without holes', envelope([1], [['custom', 'sparse']])],
    ['a reference without a table', envelope({ a: 0 }, { a: [['custom', 'ref']] })],
    ['a reference to nowhere', envelope([{ a: 7 }], [['custom', 'graph'], { '0.a': [['custom', 'ref']] }])],
    ['a reference to itself', envelope([[1], 1], [['custom', 'graph'], { '0.0': [['custom', 'ref']], '1': [['custom', 'ref']] }])], // biome-ignore format: one line
    ['a reference as the value', envelope([0], [['custom', 'graph'], { '0': [['custom', 'ref']] }])],
    ['a reference by name', envelope([{ a: 'constructor' }], [['custom', 'graph'], { '0.a': [['custom', 'ref']] }])],
    ['a table in a table', envelope([[[0]]], [['custom', 'graph'], { '0': [['custom', 'graph']] }])],
    ['annotations that are no tree', envelope({ a: 1 }, { a: 'Date' })],
    ['annotations of the wrong length', envelope('x', ['URL', {}, {}])],
    ['an empty annotation', envelope('x', [])],
    ['annotations that are null', envelope('x', null)],
    ['2,000 levels', '['.repeat(2000) + ']'.repeat(2000)],
    ['a million levels', '['.repeat(1e6) + ']'.repeat(1e6)],
    ['levels that never close', '{"a":'.repeat(1e6)],
    ['levels behind strings', `{"a\\"[":"\\\\","b":${'[{"c":'.repeat(600)}1${'}]'.repeat(600)}}`],
    ['tagged levels', `~1{"json":${'['.repeat(5000)}${']'.repeat(5000)}}`],
    ['levels of metadata', `~1{"json":1,"meta":{"v":1,"values":${'{"a":'.repeat(1e5)}1${'}'.repeat(1e5)}}}`],
  ])('%s is refused by a typed error', (_, text) => {
    expect(() => decode(text)).toThrow(SerializationError)
    expect(() => decode(text)).toThrow(/a stored payload cannot be read: expected .* got /)
  })

  test('an unknown tag is not guessed at', () => {
    for (const tag of ['~2', '~0', '~a', '~~']) expect(() => decode(`${tag}{"json":1}`)).toThrow(/newer stet/)
  })

  test('nesting is counted outside strings alone, and 500 levels are read', () => {
    const brackets = { a: '[{"\\'.repeat(100_000), b: ['\\', '"['.repeat(1000)] }
    expect(decode(JSON.stringify(brackets))).toEqual(brackets)
    expect(JSON.stringify(decode(JSON.stringify(nested(500))))).toBe(JSON.stringify(nested(500)))
    const wide = JSON.stringify(Array.from({ length: 50_000 }, () => [[1]]))
    expect(decode(wide)).toHaveLength(50_000)
    expect(() => decode(JSON.stringify(nested(501)))).toThrow(SerializationError)
    expect(() => decode(`[${wide},${JSON.stringify(nested(500))}]`)).toThrow(SerializationError)
  })

  test('random damage to real texts ends in a value or a typed error', () => {
    const texts = richValues.map(([, value]) => encode(value, what)!)
    const damage = fc.tuple(
      fc.constantFrom(...texts),
      fc.nat(),
      fc.nat(4),
      fc.constantFrom('', '"', '{', '__proto__', 'graph', '0', '-'),
    )
    fc.assert(
      fc.property(damage, ([text, position, length, piece]) => {
        const at = 2 + (position % (text.length - 2))
        try {
          decode(text.slice(0, at) + piece + text.slice(at + length))
        } catch (error) {
          expect(error).toBeInstanceOf(SerializationError)
        }
        expect(globalKeys()).toEqual(keysBefore)
      }),
      { numRuns: 3000 },
    )
  })
})

// ── errors ───────────────────────────────────────────────────────────────────────────────────────
const errorTrip = (error: unknown): any => decodeError(encodeError(error))
const recordOf = (error: unknown): any => JSON.parse(encodeError(error))

describe('errors', () => {
  test('an error of a user comes back as an Error with all it said', () => {
    const error = Object.assign(new CardError('declined'), {
      status: 402,
      detail: { retry: [1, null] },
      when: new Date(),
    })
    const back = errorTrip(error)
    expect(Object.getPrototypeOf(back)).toBe(Error.prototype)
    expect(back).toMatchObject({ name: 'CardError', message: 'declined', code: 'card_declined', status: 402 })
    expect(back.detail).toEqual({ retry: [1, null] })
    expect(back.stack).toBe(error.stack)
    expect(back).not.toHaveProperty('when') // no JSON
    expect(String(back)).toBe('CardError: declined')
    expect(Object.keys(back)).not.toContain('name')
  })

  test('a class that sets no name is known by that of the class', () => {
    class PaymentError extends TypeError {}
    expect(errorTrip(new PaymentError('x')).name).toBe('PaymentError')
    expect(errorTrip(Object.assign(new PaymentError('x'), { name: 'Other' })).name).toBe('Other')
    expect(errorTrip(new DOMException('gone', 'AbortError'))).toMatchObject({
      name: 'AbortError',
      message: 'gone',
      code: 20,
    })
  })

  test.each([TypeError, RangeError, SyntaxError, ReferenceError, EvalError, URIError])(
    '%o comes back as itself',
    (Builtin) => {
      const back = errorTrip(new Builtin('x', { cause: new Builtin('y') }))
      expect(Object.getPrototypeOf(back)).toBe(Builtin.prototype)
      expect(Object.getPrototypeOf(back.cause)).toBe(Builtin.prototype)
    },
  )

  test('the failures of stet come back as their classes, with their fields', () => {
    const cause = new CardError('declined')
    const step = errorTrip(new StepFailure('no', { step: 'charge', attempts: 4, cause, code: 'step_timeout' }))
    expect(step).toBeInstanceOf(StepFailure)
    expect(step).toBeInstanceOf(StetError)
    expect(step).not.toBeInstanceOf(TimeoutFailure)
    expect(step).toMatchObject({
      name: 'StepFailure',
      message: 'no',
      step: 'charge',
      attempts: 4,
      code: 'step_timeout',
    })
    expect(step.cause).toMatchObject({ name: 'CardError', code: 'card_declined' })

    const timeout = errorTrip(new TimeoutFailure('late', { operation: 'sleep' }))
    expect(timeout).toBeInstanceOf(TimeoutFailure)
    expect(timeout).toMatchObject({ operation: 'sleep', code: 'timeout', name: 'TimeoutFailure' })

    const child = errorTrip(new ChildFailure('it failed', { id: 'a', runId: 'r', cause: timeout }))
    expect(child).toBeInstanceOf(ChildFailure)
    expect(child).toMatchObject({ id: 'a', runId: 'r', code: 'child_failed' })
    expect(child.cause).toBeInstanceOf(TimeoutFailure)
    expect(child.cause.operation).toBe('sleep')

    expect(errorTrip(new CancelledFailure())).toBeInstanceOf(CancelledFailure)
    expect(errorTrip(new CancelledFailure())).toMatchObject({ code: 'cancelled', message: 'the run was cancelled' })
    expect(errorTrip(new NonRetryableError('stop'))).toBeInstanceOf(NonRetryableError)
    expect(errorTrip(new NonRetryableError('stop')).nonRetryable).toBe(true)
    expect(errorTrip(new RunFailedError('x', { runId: 'r' }))).toBeInstanceOf(RunFailedError)
    expect(errorTrip(new SerializationError('x', '$.a')).path).toBe('$.a')

    // A second trip, as when a recorded failure ends the run, changes nothing.
    expect(encodeError(step)).toBe(encodeError(errorTrip(step)))
    // Inside a payload they go the same way.
    expect((roundTrip({ e: step }) as any).e).toBeInstanceOf(StepFailure)
  })

  test('a subclass of a failure keeps its name; a namesake of a failure stays an Error', () => {
    class Stop extends NonRetryableError {
      override name = 'Stop'
    }
    const stop = errorTrip(new Stop('x'))
    expect(stop).toBeInstanceOf(NonRetryableError)
    expect(stop.name).toBe('Stop')
    const namesake = errorTrip(Object.assign(new Error('x'), { name: 'StepFailure', $is: 'StepFailure' }))
    expect(namesake).not.toBeInstanceOf(StepFailure)
    expect(namesake.name).toBe('StepFailure')
  })

  const thrownValues: [unknown, string][] = [
    [null, 'null was thrown'],
    [undefined, 'undefined was thrown'],
    [5n, 'a bigint was thrown: 5n'],
    [42, 'a number was thrown: 42'],
    ['boom', 'a string was thrown: "boom"'],
    [Symbol('s'), 'a symbol was thrown: Symbol(s)'],
    [trap, 'a function was thrown: trap'],
    [{ a: 1 }, 'an object was thrown: {"a":1}'],
    [new Order(), 'an instance of Order was thrown'],
    [{ message: 'm', f() {} }, 'an object was thrown: m'],
    [Promise.resolve(), 'a Promise was thrown: did you forget `await`?'],
    [new Proxy({}, { get: trap, getPrototypeOf: trap }), 'something was thrown that cannot be read'],
    [revoked(), 'something was thrown that cannot be read'],
  ]
  for (const [thrown, message] of thrownValues) {
    test(message, () => {
      const back = errorTrip(thrown)
      expect(back).toBeInstanceOf(Error)
      expect(back.message).toBe(message)
      expect(back.stack).toBe(`Error: ${message}`)
      const isPlain = /^null|^a string|^a number|^an object was thrown: \{/.test(message)
      expect([Object.hasOwn(back, 'thrown'), back.thrown]).toEqual([isPlain, isPlain ? thrown : undefined])
    })
  }

  test('an error that cannot be read is recorded as far as it can', () => {
    const bad = new Error('x')
    // The stack first: V8 reads name and message to write it.
    for (const field of ['stack', 'message', 'name', 'code', 'cause', 'extra']) {
      Object.defineProperty(bad, field, { get: trap, enumerable: true })
    }
    expect(recordOf(bad)).toEqual({ name: 'Error', message: '(its message cannot be read: reading it throws)' })
    expect(recordOf(Object.assign(new Error('x'), { message: { toString: trap } })).message).toMatch(/not text/)
    expect(recordOf(Object.assign(new Error('x'), { message: 12 })).message).toBe('12')
    expect(recordOf(new Proxy(new Error('x'), { get: trap })).name).toBe('Error')
  })

  test('a long message is cut, and the frames of the stack are kept', () => {
    const error = new Error('m'.repeat(10_000_000))
    const record = recordOf(error)
    expect(record.message).toMatch(/^m{65536}… \(cut: 10,000,000 characters in all\)$/)
    expect(record.stack.length).toBeLessThan(70_000)
    expect(encodeError('s'.repeat(10_000_000)).length).toBeLessThan(140_000)
    const small = Object.assign(new Error('short'), { stack: `Error: ${'m'.repeat(70_000)}` })
    expect(recordOf(small).stack).toMatch(/… \(cut: 70,007 characters in all\)$/)
    const framed = new Error('m'.repeat(66_000))
    framed.stack = `Error: ${framed.message}\n    at charge (order.ts:3:1)`
    expect(recordOf(framed).stack.slice(65_000, 65_600)).toContain('… (cut')
  })

  test('causes are kept 8 deep, and a cycle of causes ends', () => {
    let error = new Error('0')
    for (let i = 1; i < 20; i++) error = new Error(String(i), { cause: error })
    let levels = 0
    for (let e = recordOf(error); e; e = e.cause) levels++
    expect(levels).toBe(8)
    const a: any = new Error('a')
    a.cause = new Error('b', { cause: a })
    expect(recordOf(a).cause).toMatchObject({ message: 'b' })
    expect(recordOf(a).cause.cause).toBeUndefined()
  })

  test('AggregateError: up to 8 errors; a tree of them stays bounded', () => {
    const many = errorTrip(
      new AggregateError(
        Array.from({ length: 20 }, (_, i) => new TypeError(`${i}`)),
        'all',
      ),
    )
    expect(many).toBeInstanceOf(AggregateError)
    expect(many.errors).toHaveLength(8)
    expect(many.errors[7]).toBeInstanceOf(TypeError)
    const tree = (levels: number): Error =>
      levels === 0
        ? new Error('x'.repeat(50_000))
        : new AggregateError(Array.from({ length: 8 }, () => tree(levels - 1)))
    expect(encodeError(tree(4)).length).toBeLessThan(1_500_000)
  })

  test('fields: plain ones are kept, `errors` of a user too, dangerous ones never act', () => {
    const validation = Object.assign(new Error('bad'), { errors: [{ path: 'a' }], retryable: false, code: 'E1' })
    expect(errorTrip(validation)).toMatchObject({ errors: [{ path: 'a' }], retryable: false, code: 'E1' })
    const big = recordOf(Object.assign(new Error('x'), { body: 'b'.repeat(100_000), status: 500 }))
    expect(big.body).toBeUndefined()
    expect(big.status).toBe(500)
    const odd = Object.defineProperty(new Error('x'), '__proto__', { value: { x: 1 }, enumerable: true })
    expect(errorTrip(odd)).toBeInstanceOf(Error)
  })

  test('hostile records', () => {
    const back: any = decodeError(
      '{"name":"constructor","message":{"a":1},"$is":"__proto__","stack":7,"cause":[1],"__proto__":{"x":1},"constructor":1}',
    )
    expect(Object.getPrototypeOf(back)).toBe(Error.prototype)
    expect(back.x).toBeUndefined()
    expect(decodeError('{"$is":"AggregateError","errors":"all"}')).toBeInstanceOf(AggregateError)
    expect(decodeError('{}').stack).toBe('Error: ')
    for (const text of ['', 'null', '[]', '"x"', 'no json', `{"cause":${'{"cause":'.repeat(1e5)}`]) {
      expect(() => decodeError(text)).toThrow(SerializationError)
    }
    const deep = `${'{"cause":'.repeat(600)}{}${'}'.repeat(600)}`
    expect(() => decodeError(deep)).toThrow(/levels of nesting/)
  })
})
