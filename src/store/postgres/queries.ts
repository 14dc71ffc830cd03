/**
 * Questions to runs. Whoever has the code answers, from the history: it need not own the run. A question that nobody
 * answers in time is forgotten; it was only asked.
 */
import type { QueryAnswer, QueryRequest, TakenQuery, WorkerLanes } from '../port.js'
import { intArray, textArray } from './arrays.js'
import type { Db } from './db.js'

/** How long a question is kept for somebody to answer, and an answer for somebody to read. */
const keptFor = "interval '5 minutes'"

/** False: there is no such run. */
export async function askQuery(db: Db, { id, runId, name, payload }: QueryRequest): Promise<boolean> {
  const { rowCount } = await db.query({
    text: `WITH old AS (DELETE FROM stet_store.queries WHERE asked_at < clock_timestamp() - ${keptFor})
           INSERT INTO stet_store.queries (id, run_id, workflow, version, name, payload)
           SELECT $1, r.run_id, r.workflow, r.version, $3, $4 FROM stet_store.runs r WHERE r.run_id = $2
               ON CONFLICT (id) DO NOTHING`,
    values: [id, runId, name, payload],
  })
  return rowCount === 1
}

/** One whose taker is gone may be taken again. */
export async function takeQueries(db: Db, workerId: string, lanes: WorkerLanes): Promise<TakenQuery[]> {
  const { rows } = await db.query({
    name: 'stet_take_queries',
    text: `WITH q AS MATERIALIZED (
             SELECT q.id FROM unnest($2::text[], $3::int[]) AS lane(workflow, version)
               JOIN stet_store.queries q ON q.workflow = lane.workflow AND q.version IN (lane.version, 0) AND q.taken_by IS NULL
              ORDER BY q.asked_at LIMIT 100 FOR UPDATE OF q SKIP LOCKED)
           UPDATE stet_store.queries t SET taken_by = $1 FROM q, stet_store.runs r WHERE t.id = q.id AND r.run_id = t.run_id
           RETURNING t.id, t.run_id, t.name, t.payload, t.workflow, r.version, r.id AS run, r.queue`,
    values: [
      workerId,
      textArray(lanes.workflows.map((workflow) => workflow.name)),
      intArray(lanes.workflows.map((workflow) => workflow.version)),
    ],
  })
  return rows.map((row) => ({
    id: row.id,
    runId: row.run_id,
    name: row.name,
    payload: row.payload,
    workflow: row.workflow,
    version: row.version,
    identity: { id: row.run, queue: row.queue },
  }))
}

export async function answerQuery(db: Db, { id, answer, error }: QueryAnswer): Promise<void> {
  await db.query({
    text: 'UPDATE stet_store.queries SET answered = true, answer = $2, error = $3 WHERE id = $1',
    values: [id, answer, error],
  })
}

/** Answers that are there; they are forgotten with this. */
export async function collectAnswers(db: Db, ids: readonly string[]): Promise<QueryAnswer[]> {
  const { rows } = await db.query({
    name: 'stet_collect_answers',
    text: `DELETE FROM stet_store.queries q USING unnest($1::text[]) AS u(id) WHERE q.id = u.id AND q.answered
           RETURNING q.id, q.answer, q.error`,
    values: [textArray(ids)],
  })
  return rows.map(({ id, answer, error }) => ({ id, answer, error }))
}
