/** What several parts of stet ask a store for in the same way, over its port alone. */
import { encode } from '../core/codec.js'
import { RunClosedError, RunNotFoundError, StetError } from '../core/errors.js'
import type { Hint } from '../core/hint.js'
import type { MessageAnswer, MessageRequest, StartedAndPosted, StartRequest, Store } from './port.js'

type Publish = (hints: readonly Hint[]) => void

/** What others are told of a run that was closed without a worker. */
export function closedHints(runId: string, parent: string | null): Hint[] {
  return [
    { kind: 'closed', runIds: [runId] },
    ...(parent === null ? [] : [{ kind: 'message' as const, runIds: [parent] }]),
  ]
}

/**
 * Asks a run to cancel itself. One that nobody has begun needs no worker for that.
 * @throws RunNotFoundError, RunClosedError
 */
export async function requestCancel(
  store: Store,
  publish: Publish,
  run: string,
  reason: string | null,
  post: (message: MessageRequest) => Promise<unknown>,
): Promise<void> {
  const row = await store.find(run)
  if (row === null) throw new RunNotFoundError(run)
  if (row.claim === 0) {
    const closed = await store.closeUnowned(row.runId, 'cancelBeforeBegin', reason)
    if (closed !== null) {
      publish(closedHints(row.runId, closed.parent))
      return
    }
  }
  const payload = encode(reason ?? undefined, 'the reason')
  await post({ run: row.runId, kind: 'cancel', name: null, payload, messageId: null })
}

/**
 * Asks a run to cancel itself, or whichever goes on for it. One that has closed needs no cancelling.
 * @throws RunNotFoundError
 */
export async function cancelLatest(store: Store, publish: Publish, run: string, reason: string | null): Promise<void> {
  const post = (message: MessageRequest) => postMessage(store, publish, message)
  for (let latest: string | null = run; latest !== null; ) {
    try {
      return await requestCancel(store, publish, latest, reason, post)
    } catch (error) {
      if (!(error instanceof RunClosedError)) throw error
      latest = (await store.results([latest]))[0]?.successor ?? null
    }
  }
}

/** What stands in the row of a run that was paused. */
export function pausedFor(reason: string): string {
  return JSON.stringify({ code: 'paused', message: reason === '' ? 'it was paused' : reason })
}

/**
 * Pauses a run, or asks the worker that holds it to. One that is paused stays so.
 * @throws RunNotFoundError, RunClosedError, StetError `blocked`
 */
export async function requestPause(store: Store, publish: Publish, run: string, reason: string): Promise<void> {
  const row = await store.find(run)
  if (row === null) throw new RunNotFoundError(run)
  if (row.status === 'paused' || (await store.pause(row.runId, pausedFor(reason)))) return
  if (row.status === 'blocked') {
    throw new StetError('blocked', `pause: run ${row.runId} is blocked, so it does not go on in any case.`)
  }
  const payload = encode(reason, 'the reason')
  await postMessage(store, publish, { run: row.runId, kind: 'pause', name: null, payload, messageId: null })
}

/** Sends one message and tells those who may wait for it. @throws RunNotFoundError, RunClosedError */
export async function postMessage(store: Store, publish: Publish, message: MessageRequest): Promise<string> {
  const [answer] = await store.post([message])
  const runId = acceptedBy(message, await answer!)
  publish([{ kind: 'message', runIds: [runId] }])
  return runId
}

/** The run that has accepted a message. @throws RunNotFoundError, RunClosedError */
export function acceptedBy({ run, kind }: MessageRequest, { runId, closed }: MessageAnswer): string {
  if (runId === null) throw new RunNotFoundError(run)
  if (closed !== null) throw closedError(kind, runId, closed)
  return runId
}

/** Starts a run under an id unless one is open, sends it a message, and tells who may wait for either. @throws RunClosedError */
export async function startAndSend(
  store: Store,
  publish: Publish,
  request: StartRequest,
  message: Omit<MessageRequest, 'run'>,
): Promise<StartedAndPosted> {
  const answer = await store.startAndPost(request, message)
  const { runId, closed } = answer
  if (closed !== null) throw closedError(`${message.kind}WithStart`, runId, closed)
  publish([
    { kind: 'ready', queues: [request.queue] },
    { kind: 'message', runIds: [runId] },
  ])
  return answer
}

function closedError(what: string, runId: string, status: string): RunClosedError {
  return new RunClosedError(`${what}: run ${runId} is ${status}, so it takes no message.`)
}
