/**
 * What a run waits for, read from its history without its code.
 *
 * O1. `waits`, which a run leaves behind when it parks, says which operations are pending; the history says the rest of
 *     each: attempts, the last error, the run of a child.
 * O2. Without `waits` the history alone decides. It does not know of a wait for a signal that has no timeout, and an
 *     operation that its scope has cancelled still stands as pending.
 */
import { decodeError } from './codec.js'
import type { RecordedEvent } from './events.js'
import type { PendingOperation } from './graph.js'
import type { OperationKind } from './operation.js'

/** As a parked run describes what it waits for. */
export type Wait = PendingOperation & {
  readonly dueAt?: number
  readonly where?: string
  /** Of a step: how often it may be tried. */
  readonly maxAttempts?: number
}

export interface OpenOperation {
  readonly op: number
  readonly kind: OperationKind
  readonly name: string
  /** `file:line` of the code that asked for it. */
  readonly where: string | null
  /** When it was asked for; of a step whose attempt runs, when that began. Ms since the epoch. */
  readonly since: number
  /** A timer, the timeout of a wait, the next attempt of a step: ms since the epoch. */
  readonly dueAt: number | null
  /** Attempts of a step that have failed. */
  readonly failed: number
  readonly maxAttempts: number | null
  /** What the last of them failed with. */
  readonly error: { readonly name: string; readonly message: string } | null
  readonly child: { readonly id: string; readonly runId: string } | null
  /** The last event that is about it; 0: none is. */
  readonly seq: number
}

const settling: ReadonlySet<RecordedEvent['type']> = new Set([
  'StepCompleted',
  'StepFailed',
  'StepSkipped',
  'TimerFired',
  'TimerCancelled',
  'SignalReceived',
  'ChildCompleted',
  'ChildFailed',
] as const)

/**
 * The operations that were asked for and not settled, in the order of asking (O1, O2).
 * @param waits what the parked run left behind; null: it is not parked, or nobody knows
 * @example openOperations(events, null) // [{ op: 3, kind: 'timer', name: 'sleep', dueAt: 1767225600000, … }]
 */
export function openOperations(events: readonly RecordedEvent[], waits: readonly Wait[] | null): OpenOperation[] {
  const open = new Map<number, OpenOperation>()
  for (const event of events) {
    if (event.op === null || event.op === 0) continue
    if (settling.has(event.type)) open.delete(event.op)
    else apply(open, event, event.op)
  }
  const found = waits === null ? [...open.values()] : waits.map((wait) => merged(wait, open.get(wait.op)))
  return found.sort((a, b) => a.op - b.op)
}

function apply(open: Map<number, OpenOperation>, { type, name, facts, payload, at, seq }: RecordedEvent, op: number) {
  const known = open.get(op)
  const base: OpenOperation = known ?? {
    op,
    kind: 'step',
    name: name ?? `operation ${op}`,
    where: facts?.where ?? null,
    since: at,
    dueAt: null,
    failed: 0,
    maxAttempts: null,
    error: null,
    child: null,
    seq,
  }
  switch (type) {
    case 'StepScheduled':
      open.set(op, { ...base, since: facts?.began ?? at, seq })
      return
    case 'AttemptFailed': {
      const failed = facts?.attempt ?? base.failed + 1
      const error = payload === null ? null : briefly(decodeError(payload))
      open.set(op, { ...base, failed, error, dueAt: facts?.dueAt ?? null, seq })
      return
    }
    case 'TimerStarted': {
      const kind = facts?.kind === 'signal' ? 'signal' : 'timer'
      open.set(op, { ...base, kind, dueAt: facts?.dueAt ?? null, seq })
      return
    }
    case 'ChildStarted': {
      const { id, runId } = facts ?? {}
      const child = id === undefined || runId === undefined ? null : { id, runId }
      open.set(op, { ...base, kind: 'child', child, seq })
      return
    }
    default:
      return
  }
}

function merged(wait: Wait, known: OpenOperation | undefined): OpenOperation {
  return {
    op: wait.op,
    kind: wait.kind,
    name: wait.name,
    where: wait.where ?? known?.where ?? null,
    since: wait.askedAt,
    dueAt: wait.dueAt ?? null,
    failed: Math.max(wait.attempts ?? 0, known?.failed ?? 0),
    maxAttempts: wait.maxAttempts ?? null,
    error: known?.error ?? null,
    child: known?.child ?? null,
    seq: known?.seq ?? 0,
  }
}

/** Name and message of an error, on one line. */
export function briefly({ name, message }: { readonly name: string; readonly message: string }): {
  name: string
  message: string
} {
  const line = message.replace(/\s*\n\s*/g, ' ')
  return { name, message: line.length > 200 ? `${line.slice(0, 199)}…` : line }
}
