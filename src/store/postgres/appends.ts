/**
 * The hot write of a worker: events. What becomes of run rows is in `changes.ts`.
 *
 * A1. Every write holds the worker's row FOR KEY SHARE. A takeover deletes that row and commits before it gives the
 *     runs to others, so it waits for writes under way, and later ones find no row: nothing of a former owner can
 *     land after the new owner has read the history.
 * A2. An event is written only while its run has this owner and this claim, and only behind its predecessor.
 * A3. Appending locks no run row: an open transaction that has sent a signal delays nobody's steps.
 *
 * The owner is compared inside coalesce, from which nothing follows for `runs_owned`: a plan that goes through all runs of
 * the owner for each event must not be possible.
 */
import type { AppendAnswer, AppendEvent } from '../port.js'
import { floatArray, intArray, textArray } from './arrays.js'
import type { Db, Lane } from './db.js'

/** What a batch does beside writing events. Each is a part of the same statement, left out where nothing needs it. */
interface Beside {
  /** Events take messages out of the inbox. */
  readonly inbox: boolean
  /** Events start children: a child is there exactly when its parent's history says so. */
  readonly children: boolean
  /** Events answer updates, whose senders look for the answer by its id. */
  readonly answers: boolean
}

/** Answers with the batch's time and how many events were written; no row at all: the worker is fenced. */
function appendText({ inbox, children, answers }: Beside): string {
  let last = 11
  const next = (type: string) => `$${++last}::${type}`
  // In the order of the parameters, which is not that of the parts.
  const taken = inbox ? `unnest(${next('text[]')}, ${next('int[]')}, ${next('int[]')})` : ''
  const started = children ? `unnest(${childTypes.map(next).join(', ')})` : ''
  const answered = answers ? `unnest(${next('text[]')}, ${next('int[]')}, ${next('text[]')})` : ''
  const parts = [
    `
WITH w AS MATERIALIZED (
  SELECT date_trunc('milliseconds', stet_store.clock()) AS at FROM stet_store.workers WHERE id = $1 FOR KEY SHARE)`,
  ]
  const allowed = `
  SELECT u.run_id, u.seq, u.type, u.op, u.name, u.payload, u.facts, w.at
    FROM w, unnest($3::text[], $4::int[], $5::int[], $6::int[], $7::text[], $8::int[], $9::text[], $10::text[], $11::text[])
            AS u(run_id, claim, seq, first_seq, type, op, name, payload, facts)
    JOIN stet_store.runs r ON r.run_id = u.run_id AND coalesce(r.owner, '') = $1 AND r.claim = u.claim
   WHERE EXISTS (SELECT FROM stet_store.history h WHERE h.run_id = u.run_id AND h.seq = u.first_seq - 1)`
  const insert = 'INSERT INTO stet_store.history (run_id, seq, type, op, name, payload, facts, at, batch)'
  const onlyNew = 'ON CONFLICT DO NOTHING RETURNING run_id, seq'
  if (children) {
    // A child whose id an open run has is not started, and its event says so instead.
    parts.push(
      `
a AS MATERIALIZED (${allowed}),
k AS MATERIALIZED (
  SELECT t.* FROM a JOIN ${started}
         AS t(parent, seq, op, run_id, id, workflow, version, queue, priority, timeout_ms, payload, facts, attributes, policy, conflict)
         ON a.run_id = t.parent AND a.seq = t.seq),
c AS (
  INSERT INTO stet_store.runs (run_id, id, workflow, version, queue, priority, status, due, created_at, deadline, attributes,
                               parent_run_id, parent_op, parent_close)
  SELECT k.run_id, k.id, k.workflow, coalesce(k.version, stet_store.live_version(k.workflow), 0), k.queue, k.priority, 'pending',
         w.at, w.at, w.at + k.timeout_ms * interval '1 ms', k.attributes::jsonb, k.parent, k.op, k.policy
    FROM k, w
      ON CONFLICT DO NOTHING
  RETURNING run_id),
b AS (
  INSERT INTO stet_store.history (run_id, seq, type, op, payload, facts, at)
  SELECT k.run_id, 1, 'RunStarted', 0, k.payload, k.facts, w.at FROM k JOIN c USING (run_id), w),
i AS (
  ${insert}
  SELECT a.run_id, a.seq, CASE WHEN x.refused THEN 'ChildFailed' ELSE a.type END, a.op, a.name,
         CASE WHEN x.refused THEN k.conflict ELSE a.payload END, a.facts, a.at, $2
    FROM a LEFT JOIN k ON k.parent = a.run_id AND k.seq = a.seq LEFT JOIN c ON c.run_id = k.run_id,
         LATERAL (SELECT k.run_id IS NOT NULL AND c.run_id IS NULL AS refused) x
      ${onlyNew})`,
    )
  } else {
    parts.push(`
i AS (
  ${insert}
  SELECT a.*, $2 FROM (${allowed}) a
      ${onlyNew})`)
  }
  if (inbox) {
    parts.push(`
d AS (
  DELETE FROM stet_store.inbox x USING i, ${taken} AS t(run_id, seq, n)
   WHERE i.run_id = t.run_id AND i.seq = t.seq AND x.run_id = t.run_id AND x.n = t.n)`)
  }
  if (answers) {
    parts.push(`
g AS (
  UPDATE stet_store.message_ids m SET answer = i.seq
    FROM i JOIN ${answered} AS t(run_id, seq, id) ON i.run_id = t.run_id AND i.seq = t.seq
   WHERE m.run_id = t.run_id AND m.message_id = t.id
  RETURNING m.run_id),
n AS MATERIALIZED (SELECT pg_notify('stet', 'u' || string_agg(DISTINCT run_id, E'\\n')) FROM g HAVING count(*) > 0)`)
  }
  return `${parts.join(',')}
SELECT (extract(epoch FROM w.at) * 1000)::float8 AS at, (SELECT count(*) FROM i)::int AS written${
    children ? ", (SELECT coalesce(array_agg(run_id), '{}') FROM c) AS started" : ''
  }${answers ? ', (SELECT count(*) FROM n)' : ''} FROM w`
}

const childTypes = [
  ...['text[]', 'int[]', 'int[]', 'text[]', 'text[]', 'text[]', 'int[]', 'text[]', 'int[]', 'float8[]'],
  ...['text[]', 'text[]', 'text[]', 'text[]', 'text[]'],
]

const texts = new Map<string, { name: string; text: string }>()

function appendQuery(beside: Beside): { name: string; text: string } {
  const { inbox, children, answers } = beside
  const name = `stet_append${inbox ? '_inbox' : ''}${children ? '_children' : ''}${answers ? '_answers' : ''}`
  let query = texts.get(name)
  if (query === undefined) {
    query = { name, text: appendText(beside) }
    texts.set(name, query)
  }
  return query
}

const nothingLost: ReadonlySet<string> = new Set()

export async function appendEvents(
  db: Db,
  workerId: string,
  batch: string,
  events: readonly AppendEvent[],
): Promise<AppendAnswer> {
  const taking: AppendEvent[] = []
  const starting: AppendEvent[] = []
  const answering: AppendEvent[] = []
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
    if (event.inboxN !== null) taking.push(event)
    if (event.child !== null) starting.push(event)
    if (event.answers !== null) answering.push(event)
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
  if (starting.length > 0) values.push(...childValues(starting))
  if (answering.length > 0) {
    values.push(
      textArray(answering.map((event) => event.runId)),
      intArray(answering.map((event) => event.seq)),
      textArray(answering.map((event) => event.answers)),
    )
  }
  const query = appendQuery({ inbox: taking.length > 0, children: starting.length > 0, answers: answering.length > 0 })
  const { rows } = await db.events.query({ ...query, values })
  if (rows.length === 0) return { at: 0, lost: nothingLost, refused: nothingLost, fenced: true }
  const [{ at, written, started }] = rows
  if (written !== n) return diagnose(db.events, batch, events, at)
  return { at, lost: nothingLost, refused: missing(starting, started), fenced: false }
}

function childValues(events: readonly AppendEvent[]): unknown[] {
  const children = events.map((event) => event.child!)
  return [
    textArray(events.map((event) => event.runId)),
    intArray(events.map((event) => event.seq)),
    intArray(events.map((event) => event.op)),
    textArray(children.map((child) => child.runId)),
    textArray(children.map((child) => child.id)),
    textArray(children.map((child) => child.workflow)),
    intArray(children.map((child) => child.version)),
    textArray(children.map((child) => child.queue)),
    intArray(children.map((child) => child.priority)),
    floatArray(children.map((child) => child.timeoutMs)),
    textArray(children.map((child) => child.payload)),
    textArray(children.map((child) => child.facts)),
    textArray(children.map((child) => child.attributes)),
    textArray(children.map((child) => child.parentClosePolicy)),
    textArray(children.map((child) => child.conflict)),
  ]
}

/** Children whose id an open run has already. */
function missing(starting: readonly AppendEvent[], started: readonly string[] | undefined): ReadonlySet<string> {
  if (starting.length === (started?.length ?? 0)) return nothingLost
  return new Set(starting.map((event) => event.child!.runId).filter((runId) => !started!.includes(runId)))
}

/**
 * Not everything was written. Either this is the second try of a batch whose commit had happened after all (the rows
 * carry its name), or the run is no longer this worker's.
 */
async function diagnose(lane: Lane, batch: string, events: readonly AppendEvent[], at: number): Promise<AppendAnswer> {
  const { rows } = await lane.query({
    text: `SELECT h.run_id, h.seq, h.type, (extract(epoch FROM h.at) * 1000)::float8 AS at
             FROM unnest($1::text[], $2::int[]) AS u(run_id, seq) JOIN stet_store.history h USING (run_id, seq) WHERE h.batch = $3`,
    values: [textArray(events.map((event) => event.runId)), intArray(events.map((event) => event.seq)), batch],
  })
  const landed = new Set(rows.map((row) => `${row.run_id} ${row.seq}`))
  const failed = new Set(rows.flatMap((row) => (row.type === 'ChildFailed' ? [`${row.run_id} ${row.seq}`] : [])))
  const lost = new Set(events.filter((event) => !landed.has(`${event.runId} ${event.seq}`)).map((event) => event.runId))
  const refused = new Set(
    events.flatMap(({ child, runId, seq }) => (child !== null && failed.has(`${runId} ${seq}`) ? [child.runId] : [])),
  )
  // Events that landed carry the time of the try that wrote them.
  return { at: rows.length === 0 ? at : rows[0].at, lost, refused, fenced: false }
}
