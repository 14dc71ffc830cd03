/** Where the code does not do what the history says it did: found, and put into words. */
import { NondeterminismError, StetError } from './errors.js'
import type { RecordedEvent } from './events.js'
import { describeOperation, type Operation, type OperationKind } from './operation.js'

/** Why a run cannot go on. */
export interface Blockage {
  readonly code: 'nondeterminism' | 'unrecorded_await'
  readonly message: string
  readonly where?: string | undefined
  readonly mismatch?: { readonly seq: number; readonly expected: string; readonly actual: string }
}

export interface Misfit {
  readonly expected: string
  readonly actual: string
  readonly where: string | undefined
}

/** What the code had come to when an event was delivered. */
export interface CodeState {
  readonly outcome: { readonly type: string } | null
  readonly pending: ReadonlySet<Operation>
}

/** An event that belongs to an operation finds it asked for, with the kind and name that it has. Null: it does. */
export function compareOperation(
  event: RecordedEvent,
  operation: Operation | undefined,
  { outcome, pending }: CodeState,
): Misfit | null {
  const kind = kindOf(event)
  if (operation?.kind === kind && operation.name === event.name) return null
  const expected = `operation ${event.op}: ${describeOperation(kind, event.name)}`
  if (operation === undefined) {
    const actual =
      outcome !== null
        ? 'the workflow had already returned'
        : `not asked for; the workflow waits for ${waits(pending) || 'nothing'}`
    return { expected, actual, where: [...pending].at(-1)?.where }
  }
  return { expected, actual: `operation ${event.op}: ${operation.describe()}`, where: operation.where }
}

const ends: Partial<Record<RecordedEvent['type'], string>> = {
  RunCompleted: 'completed',
  RunFailed: 'failed',
  RunCancelled: 'cancelled',
  RunContinued: 'continued',
}

/** A turn has ended after which the function waits for nothing that is recorded. */
export function nothingWakes(awaitsCondition: boolean): Blockage {
  const message = awaitsCondition
    ? 'the workflow awaits a condition, and nothing that stet knows of can make it true: no operation is pending and no signal or update has a handler.'
    : 'the workflow awaits something that is not recorded, so nothing that stet knows of can wake it. Wrap it in ctx.step(name, fn).'
  return { code: 'unrecorded_await', message }
}

/** The event that closes a run finds the function ended in the same way. Null: it does. */
export function compareEnd(event: RecordedEvent, { outcome, pending }: CodeState): Misfit | null {
  if (event.type === 'RunTerminated' || event.facts?.neverBegan) return null
  // The run's time was up, or its result could not be stored: not the function's own doing.
  if (event.type === 'RunFailed' && ['timeout', 'result'].includes(event.facts?.kind ?? '')) return null
  const expected = ends[event.type]
  if (expected === undefined || expected === outcome?.type) return null
  return {
    expected: `the run ${expected}`,
    actual:
      outcome === null
        ? `the workflow still waits for ${waits(pending) || 'something that is not recorded'}`
        : `the run ${outcome.type}`,
    where: [...pending].at(-1)?.where,
  }
}

export function blockageOf(event: RecordedEvent, { expected, actual, where }: Misfit): Blockage {
  const recordedAt = event.facts?.where
  const message =
    `the code does not fit the history at event ${event.seq} (${event.type}).\n` +
    `  expected: ${expected}${recordedAt === undefined ? '' : `, as recorded from ${recordedAt}`}\n` +
    `  got:      ${actual}${where === undefined || actual.includes(where) ? '' : `, at ${where}`}\n` +
    '  Keep the old code under its version, use ctx.patched(id) around the change, or fork the run.'
  return { code: 'nondeterminism', message, where, mismatch: { seq: event.seq, expected, actual } }
}

/** The typed error for a blockage. */
export function blockageError(blockage: Blockage): StetError {
  if (blockage.mismatch !== undefined) {
    return new NondeterminismError(blockage.message, { ...blockage.mismatch, where: blockage.where })
  }
  return new StetError(blockage.code, blockage.message)
}

function waits(pending: ReadonlySet<Operation>): string {
  const some = [...pending].slice(0, 5)
  return some
    .map((operation) => `${operation.describe()}${operation.where === undefined ? '' : ` at ${operation.where}`}`)
    .join(', ')
}

function kindOf(event: RecordedEvent): OperationKind {
  switch (event.type) {
    case 'SignalReceived':
      return 'signal'
    case 'TimerStarted':
    case 'TimerFired':
    case 'TimerCancelled':
      return event.facts?.kind === 'signal' ? 'signal' : 'timer'
    case 'StepSkipped':
      return 'skip'
    case 'ChildStarted':
    case 'ChildCompleted':
    case 'ChildFailed':
      return 'child'
    default:
      return 'step'
  }
}
