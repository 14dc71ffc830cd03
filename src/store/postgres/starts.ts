import { InvalidInputError } from '../../core/errors.js'
import type { Tx } from '../../core/types.js'
import type { Debounce, ExistingRun, MessageRequest, StartedAndPosted, StartRequest } from '../port.js'
import { floatArray, intArray, textArray } from './arrays.js'
import type { Db, Query } from './db.js'

const columns = `unnest($1::text[], $2::text[], $3::text[], $4::int[], $5::text[], $6::int[], $7::float8[], $8::float8[],
                        $9::float8[], $10::text[], $11::text[], $12::text[], $13::text[])
                 AS u(run_id, id, workflow, version, queue, priority, start_at, delay_ms, timeout_ms, payload, facts, attributes, if_closed)`

/**
 * Inserts runs whose ids are their run ids, so nothing can be there before them; the same batch again does nothing.
 * A run that may not begin yet waits, so that claims never pass over it; its history begins when it may.
 */
const insertFresh = `
WITH c AS MATERIALIZED (SELECT date_trunc('milliseconds', stet_store.clock()) AS at),
i AS (
  INSERT INTO stet_store.runs (run_id, id, workflow, version, queue, priority, status, due, created_at, deadline, attributes)
  SELECT u.run_id, u.id, u.workflow, coalesce(u.version, stet_store.live_version(u.workflow), 0), u.queue, u.priority,
         CASE WHEN due.at > c.at THEN 'waiting' ELSE 'pending' END, due.at, c.at,
         due.at + u.timeout_ms * interval '1 ms', u.attributes::jsonb
    FROM c, ${columns},
         LATERAL (SELECT greatest(c.at, to_timestamp(u.start_at / 1000), c.at + u.delay_ms * interval '1 ms') AS at) due
      ON CONFLICT DO NOTHING
  RETURNING run_id, due)
INSERT INTO stet_store.history (run_id, seq, type, op, payload, facts, at)
SELECT u.run_id, 1, 'RunStarted', 0, u.payload, u.facts, i.due FROM ${columns} JOIN i ON i.run_id = u.run_id
RETURNING run_id`

/** What stands under the id is closed, and the caller wants another run then. */
const mayFollow = `(NOT e.open AND e.run_id <> u.run_id
          AND (u.if_closed = 'new' OR (u.if_closed = 'newIfFailed' AND e.status IN ('failed', 'cancelled', 'terminated'))))`

/**
 * Inserts runs with ids that callers chose, unless the id is taken: by an open run, or by a closed one whose policy
 * says so. Tells for each request what stands under the id when it was not inserted; a request for which nothing is
 * told and nothing was inserted lost a race that its statement could not see, and is to be asked again.
 */
const insertNamed = `
WITH c AS MATERIALIZED (SELECT date_trunc('milliseconds', stet_store.clock()) AS at),
u AS MATERIALIZED (SELECT * FROM ${columns}),
e AS MATERIALIZED (
  SELECT u.run_id AS new_run_id, r.run_id, r.workflow, r.status, r.created_at, r.closed_at IS NULL AS open, h.payload
    FROM u JOIN stet_store.runs r ON r.run_id = stet_store.find_run(u.id)
           JOIN stet_store.history h ON h.run_id = r.run_id AND h.seq = 1),
i AS (
  INSERT INTO stet_store.runs (run_id, id, workflow, version, queue, priority, status, due, created_at, deadline, attributes)
  SELECT u.run_id, u.id, u.workflow, coalesce(u.version, stet_store.live_version(u.workflow), 0), u.queue, u.priority,
         CASE WHEN due.at > c.at THEN 'waiting' ELSE 'pending' END, due.at, greatest(c.at, e.created_at + interval '1 ms'),
         due.at + u.timeout_ms * interval '1 ms', u.attributes::jsonb
    FROM c, u LEFT JOIN e ON e.new_run_id = u.run_id,
         LATERAL (SELECT greatest(c.at, to_timestamp(u.start_at / 1000), c.at + u.delay_ms * interval '1 ms') AS at) due
   WHERE e.run_id IS NULL
      OR ${mayFollow}
      ON CONFLICT DO NOTHING
  RETURNING run_id, due),
h AS (
  INSERT INTO stet_store.history (run_id, seq, type, op, payload, facts, at)
  SELECT u.run_id, 1, 'RunStarted', 0, u.payload, u.facts, i.due FROM u JOIN i ON i.run_id = u.run_id)
SELECT u.run_id AS new_run_id, i.run_id IS NOT NULL AS inserted, e.run_id, e.workflow, e.status, e.open, e.payload,
       i.run_id IS NULL AND (e.run_id IS NULL OR ${mayFollow}) AS lost
  FROM u LEFT JOIN i ON i.run_id = u.run_id LEFT JOIN e ON e.new_run_id = u.run_id`

function values(requests: readonly StartRequest[]): unknown[] {
  return [
    textArray(requests.map((r) => r.runId)),
    textArray(requests.map((r) => r.id)),
    textArray(requests.map((r) => r.workflow)),
    intArray(requests.map((r) => r.version)),
    textArray(requests.map((r) => r.queue)),
    intArray(requests.map((r) => r.priority)),
    floatArray(requests.map((r) => r.startAt)),
    floatArray(requests.map((r) => r.delayMs)),
    floatArray(requests.map((r) => r.timeoutMs)),
    textArray(requests.map((r) => r.payload)),
    textArray(requests.map((r) => (r.facts === null ? null : JSON.stringify(r.facts)))),
    textArray(requests.map((r) => (r.attributes === null ? null : JSON.stringify(r.attributes)))),
    textArray(requests.map((r) => r.ifClosed)),
  ]
}

type Run = (query: Query) => Promise<{ rows: any[] }>

/** For each request: null when it was started, else what stands under its id. */
export async function startRuns(run: Run, requests: readonly StartRequest[]): Promise<(ExistingRun | null)[]> {
  const fresh = requests.filter((r) => r.id === r.runId && r.debounce === null)
  const named = requests.filter((r) => r.id !== r.runId)
  const found = new Map<string, ExistingRun>()
  if (fresh.length > 0) await run({ name: 'stet_start_fresh', text: insertFresh, values: values(fresh) })
  // Two requests for one id cannot be told apart inside one statement: they take turns.
  for (let left = [...named]; left.length > 0; ) {
    const ids = new Set<string>()
    const batch = left.filter((r) => !ids.has(r.id) && ids.add(r.id))
    const { rows } = await run({ name: 'stet_start_named', text: insertNamed, values: values(batch) })
    const settled = new Set<string>()
    for (const row of rows) {
      if (row.lost) continue
      settled.add(row.new_run_id)
      // Finding one's own run means that an earlier try had been committed after all.
      if (row.inserted || row.run_id === row.new_run_id) continue
      found.set(row.new_run_id, {
        runId: row.run_id,
        workflow: row.workflow,
        status: row.status,
        open: row.open,
        payload: row.payload,
      })
    }
    left = left.filter((r) => !settled.has(r.runId))
  }
  for (const r of requests) {
    if (r.debounce === null) continue
    const existing = await startDebounced(run, r, r.debounce)
    if (existing !== null) found.set(r.runId, existing)
  }
  return requests.map((r) => found.get(r.runId) ?? null)
}

/** One by one: each may wait for another that stands for the same key. */
async function startDebounced(
  run: Run,
  { runId, workflow, version, queue, priority, timeoutMs, payload, facts, attributes }: StartRequest,
  { key, waitMs, maxWaitMs }: Debounce,
): Promise<ExistingRun | null> {
  const { rows } = await run({
    text: 'SELECT stet_store.start_debounced($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) AS run_id',
    values: [
      ...[runId, workflow, version, queue, priority, timeoutMs, payload],
      ...[facts, attributes].map((each) => (each === null ? null : JSON.stringify(each))),
      ...[key, waitMs, maxWaitMs],
    ],
  })
  return rows[0].run_id === runId ? null : { runId: rows[0].run_id, workflow, status: 'waiting', open: true, payload }
}

/** Starts a run under an id unless one is open, and sends it a message: both or neither. */
export async function startAndPost(
  db: Db,
  request: StartRequest,
  message: Omit<MessageRequest, 'run'>,
): Promise<StartedAndPosted> {
  for (;;) {
    const answer = await db.transaction((query) => startAndPostIn(query, request, message))
    // A run that was open when it was looked for and has closed since is a closed run: its policy decides.
    if (answer.closed === null || !answer.existing?.open) return answer
  }
}

async function startAndPostIn(
  query: Run,
  request: StartRequest,
  { kind, name, payload, messageId }: Omit<MessageRequest, 'run'>,
): Promise<StartedAndPosted> {
  const [existing = null] = await startRuns(query, [request])
  const runId = existing?.runId ?? request.runId
  const { rows } = await query({
    text: `SELECT stet_store.post($1, $2, $3, $4, $5) AS closed,
                  EXISTS (SELECT FROM stet_store.message_ids WHERE run_id = $1 AND message_id = $5) AS known`,
    values: [runId, kind, name, payload, messageId],
  })
  // What was accepted before the run closed stays accepted when it is sent again.
  return { runId, existing, closed: rows[0].known ? null : rows[0].closed }
}

/** The same as `startRuns` inside the caller's own transaction. */
export function startInTransaction(tx: Tx, requests: readonly StartRequest[]): Promise<(ExistingRun | null)[]> {
  if (typeof tx?.query !== 'function') {
    throw new InvalidInputError(
      'tx: expected a connected pg client (an object with query(text, values)), got something else.',
    )
  }
  return startRuns((query) => tx.query(query.text, query.values as any[]), requests)
}
