// Extract, transform, load over rows in Postgres: a long step saves checkpoints, so a retry goes on where it was.
// Terminal 1: export DATABASE_URL="$(npx stet db url)"; npx stet worker samples/etl.ts
// Terminal 2: npx stet start etl --input '{"rows":20000}' --wait     (its tables are in the schema stet_sample_etl)
import pg from 'pg'
import { type StepContext, workflow } from 'stet'

export interface Etl {
  /** How many raw sales there are to be; those that are missing are made up. */
  rows: number
  /** Rows a batch; default 500. After each batch a checkpoint is saved. */
  batch?: number
}
export interface Loaded {
  /** The last raw row that was looked at. */
  lastId: number
  sales: number
  rejected: number
}

export const etl = workflow('etl', async (ctx, { rows, batch = 500 }: Etl) => {
  await ctx.step('create tables', createTables)
  const upTo = await ctx.step('extract', () => extract(rows))
  const loaded = await ctx.step(
    'transform and load',
    // No sign of life for 30 s, and the attempt is given up and made again.
    { heartbeatTimeout: '30s', retry: { maxAttempts: 10, initialInterval: '200ms' } },
    (step) => transformAndLoad(upTo, batch, step),
  )
  // Two reports at once, over what was loaded.
  const [byCountry, byDay] = await Promise.all([
    ctx.step('total by country', () => totals('country')),
    ctx.step('total by day', () => totals('day')),
  ])
  await ctx.step('check totals', () => check(loaded, byCountry.concat(byDay)))
  return { ...loaded, countries: byCountry.length, days: byDay.length }
})

async function createTables(): Promise<void> {
  await query(`
    CREATE SCHEMA IF NOT EXISTS stet_sample_etl;
    CREATE TABLE IF NOT EXISTS stet_sample_etl.raw_sales
      (id bigint PRIMARY KEY, sold_at text NOT NULL, country text NOT NULL, amount text NOT NULL);
    CREATE TABLE IF NOT EXISTS stet_sample_etl.sales
      (id bigint PRIMARY KEY, day date NOT NULL, country text NOT NULL, cents bigint NOT NULL);
    CREATE TABLE IF NOT EXISTS stet_sample_etl.totals
      (kind text, key text, cents bigint NOT NULL, PRIMARY KEY (kind, key))`)
}

/** Raw text as a shop would export it, one row in 97 with an amount that is none. */
async function extract(rows: number): Promise<number> {
  await query(
    `INSERT INTO stet_sample_etl.raw_sales
     SELECT n, to_char(timestamp '2026-01-01' + n * interval '7 minutes', 'YYYY-MM-DD"T"HH24:MI'),
            (ARRAY['de', 'FR', ' nl', 'Us'])[n % 4 + 1],
            CASE WHEN n % 97 = 0 THEN 'n/a' ELSE (n % 5000)::text || '.' || lpad((n % 100)::text, 2, '0') END
     FROM generate_series(1, $1::bigint) n
     ON CONFLICT DO NOTHING`,
    [rows],
  )
  const [{ last }] = await query('SELECT coalesce(max(id), 0)::int AS last FROM stet_sample_etl.raw_sales')
  return last
}

async function transformAndLoad(upTo: number, batch: number, step: StepContext): Promise<Loaded> {
  // What an earlier attempt saved: it worked up to here, whatever became of it then.
  let done: Loaded = step.checkpoint ?? { lastId: 0, sales: 0, rejected: 0 }
  console.log(`transform and load, attempt ${step.attempt}: from row ${done.lastId + 1} of ${upTo}`)
  while (done.lastId < upTo && !step.signal.aborted) {
    const raw = await query(
      'SELECT id::int, sold_at, country, amount FROM stet_sample_etl.raw_sales WHERE id > $1 ORDER BY id LIMIT $2',
      [done.lastId, batch],
    )
    const sales = raw.map(toSale).filter((sale) => sale !== null)
    // A batch that was written and not yet checkpointed when the worker died comes again: it must do no harm.
    await query(
      `INSERT INTO stet_sample_etl.sales
       SELECT * FROM unnest($1::bigint[], $2::date[], $3::text[], $4::bigint[]) ON CONFLICT (id) DO NOTHING`,
      [sales.map(({ id }) => id), sales.map(({ day }) => day), sales.map((s) => s.country), sales.map((s) => s.cents)],
    )
    done = {
      lastId: raw.at(-1)!.id,
      sales: done.sales + sales.length,
      rejected: done.rejected + raw.length - sales.length,
    }
    await step.saveCheckpoint(done)
  }
  step.signal.throwIfAborted()
  return done
}

function toSale(raw: { id: number; sold_at: string; country: string; amount: string }) {
  const amount = Number(raw.amount)
  if (!Number.isFinite(amount)) return null
  return {
    id: raw.id,
    day: raw.sold_at.slice(0, 10),
    country: raw.country.trim().toUpperCase(),
    cents: Math.round(amount * 100),
  }
}

interface Total {
  kind: 'country' | 'day'
  key: string
  cents: number
}

async function totals(kind: Total['kind']): Promise<Total[]> {
  return query(
    `INSERT INTO stet_sample_etl.totals
     SELECT '${kind}', ${kind}::text, sum(cents) FROM stet_sample_etl.sales GROUP BY 2
     ON CONFLICT (kind, key) DO UPDATE SET cents = excluded.cents
     RETURNING kind, key, cents::float8 AS cents`,
  )
}

async function check({ sales }: Loaded, all: Total[]): Promise<void> {
  const sum = (kind: Total['kind']) =>
    all.filter((total) => total.kind === kind).reduce((cents, total) => cents + total.cents, 0)
  if (sum('country') !== sum('day')) throw new Error(`totals differ: ${sum('country')} and ${sum('day')}`)
  const [{ count }] = await query('SELECT count(*)::int AS count FROM stet_sample_etl.sales')
  if (count !== sales) throw new Error(`loaded ${sales} sales, the table has ${count}`)
}

// ── connection ───────────────────────────────────────────────────────────────────────────────────

let pool: pg.Pool | undefined

/** Rows of a statement, on the database of the shop: here the one that stet uses too, any other would do. */
async function query(text: string, values?: unknown[]): Promise<any[]> {
  if (pool === undefined) {
    const connectionString = process.env.DATABASE_URL
    if (connectionString === undefined) throw new Error('DATABASE_URL is not set. Try the one of `npx stet db url`.')
    pool = new pg.Pool({ connectionString, max: 4, allowExitOnIdle: true, application_name: 'stet-sample-etl' })
    // A connection that breaks while idle is replaced; one that breaks in a statement fails the attempt.
    pool.on('error', () => {})
  }
  return (await pool.query(text, values)).rows
}
