/** A run as people look at it: its row, its history, and what can be read from them. */
import { decode, decodeError } from '../core/codec.js'
import { RunNotFoundError } from '../core/errors.js'
import { isTerminal, payloadField, type RecordedEvent } from '../core/events.js'
import { graphOf, type PendingOperation } from '../core/graph.js'
import { toHistoryEvent } from '../core/history-event.js'
import { openOperations } from '../core/pending.js'
import type { Attributes, RunGraph, RunStatus } from '../core/types.js'
import type { PlacedEvent } from '../store/overview.js'
import type { RunRow, Store } from '../store/port.js'
import { plain, replaceUnusual } from './json.js'

export interface StepView {
  readonly key: string
  readonly kind: string
  readonly status: string
  readonly attempts: number
  readonly startedAt?: string
  readonly endedAt?: string
  readonly durationMs?: number
  /** When it is due, if it waits for a time. */
  readonly dueAt?: string
  /** Keys of what it came after. */
  readonly after: readonly string[]
  /** What its attempts failed with. */
  readonly errors: readonly { readonly attempt: number; readonly name: string; readonly message: string }[]
  /** `file:line` that asked for it. */
  readonly where?: string
}

export interface RunView {
  readonly row: RunRow
  readonly events: readonly RecordedEvent[]
  readonly graph: RunGraph
  readonly steps: readonly StepView[]
  readonly problem: { readonly code: string; readonly message: string; readonly where?: string } | null
}

type Wait = PendingOperation & { readonly dueAt?: number | null; readonly where?: string }

/** @throws RunNotFoundError */
export async function readRun(store: Store, ref: string): Promise<RunView> {
  const row = await store.find(ref)
  if (row === null) throw new RunNotFoundError(ref)
  const events = await store.history(row.runId)
  const waits: Wait[] = row.waits === null ? [] : JSON.parse(row.waits)
  const graph = graphOf(events, waits, row.status)
  return {
    row,
    events,
    graph,
    steps: stepsOf(graph, events, waits),
    problem: row.problem === null ? null : JSON.parse(row.problem),
  }
}

/** The nodes of a graph but its start, with what else is known of them. */
export function stepsOf(graph: RunGraph, events: readonly RecordedEvent[], waits: readonly Wait[]): StepView[] {
  const after = new Map<string, string[]>()
  for (const { from, to } of graph.edges) after.set(to, [...(after.get(to) ?? []), from])
  const ofOp = new Map<number, RecordedEvent[]>()
  for (const event of events) {
    if (event.op !== null && event.op > 0) ofOp.set(event.op, [...(ofOp.get(event.op) ?? []), event])
  }
  const waiting = new Map(waits.map((wait) => [wait.op, wait]))
  // The nodes of a graph stand in the order of asking, after the start.
  const ops = [...new Set([...ofOp.keys(), ...waiting.keys()])].sort((a, b) => a - b)
  return graph.nodes.slice(1).map((node, i) => {
    const own = ofOp.get(ops[i]!) ?? []
    const wait = waiting.get(ops[i]!)
    const { startedAt, endedAt } = node as { startedAt?: string; endedAt?: string }
    const due = wait?.dueAt ?? null
    const where = own.find(({ facts }) => facts?.where !== undefined)?.facts?.where ?? wait?.where
    return {
      key: node.key,
      kind: node.kind,
      status: node.status,
      attempts: node.attempts,
      ...(startedAt === undefined ? {} : { startedAt }),
      ...(endedAt === undefined ? {} : { endedAt }),
      ...(startedAt === undefined || endedAt === undefined
        ? {}
        : { durationMs: Date.parse(endedAt) - Date.parse(startedAt) }),
      ...(due === null || endedAt !== undefined ? {} : { dueAt: new Date(due).toISOString() }),
      after: after.get(node.key) ?? [],
      errors: own.flatMap((event) => errorsOf(event)),
      ...(where === undefined ? {} : { where }),
    }
  })
}

function errorsOf({ type, payload, facts }: RecordedEvent): StepView['errors'] {
  if ((type !== 'AttemptFailed' && type !== 'StepFailed') || payload === null) return []
  const { name, message } = decodeError(payload)
  return [{ attempt: facts?.attempt ?? 1, name, message }]
}

// ── as it was ────────────────────────────────────────────────────────────────────────────────────

/**
 * The run as it was after event `seq` (from 1 to the number of its events), by that part of its history alone: what was
 * pending then and is in no event is not in it, nor are workers and problems.
 */
export function viewAt({ row, events }: RunView, seq: number): RunView {
  const known = events.slice(0, seq)
  const status = statusAfter(known, row.status)
  const graph = graphOf(known, [], status)
  const closed = row.closedAt !== null && status === row.status
  return {
    row: {
      ...row,
      status,
      owner: null,
      due: null,
      waits: null,
      problem: null,
      startedAt: known.length > 1 ? row.startedAt : null,
      closedAt: closed ? row.closedAt : null,
      error: closed ? row.error : null,
      attributes: attributesAfter(row.attributes, events, seq),
      historyLength: known.length,
    },
    events: known,
    graph,
    steps: stepsOf(graph, known, []),
    problem: null,
  }
}

function statusAfter(events: readonly RecordedEvent[], last: RunStatus): RunStatus {
  if (events.some(({ type }) => isTerminal(type))) return last
  if (events.length < 2) return 'pending'
  const open = openOperations(events, null)
  const executes = open.some(({ kind, dueAt }) => kind === 'step' && dueAt === null)
  return executes || open.length === 0 ? 'running' : 'waiting'
}

/** What a start gave an attribute that the run itself has set later is not on record. */
function attributesAfter(attributes: Attributes | null, events: readonly RecordedEvent[], seq: number) {
  const result: Record<string, unknown> = { ...attributes }
  const given = events.filter(({ type, payload }) => type === 'AttributesSet' && payload !== null)
  const before: Record<string, unknown> = {}
  for (const event of given) {
    const set = plain(decode(event.payload)) as Record<string, unknown>
    if (event.seq <= seq) Object.assign(before, set)
    for (const key of Object.keys(set)) delete result[key]
  }
  return { ...result, ...before } as Attributes
}

// ── as JSON ──────────────────────────────────────────────────────────────────────────────────────

export function viewJson({ row, events, graph, steps, problem }: RunView): object {
  const last = events.at(-1)
  return {
    run: {
      ...rowJson(row),
      input: events[0] === undefined ? null : plain(decode(events[0].payload)),
      ...(last?.type === 'RunCompleted' ? { output: plain(decode(last.payload)) } : {}),
      problem,
    },
    steps,
    graph,
  }
}

function rowJson(row: RunRow) {
  const { waits: _, problem: __, owner, due, createdAt, startedAt, closedAt, deadline, ...rest } = row
  const date = (ms: number | null) => (ms === null ? null : new Date(ms).toISOString())
  return {
    ...rest,
    createdAt: date(createdAt),
    startedAt: date(startedAt),
    closedAt: date(closedAt),
    deadline: date(deadline),
    due: date(due),
    worker: owner,
  }
}

/** What is known of a run without its history. */
export function summaryJson(row: RunRow) {
  return {
    ...rowJson(row),
    problem: row.problem === null ? null : (JSON.parse(row.problem) as object),
    waits: row.waits === null ? [] : (JSON.parse(row.waits) as object[]),
  }
}

/** Payloads of more bytes than this are told by their length where little is wanted. */
export const maxBriefBytes = 2_048

const maxBriefMessage = 500

/** `brief`: what is longer than `maxBriefBytes` is `{ omitted: <bytes> }`; of an error its name and message are left. */
export function historyJson(events: readonly PlacedEvent[], brief = false): unknown[] {
  return events.map((event) => {
    const { data, ...rest } = toHistoryEvent(event)
    if (data === undefined) return rest
    const { error, ...values } = data
    const all: Record<string, unknown> = {
      ...(plain(values) as object),
      ...(error === undefined ? {} : { error }),
    }
    const field = payloadField[event.type]
    if (field !== undefined && event.omitted !== undefined) all[field] = { omitted: event.omitted }
    else if (brief && field !== undefined && all[field] !== undefined) all[field] = briefly(all[field])
    return { ...rest, data: all }
  })
}

function briefly(value: unknown): unknown {
  const bytes = Buffer.byteLength(JSON.stringify(value, replaceUnusual))
  if (bytes <= maxBriefBytes) return value
  if (!(value instanceof Error)) return { omitted: bytes }
  return { name: value.name, message: value.message.slice(0, maxBriefMessage), omitted: bytes }
}
