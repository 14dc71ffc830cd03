/** How a run ended. */
import { decodeError } from '../../core/codec.js'
import { formatMs } from '../../core/duration.js'
import { StepFailure } from '../../core/errors.js'
import type { RecordedEvent } from '../../core/events.js'
import { briefly } from '../../core/pending.js'
import type { RunRow } from '../../store/port.js'
import type { Reason } from './reason.js'
import { count, iso, timed } from './say.js'

/** `now` null: distances make no sense. */
export function whyClosed(
  { createdAt, startedAt, closedAt }: Pick<RunRow, 'createdAt' | 'startedAt' | 'closedAt'>,
  events: readonly RecordedEvent[],
  now: number | null,
): Reason {
  const last = events.at(-1)!
  const at = closedAt ?? last.at
  const tookMs = Math.max(0, at - (startedAt ?? createdAt))
  const evidence = { closedAt: iso(at), tookMs, events: events.length }
  const when = `at ${timed(at, now)}, after ${formatMs(tookMs)}`
  const reason = (text: string | undefined) => (text === undefined ? '' : `: ${text}`)
  switch (last.type) {
    case 'RunFailed':
      return whyFailed(last, events, when, evidence)
    case 'RunCancelled': {
      const why = events.findLast(({ type }) => type === 'CancelRequested')?.facts?.reason
      const begun = last.facts?.neverBegan ? ', before it began' : ''
      const message = `cancelled ${when}${begun}${reason(why)}`
      return { code: 'cancelled', message, evidence: { ...evidence, ...(why === undefined ? {} : { reason: why }) } }
    }
    case 'RunTerminated': {
      const why = last.facts?.reason
      const message = `terminated ${when}, without its cleanup${reason(why)}`
      return { code: 'terminated', message, evidence: { ...evidence, ...(why === undefined ? {} : { reason: why }) } }
    }
    case 'RunContinued': {
      const { runId } = last.facts ?? {}
      const message = `continued as run ${runId} ${when}`
      return { code: 'continued', message, evidence: { ...evidence, successor: runId } }
    }
    default:
      return { code: 'completed', message: `completed ${when}`, evidence }
  }
}

function whyFailed(last: RecordedEvent, events: readonly RecordedEvent[], when: string, evidence: object): Reason {
  const error = last.payload === null ? new Error('an error that is not on record') : decodeError(last.payload)
  const { name, message } = briefly(error)
  const step = error instanceof StepFailure ? error : null
  const cause = step?.cause instanceof Error ? briefly(step.cause) : null
  const where =
    step === null
      ? undefined
      : events.findLast((event) => event.type === 'StepFailed' && event.name === step.step)?.facts?.where
  const told =
    step === null
      ? `${name}: ${message}`
      : `step "${step.step}"${where === undefined ? '' : ` (${where})`} failed for good after ${count(step.attempts, 'attempt')}` +
        (cause === null ? `: ${message}` : `, the last with ${cause.name}: ${cause.message}`)
  return {
    code: 'failed',
    message: `failed ${when}: ${told}`,
    evidence: {
      ...evidence,
      error: { name, message },
      ...(step === null ? {} : { step: step.step, attempts: step.attempts }),
      ...(cause === null ? {} : { cause }),
      ...(where === undefined ? {} : { where }),
    },
  }
}
