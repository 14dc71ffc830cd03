/** Retention (V1–V3 in `../retention.ts`). Rows are locked as bulks lock them (Y1, Y2 in `many.ts`). */
import {
  type Deleted,
  type EndedRange,
  keepBulksMs,
  type RetainedPart,
  type RetentionStore,
  retainedPart,
} from '../retention.js'
import { floatArray, textArray } from './arrays.js'
import type { Db } from './db.js'
import { deletable, deleteMany, lockRuns } from './many.js'

/** Rows of one table that go by one statement. */
const piece = 5_000

export function retentionOf(db: Db): RetentionStore {
  const patient = { giveUpAfterMs: 15_000 }
  return {
    deleteRuns: (runIds) => db.retrying('delete runs', () => deleteRuns(db, runIds), patient),
    missingRuns: (runIds) =>
      db.retrying('look for runs', async () => {
        const { rows } = await db.query({
          name: 'stet_missing',
          text: `SELECT u.run_id FROM unnest($1::text[]) AS u(run_id)
                  WHERE NOT EXISTS (SELECT FROM stet_store.runs r WHERE r.run_id = u.run_id)`,
          values: [textArray(runIds)],
        })
        return rows.map((row) => row.run_id)
      }),
    deleteLeftovers: () => db.retrying('delete what runs have left', () => deleteLeftovers(db)),
    retention: () =>
      db.retrying(
        'read the rules of retention',
        async () => {
          const { rows } = await db.query({
            text: `SELECT workflow, status, config_ms AS "configMs", runtime_ms AS "runtimeMs" FROM stet_store.retention
                    WHERE config_ms IS NOT NULL OR runtime_ms IS NOT NULL ORDER BY workflow, status`,
          })
          return rows
        },
        patient,
      ),
    setConfigRetention: (rules) =>
      db.retrying(
        'write the rules of the config',
        async () => {
          await db.query({
            text: `WITH c AS MATERIALIZED (SELECT * FROM unnest($1::text[], $2::text[], $3::float8[]) AS u(workflow, status, ms)),
                   o AS (
                     UPDATE stet_store.retention r SET config_ms = NULL
                      WHERE r.config_ms IS NOT NULL AND (r.workflow, r.status) NOT IN (SELECT workflow, status FROM c))
                   INSERT INTO stet_store.retention (workflow, status, config_ms) SELECT workflow, status, ms FROM c
                       ON CONFLICT (workflow, status) DO UPDATE SET config_ms = EXCLUDED.config_ms`,
            values: [
              textArray(rules.map(({ workflow }) => workflow)),
              textArray(rules.map(({ status }) => status)),
              floatArray(rules.map(({ keepMs }) => keepMs)),
            ],
          })
        },
        patient,
      ),
    setRetention: (workflow, status, keepMs) =>
      db.retrying(
        'set a rule of retention',
        async () => {
          await db.query({
            text: `INSERT INTO stet_store.retention (workflow, status, runtime_ms) VALUES ($1, $2, $3)
                       ON CONFLICT (workflow, status) DO UPDATE SET runtime_ms = EXCLUDED.runtime_ms, changed_at = clock_timestamp()`,
            values: [workflow, status, keepMs],
          })
        },
        patient,
      ),
    endedWorkflows: () =>
      db.retrying('look for workflows that have closed runs', async () => {
        const { rows } = await db.query({
          text: `WITH RECURSIVE w AS (
                   (SELECT workflow FROM stet_store.runs WHERE closed_at IS NOT NULL ORDER BY workflow LIMIT 1)
                   UNION ALL
                   SELECT n.workflow FROM w, LATERAL (SELECT r.workflow FROM stet_store.runs r WHERE r.closed_at IS NOT NULL
                                                        AND r.workflow > w.workflow ORDER BY r.workflow LIMIT 1) n)
                 SELECT workflow FROM w`,
        })
        return rows.map(({ workflow }) => workflow)
      }),
    watchRetention: (holder, forMs) =>
      db.retrying('take the lease of retention', async () => {
        const { rowCount } = await db.query({
          text: `UPDATE stet_store.retention_pass SET holder = $1, until = clock_timestamp() + $2::float8 * interval '1 ms'
                  WHERE holder = $1 OR until < clock_timestamp()`,
          values: [holder, forMs],
        })
        return rowCount === 1
      }),
    unwatchRetention: async (holder, restMs) => {
      await db.query({
        text: `UPDATE stet_store.retention_pass SET holder = NULL, until = clock_timestamp() + $2::float8 * interval '1 ms' WHERE holder = $1`,
        values: [holder, restMs],
      })
    },
    retainPart: (range) => db.retrying('delete what is kept no longer', () => retainPart(db, range)),
    pruneBulks: () =>
      db.retrying('forget bulks', async () => {
        await db.query({
          text: `DELETE FROM stet_store.bulks b WHERE b.id IN (
                   SELECT o.id FROM stet_store.bulks o ORDER BY o.id LIMIT 100) AND b.closed_at < stet_store.clock() - $1::float8 * interval '1 ms'`,
          values: [keepBulksMs],
        })
      }),
  }
}

async function deleteRuns(db: Db, runIds: readonly string[]): Promise<Deleted> {
  return db.transaction(async (query) => {
    const { locked, held, gone } = await lockRuns(query, runIds)
    const { free, refused } = deletable(locked)
    await deleteMany(query, free)
    return {
      deleted: free.map(({ runId }) => runId),
      refused: [
        ...refused,
        ...held.map((runId) => ({ runId, code: 'run_locked' })),
        ...gone.map((runId) => ({ runId, code: 'run_not_found' })),
      ],
    }
  })
}

async function retainPart(db: Db, { workflow, status, keepMs, after }: EndedRange): Promise<RetainedPart> {
  return db.transaction(async (query) => {
    // By the index of ends: a run that has to stay is passed by once a pass, and what was deleted is not gone through again.
    const { rows } = await query({
      name: 'stet_retain',
      text: `SELECT r.run_id, r.closed_at::text AS closed_at FROM stet_store.runs r
              WHERE r.workflow = $1 AND r.status = $2 AND r.closed_at IS NOT NULL
                AND r.closed_at < stet_store.clock() - $3::float8 * interval '1 ms' AND (r.closed_at, r.run_id) > ($4::timestamptz, $5)
              ORDER BY r.closed_at, r.run_id LIMIT $6`,
      values: [workflow, status, keepMs, after?.closedAt ?? '-infinity', after?.runId ?? '', retainedPart],
    })
    if (rows.length === 0) return { deleted: 0, kept: 0, next: null }
    const { locked } = await lockRuns(
      query,
      rows.map((row) => row.run_id),
    )
    const { free } = deletable(locked)
    const deleted = await deleteMany(query, free)
    const { closed_at: closedAt, run_id: runId } = rows.at(-1)
    return { deleted, kept: rows.length - deleted, next: rows.length < retainedPart ? null : { closedAt, runId } }
  })
}

/** A piece of one run's rows; when there are no more, the note that there were some goes too. */
async function deleteLeftovers(db: Db): Promise<number> {
  // Hardly ever is there any: this is asked each minute, without a transaction.
  const { rows } = await db.query({ text: 'SELECT FROM stet_store.leftovers LIMIT 1' })
  if (rows.length === 0) return 0
  return db.transaction(async (query) => {
    const { rows } = await query({
      text: 'SELECT run_id FROM stet_store.leftovers ORDER BY run_id LIMIT 1 FOR UPDATE SKIP LOCKED',
    })
    if (rows.length === 0) return 0
    const values = [rows[0].run_id]
    let count = 0
    for (const [table, column] of [
      ['history', 'seq'],
      ['inbox', 'n'],
      ['message_ids', 'message_id'],
    ] as const) {
      const { rowCount } = await query({
        text: `DELETE FROM stet_store.${table} x WHERE x.run_id = $1 AND x.${column} IN (
                 SELECT y.${column} FROM stet_store.${table} y WHERE y.run_id = $1 ORDER BY y.${column} LIMIT ${piece})`,
        values,
      })
      count += rowCount ?? 0
    }
    if (count === 0) await query({ text: 'DELETE FROM stet_store.leftovers WHERE run_id = $1', values })
    return Math.max(1, count)
  })
}

export interface Orphans {
  readonly table: string
  readonly runId: string
}

/** Tables whose rows belong to runs. */
const tables = ['history', 'inbox', 'message_ids', 'checkpoints', 'chores'] as const

/**
 * Rows of runs that are not there: none, ever. Looks from one run to the next in each table, behind `after`; `next`: where
 * to go on, table by table.
 */
export async function findOrphans(
  db: Pick<Db, 'query'>,
  table: (typeof tables)[number],
  after: string,
  most: number,
): Promise<{ orphans: Orphans[]; next: string | null }> {
  const { rows } = await db.query({
    text: `WITH RECURSIVE k(run_id, nth) AS (
             (SELECT run_id, 1 FROM stet_store.${table} WHERE run_id > $1 ORDER BY run_id LIMIT 1)
             UNION ALL
             SELECT n.run_id, k.nth + 1 FROM k, LATERAL (
               SELECT x.run_id FROM stet_store.${table} x WHERE x.run_id > k.run_id ORDER BY x.run_id LIMIT 1) n
              WHERE k.nth < $2)
           SELECT max(k.run_id) AS last, count(*)::int AS count,
                  coalesce(array_agg(k.run_id) FILTER (WHERE r.run_id IS NULL AND l.run_id IS NULL), '{}') AS orphans
             FROM k LEFT JOIN stet_store.runs r ON r.run_id = k.run_id LEFT JOIN stet_store.leftovers l ON l.run_id = k.run_id`,
    values: [after, most],
  })
  const { last, count, orphans } = rows[0]
  return {
    orphans: orphans.map((runId: string) => ({ table, runId })),
    next: count < most ? null : last,
  }
}

/** All of them, or those that were found within the time. */
export async function allOrphans(
  db: Pick<Db, 'query'>,
  withinMs = 10_000,
): Promise<{ orphans: Orphans[]; looked: 'all' | 'some' }> {
  const until = performance.now() + withinMs
  const found: Orphans[] = []
  for (const table of tables) {
    for (let after: string | null = ''; after !== null; ) {
      if (performance.now() > until) return { orphans: found, looked: 'some' }
      const page: Awaited<ReturnType<typeof findOrphans>> = await findOrphans(db, table, after, 20_000)
      found.push(...page.orphans)
      after = page.next
    }
  }
  return { orphans: found, looked: 'all' }
}
