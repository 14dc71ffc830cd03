import { newId } from '../../core/ids.js'
import type { ClosedUnowned, InboxMessage, MessageAnswer, MessageRequest, UpdateAnswer } from '../port.js'
import { accept, type Run, record, type State } from './state.js'

/** The id of the message that tells a child that its parent has closed. */
export const toldByParent = 'parent closed'

export function postMessages(state: State, messages: readonly MessageRequest[]): MessageAnswer[] {
  return messages.map((message) => {
    const run = state.find(message.run)
    if (run === undefined) return { runId: null, closed: null }
    const { runId } = run
    // What was accepted before the run closed stays accepted when it is sent again.
    if (message.messageId !== null && run.messageIds.has(message.messageId)) return { runId, closed: null }
    if (run.closedAt !== null) return { runId, closed: run.status }
    const { kind, name, payload } = message
    const messageId = message.messageId ?? (kind === 'signal' ? newId('msg') : null)
    accept(run, { kind, name, payload, messageId }, state.at())
    return { runId, closed: null }
  })
}

/** The messages that wait for each run, oldest first, with the count that they are part of. */
export function readMessages(
  state: State,
  runIds: readonly string[],
): Map<string, { msgs: number; messages: InboxMessage[] }> {
  const found = new Map<string, { msgs: number; messages: InboxMessage[] }>()
  for (const runId of runIds) {
    const run = state.runs.get(runId)
    if (run !== undefined) found.set(runId, { msgs: run.msgs, messages: messagesOf(run) })
  }
  return found
}

export function messagesOf(run: Run): InboxMessage[] {
  return Array.from(run.inbox.values(), ({ at: _at, ...message }) => message)
}

/** Closes a run that nobody owns; the claim is counted up, so no former owner can write to it afterwards. */
export function closeUnowned(
  state: State,
  runId: string,
  how: 'terminate' | 'cancelBeforeBegin',
  reason: string | null,
): ClosedUnowned | null {
  const run = state.runs.get(runId)
  if (run === undefined || run.owner !== null || run.closedAt !== null) return null
  if (how === 'cancelBeforeBegin' && run.claim > 0) return null
  const at = state.at()
  const facts = (fields: object) => JSON.stringify({ ...fields, ...(reason === null ? {} : { reason }) })
  if (how === 'terminate') record(run, { type: 'RunTerminated', facts: facts({}), at })
  else {
    record(run, { type: 'CancelRequested', facts: facts({}), at })
    record(run, { type: 'RunCancelled', facts: facts({ neverBegan: true }), at })
  }
  state.close(run, how === 'terminate' ? 'terminated' : 'cancelled', at)
  run.due = null
  run.waits = null
  run.claim++
  for (const child of state.open) if (child.parentRunId === runId) state.chores.set(runId, at)
  return { parent: tellParent(state, run, null, at) }
}

/** Tells a parent that is open what came of its child; its run id, if it was told. */
export function tellParent(state: State, child: Run, payload: string | null, at: number): string | null {
  const parent = child.parentRunId === null ? undefined : state.runs.get(child.parentRunId)
  if (parent === undefined || parent.closedAt !== null) return null
  accept(parent, { kind: 'child', name: `${child.parentOp}:${child.status}`, payload, messageId: null }, at)
  return parent.runId
}

/** What is known of updates that were sent: the answer, or the end of a run that gave none. In the order of asking. */
export function readAnswers(
  state: State,
  updates: readonly { readonly runId: string; readonly messageId: string }[],
): UpdateAnswer[] {
  return updates.map(({ runId, messageId }) => {
    const run = state.runs.get(runId)
    if (run === undefined) return { answer: null, closed: null, successor: null }
    const seq = run.messageIds.get(messageId) ?? null
    const event = seq === null ? undefined : run.history[seq - 1]
    return {
      answer: event === undefined ? null : { accepted: event.type === 'UpdateCompleted', payload: event.payload },
      closed: run.closedAt === null ? null : run.status,
      successor: successorOf(run),
    }
  })
}

/** The run that follows one that continued as new. */
export function successorOf(run: Run): string | null {
  if (run.status !== 'continued') return null
  return JSON.parse(run.history.at(-1)?.facts ?? '{}').runId ?? null
}
