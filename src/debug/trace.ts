/** What two versions of the code make of one history, and where they part. */
import type { RecordedEvent } from '../core/events.js'
import type { RunIdentity } from '../core/execution.js'
import type { Operation } from '../core/operation.js'
import { describeOutcome } from '../core/verify.js'
import type { Definition } from '../core/workflow.js'
import { replayWhole } from './whole.js'

export interface AskedOperation {
  readonly op: number
  /** `step "charge"`. */
  readonly what: string
  readonly where: string | null
}

/** A replay from beginning to end; plain JSON, so it can come from another process. */
export interface Trace {
  readonly turns: readonly { readonly seq: number; readonly asked: readonly AskedOperation[] }[]
  /** The code does not fit the history, or awaits what is not recorded. */
  readonly blockage: {
    readonly code: string
    readonly message: string
    readonly where?: string
    readonly mismatch?: { readonly seq: number; readonly expected: string; readonly actual: string }
  } | null
  /** For people; null: the run goes on. */
  readonly outcome: string | null
  readonly pending: readonly AskedOperation[]
}

/** No body of a step runs, and nothing is written. */
export async function traceReplay(
  definition: Definition,
  identity: RunIdentity,
  events: readonly RecordedEvent[],
): Promise<Trace> {
  const { steps, outcome, blockage, pending } = await replayWhole(definition, identity, events, new Set())
  const turns = steps.map((step) => ({ seq: step.event.seq, asked: step.asked.map(asked) }))
  return {
    turns,
    blockage:
      blockage === null
        ? null
        : {
            code: blockage.code,
            message: blockage.message,
            ...(blockage.where === undefined ? {} : { where: blockage.where }),
            ...(blockage.mismatch === undefined ? {} : { mismatch: blockage.mismatch }),
          },
    outcome: outcome === null ? null : describeOutcome(outcome),
    pending: pending.map(asked),
  }
}

function asked(operation: Operation): AskedOperation {
  return { op: operation.index, what: operation.describe(), where: operation.where ?? null }
}

/** Where two traces of one history part. */
export interface Parting {
  /** The event in whose turn they part. */
  readonly seq: number
  /** `asked`: they ask for different things there; `fit`: one of them no longer fits; `outcome`: they end differently. */
  readonly how: 'asked' | 'fit' | 'outcome'
  readonly a: Branch
  readonly b: Branch
}

/** What one of the two does where they part. */
export interface Branch {
  /** For people: `asks for step "charge"`, `asks for nothing more`, `the run completed with 3`. */
  readonly does: string
  readonly where: string | null
  /** Why it does not fit the history, if that is so. */
  readonly message: string | null
}

/** Null: they do the same at every event and come to the same end. The lines in the source do not count. */
export function compareTraces(a: Trace, b: Trace): Parting | null {
  const length = Math.max(a.turns.length, b.turns.length)
  for (let i = 0; i < length; i++) {
    const [one, other] = [a.turns[i], b.turns[i]]
    if (one === undefined || other === undefined) {
      // One was stopped at the event before, which it does not fit.
      const { seq } = a.turns[i - 1] ?? b.turns[i - 1] ?? (one ?? other)!
      return { seq, how: 'fit', a: end(a), b: end(b) }
    }
    for (let k = 0; k < Math.max(one.asked.length, other.asked.length); k++) {
      const [mine, theirs] = [one.asked[k], other.asked[k]]
      if (mine?.what === theirs?.what) continue
      return { seq: one.seq, how: 'asked', a: branch(mine, a), b: branch(theirs, b) }
    }
  }
  const seq = a.turns.at(-1)?.seq ?? 0
  const [mine, theirs] = [a.blockage?.message, b.blockage?.message].map(withoutLines)
  if (mine !== theirs) return { seq, how: 'fit', a: end(a), b: end(b) }
  if (a.outcome !== b.outcome) return { seq, how: 'outcome', a: end(a), b: end(b) }
  return null
}

function branch(operation: AskedOperation | undefined, trace: Trace): Branch {
  const message = trace.blockage?.message ?? null
  if (operation !== undefined)
    return { does: `asks for operation ${operation.op}: ${operation.what}`, where: operation.where, message }
  const over = trace.outcome !== null && trace.blockage === null
  return { does: over ? `asks for nothing more: ${trace.outcome}` : 'asks for nothing more', where: null, message }
}

function end({ blockage, outcome, pending }: Trace): Branch {
  if (blockage !== null) {
    const does = blockage.mismatch === undefined ? 'awaits something that is not recorded' : 'does not fit the history'
    return { does, where: blockage.where ?? null, message: blockage.message }
  }
  if (outcome !== null) return { does: outcome, where: null, message: null }
  const waits = pending.map(({ what }) => what).join(', ')
  return {
    does: `waits for ${waits === '' ? 'nothing that is on record' : waits}`,
    where: pending.at(-1)?.where ?? null,
    message: null,
  }
}

/** A line further down is the same code. */
function withoutLines(message: string | undefined): string | undefined {
  return message?.replace(/[\w./@-]+\.[cm]?[jt]sx?:\d+/g, 'line')
}
