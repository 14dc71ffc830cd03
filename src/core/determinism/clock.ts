/**
 * The clocks. In a turn every clock shows the turn's time, in its own unit: `performance.now()` counts from 1970 and
 * `performance.timeOrigin` is 0 there, because the start of this process is not the start of the next.
 */
import { shared } from './originals.js'
import { imitate, replace } from './replace.js'
import type { Hub } from './turn.js'

export function patchClocks(hub: Hub): void {
  patchDate(hub)
  patchPerformance(hub)
  patchHrtime(hub)
  patchDateTimeFormat(hub)
}

function patchDate(hub: Hub): void {
  const Original = shared.originals.Date
  const realNow = Original.now

  // A function and not a class, since `Date()` without new returns a string. It returns real Date objects of the
  // original's prototype, so internal slots, `instanceof` and structuredClone are those of the original.
  function PatchedDate(this: unknown, ...args: unknown[]): unknown {
    const target = new.target as unknown
    if (target === undefined) {
      const turn = hub.ask()
      return turn === null ? (Original as any)() : new Original(turn.now()).toString()
    }
    const turn = args.length === 0 ? hub.ask() : null
    if (target === PatchedDate && args.length < 2) {
      // The common cases, without Reflect.construct, which costs as much again.
      if (turn !== null) return new Original(turn.now())
      return args.length === 0 ? new Original() : new Original(args[0] as any)
    }
    return Reflect.construct(Original, turn === null ? args : [turn.now()], target as any)
  }
  Object.defineProperty(PatchedDate, 'prototype', { value: Original.prototype, writable: false })
  imitate(Original, PatchedDate)
  replace(PatchedDate, 'now', () => {
    const turn = hub.ask()
    return turn === null ? realNow() : Math.trunc(turn.now())
  })

  Object.defineProperty(Original.prototype, 'constructor', {
    value: PatchedDate,
    writable: true,
    enumerable: false,
    configurable: true,
  })
  Object.defineProperty(globalThis, 'Date', {
    value: PatchedDate,
    writable: true,
    enumerable: false,
    configurable: true,
  })
}

function patchPerformance(hub: Hub): void {
  const prototype = Object.getPrototypeOf(globalThis.performance) as typeof globalThis.performance
  const now = prototype.now
  replace(prototype, 'now', function (this: unknown) {
    const turn = hub.ask()
    const real = Reflect.apply(now, this, [])
    return turn === null ? real : turn.now()
  })
  const origin = Object.getOwnPropertyDescriptor(prototype, 'timeOrigin')!
  const getOrigin = origin.get
  if (getOrigin === undefined) return
  function timeOrigin(this: unknown): number {
    const real = Reflect.apply(getOrigin!, this, [])
    return hub.ask() === null ? real : 0
  }
  imitate(getOrigin, timeOrigin)
  Object.defineProperty(prototype, 'timeOrigin', { ...origin, get: timeOrigin })
}

function patchHrtime(hub: Hub): void {
  const real = process.hrtime
  const realBigint = real.bigint
  const hrtime = (...args: [previous?: [number, number]]): [number, number] => {
    const turn = hub.ask()
    if (turn === null) return real(...args)
    const now = turn.now()
    const seconds = Math.floor(now / 1000)
    const nanoseconds = Math.round((now - seconds * 1000) * 1e6)
    if (args[0] === undefined) return [seconds, nanoseconds]
    real(...args) // refuses what is not such a pair
    const [s, ns] = [seconds - args[0][0], nanoseconds - args[0][1]]
    return ns < 0 ? [s - 1, ns + 1e9] : [s, ns]
  }
  const bigint = (): bigint => {
    const turn = hub.ask()
    if (turn === null) return realBigint()
    const now = turn.now()
    const ms = Math.floor(now)
    // The two parts are converted apart: nanoseconds since 1970 do not fit a double.
    return BigInt(ms) * 1_000_000n + BigInt(Math.round((now - ms) * 1e6))
  }
  imitate(realBigint, bigint)
  Object.defineProperty(hrtime, 'bigint', { ...Object.getOwnPropertyDescriptor(real, 'bigint'), value: bigint })
  replace(process, 'hrtime', hrtime)
}

function patchDateTimeFormat(hub: Hub): void {
  const prototype = Intl.DateTimeFormat.prototype
  type Format = (date?: unknown) => string

  // `format` is a getter of a bound function, the same one at every read. That function can be kept and called in a
  // turn much later, so it is wrapped wherever it was read.
  const wrappers = new WeakMap<Format, Format>()
  const descriptor = Object.getOwnPropertyDescriptor(prototype, 'format')!
  const get = descriptor.get!
  function format(this: unknown): Format {
    const bound: Format = Reflect.apply(get, this, [])
    let wrapper = wrappers.get(bound)
    if (wrapper === undefined) {
      wrapper = (date) => bound(date === undefined ? hub.ask()?.now() : date)
      imitate(bound, wrapper)
      wrappers.set(bound, wrapper)
    }
    return wrapper
  }
  imitate(get, format)
  Object.defineProperty(prototype, 'format', { ...descriptor, get: format })

  const formatToParts = prototype.formatToParts
  replace(prototype, 'formatToParts', function (this: unknown, date?: unknown) {
    return Reflect.apply(formatToParts, this, [date === undefined ? hub.ask()?.now() : date])
  })
}
