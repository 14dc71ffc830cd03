/**
 * Reads local variables of the user's code, by the inspector of this very process.
 *
 * P1. Reading happens while the code stands still at a `debugger` statement or a breakpoint, inside the callback that
 *     announces it: nothing else of the process runs meanwhile, and it goes on by itself afterwards.
 * P2. Breakpoints are active only while a turn is watched; replaying the events before it costs no more than it does
 *     without a probe.
 * P3. Nothing of the user's is called: values become text without their own inspection functions and getters.
 */
import { inspect, types } from 'node:util'
import { isCtx } from '../core/ctx.js'
import { type Definition, definition } from '../core/workflow.js'
import { type CodeLocation, locationText, maxBreakpoints, OwnInspector } from './inspector.js'
import { isUsers, type Place, placeOf, type RawFrame } from './places.js'

export interface Local {
  readonly name: string
  readonly text: string
}

/** A function of the user's, as it stood at some moment. */
export interface Frame extends Place {
  /** Its name; that of the workflow where it is its function. */
  readonly fn: string
  readonly locals: readonly Local[]
  /** It stands at its end, and returns this. */
  readonly returns?: string
  /** It threw this. */
  readonly throws?: string
}

/** What the user's code did in one turn. */
export interface Watched {
  /** Places that were executed, in that order. */
  readonly ran: readonly Place[]
  /** The functions that executed, as they stood last; the one that executed last first. */
  readonly frames: readonly Frame[]
  /** There was more than is worth following. */
  readonly cut: boolean
}

interface CallFrame {
  readonly functionName: string
  readonly functionLocation?: CodeLocation
  readonly location: CodeLocation
  readonly scopeChain: readonly {
    readonly type: string
    readonly object: { readonly objectId?: string }
    readonly startLocation?: { readonly lineNumber: number; readonly columnNumber?: number }
  }[]
  readonly returnValue?: RemoteObject
}
interface RemoteObject {
  readonly objectId?: string
  readonly value?: unknown
  readonly description?: string
  readonly type: string
}
interface Paused {
  readonly reason: string
  readonly callFrames: readonly CallFrame[]
  readonly data?: RemoteObject
}

const maxFrames = 12
const maxDepth = 3
const maxItems = 20
const maxLocals = 60
/** Stops in one turn: a loop over thousands of items is not followed to its end. */
const maxStops = 400

// The name that pauses have in a debugger.
const pause = new Function('debugger\n//# sourceURL=stet:capture') as () => void

export class Probe {
  readonly #inspector = new OwnInspector((params) => this.#paused(params as Paused))
  /** Scripts that have their breakpoints. */
  readonly #broken = new Set<string>()
  #breakpoints = 0
  #paused: (paused: Paused) => void = () => {}

  /** Where the function of the workflow is: it seldom has a name of its own. */
  readonly #main: { readonly name: string; readonly at: string | undefined }

  constructor({ name, fn }: Pick<Definition, 'name' | 'fn'>) {
    this.#inspector.post('Debugger.setBreakpointsActive', { active: false })
    globalThis[viewKey] = { scope: scopeText, closure: closureText, value: valueText }
    this.#main = { name, at: this.#locationOf(fn) }
  }

  close(): void {
    this.#inspector.close()
    globalThis[viewKey] = undefined
  }

  /** The functions of the user's that are on the stack, innermost first. */
  capture(): Frame[] {
    let frames: Frame[] = []
    const before = this.#paused
    this.#paused = ({ callFrames }) => {
      frames = this.#usersOf(callFrames)
        .slice(0, maxFrames)
        .map((frame) => this.#frame(frame))
    }
    this.#inspector.post('Debugger.setBreakpointsActive', { active: true })
    pause()
    this.#paused = before
    if (!this.#watching) this.#inspector.post('Debugger.setBreakpointsActive', { active: false })
    return frames
  }

  #watching = false

  /** From now until the function that this returns is called, notes what the user's code does. */
  watch(): () => Watched {
    this.#prepare()
    const ran: Place[] = []
    const last = new Map<string, Frame>()
    let stops = 0
    this.#paused = ({ reason, callFrames, data }) => {
      const users = this.#usersOf(callFrames)
      const top = users[0]
      if (top === undefined || top !== callFrames[0]) return
      if (++stops > maxStops) {
        this.#inspector.post('Debugger.setBreakpointsActive', { active: false })
        return
      }
      const threw = reason === 'exception' || reason === 'promiseRejection'
      const frame = { ...this.#frame(top), ...(threw && data !== undefined ? { throws: this.#value(data) } : {}) }
      const place = { file: frame.file, line: frame.line }
      const before = ran.at(-1)
      if (before?.file !== place.file || before.line !== place.line) ran.push(place)
      const key = `${locationText(top.functionLocation ?? top.location)}:${users.length}`
      const known = last.get(key)
      // Again in the same function: it goes behind those that have executed since.
      last.delete(key)
      last.set(key, known?.throws === undefined || threw ? frame : { ...frame, throws: known.throws })
    }
    this.#watching = true
    this.#inspector.post('Debugger.setPauseOnExceptions', { state: 'all' })
    this.#inspector.post('Debugger.setBreakpointsActive', { active: true })
    return () => {
      this.#watching = false
      this.#inspector.post('Debugger.setPauseOnExceptions', { state: 'none' })
      this.#inspector.post('Debugger.setBreakpointsActive', { active: false })
      this.#paused = () => {}
      return { ran, frames: [...last.values()].reverse(), cut: stops > maxStops }
    }
  }

  /** Breakpoints wherever the user's code can stop. */
  #prepare(): void {
    for (const [scriptId, url] of this.#inspector.scripts) {
      if (this.#broken.has(scriptId) || !isUsers(url) || this.#breakpoints >= maxBreakpoints) continue
      this.#broken.add(scriptId)
      const room = maxBreakpoints - this.#breakpoints
      for (const location of this.#inspector.possibleBreakpoints(scriptId).slice(0, room)) {
        this.#breakpoints++
        this.#inspector.post('Debugger.setBreakpoint', { location })
      }
    }
  }

  #locationOf(fn: unknown): string | undefined {
    const key = Symbol.for('stet.probed') as unknown as 'name'
    ;(globalThis as any)[key] = fn
    const { result } = this.#inspector.post('Runtime.evaluate', {
      expression: "globalThis[Symbol.for('stet.probed')]",
    }) as {
      result: RemoteObject
    }
    ;(globalThis as any)[key] = undefined
    const { internalProperties = [] } = this.#inspector.post('Runtime.getProperties', {
      objectId: result.objectId,
    }) as {
      internalProperties?: readonly { readonly name: string; readonly value?: { readonly value?: unknown } }[]
    }
    const location = internalProperties.find(({ name }) => name === '[[FunctionLocation]]')?.value?.value
    return location === undefined ? undefined : locationText(location as CodeLocation)
  }

  #usersOf(frames: readonly CallFrame[]): CallFrame[] {
    return frames.filter(({ location }) => isUsers(this.#inspector.scripts.get(location.scriptId) ?? ''))
  }

  #frame({ functionName, functionLocation, location, scopeChain, returnValue }: CallFrame): Frame {
    const isMain = functionLocation !== undefined && locationText(functionLocation) === this.#main.at
    const raw: Pick<RawFrame, 'url' | 'line' | 'column'> = {
      url: this.#inspector.scripts.get(location.scriptId)!,
      line: location.lineNumber,
      column: location.columnNumber ?? 0,
    }
    const locals = new Map<string, string>()
    for (const { type, object, startLocation: start } of scopeChain) {
      const view = type === 'closure' ? 'closure' : 'scope'
      if (!/^(local|block|catch|closure|with)$/.test(type) || object.objectId === undefined) continue
      // The function that a CommonJS module is wrapped in: the variables of the file, not of a function.
      if (type === 'closure' && start?.lineNumber === 0 && !start.columnNumber) continue
      for (const [name, text] of this.#call<[string, string][]>(object.objectId, view) ?? []) {
        if (!locals.has(name) && locals.size < maxLocals) locals.set(name, text)
      }
    }
    return {
      fn: functionName || (isMain ? this.#main.name : '(anonymous)'),
      ...placeOf(raw),
      locals: [...locals].map(([name, text]) => ({ name, text })),
      ...(returnValue === undefined ? {} : { returns: this.#value(returnValue) }),
    }
  }

  #value({ objectId, value, description, type }: RemoteObject): string {
    if (objectId !== undefined) return this.#call<string>(objectId, 'value') ?? description ?? type
    return type === 'undefined' ? 'undefined' : (description ?? inspect(value))
  }

  /** Calls one of ours on an object of theirs, inside the pause. */
  #call<T>(objectId: string, view: 'scope' | 'closure' | 'value'): T | undefined {
    const { result } = this.#inspector.post('Runtime.callFunctionOn', {
      objectId,
      functionDeclaration: `function () { return globalThis[Symbol.for('stet.view')].${view}(this) }`,
      returnByValue: true,
      silent: true,
    }) as { result: { value?: T } }
    return result.value
  }
}

const viewKey = Symbol.for('stet.view') as unknown as 'stetView'
declare global {
  var stetView: (Record<'scope' | 'closure', typeof scopeText> & Record<'value', typeof valueText>) | undefined
}

/** Of what surrounds a function: functions are rather what it calls than what it works on. */
function closureText(scope: object): [string, string][] {
  return scopeText(Object.fromEntries(variablesOf(scope).filter(([, value]) => typeof value !== 'function')))
}

function scopeText(scope: object): [string, string][] {
  return variablesOf(scope)
    .filter(([name, value]) => name !== 'arguments' && !name.startsWith('__') && !isCtx(value) && !definition(value))
    .slice(0, maxLocals)
    .map(([name, value]) => [name, valueText(value)])
}

/** One by one: since Node 22 a variable refuses to be read before its declaration has run; it is undefined till then. */
function variablesOf(scope: object): [string, unknown][] {
  return Object.keys(scope).map((name) => {
    try {
      return [name, scope[name as keyof typeof scope]]
    } catch {
      return [name, undefined]
    }
  })
}

/** A value on one line, for people. */
export function valueText(value: unknown): string {
  const target = typeof value === 'object' && value !== null && isBoxed(value) ? value.valueOf() : value
  try {
    if (types.isNativeError(target)) return `${target.name}: ${target.message}`
    if (typeof target === 'function') return `[function ${target.name || 'without a name'}]`
    const text = withoutNotes(target, () =>
      inspect(target, {
        depth: maxDepth,
        maxArrayLength: maxItems,
        maxStringLength: 300,
        breakLength: Number.POSITIVE_INFINITY,
        compact: true,
        customInspect: false,
      }),
    )
    // That an async function returns a promise is nothing new.
    return types.isPromise(target) ? text.replace(/^Promise \{\s+(.*?)\s+\}$/s, '$1') : text
  } catch (error) {
    return `[cannot be shown: ${(error as Error).message}]`
  }
}

/** What the engine has noted at promises is nobody else's business: it is away while `show` runs. */
function withoutNotes<T>(value: unknown, show: () => T): T {
  const taken: [any, symbol, unknown][] = []
  for (const promise of promisesIn(value, maxDepth)) {
    for (const symbol of Object.getOwnPropertySymbols(promise)) {
      if (!symbol.description?.startsWith('stet.')) continue
      taken.push([promise, symbol, promise[symbol]])
      delete promise[symbol]
    }
  }
  try {
    return show()
  } finally {
    for (const [promise, symbol, note] of taken) promise[symbol] = note
  }
}

/** In lists and objects, as far as they are shown; no getter of theirs is run. */
function promisesIn(value: unknown, depth: number): any[] {
  if (types.isPromise(value)) return [value]
  if (depth === 0 || typeof value !== 'object' || value === null) return []
  if (types.isProxy(value) || ArrayBuffer.isView(value)) return []
  const keys = Array.isArray(value) ? Array(Math.min(value.length, maxItems)).keys() : Object.keys(value)
  return [...keys].flatMap((key) => promisesIn(Object.getOwnPropertyDescriptor(value, key)?.value, depth - 1))
}

/** `this` of a function that is not strict: a primitive in a box. */
function isBoxed(value: object): boolean {
  return value instanceof Number || value instanceof String || value instanceof Boolean
}
