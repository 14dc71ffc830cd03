/**
 * What becomes of run rows when their worker lets go of them.
 *
 * Fenced as appends are (A1, A2 in `appends.ts`).
 *
 * A4. Rows are changed after the events they depend on; the closing event and the status commit together, and with them
 *     what others hear of it: the parent's message, the successor of a run that continues as new, the chore of telling
 *     children.
 * A5. No statement waits for a row that another transaction has locked: it is passed over and tried again. That holds
 *     for the rows of parents too, so two workers that close each other's parents cannot wait for each other.
 */
import type { ChangeAnswer, RowAnswer, RowChange } from '../port.js'
import { floatArray, intArray, textArray } from './arrays.js'
import type { Db, Lane } from './db.js'
import { slotId } from './reads.js'

/** What the closing of runs may take with it. Each is a part of the same statement, left out where nothing needs it. */
interface Beside {
  /** Runs that close have parents, who get a message. */
  readonly parents: boolean
  /** Runs that close may have children, who are to be told. */
  readonly children: boolean
  /** Runs are continued by others, who get the messages that were not read. */
  readonly successors: boolean
}

function changeText({ parents, children, successors }: Beside): string {
  return `
WITH w AS MATERIALIZED (
  SELECT date_trunc('milliseconds', stet_store.clock()) AS at FROM stet_store.workers WHERE id = $1 FOR KEY SHARE),
v AS MATERIALIZED (
  SELECT u.* FROM unnest($2::text[], $3::int[], $4::text[], $5::int[], $6::float8[], $7::text[], $8::text[], $9::text[], $10::text[],
                         $11::int[], $12::text[], $13::text[], $14::text[]${
                           children || successors ? ', $15::boolean[], $16::text[], $17::int[], $18::text[]' : ''
                         })
              AS u(run_id, claim, status, seen, due, waits, problem, error_name, error_message, seq, type, payload, facts${
                children || successors ? ', has_children, successor, next_version, unread' : ''
              })),${
                parents
                  ? `
p AS MATERIALIZED (
  SELECT p.run_id FROM stet_store.runs p
   WHERE p.run_id IN (SELECT r.parent_run_id FROM w, v JOIN stet_store.runs r ON r.run_id = v.run_id WHERE v.seq IS NOT NULL)
     AND p.run_id NOT IN (SELECT run_id FROM v) AND p.closed_at IS NULL
   ORDER BY p.run_id FOR NO KEY UPDATE SKIP LOCKED),`
                  : ''
              }
l AS MATERIALIZED (
  SELECT v.*${parents ? ', r.parent_run_id, r.parent_op' : ''} FROM w, v
    JOIN stet_store.runs r ON r.run_id = v.run_id AND coalesce(r.owner, '') = $1 AND r.claim = v.claim
   WHERE (v.seen IS NULL OR r.msgs = v.seen)${
     parents
       ? `
     -- The parent is ours to write to, or there is none to write to.
     AND (v.seq IS NULL OR r.parent_run_id IS NULL OR v.status = 'continued' OR EXISTS (SELECT FROM p WHERE p.run_id = r.parent_run_id)
          OR NOT EXISTS (SELECT FROM stet_store.runs q WHERE q.run_id = r.parent_run_id AND q.closed_at IS NULL))`
       : ''
   }
     FOR NO KEY UPDATE OF r SKIP LOCKED),
h AS (
  INSERT INTO stet_store.history (run_id, seq, type, payload, facts, at, batch)
  SELECT l.run_id, l.seq, l.type, l.payload, l.facts, w.at, $1 FROM l, w WHERE l.seq IS NOT NULL),
u AS (
  UPDATE stet_store.runs r
     SET status = l.status, owner = NULL, crashes = 0, crash_seq = 0, seen = r.msgs, waits = l.waits, problem = l.problem,
         due = CASE WHEN l.status = 'pending' THEN coalesce(to_timestamp(l.due / 1000), w.at) ELSE to_timestamp(l.due / 1000) END,
         error_name = l.error_name, error_message = l.error_message,
         closed_at = CASE WHEN l.seq IS NOT NULL THEN w.at END
    FROM l, w WHERE r.run_id = l.run_id
  RETURNING r.run_id, r.status, r.closed_at${
    successors
      ? `, r.id, r.workflow, r.version, r.queue, r.priority, r.created_at, r.deadline, r.attributes, r.parent_run_id, r.parent_op, r.parent_close,
            l.successor, l.next_version, l.unread, l.payload`
      : ''
  }),${
    parents
      ? `
m AS MATERIALIZED (
  SELECT l.parent_run_id AS run_id, l.parent_op || ':' || l.status AS name, l.payload,
         row_number() OVER (PARTITION BY l.parent_run_id ORDER BY l.run_id)::int AS nth
    FROM l JOIN p ON p.run_id = l.parent_run_id WHERE l.seq IS NOT NULL AND l.status <> 'continued'),
o AS (
  UPDATE stet_store.runs r
     SET msgs = r.msgs + g.count,
         status = CASE WHEN r.status = 'waiting' AND r.claim > 0 THEN 'pending' ELSE r.status END,
         due = CASE WHEN r.status = 'waiting' AND r.claim > 0 THEN w.at ELSE r.due END
    FROM (SELECT run_id, count(*)::int AS count FROM m GROUP BY run_id) g, w WHERE r.run_id = g.run_id
  RETURNING r.run_id, r.msgs - g.count AS before),
x AS (
  INSERT INTO stet_store.inbox (run_id, n, kind, name, payload, at)
  SELECT m.run_id, o.before + m.nth, 'child', m.name, m.payload, w.at FROM m JOIN o USING (run_id), w),
y AS MATERIALIZED (SELECT pg_notify('stet', 'm' || string_agg(run_id, E'\\n')) FROM o HAVING count(*) > 0),`
      : ''
  }${
    children
      ? `
z AS (
  INSERT INTO stet_store.chores (run_id, at) SELECT l.run_id, w.at FROM l, w WHERE l.has_children AND l.seq IS NOT NULL ON CONFLICT DO NOTHING),`
      : ''
  }${
    successors
      ? `
-- Messages that the run took in and did not come to read go on to the next, and before those that it did not take in;
-- so does a request to pause.
tc AS MATERIALIZED (
  SELECT u.run_id, u.successor, e.nth::int AS nth, e.m ->> 'kind' AS kind, e.m ->> 'name' AS name, e.m ->> 'payload' AS payload,
         e.m ->> 'messageId' AS message_id
    FROM u, json_array_elements(u.unread::json) WITH ORDINALITY AS e(m, nth) WHERE u.successor IS NOT NULL),
t AS MATERIALIZED (
  SELECT x.run_id, x.n, u.successor, x.message_id,
         (SELECT count(*) FROM tc WHERE tc.run_id = x.run_id)::int + row_number() OVER (PARTITION BY x.run_id ORDER BY x.n)::int AS nth
    FROM u JOIN stet_store.inbox x USING (run_id) WHERE u.successor IS NOT NULL AND x.kind IN ('signal', 'update', 'pause')),
s AS (
  INSERT INTO stet_store.runs (run_id, id, workflow, version, queue, priority, status, due, created_at, deadline, attributes,
                               parent_run_id, parent_op, parent_close, msgs)
  SELECT u.successor, u.id, u.workflow, coalesce(u.next_version, stet_store.live_version(u.workflow), u.version), u.queue, u.priority, 'pending',
         -- Later than its predecessor by the clock too: by an id is meant the latest run under it.
         w.at, greatest(w.at, u.created_at + interval '1 ms'), w.at + (u.deadline - u.created_at), u.attributes, u.parent_run_id, u.parent_op, u.parent_close,
         (SELECT count(*) FROM t WHERE t.run_id = u.run_id) + (SELECT count(*) FROM tc WHERE tc.run_id = u.run_id)
    FROM u, w WHERE u.successor IS NOT NULL
  RETURNING run_id, queue),
sh AS (
  INSERT INTO stet_store.history (run_id, seq, type, op, payload, facts, at)
  SELECT u.successor, 1, 'RunStarted', 0, u.payload, json_strip_nulls(json_build_object('runId', u.run_id, 'schedule', slot.facts -> 'schedule', 'scheduledFor', slot.facts -> 'scheduledFor'))::text, w.at
    FROM w, u LEFT JOIN LATERAL (
      -- It is for the same slot.
      SELECT p.facts::json AS facts FROM stet_store.history p WHERE u.id LIKE '${slotId}' AND p.run_id = u.run_id AND p.seq = 1) slot ON true
    WHERE u.successor IS NOT NULL),
tm AS (
  INSERT INTO stet_store.message_ids (run_id, message_id)
  SELECT m.successor, m.message_id FROM (SELECT successor, message_id FROM t UNION SELECT successor, message_id FROM tc) m
   WHERE m.message_id IS NOT NULL),
ti AS (
  INSERT INTO stet_store.inbox (run_id, n, kind, name, payload, at, message_id)
  SELECT tc.successor, tc.nth, tc.kind, tc.name, tc.payload, w.at, tc.message_id FROM tc, w),
tx AS (
  UPDATE stet_store.inbox x SET run_id = t.successor, n = t.nth FROM t WHERE x.run_id = t.run_id AND x.n = t.n),
sn AS MATERIALIZED (SELECT pg_notify('stet', 'r' || string_agg(DISTINCT queue, E'\\n')) FROM s HAVING count(*) > 0),`
      : ''
  }
n AS MATERIALIZED (
  -- Whoever waits for a result hears of it in the same moment as the commit. One row at a time with its result, if short.
  SELECT pg_notify('stet', CASE WHEN count(*) = 1 AND max(octet_length(l.payload)) <= 4000 AND min(u.status) <> 'continued'
                                THEN 'd' || min(u.run_id) || E'\\n' || min(u.status) || E'\\n' || coalesce(max(l.payload), '')
                                ELSE 'c' || string_agg(u.run_id, E'\\n') END)
    FROM u JOIN l USING (run_id) WHERE u.closed_at IS NOT NULL HAVING count(*) > 0)
SELECT (extract(epoch FROM w.at) * 1000)::float8 AS at, (SELECT count(*) FROM u)::int AS changed, (SELECT count(*) FROM n)${
    parents ? ', (SELECT count(*) FROM y)' : ''
  }${successors ? ', (SELECT count(*) FROM sn)' : ''} FROM w`
}

const queries = new Map<string, { name: string; text: string }>()

function changeQuery(beside: Beside): { name: string; text: string } {
  const { parents, children, successors } = beside
  const name = `stet_change${parents ? '_parents' : ''}${children ? '_children' : ''}${successors ? '_successors' : ''}`
  let query = queries.get(name)
  if (query === undefined) {
    query = { name, text: changeText(beside) }
    queries.set(name, query)
  }
  return query
}

const nothingElse: ReadonlyMap<string, Exclude<RowAnswer, 'changed'>> = new Map()

export function changeRows(db: Db, workerId: string, changes: readonly RowChange[]): Promise<ChangeAnswer> {
  return changeOn(db.rows, workerId, changes)
}

/** How long a row is waited for whose lock others pass from one to the next. */
const patience = '1s'

/**
 * The row of one run that somebody had locked again and again: it waits in the queue of the lock, where it has its turn.
 * On a connection of its own, so that it holds up nobody.
 */
export async function changeInTurn(db: Db, workerId: string, change: RowChange): Promise<ChangeAnswer> {
  try {
    return await db.transaction(async (query) => {
      await query({ text: `SET LOCAL lock_timeout = '${patience}'` })
      await query({
        text: 'SELECT FROM stet_store.runs WHERE run_id = $1 FOR NO KEY UPDATE',
        values: [change.runId],
      })
      return changeOn({ query }, workerId, [change])
    })
  } catch (error) {
    if ((error as { code?: string }).code !== '55P03') throw error
    return { at: 0, others: new Map([[change.runId, 'locked']]), fenced: false }
  }
}

async function changeOn(
  on: Pick<Lane, 'query'>,
  workerId: string,
  changes: readonly RowChange[],
): Promise<ChangeAnswer> {
  const beside = {
    parents: changes.some((c) => c.terminal !== null && c.hasParent),
    children: changes.some((c) => c.terminal !== null && c.hasChildren),
    successors: changes.some((c) => c.successor !== null),
  }
  const { rows } = await on.query({
    ...changeQuery(beside),
    values: [
      workerId,
      textArray(changes.map((c) => c.runId)),
      intArray(changes.map((c) => c.claim)),
      textArray(changes.map((c) => c.status)),
      intArray(changes.map((c) => c.seen)),
      floatArray(changes.map((c) => c.due)),
      textArray(changes.map((c) => c.waits)),
      textArray(changes.map((c) => c.problem)),
      textArray(changes.map((c) => c.error?.name ?? null)),
      textArray(changes.map((c) => c.error?.message ?? null)),
      intArray(changes.map((c) => c.terminal?.seq ?? null)),
      textArray(changes.map((c) => c.terminal?.type ?? null)),
      textArray(changes.map((c) => c.terminal?.payload ?? null)),
      textArray(changes.map((c) => c.terminal?.facts ?? null)),
      ...(beside.children || beside.successors
        ? [
            changes.map((c) => c.hasChildren),
            textArray(changes.map((c) => c.successor?.runId ?? null)),
            intArray(changes.map((c) => c.successor?.version ?? null)),
            textArray(changes.map((c) => (c.successor === null ? null : JSON.stringify(c.successor.unread)))),
          ]
        : []),
    ],
  })
  if (rows.length === 0) return { at: 0, others: nothingElse, fenced: true }
  const { at, changed } = rows[0]
  if (changed === changes.length) return { at, others: nothingElse, fenced: false }
  return { at, others: await explain(on, workerId, changes), fenced: false }
}

/** Why some rows did not change. Those that changed are no longer owned by this worker under this claim. */
async function explain(
  on: Pick<Lane, 'query'>,
  workerId: string,
  changes: readonly RowChange[],
): Promise<Map<string, Exclude<RowAnswer, 'changed'>>> {
  const { rows } = await on.query({
    text: `SELECT run_id, owner, claim, msgs, status FROM unnest($1::text[]) AS u(id) JOIN stet_store.runs ON run_id = u.id`,
    values: [textArray(changes.map((c) => c.runId))],
  })
  const now = new Map(rows.map((row) => [row.run_id, row]))
  const others = new Map<string, Exclude<RowAnswer, 'changed'>>()
  for (const wanted of changes) {
    const row = now.get(wanted.runId)
    if (row?.owner === workerId && row.claim === wanted.claim) {
      others.set(wanted.runId, wanted.seen !== null && row.msgs !== wanted.seen ? 'messages' : 'locked')
    } else if (row?.claim !== wanted.claim || row.owner !== null) {
      // Claimed by another since: whether this change or a takeover let go of it, it is not this worker's any more.
      others.set(wanted.runId, 'lost')
    }
  }
  return others
}
