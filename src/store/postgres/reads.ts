import type { RunResult, RunRow } from '../port.js'
import { textArray } from './arrays.js'
import type { Db } from './db.js'

/** A time as ms since the epoch. */
export const ms = (column: string) => `(extract(epoch FROM ${column}) * 1000)::float8`

/** Ids that slots of schedules have; only of those runs the facts of the start are read. */
export const slotId = '%@____-__-__T__:__:__.___Z'

export const rowColumns = `
  CASE WHEN r.id LIKE '${slotId}' THEN (SELECT h.facts FROM stet_store.history h WHERE h.run_id = r.run_id AND h.seq = 1) END AS start_facts,
  r.run_id, r.id, r.workflow, r.version, r.queue, r.priority, r.status, r.owner, r.claim, r.waits, r.problem, r.error_name, r.error_message,
  r.attributes, r.forked_from, r.forked_seq, r.parent_run_id, (SELECT p.id FROM stet_store.runs p WHERE p.run_id = r.parent_run_id) AS parent_id, ${ms('r.due')} AS due, ${ms('r.created_at')} AS created_at, ${ms('r.started_at')} AS started_at,
  ${ms('r.closed_at')} AS closed_at, ${ms('r.deadline')} AS deadline,
  (SELECT h.seq FROM stet_store.history h WHERE h.run_id = r.run_id ORDER BY h.seq DESC LIMIT 1) AS history_length,
  EXISTS (SELECT FROM stet_store.runs n WHERE n.id = r.id AND n.id <> n.run_id AND n.created_at > r.created_at) AS superseded`

export function toRow(row: any): RunRow {
  return {
    runId: row.run_id,
    id: row.id,
    workflow: row.workflow,
    version: row.version,
    queue: row.queue,
    priority: row.priority,
    status: row.status,
    owner: row.owner,
    claim: row.claim,
    due: row.due,
    createdAt: row.created_at,
    startedAt: row.started_at,
    closedAt: row.closed_at,
    deadline: row.deadline,
    waits: row.waits,
    problem: row.problem,
    error: row.error_name === null ? null : { name: row.error_name, message: row.error_message ?? '' },
    attributes: row.attributes,
    parent: row.parent_run_id === null ? null : { id: row.parent_id ?? row.parent_run_id, runId: row.parent_run_id },
    forkedFrom: row.forked_from === null ? null : { runId: row.forked_from, seq: row.forked_seq },
    ...(row.superseded ? { superseded: true as const } : {}),
    ...slotOf(row.start_facts ?? null),
    historyLength: row.history_length ?? 0,
  }
}

function slotOf(facts: string | null): Pick<RunRow, 'schedule'> {
  const { schedule, scheduledFor } = JSON.parse(facts ?? '{}')
  return schedule === undefined ? {} : { schedule: { id: schedule, slot: scheduledFor } }
}

export async function findRun(db: Db, ref: string): Promise<RunRow | null> {
  const { rows } = await db.query({
    name: 'stet_find',
    text: `SELECT ${rowColumns} FROM stet_store.runs r WHERE r.run_id = stet_store.find_run($1)`,
    values: [ref],
  })
  return rows.length === 0 ? null : toRow(rows[0])
}

/** What came of those runs that have closed. */
export async function readResults(db: Db, runIds: readonly string[]): Promise<RunResult[]> {
  const { rows } = await db.query({
    name: 'stet_results',
    text: `SELECT r.run_id, r.status, h.payload, CASE WHEN r.status = 'continued' THEN h.facts::json ->> 'runId' END AS successor
             FROM unnest($1::text[]) AS u(run_id) JOIN stet_store.runs r ON r.run_id = u.run_id,
                  LATERAL (SELECT h.payload, h.facts FROM stet_store.history h WHERE h.run_id = r.run_id ORDER BY h.seq DESC LIMIT 1) h
            WHERE r.closed_at IS NOT NULL`,
    values: [textArray(runIds)],
  })
  return rows.map(({ run_id: runId, status, payload, successor }) => ({ runId, status, payload, successor }))
}
