/**
 * Runs that begin with a history of another's making.
 *
 * F1. Run, history and inbox come to be in one transaction: no worker sees a part of them.
 * F2. Nothing of the origin changes but, when it is closed, whose its open children are. Their rows are locked before it
 *     is looked at what came of them, so no end of a child is lost between two parents.
 * F3. A fork counts as claimed once: what comes along with a first claim is only for histories of one event.
 */
import { RunNotFoundError } from '../../core/errors.js'
import { checkKept, childMissing } from '../keep-children.js'
import type { ExistingRun, ForkRequest } from '../port.js'
import { floatArray, intArray, textArray } from './arrays.js'
import type { Db, Query, Rows } from './db.js'

type Run = (query: Query) => Promise<Rows>

/** At most so many events in one statement. */
const page = 5_000

const insertRun = `
INSERT INTO stet_store.runs (run_id, id, workflow, version, queue, priority, status, due, created_at, deadline, attributes,
                             claim, forked_from, forked_seq)
SELECT $1, $2, $3, $4, $5, $6, 'pending', c.at,
       -- By an id is meant the latest run under it.
       greatest(c.at, (SELECT r.created_at + interval '1 ms' FROM stet_store.runs r WHERE r.run_id = stet_store.find_run($2))),
       c.at + $7::float8 * interval '1 ms', $8::jsonb, 1, $9, $10
  FROM (SELECT date_trunc('milliseconds', stet_store.clock()) AS at) c
    ON CONFLICT DO NOTHING`

const insertHistory = `
INSERT INTO stet_store.history (run_id, seq, type, op, name, payload, facts, at)
SELECT $1, u.seq, u.type, u.op, u.name, u.payload, u.facts, to_timestamp(u.at / 1000)
  FROM unnest($2::int[], $3::text[], $4::int[], $5::text[], $6::text[], $7::text[], $8::float8[])
       AS u(seq, type, op, name, payload, facts, at)`

/** Null: it was inserted, now or by an earlier try. Else the open run that has its id. */
export async function forkRun(db: Db, request: ForkRequest): Promise<ExistingRun | null> {
  for (;;) {
    try {
      return await db.transaction((query) => forkIn(query, request))
    } catch (error) {
      if (!(error instanceof Changed)) throw error
    }
  }
}

/** Something came to its end while it was waited for: to be looked at anew. */
class Changed extends Error {
  /** As of a conflict between transactions, for whoever made forks inside one. */
  readonly code = '40001'
}

export async function forkIn(query: Run, request: ForkRequest): Promise<ExistingRun | null> {
  const { runId, id, workflow, version, queue, priority, timeoutMs, attributes, origin } = request
  const inserted = await query({
    text: insertRun,
    values: [
      ...[runId, id, workflow, version, queue, priority, timeoutMs],
      ...[attributes === null ? null : JSON.stringify(attributes), origin.runId, origin.seq],
    ],
  })
  if (inserted.rowCount === 0) return inTheWay(query, request)
  if (request.redeliver) await keepOrigin(query, request)
  for (let from = 0; from < request.events.length; from += page) {
    const events = request.events.slice(from, from + page)
    await query({
      name: 'stet_fork_history',
      text: insertHistory,
      values: [
        runId,
        intArray(events.map(({ seq }) => seq)),
        textArray(events.map(({ type }) => type)),
        intArray(events.map(({ op }) => op)),
        textArray(events.map(({ name }) => name)),
        textArray(events.map(({ payload }) => payload)),
        textArray(events.map(({ facts }) => (facts === null ? null : JSON.stringify(facts)))),
        floatArray(events.map(({ at }) => at)),
      ],
    })
  }
  await knowMessages(query, request)
  const signals = await putSignals(query, request)
  const children = await takeChildren(query, request, signals)
  if (signals + children > 0) {
    await query({
      text: 'UPDATE stet_store.runs SET msgs = $2 WHERE run_id = $1',
      values: [runId, signals + children],
    })
  }
  return null
}

/** It is not deleted while its signals are copied. */
async function keepOrigin(query: Run, { origin }: ForkRequest): Promise<void> {
  const { rows } = await query({
    text: 'SELECT FROM stet_store.runs WHERE run_id = $1 FOR KEY SHARE',
    values: [origin.runId],
  })
  if (rows.length === 0) throw new RunNotFoundError(origin.runId)
}

/** What kept the run from being inserted. */
async function inTheWay(query: Run, { runId, id }: ForkRequest): Promise<ExistingRun | null> {
  const { rows } = await query({
    text: `SELECT r.run_id, r.workflow, r.status, h.payload FROM stet_store.runs r
             JOIN stet_store.history h ON h.run_id = r.run_id AND h.seq = 1
            WHERE r.run_id = $1 OR (r.id = $2 AND r.id <> r.run_id AND r.closed_at IS NULL) ORDER BY r.run_id <> $1 LIMIT 1`,
    values: [runId, id],
  })
  const [found] = rows
  if (found === undefined) throw new Changed()
  if (found.run_id === runId) return null
  return { runId: found.run_id, workflow: found.workflow, status: found.status, open: true, payload: found.payload }
}

/** What was accepted once is not accepted again: neither what the fork's history has, nor what goes into its inbox. */
async function knowMessages(query: Run, { runId, origin, updates, redeliver }: ForkRequest): Promise<void> {
  if (updates.length > 0) {
    await query({
      text: `INSERT INTO stet_store.message_ids (run_id, message_id, answer)
             SELECT $1, u.id, u.answer FROM unnest($2::text[], $3::int[]) AS u(id, answer)`,
      values: [runId, textArray(updates.map((each) => each.messageId)), intArray(updates.map((each) => each.answer))],
    })
  }
  if (!redeliver) return
  await query({
    text: `INSERT INTO stet_store.message_ids (run_id, message_id)
           SELECT $1, m.message_id FROM stet_store.message_ids m
            WHERE m.run_id = $2 AND m.answer IS NULL AND m.message_id <> 'parent closed'
              AND m.message_id NOT IN (
                SELECT h.facts::json ->> 'id' FROM stet_store.history h
                 WHERE h.run_id = $2 AND h.seq >= $3 AND h.type = 'UpdateReceived'
                UNION ALL
                SELECT i.message_id FROM stet_store.inbox i
                 WHERE i.run_id = $2 AND i.kind <> 'signal' AND i.message_id IS NOT NULL)
               ON CONFLICT DO NOTHING`,
    values: [runId, origin.runId, origin.seq],
  })
}

/** How many there are. One statement sees a signal in the history or in the inbox of the origin, never in both or neither. */
async function putSignals(query: Run, { runId, origin, redeliver, signals }: ForkRequest): Promise<number> {
  const into = 'INSERT INTO stet_store.inbox (run_id, n, kind, name, payload, at, message_id)'
  const { rowCount } = redeliver
    ? await query({
        text: `${into}
               SELECT $1, row_number() OVER (ORDER BY s.unread, s.nth), 'signal', s.name, s.payload, s.at, s.message_id
                 FROM (SELECT false AS unread, h.seq AS nth, h.name, h.payload, h.at, NULL::text AS message_id
                         FROM stet_store.history h
                        WHERE h.run_id = $2 AND h.seq >= $3 AND h.type = 'SignalReceived'
                          AND h.facts::json ->> 'again' IS NULL
                       UNION ALL
                       SELECT true, i.n, i.name, i.payload, i.at, i.message_id
                         FROM stet_store.inbox i WHERE i.run_id = $2 AND i.kind = 'signal') s`,
        values: [runId, origin.runId, origin.seq],
      })
    : await query({
        text: `${into}
               SELECT $1, s.nth, 'signal', s.name, s.payload, stet_store.clock(), NULL
                 FROM unnest($2::text[], $3::text[]) WITH ORDINALITY AS s(name, payload, nth)`,
        values: [runId, textArray(signals.map(({ name }) => name)), textArray(signals.map(({ payload }) => payload))],
      })
  return rowCount ?? 0
}

/** A run, or the one that goes on for it. */
const latestOf = `
WITH RECURSIVE k(op, first, run_id) AS (
  SELECT u.op, u.run_id, u.run_id FROM unnest($1::int[], $2::text[]) AS u(op, run_id)
  UNION ALL
  SELECT k.op, k.first, h.facts::json ->> 'runId'
    FROM k JOIN stet_store.runs r ON r.run_id = k.run_id AND r.status = 'continued',
         LATERAL (SELECT facts FROM stet_store.history h WHERE h.run_id = r.run_id ORDER BY h.seq DESC LIMIT 1) h)
SELECT k.op, k.first, k.run_id FROM k JOIN stet_store.runs r USING (run_id) WHERE r.status <> 'continued'`

/** Gives the fork the children that are open, and what came of the others, behind `before` messages. How many messages that makes. */
async function takeChildren(query: Run, { runId, origin, children }: ForkRequest, before: number): Promise<number> {
  if (children.length === 0) return 0
  const { rows: latest } = await query({
    text: latestOf,
    values: [intArray(children.map(({ op }) => op)), textArray(children.map((child) => child.runId))],
  })
  const missing = children.find((child) => !latest.some(({ first }) => first === child.runId))
  if (missing !== undefined) childMissing(missing.runId)
  const runIds = textArray(latest.map((each) => each.run_id))
  // In a statement of its own: what is read after it is what they came to, and stays.
  await query({
    text: `SELECT FROM stet_store.runs WHERE run_id IN (SELECT unnest($1::text[])) ORDER BY run_id FOR NO KEY UPDATE`,
    values: [runIds],
  })
  const { rows } = await query({
    text: `SELECT r.run_id, r.status, r.closed_at IS NULL AS open, r.parent_run_id,
                  EXISTS (SELECT FROM stet_store.runs o WHERE o.run_id = $2 AND o.closed_at IS NULL) AS origin_open
             FROM stet_store.runs r WHERE r.run_id IN (SELECT unnest($1::text[]))`,
    values: [runIds, origin.runId],
  })
  const distinct = new Set(latest.map((each) => each.run_id)).size
  if (rows.length < distinct || rows.some(({ status }) => status === 'continued')) throw new Changed()
  for (const child of rows) {
    if (!child.open) continue
    checkKept(
      { runId: child.run_id, parentRunId: child.parent_run_id },
      { runId: origin.runId, open: child.origin_open },
    )
  }
  await query({
    text: `UPDATE stet_store.runs SET parent_run_id = $2
            WHERE run_id IN (SELECT unnest($1::text[])) AND closed_at IS NULL`,
    values: [runIds, runId],
  })
  const closed = await query({
    text: `INSERT INTO stet_store.inbox (run_id, n, kind, name, payload, at)
           SELECT $1, $2::int + row_number() OVER (ORDER BY u.op), 'child', u.op || ':' || r.status, h.payload, r.closed_at
             FROM unnest($3::int[], $4::text[]) AS u(op, run_id) JOIN stet_store.runs r USING (run_id),
                  LATERAL (SELECT payload FROM stet_store.history h WHERE h.run_id = r.run_id ORDER BY h.seq DESC LIMIT 1) h
            WHERE r.closed_at IS NOT NULL`,
    values: [runId, before, intArray(latest.map(({ op }) => op)), runIds],
  })
  return closed.rowCount ?? 0
}
