/** The inspector of this very process, used from its own thread: it answers before a call returns. */
import { Session } from 'node:inspector'

export interface CodeLocation {
  readonly scriptId: string
  readonly lineNumber: number
  readonly columnNumber?: number
}

export function locationText({ scriptId, lineNumber, columnNumber = 0 }: CodeLocation): string {
  return `${scriptId}:${lineNumber}:${columnNumber}`
}

/** More would take longer to set than anybody waits. */
export const maxBreakpoints = 5_000

export class OwnInspector {
  readonly #session = new Session()
  /** URLs of the scripts that are loaded, by their ids. */
  readonly scripts = new Map<string, string>()

  /** `paused` is told of each pause, in it. */
  constructor(paused: (params: unknown) => void = () => {}) {
    this.#session.connect()
    this.#session.on('Debugger.scriptParsed', ({ params }) => this.scripts.set(params.scriptId, params.url))
    this.#session.on('Debugger.paused', ({ params }) => paused(params))
    this.post('Debugger.enable')
  }

  /** @throws Error what the inspector refuses */
  post(method: string, params?: object): unknown {
    let answer: unknown
    let failure: unknown = null
    this.#session.post(method, params, (error: Error | null, result?: object) => {
      failure = error
      answer = result
    })
    // What it gives is a plain object.
    if (failure !== null) throw Object.assign(new Error((failure as Error).message), { cause: failure })
    return answer
  }

  /** Where the code of a script can stop, in its order. */
  possibleBreakpoints(scriptId: string): CodeLocation[] {
    const start = { scriptId, lineNumber: 0, columnNumber: 0 }
    const { locations } = this.post('Debugger.getPossibleBreakpoints', { start }) as { locations: CodeLocation[] }
    return locations.map(({ scriptId, lineNumber, columnNumber = 0 }) => ({ scriptId, lineNumber, columnNumber }))
  }

  close(): void {
    this.#session.disconnect()
  }
}
