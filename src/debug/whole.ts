/** A whole history replayed once, from its first event to its last or to where the code does not fit. */
import type { RecordedEvent } from '../core/events.js'
import type { Blockage, Outcome, RunIdentity } from '../core/execution.js'
import type { Operation } from '../core/operation.js'
import type { Log } from '../core/types.js'
import type { Definition } from '../core/workflow.js'
import type { LiveResult } from './live.js'
import { ReplaySession, type SessionHooks, type Step } from './session.js'

export interface Whole {
  readonly steps: readonly Step[]
  readonly outcome: Outcome | null
  readonly blockage: Blockage | null
  readonly pending: readonly Operation[]
  readonly live: readonly LiveResult[]
}

const silent: Log = { debug() {}, info() {}, warn() {}, error() {} }

/**
 * `live`: names of steps whose bodies really run, each before its recorded result is delivered. `hooks` is given the
 * session that it belongs to.
 */
export async function replayWhole(
  definition: Definition,
  identity: RunIdentity,
  events: readonly RecordedEvent[],
  live: ReadonlySet<string>,
  hooks: (session: () => ReplaySession) => SessionHooks = () => ({}),
): Promise<Whole> {
  const session: ReplaySession = new ReplaySession(
    definition,
    { ...identity },
    events,
    hooks(() => session),
  )
  const steps: Step[] = []
  if (live.size === 0) {
    await session.rest((step) => steps.push(step))
    return { steps, live: [], ...(await session.verdict()) }
  }
  // Loaded by those alone who want it: it brings what attempts at steps need.
  const { bodyToRun } = await import('./live.js')
  const results: LiveResult[] = []
  const bodies = new Map<number, (settledBy: RecordedEvent | null) => Promise<LiveResult>>()
  for (;;) {
    const upcoming = events[steps.length]
    const body = upcoming !== undefined && settlesStep(upcoming) ? bodies.get(upcoming.op!) : undefined
    if (body !== undefined) {
      bodies.delete(upcoming!.op!)
      results.push(await body(upcoming!))
    }
    const step = await session.next()
    if (step === null) break
    steps.push(step)
    for (const operation of step.asked) {
      const run = live.has(operation.name) ? bodyToRun(operation, identity.runId, silent) : null
      if (run !== null) bodies.set(operation.index, run)
    }
  }
  // Asked for, and not settled within the history.
  for (const body of bodies.values()) results.push(await body(null))
  return { steps, live: results, ...(await session.verdict()) }
}

function settlesStep({ type }: RecordedEvent): boolean {
  return type === 'StepCompleted' || type === 'StepFailed'
}
