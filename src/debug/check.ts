/** Whether code does what histories have on record: one history after another, and what is wrong, by its cause. */
import type { RecordedEvent } from '../core/events.js'
import type { RunIdentity } from '../core/execution.js'
import { replay } from '../core/replay.js'
import { findUnrecordedAwait } from '../core/unrecorded.js'
import { compareOutcome } from '../core/verify.js'
import type { Definition } from '../core/workflow.js'

/** Where the code does something else than the history says. */
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

/** Replays a history with the code. Null: it fits. No step runs, nothing is written. */
export async function checkHistory(
  definition: Definition,
  identity: RunIdentity,
  events: readonly RecordedEvent[],
): Promise<Divergence | null> {
  const { execution, blockage, outcome } = await replay(definition, identity, events)
  execution.drop()
  if (blockage === null) {
    const difference = compareOutcome(outcome, events)
    return difference === null ? null : { code: 'nondeterminism', ...difference }
  }
  if (blockage.mismatch !== undefined) {
    const { mismatch, where } = blockage
    const recordedAt = events[mismatch.seq - 1]?.facts?.where
    return {
      code: 'nondeterminism',
      ...mismatch,
      ...(where === undefined ? {} : { where }),
      ...(recordedAt === undefined ? {} : { recordedAt }),
    }
  }
  const where =
    blockage.code === 'unrecorded_await'
      ? ((await findUnrecordedAwait(definition, { ...identity }, events)) ?? blockage.where)
      : blockage.where
  return {
    code: blockage.code === 'unrecorded_await' ? 'unrecorded_await' : 'nondeterminism',
    seq: execution.lastSeq,
    expected: 'the workflow to await only what is recorded',
    actual: blockage.message,
    ...(where === undefined ? {} : { where }),
  }
}

export interface CheckedRun {
  readonly id: string
  readonly runId: string
  readonly seq: number
}

/** Runs that diverge at the same place in the same way. */
export interface Cause extends Omit<Divergence, 'seq'> {
  readonly workflow: string
  readonly version: number
  readonly runs: readonly CheckedRun[]
}

export interface CheckReport {
  readonly checked: number
  readonly fine: number
  /** Blocked runs among those that are fine: this code can take them on. */
  readonly unblocked: number
  /** The largest first. */
  readonly causes: readonly Cause[]
  /** Runs of workflows or versions that the code at hand does not have. */
  readonly missing: readonly {
    readonly workflow: string
    readonly version: number
    readonly runs: readonly CheckedRun[]
  }[]
}

/** Gathers what the check of many histories has found. */
export class Findings {
  #checked = 0
  #fine = 0
  #unblocked = 0
  readonly #causes = new Map<string, Cause & { runs: CheckedRun[] }>()
  readonly #missing = new Map<string, { workflow: string; version: number; runs: CheckedRun[] }>()

  add(run: RunIdentity, blocked: boolean, divergence: Divergence | null): void {
    this.#checked++
    if (divergence === null) {
      this.#fine++
      if (blocked) this.#unblocked++
      return
    }
    const { id, runId, workflow, version } = run
    const { seq, ...cause } = divergence
    // Two runs that went through a loop a different number of times part from the code in the same way.
    const alike = (text: string) => text.replace(/^operation \d+: /, '')
    const key = JSON.stringify([workflow, version, cause.code, cause.where, alike(cause.expected), alike(cause.actual)])
    const found = this.#causes.get(key)
    if (found === undefined) this.#causes.set(key, { workflow, version, ...cause, runs: [{ id, runId, seq }] })
    else found.runs.push({ id, runId, seq })
  }

  /** A run whose code is not there. */
  miss({ id, runId, workflow, version }: RunIdentity): void {
    this.#checked++
    const key = `${workflow}@${version}`
    const found = this.#missing.get(key) ?? { workflow, version, runs: [] }
    found.runs.push({ id, runId, seq: 1 })
    this.#missing.set(key, found)
  }

  get checked(): number {
    return this.#checked
  }

  report(): CheckReport {
    return {
      checked: this.#checked,
      fine: this.#fine,
      unblocked: this.#unblocked,
      causes: [...this.#causes.values()].sort((a, b) => b.runs.length - a.runs.length),
      missing: [...this.#missing.values()],
    }
  }
}
