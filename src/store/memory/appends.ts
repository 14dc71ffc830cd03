/** The writes of a worker to histories, fenced: by the worker's entry, the run's owner and claim, and the event before. */
import { parseJson } from '../../core/json.js'
import type { AppendAnswer, AppendEvent } from '../port.js'
import { type Run, record, type State } from './state.js'

const none: ReadonlySet<string> = new Set()

export function appendEvents(
  state: State,
  workerId: string,
  batch: string,
  events: readonly AppendEvent[],
  real: number,
): AppendAnswer {
  if (!state.workers.has(workerId)) return { at: 0, lost: none, refused: none, fenced: true }
  const at = state.at()
  // What was there before: an event of this batch is no reason to take another whose predecessor was missing.
  const before = new Map<string, number>()
  for (const { runId } of events) before.set(runId, state.runs.get(runId)?.history.length ?? 0)
  const answered = new Set<string>()
  for (const event of events) {
    const { runId, claim, seq, firstSeq, type, op, name, payload, facts, child } = event
    const run = state.owned(workerId, runId, claim)
    if (run === undefined || before.get(runId)! < firstSeq - 1) continue
    const refused = child !== null && !startChild(state, run, event, at, real)
    // Somebody has written it already: this very batch, perhaps.
    if (seq !== run.history.length + 1) continue
    record(run, {
      ...{ type: refused ? 'ChildFailed' : type, op, name, facts, at, batch },
      payload: refused ? child.conflict : payload,
    })
    if (event.inboxN !== null) run.inbox.delete(event.inboxN)
    if (event.answers !== null && run.messageIds.has(event.answers)) {
      run.messageIds.set(event.answers, seq)
      answered.add(runId)
    }
  }
  if (answered.size > 0) state.hints.publish([{ kind: 'answered', runIds: [...answered] }])
  return answerOf(state, batch, events, at)
}

/** What of the batch stands in the histories, by this try or by an earlier one that nobody heard of. */
function answerOf(state: State, batch: string, events: readonly AppendEvent[], at: number): AppendAnswer {
  const lost = new Set<string>()
  const refused = new Set<string>()
  let writtenAt: number | undefined
  for (const { runId, seq, child } of events) {
    const event = state.runs.get(runId)?.history[seq - 1]
    if (event?.batch !== batch) {
      lost.add(runId)
      continue
    }
    writtenAt ??= event.at
    if (child !== null && event.type === 'ChildFailed') refused.add(child.runId)
  }
  return { at: writtenAt ?? at, lost, refused, fenced: false }
}

/** A child is there exactly when its parent's history says so. False: an open run has its id, or it is there already. */
function startChild(state: State, parent: Run, { op, child }: AppendEvent, at: number, real: number): boolean {
  const { runId, id, workflow, version, queue, priority, timeoutMs, payload, facts, attributes } = child!
  const run = state.insert(
    {
      ...{ runId, id, workflow, queue, priority, due: at, createdAt: at },
      version: version ?? state.liveVersion(workflow, real) ?? 0,
      deadline: timeoutMs === null ? null : at + timeoutMs,
    },
    {
      status: 'pending',
      attributes: attributes === null ? null : parseJson(attributes),
      parent: { runId: parent.runId, op, close: child!.parentClosePolicy },
    },
  )
  if (run === undefined) return false
  record(run, { type: 'RunStarted', op: 0, payload, facts, at })
  return true
}
