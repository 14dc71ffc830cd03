/**
 * A replay with a debugger of Node's attached (VS Code, Chrome). The run's history is in memory: there is no lease, no
 * time limit and nothing to write, so the debugger may hold it for as long as it likes.
 */
import inspector from 'node:inspector'
import { type Break, Breaks, type CallPlace, parseBreak } from '../../../debug/breaks.js'
import { replayWhole } from '../../../debug/whole.js'
import { apart } from '../apart.js'
import { findCode } from '../find-code.js'
import type { FoundHistory } from '../history.js'
import { say } from '../term.js'
import type { ReplayResult } from './text.js'

export interface InspectOptions {
  /** A port of 127.0.0.1; true: any. */
  readonly port: number | true
  /** A debugger holds this process already. */
  readonly attached: boolean
  readonly breaks: readonly string[]
  readonly live: readonly string[]
}

/** @throws InvalidInputError for a break that the history does not have; what the loading of the code throws */
export async function inspectReplay(
  history: FoundHistory,
  workflows: readonly string[] | undefined,
  { port, attached, breaks: wanted, live }: InspectOptions,
): Promise<ReplayResult> {
  const parsed = wanted.map((text) => parseBreak(text, history.events))
  // Whoever comes with a debugger of their own needs a first stop, to set breakpoints of their own.
  const stops: Break[] = parsed.length === 0 && !attached ? [{ event: 1 }] : parsed
  const calls = await callPlaces(history, workflows, stops)
  if (!attached) {
    inspector.open(port === true ? 0 : port, '127.0.0.1')
    say(attachText(inspector.url()!))
    inspector.waitForDebugger()
  }
  const code = await findCode(history.run, workflows)
  const breaks = new Breaks()
  let call = 0
  try {
    const whole = await replayWhole(code.definition, code.identity, history.events, new Set(live), (session) => {
      for (const stop of stops) {
        if ('event' in stop) breaks.anywhere(() => session().execution.lastSeq >= stop.event)
      }
      for (const place of calls) breaks.atCall(place.frame, () => call === place.call)
      return {
        called: () => {
          call++
        },
      }
    })
    return { code, whole, watched: null }
  } finally {
    breaks.close()
  }
}

function attachText(url: string): string {
  const address = url.replace(/^ws:\/\//, '')
  return [
    `waiting for a debugger at ${url}`,
    '  Chrome:  open chrome://inspect, or paste this into its address bar:',
    `           devtools://devtools/bundled/js_app.html?experiments=true&v8only=true&ws=${address}`,
    '  VS Code: run "Debug: Attach to Node Process", or start the replay from a JavaScript Debug Terminal',
  ].join('\n')
}

// ── where the code calls ctx ─────────────────────────────────────────────────────────────────────

export interface Question {
  readonly history: FoundHistory
  readonly workflows: readonly string[] | undefined
  readonly stops: readonly { readonly step: string; readonly nth: number }[]
}

/**
 * The calls at which steps are asked for, found by a replay in a process of its own: in this one the user's
 * breakpoints would stop it.
 */
async function callPlaces(
  history: FoundHistory,
  workflows: readonly string[] | undefined,
  stops: readonly Break[],
): Promise<CallPlace[]> {
  const steps = stops.filter((stop) => 'step' in stop)
  if (steps.length === 0) return []
  const child = apart('call-places', 'stderr')
  try {
    return await child.ask({ history, workflows, stops: steps } satisfies Question)
  } finally {
    await child.close()
  }
}
