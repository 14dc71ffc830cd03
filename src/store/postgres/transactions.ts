/**
 * Steps in the user's own transaction: their rows and the record of the step commit together, or neither does.
 *
 * X1. The record goes into the run's inbox, under the lock of the run's row, as the last statement before the commit. An
 *     event would leave a hole in the history when the transaction is rolled back.
 * X2. It is fenced as every write of a worker is: a former owner's transaction is rolled back.
 * X3. The next owner finds the record with the messages that it loads, and runs the step no more.
 */
import type { Tx } from '../../core/types.js'
import type { Db } from './db.js'

const record = `
WITH w AS MATERIALIZED (SELECT 1 FROM stet_store.workers WHERE id = $1 FOR KEY SHARE),
u AS (
  UPDATE stet_store.runs r SET msgs = r.msgs + 1 FROM w
   WHERE r.run_id = $2 AND r.owner = $1 AND r.claim = $3 AND r.closed_at IS NULL
     AND NOT EXISTS (SELECT FROM stet_store.inbox i WHERE i.run_id = $2 AND i.kind = 'result' AND i.name = $4)
  RETURNING r.msgs)
INSERT INTO stet_store.inbox (run_id, n, kind, name, payload, at)
SELECT $2, u.msgs, 'result', $4, $5, stet_store.clock() FROM u
RETURNING n`

class Fenced extends Error {}

export async function transactionStep(
  db: Db,
  workerId: string,
  { runId, claim, op }: { readonly runId: string; readonly claim: number; readonly op: number },
  body: (tx: Tx) => Promise<string | null>,
): Promise<{ n: number; payload: string | null } | null> {
  try {
    return await db.transaction(async (query, asIs) => {
      let over = false
      const tx: Tx = {
        query: (text, values) => {
          if (over) return Promise.reject(new Error('the transaction is over'))
          return asIs(typeof text === 'string' ? { text, ...(values === undefined ? {} : { values }) } : text)
        },
      }
      const payload = await body(tx).finally(() => {
        over = true
      })
      const { rows } = await query({ text: record, values: [workerId, runId, claim, String(op), payload] })
      if (rows.length === 0) throw new Fenced()
      return { n: rows[0].n, payload }
    })
  } catch (error) {
    if (error instanceof Fenced) return null
    throw error
  }
}
