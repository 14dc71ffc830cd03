import { type Beat, quarantineAfter, suspectAfter, type TakenOver, type WorkerInfo, type WorkerLanes } from '../port.js'
import { intArray, textArray } from './arrays.js'
import type { Db, Query, Rows } from './db.js'

/** The key of the lock that a worker's session holds for as long as its process lives. */
export const lockWorker = (workerId: string): Query => ({
  text: `SELECT pg_advisory_lock(hashtextextended('stet worker ' || $1, 0))`,
  values: [workerId],
})

/** Makes the row that allows a worker to write. */
export const registerQuery = (worker: WorkerInfo, leaseMs: number): Query => ({
  text: `INSERT INTO stet_store.workers (id, expires_at, pid, host, queues, workflows, versions)
         VALUES ($1, clock_timestamp() + $2 * interval '1 ms', $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING`,
  values: [
    worker.id,
    leaseMs,
    worker.pid,
    worker.host,
    textArray(worker.queues),
    textArray(worker.workflows.map((w) => w.name)),
    intArray(worker.workflows.map((w) => w.version)),
  ],
})

const beat = `
WITH b AS (
  UPDATE stet_store.workers SET beat_at = clock_timestamp(), expires_at = clock_timestamp() + $2 * interval '1 ms' WHERE id = $1
  RETURNING id),
c AS MATERIALIZED (SELECT stet_store.clock() AS at)
SELECT (extract(epoch FROM c.at) * 1000)::float8 AS now,
       EXISTS (SELECT FROM unnest($3::text[], $4::text[], $5::int[]) AS lane(queue, workflow, version),
                      LATERAL (SELECT FROM stet_store.runs r
                                WHERE r.status = 'pending' AND r.queue = lane.queue AND r.workflow = lane.workflow
                                  AND r.version IN (lane.version, 0) AND r.due <= c.at LIMIT 1) x) AS ready,
       EXISTS (SELECT FROM stet_store.runs r WHERE r.status = 'pending' AND r.crashes > 1 AND r.due <= c.at) AS suspects,
       (SELECT (extract(epoch FROM min(due)) * 1000)::float8 FROM stet_store.runs WHERE status = 'waiting' AND due IS NOT NULL) AS next_due,
       (SELECT (extract(epoch FROM min(next_at)) * 1000)::float8 FROM stet_store.schedules WHERE next_at IS NOT NULL) AS next_schedule,
       EXISTS (SELECT FROM stet_store.chores) AS chores, EXISTS (SELECT FROM stet_store.queries WHERE taken_by IS NULL) AS queries,
       EXISTS (SELECT FROM stet_store.limits l WHERE (l.scope = 'queue' AND l.name = ANY($3)) OR (l.scope = 'workflow' AND l.name = ANY($4))) AS limited,
       EXISTS (SELECT FROM stet_store.bulks WHERE state = 'running') AS bulks,
       EXISTS (SELECT FROM stet_store.workers w WHERE w.expires_at < clock_timestamp())
       OR EXISTS (SELECT FROM stet_store.runs r WHERE r.owner IS NOT NULL
                     AND NOT EXISTS (SELECT FROM stet_store.workers w WHERE w.id = r.owner)) 
       OR EXISTS (SELECT FROM stet_store.runs r WHERE r.status = 'waiting' AND r.msgs > r.seen AND r.claim > 0) AS overdue,
       (SELECT count(*)::int FROM stet_store.runs r WHERE r.owner = $1) AS owned,
       (SELECT coalesce(json_agg(json_build_object('runId', r.run_id, 'msgs', r.msgs)), '[]')
          FROM stet_store.runs r WHERE r.owner = $1 AND r.msgs > 0) AS msgs,
       coalesce((SELECT min(w.id) FROM stet_store.workers w WHERE w.id > $1),
                (SELECT min(w.id) FROM stet_store.workers w WHERE w.id <> $1)) AS neighbour
  FROM b, c`

/** One statement that says "alive", and asks all that an idle worker wants to know. */
export function beatQuery(workerId: string, leaseMs: number, lanes: WorkerLanes): Query {
  const rows = lanes.queues.flatMap((queue) => lanes.workflows.map((workflow) => ({ queue, ...workflow })))
  return {
    name: 'stet_beat',
    text: beat,
    values: [
      workerId,
      leaseMs,
      textArray(rows.map((row) => row.queue)),
      textArray(rows.map((row) => row.name)),
      intArray(rows.map((row) => row.version)),
    ],
  }
}

/** Reads the answer; null: the worker's row is gone. */
export function readBeat({ rows }: Rows): Beat | null {
  const row = rows[0]
  if (row === undefined) return null
  return {
    now: row.now,
    ready: row.ready,
    suspects: row.suspects,
    chores: row.chores,
    queries: row.queries,
    limited: row.limited,
    bulks: row.bulks,
    nextDue: row.next_due,
    nextSchedule: row.next_schedule,
    overdue: row.overdue,
    owned: row.owned,
    msgs: row.msgs,
    neighbour: row.neighbour,
  }
}

/** Waits until a worker's session is gone (true), or for a while (false). */
export const awaitWorkerEnd = (workerId: string, patienceMs: number): Query => ({
  name: 'stet_await_worker_end',
  text: 'SELECT stet_store.await_worker_end($1, $2) AS ended',
  values: [workerId, `${patienceMs}ms`],
})

/**
 * True when the session of a worker is gone although the server has been up since its last beat: after a restart of
 * the server nobody holds a lock for a moment, and that says nothing.
 */
export const isWorkerGone = (workerId: string): Query => ({
  name: 'stet_is_worker_gone',
  text: `SELECT EXISTS (SELECT FROM stet_store.workers WHERE id = $1 AND beat_at > pg_postmaster_start_time())
            AND pg_try_advisory_xact_lock_shared(hashtextextended('stet worker ' || $1, 0)) AS gone`,
  values: [workerId],
})

/** Workers whose sessions are gone although the server has been up since their last beat. */
export async function goneWorkers(db: Db): Promise<string[]> {
  const { rows } = await db.query({
    text: `SELECT id FROM stet_store.workers WHERE beat_at > pg_postmaster_start_time()
              AND pg_try_advisory_xact_lock_shared(hashtextextended('stet worker ' || id, 0))`,
  })
  return rows.map((row) => row.id)
}

const giveBack = `
WITH c AS MATERIALIZED (SELECT stet_store.clock() AS at),
-- Owners, not runs: a row that changed since the snapshot is looked at again as it is now, but whether its owner is
-- there would be asked of the snapshot, and a worker that registered since would seem to be gone. Ids do not come back.
d AS MATERIALIZED (
  SELECT DISTINCT r.owner FROM stet_store.runs r
   WHERE r.owner IS NOT NULL AND NOT EXISTS (SELECT FROM stet_store.workers w WHERE w.id = r.owner)),
o AS MATERIALIZED (
  SELECT r.run_id, r.crashes, r.crash_seq,
         (SELECT h.seq FROM stet_store.history h WHERE h.run_id = r.run_id AND h.type NOT IN ('StepScheduled', 'TimerStarted')
           ORDER BY h.seq DESC LIMIT 1) AS seq
    FROM stet_store.runs r
   WHERE r.owner IN (SELECT owner FROM d)
   ORDER BY r.run_id LIMIT 5000 FOR NO KEY UPDATE OF r SKIP LOCKED),
n AS (
  SELECT o.run_id, o.seq, o.seq > o.crash_seq AS got_on,
         CASE WHEN o.seq > o.crash_seq THEN greatest(1, least(o.crashes, $1)) ELSE o.crashes + 1 END AS crashes
    FROM o)
UPDATE stet_store.runs r
   -- Whoever got nowhere twice is tried again after 2, 4 and 8 s: somebody else may be killing the workers, and will stop.
   SET owner = NULL, due = c.at + CASE WHEN n.got_on OR n.crashes < $1 THEN 0 ELSE 2 ^ (n.crashes - 1) END * interval '1 s',
       crashes = n.crashes, crash_seq = n.seq,
       status = CASE WHEN n.crashes >= $2 THEN 'blocked' ELSE 'pending' END,
       problem = CASE WHEN n.crashes >= $2 THEN json_build_object('code', 'crash_loop', 'message',
         'the process of its worker ended ' || n.crashes || ' times in a row while it ran, without getting on. Mend what ends the process, then: stet resume ' || r.run_id)::text END
  FROM n, c WHERE r.run_id = n.run_id
RETURNING r.run_id, r.status, CASE WHEN r.due > c.at THEN (extract(epoch FROM r.due) * 1000)::float8 END AS due`

/** Gives back runs that a live worker owns and does not hold. */
export async function giveBackStrays(db: Db, workerId: string, held: readonly string[]): Promise<number> {
  const { rowCount } = await db.calls.query({
    text: `UPDATE stet_store.runs r SET owner = NULL, status = 'pending', due = stet_store.clock()
             FROM (SELECT run_id FROM stet_store.runs WHERE owner = $1 AND run_id <> ALL($2::text[]) FOR NO KEY UPDATE SKIP LOCKED) x
            WHERE r.run_id = x.run_id`,
    values: [workerId, textArray(held)],
  })
  return rowCount ?? 0
}

const wakeUnread = `
UPDATE stet_store.runs r SET status = 'pending', due = stet_store.clock()
  FROM (SELECT run_id FROM stet_store.runs WHERE status = 'waiting' AND msgs > seen AND claim > 0 LIMIT 1000 FOR NO KEY UPDATE SKIP LOCKED) x
 WHERE r.run_id = x.run_id`

/**
 * Ends workers and gives their runs back. First the rows of the workers go, and that commits: from then on nothing of
 * theirs is accepted. Only then others may own their runs and read the histories.
 */
export async function takeOver(db: Db, dead: readonly string[]): Promise<TakenOver> {
  const ended = await db.query({
    text: 'DELETE FROM stet_store.workers WHERE expires_at < clock_timestamp() OR id = ANY($1::text[])',
    values: [textArray(dead)],
  })
  let runs = 0
  let nextDue: number | null = null
  const quarantined: string[] = []
  for (;;) {
    const { rows } = await db.query({ text: giveBack, values: [suspectAfter, quarantineAfter] })
    runs += rows.length
    for (const row of rows) {
      if (row.status === 'blocked') quarantined.push(row.run_id)
      else if (row.due !== null) nextDue = Math.min(row.due, nextDue ?? row.due)
    }
    if (rows.length < 5000) break
  }
  await db.query({ text: wakeUnread })
  return { workers: ended.rowCount ?? 0, runs, quarantined, nextDue }
}
