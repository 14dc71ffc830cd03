/**
 * What the database knows of why a run is where it is.
 *
 * K1. Two short statements, sent together, each by index: they cost the same beside a million runs. Whatever could be
 *     many is counted up to a limit (`maxCounted`, `maxNamed`).
 * K2. Nothing is locked and nothing is written. The lock of the owner's session is tried, shared, for the moment of
 *     the statement: whether it is held tells whether the process lives.
 */
import type { GateAhead } from '../limits.js'
import { maxCounted, type RunDiagnosis, type RunRow } from '../port.js'
import type { Db } from './db.js'
import { readGatesAhead } from './limits.js'
import { findRun } from './reads.js'

/** So many queues, versions and workers are named. */
const maxNamed = 20

/** A run that goes on all the time is taken as it is. */
const maxTries = 5

/**
 * One row for the run. The runs ahead of it are those that the workers that could take it take first: one range of
 * `runs_ready` for each workflow and version that they have.
 */
export const diagnosis = `
WITH c AS MATERIALIZED (SELECT stet_store.clock() AS at),
r AS MATERIALIZED (SELECT * FROM stet_store.runs WHERE run_id = stet_store.find_run($1)),
live AS MATERIALIZED (SELECT w.* FROM stet_store.workers w WHERE w.expires_at > clock_timestamp()),
code AS MATERIALIZED (
  SELECT l.id, q.queue, v.version, q.queue = r.queue AS here
    FROM r, live l, unnest(l.workflows, l.versions) v(name, version), unnest(l.queues) q(queue) WHERE v.name = r.workflow),
able AS MATERIALIZED (
  SELECT DISTINCT code.id FROM r, code WHERE code.here AND r.version IN (code.version, 0)),
lanes AS MATERIALIZED (
  SELECT DISTINCT v.name, x.version FROM able JOIN live l USING (id), unnest(l.workflows, l.versions) v(name, version),
         LATERAL (VALUES (v.version), (0)) x(version)),
ahead AS MATERIALIZED (
  SELECT count(*)::int AS count FROM (
    SELECT FROM r, c, lanes l, LATERAL (
      (SELECT 1 FROM stet_store.runs q WHERE q.status = 'pending' AND q.queue = r.queue AND q.workflow = l.name AND q.version = l.version
                                         AND q.priority > r.priority AND q.due <= c.at LIMIT $2)
      UNION ALL
      (SELECT 1 FROM stet_store.runs q WHERE q.status = 'pending' AND q.queue = r.queue AND q.workflow = l.name AND q.version = l.version
                                         AND q.priority = r.priority AND q.due < least(r.due, c.at) LIMIT $2)) x
     WHERE r.status = 'pending' LIMIT $2) y)
SELECT r.run_id, r.status, r.owner, r.claim, r.crashes, r.msgs, r.seen, (extract(epoch FROM c.at) * 1000)::float8 AS now, ahead.count AS ahead,
       (SELECT json_build_object('id', w.id, 'host', w.host, 'pid', w.pid, 'expired', w.expires_at <= clock_timestamp(),
                 'beatAgeMs', greatest(0, extract(epoch FROM clock_timestamp() - w.beat_at) * 1000)::float8,
                 'leaseMs', (extract(epoch FROM w.expires_at - w.beat_at) * 1000)::float8,
                 'processGone', w.beat_at > pg_postmaster_start_time()
                                AND pg_try_advisory_xact_lock_shared(hashtextextended('stet worker ' || w.id, 0)))
          FROM stet_store.workers w WHERE w.id = r.owner) AS owner_row,
       (SELECT count(*)::int FROM live) AS live,
       (SELECT count(*)::int FROM live l WHERE r.queue = ANY(l.queues)) AS listening,
       (SELECT coalesce(json_agg(x.queue), '[]') FROM (SELECT DISTINCT q.queue FROM live l, unnest(l.queues) q(queue) ORDER BY 1 LIMIT $3) x) AS queues,
       (SELECT coalesce(json_agg(x.version), '[]') FROM (SELECT DISTINCT code.version FROM code WHERE code.here ORDER BY 1 LIMIT $3) x) AS versions,
       (SELECT coalesce(json_agg(x), '[]') FROM (SELECT DISTINCT code.queue, code.version FROM code WHERE NOT code.here ORDER BY 1, 2 LIMIT $3) x) AS elsewhere,
       (SELECT count(*)::int FROM able) AS able_count,
       (SELECT coalesce(json_agg(x), '[]') FROM (
          SELECT l.id, greatest(0, extract(epoch FROM clock_timestamp() - l.beat_at) * 1000)::float8 AS "beatAgeMs",
                 (extract(epoch FROM l.expires_at - l.beat_at) * 1000)::float8 AS "leaseMs",
                 (SELECT count(*)::int FROM (SELECT FROM stet_store.runs o WHERE o.owner = l.id LIMIT $2) y) AS runs
            FROM able JOIN live l USING (id) ORDER BY l.id LIMIT $3) x) AS able,
       (SELECT coalesce(json_agg(x), '[]') FROM (
          SELECT i.kind, i.name, count(*)::int AS count, (extract(epoch FROM min(i.at)) * 1000)::float8 AS oldest
            FROM (SELECT kind, name, at FROM stet_store.inbox WHERE run_id = r.run_id ORDER BY n LIMIT $2) i
           GROUP BY 1, 2 ORDER BY 4 LIMIT $3) x) AS unread,
       (SELECT count(*)::int FROM (SELECT FROM stet_store.queries q WHERE q.workflow = r.workflow AND q.version = r.version AND q.taken_by IS NULL
                                      AND q.run_id = r.run_id LIMIT $2) x) AS queries
  FROM r, c, ahead`

/** Null: there is no such run. */
export async function diagnose(db: Db, ref: string): Promise<RunDiagnosis | null> {
  for (let tries = 1; ; tries++) {
    const [row, { rows }] = await Promise.all([
      findRun(db, ref),
      db.query({ name: 'stet_diagnosis', text: diagnosis, values: [ref, maxCounted + 1, maxNamed] }),
    ])
    const facts = rows[0]
    if (row === null) return null
    // Between the two statements the run went on: what they say does not belong together.
    if (facts === undefined || (!isSameState(row, facts) && tries < maxTries)) continue
    return toDiagnosis(row, facts, row.status === 'pending' ? await readGatesAhead(db, row.runId) : [])
  }
}

function isSameState(row: RunRow, facts: any): boolean {
  return (
    row.runId === facts.run_id && row.status === facts.status && row.owner === facts.owner && row.claim === facts.claim
  )
}

function toDiagnosis(run: RunRow, facts: any, gates: readonly GateAhead[]): RunDiagnosis {
  return {
    run,
    now: facts.now,
    crashes: facts.crashes,
    owner: facts.owner_row,
    workers: {
      live: facts.live,
      listening: facts.listening,
      queues: facts.queues,
      versions: facts.versions,
      elsewhere: facts.elsewhere,
      ableCount: facts.able_count,
      able: facts.able,
    },
    ahead: facts.ahead,
    gates,
    unseen: facts.msgs > facts.seen,
    unread: facts.unread,
    queries: facts.queries,
  }
}
