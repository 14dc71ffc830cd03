/** How a run ends: its closing event, and what its row says of it. */
import { decode, encode, encodeError } from '../core/codec.js'
import { TimeoutFailure } from '../core/errors.js'
import type { EventFacts, EventType, RecordedEvent } from '../core/events.js'
import type { Execution, Outcome } from '../core/execution.js'
import { newRunId } from '../core/ids.js'
import type { ClosedStatus } from '../core/statuses.js'
import { validate } from '../core/validate.js'
import type { Definition } from '../core/workflow.js'
import type { Successor } from '../store/port.js'
import type { RunnerHost } from './host.js'

export interface Closing {
  readonly status: ClosedStatus
  readonly type: EventType
  readonly payload: string | null
  readonly facts: EventFacts | null
  readonly error: { readonly name: string; readonly message: string } | null
  readonly successor: Successor | null
}

/**
 * The end of a run. A result, and the input of a run that follows, are checked here against their schemas, once, and
 * recorded as the schema leaves them; that takes a moment.
 */
export function endOf(
  outcome: Outcome,
  { name, input, output }: Definition,
  cancelReason: string | undefined,
  unread: readonly RecordedEvent[],
): Closing | Promise<Closing> {
  if (outcome.type === 'completed' && output !== undefined) {
    const check = async () => ({
      ...outcome,
      value: await validate(output, outcome.value, `the result of workflow "${name}"`),
    })
    return checked(check, name, unread)
  }
  if (outcome.type === 'continued' && input !== undefined) {
    const what = `the input that workflow "${name}" continues with`
    const check = async () => ({
      ...outcome,
      payload: encode(await validate(input, decode(outcome.payload), what), what),
    })
    return checked(check, name, unread)
  }
  return closingOf(outcome, name, cancelReason, unread)
}

async function checked(
  check: () => Promise<Outcome>,
  name: string,
  unread: readonly RecordedEvent[],
): Promise<Closing> {
  try {
    const closing = closingOf(await check(), name, undefined, unread)
    return closing.status === 'failed' ? closing : { ...closing, facts: { ...closing.facts, kind: 'checked' } }
  } catch (error) {
    return withError('failed', 'RunFailed', error, { kind: 'result' })
  }
}

/** Says what is probably a mistake in a workflow that has ended. */
export function warnAtClose(host: Pick<RunnerHost, 'log'>, run: string, { handlers, unhandled }: Execution): void {
  if (handlers.unfinished > 0) {
    const message = 'the workflow ended while handlers of messages were at work: wait for ctx.allHandlersFinished()'
    host.log('warn', message, { run, unfinished: handlers.unfinished })
  }
  if (unhandled.length > 0) {
    const messages = unhandled.map((reason) => describeError(reason).message)
    host.log('warn', 'promises of the workflow were rejected and nobody handled it', { run, messages })
  }
}

/** The end that the workflow's function came to. A result that cannot be stored fails the run. */
function closingOf(
  outcome: Outcome,
  workflow: string,
  cancelReason: string | undefined,
  unread: readonly RecordedEvent[],
): Closing {
  if (outcome.type === 'continued') {
    const { payload, version } = outcome
    const runId = newRunId()
    const successor = { runId, version, unread: unread.map(messageOf) }
    return { status: 'continued', type: 'RunContinued', payload, facts: { runId }, error: null, successor }
  }
  if (outcome.type !== 'completed') {
    if (outcome.type === 'failed') return withError('failed', 'RunFailed', outcome.error, null)
    const facts = cancelReason === undefined ? null : { reason: cancelReason }
    return withError('cancelled', 'RunCancelled', outcome.error, facts)
  }
  try {
    const payload = encode(outcome.value, `the result of workflow "${workflow}"`)
    return { status: 'completed', type: 'RunCompleted', payload, facts: null, error: null, successor: null }
  } catch (error) {
    return withError('failed', 'RunFailed', error, { kind: 'result' })
  }
}

/** The message that an event took in, as it was sent. */
function messageOf({ type, name, payload, facts }: RecordedEvent): Successor['unread'][number] {
  const kind = type === 'UpdateReceived' ? 'update' : 'signal'
  return { kind, name, payload, messageId: facts?.id ?? null }
}

export function timedOut(workflow: string): Closing {
  const error = new TimeoutFailure('the run took longer than its timeout', { operation: workflow })
  return withError('failed', 'RunFailed', error, { kind: 'timeout' })
}

export function terminated(reason: string | null): Closing {
  const facts = reason === null ? null : { reason }
  return { status: 'terminated', type: 'RunTerminated', payload: null, facts, error: null, successor: null }
}

function withError(
  status: 'failed' | 'cancelled',
  type: EventType,
  thrown: unknown,
  facts: EventFacts | null,
): Closing {
  return { status, type, payload: encodeError(thrown), facts, error: describeError(thrown), successor: null }
}

/** Name and message of anything thrown, as a text column takes them. Never throws. */
export function describeError(error: unknown): { name: string; message: string } {
  const clean = (value: unknown, max: number) =>
    String(value ?? '')
      .replaceAll('\u0000', '')
      .toWellFormed()
      .slice(0, max)
  try {
    const { name, message } = error as Error
    return { name: clean(name ?? 'Error', 200), message: clean(message ?? error, 2_000) }
  } catch {
    return { name: 'Error', message: 'an error that cannot be read' }
  }
}
