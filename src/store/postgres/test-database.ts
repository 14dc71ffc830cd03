/**
 * Databases for tests: one each, copied from a migrated template in some 50 ms, with a clock that tests move.
 *
 * D1. A template's name tells what is in it (migrations and test clock), so a changed release never meets an old one.
 *     It gets that name only when it is complete: a process killed while making it leaves nothing that is used.
 * D2. Run time in a test database is as T1 and T2 of `test-time.ts` have it.
 */
import { createHash } from 'node:crypto'
import { InvalidInputError, NoDatabaseError, StetError } from '../../core/errors.js'
import { newId } from '../../core/ids.js'
import { defaultSchema } from '../../core/schema-name.js'
import { loadPg } from '../pg.js'
import type { WorkerLanes } from '../port.js'
import type { TestTime, TimeReading } from '../test-time.js'
import { intArray, textArray } from './arrays.js'
import { Db } from './db.js'
import { migrate } from './migrate.js'
import { migrations } from './migrations/index.js'

export interface TestDatabase {
  readonly name: string
  readonly url: string
}

/** Replaces the clock that runs live by. The shift is in seconds: intervals of days would follow daylight saving time. */
const testClock = /* sql */ `
CREATE TABLE stet_store.test_clock (shift interval NOT NULL, stopped_at timestamptz);
INSERT INTO stet_store.test_clock VALUES ('0', NULL);
CREATE OR REPLACE FUNCTION stet_store.clock() RETURNS timestamptz LANGUAGE sql VOLATILE AS
  'SELECT coalesce(stopped_at, clock_timestamp() + shift) FROM stet_store.test_clock'`

const digest = createHash('sha256')
  .update([...migrations, testClock].join(';'))
  .digest('hex')
function templateOf(schema: string): string {
  return `stet_template_${migrations.length}_${digest.slice(0, 12)}${schema === defaultSchema ? '' : `_${schema}`}`
}

/** Two that need the template at once: one makes it, the other waits. */
const lockKey = 5_837_402_220

/** What a killed process left behind is deleted after this long, ms. */
const leftoverMs = 10 * 60_000

/**
 * A new database on the server of `serverUrl`, migrated (for the application with this schema) and with a test clock.
 * @throws NoDatabaseError when the server cannot be reached
 * @throws StetError code `no_permission` when the user may not create databases
 */
export async function createTestDatabase(serverUrl: string, schema = defaultSchema): Promise<TestDatabase> {
  const name = newName(Date.now())
  await onServer(serverUrl, async (query) => {
    await ensureTemplate(serverUrl, schema, query)
    await dropLeftovers(query)
    await query(`CREATE DATABASE ${name} TEMPLATE ${templateOf(schema)}`)
    // It is deleted after the test: nobody waits for the disk.
    await query(`ALTER DATABASE ${name} SET synchronous_commit = off`)
  })
  return { name, url: urlOf(serverUrl, name) }
}

/** Deletes a test database, whoever is still connected to it. */
export async function dropTestDatabase(serverUrl: string, name: string): Promise<void> {
  await onServer(serverUrl, (query) => query(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`))
}

/** The clock of a test database. */
export function postgresTime(db: Db): TestTime {
  const patient = { giveUpAfterMs: 15_000 }
  return {
    read: (lanes) => db.retrying('look at the test clock', () => readTestClock(db, lanes), patient),
    stop: (to) => db.retrying('move the test clock', () => stopTestClock(db, to), patient),
    go: () => db.retrying('start the test clock', () => startTestClock(db), patient),
    running: () => runningRuns(db),
  }
}

async function readTestClock(db: Db, lanes: WorkerLanes): Promise<TimeReading> {
  const { rows } = await db.query({
    name: 'stet_test_clock',
    text: `
      WITH c AS MATERIALIZED (SELECT stet_store.clock() AS at),
      served AS MATERIALIZED (
        SELECT q.queue, v.name, v.version FROM unnest($1::text[]) q(queue), unnest($2::text[], $3::int[]) v(name, version)
        UNION
        SELECT q.queue, v.name, v.version
          FROM stet_store.workers w, unnest(w.queues) q(queue), unnest(w.workflows, w.versions) v(name, version)),
      -- What somebody could take, were it not for a limit; one for its rate goes on at a time that is known.
      ready AS MATERIALIZED (
        SELECT r.run_id, r.workflow, coalesce(g.closed, false) AS closed, g.opens
          FROM c, stet_store.runs r LEFT JOIN stet_store.history h ON h.run_id = r.run_id AND h.seq = 1,
               LATERAL (
                 SELECT bool_or(least(f.slots, CASE WHEN r.claim = 0 THEN f.begins END) <= 0) AS closed,
                        max(CASE WHEN r.claim = 0 AND f.begins <= 0 THEN f.opens END) AS opens
                   FROM stet_store.limits l,
                        LATERAL (SELECT stet_store.gate(l.scope, l.name, l.key, CASE WHEN l.key = '' THEN '' ELSE stet_store.key_value(h.payload, l.key) END) AS gate) k,
                        LATERAL stet_store.room(k.gate, CASE WHEN l.paused THEN 0 ELSE l.concurrency END, l.rate, l.period_ms, c.at) f
                  WHERE CASE l.scope WHEN 'queue' THEN l.name = r.queue ELSE l.name = r.workflow END) g
         WHERE r.status = 'pending' AND r.due <= c.at
           AND EXISTS (SELECT FROM served s WHERE s.queue = r.queue AND s.name = r.workflow AND r.version IN (s.version, 0)))
      SELECT (extract(epoch FROM c.at) * 1000)::float8 AS now,
             EXISTS (SELECT FROM stet_store.runs r WHERE r.status = 'running')
             OR EXISTS (SELECT FROM ready WHERE NOT closed)
             OR EXISTS (SELECT FROM stet_store.runs r
                         WHERE r.status = 'waiting' AND (r.due <= c.at OR (r.msgs > r.seen AND r.claim > 0)))
             OR EXISTS (SELECT FROM stet_store.schedules s WHERE s.next_at <= c.at)
             -- Something waits, and nothing that it could wait for.
             OR EXISTS (SELECT FROM stet_store.schedules s WHERE s.buffered > 0 AND NOT s.paused
                           AND NOT EXISTS (SELECT FROM stet_store.runs r WHERE r.closed_at IS NULL AND r.id <> r.run_id
                                              AND r.id >= s.id || '@' AND r.id < s.id || 'A' AND octet_length(r.id) = octet_length(s.id) + 25)) AS busy,
             (SELECT json_build_object('id', s.id, 'due', (extract(epoch FROM s.next_fire) * 1000)::float8)
                FROM stet_store.schedules s WHERE s.next_fire IS NOT NULL ORDER BY s.next_fire LIMIT 1) AS schedule,
             (SELECT json_build_object('runId', x.run_id, 'workflow', x.workflow, 'due', (extract(epoch FROM x.due) * 1000)::float8)
                FROM ((SELECT r.run_id, r.workflow, r.due FROM stet_store.runs r WHERE r.status = 'waiting' AND r.due IS NOT NULL ORDER BY r.due LIMIT 1)
                      UNION ALL SELECT run_id, workflow, opens FROM ready WHERE closed AND opens IS NOT NULL) x ORDER BY x.due LIMIT 1) AS next
        FROM c`,
    values: [
      textArray(lanes.queues),
      textArray(lanes.workflows.map(({ name }) => name)),
      intArray(lanes.workflows.map(({ version }) => version)),
    ],
  })
  return rows[0]
}

/** At a whole millisecond, as events have them: what is due at the time of an event is due now. */
async function stopTestClock(db: Db, to: number | null): Promise<number> {
  const { rows } = await db.query({
    name: 'stet_test_clock_stop',
    text: `
      UPDATE stet_store.test_clock
         SET stopped_at = date_trunc('milliseconds', greatest(stopped_at, CASE WHEN stopped_at IS NULL THEN clock_timestamp() + shift END,
                                                              to_timestamp($1::float8 / 1000)) + interval '999 us')
      RETURNING (extract(epoch FROM stopped_at) * 1000)::float8 AS now`,
    values: [to],
  })
  return rows[0].now
}

async function startTestClock(db: Db): Promise<number> {
  const { rows } = await db.query({
    name: 'stet_test_clock_start',
    text: `
      UPDATE stet_store.test_clock
         SET shift = CASE WHEN stopped_at IS NULL THEN shift
                          ELSE interval '1 second' * extract(epoch FROM stopped_at - clock_timestamp())::float8 END,
             stopped_at = NULL
      RETURNING (extract(epoch FROM clock_timestamp() + shift) * 1000)::float8 AS now`,
  })
  return rows[0].now
}

async function runningRuns(db: Db): Promise<{ runId: string; workflow: string }[]> {
  const { rows } = await db.query({
    text: `SELECT run_id, workflow FROM stet_store.runs WHERE status = 'running' ORDER BY run_id LIMIT 5`,
  })
  return rows.map((row) => ({ runId: row.run_id, workflow: row.workflow }))
}

// ── the server ─────────────────────────────────────────────────────────────────────────────────────

type Ask = (text: string, values?: unknown[]) => Promise<{ rows: any[] }>

async function ensureTemplate(serverUrl: string, schema: string, query: Ask): Promise<void> {
  const templateName = templateOf(schema)
  const exists = async () => {
    const { rows } = await query('SELECT FROM pg_database WHERE datname = $1', [templateName])
    return rows.length > 0
  }
  if (await exists()) return
  await query('SELECT pg_advisory_lock($1)', [lockKey])
  try {
    if (await exists()) return
    const building = newName(Date.now())
    await query(`CREATE DATABASE ${building}`)
    const db = new Db({ url: urlOf(serverUrl, building), schema, poolSize: 1 })
    try {
      await migrate(db)
      await db.query({ text: testClock })
    } finally {
      await db.close()
    }
    try {
      await query(`ALTER DATABASE ${building} RENAME TO ${templateName}`)
    } catch (error) {
      // Locks are per database: somebody who came by another one was faster.
      if ((error as { code?: string }).code !== '42P04') throw error
      await query(`DROP DATABASE ${building}`)
    }
  } finally {
    await query('SELECT pg_advisory_unlock($1)', [lockKey])
  }
}

/** Databases of processes that were killed: old by their name, and nobody is connected. */
async function dropLeftovers(query: Ask): Promise<void> {
  const { rows } = await query(
    `SELECT datname FROM pg_database d WHERE datname LIKE 'stet\\_test\\_%' AND datname < $1 COLLATE "C"
        AND NOT EXISTS (SELECT FROM pg_stat_activity a WHERE a.datid = d.oid)`,
    [newName(Date.now() - leftoverMs)],
  )
  // Whoever else is at it, or owns it, is welcome to it.
  for (const { datname } of rows) await query(`DROP DATABASE IF EXISTS ${datname}`).catch(() => {})
}

/** The time first, in a fixed width: names sort by age. */
function newName(at: number): string {
  return newId(`stet_test_${at.toString(36).padStart(9, '0')}`)
}

function urlOf(serverUrl: string, name: string): string {
  const parts = /^(postgres(?:ql)?:\/\/[^/?#]*)(?:\/[^?#]*)?(\?[^#]*)?$/.exec(serverUrl)
  if (parts !== null) return `${parts[1]}/${name}${parts[2] ?? ''}`
  throw new InvalidInputError('url: expected postgres://user:password@host:port/database, got something else.')
}

async function onServer<T>(serverUrl: string, body: (query: Ask) => Promise<T>): Promise<T> {
  urlOf(serverUrl, '')
  const { Client } = await loadPg()
  const client = new Client({
    connectionString: serverUrl,
    application_name: 'stet testing',
    connectionTimeoutMillis: 10_000,
  })
  client.on('error', () => {})
  try {
    await client.connect()
  } catch (error) {
    throw new NoDatabaseError(
      `the server for the test database cannot be reached (${(error as Error).message}). Is it running, and is the URL right?`,
      { cause: error },
    )
  }
  try {
    return await body((text, values) => client.query(text, values as any[]))
  } catch (error) {
    if ((error as { code?: string }).code !== '42501') throw error
    throw new StetError(
      'no_permission',
      `each test gets a database of its own, and this user may not create one (${(error as Error).message}). Use a user with the right: ALTER ROLE … CREATEDB.`,
      { cause: error },
    )
  } finally {
    await client.end().catch(() => {})
  }
}
