/** What becomes of runs when their worker lets go of them, with all that others hear of it. */
import type { Hint } from '../../core/hint.js'
import type { RunStatus } from '../../core/types.js'
import type { ChangeAnswer, RowAnswer, RowChange } from '../port.js'
import { tellParent } from './messages.js'
import { accept, type Run, record, type State } from './state.js'

/** A result up to this many bytes goes along with the hint that its run has closed. */
const maxHintBytes = 4_000

export function changeRuns(state: State, workerId: string, changes: readonly RowChange[], real: number): ChangeAnswer {
  if (!state.workers.has(workerId)) return { at: 0, others: new Map(), fenced: true }
  const at = state.at()
  const others = new Map<string, Exclude<RowAnswer, 'changed'>>()
  const closed: RowChange[] = []
  const told = new Set<string>()
  const ready = new Set<string>()
  // Before anything is changed: all of it happens, or nothing.
  for (const change of changes) checkSeq(state.owned(workerId, change.runId, change.claim), change)
  for (const change of changes) {
    const run = state.owned(workerId, change.runId, change.claim)
    if (run === undefined || (change.seen !== null && change.seen !== run.msgs)) {
      const answer = why(state, run, change)
      if (answer !== null) others.set(change.runId, answer)
      continue
    }
    apply(state, run, change, at)
    // Somebody may stand in line for its slot.
    if (state.limits.size > 0) ready.add(run.queue)
    if (change.terminal === null) continue
    closed.push(change)
    const { payload } = change.terminal
    const parent = change.hasParent && change.status !== 'continued' ? tellParent(state, run, payload, at) : null
    if (parent !== null) told.add(parent)
    if (change.hasChildren) state.chores.set(run.runId, at)
    if (change.successor !== null) {
      succeed(state, run, change, at, real)
      ready.add(run.queue)
    }
  }
  state.hints.publish([
    ...(told.size > 0 ? [{ kind: 'message' as const, runIds: [...told] }] : []),
    ...(ready.size > 0 ? [{ kind: 'ready' as const, queues: [...ready] }] : []),
    ...closedHints(closed),
  ])
  return { at, others, fenced: false }
}

/** The worker counts the events of its run: that another stands there is a fault, as it is where the key says so. */
function checkSeq(run: Run | undefined, { runId, terminal }: RowChange): void {
  if (run === undefined || terminal === null || terminal.seq === run.history.length + 1) return
  throw new Error(
    `change: expected the closing event of run ${runId} to be number ${run.history.length + 1}, got number ${terminal.seq}`,
  )
}

/** Null: it was done before; a run that this worker let go of and that nobody has claimed since has still its claim. */
function why(state: State, owned: Run | undefined, { runId, claim }: RowChange): 'messages' | 'lost' | null {
  if (owned !== undefined) return 'messages'
  const run = state.runs.get(runId)
  return run?.claim === claim && run.owner === null ? null : 'lost'
}

function apply(state: State, run: Run, change: RowChange, at: number): void {
  const { status, due, waits, problem, error, terminal } = change
  run.owner = null
  run.crashes = 0
  run.crashSeq = 0
  run.seen = run.msgs
  run.waits = waits
  run.problem = problem
  run.due = status === 'pending' ? (due ?? at) : due
  run.error = error === null ? null : { ...error }
  if (terminal === null) {
    run.status = status
    return
  }
  const { type, payload, facts } = terminal
  record(run, { type, payload, facts, at })
  state.close(run, status, at)
}

/** The run that goes on for one that continued as new, with the messages that were not read. */
function succeed(state: State, run: Run, { successor, terminal }: RowChange, at: number, real: number): void {
  const { runId, version, unread } = successor!
  const { id, workflow, queue, priority, deadline, createdAt, attributes, parentRunId, parentOp, parentClose } = run
  const next = state.insert(
    {
      ...{ runId, id, workflow, queue, priority, due: at },
      version: version ?? state.liveVersion(workflow, real) ?? run.version,
      // Later than its predecessor by the clock too: by an id is meant the latest run under it.
      createdAt: Math.max(at, createdAt + 1),
      deadline: deadline === null ? null : at + (deadline - createdAt),
    },
    {
      status: 'pending',
      attributes,
      parent: parentRunId === null ? null : { runId: parentRunId, op: parentOp, close: parentClose },
    },
  )
  if (next === undefined) throw new Error(`change: run ${runId} is there already`)
  record(next, {
    type: 'RunStarted',
    op: 0,
    payload: terminal!.payload,
    facts: JSON.stringify({ runId: run.runId, ...slotOf(run) }),
    at,
  })
  const inbox = [...run.inbox.values()].filter(({ kind }) => kind === 'signal' || kind === 'update' || kind === 'pause')
  for (const { n } of inbox) run.inbox.delete(n)
  // Those that it took in and did not come to read are older than those that it did not take in.
  for (const message of unread) accept(next, message, at)
  for (const message of inbox) accept(next, message, message.at)
}

/** It is for the same slot. */
function slotOf({ history }: Run): object {
  const { schedule, scheduledFor } = JSON.parse(history[0]?.facts ?? '{}')
  return schedule === undefined ? {} : { schedule, scheduledFor }
}

/** Whoever waits for the only one hears what came of it, if that is short. */
function closedHints(closed: readonly RowChange[]): Hint[] {
  if (closed.length === 0) return []
  const runIds = closed.map(({ runId }) => runId)
  const [{ status, terminal }] = closed as [RowChange]
  const payload = terminal?.payload ?? null
  const tells = closed.length === 1 && status !== 'continued' && payload !== null
  if (!tells || Buffer.byteLength(payload) > maxHintBytes) return [{ kind: 'closed', runIds }]
  return [{ kind: 'closed', runIds, result: { status: status as RunStatus, payload } }]
}
