/** Versions of code: which have open runs, and moving a run from one to another. */
import { openStatuses } from '../../core/statuses.js'
import { maxVersioned, type VersionCount } from '../port.js'
import type { Db } from './db.js'
import { kindsOfRuns } from './overview.js'

const open = openStatuses.map((status) => `('${status}' COLLATE "C")`).join(', ')

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

/** Of one workflow, or of all; as many of each as come to `maxVersioned` if all have as many. */
export async function countVersions(db: Db, workflow: string | null): Promise<VersionCount[]> {
  const { rows } = await db.query({
    text: `WITH RECURSIVE ${kindsOfRuns},
           w AS MATERIALIZED (SELECT * FROM kinds WHERE $1::text IS NULL OR workflow = $1),
           most AS MATERIALIZED (SELECT greatest(100, ${maxVersioned} / greatest(1, count(*))) AS n FROM w)
           SELECT w.workflow, w.version, least(c.open, most.n)::int AS open, c.open > most.n AS more,
                  EXISTS (SELECT FROM stet_store.workers k, unnest(k.workflows, k.versions) AS v(name, version)
                           WHERE k.expires_at > clock_timestamp() AND v.name = w.workflow AND w.version IN (v.version, 0)) AS served
             FROM most, w, LATERAL (
               SELECT sum(o.n) AS open FROM (VALUES ${open}) s(status), LATERAL (SELECT count(*) AS n FROM (
                 SELECT FROM stet_store.runs r WHERE r.workflow = w.workflow AND r.version = w.version AND r.status = s.status LIMIT most.n + 1) x) o) c
            WHERE c.open > 0 ORDER BY w.workflow, w.version`,
    values: [workflow],
  })
  return rows.map(({ more, ...row }) => (more ? { ...row, more } : row))
}
