/**
 * Stops of a debugger that is attached to a replay, at places of the history: with the user's function on top of the
 * stack, in the user's file.
 *
 * X1. A stop is a breakpoint in the user's own code whose condition asks whether the history has come far enough. So it
 *     is the debugger's own, which shows the line and goes on as from any other.
 * X2. Every stop stops once.
 */
import { InvalidInputError } from '../core/errors.js'
import type { RecordedEvent } from '../core/events.js'
import { type CodeLocation, locationText, maxBreakpoints, OwnInspector } from './inspector.js'
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

const askName = Symbol.for('stet.break')

export class Breaks {
  readonly #inspector = new OwnInspector()
  /** `at`: the places where it stops, as `locationText` names them. */
  readonly #stops = new Set<{ readonly due: () => boolean; readonly at: ReadonlySet<string> }>()
  readonly #set = new Set<string>()

  constructor() {
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
    const users = [...this.#inspector.scripts].filter(([, url]) => isUsers(url))
    this.#stop(
      users.flatMap(([scriptId]) => this.#inspector.possibleBreakpoints(scriptId)).slice(0, maxBreakpoints),
      due,
    )
  }

  /** Stops at a call, when `due` holds. */
  atCall({ url, line, column }: RawFrame, due: () => boolean): void {
    for (const [scriptId, of] of this.#inspector.scripts) {
      if (of !== url) continue
      const before = this.#inspector
        .possibleBreakpoints(scriptId)
        .filter(
          ({ lineNumber, columnNumber = 0 }) => lineNumber < line || (lineNumber === line && columnNumber <= column),
        )
      this.#stop(before.slice(-1), due)
    }
  }

  close(): void {
    this.#inspector.close()
    delete (globalThis as any)[askName]
  }

  #stop(locations: readonly CodeLocation[], due: () => boolean): void {
    this.#stops.add({ due, at: new Set(locations.map(locationText)) })
    for (const location of locations) {
      const place = locationText(location)
      if (this.#set.has(place)) continue
      this.#set.add(place)
      const condition = `globalThis[Symbol.for('stet.break')]?.('${place}')`
      this.#inspector.post('Debugger.setBreakpoint', { location, condition })
    }
  }
}
