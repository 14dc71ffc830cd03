/**
 * Randomness. In a turn the bits come from the turn.
 *
 * Arguments are checked by calling the original first and overwriting what it made: its errors are the errors.
 */
import crypto from 'node:crypto'
import { filled } from './pools.js'
import { replace } from './replace.js'
import type { Hub, TurnSource } from './turn.js'

type Callback = (error: Error | null, value: any) => void
type Untyped = Record<
  'randomUUID' | 'randomBytes' | 'randomFill' | 'randomFillSync' | 'randomInt',
  (...args: any[]) => any
>

export function patchRandom(hub: Hub): void {
  patchMathRandom(hub)
  patchWebCrypto(hub)
  patchNodeCrypto(hub)
}

function patchMathRandom(hub: Hub): void {
  const real = Math.random
  replace(Math, 'random', () => {
    const turn = hub.ask()
    return turn === null ? real() : fraction(turn)
  })
}

/** On the prototype: `globalThis.crypto`, `webcrypto` and `getRandomValues` of `node:crypto` all end there. */
function patchWebCrypto(hub: Hub): void {
  const prototype = Object.getPrototypeOf(crypto.webcrypto) as crypto.webcrypto.Crypto
  const realValues = prototype.getRandomValues
  const realUUID = prototype.randomUUID
  replace(prototype, 'getRandomValues', function getRandomValues(this: unknown, ...args: any[]) {
    const array = Reflect.apply(realValues, this, args as any) as Uint8Array
    const turn = hub.ask()
    if (turn !== null) fill(bytesOf(array), turn)
    filled(hub, array, turn !== null, getRandomValues)
    return array
  })
  replace(prototype, 'randomUUID', function (this: unknown, ...args: any[]) {
    const value = Reflect.apply(realUUID, this, args as any)
    const turn = hub.ask()
    return turn === null ? value : uuid(turn)
  })
}

function patchNodeCrypto(hub: Hub): void {
  const { randomUUID, randomBytes, randomFill, randomInt, randomFillSync: realFillSync } = crypto as Untyped

  replace(crypto, 'randomUUID', (...args: any[]) => {
    const value = randomUUID(...args)
    const turn = hub.ask()
    return turn === null ? value : uuid(turn)
  })

  function seededBytes(turn: TurnSource, size: number): Buffer {
    const bytes: Buffer = randomBytes(size)
    fill(bytesOf(bytes), turn)
    return bytes
  }
  const patchedBytes = function (this: unknown, ...args: any[]) {
    const [size, callback] = args
    const turn = hub.ask()
    if (turn === null || (callback !== undefined && typeof callback !== 'function')) {
      return Reflect.apply(randomBytes, this, args)
    }
    const bytes = seededBytes(turn, size)
    return callback === undefined ? bytes : later(callback, bytes)
  }
  replace(crypto, 'randomBytes', patchedBytes)
  // Old aliases of randomBytes.
  for (const alias of ['pseudoRandomBytes', 'prng', 'rng']) {
    if (!Object.getOwnPropertyDescriptor(crypto, alias)?.configurable) continue
    Object.defineProperty(crypto, alias, { value: patchedBytes, enumerable: false, writable: true, configurable: true })
  }

  function seededFill(turn: TurnSource, args: any[]): any {
    const buffer = realFillSync(...args)
    // Offset and size count elements, for a DataView or an ArrayBuffer bytes.
    const unit: number = buffer.BYTES_PER_ELEMENT ?? 1
    const offset = (args[1] ?? 0) * unit
    const size = args[2] === undefined ? buffer.byteLength - offset : args[2] * unit
    fill(bytesOf(buffer).subarray(offset, offset + size), turn)
    return buffer
  }
  replace(crypto, 'randomFillSync', function randomFillSync(...args: any[]) {
    const turn = hub.ask()
    const buffer = turn === null ? realFillSync(...args) : seededFill(turn, args)
    filled(hub, buffer, turn !== null, randomFillSync)
    return buffer
  })
  replace(crypto, 'randomFill', function (this: unknown, ...args: any[]) {
    const turn = hub.ask()
    const at = args.findIndex((arg) => typeof arg === 'function')
    if (turn === null || at < 1) return Reflect.apply(randomFill, this, args)
    return later(args[at], seededFill(turn, args.slice(0, at)))
  })

  replace(crypto, 'randomInt', function (this: unknown, ...args: any[]) {
    const turn = hub.ask()
    if (turn === null) return Reflect.apply(randomInt, this, args)
    const callback = args.findLast((arg) => arg !== undefined)
    const bounds = typeof callback === 'function' ? args.slice(0, args.lastIndexOf(callback)) : args
    randomInt(...bounds) // refuses bad bounds, and a callback that is not a function
    const value = bounds[1] === undefined ? integer(turn, bounds[0]) : bounds[0] + integer(turn, bounds[1] - bounds[0])
    return typeof callback === 'function' ? later(callback, value) : value
  })
}

/** Within the same turn, yet after the caller: a real thread pool would answer outside turns. */
function later(callback: Callback, value: unknown): undefined {
  process.nextTick(callback, null, value)
}

/** 53 random bits in [0, 1), as many as Math.random can have. */
function fraction(turn: TurnSource): number {
  const high = turn.nextUint32() >>> 5
  return (high * 0x400_0000 + (turn.nextUint32() >>> 6)) / 2 ** 53
}

/** Uniform in [0, range), range < 2^48: draws at or above the last multiple of the range are thrown away. */
function integer(turn: TurnSource, range: number): number {
  const limit = 2 ** 48 - (2 ** 48 % range)
  while (true) {
    const draw = (turn.nextUint32() >>> 16) * 2 ** 32 + turn.nextUint32()
    if (draw < limit) return draw % range
  }
}

function uuid(turn: TurnSource): string {
  const bytes = Buffer.alloc(16)
  fill(bytes, turn)
  bytes[6] = (bytes[6]! & 0x0f) | 0x40 // version 4
  bytes[8] = (bytes[8]! & 0x3f) | 0x80 // variant of RFC 9562
  const hex = bytes.toString('hex')
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`
}

function bytesOf(view: ArrayBufferView | ArrayBuffer): Uint8Array {
  // byteLength and not length: a pool's length is shadowed (pools.ts).
  return ArrayBuffer.isView(view)
    ? new Uint8Array(view.buffer, view.byteOffset, view.byteLength)
    : new Uint8Array(view, 0, view.byteLength)
}

/** Little-endian, whatever the machine: a replay may happen on another one. */
function fill(bytes: Uint8Array, turn: TurnSource): void {
  const { length } = bytes
  let at = 0
  for (; at + 4 <= length; at += 4) {
    const word = turn.nextUint32()
    bytes[at] = word
    bytes[at + 1] = word >>> 8
    bytes[at + 2] = word >>> 16
    bytes[at + 3] = word >>> 24
  }
  if (at < length) for (let word = turn.nextUint32(); at < length; word >>>= 8) bytes[at++] = word
}
