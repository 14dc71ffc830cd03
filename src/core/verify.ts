/** The check of `dev` and `stet/testing`: a run that was let go of is replayed once, and must come out the same. */
import { encode, encodeError } from './codec.js'
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
  const [before, after] = [outcomeText(ended), outcomeText(outcome)]
  if (before !== after) return tell(before, after)
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

function outcomeText(outcome: Outcome | null): string {
  if (outcome === null) return 'the run goes on'
  const { type } = outcome
  if (type !== 'completed') return `the run ${type} with ${errorText(outcome.error)}`
  try {
    return `the run completed with ${encode(outcome.value, 'the result') ?? 'undefined'}`
  } catch (error) {
    // A result that cannot be stored fails the run, in both alike.
    return `the run failed with ${errorText(error)}`
  }
}

/** Name and message: stacks differ between a first run and a replay. */
function errorText(error: unknown): string {
  const { name, message } = JSON.parse(encodeError(error)) as { name?: string; message?: string }
  return `${name}: ${message}`
}
