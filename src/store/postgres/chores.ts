/** What is to be done after runs have closed: their children are told, as their policies say. */

import type { Db } from './db.js'
import { closeUnowned, postMessages } from './messages.js'

/** How many children are told at a time. */
const batch = 200

/**
 * Tells children of closed runs; any worker may do it, and several at once do no harm: telling a child twice is telling
 * it once.
 */
export async function tellChildren(db: Db): Promise<{ left: number; closed: string[]; posted: string[] }> {
  const { rows } = await db.query({
    text: `SELECT c.run_id AS parent, k.run_id, k.parent_close, k.claim, k.owner
             FROM (SELECT run_id FROM stet_store.chores ORDER BY at LIMIT 20) c
             LEFT JOIN LATERAL (
               SELECT r.run_id, r.parent_close, r.claim, r.owner FROM stet_store.runs r
                WHERE r.parent_run_id = c.run_id AND r.closed_at IS NULL AND r.parent_close <> 'abandon'
                  AND NOT EXISTS (SELECT FROM stet_store.message_ids m WHERE m.run_id = r.run_id AND m.message_id = 'parent closed')
                ORDER BY r.run_id LIMIT ${batch}) k ON true`,
  })
  const closed: string[] = []
  const posted: string[] = []
  const reason = 'the run that started it has closed'
  for (const { run_id: runId, parent_close: policy, claim, owner } of rows) {
    if (runId === null || owner !== null || (policy === 'cancel' && claim > 0)) continue
    const how = policy === 'terminate' ? 'terminate' : 'cancelBeforeBegin'
    if ((await closeUnowned(db, runId, how, reason)) !== null) closed.push(runId)
  }
  const open = rows.filter(({ run_id: runId }) => runId !== null && !closed.includes(runId))
  const answers = await postMessages(
    db,
    open.map(({ run_id: run, parent_close: kind }) => ({
      run,
      kind,
      name: null,
      payload: JSON.stringify(reason),
      messageId: 'parent closed',
    })),
  )
  open.forEach(({ run_id: runId }, i) => {
    if (answers[i] !== 'locked') posted.push(runId)
  })
  // A run whose children are all told, and none of whose children is left for another round, is done with.
  const count = new Map<string, number>()
  for (const { parent, run_id: runId } of rows) count.set(parent, (count.get(parent) ?? 0) + (runId === null ? 0 : 1))
  const done = [...count].flatMap(([parent, children]) => (children === 0 ? [parent] : []))
  if (done.length > 0) {
    await db.query({ text: 'DELETE FROM stet_store.chores WHERE run_id = ANY($1)', values: [done] })
  }
  return { left: count.size - done.length, closed, posted }
}
