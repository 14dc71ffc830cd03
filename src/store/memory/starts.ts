import type { Debounce, ExistingRun, MessageRequest, StartedAndPosted, StartRequest } from '../port.js'
import { firstDelayMs, laterHints } from '../requests.js'
import { accept, copyOf, type Run, record, type State } from './state.js'

/** For each request: null when it was started, else what stands under its id. */
export function startRuns(state: State, requests: readonly StartRequest[], real: number): (ExistingRun | null)[] {
  const found = requests.map((request) => startRun(state, request, real))
  state.hints.publish([
    { kind: 'ready', queues: [...new Set(requests.map(({ queue }) => queue))] },
    ...laterHints(requests, state.clock.now()),
  ])
  return found
}

/** Sends the message to what stands under the id then. */
export function startAndPost(
  state: State,
  request: StartRequest,
  message: Omit<MessageRequest, 'run'>,
  real: number,
): StartedAndPosted {
  const existing = startRun(state, request, real)
  const runId = existing?.runId ?? request.runId
  const run = state.runs.get(runId)!
  // What was accepted before the run closed stays accepted when it is sent again.
  if (message.messageId !== null && run.messageIds.has(message.messageId)) return { runId, existing, closed: null }
  if (run.closedAt !== null) return { runId, existing, closed: run.status }
  accept(run, message, state.at())
  return { runId, existing, closed: null }
}

function startRun(state: State, request: StartRequest, real: number): ExistingRun | null {
  const { runId, id, workflow, queue, priority, ifClosed, debounce } = request
  const at = state.at()
  const standing = debounce === null ? undefined : state.debounced.get(debounceKey(workflow, debounce))
  if (standing !== undefined && replaced(state, standing, request, real)) {
    const { runId, status } = standing
    return runId === request.runId ? null : { runId, workflow, status, open: true, payload: request.payload }
  }
  const before = id === runId ? undefined : state.find(id)
  if (before !== undefined) {
    // One's own: an earlier try had come through after all.
    if (before.runId === runId) return null
    const open = before.closedAt === null
    const failed = ['failed', 'cancelled', 'terminated'].includes(before.status)
    if (open || !(ifClosed === 'new' || (ifClosed === 'newIfFailed' && failed))) {
      const { runId, workflow, status, history } = before
      return { runId, workflow, status, open, payload: history[0]!.payload }
    }
  }
  const due = Math.max(at, request.startAt ?? at, at + firstDelayMs(request))
  const run = state.insert(
    {
      runId,
      id,
      workflow,
      version: request.version ?? state.liveVersion(workflow, real) ?? 0,
      queue,
      priority,
      due,
      // Later than the one before it by the clock too: by an id is meant the latest run under it.
      createdAt: before === undefined ? at : Math.max(at, before.createdAt + 1),
      deadline: request.timeoutMs === null ? null : due + request.timeoutMs,
    },
    { status: due > at ? 'waiting' : 'pending', attributes: request.attributes },
  )
  if (run === undefined) return null
  if (debounce !== null) state.debounced.set(debounceKey(workflow, debounce), run)
  record(run, { type: 'RunStarted', op: 0, payload: request.payload, facts: factsOf(request), at: due })
  return null
}

const factsOf = ({ facts }: StartRequest) => (facts === null ? null : JSON.stringify(facts))

const debounceKey = (workflow: string, { key }: Debounce) => JSON.stringify([workflow, key])

/** A run that has not begun is what this start says, if it is one that may begin. */
function replaced(state: State, run: Run, request: StartRequest, real: number): boolean {
  const usable = run.claim === 0 && (run.status === 'waiting' || run.status === 'pending')
  if (!usable || [...run.inbox.values()].some(({ kind }) => kind === 'cancel')) return false
  const { workflow, version, queue, priority, timeoutMs, payload, attributes } = request
  const { waitMs, maxWaitMs } = request.debounce!
  const at = state.at()
  const due = Math.min(at + waitMs, run.createdAt + (maxWaitMs ?? Number.POSITIVE_INFINITY))
  Object.assign(run, {
    ...{ due, queue, priority, status: due > at ? 'waiting' : 'pending' },
    version: version ?? state.liveVersion(workflow, real) ?? 0,
    deadline: timeoutMs === null ? null : due + timeoutMs,
    attributes: copyOf(attributes),
  } satisfies Partial<Run>)
  run.history[0] = { ...run.history[0]!, payload, facts: factsOf(request), at: due }
  return true
}
