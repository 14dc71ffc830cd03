/** Questions and requests that have an answer: queries and updates. */
import { decode, decodeError } from '../core/codec.js'
import { RunClosedError, RunNotFoundError, UpdateRejectedError } from '../core/errors.js'
import { newId } from '../core/ids.js'
import type { Hints } from '../hints/hints.js'
import type { QueryAnswer, RunRow, Store, UpdateAnswer } from '../store/port.js'
import { Replies } from './replies.js'

export class Conversations {
  readonly #store: Store
  readonly #hints: Hints
  readonly #queries: Replies<QueryAnswer>
  readonly #updates: Replies<UpdateAnswer>

  constructor(store: Store, hints: Hints) {
    this.#store = store
    this.#hints = hints
    this.#queries = new Replies(
      hints,
      (hint) => hint.kind === 'queryAnswered' && hint.ids.some((id) => this.#queries.has(id)),
      async (ids) => new Map((await store.collectAnswers(ids)).map((answer) => [answer.id, answer])),
    )
    this.#updates = new Replies(
      hints,
      (hint) => hint.kind === 'answered' || hint.kind === 'closed',
      async (keys) => {
        const asked = keys.map((key) => ({
          runId: key.slice(0, key.indexOf(' ')),
          messageId: key.slice(key.indexOf(' ') + 1),
        }))
        const answers = await store.answers(asked)
        return new Map(
          keys.flatMap((key, i) => {
            const known = answers[i]
            return known !== undefined && (known.answer !== null || known.closed !== null) ? [[key, known]] : []
          }),
        )
      },
    )
  }

  /** Asks a run; whichever worker has its code answers. @throws TimeoutFailure, and what the handler threw */
  async query(row: RunRow, name: string, payload: string | null, timeoutMs: number): Promise<unknown> {
    const id = newId('query')
    const late = `query "${name}": no worker has answered within ${timeoutMs} ms. Is there a live worker with ${row.workflow}@${row.version}?`
    const answer = this.#queries.wait(id, timeoutMs, late, name)
    answer.catch(() => {})
    if (!(await this.#store.ask({ id, runId: row.runId, name, payload }))) throw new RunNotFoundError(row.runId)
    this.#hints.publish([{ kind: 'query', ids: [id] }])
    const found = await answer
    if (found.error !== null) throw decodeError(found.error)
    return decode(found.answer)
  }

  /** Waits for the answer to an update that was accepted. @throws UpdateRejectedError, RunClosedError, TimeoutFailure */
  async answer(runId: string, name: string, messageId: string, timeoutMs: number | null): Promise<unknown> {
    const end = timeoutMs === null ? null : performance.now() + timeoutMs
    for (let run = runId; ; ) {
      const left = end === null ? null : Math.max(0, end - performance.now())
      const late = `update "${name}" of run ${run} was accepted and is not answered after ${timeoutMs} ms. The run goes on; send it again with the same messageId to wait for the same answer.`
      const { answer, closed, successor } = await this.#updates.wait(`${run} ${messageId}`, left, late, name)
      if (answer !== null) {
        if (answer.accepted) return decode(answer.payload)
        const cause = answer.payload === null ? new Error('unknown error') : decodeError(answer.payload)
        throw new UpdateRejectedError(`update "${name}" of run ${run} was rejected: ${cause.message}`, {
          runId: run,
          cause,
        })
      }
      if (successor === null) {
        throw new RunClosedError(`update "${name}": run ${run} is ${closed}, and had not answered.`)
      }
      // The run that follows has taken the update over.
      run = successor
    }
  }

  close(error: Error): void {
    this.#queries.close(error)
    this.#updates.close(error)
  }
}
