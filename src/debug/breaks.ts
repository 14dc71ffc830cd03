/**
 * Stops of a debugger that is attached to a replay, at places of the history: with the user's function on top of the
 * stack, in the user's file.
 *
 * X1. A stop is a breakpoint in the user's own code whose condition asks whether the history has come far enough. So it
 *     is the debugger's own, which shows the line and goes on as from any other.
 * X2. Every stop stops once.
 */
import { Session } from 'node:inspector'
import { InvalidInputError } from '../core/errors.js'
import type { RecordedEvent } from '../core/events.js'
import { isUsers, type RawFrame } from './places.js'

/** Where to stop: where the code goes on after an event, or where it calls ctx for the `nth` time with that name. */
export type Break = { readonly event: number } | { readonly step: string; readonly nth: number }

/**
 * `17` and `event:17` for an event, `step:charge`, `step:charge#2` or `charge` for a step.
 * @throws InvalidInputError for an event that is not there, and a step that the history does not have
 */
export function parseBreak(text: string, events: readonly RecordedEvent[]): Break {
  const event = /^(?:event:)?(\d+)$/.exec(text)
  if (event !== null) {
    const seq = Number(event[1])
    if (seq >= 1 && seq <= events.length) return { event: seq }
    throw new InvalidInputError(`--break ${text}: expected an event from 1 to ${events.length}.`)
  }
  const key = text.replace(/^step:/, '')
  const known = new Set(events.flatMap(({ name, facts }) => (name === null ? [] : [keyOf(name, facts?.nth)])))
  const [, name, nth = '1'] = /^(.*?)(?:#(\d+))?$/s.exec(key)!
  if (known.has(key)) {
    // A name may itself end in #2.
    return known.has(name!) ? { step: name!, nth: Number(nth) } : { step: key, nth: 1 }
  }
  const names = [...known].slice(0, 20).join(', ')
  throw new InvalidInputError(`--break ${text}: the history has no step "${key}". It has: ${names}.`)
}

function keyOf(name: string, nth: number | undefined): string {
  return nth === undefined ? name : `${name}#${nth}`
}

/** A call of ctx, numbered from 0 in the order of calling, and the frame of the user's that makes it. */
export interface CallPlace {
  readonly call: number
  readonly frame: RawFrame
}

interface Location {
  readonly scriptId: string
  readonly lineNumber: number
  readonly columnNumber?: number
}

function placeName({ scriptId, lineNumber, columnNumber }: Location): string {
  return `${scriptId}:${lineNumber}:${columnNumber}`
}

const askName = Symbol.for('stet.break')
const maxBreakpoints = 5_000

export class Breaks {
  readonly #session = new Session()
  readonly #scripts = new Map<string, string>()
  /** `at`: the places where it stops, as `place` names them. */
  readonly #stops = new Set<{ readonly due: () => boolean; readonly at: ReadonlySet<string> }>()
  readonly #set = new Set<string>()

  constructor() {
    this.#session.connect()
    this.#session.on('Debugger.scriptParsed', ({ params }) => this.#scripts.set(params.scriptId, params.url))
    this.#post('Debugger.enable')
    ;(globalThis as any)[askName] = (place: string) => {
      for (const stop of this.#stops) {
        if (!stop.at.has(place) || !stop.due()) continue
        this.#stops.delete(stop)
        return true
      }
      return false
    }
  }

  /** Stops at the first line of the user's that is executed once `due` holds. */
  anywhere(due: () => boolean): void {
    const users = [...this.#scripts].filter(([, url]) => isUsers(url))
    this.#stop(users.flatMap(([scriptId]) => this.#locations(scriptId)).slice(0, maxBreakpoints), due)
  }

  /** Stops at a call, when `due` holds. */
  atCall({ url, line, column }: RawFrame, due: () => boolean): void {
    for (const [scriptId, of] of this.#scripts) {
      if (of !== url) continue
      const before = this.#locations(scriptId).filter(
        ({ lineNumber, columnNumber = 0 }) => lineNumber < line || (lineNumber === line && columnNumber <= column),
      )
      this.#stop(before.slice(-1), due)
    }
  }

  close(): void {
    this.#session.disconnect()
    delete (globalThis as any)[askName]
  }

  #stop(locations: readonly Location[], due: () => boolean): void {
    this.#stops.add({ due, at: new Set(locations.map(placeName)) })
    for (const location of locations) {
      const place = placeName(location)
      if (this.#set.has(place)) continue
      this.#set.add(place)
      const condition = `globalThis[Symbol.for('stet.break')]?.('${place}')`
      this.#post('Debugger.setBreakpoint', { location, condition })
    }
  }

  #locations(scriptId: string): Location[] {
    const start = { scriptId, lineNumber: 0, columnNumber: 0 }
    const { locations } = this.#post('Debugger.getPossibleBreakpoints', { start }) as { locations: Location[] }
    return locations.map(({ scriptId, lineNumber, columnNumber = 0 }) => ({ scriptId, lineNumber, columnNumber }))
  }

  #post(method: string, params?: object): unknown {
    let answer: unknown
    let failure: unknown = null
    this.#session.post(method, params, (error: Error | null, result?: object) => {
      failure = error
      answer = result
    })
    if (failure !== null) throw Object.assign(new Error((failure as Error).message), { cause: failure })
    return answer
  }
}
