/** Runs that begin with a history of another's making. */
import { checkKept, childMissing } from '../keep-children.js'
import type { ExistingRun, ForkRequest, InboxMessage } from '../port.js'
import { successorOf, toldByParent } from './messages.js'
import { accept, type Run, record, type State } from './state.js'

/** Null: it was inserted, now or by an earlier try. Else the open run that has its id. */
export function forkRun(state: State, request: ForkRequest): ExistingRun | null {
  const { runId, id, workflow, version, queue, priority, timeoutMs, attributes, origin } = request
  const at = state.at()
  const before = state.find(id)
  // Checked before anything is changed: all of it happens, or nothing.
  const children = state.runs.has(runId) ? [] : keptChildren(state, request)
  const run = state.insert(
    {
      ...{ runId, id, workflow, version, queue, priority, due: at },
      // By an id is meant the latest run under it.
      createdAt: before === undefined ? at : Math.max(at, before.createdAt + 1),
      deadline: timeoutMs === null ? null : at + timeoutMs,
    },
    { status: 'pending', attributes },
  )
  if (run === undefined) return inTheWay(state, request)
  // What comes along with a first claim is only for histories of one event.
  run.claim = 1
  run.forkedFrom = { ...origin }
  for (const { facts, ...event } of request.events) {
    record(run, { ...event, facts: facts === null ? null : JSON.stringify(facts) })
  }
  for (const { messageId, answer } of request.updates) run.messageIds.set(messageId, answer)
  const from = request.redeliver ? state.runs.get(origin.runId) : undefined
  if (from !== undefined) knowMessages(run, from, origin.seq)
  for (const message of request.redeliver ? redelivered(from, origin.seq) : request.signals) {
    accept(run, { kind: 'signal', messageId: null, ...message }, at)
  }
  for (const { op, child } of children) {
    if (child.closedAt === null) child.parentRunId = runId
    else {
      const payload = child.history.at(-1)!.payload
      accept(run, { kind: 'child', name: `${op}:${child.status}`, payload, messageId: null }, child.closedAt)
    }
  }
  state.hints.publish([{ kind: 'ready', queues: [queue] }])
  return null
}

function inTheWay(state: State, { runId, id }: ForkRequest): ExistingRun | null {
  if (state.runs.has(runId)) return null
  const found = state.find(id)!
  const { workflow, status, history } = found
  return { runId: found.runId, workflow, status, open: true, payload: history[0]!.payload }
}

/** What was accepted once is not accepted again, but updates that the fork shares no answer to. */
function knowMessages(run: Run, from: Run, seq: number): void {
  const unanswered = new Set<string>()
  for (const { type, facts } of from.history.slice(seq - 1)) {
    if (type === 'UpdateReceived') unanswered.add(JSON.parse(facts ?? '{}').id)
  }
  for (const { kind, messageId } of from.inbox.values()) {
    if (kind !== 'signal' && messageId !== null) unanswered.add(messageId)
  }
  for (const [messageId, answer] of from.messageIds) {
    if (answer !== null || messageId === toldByParent || unanswered.has(messageId)) continue
    if (!run.messageIds.has(messageId)) run.messageIds.set(messageId, null)
  }
}

/** Signals that the origin took in from an event on, and then those that it has not taken in. */
function redelivered(from: Run | undefined, seq: number): Pick<InboxMessage, 'name' | 'payload' | 'messageId'>[] {
  if (from === undefined) return []
  const taken = from.history
    .slice(seq - 1)
    .filter(({ type, facts }) => type === 'SignalReceived' && JSON.parse(facts ?? '{}').again === undefined)
  const unread = [...from.inbox.values()].filter(({ kind }) => kind === 'signal')
  return [...taken.map(({ name, payload }) => ({ name, payload, messageId: null })), ...unread].map(
    ({ name, payload, messageId }) => ({ name, payload, messageId }),
  )
}

/** The children that the fork takes over: each as it is now, or the run that goes on for it. */
function keptChildren(state: State, { origin, children }: ForkRequest): { op: number; child: Run }[] {
  const originIsOpen = state.runs.get(origin.runId)?.closedAt === null
  const kept = children.map(({ op, runId }) => {
    let child = state.runs.get(runId)
    while (child !== undefined && child.status === 'continued') child = state.runs.get(successorOf(child) ?? '')
    if (child === undefined) childMissing(runId)
    return { op, child }
  })
  for (const { child } of kept) {
    if (child.closedAt === null) checkKept(child, { runId: origin.runId, open: originIsOpen })
  }
  return kept.sort((a, b) => a.op - b.op)
}
