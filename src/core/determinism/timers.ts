/**
 * Timers. In a turn they are durable: the run may park, the process may die, and the callback is still called, in a
 * turn of the same run. Unlike the originals they know no limit of 24.8 days.
 *
 * 1. A timer that was started in a turn is durable for good, wherever it is cleared or refreshed from; whether that is
 *    allowed there is for the TurnSource to say.
 * 2. Timers of Node's own (fetch starts one for the whole process when it is first used) are none of the run's.
 * 3. Nothing a workflow can see of a timer differs on replay: ids are counted for each run, in the order of asking.
 */
import { AsyncResource } from 'node:async_hooks'
import timers from 'node:timers'
import timersPromises from 'node:timers/promises'
import { promisify } from 'node:util'
import { caller } from '../callsite.js'
import { replace } from './replace.js'
import type { Hub, TurnSource } from './turn.js'

type Callback = (...args: any[]) => unknown
type AnyFunction = (...args: any[]) => any

export function patchTimers(hub: Hub): void {
  patchStart(hub)
  patchClear(hub)
  patchPromises(hub)
  patchAbortSignal(hub)
}

/** About 10,000 years (see duration.ts). The originals turn what is too long, negative or no number into 1 ms too. */
const maxMs = 86_400_000 * 3_652_500
function milliseconds(delay: unknown): number {
  const ms = Number(delay)
  return ms >= 1 && ms <= maxMs ? Math.trunc(ms) : 1
}

/** What an Immediate and a Timeout have in common. */
class DurableTimer {
  readonly #turn: TurnSource
  readonly #name: string
  readonly #ms: number
  readonly #repeat: boolean
  readonly #call: () => void
  #cancel: (() => void) | undefined
  #cleared = false
  #referenced = true

  constructor(turn: TurnSource, name: string, ms: number, repeat: boolean, callback: Callback, args: unknown[]) {
    this.#turn = turn
    this.#name = name
    this.#ms = ms
    this.#repeat = repeat
    // The user's AsyncLocalStorage holds in the callback, as it does with the originals.
    const resource = new AsyncResource(repeat || name === 'setTimeout' ? 'Timeout' : 'Immediate')
    this.#call = () => resource.runInAsyncScope(callback, this, ...args)
    this.#start()
  }

  #start(): void {
    this.#cancel = this.#turn.startTimer(this.#name, this.#ms, () => {
      this.#cancel = undefined
      forget(this.#turn, this)
      try {
        this.#call()
      } finally {
        // After the callback, which may have cleared or refreshed the interval.
        if (this.#repeat && !this.#cleared && this.#cancel === undefined) this.#start()
      }
    })
  }

  /** Starts the whole delay anew, also when the timer has fired; nothing when it was cleared. */
  protected restart(): void {
    if (this.#cleared) return
    this.#cancel?.()
    this.#start()
  }

  protected clear(): void {
    this.#cleared = true
    const cancel = this.#cancel
    this.#cancel = undefined
    forget(this.#turn, this)
    cancel?.()
  }

  protected get turn(): TurnSource {
    return this.#turn
  }

  // Whether a process may end before the timer fires is no question for a durable one: it is only remembered.
  ref(): this {
    this.#referenced = true
    return this
  }
  unref(): this {
    this.#referenced = false
    return this
  }
  hasRef(): boolean {
    return this.#referenced
  }
  [Symbol.dispose](): void {
    this.clear()
  }
}

class Timeout extends DurableTimer {
  refresh(): this {
    this.restart()
    return this
  }
  close(): this {
    this.clear()
    return this
  }
  [Symbol.toPrimitive](): number {
    return idOf(this.turn, this)
  }
}

class Immediate extends DurableTimer {}

// ── ids, for those who keep a timer as a number ──────────────────────────────────────────────────
/** Above every id that the originals give out (those count up from 1), so that the two are never mistaken. */
const firstId = 2 ** 40
interface Ids {
  next: number
  readonly byId: Map<number, Timeout>
  readonly byTimer: Map<DurableTimer, number>
}
const idsOf = new WeakMap<TurnSource, Ids>()

function idOf(turn: TurnSource, timer: Timeout): number {
  let ids = idsOf.get(turn)
  if (ids === undefined) {
    ids = { next: firstId, byId: new Map(), byTimer: new Map() }
    idsOf.set(turn, ids)
  }
  let id = ids.byTimer.get(timer)
  if (id === undefined) {
    id = ids.next++
    ids.byId.set(id, timer)
    ids.byTimer.set(timer, id)
  }
  return id
}

function forget(turn: TurnSource, timer: DurableTimer): void {
  const ids = idsOf.get(turn)
  const id = ids?.byTimer.get(timer)
  if (id === undefined) return
  ids!.byId.delete(id)
  ids!.byTimer.delete(timer)
}

// ── the callback forms ───────────────────────────────────────────────────────────────────────────
function patchStart(hub: Hub): void {
  function durable(name: string, repeat: boolean, real: AnyFunction): AnyFunction {
    return function (this: unknown, ...args: any[]) {
      const turn = hub.ask()
      if (turn === null || typeof args[0] !== 'function' || caller() === 'node') return Reflect.apply(real, this, args)
      const [callback, delay, ...rest] = args
      return new Timeout(turn, name, milliseconds(delay), repeat, callback, rest)
    }
  }
  function immediate(real: AnyFunction): AnyFunction {
    return function (this: unknown, ...args: any[]) {
      const turn = hub.ask()
      if (turn === null || typeof args[0] !== 'function' || caller() === 'node') return Reflect.apply(real, this, args)
      const [callback, ...rest] = args
      return new Immediate(turn, 'setImmediate', 0, false, callback, rest)
    }
  }
  everywhere('setTimeout', (real) => promisable(durable('setTimeout', false, real), () => timersPromises.setTimeout))
  everywhere('setInterval', (real) => durable('setInterval', true, real))
  everywhere('setImmediate', (real) => promisable(immediate(real), () => timersPromises.setImmediate))
}

/** What `util.promisify` shall give for the function. */
function promisable(fn: AnyFunction, promised: () => AnyFunction): AnyFunction {
  return Object.defineProperty(fn, promisify.custom, { get: promised, enumerable: true })
}

function patchClear(hub: Hub): void {
  function clear(real: AnyFunction): AnyFunction {
    return function (this: unknown, ...args: any[]) {
      const timer: unknown = args[0]
      if (timer instanceof Timeout) return timer[Symbol.dispose]()
      if (typeof timer === 'number' || typeof timer === 'string') {
        const turn = hub.ask()
        const known = turn && idsOf.get(turn)?.byId.get(Number(timer))
        if (known) return known[Symbol.dispose]()
      }
      return Reflect.apply(real, this, args)
    }
  }
  function clearImmediate(real: AnyFunction): AnyFunction {
    return function (this: unknown, ...args: any[]) {
      if (args[0] instanceof Immediate) return args[0][Symbol.dispose]()
      return Reflect.apply(real, this, args)
    }
  }
  everywhere('clearTimeout', clear)
  everywhere('clearInterval', clear)
  everywhere('clearImmediate', clearImmediate)
}

/** The global and the export of `node:timers` are one function, and stay one unless somebody has parted them before. */
function everywhere(key: string, make: (real: AnyFunction) => AnyFunction): void {
  const [outer, inner] = [(globalThis as any)[key], (timers as any)[key]] as [AnyFunction, AnyFunction]
  const patched = make(inner)
  replace(timers, key, patched)
  replace(globalThis, key, outer === inner ? patched : make(outer))
}

// ── node:timers/promises ─────────────────────────────────────────────────────────────────────────
function patchPromises(hub: Hub): void {
  const { setTimeout, setImmediate, setInterval, scheduler } = timersPromises
  replace(timersPromises, 'setTimeout', (...args: any[]) => {
    const turn = hub.ask()
    const [delay, value, options] = args
    if (turn === null || refused(delay, options)) return Reflect.apply(setTimeout, undefined, args as any)
    return wait(turn, 'setTimeout', milliseconds(delay), value, options?.signal)
  })
  replace(timersPromises, 'setImmediate', (...args: any[]) => {
    const turn = hub.ask()
    const [value, options] = args
    if (turn === null || refused(undefined, options)) return Reflect.apply(setImmediate, undefined, args as any)
    return wait(turn, 'setImmediate', 0, value, options?.signal)
  })
  replace(timersPromises, 'setInterval', (...args: any[]) => {
    const turn = hub.ask()
    const [delay, value, options] = args
    if (turn === null || refused(delay, options)) return Reflect.apply(setInterval, undefined, args as any)
    return intervals(turn, milliseconds(delay), value, options?.signal)
  })

  const prototype = Object.getPrototypeOf(scheduler) as typeof scheduler
  const realWait = prototype.wait
  const realYield = prototype.yield
  replace(prototype, 'wait', function (this: unknown, ...args: any[]) {
    const turn = hub.ask()
    const [delay, options] = args
    if (turn === null || this !== scheduler || refused(delay, options)) {
      return Reflect.apply(realWait, this, args as any)
    }
    return wait(turn, 'setTimeout', milliseconds(delay), undefined, options?.signal)
  })
  replace(prototype, 'yield', function (this: unknown) {
    const turn = hub.ask()
    if (turn === null || this !== scheduler) return Reflect.apply(realYield, this, [])
    return wait(turn, 'setImmediate', 0, undefined, undefined)
  })
}

/** Arguments that the originals reject without starting a timer: theirs is the error. */
function refused(delay: unknown, options: any): boolean {
  if (delay !== undefined && typeof delay !== 'number') return true
  if (options === undefined) return false
  if (options === null || typeof options !== 'object') return true
  const { signal, ref } = options
  if (ref !== undefined && typeof ref !== 'boolean') return true
  if (signal === undefined) return false
  return signal === null || typeof signal !== 'object' || !('aborted' in signal) || signal.aborted
}

function wait<T>(turn: TurnSource, name: string, ms: number, value: T, signal: AbortSignal | undefined): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = () => {
      cancel()
      reject(abortError(signal!))
    }
    const cancel = turn.startTimer(name, ms, () => {
      signal?.removeEventListener('abort', abort)
      resolve(value)
    })
    signal?.addEventListener('abort', abort, { once: true })
  })
}

/**
 * Like the original, ticks that were missed while the loop's body ran come at once. Unlike it, a timer is pending only
 * while the loop waits: a slow body makes no events, and a loop that was left needs no clearing.
 */
async function* intervals<T>(turn: TurnSource, ms: number, value: T, signal?: AbortSignal): AsyncGenerator<T, void> {
  for (let due = turn.now() + ms; ; due += ms) {
    if (signal?.aborted) throw abortError(signal)
    const left = due - turn.now()
    if (left > 0) await wait(turn, 'setInterval', left, undefined, signal)
    yield value
  }
}

/** The AbortError of Node, which is no public class. */
function abortError(signal: AbortSignal): Error {
  const error = new Error('The operation was aborted', { cause: signal.reason })
  return Object.assign(error, { code: 'ABORT_ERR', name: 'AbortError' })
}

function patchAbortSignal(hub: Hub): void {
  const real = AbortSignal.timeout
  replace(AbortSignal, 'timeout', function (this: unknown, ...args: any[]) {
    const turn = hub.ask()
    const [ms] = args
    if (turn === null || !Number.isInteger(ms) || ms < 0 || ms >= 2 ** 32) return Reflect.apply(real, this, args as any)
    const controller = new AbortController()
    turn.startTimer('AbortSignal.timeout', ms, () => {
      controller.abort(new DOMException('The operation was aborted due to timeout', 'TimeoutError'))
    })
    return controller.signal
  })
}
