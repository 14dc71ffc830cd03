/**
 * The picture of a run, drawn from its history alone.
 *
 * G1. One node for the start and one for each operation that an event or `pending` mentions.
 * G2. No two nodes have one key, whatever the user calls the steps: a key without `#n` at its end is the first node of
 *     that name, and a name that itself ends so (or is `start`) never stands alone.
 * G3. A node's key does not change while the run grows: which of its name it is, is recorded with the operation.
 * G4. An edge for each recorded cause, and no other.
 */
import { type EventFacts, isTerminal, type RecordedEvent } from './events.js'
import { parseRanges } from './frontier.js'
import type { OperationKind } from './operation.js'
import { isClosed } from './statuses.js'
import type { RunGraph, RunStatus, StepStatus } from './types.js'

/** An operation that was asked for, and that no event mentions yet: the waits of a parked run, a step in its first try. */
export interface PendingOperation {
  readonly op: number
  readonly kind: OperationKind
  readonly name: string
  /** Which of its name it is, from 1; 1 unless given. */
  readonly nth?: number
  /** Causes, as ranges of operation indices. */
  readonly causes: string
  /** ms since the epoch. */
  readonly askedAt: number
  /** Attempts that have begun. */
  readonly attempts?: number
}

interface Node {
  readonly op: number
  readonly name: string
  kind: string
  status: StepStatus
  attempts: number
  nth: number | undefined
  causes: string | undefined
  startedAt: number | undefined
  endedAt: number | undefined
}

/**
 * The graph of a run, or of any prefix of its history. Operations that a closed run never settled are `skipped`: they
 * were cancelled, or nobody waited for them.
 *
 * @param pending what no event mentions yet; of a closed run too, if it is known
 * @param runStatus says that the run is closed when its last event is not among `events`
 * @example graphOf(events).edges // [{ from: 'start', to: 'validate' }, …]
 */
export function graphOf(
  events: readonly RecordedEvent[],
  pending: readonly PendingOperation[] = [],
  runStatus?: RunStatus,
): RunGraph {
  const nodes = new Map<number, Node>()
  let startedAt: number | undefined
  let closed = runStatus !== undefined && isClosed(runStatus)
  for (const event of events) {
    if (event.type === 'RunStarted') startedAt = event.at
    else if (isTerminal(event.type)) closed = true
    else if (event.op !== null && event.op > 0) apply(nodeOf(nodes, event), event)
  }
  for (const operation of pending) if (!nodes.has(operation.op)) nodes.set(operation.op, fromPending(operation))

  const inOrder = [...nodes.values()].sort((a, b) => a.op - b.op)
  const keys = keysOf(inOrder)
  const start: RunGraph['nodes'][number] = {
    key: startKey,
    name: startKey,
    kind: 'start',
    status: startedAt === undefined ? 'pending' : 'completed',
    attempts: 1,
    ...times(startedAt, startedAt),
  }
  return {
    nodes: [start, ...inOrder.map((node) => toPublic(node, keys.get(node.op)!, closed))],
    edges: edgesOf(inOrder, keys),
  }
}

function nodeOf(nodes: Map<number, Node>, event: RecordedEvent): Node {
  const known = nodes.get(event.op!)
  if (known !== undefined) return known
  const node: Node = {
    op: event.op!,
    name: event.name ?? `operation ${event.op}`,
    kind: kindOf(event),
    status: 'pending',
    attempts: 0,
    nth: undefined,
    causes: undefined,
    startedAt: undefined,
    endedAt: undefined,
  }
  nodes.set(node.op, node)
  return node
}

function fromPending({ op, kind, name, nth = 1, causes, askedAt, attempts = 0 }: PendingOperation): Node {
  // A wait has begun when it was asked for; a step has when its first attempt has.
  const begun = attempts > 0 || kind === 'timer' || kind === 'signal'
  return {
    op,
    name,
    kind: kindFor(kind, name),
    status: begun ? 'running' : 'pending',
    attempts,
    nth,
    causes,
    startedAt: begun ? askedAt : undefined,
    endedAt: undefined,
  }
}

function apply(node: Node, { type, facts, at }: RecordedEvent): void {
  node.causes ??= facts?.causes
  node.nth ??= facts?.nth
  node.startedAt ??= facts?.began
  switch (type) {
    case 'StepScheduled':
    case 'TimerStarted':
    case 'ChildStarted':
    case 'UpdateReceived':
      node.startedAt ??= at
      if (node.status === 'pending') node.status = 'running'
      node.attempts = Math.max(node.attempts, 1)
      return
    case 'AttemptFailed':
      node.status = 'running'
      node.attempts = attemptOf(node, facts)
      return
    case 'StepCompleted':
    case 'SignalReceived':
    case 'ChildCompleted':
    case 'UpdateCompleted':
      settle(node, 'completed', facts, at)
      return
    case 'StepFailed':
    case 'ChildFailed':
    case 'UpdateRejected':
      settle(node, 'failed', facts, at)
      return
    case 'TimerFired':
      // A signal that did not come in time is a wait that ended without what it waited for.
      settle(node, node.kind === 'signal' ? 'skipped' : 'completed', facts, at)
      return
    case 'StepSkipped':
    case 'TimerCancelled':
      node.status = 'skipped'
      node.endedAt = at
      return
    default:
      return
  }
}

function settle(node: Node, status: StepStatus, facts: EventFacts | null, at: number): void {
  node.status = status
  node.attempts = attemptOf(node, facts)
  node.endedAt = at
}

/** An absent attempt means the first, also when it comes after an event that says more. */
function attemptOf(node: Node, facts: EventFacts | null): number {
  return Math.max(node.attempts, facts?.attempt ?? 1)
}

function kindOf(event: RecordedEvent): string {
  switch (event.type) {
    case 'TimerStarted':
    case 'TimerFired':
    case 'TimerCancelled':
      return kindFor(event.facts?.kind === 'signal' ? 'signal' : 'timer', event.name)
    case 'SignalReceived':
      return 'signal'
    case 'ChildStarted':
    case 'ChildCompleted':
    case 'ChildFailed':
      return 'child'
    case 'UpdateReceived':
    case 'UpdateCompleted':
    case 'UpdateRejected':
      return 'update'
    default:
      return event.facts?.kind ?? 'step'
  }
}

function kindFor(kind: OperationKind, name: string | null): string {
  if (kind === 'skip') return 'step'
  return kind === 'timer' && name === 'sleep' ? 'sleep' : kind
}

const startKey = 'start'

/** A key for each node, by operation. `nodes` are in the order of asking. */
function keysOf(nodes: readonly Node[]): Map<number, string> {
  const keys = new Map([[0, startKey]])
  // The start counts as the first of its name.
  const taken = new Map([[startKey, 1]])
  for (const { op, name, nth = 1 } of nodes) {
    const recorded = name === startKey ? nth + 1 : nth
    // Counting on is for histories in which the number was not recorded.
    const number = Math.max(recorded, (taken.get(name) ?? 0) + 1)
    taken.set(name, number)
    keys.set(op, number === 1 && !/#\d+$/.test(name) ? name : `${name}#${number}`)
  }
  return keys
}

function edgesOf(nodes: readonly Node[], keys: ReadonlyMap<number, string>): RunGraph['edges'] {
  const edges: RunGraph['edges'] = []
  // Steps that start together have the same causes, and these can be many.
  const sources = new Map<string, string[]>()
  for (const { op, causes = '' } of nodes) {
    const to = keys.get(op)!
    let from = sources.get(causes)
    if (from === undefined) {
      // A cause that no event mentions was cancelled before it did anything.
      from = parseRanges(causes).flatMap((cause) => keys.get(cause) ?? [])
      sources.set(causes, from)
    }
    for (const key of from) edges.push({ from: key, to })
  }
  return edges
}

function toPublic(node: Node, key: string, closed: boolean): RunGraph['nodes'][number] {
  const open = node.status === 'pending' || node.status === 'running'
  return {
    key,
    name: node.name,
    kind: node.kind,
    status: open && closed ? 'skipped' : node.status,
    attempts: node.attempts,
    ...times(node.startedAt, node.endedAt),
  }
}

function times(startedAt: number | undefined, endedAt: number | undefined): { startedAt?: string; endedAt?: string } {
  return {
    ...(startedAt === undefined ? {} : { startedAt: new Date(startedAt).toISOString() }),
    ...(endedAt === undefined ? {} : { endedAt: new Date(endedAt).toISOString() }),
  }
}
