/**
 * Transactions, as far as a store without SQL can have them: what a step's own transaction commits is the record of its
 * result, under the fence. A statement is refused, and the transaction with it.
 */
import { InvalidInputError, NonRetryableError } from '../../core/errors.js'
import type { Tx } from '../../core/types.js'
import { accept, type State } from './state.js'

const noSql = 'the in-memory store has no SQL, so nothing can take part in a transaction.'

export async function transactionStep(
  state: State,
  workerId: string,
  { runId, claim, op }: { readonly runId: string; readonly claim: number; readonly op: number },
  body: (tx: Tx) => Promise<string | null>,
): Promise<{ n: number; payload: string | null } | null> {
  let refusal: Error | null = null
  const tx: Tx = {
    query: () => {
      // No other attempt would fare better.
      refusal ??= Object.assign(
        new NonRetryableError(
          `tx.query: ${noSql} Replace the step by name (testEnv({ steps: { name: fn } })), or test it with database: 'postgres'.`,
        ),
        { code: 'no_sql' },
      )
      return Promise.reject(refusal)
    },
  }
  const payload = await body(tx)
  // A body that catches the error has no transaction to commit all the same.
  if (refusal !== null) throw refusal
  const run = state.owned(workerId, runId, claim)
  if (run === undefined) return null
  const name = String(op)
  if ([...run.inbox.values()].some((each) => each.kind === 'result' && each.name === name)) return null
  return { n: accept(run, { kind: 'result', name, payload, messageId: null }, state.at()), payload }
}

/** What calls with `tx` come to on this store. @throws InvalidInputError code `no_sql` */
export async function refuseTransaction(): Promise<never> {
  throw new InvalidInputError(`tx: ${noSql} Leave tx out, or test it with database: 'postgres'.`, 'no_sql')
}
