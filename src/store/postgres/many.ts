/**
 * What is done to many runs in one transaction. Each function is given rows that the transaction has locked.
 *
 * Y1. No statement waits for a row: what cannot be locked at once is left to the caller, who tries again later. So whoever
 *     waits for these transactions is waited for by none of them, and no circle of waits can come to be.
 * Y2. A run is closed, told or deleted by what it is under the lock, not by what it was when it was looked for.
 */
import type { BulkOperation } from '../../core/bulk-types.js'
import { closedStatuses } from '../../core/statuses.js'
import type { RunStatus } from '../../core/types.js'
import type { BulkWords } from '../bulks.js'
import { textArray } from './arrays.js'
import type { Query, Rows } from './db.js'

export type Run = (query: Query) => Promise<Rows>

/** A run whose row this transaction has locked. */
export interface Locked {
  readonly runId: string
  readonly status: RunStatus
  readonly owner: string | null
  readonly claim: number
  readonly queue: string
  readonly parent: string | null
  readonly parentOpen: boolean
  /** Its history or its inbox is too long to be deleted with others by one statement. */
  readonly long: boolean
  /** Its children are still to be told that it has closed. */
  readonly untold: boolean
}

/** `held`: somebody has them locked. `gone`: they are no more. */
export interface Locks {
  readonly locked: Locked[]
  readonly held: string[]
  readonly gone: string[]
}

/** What became of the runs of a part; who is to be told of it. */
export interface Outcome {
  done: number
  failed: number
  /** Without a message: what the code says. */
  readonly refused: { readonly runId: string; readonly code: string; readonly message?: string }[]
  /** Of those that failed. */
  readonly examples: { readonly runId: string; readonly code: string; readonly message: string }[]
  /** Somebody has their parents locked, whom their ends concern. */
  readonly held: string[]
  readonly closed: string[]
  readonly messaged: string[]
  readonly ready: Set<string>
}

export const nothing = (): Outcome => ({
  ...{ done: 0, failed: 0, refused: [], examples: [], held: [], closed: [], messaged: [] },
  ready: new Set(),
})

/** Above so many events or messages the rows of a deleted run go piece by piece. */
const maxAtOnce = 1_000

/** Looks at the rows that it gets under their locks: a lock that is had late sees what was written meanwhile. */
export async function lockRuns(query: Run, runIds: readonly string[]): Promise<Locks> {
  const { rows } = await query({
    name: 'stet_many_lock',
    text: `SELECT r.run_id, r.status, r.owner, r.claim, r.queue, r.parent_run_id, r.msgs FROM stet_store.runs r
            WHERE r.run_id IN (SELECT unnest($1::text[])) ORDER BY r.run_id FOR UPDATE SKIP LOCKED`,
    values: [textArray(runIds)],
  })
  const ids = rows.map((row) => row.run_id)
  const { rows: more } = await query({
    name: 'stet_many_look',
    text: `SELECT u.run_id, r.run_id IS NULL AS gone,
                  EXISTS (SELECT FROM stet_store.runs p WHERE p.run_id = r.parent_run_id AND p.closed_at IS NULL) AS parent_open,
                  EXISTS (SELECT FROM stet_store.chores c WHERE c.run_id = r.run_id) AS untold,
                  (SELECT h.seq FROM stet_store.history h WHERE h.run_id = r.run_id ORDER BY h.seq DESC LIMIT 1) AS seq
             FROM unnest($1::text[]) AS u(run_id) LEFT JOIN stet_store.runs r ON r.run_id = u.run_id`,
    values: [textArray(runIds)],
  })
  const about = new Map(more.map((row) => [row.run_id, row]))
  const isLocked = new Set(ids)
  const others = runIds.filter((runId) => !isLocked.has(runId))
  return {
    locked: rows.map(({ run_id: runId, status, owner, claim, queue, parent_run_id: parent, msgs }) => {
      const { parent_open: parentOpen, untold, seq } = about.get(runId)
      return {
        runId,
        status,
        owner,
        claim,
        queue,
        parent,
        parentOpen,
        untold,
        long: seq > maxAtOnce || msgs > maxAtOnce,
      }
    }),
    held: others.filter((runId) => !about.get(runId).gone),
    gone: others.filter((runId) => about.get(runId).gone),
  }
}

const isClosed = ({ status }: Locked) => closedStatuses.includes(status)
const ids = (runs: readonly Locked[]) => runs.map(({ runId }) => runId)

/** `mark`: the id of the messages, so that a run takes one of them once. */
export async function doMany(
  query: Run,
  operation: Exclude<BulkOperation, 'retry' | 'fork'>,
  runs: readonly Locked[],
  words: BulkWords,
  mark: string,
): Promise<Outcome> {
  const outcome = nothing()
  const { refused } = outcome
  const left = (code: string, fits: (run: Locked) => boolean, of: readonly Locked[]): Locked[] => {
    for (const run of of) if (!fits(run)) refused.push({ runId: run.runId, code })
    return of.filter(fits)
  }
  if (operation === 'cancel' || operation === 'terminate') {
    const open = left('run_closed', (run) => !isClosed(run), runs)
    const closing = open.filter(({ owner, claim }) => owner === null && (claim === 0 || operation === 'terminate'))
    await closeMany(query, operation, closing, words, outcome)
    const others = open.filter((run) => !closing.includes(run))
    await tell(query, operation, others, words.payload, mark, outcome)
  } else if (operation === 'pause') {
    const open = left(
      'blocked',
      ({ status }) => status !== 'blocked',
      left('run_closed', (run) => !isClosed(run), runs),
    )
    await pauseMany(query, ids(open.filter(({ owner }) => owner === null)), words, outcome)
    await tell(
      query,
      'pause',
      open.filter(({ owner }) => owner !== null),
      words.payload,
      mark,
      outcome,
    )
  } else if (operation === 'resume') {
    await resumeMany(
      query,
      left('not_resumable', ({ status }) => status === 'paused' || status === 'blocked', runs),
      outcome,
    )
  } else {
    const { free, refused: stay } = deletable(runs)
    refused.push(...stay)
    outcome.done += await deleteMany(query, free)
  }
  return outcome
}

// ── closing ──────────────────────────────────────────────────────────────────────────────────────

async function closeMany(
  query: Run,
  how: 'cancel' | 'terminate',
  runs: readonly Locked[],
  words: BulkWords,
  outcome: Outcome,
): Promise<void> {
  // Their ends go into the inboxes of parents, whose rows are locked for that; the others are another part's.
  const parents = [...new Set(runs.flatMap(({ parent, parentOpen }) => (parentOpen ? [parent!] : [])))]
  const ours = new Set<string>()
  if (parents.length > 0) {
    const { rows } = await query({
      name: 'stet_many_parents',
      text: `SELECT r.run_id FROM stet_store.runs r WHERE r.run_id IN (SELECT unnest($1::text[]))
              ORDER BY r.run_id FOR NO KEY UPDATE SKIP LOCKED`,
      values: [textArray(parents)],
    })
    for (const { run_id: runId } of rows) ours.add(runId)
  }
  const closing = runs.filter(({ parent, parentOpen }) => !parentOpen || ours.has(parent!))
  outcome.held.push(...ids(runs.filter((run) => !closing.includes(run))))
  if (closing.length === 0) return
  const facts = (fields: object) =>
    JSON.stringify({ ...fields, ...(words.facts === null ? {} : { reason: words.facts }) })
  const events: readonly (readonly [string, string])[] =
    how === 'terminate'
      ? [['RunTerminated', facts({})]]
      : [
          ['CancelRequested', facts({})],
          ['RunCancelled', facts({ neverBegan: true })],
        ]
  const status = how === 'terminate' ? 'terminated' : 'cancelled'
  const closed = textArray(ids(closing))
  await query({
    name: 'stet_many_close',
    text: `
WITH c AS MATERIALIZED (SELECT date_trunc('milliseconds', stet_store.clock()) AS at),
t AS MATERIALIZED (
  SELECT u.run_id, (SELECT h.seq FROM stet_store.history h WHERE h.run_id = u.run_id ORDER BY h.seq DESC LIMIT 1) AS seq
    FROM unnest($1::text[]) AS u(run_id)),
h AS (
  INSERT INTO stet_store.history (run_id, seq, type, facts, at)
  SELECT t.run_id, t.seq + e.nth, e.type, e.facts, c.at
    FROM t, c, unnest($2::text[], $3::text[]) WITH ORDINALITY AS e(type, facts, nth)),
k AS (
  INSERT INTO stet_store.chores (run_id, at)
  SELECT t.run_id, c.at FROM t, c
   WHERE EXISTS (SELECT FROM stet_store.runs r WHERE r.parent_run_id = t.run_id AND r.closed_at IS NULL) ON CONFLICT DO NOTHING)
UPDATE stet_store.runs r SET status = $4, closed_at = c.at, due = NULL, waits = NULL, claim = r.claim + 1
  FROM t, c WHERE r.run_id = t.run_id`,
    values: [closed, textArray(events.map(([type]) => type)), textArray(events.map(([, each]) => each)), status],
  })
  if (ours.size > 0) {
    const { rows } = await query({
      name: 'stet_many_tell_parents',
      text: `
WITH c AS MATERIALIZED (SELECT stet_store.clock() AS at),
m AS MATERIALIZED (
  SELECT r.parent_run_id AS run_id, r.parent_op || ':' || r.status AS name,
         row_number() OVER (PARTITION BY r.parent_run_id ORDER BY r.run_id)::int AS nth
    FROM unnest($1::text[]) AS u(run_id) JOIN stet_store.runs r ON r.run_id = u.run_id
   WHERE r.parent_run_id IN (SELECT unnest($2::text[]))),
o AS (
  UPDATE stet_store.runs p
     SET msgs = p.msgs + g.count,
         status = CASE WHEN p.status = 'waiting' AND p.claim > 0 THEN 'pending' ELSE p.status END,
         due = CASE WHEN p.status = 'waiting' AND p.claim > 0 THEN c.at ELSE p.due END
    FROM (SELECT run_id, count(*)::int AS count FROM m GROUP BY run_id) g, c
   WHERE p.run_id = g.run_id AND p.closed_at IS NULL
  RETURNING p.run_id, p.msgs - g.count AS before),
x AS (
  INSERT INTO stet_store.inbox (run_id, n, kind, name, at)
  SELECT m.run_id, o.before + m.nth, 'child', m.name, c.at FROM m JOIN o USING (run_id), c)
SELECT run_id FROM o`,
      values: [closed, textArray([...ours])],
    })
    outcome.messaged.push(...rows.map((row) => row.run_id))
  }
  outcome.closed.push(...ids(closing))
  outcome.done += closing.length
}

// ── messages ─────────────────────────────────────────────────────────────────────────────────────

async function tell(
  query: Run,
  kind: 'cancel' | 'terminate' | 'pause',
  runs: readonly Locked[],
  payload: string | null,
  mark: string,
  outcome: Outcome,
): Promise<void> {
  if (runs.length === 0) return
  await query({
    name: 'stet_many_tell',
    text: `
WITH c AS MATERIALIZED (SELECT stet_store.clock() AS at),
k AS (
  INSERT INTO stet_store.message_ids (run_id, message_id)
  SELECT u.run_id, $4 FROM unnest($1::text[]) AS u(run_id) ON CONFLICT DO NOTHING RETURNING run_id),
p AS (
  UPDATE stet_store.runs r
     SET msgs = r.msgs + 1,
         status = CASE WHEN r.status = 'waiting' AND r.claim > 0 THEN 'pending' ELSE r.status END,
         due = CASE WHEN r.status = 'waiting' AND r.claim > 0 THEN c.at ELSE r.due END
    FROM k, c WHERE r.run_id = k.run_id
  RETURNING r.run_id, r.msgs)
INSERT INTO stet_store.inbox (run_id, n, kind, payload, at, message_id)
SELECT p.run_id, p.msgs, $2, $3, c.at, $4 FROM p, c`,
    values: [textArray(ids(runs)), kind, payload, mark],
  })
  outcome.messaged.push(...ids(runs))
  outcome.done += runs.length
}

// ── pause, resume ────────────────────────────────────────────────────────────────────────────────

/** One that is paused stays so. */
async function pauseMany(
  query: Run,
  runIds: readonly string[],
  { problem }: BulkWords,
  outcome: Outcome,
): Promise<void> {
  if (runIds.length === 0) return
  await query({
    name: 'stet_many_pause',
    text: `UPDATE stet_store.runs r SET status = 'paused', problem = $2
            WHERE r.run_id IN (SELECT unnest($1::text[])) AND r.status IN ('pending', 'waiting')`,
    values: [textArray(runIds), problem],
  })
  outcome.done += runIds.length
}

async function resumeMany(query: Run, runs: readonly Locked[], outcome: Outcome): Promise<void> {
  if (runs.length === 0) return
  // Requests to pause that nobody has read yet are void.
  await query({
    name: 'stet_many_resume',
    text: `WITH d AS (
             DELETE FROM stet_store.inbox i WHERE i.run_id IN (SELECT unnest($1::text[])) AND i.kind = 'pause'),
           w AS MATERIALIZED (
             SELECT r.run_id, r.claim = 0 AND r.due > stet_store.clock() AS waits
               FROM stet_store.runs r WHERE r.run_id IN (SELECT unnest($1::text[])))
           UPDATE stet_store.runs r
              SET status = CASE WHEN w.waits THEN 'waiting' ELSE 'pending' END,
                  due = CASE WHEN w.waits THEN r.due ELSE stet_store.clock() END,
                  problem = NULL, crashes = 0, crash_seq = 0
             FROM w WHERE r.run_id = w.run_id`,
    values: [textArray(ids(runs))],
  })
  for (const { queue } of runs) outcome.ready.add(queue)
  outcome.done += runs.length
}

// ── deleting ─────────────────────────────────────────────────────────────────────────────────────

/** Those that may go, and why the others may not. */
export function deletable(runs: readonly Locked[]): { free: Locked[]; refused: { runId: string; code: string }[] } {
  const refused: { runId: string; code: string }[] = []
  const free = runs.filter((run) => {
    const code = isClosed(run) ? (run.untold ? 'children_untold' : run.parentOpen ? 'parent_open' : null) : 'run_open'
    if (code !== null) refused.push({ runId: run.runId, code })
    return code === null
  })
  return { free, refused }
}

/** All that is kept of these runs goes with this commit; of long ones the run, and then the rest piece by piece. */
export async function deleteMany(query: Run, runs: readonly Locked[]): Promise<number> {
  if (runs.length === 0) return 0
  const { rows } = await query({
    name: 'stet_many_delete',
    text: `
WITH l AS MATERIALIZED (SELECT u.run_id, u.long FROM unnest($1::text[], $2::boolean[]) AS u(run_id, long)),
s AS MATERIALIZED (SELECT run_id FROM l WHERE NOT long),
h AS (DELETE FROM stet_store.history x WHERE x.run_id IN (SELECT run_id FROM s)),
i AS (DELETE FROM stet_store.inbox x WHERE x.run_id IN (SELECT run_id FROM s)),
m AS (DELETE FROM stet_store.message_ids x WHERE x.run_id IN (SELECT run_id FROM s)),
k AS (DELETE FROM stet_store.checkpoints x WHERE x.run_id IN (SELECT run_id FROM l)),
c AS (DELETE FROM stet_store.chores x WHERE x.run_id IN (SELECT run_id FROM l)),
o AS (INSERT INTO stet_store.leftovers (run_id) SELECT run_id FROM l WHERE long ON CONFLICT DO NOTHING),
r AS (DELETE FROM stet_store.runs x WHERE x.run_id IN (SELECT run_id FROM l) RETURNING x.run_id)
SELECT count(*)::int AS count FROM r`,
    values: [textArray(ids(runs)), runs.map(({ long }) => long)],
  })
  return rows[0].count
}
