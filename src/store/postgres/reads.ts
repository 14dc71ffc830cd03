import { InvalidInputError } from '../../core/errors.js'
import type { RunFilter, RunStatus } from '../../core/types.js'
import type { RunResult, RunRow } from '../port.js'
import { textArray } from './arrays.js'
import type { Db } from './db.js'

const ms = (column: string) => `(extract(epoch FROM ${column}) * 1000)::float8`

export const rowColumns = `
  r.run_id, r.id, r.workflow, r.version, r.queue, r.priority, r.status, r.owner, r.claim, r.waits, r.problem, r.error_name, r.error_message,
  r.attributes, r.forked_from, r.forked_seq, r.parent_run_id, (SELECT p.id FROM stet_store.runs p WHERE p.run_id = r.parent_run_id) AS parent_id, ${ms('r.due')} AS due, ${ms('r.created_at')} AS created_at, ${ms('r.started_at')} AS started_at,
  ${ms('r.closed_at')} AS closed_at, ${ms('r.deadline')} AS deadline,
  (SELECT h.seq FROM stet_store.history h WHERE h.run_id = r.run_id ORDER BY h.seq DESC LIMIT 1) AS history_length`

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
    historyLength: row.history_length ?? 0,
  }
}

export async function findRun(db: Db, ref: string): Promise<RunRow | null> {
  const { rows } = await db.query({
    name: 'stet_find',
    text: `SELECT ${rowColumns} FROM stet_store.runs r WHERE r.run_id = stet_store.find_run($1)`,
    values: [ref],
  })
  return rows.length === 0 ? null : toRow(rows[0])
}

const statuses: readonly RunStatus[] = [
  'pending',
  'running',
  'waiting',
  'paused',
  'blocked',
  'completed',
  'failed',
  'cancelled',
  'terminated',
  'continued',
]

/** Newest first, a page at a time; run ids carry their time. */
export async function listRuns(db: Db, filter: RunFilter): Promise<{ rows: RunRow[]; next: string | null }> {
  const limit = filter.limit ?? 50
  if (!Number.isInteger(limit) || limit < 1 || limit > 1000) {
    throw new InvalidInputError(`list: limit: expected a whole number from 1 to 1000, got ${String(limit)}.`)
  }
  const wanted = filter.status === undefined ? null : [filter.status].flat()
  const unknown = wanted?.find((status) => !statuses.includes(status))
  if (unknown !== undefined) {
    throw new InvalidInputError(`list: status: expected one of ${statuses.join(', ')}, got "${unknown}".`)
  }
  const { rows } = await db.query({
    text: `SELECT ${rowColumns} FROM stet_store.runs r
            WHERE ($1::text[] IS NULL OR r.status = ANY($1)) AND ($2::text IS NULL OR r.workflow = $2)
              AND ($3::int IS NULL OR r.version = $3) AND ($4::text IS NULL OR r.queue = $4)
              AND ($5::jsonb IS NULL OR r.attributes @> $5) AND ($6::text IS NULL OR position(lower($6) IN lower(r.error_message)) > 0)
              AND ($7::timestamptz IS NULL OR r.created_at >= $7) AND ($8::timestamptz IS NULL OR r.created_at < $8)
              AND ($9::text IS NULL OR r.run_id < $9)
            ORDER BY r.run_id DESC LIMIT $10`,
    values: [
      wanted === null ? null : textArray(wanted),
      filter.workflow ?? null,
      filter.version ?? null,
      filter.queue ?? null,
      filter.attributes === undefined ? null : JSON.stringify(filter.attributes),
      filter.error ?? null,
      filter.startedAfter ?? null,
      filter.startedBefore ?? null,
      filter.after ?? null,
      limit + 1,
    ],
  })
  const page = rows.slice(0, limit).map(toRow)
  return { rows: page, next: rows.length > limit ? page.at(-1)!.runId : null }
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
