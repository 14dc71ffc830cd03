import type { AuditEnd, AuditEntry, AuditRow } from '../overview.js'
import { textArray } from './arrays.js'
import type { Db } from './db.js'

export async function beginAudit(db: Db, entries: readonly AuditEntry[]): Promise<number[]> {
  if (entries.length === 0) return []
  const { rows } = await db.query({
    text: `INSERT INTO stet_store.audit (actor, role, action, run_id, id, details)
           SELECT actor, role, action, run_id, id, details::jsonb
             FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[])
                  WITH ORDINALITY AS u(actor, role, action, run_id, id, details, nth) ORDER BY nth
           RETURNING n::float8 AS n`,
    values: [
      textArray(entries.map(({ actor }) => actor)),
      textArray(entries.map(({ role }) => role)),
      textArray(entries.map(({ action }) => action)),
      textArray(entries.map(({ runId }) => runId)),
      textArray(entries.map(({ id }) => id)),
      textArray(entries.map(({ details }) => JSON.stringify(details))),
    ],
  })
  // Numbers are given in the order of the rows.
  return rows.map(({ n }) => n).sort((a, b) => a - b)
}

export async function endAudit(db: Db, ends: readonly AuditEnd[]): Promise<void> {
  if (ends.length === 0) return
  await db.query({
    text: `UPDATE stet_store.audit a
              SET run_id = coalesce(u.run_id, a.run_id), id = coalesce(u.id, a.id), details = a.details || u.details::jsonb
             FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]) AS u(n, run_id, id, details) WHERE a.n = u.n::bigint`,
    values: [
      textArray(ends.map(({ n }) => String(n))),
      textArray(ends.map(({ runId }) => runId)),
      textArray(ends.map(({ id }) => id)),
      textArray(ends.map(({ details }) => JSON.stringify(details))),
    ],
  })
}

export async function readAudit(
  db: Db,
  { limit, before, runId }: { readonly limit: number; readonly before?: number; readonly runId?: string },
): Promise<AuditRow[]> {
  const values: unknown[] = []
  const also = (column: string, value: unknown) => (value === undefined ? '' : ` AND ${column} $${values.push(value)}`)
  const { rows } = await db.query({
    text: `SELECT n::float8 AS n, (extract(epoch FROM at) * 1000)::float8 AS at, actor, role, action, run_id, id, details
             FROM stet_store.audit WHERE true${also('audit.n <', before)}${also('run_id =', runId)} ORDER BY audit.n DESC LIMIT ${Number(limit)}`,
    values,
  })
  return rows.map(({ run_id: runId, ...row }) => ({ ...row, runId }))
}
