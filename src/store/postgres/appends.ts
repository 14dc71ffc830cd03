/**
 * The two hot writes of a worker: events, and what becomes of run rows.
 *
 * A1. Every write holds the worker's row FOR KEY SHARE. A takeover deletes that row and commits before it gives the
 *     runs to others, so it waits for writes under way, and later ones find no row: nothing of a former owner can
 *     land after the new owner has read the history.
 * A2. An event is written only while its run has this owner and this claim, and only behind its predecessor.
 * A3. Appending locks no run row: an open transaction that has sent a signal delays nobody's steps.
 *
 * The owner is compared inside coalesce, from which nothing follows for `runs_owned`: a plan that goes through all runs of
 * the owner for each event must not be possible.
 *
 * A4. Rows are changed after the events they depend on; the closing event and the status commit together.
 */
import type { AppendAnswer, AppendEvent, ChangeAnswer, RowAnswer, RowChange } from '../port.js'
import { floatArray, intArray, textArray } from './arrays.js'
import type { Db, Lane } from './db.js'

/** Answers with the batch's time and how many events were written; no row at all: the worker is fenced. */
function appendText(takesInbox: boolean): string {
  return `
WITH w AS MATERIALIZED (
  SELECT date_trunc('milliseconds', stet_store.clock()) AS at FROM stet_store.workers WHERE id = $1 FOR KEY SHARE),
i AS (
  INSERT INTO stet_store.history (run_id, seq, type, op, name, payload, facts, at, batch)
  SELECT u.run_id, u.seq, u.type, u.op, u.name, u.payload, u.facts, w.at, $2
    FROM w, unnest($3::text[], $4::int[], $5::int[], $6::int[], $7::text[], $8::int[], $9::text[], $10::text[], $11::text[])
            AS u(run_id, claim, seq, first_seq, type, op, name, payload, facts)
    JOIN stet_store.runs r ON r.run_id = u.run_id AND coalesce(r.owner, '') = $1 AND r.claim = u.claim
   WHERE EXISTS (SELECT FROM stet_store.history h WHERE h.run_id = u.run_id AND h.seq = u.first_seq - 1)
      ON CONFLICT DO NOTHING
  RETURNING run_id, seq)${
    takesInbox
      ? `,
d AS (
  DELETE FROM stet_store.inbox x USING i, unnest($12::text[], $13::int[], $14::int[]) AS t(run_id, seq, n)
   WHERE i.run_id = t.run_id AND i.seq = t.seq AND x.run_id = t.run_id AND x.n = t.n)`
      : ''
  }
SELECT (extract(epoch FROM w.at) * 1000)::float8 AS at, (SELECT count(*) FROM i)::int AS written FROM w`
}

const append = { name: 'stet_append', text: appendText(false) }
const appendTakingInbox = { name: 'stet_append_inbox', text: appendText(true) }

const nothingLost: ReadonlySet<string> = new Set()

export async function appendEvents(
  db: Db,
  workerId: string,
  batch: string,
  events: readonly AppendEvent[],
): Promise<AppendAnswer> {
  const taking = events.filter((event) => event.inboxN !== null)
  const n = events.length
  const runIds = new Array<string>(n)
  const claims = new Array<number>(n)
  const seqs = new Array<number>(n)
  const firsts = new Array<number>(n)
  const types = new Array<string>(n)
  const ops = new Array<number | null>(n)
  const names = new Array<string | null>(n)
  const payloads = new Array<string | null>(n)
  const facts = new Array<string | null>(n)
  for (let i = 0; i < n; i++) {
    const event = events[i]!
    runIds[i] = event.runId
    claims[i] = event.claim
    seqs[i] = event.seq
    firsts[i] = event.firstSeq
    types[i] = event.type
    ops[i] = event.op
    names[i] = event.name
    payloads[i] = event.payload
    facts[i] = event.facts
  }
  const values: unknown[] = [
    workerId,
    batch,
    textArray(runIds),
    intArray(claims),
    intArray(seqs),
    intArray(firsts),
    textArray(types),
    intArray(ops),
    textArray(names),
    textArray(payloads),
    textArray(facts),
  ]
  if (taking.length > 0) {
    values.push(
      textArray(taking.map((event) => event.runId)),
      intArray(taking.map((event) => event.seq)),
      intArray(taking.map((event) => event.inboxN)),
    )
  }
  const { rows } = await db.events.query({ ...(taking.length > 0 ? appendTakingInbox : append), values })
  if (rows.length === 0) return { at: 0, lost: nothingLost, fenced: true }
  if (rows[0].written === n) return { at: rows[0].at, lost: nothingLost, fenced: false }
  return diagnose(db.events, batch, events, rows[0].at)
}

/**
 * Not everything was written. Either this is the second try of a batch whose commit had happened after all (the rows
 * carry its name), or the run is no longer this worker's.
 */
async function diagnose(lane: Lane, batch: string, events: readonly AppendEvent[], at: number): Promise<AppendAnswer> {
  const { rows } = await lane.query({
    text: `SELECT h.run_id, h.seq, (extract(epoch FROM h.at) * 1000)::float8 AS at
             FROM unnest($1::text[], $2::int[]) AS u(run_id, seq) JOIN stet_store.history h USING (run_id, seq) WHERE h.batch = $3`,
    values: [textArray(events.map((event) => event.runId)), intArray(events.map((event) => event.seq)), batch],
  })
  const landed = new Set(rows.map((row) => `${row.run_id} ${row.seq}`))
  const lost = new Set(events.filter((event) => !landed.has(`${event.runId} ${event.seq}`)).map((event) => event.runId))
  // Events that landed carry the time of the try that wrote them.
  return { at: rows.length === 0 ? at : rows[0].at, lost, fenced: false }
}

const change = `
WITH w AS MATERIALIZED (
  SELECT date_trunc('milliseconds', stet_store.clock()) AS at FROM stet_store.workers WHERE id = $1 FOR KEY SHARE),
l AS MATERIALIZED (
  SELECT u.* FROM w, unnest($2::text[], $3::int[], $4::text[], $5::int[], $6::float8[], $7::text[], $8::text[], $9::text[], $10::text[],
                            $11::int[], $12::text[], $13::text[], $14::text[])
              AS u(run_id, claim, status, seen, due, waits, problem, error_name, error_message, seq, type, payload, facts)
    JOIN stet_store.runs r ON r.run_id = u.run_id AND coalesce(r.owner, '') = $1 AND r.claim = u.claim
   WHERE u.seen IS NULL OR r.msgs = u.seen
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
  RETURNING r.run_id, r.status, r.closed_at),
n AS MATERIALIZED (
  -- Whoever waits for a result hears of it in the same moment as the commit. One row at a time with its result, if short.
  SELECT pg_notify('stet', CASE WHEN count(*) = 1 AND max(octet_length(l.payload)) <= 4000
                                THEN 'd' || min(u.run_id) || E'\\n' || min(u.status) || E'\\n' || coalesce(max(l.payload), '')
                                ELSE 'c' || string_agg(u.run_id, E'\\n') END)
    FROM u JOIN l USING (run_id) WHERE u.closed_at IS NOT NULL HAVING count(*) > 0)
SELECT (extract(epoch FROM w.at) * 1000)::float8 AS at, (SELECT count(*) FROM u)::int AS changed, (SELECT count(*) FROM n) FROM w`

const nothingElse: ReadonlyMap<string, Exclude<RowAnswer, 'changed'>> = new Map()

export async function changeRows(db: Db, workerId: string, changes: readonly RowChange[]): Promise<ChangeAnswer> {
  const { rows } = await db.rows.query({
    name: 'stet_change',
    text: change,
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
    ],
  })
  if (rows.length === 0) return { at: 0, others: nothingElse, fenced: true }
  const { at, changed } = rows[0]
  if (changed === changes.length) return { at, others: nothingElse, fenced: false }
  return { at, others: await explain(db.rows, workerId, changes), fenced: false }
}

/** Why some rows did not change. Those that changed are no longer owned by this worker under this claim. */
async function explain(
  lane: Lane,
  workerId: string,
  changes: readonly RowChange[],
): Promise<Map<string, Exclude<RowAnswer, 'changed'>>> {
  const { rows } = await lane.query({
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
