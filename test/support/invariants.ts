/**
 * What must hold in every stet database whatever was done to its workers, as questions to the database: each check
 * selects what violates it, so nothing selected is the proof. All of them read one snapshot.
 *
 * The checks are proven to be able to fail by `test/chaos/invariants.test.ts`.
 */
export interface Violation {
  readonly check: string
  readonly run: string | null
  readonly detail: string
}

export type Query = (text: string, values?: unknown[]) => Promise<{ rows: any[] }>

export interface CheckOptions {
  /** How long something may be due or unread before that is a violation, ms: lease plus poll. Default 15,000. */
  readonly graceMs?: number
  /** Compare with what step bodies noted in `chaos.ledger`; default true. */
  readonly ledger?: boolean
  /** Names of steps that are transactions: their results come by way of the inbox. */
  readonly transactions?: readonly string[]
  /** Names of workflows that may take back what they asked for, and it leaves no trace. */
  readonly withdrawing?: readonly string[]
}

const settling = `('StepCompleted', 'StepFailed', 'StepSkipped', 'TimerFired', 'SignalReceived', 'ChildCompleted', 'ChildFailed')`
const terminal = `('RunCompleted', 'RunFailed', 'RunCancelled', 'RunTerminated', 'RunContinued')`

/** A run and the runs that followed it, each with the first of them. Only children have a parent to whom that matters. */
const chain = `
  WITH RECURSIVE chain AS (
    SELECT r.run_id AS first, r.run_id AS run_id FROM stet_store.runs r WHERE r.parent_run_id IS NOT NULL
    UNION ALL
    SELECT c.first, h.facts::json ->> 'runId' FROM chain c JOIN stet_store.history h ON h.run_id = c.run_id AND h.type = 'RunContinued')`

/** By name; each selects `run` and `detail`. `$1` is the grace as an interval, `$2` and `$3` are names of transactions and of withdrawing workflows. */
const checks: Record<string, string> = {
  'seq is contiguous from 1': `
    SELECT run_id AS run, format('%s events, seq %s to %s', count(*), min(seq), max(seq)) AS detail
      FROM stet_store.history GROUP BY run_id HAVING min(seq) <> 1 OR max(seq) <> count(*)`,

  'a history begins with its one RunStarted': `
    SELECT r.run_id AS run, format('%s, first at %s', count(h.seq), min(h.seq)) AS detail
      FROM stet_store.runs r LEFT JOIN stet_store.history h ON h.run_id = r.run_id AND h.type = 'RunStarted'
     GROUP BY r.run_id HAVING count(h.seq) <> 1 OR min(h.seq) <> 1`,

  'an ended run has one closing event, which is last and says its status': `
    SELECT r.run_id AS run, format('status %s, closing events %s, last %s', r.status, t.types, t.last) AS detail
      FROM stet_store.runs r CROSS JOIN LATERAL (
        SELECT array_agg(h.type ORDER BY h.seq) FILTER (WHERE h.type IN ${terminal}) AS types,
               (array_agg(h.type ORDER BY h.seq DESC))[1] AS last
          FROM stet_store.history h WHERE h.run_id = r.run_id) t
     WHERE r.closed_at IS NOT NULL
       AND (cardinality(t.types) IS DISTINCT FROM 1 OR t.types[1] <> t.last OR lower(substr(t.last, 4)) <> r.status)`,

  'an open run has no closing event, and an open status': `
    SELECT r.run_id AS run, r.status AS detail FROM stet_store.runs r
     WHERE r.closed_at IS NULL
       AND (r.status NOT IN ('pending', 'running', 'waiting', 'paused', 'blocked')
            OR EXISTS (SELECT FROM stet_store.history h WHERE h.run_id = r.run_id AND h.type IN ${terminal}))`,

  'an operation has at most one settling event': `
    SELECT run_id AS run, format('operation %s: %s', op, array_agg(type ORDER BY seq)) AS detail
      FROM stet_store.history WHERE op > 0 AND type IN ${settling} GROUP BY run_id, op HAVING count(*) > 1`,

  'the events of an operation agree on its name and kind': `
    SELECT run_id AS run, format('operation %s: %s', op, array_agg(format('%s %s', type, name) ORDER BY seq)) AS detail
      FROM (SELECT h.*, CASE WHEN type LIKE 'Step%' OR type = 'AttemptFailed' THEN 'step'
                             WHEN type = 'SignalReceived' OR facts::json ->> 'kind' = 'signal' THEN 'signal'
                             WHEN type LIKE 'Child%' THEN 'child'
                             ELSE 'timer' END AS kind
              FROM stet_store.history h WHERE op > 0) x
     GROUP BY run_id, op HAVING count(DISTINCT name) <> 1 OR count(DISTINCT kind) <> 1`,

  'nothing of an operation comes after it was settled': `
    SELECT h.run_id AS run, format('operation %s: %s after it was settled', h.op, h.type) AS detail
      FROM stet_store.history h JOIN stet_store.history s ON s.run_id = h.run_id AND s.op = h.op AND s.type IN ${settling}
     WHERE h.op > 0 AND h.seq > s.seq AND h.type NOT IN ${settling}`,

  'operations are numbered without a hole': `
    SELECT run_id AS run, format('%s operations, up to %s', count(DISTINCT op), max(op)) AS detail
      FROM stet_store.history WHERE op > 0 AND run_id IN (SELECT run_id FROM stet_store.runs WHERE status = 'completed' AND workflow <> ALL($3))
       -- What is cancelled before it was begun leaves no trace.
       AND NOT EXISTS (SELECT FROM stet_store.history c WHERE c.run_id = history.run_id AND c.type = 'CancelRequested')
     GROUP BY run_id HAVING max(op) <> count(DISTINCT op)`,

  'attempts count up from 1': `
    SELECT run_id AS run, format('operation %s: failed attempts %s', op, array_agg(n ORDER BY seq)) AS detail
      FROM (SELECT run_id, op, seq, coalesce((facts::json ->> 'attempt')::int, 1) AS n,
                   row_number() OVER (PARTITION BY run_id, op ORDER BY seq) AS nth
              FROM stet_store.history WHERE type = 'AttemptFailed') x
     GROUP BY run_id, op HAVING bool_or(n <> nth)`,

  // The time of a delayed start is when it is to begin: what closes the run before that comes earlier.
  'time does not go back in a history': `
    SELECT run_id AS run, format('event %s', seq) AS detail
      FROM (SELECT run_id, seq, at, lag(at) OVER (PARTITION BY run_id ORDER BY seq) AS before FROM stet_store.history) x
     WHERE at < before AND NOT (seq = 2 AND EXISTS (SELECT FROM stet_store.runs r WHERE r.run_id = x.run_id AND r.started_at IS NULL))`,

  'a timer does not fire early': `
    SELECT f.run_id AS run, format('operation %s fired at %s', f.op, f.at) AS detail
      FROM stet_store.history f JOIN stet_store.history s ON s.run_id = f.run_id AND s.op = f.op AND s.type = 'TimerStarted'
     WHERE f.type = 'TimerFired' AND extract(epoch FROM f.at) * 1000 < (s.facts::json ->> 'dueAt')::float8`,

  'a run is owned exactly while it is running': `
    SELECT run_id AS run, format('status %s, owner %s', status, owner) AS detail
      FROM stet_store.runs WHERE (owner IS NOT NULL) <> (status = 'running')`,

  'an owner is there': `
    SELECT r.run_id AS run, r.owner AS detail FROM stet_store.runs r
     WHERE r.owner IS NOT NULL AND NOT EXISTS (SELECT FROM stet_store.workers w WHERE w.id = r.owner)`,

  'a waiting run has read its messages': `
    SELECT r.run_id AS run, format('%s messages, %s seen', r.msgs, r.seen) AS detail FROM stet_store.runs r
     WHERE r.status = 'waiting' AND r.claim > 0 AND r.msgs > r.seen
       AND EXISTS (SELECT FROM stet_store.inbox i WHERE i.run_id = r.run_id AND i.n > r.seen AND i.at < stet_store.clock() - $1::interval)`,

  'a waiting run is not overdue': `
    SELECT run_id AS run, due::text AS detail FROM stet_store.runs
     WHERE status = 'waiting' AND due < stet_store.clock() - $1::interval`,

  'a waiting run waits for something': `
    SELECT run_id AS run, waits AS detail FROM stet_store.runs
     WHERE status = 'waiting' AND claim > 0 AND coalesce(json_array_length(waits::json), 0) = 0`,

  // Of a run that was continued, what it did not take in has gone to the next.
  'every message is either in the inbox or in the history': `
    SELECT r.run_id AS run, format('%s accepted, %s in the inbox, %s taken in', r.msgs, i.n, h.n) AS detail
      FROM stet_store.runs r,
           LATERAL (SELECT count(*) AS n, coalesce(max(i.n), 0) AS last FROM stet_store.inbox i WHERE i.run_id = r.run_id) i,
           LATERAL (SELECT count(*) AS n FROM stet_store.history h
                     WHERE h.run_id = r.run_id
                       AND ((h.type IN ('SignalReceived', 'UpdateReceived') AND h.facts::json ->> 'again' IS NULL)
                            OR h.type = 'ChildCompleted'
                            OR (h.type = 'CancelRequested' AND r.started_at IS NOT NULL)
                            OR (h.type = 'StepCompleted' AND h.name = ANY($2))
                            -- A child that could not be started has said nothing.
                            OR (h.type = 'ChildFailed' AND EXISTS (SELECT FROM stet_store.runs k WHERE k.run_id = h.facts::json ->> 'runId')))) h
     WHERE (CASE WHEN r.status = 'continued' THEN r.msgs < i.n + h.n ELSE r.msgs <> i.n + h.n END) OR i.last > r.msgs`,

  'a run is cancelled once': `
    SELECT run_id AS run, format('%s times', count(*)) AS detail
      FROM stet_store.history WHERE type = 'CancelRequested' GROUP BY run_id HAVING count(*) > 1`,

  'a run that never began has done nothing': `
    SELECT h.run_id AS run, format('%s events', r.n) AS detail
      FROM stet_store.history h JOIN stet_store.runs x USING (run_id),
           LATERAL (SELECT count(*) AS n FROM stet_store.history o WHERE o.run_id = h.run_id) r
     WHERE h.type = 'RunCancelled' AND (h.facts::json ->> 'neverBegan')::boolean AND (r.n <> 3 OR x.started_at IS NOT NULL)`,

  'a child is named by its parent': `
    SELECT r.run_id AS run, format('operation %s of %s', r.parent_op, r.parent_run_id) AS detail
      FROM stet_store.runs r JOIN stet_store.history s ON s.run_id = r.run_id AND s.seq = 1
     WHERE r.parent_run_id IS NOT NULL
       -- Whoever follows a run is named by that.
       AND s.facts::json ->> 'runId' IS NULL
       AND NOT EXISTS (SELECT FROM stet_store.history h WHERE h.run_id = r.parent_run_id AND h.op = r.parent_op
                          AND h.type = 'ChildStarted' AND h.facts::json ->> 'runId' = r.run_id)`,

  'a child that is named is there': `
    SELECT h.run_id AS run, format('operation %s: %s', h.op, h.facts::json ->> 'runId') AS detail
      FROM stet_store.history h LEFT JOIN stet_store.runs k ON k.run_id = h.facts::json ->> 'runId'
     WHERE h.type = 'ChildStarted'
       AND (k.parent_run_id, k.parent_op) IS DISTINCT FROM (h.run_id, h.op)`,

  'what a parent has heard of a child is what came of it': `
    SELECT h.run_id AS run, format('operation %s: %s, the child is %s', h.op, h.type, k.status) AS detail
      FROM (${chain} SELECT * FROM chain) c
      JOIN stet_store.runs k ON k.run_id = c.run_id AND k.status <> 'continued'
      JOIN stet_store.history h ON h.run_id = k.parent_run_id AND h.op = k.parent_op AND h.type IN ('ChildCompleted', 'ChildFailed')
                               AND h.facts::json ->> 'runId' = c.first
      LEFT JOIN LATERAL (SELECT e.payload FROM stet_store.history e WHERE e.run_id = k.run_id ORDER BY e.seq DESC LIMIT 1) e ON true
     WHERE k.closed_at IS NULL OR e.payload IS DISTINCT FROM h.payload
        OR k.status <> CASE WHEN h.type = 'ChildCompleted' THEN 'completed' ELSE h.facts::json ->> 'kind' END`,

  'a parent hears of a child once': `
    SELECT run_id AS run, format('operation %s: %s times', op, count(*)) AS detail
      FROM (SELECT run_id, split_part(name, ':', 1)::int AS op FROM stet_store.inbox WHERE kind = 'child'
            UNION ALL SELECT run_id, op FROM stet_store.history WHERE type IN ('ChildCompleted', 'ChildFailed')) x
     GROUP BY run_id, op HAVING count(*) > 1`,

  'children of a closed run have been told': `
    SELECT k.run_id AS run, format('its parent %s is %s', p.run_id, p.status) AS detail
      FROM stet_store.runs k JOIN stet_store.runs p ON p.run_id = k.parent_run_id
     WHERE k.closed_at IS NULL AND p.closed_at IS NOT NULL AND k.parent_close <> 'abandon'
       AND NOT EXISTS (SELECT FROM stet_store.chores c WHERE c.run_id = p.run_id)
       AND NOT EXISTS (SELECT FROM stet_store.message_ids m WHERE m.run_id = k.run_id AND m.message_id = 'parent closed')`,

  'chores are of closed runs and do not stay': `
    SELECT c.run_id AS run, c.at::text AS detail FROM stet_store.chores c LEFT JOIN stet_store.runs r USING (run_id)
     WHERE r.closed_at IS NULL OR c.at < stet_store.clock() - $1::interval`,

  'an update is received once and answered at most once': `
    SELECT run_id AS run, format('%s: %s', facts::json ->> 'id', array_agg(type ORDER BY seq)) AS detail
      FROM stet_store.history WHERE type LIKE 'Update%' AND facts::json ->> 'again' IS NULL GROUP BY run_id, facts::json ->> 'id'
    HAVING (array_agg(type ORDER BY seq))[1] <> 'UpdateReceived' OR count(*) > 2
        OR count(*) FILTER (WHERE type = 'UpdateReceived') <> 1`,

  // A message that was taken in for a wait that was over by then is taken in again for the next.
  'what is taken in again was there, and is taken in again once': `
    SELECT h.run_id AS run, format('event %s: again %s', h.seq, h.facts::json ->> 'again') AS detail
      FROM stet_store.history h LEFT JOIN stet_store.history o ON o.run_id = h.run_id AND o.seq = (h.facts::json ->> 'again')::int
     WHERE h.facts::json ->> 'again' IS NOT NULL
       AND (o.seq IS NULL OR o.seq >= h.seq OR (o.type, o.name, o.payload) IS DISTINCT FROM (h.type, h.name, h.payload)
            OR EXISTS (SELECT FROM stet_store.history x WHERE x.run_id = h.run_id AND x.seq <> h.seq AND x.facts::json ->> 'again' = h.facts::json ->> 'again'))`,

  'the sender of an update finds its answer': `
    SELECT coalesce(h.run_id, m.run_id) AS run, format('%s at %s, answer at %s', coalesce(h.facts::json ->> 'id', m.message_id), h.seq, m.answer) AS detail
      FROM (SELECT * FROM stet_store.history WHERE type IN ('UpdateCompleted', 'UpdateRejected')) h
      FULL JOIN (SELECT * FROM stet_store.message_ids WHERE answer IS NOT NULL) m
             ON m.run_id = h.run_id AND m.message_id = h.facts::json ->> 'id'
     WHERE h.seq IS DISTINCT FROM m.answer`,

  'a message id is accepted once': `
    SELECT run_id AS run, message_id AS detail FROM stet_store.inbox WHERE message_id IS NOT NULL
     GROUP BY run_id, message_id HAVING count(*) > 1`,

  'the result of a transaction is on record once': `
    SELECT run_id AS run, format('operation %s: %s times', op, count(*)) AS detail
      FROM (SELECT run_id, name::int AS op FROM stet_store.inbox WHERE kind = 'result'
            UNION ALL SELECT run_id, op FROM stet_store.history WHERE type = 'StepCompleted') x
     GROUP BY run_id, op HAVING count(*) > 1`,

  'a run that was continued has handed on its messages, its id and its parent': `
    SELECT r.run_id AS run, format('followed by %s', n.run_id) AS detail
      FROM stet_store.runs r
      JOIN stet_store.history e ON e.run_id = r.run_id AND e.type = 'RunContinued'
      LEFT JOIN stet_store.runs n ON n.run_id = e.facts::json ->> 'runId'
      LEFT JOIN stet_store.history s ON s.run_id = n.run_id AND s.seq = 1
     WHERE n.id IS DISTINCT FROM r.id OR n.workflow <> r.workflow OR n.queue <> r.queue
        OR (n.parent_run_id, n.parent_op) IS DISTINCT FROM (r.parent_run_id, r.parent_op)
        OR s.payload IS DISTINCT FROM e.payload OR s.facts::json ->> 'runId' IS DISTINCT FROM r.run_id
        OR EXISTS (SELECT FROM stet_store.inbox i WHERE i.run_id = r.run_id AND i.kind IN ('signal', 'update'))`,

  'history, inbox and checkpoints belong to runs': `
    SELECT x.run_id AS run, x.place AS detail
      FROM (SELECT run_id, 'history' AS place FROM stet_store.history UNION SELECT run_id, 'inbox' FROM stet_store.inbox
            UNION SELECT run_id, 'checkpoints' FROM stet_store.checkpoints) x
     WHERE NOT EXISTS (SELECT FROM stet_store.runs r WHERE r.run_id = x.run_id)`,

  'an id has at most one open run': `
    SELECT min(run_id) AS run, id AS detail FROM stet_store.runs WHERE closed_at IS NULL GROUP BY id HAVING count(*) > 1`,

  'a run that ends its processes is blocked': `
    SELECT run_id AS run, format('%s crashes, %s', crashes, status) AS detail
      FROM stet_store.runs WHERE crashes >= 5 AND status <> 'blocked'`,
}

const ledgerChecks: Record<string, string> = {
  'a completed step does not begin again': `
    SELECT l.run_id AS run, format('operation %s began at %s, was completed at %s', l.op, l.at, h.at) AS detail
      FROM chaos.ledger l JOIN stet_store.history h ON h.run_id = l.run_id AND h.op = l.op AND h.type = 'StepCompleted'
     WHERE l.phase = 'begin' AND l.at > h.at + interval '1 ms'`,

  'a step that is recorded as completed was carried out': `
    SELECT h.run_id AS run, format('operation %s', h.op) AS detail FROM stet_store.history h
     WHERE h.type = 'StepCompleted'
       AND EXISTS (SELECT FROM chaos.ledger l WHERE l.run_id = h.run_id)
       AND NOT EXISTS (SELECT FROM chaos.ledger l WHERE l.run_id = h.run_id AND l.op = h.op AND l.phase = 'end'
                          AND l.at <= h.at + interval '1 ms')
       AND h.name NOT IN ('sting', 'part')`,
}

export const checkNames: readonly string[] = [...Object.keys(checks), ...Object.keys(ledgerChecks)]

/** All that is wrong in the database; empty when it is sound. */
export async function violations(query: Query, options: CheckOptions = {}): Promise<Violation[]> {
  const { graceMs = 15_000, ledger = true, transactions = [], withdrawing = [] } = options
  const asked = Object.entries(ledger ? { ...checks, ...ledgerChecks } : checks)
  const text = asked
    .map(([name, sql]) => `SELECT '${name.replaceAll("'", "''")}' AS check, x.run, x.detail FROM (${sql}) x`)
    .join('\nUNION ALL\n')
  // The types of the parameters must be known even where no check uses them.
  const { rows } = await query(`WITH p AS (SELECT $1::interval, $2::text[], $3::text[]) ${text}`, [
    `${graceMs} ms`,
    transactions,
    withdrawing,
  ])
  return rows
}
