/** Where code does something else than a history says. */
import type { RecordedEvent } from './events.js'
import type { Outcome, RunIdentity } from './execution.js'
import { replay } from './replay.js'
import { findUnrecordedAwait } from './unrecorded.js'
import { compareOutcome } from './verify.js'
import type { Definition } from './workflow.js'

export interface Divergence {
  readonly code: 'nondeterminism' | 'unrecorded_await'
  /** The event that does not fit. */
  readonly seq: number
  readonly expected: string
  readonly actual: string
  /** `file:line` of the code at hand. */
  readonly where?: string
  /** `file:line` of the code that made the history. */
  readonly recordedAt?: string
}

export interface ComparedReplay {
  /** What the replay came to; null: it stands where the history ends, or is blocked. */
  readonly outcome: Outcome | null
  /** It cannot go on. */
  readonly blocked: boolean
  /** Null: the code does what is on record, its end included. */
  readonly divergence: Divergence | null
}

/** Replays a whole history with the code, and compares the end too. No step runs, nothing is written. */
export async function compareReplay(
  definition: Definition,
  identity: RunIdentity,
  events: readonly RecordedEvent[],
): Promise<ComparedReplay> {
  const { execution, blockage, outcome } = await replay(definition, identity, events)
  execution.drop()
  if (blockage === null) {
    const difference = compareOutcome(outcome, events)
    const divergence = difference === null ? null : { code: 'nondeterminism' as const, ...difference }
    return { outcome, blocked: false, divergence }
  }
  const { code, message, mismatch } = blockage
  const unrecorded = code === 'unrecorded_await'
  const awaited = unrecorded ? await findUnrecordedAwait(definition, { ...identity }, events) : undefined
  const where = awaited ?? blockage.where
  const recordedAt = mismatch === undefined ? undefined : events[mismatch.seq - 1]?.facts?.where
  const divergence = {
    code: unrecorded ? ('unrecorded_await' as const) : ('nondeterminism' as const),
    ...(mismatch ?? {
      seq: execution.lastSeq,
      expected: 'the workflow to await only what is recorded',
      actual: message,
    }),
    ...(where === undefined ? {} : { where }),
    ...(recordedAt === undefined ? {} : { recordedAt }),
  }
  return { outcome, blocked: true, divergence }
}
