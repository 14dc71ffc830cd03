/**
 * The globals as they were before the first patch, for the engine's own use: these never ask whose turn it is.
 *
 * A second copy of the package may be loaded when the first has already patched, so the capture is shared between
 * copies. Whoever loads first captures; nobody captures a patched function.
 */
import crypto from 'node:crypto'
import timersPromises from 'node:timers/promises'
import type { TurnSource } from './turn.js'

export interface Originals {
  readonly Date: DateConstructor
  now(): number
  performanceNow(): number
  hrtime(): bigint
  random(): number
  readonly setTimeout: typeof globalThis.setTimeout
  readonly clearTimeout: typeof globalThis.clearTimeout
  readonly setInterval: typeof globalThis.setInterval
  readonly clearInterval: typeof globalThis.clearInterval
  readonly setImmediate: typeof globalThis.setImmediate
  readonly clearImmediate: typeof globalThis.clearImmediate
  /** `setTimeout` of `node:timers/promises`. */
  readonly sleep: typeof timersPromises.setTimeout
  readonly randomBytes: typeof crypto.randomBytes
  readonly randomFillSync: typeof crypto.randomFillSync
  readonly randomInt: typeof crypto.randomInt
  readonly randomUUID: typeof crypto.randomUUID
}

/** What the copies of the package in this process share about determinism. */
interface Shared {
  readonly originals: Originals
  /** Set by the copy that patched: adds another copy's way of asking whose turn it is. */
  register?: (current: () => TurnSource | null) => void
}

function capture(): Originals {
  const { performance } = globalThis
  return Object.freeze({
    Date,
    now: Date.now,
    performanceNow: performance.now.bind(performance),
    hrtime: process.hrtime.bigint,
    random: Math.random,
    setTimeout,
    clearTimeout,
    setInterval,
    clearInterval,
    setImmediate,
    clearImmediate,
    sleep: timersPromises.setTimeout,
    randomBytes: crypto.randomBytes,
    randomFillSync: crypto.randomFillSync,
    randomInt: crypto.randomInt,
    randomUUID: crypto.randomUUID,
  })
}

const holder = globalThis as { [key in symbol]?: { determinism?: Shared } }
const key = Symbol.for('stet')
holder[key] ??= {}
holder[key].determinism ??= { originals: capture() }
export const shared: Shared = holder[key].determinism
