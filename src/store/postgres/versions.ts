/** Versions of code: which have open runs, and moving a run from one to another. */
import type { VersionCount } from '../port.js'
import type { Db } from './db.js'

/** A run that is under way takes another version when its worker lets go of it, so it must not be owned. */
export async function setVersion(db: Db, runId: string, version: number): Promise<boolean> {
  const { rowCount } = await db.query({
    text: `UPDATE stet_store.runs
              SET version = $2, crashes = 0, crash_seq = 0,
                  status = CASE WHEN status = 'blocked' THEN 'pending' ELSE status END,
                  problem = CASE WHEN status = 'blocked' THEN NULL ELSE problem END,
                  due = CASE WHEN status = 'blocked' THEN stet_store.clock() ELSE due END
            WHERE run_id = $1 AND owner IS NULL AND closed_at IS NULL`,
    values: [runId, version],
  })
  return rowCount === 1
}

/** Of one workflow, or of all. */
export async function countVersions(db: Db, workflow: string | null): Promise<VersionCount[]> {
  const { rows } = await db.query({
    text: `SELECT r.workflow, r.version, count(*)::int AS open,
                  EXISTS (SELECT FROM stet_store.workers w, unnest(w.workflows, w.versions) AS v(name, version)
                           WHERE w.expires_at > clock_timestamp() AND v.name = r.workflow AND r.version IN (v.version, 0)) AS served
             FROM stet_store.runs r
            WHERE r.closed_at IS NULL AND ($1::text IS NULL OR r.workflow = $1)
            GROUP BY r.workflow, r.version ORDER BY r.workflow, r.version`,
    values: [workflow],
  })
  return rows as VersionCount[]
}
