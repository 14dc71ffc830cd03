import { InvalidInputError, StetError } from '../../core/errors.js'
import type { Tx } from '../../core/types.js'
import type { ClosedUnowned, InboxMessage, MessageAnswer, MessageRequest, UpdateAnswer } from '../port.js'
import { intArray, textArray } from './arrays.js'
import type { Db } from './db.js'

/**
 * Accepts messages. The run's row is locked first, and passed over if somebody has it locked; its count of messages
 * goes up in the same statement that puts them into the inbox. Parking compares that count, so a run cannot park
 * without having seen a message.
 */
const accept = `
WITH c AS MATERIALIZED (SELECT stet_store.clock() AS at),
u AS MATERIALIZED (
  SELECT x.*, stet_store.find_run(x.ref) AS run_id
    FROM unnest($1::int[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[]) AS x(i, ref, kind, name, payload, message_id)),
l AS MATERIALIZED (
  SELECT r.run_id, r.status, r.closed_at, r.msgs FROM stet_store.runs r
   WHERE r.run_id IN (SELECT run_id FROM u) ORDER BY r.run_id FOR NO KEY UPDATE SKIP LOCKED),
k AS (
  INSERT INTO stet_store.message_ids (run_id, message_id)
  SELECT DISTINCT u.run_id, u.message_id FROM u JOIN l USING (run_id) WHERE u.message_id IS NOT NULL AND l.closed_at IS NULL
      ON CONFLICT DO NOTHING RETURNING run_id, message_id),
a AS MATERIALIZED (
  SELECT y.*, y.msgs + row_number() OVER (PARTITION BY y.run_id ORDER BY y.i) AS n
    FROM (SELECT u.*, l.msgs, row_number() OVER (PARTITION BY u.run_id, u.message_id ORDER BY u.i) AS copy
            FROM u JOIN l USING (run_id) LEFT JOIN k USING (run_id, message_id)
           WHERE l.closed_at IS NULL AND (u.message_id IS NULL OR k.message_id IS NOT NULL)) y
   WHERE y.message_id IS NULL OR y.copy = 1),
p AS (
  UPDATE stet_store.runs r
     SET msgs = g.msgs,
         status = CASE WHEN r.status = 'waiting' AND r.claim > 0 THEN 'pending' ELSE r.status END,
         due = CASE WHEN r.status = 'waiting' AND r.claim > 0 THEN c.at ELSE r.due END
    FROM (SELECT run_id, max(n) AS msgs FROM a GROUP BY run_id) g, c
   WHERE r.run_id = g.run_id
  RETURNING r.run_id, r.queue),
i AS (
  INSERT INTO stet_store.inbox (run_id, n, kind, name, payload, at, message_id)
  SELECT a.run_id, a.n, a.kind, a.name, a.payload, c.at, a.message_id FROM a, c)
-- What was accepted before the run closed stays accepted when it is sent again.
SELECT u.i, u.run_id, u.run_id IS NOT NULL AND l.run_id IS NULL AS locked,
       CASE WHEN l.closed_at IS NOT NULL
             AND NOT EXISTS (SELECT FROM stet_store.message_ids m WHERE m.run_id = u.run_id AND m.message_id = u.message_id)
            THEN l.status END AS closed
  FROM u LEFT JOIN l USING (run_id) ORDER BY u.i`

export async function postMessages(db: Db, messages: readonly MessageRequest[]): Promise<(MessageAnswer | 'locked')[]> {
  const { rows } = await db.query({
    name: 'stet_post',
    text: accept,
    values: [
      intArray(messages.map((_, i) => i)),
      textArray(messages.map((m) => m.run)),
      textArray(messages.map((m) => m.kind)),
      textArray(messages.map((m) => m.name)),
      textArray(messages.map((m) => m.payload)),
      textArray(messages.map((m) => m.messageId)),
    ],
  })
  return rows.map((row) => (row.locked ? 'locked' : { runId: row.run_id, closed: row.closed }))
}

type Send = (messages: readonly MessageRequest[]) => Promise<(MessageAnswer | 'locked')[]>

interface Held {
  readonly message: MessageRequest
  readonly giveUpAt: number
  readonly resolve: (answer: MessageAnswer) => void
  readonly reject: (error: unknown) => void
}

/**
 * Sends messages. Those to a run that somebody has locked wait apart and in their order, and are tried again until the
 * lock is free: an open transaction that has signalled one run holds up no message to another.
 */
export class Posting {
  readonly #send: Send
  readonly #patienceMs: number
  /** By what the sender called the run. */
  readonly #held = new Map<string, Held[]>()

  constructor(send: Send, patienceMs: number) {
    this.#send = send
    this.#patienceMs = patienceMs
  }

  async post(messages: readonly MessageRequest[]): Promise<(MessageAnswer | Promise<MessageAnswer>)[]> {
    const free = messages.filter(({ run }) => !this.#held.has(run))
    const answers = free.length === 0 ? [] : await this.#send(free)
    const byMessage = new Map(free.map((message, i) => [message, answers[i]!]))
    return messages.map((message) => {
      const answer = byMessage.get(message) ?? 'locked'
      return answer === 'locked' ? this.#hold(message) : answer
    })
  }

  #hold(message: MessageRequest): Promise<MessageAnswer> {
    return new Promise((resolve, reject) => {
      const held = { message, resolve, reject, giveUpAt: performance.now() + this.#patienceMs }
      const queue = this.#held.get(message.run)
      if (queue !== undefined) {
        queue.push(held)
        return
      }
      this.#held.set(message.run, [held])
      void this.#tryAgain(message.run)
    })
  }

  async #tryAgain(run: string): Promise<void> {
    const queue = this.#held.get(run)!
    for (let wait = 5; queue.length > 0; wait = Math.min(wait * 2, 250)) {
      await new Promise((resolve) => setTimeout(resolve, wait * (0.5 + Math.random() / 2)))
      const batch = queue.slice(0, 500)
      try {
        const answers = await this.#send(batch.map(({ message }) => message))
        batch.forEach((held, i) => {
          const answer = answers[i]!
          if (answer !== 'locked') held.resolve(answer)
          else if (performance.now() > held.giveUpAt) held.reject(lockedError(held.message))
          else return
          queue.splice(queue.indexOf(held), 1)
        })
      } catch (error) {
        for (const held of batch) held.reject(error)
        queue.splice(0, batch.length)
      }
    }
    this.#held.delete(run)
  }
}

function lockedError({ kind, run }: MessageRequest): StetError {
  return new StetError(
    'run_locked',
    `${kind}: a transaction that has not ended has the row of run "${run}" locked, so the run takes no other message. Nothing was accepted. End that transaction (it called stet.signal or stet.cancel, perhaps), then send again.`,
  )
}

const readInbox = `
SELECT r.run_id, r.msgs, i.n, i.kind, i.name, i.payload, i.message_id
  FROM unnest($1::text[]) AS u(id) JOIN stet_store.runs r ON r.run_id = u.id
       LEFT JOIN stet_store.inbox i ON i.run_id = r.run_id
 ORDER BY r.run_id, i.n`

/** The messages that wait for each run, oldest first, with the count that they are part of. */
export async function readMessages(
  db: Db,
  runIds: readonly string[],
): Promise<Map<string, { msgs: number; messages: InboxMessage[] }>> {
  const { rows } = await db.query({ name: 'stet_inbox', text: readInbox, values: [textArray(runIds)] })
  const found = new Map<string, { msgs: number; messages: InboxMessage[] }>()
  for (const row of rows) {
    let entry = found.get(row.run_id)
    if (entry === undefined) {
      entry = { msgs: row.msgs, messages: [] }
      found.set(row.run_id, entry)
    }
    if (row.n === null) continue
    const { n, kind, name, payload, message_id: messageId } = row
    entry.messages.push({ n, kind, name, payload, messageId })
  }
  return found
}

/**
 * Closes a run that nobody owns. The row is locked and has no owner, so no worker can append meanwhile; the claim is
 * counted up, so no former owner can afterwards.
 */
export async function closeUnowned(
  db: Db,
  runId: string,
  how: 'terminate' | 'cancelBeforeBegin',
  reason: string | null,
): Promise<ClosedUnowned | null> {
  const facts = (fields: object) => JSON.stringify({ ...fields, ...(reason === null ? {} : { reason }) })
  return db.transaction(async (query) => {
    const { rows } = await query({
      text: `SELECT date_trunc('milliseconds', stet_store.clock()) AS at FROM stet_store.runs r
              WHERE r.run_id = $1 AND r.owner IS NULL AND r.closed_at IS NULL AND (r.claim = 0 OR $2 = 'terminate') FOR UPDATE`,
      values: [runId, how],
    })
    if (rows.length === 0) return null
    const { at } = rows[0]
    // Asked only under the lock: what was appended before it was had would not be seen by the statement that waited for it.
    const last = await query({
      text: 'SELECT max(seq) AS seq FROM stet_store.history WHERE run_id = $1',
      values: [runId],
    })
    const { seq } = last.rows[0]
    const append = (n: number, type: string, fields: string) =>
      query({
        text: 'INSERT INTO stet_store.history (run_id, seq, type, facts, at) VALUES ($1, $2, $3, $4, $5)',
        values: [runId, n, type, fields, at],
      })
    if (how === 'terminate') {
      await append(seq + 1, 'RunTerminated', facts({}))
    } else {
      await append(seq + 1, 'CancelRequested', facts({}))
      await append(seq + 2, 'RunCancelled', facts({ neverBegan: true }))
    }
    await query({
      text: `UPDATE stet_store.runs SET status = $2, closed_at = $3, due = NULL, waits = NULL, claim = claim + 1 WHERE run_id = $1`,
      values: [runId, how === 'terminate' ? 'terminated' : 'cancelled', at],
    })
    await query({
      text: `INSERT INTO stet_store.chores (run_id, at)
             SELECT $1, $2 WHERE EXISTS (SELECT FROM stet_store.runs WHERE parent_run_id = $1 AND closed_at IS NULL) ON CONFLICT DO NOTHING`,
      values: [runId, at],
    })
    const told = await query({
      text: 'SELECT stet_store.tell_parent($1, $2, NULL) AS parent',
      values: [runId, how === 'terminate' ? 'terminated' : 'cancelled'],
    })
    return { parent: told.rows[0].parent }
  })
}

/** Accepts a message inside the caller's own transaction: it is there when that commits, and not before. */
export async function postInTransaction(
  tx: Tx,
  { run, kind, name, payload, messageId }: MessageRequest,
): Promise<MessageAnswer> {
  if (typeof tx?.query !== 'function') {
    throw new InvalidInputError(
      'tx: expected a connected pg client (an object with query(text, values)), got something else.',
    )
  }
  const found = await tx.query('SELECT stet_store.find_run($1) AS run_id', [run])
  const runId: string | null = found.rows[0].run_id
  if (runId === null) return { runId, closed: null }
  const { rows } = await tx.query('SELECT stet_store.post($1, $2, $3, $4, $5) AS closed', [
    runId,
    kind,
    name,
    payload,
    messageId,
  ])
  // Goes out with the commit.
  await tx.query("SELECT pg_notify('stet', 'm' || $1)", [runId])
  return { runId, closed: rows[0].closed }
}

/** What is known of updates that were sent: the answer, or the end of a run that gave none. In the order of asking. */
export async function readAnswers(
  db: Db,
  updates: readonly { readonly runId: string; readonly messageId: string }[],
): Promise<UpdateAnswer[]> {
  const { rows } = await db.query({
    name: 'stet_answers',
    text: `SELECT h.type, h.payload, CASE WHEN r.closed_at IS NOT NULL THEN r.status END AS closed,
                  CASE WHEN r.status = 'continued' THEN
                    (SELECT e.facts::json ->> 'runId' FROM stet_store.history e WHERE e.run_id = r.run_id ORDER BY e.seq DESC LIMIT 1) END AS successor
             FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS u(run_id, message_id, nth)
             LEFT JOIN stet_store.runs r ON r.run_id = u.run_id
             LEFT JOIN stet_store.message_ids m ON m.run_id = u.run_id AND m.message_id = u.message_id
             LEFT JOIN stet_store.history h ON h.run_id = m.run_id AND h.seq = m.answer
            ORDER BY u.nth`,
    values: [textArray(updates.map(({ runId }) => runId)), textArray(updates.map(({ messageId }) => messageId))],
  })
  return rows.map((row) => ({
    answer: row.type === null ? null : { accepted: row.type === 'UpdateCompleted', payload: row.payload },
    closed: row.closed,
    successor: row.successor,
  }))
}
