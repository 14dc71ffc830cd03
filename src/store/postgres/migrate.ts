import { StetError } from '../../core/errors.js'
import type { Ask, Db } from './db.js'
import { migrations } from './migrations/index.js'

/**
 * Brings the database to this release's schema. Forward only, one transaction per migration, safe to call from many
 * processes and to be killed in. Returns how many migrations were applied.
 */
export async function migrate(db: Db): Promise<number> {
  if ((await currentMigration(db)) === migrations.length) return 0
  let applied = 0
  for (;;) {
    const more = await db.transaction(async (query) => {
      // Two starters at once: one migrates, the other waits and finds nothing to do.
      await query({ text: `SELECT pg_advisory_xact_lock(hashtextextended('stet migrations', 0))` })
      await refuseTaken(query, db.schema)
      await query({ text: 'CREATE SCHEMA IF NOT EXISTS stet_store' })
      await query({
        text: `CREATE TABLE IF NOT EXISTS stet_store.migrations (
                 number int PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT clock_timestamp())`,
      })
      const done = await query({ text: 'SELECT coalesce(max(number), 0) AS number FROM stet_store.migrations' })
      const next = done.rows[0].number + 1
      if (next > migrations.length) return false
      await query({ text: migrations[next - 1]! })
      await query({ text: 'INSERT INTO stet_store.migrations (number) VALUES ($1)', values: [next] })
      return true
    })
    if (!more) return applied
    applied++
  }
}

/**
 * A schema that something else is in already is nothing to share.
 * @throws StetError code `schema_taken`, before anything is written
 */
async function refuseTaken(query: Ask, schema: string): Promise<void> {
  const { rows } = await query({
    text: `SELECT n.nspname || '.' || x.name AS name
             FROM pg_namespace n,
                  LATERAL (SELECT relname AS name FROM pg_class WHERE relnamespace = n.oid
                           UNION ALL SELECT proname FROM pg_proc WHERE pronamespace = n.oid LIMIT 1) x
            WHERE n.nspname IN ($1::text, $1::text || '_store') AND to_regclass('stet_store.migrations') IS NULL LIMIT 1`,
    values: [schema],
  })
  if (rows.length === 0) return
  throw new StetError(
    'schema_taken',
    `schema "${schema}": expected that it and "${schema}_store" hold nothing but what stet makes, found ${rows[0].name}. Nothing was written. Give this application another schema name.`,
  )
}

/**
 * For whoever only reads, and so does not migrate: false when stet has never used this database.
 * @throws StetError when its schema is an older one
 */
export async function hasSchema(db: Db): Promise<boolean> {
  const current = await currentMigration(db)
  if (current === 0 || current === migrations.length) return current !== 0
  throw new StetError(
    'schema_too_old',
    `the database is at migration ${current}, this release of stet reads ${migrations.length}. Run \`stet migrate\` with a role that may change the schema, or use the release that the workers run.`,
  )
}

/** The number of the last migration that was applied; 0 for a database that stet has not seen. */
export async function currentMigration(db: Db): Promise<number> {
  const { rows } = await db.query({
    text: "SELECT to_regclass('stet_store.migrations') IS NOT NULL AS known, current_setting('server_version_num')::int AS version",
  })
  if (rows[0].version < 150_000) {
    throw new StetError(
      'postgres_too_old',
      `expected Postgres 15 or later, got ${rows[0].version}. Point the URL at a newer server.`,
    )
  }
  if (!rows[0].known) return 0
  const done = await db.query({ text: 'SELECT coalesce(max(number), 0) AS number FROM stet_store.migrations' })
  if (done.rows[0].number > migrations.length) {
    throw new StetError(
      'schema_too_new',
      `the database was migrated by a newer stet (migration ${done.rows[0].number}, this release knows ${migrations.length}). Upgrade this process.`,
    )
  }
  return done.rows[0].number
}
