/** Limits: what they are, what they count, and how they are changed. Claims that obey them are in migration m0009. */
import { originals } from '../../core/determinism.js'
import type {
  FullGate,
  GateAhead,
  GateState,
  LimitBounds,
  LimitRule,
  LimitState,
  Limits,
  LimitTarget,
} from '../limits.js'
import { maxCountedBehind, maxFullGates, maxGates } from '../limits.js'
import { maxCounted } from '../port.js'
import { textArray } from './arrays.js'
import { claimRunsInLine } from './claims.js'
import type { Db, Query, Rows } from './db.js'
import { readyKinds } from './ready.js'

const patient = { giveUpAfterMs: 15_000 }

/** A change waits so long for a run whose row somebody has locked. */
const lockPatience = '5s'

export function limitsOf(db: Db): Limits {
  const call = <T>(what: string, body: () => Promise<T>) => db.retrying(what, body, patient)
  return {
    claimInLine: (workerId, lanes, limit, how) =>
      db.retrying('claim', () => claimRunsInLine(db, workerId, lanes, limit, how)),
    limits: () => call('read limits', async () => (await db.query({ text: rules })).rows.map(toRule)),
    limitStates: () => call('read limits', () => readStates(db)),
    setLimit: (target, change) => call('set a limit', () => setLimit(db, target, change)),
    resetLimit: (target) => call('reset a limit', () => resetLimit(db, target)),
    declareLimits: (workflows, limits) => call('declare limits', () => declareLimits(db, workflows, limits)),
  }
}

const columns = 'l.scope, l.name, l.key, l.concurrency, l.rate, l.period_ms, l.paused, l.declared, l.overridden'
const rules = `SELECT ${columns} FROM stet_store.limits l ORDER BY l.scope, l.name, l.key`

function toRule(row: any): LimitRule {
  return {
    scope: row.scope,
    name: row.name,
    key: row.key === '' ? null : row.key,
    concurrency: row.concurrency,
    rate: row.rate === null ? null : { limit: row.rate, periodMs: row.period_ms },
    paused: row.paused,
    declared: row.declared,
    overridden: row.overridden,
  }
}

// ── what they count ──────────────────────────────────────────────────────────────────────────────

/** Gates are counted by their limit through the order of their names, which begin with it. */
const gatesOfLimit = `  SELECT x.gate, count(*)::int AS running FROM (
    SELECT s.gate FROM stet_store.slots s
     WHERE s.gate >= b.first AND s.gate < b.first || U&'\\+10FFFF' LIMIT $1) x GROUP BY x.gate`

/** Those that lines are closed by. A line has its turn from when it was closed: the lowest is of the one that has stood the longest. */
const fullGatesOfLimit = `
  SELECT s.closed_by AS gate, min(s.turn) AS turn FROM stet_store.lines s
   WHERE l.key <> '' AND s.closed_by >= b.first AND s.closed_by < b.first || U&'\\+10FFFF' GROUP BY 1 ORDER BY 1 LIMIT $1`

/** Of the first gates alone: each run is a row that is read, and there may be many gates. */
const runsBehind = `
  SELECT r.due FROM stet_store.lines s, LATERAL (
    SELECT r.due FROM stet_store.runs r
     WHERE r.status = 'pending' AND r.queue = s.queue AND r.workflow = s.workflow AND r.version = s.version AND r.line = s.line LIMIT $4) r
   WHERE y.nth <= $3 AND s.closed_by = y.gate LIMIT $4`

const begunBehind = (gate: string) =>
  `CASE WHEN l.rate IS NOT NULL THEN l.rate - (stet_store.room(${gate}, NULL, l.rate, l.period_ms, stet_store.clock())).begins END`
const msSince = (at: string) => `(extract(epoch FROM stet_store.clock() - ${at}) * 1000)::float8`

const states = `
WITH RECURSIVE ${readyKinds()},
lanes AS MATERIALIZED (SELECT queue, workflow, version, min(due) AS due FROM kinds GROUP BY 1, 2, 3)
SELECT ${columns}, g.running, g.gates, w.queued, w.oldest_ms, f.full, f.full_gates
  FROM stet_store.limits l,
       LATERAL (SELECT CASE WHEN l.key = '' THEN stet_store.gate(l.scope, l.name, '', '')
                            ELSE rtrim(stet_store.gate(l.scope, l.name, l.key, ''), '"]') || '"' END AS first) b,
       LATERAL (
         SELECT coalesce(sum(y.running), 0)::int AS running,
                coalesce(json_agg(json_build_object('value', y.gate::json ->> 3, 'running', y.running,
                  'begun', ${begunBehind('y.gate')})
                  ORDER BY y.running DESC, y.gate) FILTER (WHERE y.nth <= $2), '[]') AS gates
           FROM (SELECT z.*, row_number() OVER (ORDER BY z.running DESC, z.gate) AS nth FROM (
                   SELECT b.first AS gate, 0 AS running WHERE l.key = '' AND NOT EXISTS (SELECT FROM stet_store.slots s WHERE s.gate = b.first)
                   UNION ALL (${gatesOfLimit})) z) y) g,
       LATERAL (
         SELECT coalesce(sum(x.n), 0)::int AS queued, ${msSince('min(x.due)')} AS oldest_ms
           FROM (SELECT y.due, c.n FROM lanes y, LATERAL (
                   SELECT count(*) AS n FROM (
                     SELECT FROM stet_store.runs r WHERE r.status = 'pending' AND r.queue = y.queue AND r.workflow = y.workflow AND r.version = y.version
                        AND r.due <= stet_store.clock() LIMIT $1) z) c
                  WHERE CASE l.scope WHEN 'queue' THEN y.queue = l.name ELSE y.workflow = l.name END AND c.n > 0) x) w,
       LATERAL (
         SELECT count(*)::int AS full,
                coalesce(json_agg(json_build_object('value', y.gate::json ->> 3, 'queued', c.queued, 'oldestMs', ${msSince('c.due')},
                  'running', (SELECT count(*) FROM (SELECT FROM stet_store.slots s WHERE s.gate = y.gate LIMIT $1) x),
                  'begun', ${begunBehind('y.gate')}) ORDER BY c.due, y.gate) FILTER (WHERE c.queued > 0), '[]') AS full_gates
           FROM (SELECT z.*, row_number() OVER (ORDER BY z.turn) AS nth FROM (${fullGatesOfLimit}) z) y,
                LATERAL (SELECT count(*)::int AS queued, min(x.due) AS due FROM (${runsBehind}) x) c) f
 ORDER BY l.scope, l.name, l.key`

async function readStates(db: Db): Promise<LimitState[]> {
  const { rows } = await db.query({
    name: 'stet_limit_states',
    text: states,
    values: [maxCounted + 1, maxGates, maxFullGates, maxCountedBehind + 1],
  })
  return rows.map((row) => ({
    ...toRule(row),
    running: row.running,
    queued: Math.min(row.queued, maxCounted + 1),
    oldestMs: row.oldest_ms === null ? null : Math.max(0, row.oldest_ms),
    gates: row.gates as GateState[],
    full: row.full,
    fullGates: (row.full_gates as FullGate[]).map((gate) => ({ ...gate, oldestMs: Math.max(0, gate.oldestMs) })),
  }))
}

const ahead = `
SELECT ${columns}, g.gate::json ->> 3 AS value, f.slots, CASE WHEN r.claim = 0 THEN f.begins END AS begins,
       (SELECT count(*)::int FROM (SELECT FROM stet_store.slots s WHERE s.gate = g.gate LIMIT $2) x) AS running
  FROM stet_store.runs r LEFT JOIN stet_store.history h ON h.run_id = r.run_id AND h.seq = 1
  JOIN stet_store.limits l ON (l.scope = 'queue' AND l.name = r.queue) OR (l.scope = 'workflow' AND l.name = r.workflow),
       LATERAL (SELECT stet_store.gate(l.scope, l.name, l.key, CASE WHEN l.key = '' THEN '' ELSE stet_store.key_value(h.payload, l.key) END) AS gate) g,
       LATERAL stet_store.room(g.gate, CASE WHEN l.paused THEN 0 ELSE l.concurrency END, l.rate, l.period_ms, stet_store.clock()) f
 WHERE r.run_id = $1 AND r.status = 'pending' ORDER BY l.scope, l.name, l.key`

export async function readGatesAhead(db: Db, runId: string): Promise<GateAhead[]> {
  const { rows } = await db.query({ name: 'stet_gates_ahead', text: ahead, values: [runId, maxCounted + 1] })
  return rows.map((row) => ({
    ...toRule(row),
    value: row.value,
    running: row.running,
    begun: row.begins === null ? null : row.rate - row.begins,
    closed: row.paused || (row.slots !== null && row.slots <= 0) || (row.begins !== null && row.begins <= 0),
  }))
}

// ── changing them ────────────────────────────────────────────────────────────────────────────────

type Run = (query: Query) => Promise<Rows>

async function setLimit(
  db: Db,
  { scope, name, key }: LimitTarget,
  { bounds, paused }: { readonly bounds?: LimitBounds; readonly paused?: boolean },
): Promise<void> {
  const isNew = await inOneGo(db, async (query) => {
    const { rows } = await query({
      text: `INSERT INTO stet_store.limits AS l (scope, name, key, concurrency, rate, period_ms, paused, overridden)
             VALUES ($1, $2, $3, $4, $5, $6, coalesce($7, false), $8)
                 ON CONFLICT (scope, name, key) DO UPDATE
                SET concurrency = CASE WHEN $8 THEN $4 ELSE l.concurrency END, rate = CASE WHEN $8 THEN $5 ELSE l.rate END,
                    period_ms = CASE WHEN $8 THEN $6 ELSE l.period_ms END, paused = coalesce($7, l.paused),
                    overridden = l.overridden OR $8, changed_at = clock_timestamp()
             RETURNING l.xmax = 0 AS is_new`,
      values: [
        scope,
        name,
        key ?? '',
        bounds?.concurrency ?? null,
        bounds?.rate?.limit ?? null,
        bounds?.rate?.periodMs ?? null,
        paused ?? null,
        bounds !== undefined,
      ],
    })
    await openLines(query, [{ scope, name, key }])
    if (rows[0].is_new) await leaveLines(query, [{ scope, name, key }], 'those that are free')
    return rows[0].is_new as boolean
  })
  if (isNew) await countRunning(db, [{ scope, name, key }])
}

/** The bounds of the code come back; a limit that the code does not know goes. */
async function resetLimit(db: Db, target: LimitTarget): Promise<boolean> {
  return inOneGo(db, async (query) => {
    const values = [target.scope, target.name, target.key ?? '']
    const back = await query({
      text: `UPDATE stet_store.limits l SET concurrency = (declared ->> 'concurrency')::int, rate = (declared -> 'rate' ->> 'limit')::int,
                    period_ms = (declared -> 'rate' ->> 'periodMs')::float8, paused = false, overridden = false, changed_at = clock_timestamp()
              WHERE scope = $1 AND name = $2 AND key = $3 AND declared IS NOT NULL`,
      values,
    })
    if (back.rowCount === 1) {
      await openLines(query, [target])
      return true
    }
    const gone = await query({
      text: 'DELETE FROM stet_store.limits WHERE scope = $1 AND name = $2 AND key = $3',
      values,
    })
    if (gone.rowCount === 0) return false
    await leaveLines(query, [target], 'all')
    return true
  })
}

async function declareLimits(
  db: Db,
  workflows: readonly string[],
  limits: readonly (LimitTarget & LimitBounds)[],
): Promise<boolean> {
  const wanted = limits.map(({ name, key, concurrency, rate }) => ({
    name,
    key: key ?? '',
    declared: { concurrency, rate },
  }))
  const changes = {
    text: `
      WITH wanted AS MATERIALIZED (
        SELECT * FROM json_to_recordset($2::json) AS w(name text, key text, declared jsonb)),
      added AS (
        INSERT INTO stet_store.limits AS l (scope, name, key, concurrency, rate, period_ms, declared)
        SELECT 'workflow', w.name, w.key, (w.declared ->> 'concurrency')::int, (w.declared -> 'rate' ->> 'limit')::int,
               (w.declared -> 'rate' ->> 'periodMs')::float8, w.declared FROM wanted w
            ON CONFLICT (scope, name, key) DO UPDATE
           SET declared = excluded.declared, changed_at = clock_timestamp(),
               concurrency = CASE WHEN l.overridden THEN l.concurrency ELSE excluded.concurrency END,
               rate = CASE WHEN l.overridden THEN l.rate ELSE excluded.rate END,
               period_ms = CASE WHEN l.overridden THEN l.period_ms ELSE excluded.period_ms END
         WHERE l.declared IS DISTINCT FROM excluded.declared
        RETURNING l.name, l.key, CASE WHEN l.xmax = 0 THEN 'new' ELSE 'changed' END AS what),
      dropped AS MATERIALIZED (
        SELECT l.name, l.key, l.overridden OR l.paused AS stays FROM stet_store.limits l
         WHERE l.scope = 'workflow' AND l.name = ANY($1::text[]) AND l.declared IS NOT NULL
           AND NOT EXISTS (SELECT FROM wanted w WHERE w.name = l.name AND w.key = l.key)),
      forgotten AS (
        UPDATE stet_store.limits l SET declared = NULL FROM dropped d
         WHERE l.scope = 'workflow' AND l.name = d.name AND l.key = d.key AND d.stays),
      gone AS (
        DELETE FROM stet_store.limits l USING dropped d
         WHERE l.scope = 'workflow' AND l.name = d.name AND l.key = d.key AND NOT d.stays
        RETURNING l.name, l.key, 'gone' AS what)
      SELECT * FROM added UNION ALL SELECT * FROM gone`,
    values: [textArray(workflows), JSON.stringify(wanted)],
  }
  const changed = await inOneGo(db, async (query) => {
    const { rows } = await query(changes)
    const targets = (...whats: string[]): LimitTarget[] =>
      rows
        .filter(({ what }) => whats.includes(what))
        .map(({ name, key }) => ({ scope: 'workflow', name, key: key === '' ? null : key }))
    await openLines(query, targets('changed'))
    await leaveLines(query, targets('new'), 'those that are free')
    await leaveLines(query, targets('gone'), 'all')
    return { added: targets('new'), any: rows.length > 0 }
  })
  await countRunning(db, changed.added)
  return changed.any
}

function inOneGo<T>(db: Db, body: (query: Run) => Promise<T>): Promise<T> {
  return db.transaction(async (query) => {
    await query({ text: `SET LOCAL lock_timeout = '${lockPatience}'` })
    // No claim of a lane that has limits is under way meanwhile: what it puts into line could not be seen here.
    await query({ text: 'SELECT FROM stet_store.limits ORDER BY scope, name, key FOR NO KEY UPDATE' })
    return body(query)
  })
}

const concerned = (row: string) =>
  `CASE t.scope WHEN 'queue' THEN ${row}.queue = t.name ELSE ${row}.workflow = t.name END`

/** A gate that is one of the limit's. */
const gateOf = (gate: string) =>
  `${gate}::json ->> 0 = t.scope AND ${gate}::json ->> 1 = t.name AND coalesce(${gate}::json ->> 2, '') = t.key`

const targetsAs = (targets: readonly LimitTarget[]) => [
  textArray(targets.map(({ scope }) => scope)),
  textArray(targets.map(({ name }) => name)),
  textArray(targets.map(({ key }) => key ?? '')),
]

/** Bounds have changed: closed lines are looked at again. */
async function openLines(query: Run, targets: readonly LimitTarget[]): Promise<void> {
  if (targets.length === 0) return
  await query({
    text: `DELETE FROM stet_store.takings k USING unnest($1::text[], $2::text[], $3::text[]) t(scope, name, key)
            WHERE ${gateOf('k.gate')}
              AND k.expires_at < clock_timestamp()`,
    values: targetsAs(targets),
  })
  await query({
    text: `UPDATE stet_store.lines s SET closed_by = NULL, opens_at = NULL FROM unnest($1::text[], $2::text[], $3::text[]) t(scope, name, key)
            WHERE s.closed_by IS NOT NULL AND ${concerned('s')}`,
    values: targetsAs(targets),
  })
}

/**
 * Other limits, other lines: whoever claims next puts the runs into them. A run whose row somebody has locked may stay
 * where limits come: a claim sees that its line is not one of theirs. Where the last limit goes nobody looks at lines any
 * more, so it is waited for.
 */
async function leaveLines(
  query: Run,
  targets: readonly LimitTarget[],
  which: 'all' | 'those that are free',
): Promise<void> {
  if (targets.length === 0) return
  const inLine = `
    SELECT r.run_id FROM stet_store.runs r, unnest($1::text[], $2::text[], $3::text[]) t(scope, name, key)
     WHERE r.status = 'pending' AND r.line <> '' AND ${concerned('r')} FOR NO KEY UPDATE OF r`
  await query({
    text: `UPDATE stet_store.runs r SET line = '' FROM (${inLine} ${which === 'all' ? '' : 'SKIP LOCKED'}) x WHERE r.run_id = x.run_id`,
    values: targetsAs(targets),
  })
  await query({
    text: `DELETE FROM stet_store.lines s USING unnest($1::text[], $2::text[], $3::text[]) t(scope, name, key)
            WHERE ${concerned('s')} AND NOT EXISTS (
              SELECT FROM stet_store.runs r WHERE r.status = 'pending' AND r.queue = s.queue AND r.workflow = s.workflow
                 AND r.version = s.version AND r.line = s.line)`,
    values: targetsAs(targets),
  })
  await query({
    text: `DELETE FROM stet_store.slots s USING unnest($1::text[], $2::text[], $3::text[]) t(scope, name, key)
            WHERE ${gateOf('s.gate')}`,
    values: targetsAs(targets),
  })
}

/** So often those are tried whose rows somebody has locked. */
const countTries = 40

/**
 * Runs that are in hand when a limit begins count too. After its commit, so that whoever claims sees it. One whose row is
 * locked is waited for, for a while.
 */
async function countRunning(db: Db, targets: readonly LimitTarget[]): Promise<void> {
  if (targets.length === 0) return
  const uncounted = `
    FROM stet_store.runs r, unnest($1::text[], $2::text[], $3::text[]) t(scope, name, key)
   WHERE r.owner IS NOT NULL AND ${concerned('r')}
     AND NOT EXISTS (SELECT FROM stet_store.slots s WHERE s.run_id = r.run_id AND ${gateOf('s.gate')})`
  for (let tries = 0; tries < countTries; tries++) {
    const { rows } = await db.query({
      text: `
        WITH r AS MATERIALIZED (SELECT r.run_id, t.scope, t.name, t.key ${uncounted} FOR NO KEY UPDATE OF r SKIP LOCKED),
        u AS (UPDATE stet_store.runs x SET line = CASE WHEN x.line = '' THEN '=' ELSE x.line END FROM r WHERE x.run_id = r.run_id),
        i AS (
          INSERT INTO stet_store.slots (run_id, gate)
          SELECT r.run_id, stet_store.gate(r.scope, r.name, r.key, CASE WHEN r.key = '' THEN '' ELSE stet_store.key_value(h.payload, r.key) END)
            FROM r LEFT JOIN stet_store.history h ON h.run_id = r.run_id AND h.seq = 1)
        SELECT (SELECT count(*) ${uncounted})::int - (SELECT count(*) FROM r)::int AS left`,
      values: targetsAs(targets),
    })
    if (rows[0].left <= 0) return
    await new Promise<void>((resolve) => originals.setTimeout(resolve, 50))
  }
}
