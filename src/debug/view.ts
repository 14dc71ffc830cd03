/** What a replay shows, as plain data: for a terminal, for `--json`, for a process that asked another one. */
import { decode, decodeError } from '../core/codec.js'
import type { RecordedEvent } from '../core/events.js'
import type { Blockage, Outcome } from '../core/execution.js'
import type { Operation } from '../core/operation.js'
import { describeOutcome } from '../core/verify.js'
import type { LiveResult } from './live.js'
import { type Place, parsePlace } from './places.js'
import { type Frame, valueText } from './probe.js'
import type { Moment, Waiting } from './timeline.js'
import type { Whole } from './whole.js'

export interface OperationView {
  readonly op: number
  readonly kind: string
  readonly name: string
  /** `step "charge"`. */
  readonly text: string
  readonly where: string | undefined
}

export interface OpenedView {
  /** How many events the history has, and how many of them the code fits. */
  readonly events: number
  readonly fits: number
  /** The first event that tells of a failure, the end of the run included; null: there is none. */
  readonly firstFailure: number | null
  readonly outcome: string | null
  readonly blockage: Blockage | null
  readonly pending: readonly OperationView[]
  readonly live: readonly LiveResult[]
}

export interface MomentView {
  readonly seq: number
  readonly events: number
  readonly type: string
  readonly name: string | null
  /** ms since the epoch; and since the event before. */
  readonly at: number
  readonly sinceMs: number
  /** What the event brings; null: nothing. */
  readonly delivered: string | null
  /** The line that asked for what the event belongs to: as the code has it, else as it is on record. */
  readonly askedAt: Place | null
  readonly asked: readonly OperationView[]
  readonly ran: readonly Place[]
  readonly frames: readonly Frame[]
  readonly cut: boolean
  readonly logs: readonly string[]
  readonly pending: readonly (OperationView & { readonly waiting: readonly Waiting[] })[]
  /** Pending operations beyond those in `pending`. */
  readonly more: number
  /** `file:line` of each condition that the code waits for. */
  readonly conditions: readonly (string | undefined)[]
  readonly outcome: string | null
  readonly blockage: Blockage | null
  readonly live: readonly LiveResult[]
}

export function operationView(operation: Operation): OperationView {
  const { index, kind, name, where } = operation
  return { op: index, kind, name, text: operation.describe(), where }
}

/** What an event brings; null: nothing. */
export function deliveredText({ type, payload, facts }: RecordedEvent): string | null {
  if (/^(Step|Run|Child|Attempt)Failed$|^RunCancelled$|^RunTerminated$|Rejected$/.test(type)) {
    if (payload === null) return null
    const { name, message } = decodeError(payload)
    return `${name}: ${message}`
  }
  if (payload !== null) return valueText(decode(payload))
  if (/^(StepCompleted|ChildCompleted|SignalReceived)$/.test(type)) return 'undefined'
  if (facts?.dueAt !== undefined) return `due ${new Date(facts.dueAt).toISOString()}`
  return null
}

export function outcomeText(outcome: Outcome | null): string | null {
  return outcome === null ? null : describeOutcome(outcome)
}

const failing = /^(StepFailed|ChildFailed|AttemptFailed|RunFailed)$/

export function openedView(events: readonly RecordedEvent[], timeline: Whole): OpenedView {
  const { steps, outcome, blockage, pending, live } = timeline
  return {
    events: events.length,
    fits: blockage === null ? steps.length : Math.max(0, steps.length - 1),
    firstFailure: events.find(({ type }) => failing.test(type))?.seq ?? null,
    outcome: outcomeText(outcome),
    blockage,
    pending: pending.map(operationView),
    live,
  }
}

export function momentView(events: readonly RecordedEvent[], timeline: Whole, moment: Moment): MomentView {
  const { step, watched, logs, pending, more, outcome, blockage } = moment
  const { event, asked } = step
  const before = events[event.seq - 2]
  const own = timeline.steps.flatMap(({ asked }) => asked).find(({ index }) => index === event.op)
  return {
    seq: event.seq,
    events: events.length,
    type: event.type,
    name: event.name,
    at: event.at,
    sinceMs: before === undefined ? 0 : event.at - before.at,
    delivered: deliveredText(event),
    askedAt: parsePlace(own?.where ?? event.facts?.where),
    asked: asked.map(operationView),
    ran: watched.ran,
    frames: watched.frames,
    cut: watched.cut,
    logs: logs.map(
      ({ level, message, fields }) => `${level} ${message}${fields === undefined ? '' : ` ${valueText(fields)}`}`,
    ),
    pending: pending.map(({ operation, waiting }) => ({ ...operationView(operation), waiting })),
    more,
    conditions: step.conditions,
    outcome: outcomeText(outcome),
    blockage,
    live: timeline.live.filter(({ seq }) => seq === event.seq || (seq === null && event.seq === events.length)),
  }
}
