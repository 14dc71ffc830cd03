/**
 * What differs between two runs, from their histories alone.
 *
 * F1. Operations are compared by their place in the order of asking, up to the first that is another one; from there on
 *     by their keys (`charge#2`), for their places mean nothing any more.
 * F2. Ids, times, durations, versions and the lines in the source are told and are no differences: two runs of the same
 *     code on the same input are the same. So is an operation that is on record for one run alone and that neither of
 *     them saw settled: whether it is on record is a matter of milliseconds.
 */
import { decode, decodeError } from '../core/codec.js'
import { type EventType, isTerminal, type RecordedEvent } from '../core/events.js'
import { graphOf } from '../core/graph.js'
import type { ExportedRun } from '../core/history-file.js'
import type { StepStatus } from '../core/types.js'
import { compareValues, type ValueDifference } from './values.js'

export interface Side {
  readonly run: ExportedRun
  readonly events: readonly RecordedEvent[]
}

export interface RunSummary {
  readonly id: string
  readonly runId: string
  readonly workflow: string
  readonly version: number
  /** The row's status if it is known, else what the last event says, or `open`. */
  readonly status: string
  readonly startedAt: number
  /** To the last event. */
  readonly durationMs: number
  readonly events: number
  readonly operations: number
}

export interface OperationView {
  readonly op: number
  readonly key: string
  readonly kind: string
  readonly name: string
  readonly where: string | null
  readonly status: StepStatus
  readonly attempts: number
  readonly startedAt: number | null
  readonly durationMs: number | null
  /** What it came to; undefined while it has not, and of a timer. */
  readonly result: unknown
  readonly error: Error | null
}

export type Aspect = 'kind' | 'name' | 'status' | 'attempts' | 'result' | 'error'

export interface OperationDifference {
  /** Null: this run has no such operation. */
  readonly a: OperationView | null
  readonly b: OperationView | null
  /** Empty when one of the two has it alone. */
  readonly aspects: readonly Aspect[]
  /** Of the results, or of the errors. */
  readonly values: readonly ValueDifference[]
}

/** What stands in a history beside operations: messages to handlers, patches, attributes, a cancellation. */
export interface RecordDifference {
  readonly type: EventType
  /** Which of its type it is, from 1. */
  readonly nth: number
  readonly a: { readonly seq: number; readonly name: string | null } | null
  readonly b: { readonly seq: number; readonly name: string | null } | null
  readonly values: readonly ValueDifference[]
}

export interface Ending {
  /** `open`: the run goes on. */
  readonly status: 'open' | 'completed' | 'failed' | 'cancelled' | 'terminated' | 'continued'
  /** A result, an error, the input of the next run. */
  readonly value: unknown
}

export interface RunDiff {
  readonly a: RunSummary
  readonly b: RunSummary
  /** Nothing differs (F2). */
  readonly same: boolean
  readonly sameWorkflow: boolean
  readonly input: readonly ValueDifference[]
  /** Operations alike from the first on. */
  readonly alike: number
  /** The first that differs, then the others. */
  readonly operations: readonly OperationDifference[]
  readonly records: readonly RecordDifference[]
  /** Steps and children that took more than twice as long in one as in the other. */
  readonly durations: readonly { readonly key: string; readonly aMs: number; readonly bMs: number }[]
  readonly outcome: {
    readonly a: Ending
    readonly b: Ending
    readonly values: readonly ValueDifference[]
    readonly same: boolean
  }
}

/** Durations that differ by less than this are as good as equal, whatever their ratio. */
const noticeableMs = 10

/** @example diffRuns(await readHistory('order-42', {}), await readHistory('order-43', {})).operations[0] */
export function diffRuns(a: Side, b: Side): RunDiff {
  const [ofA, ofB] = [operationsOf(a.events), operationsOf(b.events)]
  const { alike, operations, pairs } = compareOperations(ofA, ofB)
  const input = compareValues(decode(a.events[0]!.payload), decode(b.events[0]!.payload))
  const records = compareRecords(a.events, b.events)
  const ends: [Ending, Ending] = [endingOf(a.events), endingOf(b.events)]
  const values = compareValues(ends[0].value, ends[1].value)
  const outcome = { a: ends[0], b: ends[1], values, same: ends[0].status === ends[1].status && values.length === 0 }
  const sameWorkflow = a.run.workflow === b.run.workflow
  return {
    a: summaryOf(a, ofA.length),
    b: summaryOf(b, ofB.length),
    same: sameWorkflow && input.length === 0 && operations.length === 0 && records.length === 0 && outcome.same,
    sameWorkflow,
    input,
    alike,
    operations,
    records,
    durations: pairs.flatMap(([one, other]) => slower(one, other)),
    outcome,
  }
}

function summaryOf({ run, events }: Side, operations: number): RunSummary {
  const [first, last] = [events[0]!, events.at(-1)!]
  return {
    id: run.id,
    runId: run.runId,
    workflow: run.workflow,
    version: run.version,
    status: typeof run.status === 'string' ? run.status : endingOf(events).status,
    startedAt: first.at,
    durationMs: last.at - first.at,
    events: events.length,
    operations,
  }
}

function endingOf(events: readonly RecordedEvent[]): Ending {
  const { type, payload, facts } = events.at(-1)!
  if (!isTerminal(type)) return { status: 'open', value: undefined }
  const status = type.slice('Run'.length).toLowerCase() as Exclude<Ending['status'], 'open'>
  if (status === 'completed' || status === 'continued') return { status, value: decode(payload) }
  return { status, value: payload === null ? facts?.reason : decodeError(payload) }
}

// ── operations ───────────────────────────────────────────────────────────────────────────────────

function operationsOf(events: readonly RecordedEvent[]): OperationView[] {
  const own = new Map<number, RecordedEvent[]>()
  for (const event of events) {
    if (event.op === null || event.op === 0) continue
    const list = own.get(event.op)
    if (list === undefined) own.set(event.op, [event])
    else list.push(event)
  }
  const ops = [...own.keys()].sort((a, b) => a - b)
  // The nodes of a graph stand in the order of asking, after the start.
  return graphOf(events)
    .nodes.slice(1)
    .map(({ key, name, kind, status, attempts, ...times }, i) => {
      const op = ops[i]!
      const [startedAt, endedAt] = [times.startedAt, times.endedAt].map((time) =>
        time === undefined ? null : Date.parse(String(time)),
      )
      const settling = own
        .get(op)!
        .findLast(({ type }) => /^(Step|Child)(Completed|Failed)$|^SignalReceived$/.test(type))
      const failed = settling?.type.endsWith('Failed') === true
      return {
        op,
        key,
        kind,
        name,
        where: own.get(op)!.find(({ facts }) => facts?.where !== undefined)?.facts?.where ?? null,
        status,
        attempts,
        startedAt: startedAt ?? null,
        durationMs: startedAt == null || endedAt == null ? null : endedAt - startedAt,
        result: settling === undefined || failed ? undefined : decode(settling.payload),
        error: failed && settling.payload !== null ? decodeError(settling.payload) : null,
      }
    })
}

type Pair = readonly [OperationView, OperationView]

function compareOperations(
  a: readonly OperationView[],
  b: readonly OperationView[],
): { alike: number; operations: OperationDifference[]; pairs: Pair[] } {
  const [ofA, ofB] = [by(a, 'op'), by(b, 'op')]
  const ops = [...new Set([...ofA.keys(), ...ofB.keys()])].sort((one, other) => one - other)
  const operations: OperationDifference[] = []
  const pairs: Pair[] = []
  let alike = 0
  for (const op of ops) {
    const [one, other] = [ofA.get(op) ?? null, ofB.get(op) ?? null]
    const difference = compareOperation(one, other)
    if (one !== null && other !== null) pairs.push([one, other])
    if (difference === null) {
      if (operations.length === 0 && one !== null && other !== null) alike++
      continue
    }
    operations.push(difference)
    if (!difference.aspects.some((aspect) => aspect === 'kind' || aspect === 'name')) continue
    pairs.pop()
    const rest = compareByKey(
      a.filter((each) => each.op >= op),
      b.filter((each) => each.op >= op),
      op,
    )
    operations.push(...rest.operations)
    pairs.push(...rest.pairs)
    break
  }
  return { alike, operations, pairs }
}

/** What follows the first operation `op` that is another one. That it is another one has been told already. */
function compareByKey(
  a: readonly OperationView[],
  b: readonly OperationView[],
  op: number,
): { operations: OperationDifference[]; pairs: Pair[] } {
  const [ofA, ofB] = [by(a, 'key'), by(b, 'key')]
  const operations: OperationDifference[] = []
  const pairs: Pair[] = []
  const alone = (one: OperationView | null, other: OperationView | null) => {
    const difference = (one ?? other)!.op === op ? null : compareOperation(one, other)
    if (difference !== null) operations.push(difference)
  }
  for (const one of a) {
    const other = ofB.get(one.key)
    if (other === undefined || other.kind !== one.kind) {
      alone(one, null)
      continue
    }
    pairs.push([one, other])
    const difference = compareOperation(one, other)
    if (difference !== null) operations.push(difference)
  }
  for (const other of b) {
    if (ofA.get(other.key)?.kind !== other.kind) alone(null, other)
  }
  return { operations, pairs }
}

function by<K extends 'op' | 'key'>(views: readonly OperationView[], field: K): Map<OperationView[K], OperationView> {
  return new Map(views.map((view) => [view[field], view]))
}

/** Null: they are alike, or differ in nothing that counts (F2). */
function compareOperation(a: OperationView | null, b: OperationView | null): OperationDifference | null {
  if (a === null || b === null) {
    const { status } = (a ?? b)!
    return status === 'completed' || status === 'failed' ? { a, b, aspects: [], values: [] } : null
  }
  if (a.kind !== b.kind || a.name !== b.name) {
    const aspects: Aspect[] = [
      ...(a.kind === b.kind ? [] : ['kind' as const]),
      ...(a.name === b.name ? [] : ['name' as const]),
    ]
    return { a, b, aspects, values: [] }
  }
  const results = compareValues(a.result, b.result)
  const errors = compareValues(a.error, b.error)
  const aspects: Aspect[] = []
  if (a.status !== b.status) aspects.push('status')
  if (a.attempts !== b.attempts) aspects.push('attempts')
  if (results.length > 0) aspects.push('result')
  if (errors.length > 0) aspects.push('error')
  return aspects.length === 0 ? null : { a, b, aspects, values: [...results, ...errors] }
}

function slower(a: OperationView, b: OperationView): RunDiff['durations'] {
  const [aMs, bMs] = [a.durationMs, b.durationMs]
  if (aMs === null || bMs === null || !['step', 'child'].includes(a.kind)) return []
  const [less, more] = aMs < bMs ? [aMs, bMs] : [bMs, aMs]
  return more > 2 * less && more - less >= noticeableMs ? [{ key: a.key, aMs, bMs }] : []
}

// ── records ──────────────────────────────────────────────────────────────────────────────────────

function compareRecords(a: readonly RecordedEvent[], b: readonly RecordedEvent[]): RecordDifference[] {
  const [ofA, ofB] = [recordsOf(a), recordsOf(b)]
  return [...new Set([...ofA.keys(), ...ofB.keys()])].flatMap((type) => {
    const [one, other] = [ofA.get(type) ?? [], ofB.get(type) ?? []]
    return Array.from({ length: Math.max(one.length, other.length) }, (_, i) =>
      compareRecord(type, i + 1, one[i], other[i]),
    ).filter((difference) => difference !== null)
  })
}

function recordsOf(events: readonly RecordedEvent[]): Map<EventType, RecordedEvent[]> {
  const found = new Map<EventType, RecordedEvent[]>()
  for (const event of events) {
    if (event.op !== null || isTerminal(event.type)) continue
    found.set(event.type, [...(found.get(event.type) ?? []), event])
  }
  return found
}

function compareRecord(
  type: EventType,
  nth: number,
  a: RecordedEvent | undefined,
  b: RecordedEvent | undefined,
): RecordDifference | null {
  const brief = (event: RecordedEvent | undefined) =>
    event === undefined ? null : { seq: event.seq, name: event.name }
  const values = a === undefined || b === undefined ? [] : compareValues(contentOf(a), contentOf(b))
  const alike = a !== undefined && b !== undefined && a.name === b.name && values.length === 0
  return alike ? null : { type, nth, a: brief(a), b: brief(b), values }
}

function contentOf({ type, payload, facts }: RecordedEvent): unknown {
  if (payload === null) return facts?.reason
  return type === 'UpdateRejected' ? decodeError(payload) : decode(payload)
}
