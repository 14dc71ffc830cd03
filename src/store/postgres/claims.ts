import type { RecordedEvent } from '../../core/events.js'
import { parseJson } from '../../core/json.js'
import type { ClaimHow } from '../limits.js'
import { type ClaimedRun, type LoadedRun, suspectAfter, type WorkerLanes } from '../port.js'
import { intArray, textArray } from './arrays.js'
import type { Db } from './db.js'
import { readMessages } from './messages.js'

/** So much waiting counts as much as one of priority, in a claim that looks at age. */
const ageOfPriority = "interval '1 minute'"

const lane = 'r.queue = lane.queue AND r.workflow = lane.workflow AND r.version = lane.version'

/** The first of a lane: by priority, then by age. */
const byPriority = `
           SELECT r.run_id, r.claim, r.priority, r.due, lane.code
             FROM stet_store.runs r
            WHERE r.status = 'pending' AND ${lane} AND r.line = ''
              AND r.due <= (SELECT now FROM w) AND (r.crashes >= $7) = $8
            ORDER BY r.priority DESC, r.due LIMIT $6 FOR UPDATE SKIP LOCKED`

/** The first of each priority of a lane: among them are those that have waited the longest for theirs. */
const byAge = `
           WITH RECURSIVE level AS (
             (SELECT r.priority FROM stet_store.runs r WHERE r.status = 'pending' AND ${lane} AND r.line = '' ORDER BY r.priority DESC LIMIT 1)
             UNION ALL
             SELECT n.priority FROM level l, LATERAL (
               SELECT r.priority FROM stet_store.runs r
                WHERE r.status = 'pending' AND ${lane} AND r.line = '' AND r.priority < l.priority ORDER BY r.priority DESC LIMIT 1) n)
           SELECT y.*, lane.code FROM level l, LATERAL (
             SELECT r.run_id, r.claim, r.priority, r.due
               FROM stet_store.runs r
              WHERE r.status = 'pending' AND ${lane} AND r.line = '' AND r.priority = l.priority
                AND r.due <= (SELECT now FROM w) AND (r.crashes >= $7) = $8
              ORDER BY r.due LIMIT $6 FOR UPDATE SKIP LOCKED) y`

/**
 * Takes runs that are ready. One range of `runs_ready` per lane, so runs that this worker has no code for cost nothing;
 * lanes that have limits are passed over. The claim itself need not be on disk before the worker begins: if it is lost in
 * a crash of the server, the worker's first append is refused. A run that was never claimed has a history of one event,
 * which comes along.
 */
function claimText(candidates: string, order: (row: string) => string): string {
  return `
WITH w AS MATERIALIZED (
  -- Not the truncated time decides: a message of this millisecond has made a run ready within it.
  SELECT date_trunc('milliseconds', stet_store.clock()) AS at, stet_store.clock() AS now, set_config('synchronous_commit', 'off', true)
    FROM stet_store.workers WHERE id = $1 FOR KEY SHARE),
c AS MATERIALIZED (
  SELECT x.run_id, x.claim, lane.version FROM unnest($2::text[], $3::text[], $4::int[], $5::int[]) AS lane(queue, workflow, version, code),
         LATERAL (${candidates}) x
   WHERE NOT EXISTS (SELECT FROM stet_store.limits l WHERE (l.scope = 'queue' AND l.name = lane.queue) OR (l.scope = 'workflow' AND l.name = lane.workflow))
   ORDER BY ${order('x')} LIMIT $6),
u AS (
  UPDATE stet_store.runs r
     SET status = 'running', owner = $1, claim = r.claim + 1, started_at = coalesce(r.started_at, w.at), waits = NULL, problem = NULL,
         version = CASE WHEN r.version = 0 THEN (SELECT max(l.code) FROM unnest($3::text[], $5::int[]) l(workflow, code) WHERE l.workflow = r.workflow) ELSE r.version END
    FROM c, w WHERE r.run_id = c.run_id
  RETURNING r.run_id, r.id, r.workflow, r.version, r.queue, r.claim, r.msgs, r.crashes, r.deadline, r.priority, r.due, r.parent_run_id IS NOT NULL AS has_parent)
SELECT u.run_id, u.id, u.workflow, u.version, u.queue, u.claim, u.msgs, u.crashes, u.has_parent, (extract(epoch FROM u.deadline) * 1000)::float8 AS deadline_ms, h.payload, h.facts, (extract(epoch FROM h.at) * 1000)::float8 AS at
  FROM u LEFT JOIN stet_store.history h ON h.run_id = u.run_id AND h.seq = 1 AND u.claim = 1
 ORDER BY ${order('u')}`
}

const claim = { name: 'stet_claim', text: claimText(byPriority, (row) => `${row}.priority DESC, ${row}.due`) }
const claimAged = {
  name: 'stet_claim_aged',
  text: claimText(byAge, (row) => `${row}.due - ${row}.priority * ${ageOfPriority}`),
}

/** The same for lanes that have limits; `next_at` is the same in all rows, of which there is one at least. */
const claimInLine = {
  name: 'stet_claim_in_line',
  text: 'SELECT * FROM stet_store.claim_in_line($1, $2::text[], $3::text[], $4::int[], $5::int[], $6, $7, $8, $9)',
}

/** None when the worker may not write any more: its next append or beat tells. */
export async function claimRuns(
  db: Db,
  workerId: string,
  lanes: WorkerLanes,
  limit: number,
  { suspects, aged }: ClaimHow,
): Promise<ClaimedRun[]> {
  const values = [workerId, ...lanesOf(lanes), limit, suspectAfter, suspects]
  const { rows } = await db.calls.query({ ...(aged ? claimAged : claim), values })
  return rows.map(toClaimed)
}

export async function claimRunsInLine(
  db: Db,
  workerId: string,
  lanes: WorkerLanes,
  limit: number,
  { suspects, aged }: ClaimHow,
): Promise<{ runs: ClaimedRun[]; nextAt: number | null }> {
  const values = [workerId, ...lanesOf(lanes), limit, suspectAfter, suspects, aged]
  const { rows } = await db.calls.query({ ...claimInLine, values })
  return { runs: rows.filter((row) => row.run_id !== null).map(toClaimed), nextAt: rows[0]?.next_at ?? null }
}

/** Queues, workflows, versions, and which version takes those whose version is open. */
function lanesOf(lanes: WorkerLanes): unknown[] {
  const rows: { queue: string; workflow: string; version: number; code: number }[] = []
  for (const queue of lanes.queues) {
    for (const { name, version } of lanes.workflows) {
      rows.push({ queue, workflow: name, version, code: version })
      // Runs whose version is still open go to whoever comes first, under the highest version that it has.
      const versions = lanes.workflows.filter((each) => each.name === name).map((each) => each.version)
      if (version === versions[0]) rows.push({ queue, workflow: name, version: 0, code: Math.max(...versions) })
    }
  }
  return [
    textArray(rows.map((row) => row.queue)),
    textArray(rows.map((row) => row.workflow)),
    intArray(rows.map((row) => row.version)),
    intArray(rows.map((row) => row.code)),
  ]
}

function toClaimed(row: any): ClaimedRun {
  return {
    runId: row.run_id,
    id: row.id,
    workflow: row.workflow,
    version: row.version,
    queue: row.queue,
    claim: row.claim,
    msgs: row.msgs,
    crashes: row.crashes,
    deadline: row.deadline_ms,
    hasParent: row.has_parent,
    started:
      row.claim === 1 && row.at !== null ? toEvent({ ...row, seq: 1, type: 'RunStarted', op: 0, name: null }) : null,
  }
}

/** A page of each history: events after a seq, in order. A long history is many short statements, none of them slow. */
const readHistory = `
SELECT h.run_id, h.seq, h.type, h.op, h.name, h.payload, h.facts, (extract(epoch FROM h.at) * 1000)::float8 AS at
  FROM unnest($1::text[], $2::int[]) AS u(id, after),
       LATERAL (SELECT * FROM stet_store.history h WHERE h.run_id = u.id AND h.seq > u.after ORDER BY h.seq LIMIT $3) h`

export const historyPage = 5_000

export function toEvent(row: any): RecordedEvent {
  return {
    seq: row.seq,
    type: row.type,
    op: row.op,
    name: row.name,
    payload: row.payload,
    facts: row.facts === null ? null : parseJson(row.facts),
    at: row.at,
  }
}

export async function readHistories(
  db: Pick<Db, 'query'>,
  runIds: readonly string[],
  page = historyPage,
): Promise<Map<string, RecordedEvent[]>> {
  const found = new Map<string, RecordedEvent[]>(runIds.map((runId) => [runId, []]))
  let left = [...runIds]
  while (left.length > 0) {
    const { rows } = await db.query({
      name: 'stet_history',
      text: readHistory,
      values: [textArray(left), intArray(left.map((runId) => found.get(runId)!.at(-1)?.seq ?? 0)), page],
    })
    const read = new Map<string, number>()
    for (const row of rows) {
      found.get(row.run_id)!.push(toEvent(row))
      read.set(row.run_id, (read.get(row.run_id) ?? 0) + 1)
    }
    left = left.filter((runId) => read.get(runId) === page)
  }
  return found
}

/** All that a worker needs to go on with runs that it has claimed. A statement of its own, after the claim's commit. */
export async function loadRuns(db: Db, runIds: readonly string[]): Promise<Map<string, LoadedRun>> {
  const [histories, inboxes, checkpoints] = await Promise.all([
    readHistories(db, runIds),
    readMessages(db, runIds),
    db.query({
      name: 'stet_checkpoints',
      text: 'SELECT run_id, op, payload FROM unnest($1::text[]) AS u(id) JOIN stet_store.checkpoints ON run_id = u.id',
      values: [textArray(runIds)],
    }),
  ])
  return new Map(
    runIds.map((runId) => [
      runId,
      {
        events: histories.get(runId) ?? [],
        inbox: inboxes.get(runId)?.messages ?? [],
        checkpoints: new Map(
          checkpoints.rows.filter((row) => row.run_id === runId).map((row) => [row.op, row.payload]),
        ),
      },
    ]),
  )
}

/** Gives waiting runs that are due back to be claimed, a thousand at a time. */
export async function wakeDue(db: Db): Promise<number> {
  const { rowCount } = await db.query({
    name: 'stet_wake',
    text: `
      WITH d AS MATERIALIZED (
        SELECT run_id FROM stet_store.runs WHERE status = 'waiting' AND due <= (SELECT stet_store.clock())
         ORDER BY due LIMIT 1000 FOR UPDATE SKIP LOCKED)
      UPDATE stet_store.runs r SET status = 'pending' FROM d WHERE r.run_id = d.run_id`,
    values: [],
  })
  return rowCount ?? 0
}
