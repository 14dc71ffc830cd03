/**
 * Why a run is where it is: facts in, the first true reason out, as a sentence with its evidence.
 *
 * Y1. Reasons are tried in the order in which they keep a run from going on: closed, blocked, paused; nobody can take
 *     it; it is not its turn; its owner is silent; it executes; it waits. The first that holds is the answer.
 * Y2. A sentence says nothing that its evidence does not hold, and every time in it stands both as a date and as a
 *     distance from the database's now.
 */
import { RunNotFoundError } from '../core/errors.js'
import { isTerminal, type RecordedEvent } from '../core/events.js'
import type { ExportedRun } from '../core/history-file.js'
import { openOperations, type Wait } from '../core/pending.js'
import type { RunDiagnosis, Store } from '../store/port.js'
import { whyClosed } from './why/closed.js'
import { whyReady } from './why/ready.js'
import type { Facts, Reason } from './why/reason.js'
import { whyRunning } from './why/running.js'
import { iso, timed } from './why/say.js'
import { awaitedChild, whyWaiting } from './why/waiting.js'

export type { Reason, WhyCode } from './why/reason.js'

/**
 * Why the run with this id (its latest) or run id is where it is. Of a child that it waits for, the child's own reason
 * comes along.
 * @throws RunNotFoundError
 * @example (await why(store, 'order-42')).message // 'waits for signal "approved" since …'
 */
export async function why(store: Store, ref: string): Promise<Reason> {
  const facts = await read(store, ref)
  if (facts === null) throw new RunNotFoundError(ref)
  const child = awaitedChild(facts)
  const ofChild = child === null ? null : await read(store, child.runId)
  return explain(facts, ofChild === null ? null : explain(ofChild, null))
}

async function read(store: Store, ref: string): Promise<Facts | null> {
  for (let tries = 1; ; tries++) {
    const diagnosis = await store.diagnose(ref)
    if (diagnosis === null) return null
    const events = await store.history(diagnosis.run.runId)
    // It closed between the two readings.
    const stale = diagnosis.run.closedAt === null && events.some(({ type }) => isTerminal(type))
    if (!stale || tries === 3) return factsOf(diagnosis, events)
  }
}

function factsOf(diagnosis: RunDiagnosis, events: readonly RecordedEvent[]): Facts {
  const { waits, status } = diagnosis.run
  const parked = waits !== null && status === 'waiting' ? (JSON.parse(waits) as Wait[]) : null
  return { diagnosis, events, open: openOperations(events, parked) }
}

/** The reason, from facts alone (Y1). `child`: why a child that it waits for is where it is. */
export function explain(facts: Facts, child: Reason | null): Reason {
  const { diagnosis, events } = facts
  const { run, now } = diagnosis
  const reason = first(facts, child)
  const cancel = events.find(({ type }) => type === 'CancelRequested')
  const updates = unanswered(events)
  const { schedule, scheduledFor } = events[0]?.facts ?? {}
  return {
    ...reason,
    evidence: {
      id: run.id,
      runId: run.runId,
      workflow: run.workflow,
      version: run.version,
      queue: run.queue,
      status: run.status,
      now: iso(now),
      ...(schedule === undefined ? {} : { schedule, scheduledFor: iso(scheduledFor!) }),
      ...(run.deadline === null || run.closedAt !== null ? {} : { deadline: iso(run.deadline) }),
      ...(cancel === undefined || run.closedAt !== null ? {} : { cancelRequestedAt: iso(cancel.at) }),
      ...(updates.length === 0 || run.closedAt !== null ? {} : { updatesInProgress: updates }),
      ...(diagnosis.queries === 0 ? {} : { unansweredQueries: diagnosis.queries }),
      ...reason.evidence,
    },
  }
}

function first(facts: Facts, child: Reason | null): Reason {
  const { run, now, unseen } = facts.diagnosis
  switch (run.status) {
    case 'blocked':
      return whyBlocked(facts)
    case 'paused':
      return whyPaused(run)
    case 'pending':
      return whyReady(facts)
    case 'running':
      return whyRunning(facts)
    case 'waiting':
      if (run.claim === 0 && run.due !== null && run.due > now) return whyReady(facts)
      // It should have been woken: what keeps it is what keeps a run that is ready.
      return (run.due !== null && run.due <= now) || unseen ? whyReady(facts) : whyWaiting(facts, child)
    default:
      return whyClosed(run, facts.events, now)
  }
}

function whyPaused({ problem }: RunDiagnosis['run']): Reason {
  const reason = problem === null ? null : oneLine(JSON.parse(problem).message)
  const message = `paused${reason === null ? '' : ` (${reason})`}: it goes on with \`stet resume\``
  return { code: 'paused', message, evidence: reason === null ? {} : { reason } }
}

function whyBlocked({ diagnosis: { run, crashes } }: Facts): Reason {
  const problem: { code: string; message: string; where?: string; mismatch?: object } =
    run.problem === null ? { code: 'unknown', message: 'for an unknown reason' } : JSON.parse(run.problem)
  const { code, message, where, mismatch } = problem
  const line = oneLine(message)
  const place = where === undefined || line.includes(where) ? '' : ` At ${where}.`
  const evidence = {
    problem: code,
    ...(where === undefined ? {} : { where }),
    ...(mismatch === undefined ? {} : { mismatch }),
    ...(run.due === null ? {} : { due: iso(run.due) }),
  }
  if (code === 'crash_loop') {
    return {
      code: 'quarantined',
      message: `quarantined after ${crashes} crashes: ${line}`,
      evidence: { ...evidence, crashes },
    }
  }
  const again = 'It goes on when a worker with other code starts, or with `stet resume`.'
  return { code: 'blocked', message: `blocked: ${line}${place} ${again}`, evidence }
}

/** A message of several lines as sentences. */
function oneLine(message: string): string {
  return message
    .split('\n')
    .map((line) => line.trim().replace(/ +/g, ' '))
    .reduce((all, line) => all + (/[.!?:]$/.test(all) ? ' ' : /^[A-Z]/.test(line) ? '. ' : '; ') + line)
}

/** Updates that were taken in and not answered yet. */
function unanswered(events: readonly RecordedEvent[]): (string | null)[] {
  const open = new Map<string, string | null>()
  for (const { type, facts, name } of events) {
    if (facts?.id === undefined) continue
    if (type === 'UpdateReceived') open.set(facts.id, name)
    else if (type === 'UpdateCompleted' || type === 'UpdateRejected') open.delete(facts.id)
  }
  return [...open.values()]
}

/**
 * The same of an exported history: why the run was where it was at the end of the file. Workers, queues and what has
 * happened since are not in a file, and the message says so.
 */
export function whyInFile(run: ExportedRun, events: readonly RecordedEvent[]): Reason {
  const last = events.at(-1)!
  const evidence = { id: run.id, runId: run.runId, workflow: run.workflow, version: run.version, queue: run.queue }
  if (isTerminal(last.type)) {
    const reason = whyClosed({ createdAt: events[0]!.at, startedAt: null, closedAt: last.at }, events, null)
    return { ...reason, evidence: { ...evidence, ...reason.evidence } }
  }
  const open = openOperations(events, null)
  const reason = whyWaiting({ diagnosis: null, events, open }, null)
  const message = `at the end of the file, event ${last.seq} at ${timed(last.at, null)}, it ${reason.message}; a file knows nothing of workers, of queues and of what came later`
  return {
    code: reason.code,
    message,
    evidence: { ...evidence, lastEvent: last.seq, at: iso(last.at), ...reason.evidence },
  }
}
