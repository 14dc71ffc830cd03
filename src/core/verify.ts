/** The check of `dev` and `stet/testing`: a run that was let go of is replayed once, and must come out the same. */
import { isDeepStrictEqual } from 'node:util'
import { decode, decodeError, encode, recordError } from './codec.js'
import type { RecordedEvent } from './events.js'
import type { Outcome, RunIdentity } from './execution.js'
import type { Operation } from './operation.js'
import { replay } from './replay.js'
import { findUnrecordedAwait } from './unrecorded.js'
import type { Definition } from './workflow.js'

/** What the live Execution had come to when its run was let go of. Take it before the Execution is dropped. */
export interface LiveState {
  readonly outcome: Outcome | null
  /** Operations that were asked for and not settled. */
  readonly pending: Iterable<Operation>
}

/**
 * Replays `events` and compares: what was asked for, what still waits, how it ended. Null: nothing differs; else a
 * message for people that names the run and the first difference. Runs no step and writes nothing.
 * @example
 * const difference = await verifyReplay(definition, identity, events, { outcome, pending: [...execution.pending] })
 */
export async function verifyReplay(
  definition: Definition,
  identity: RunIdentity,
  events: readonly RecordedEvent[],
  live: LiveState,
): Promise<string | null> {
  // The Execution goes on to change while the replay takes its turns.
  const waited = [...live.pending].map(summary)
  const ended = live.outcome
  const { blockage, outcome, pending } = await replay(definition, identity, events)
  const who = `run ${identity.runId} of workflow "${definition.name}" does not replay as it ran`
  const advice =
    '  The function must do the same each time: take time, randomness and ids from ctx or inside a turn, put everything that looks outside (files, network, variables that other runs change) into ctx.step.'
  if (blockage !== null) {
    const where =
      blockage.code === 'unrecorded_await' ? await findUnrecordedAwait(definition, { ...identity }, events) : undefined
    return `${who}: ${blockage.message}${where === undefined ? '' : ` Awaited at ${where}.`}`
  }
  const tell = (live: string, replayed: string) => `${who}.\n  live:   ${live}\n  replay: ${replayed}\n${advice}`
  if (!sameOutcome(ended, outcome)) return tell(describeOutcome(ended), describeOutcome(outcome))
  const waits = pending.map(summary)
  for (let i = 0; i < Math.max(waits.length, waited.length); i++) {
    if (waited[i]?.text !== waits[i]?.text) return tell(told(waited[i]), told(waits[i]))
  }
  return null
}

interface Summary {
  readonly text: string
  readonly where: string | undefined
}

function summary(operation: Operation): Summary {
  const { request } = operation
  const due =
    request.kind === 'timer' || (request.kind === 'signal' && request.dueAt !== null)
      ? `, due ${new Date(request.dueAt!).toISOString()}`
      : ''
  return { text: `operation ${operation.index}: ${operation.describe()}${due}`, where: operation.where }
}

function told(summary: Summary | undefined): string {
  if (summary === undefined) return 'waits for nothing more'
  return `waits for ${summary.text}${summary.where === undefined ? '' : ` at ${summary.where}`}`
}

/** Whether two ends are the same on record. Of an error name and message count: stacks differ between executions. */
export function sameOutcome(a: Outcome | null, b: Outcome | null): boolean {
  if (a === null || b === null) return a === b
  const [one, other] = [onRecord(a), onRecord(b)]
  return one.type === other.type && isDeepStrictEqual(one.what, other.what)
}

/** For people: `the run completed with {"n":1}`. */
export function describeOutcome(outcome: Outcome | null): string {
  if (outcome === null) return 'the run goes on'
  const { type, what } = onRecord(outcome)
  if (type === 'continued') return `the run continued as new with ${what.payload ?? 'undefined'}`
  if (type !== 'completed') return `the run ${type} with ${what.name}: ${what.message}`
  return `the run completed with ${encode(what, 'the result') ?? 'undefined'}`
}

function onRecord(outcome: Outcome): { type: Outcome['type']; what: any } {
  if (outcome.type === 'continued') return { type: 'continued', what: { payload: outcome.payload } }
  if (outcome.type !== 'completed') return { type: outcome.type, what: brief(outcome.error) }
  try {
    return { type: 'completed', what: decode(encode(outcome.value, 'the result')) }
  } catch (error) {
    // A result that cannot be stored fails the run.
    return { type: 'failed', what: brief(error) }
  }
}

function brief(error: unknown): { name: string; message: string } {
  const { name, message } = recordError(error)
  return { name, message }
}

export interface OutcomeDifference {
  readonly seq: number
  readonly expected: string
  readonly actual: string
}

/**
 * The difference between the recorded end of a run and the end that its replay came to; null when they are the same,
 * or when the end was not of the code's making (a termination, a timeout). That *something* ended it is checked by the
 * Execution already; this looks at the value.
 */
export function compareOutcome(outcome: Outcome | null, events: readonly RecordedEvent[]): OutcomeDifference | null {
  const last = events.at(-1)
  const recorded = last === undefined ? null : recordedOutcome(last)
  if (last === undefined || recorded === null || outcome === null || sameOutcome(recorded, outcome)) return null
  // What a schema made of the result is on record, which the code alone does not tell.
  if (last.facts?.kind === 'checked' && outcome.type === recorded.type) return null
  return { seq: last.seq, expected: describeOutcome(recorded), actual: describeOutcome(outcome) }
}

/** The end on record; null when there is none, or none of the code's making. */
function recordedOutcome({ type, payload, facts }: RecordedEvent): Outcome | null {
  if (type === 'RunCompleted') return { type: 'completed', value: decode(payload) }
  if (type === 'RunContinued') return { type: 'continued', payload, version: null }
  if (type === 'RunFailed' && facts?.kind === 'result') return null
  if ((type !== 'RunFailed' && type !== 'RunCancelled') || payload === null || facts?.kind === 'timeout') return null
  return { type: type === 'RunFailed' ? 'failed' : 'cancelled', error: decodeError(payload) }
}
