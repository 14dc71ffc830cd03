/** What a replay came to, against the event that closed the run. */
import { isDeepStrictEqual } from 'node:util'
import { decode, decodeError, encode, recordError } from '../core/codec.js'
import { isTerminal, type RecordedEvent } from '../core/events.js'
import type { Outcome } from '../core/execution.js'
import { describeOutcome } from './verify.js'

export interface OutcomeDifference {
  readonly seq: number
  readonly expected: string
  readonly actual: string
}

/**
 * The difference between the recorded end of a run and the end that its replay came to; null when they are the same,
 * or when the end was not of the code's making (a termination, a timeout). That *something* ended it is checked by the
 * Execution already; this looks at the value.
 */
export function compareOutcome(outcome: Outcome | null, events: readonly RecordedEvent[]): OutcomeDifference | null {
  const last = events.at(-1)
  if (last === undefined || outcome === null || !isTerminal(last.type)) return null
  const differs = (expected: string) => ({ seq: last.seq, expected, actual: describeOutcome(outcome) })
  if (last.type === 'RunCompleted' && outcome.type === 'completed') {
    // Through the codec, as the recorded one went.
    const value = decode(encode(outcome.value, 'the result'))
    const recorded = decode(last.payload)
    return isDeepStrictEqual(value, recorded) ? null : differs(describeOutcome({ type: 'completed', value: recorded }))
  }
  if (last.type !== 'RunFailed' || outcome.type !== 'failed' || last.facts?.kind === 'timeout') return null
  if (last.payload === null) return null
  const recorded = recordError(decodeError(last.payload))
  const error = recordError(outcome.error)
  const same = recorded.name === error.name && recorded.message === error.message
  return same ? null : differs(`the workflow threw ${recorded.name}: ${recorded.message}`)
}
