/** Several applications in one database, each with a schema name of its own. */
import pg from 'pg'
import { afterAll, describe, expect, onTestFinished, test, vi } from 'vitest'
import { checkSchema } from '../src/core/schema-name.js'
import { type Ctx, InvalidInputError, Stet, signal, workflow } from '../src/index.js'
import { Db } from '../src/store/postgres/db.js'
import { hasSchema } from '../src/store/postgres/migrate.js'
import { migrations } from '../src/store/postgres/migrations/index.js'
import { namesOf } from '../src/store/postgres/schema.js'
import { createPostgresStore } from '../src/store/postgres/store.js'
import { WorkerLoop } from '../src/worker/worker.js'
import { browse } from './server/support.js'
import { gate, refusal, until } from './support/house.js'
import { testDatabase } from './support/server.js'

const go = signal<string>('go')

/** The same name in each application, and not the same code. */
const orderOf = (application: string) =>
  workflow('order', async (ctx: Ctx<number>, n: number) => {
    await ctx.step('one', () => n)
    return `${application} ${n} ${await ctx.waitForSignal(go)}`
  })

const db = await testDatabase({ empty: true })

function application(schema: string, url = db.url): Stet {
  const stet = new Stet({ url, schema })
  afterAll(() => stet.close())
  return stet
}

/** `order` is a word that SQL keeps for itself. */
const apps = { stet: application('stet'), billing: application('billing'), order: application('order') }
const names = Object.keys(apps) as (keyof typeof apps)[]

const count = async (what: string): Promise<number> =>
  (await db.query(`SELECT count(*)::int AS n FROM ${what}`)).rows[0].n

describe('applications in one database', () => {
  test('have the same ids and queues, each with its own workers and messages', async () => {
    for (const name of names) await apps[name].start('order', 1, { id: 'order-1' })
    for (const name of names) {
      const worker = apps[name].worker({ workflows: [orderOf(name)] })
      onTestFinished(() => worker.stop())
      await worker.start()
      // What is sent in one does not reach the others.
      await apps[name].run('order-1').signal(go, 'now')
      expect(await apps[name].run('order-1').result()).toBe(`${name} 1 now`)
      await worker.stop()
      for (const other of names.slice(names.indexOf(name) + 1)) {
        expect((await apps[other].run('order-1').history()).map(({ type }) => type)).toEqual(['RunStarted'])
      }
    }
    for (const name of names) {
      expect((await apps[name].list()).runs.map(({ id, status }) => [id, status])).toEqual([['order-1', 'completed']])
      expect(await count(`"${name}".runs`)).toBe(1)
    }
  })

  test('hear no hints of each other', async () => {
    const heard: string[] = []
    const client = new pg.Client({ connectionString: db.url })
    onTestFinished(() => client.end())
    await client.connect()
    client.on('notification', ({ channel, payload }) => heard.push(`${channel} ${payload}`))
    for (const name of names) await client.query(`LISTEN "${name}"`)
    for (const name of names) {
      const { store } = await apps[name].internals()
      await store.publish([{ kind: 'ready', queues: [`of ${name}`] }])
      await db.query(`SELECT "${name}".start('order', '5', 'hint-${name}', 'queue of ${name}')`)
    }
    await until(() => heard.length === 6, 'six hints were heard')
    expect(heard).toEqual(names.flatMap((name) => [`${name} rof ${name}`, `${name} rqueue of ${name}`]))
  })

  test('do not take over what a worker of another leaves behind, nor look for it', async () => {
    const { billing, order } = apps
    const { promise: end, open: finish } = gate()
    const held = workflow('order', async (ctx: Ctx<number>) => ctx.step('held', () => end))
    const run = await billing.start('order', 2, { id: 'left' })
    await order.start('order', 2, { id: 'left' })
    const { store, hints } = await billing.internals()
    const log = { debug() {}, info() {}, warn() {}, error() {} }
    const loop = new WorkerLoop(store, hints, log, { workflows: [held] })
    onTestFinished(async () => {
      finish()
      await loop.stop()
    })
    await loop.start()
    await until(() => loop.held?.some(({ execution }) => execution.identity.runId === run.runId), 'the worker has it')
    const theirs = await order.internals()
    expect(await theirs.store.goneWorkers()).toEqual([])
    const [{ id }] = (await db.query('SELECT id FROM billing_store.workers')).rows
    expect(await theirs.store.takeOver([id])).toMatchObject({ workers: 0, runs: 0 })
    const served = async (of: typeof store) => new Set((await of.versions('order')).map(({ served }) => served))
    expect(await served(store)).toEqual(new Set([true]))
    expect(await served(theirs.store)).toEqual(new Set([false]))
    expect((await run.describe()).status).toBe('running')
    expect(await store.takeOver([id])).toMatchObject({ workers: 1, runs: 1 })
  })

  test('have a dashboard each, whose bulk actions reach its own runs alone', async () => {
    for (const name of names) await apps[name].start('order', 3, { id: 'bulk' })
    const filter = { filter: { status: ['pending'] } }
    const { bulk } = await browse(apps.billing).post('/api/bulk/cancel', { ...filter, dryRun: false })
    const { done } = await (await apps.billing.bulks.get(bulk.id)).result({ drive: true })
    expect(done).toBeGreaterThan(0)
    expect((await apps.order.bulks.list()).bulks).toEqual([])
    const statusIn = async (name: keyof typeof apps) => (await browse(apps[name]).get('/api/runs/bulk')).run.status
    expect(await statusIn('billing')).toBe('cancelled')
    expect(await statusIn('order')).toBe('pending')
    expect(await statusIn('stet')).toBe('pending')
    expect(await count('billing.audit')).toBeGreaterThan(0)
    expect(await count('"order".audit')).toBe(0)
  })

  test('have their own alerts, looked after at the same time, and their own channel for them', async () => {
    const rule = { kind: 'blockedRuns' as const, name: 'blocked', above: 0 }
    await apps.billing.alerts.add(rule)
    expect(await apps.order.alerts.rules()).toEqual([])
    await apps.order.alerts.add({ ...rule, name: 'another' })
    expect((await apps.billing.alerts.rules()).map(({ name }) => name)).toEqual(['blocked'])
    const heard: string[] = []
    const client = new pg.Client({ connectionString: db.url })
    onTestFinished(() => client.end())
    await client.connect()
    client.on('notification', ({ channel, payload }) => heard.push(`${channel} ${payload}`))
    await client.query('LISTEN billing_alerts; LISTEN order_alerts; LISTEN stet_alerts')
    const now = Date.now()
    for (const name of ['billing', 'order'] as const) {
      const { alerts } = (await apps[name].internals()).store
      expect((await alerts.watch('me', 60_000, now)).active).toBe(true)
      const found = {
        ...{
          rule: 'r',
          kind: 'blockedRuns',
          fingerprint: 'f',
          severity: 'warning',
          labels: {},
          value: 1,
          summary: 's',
        },
        ...{ evidence: {}, id: null, state: 'firing' as const, since: now, firedAt: now, resolvedAt: null },
        ...{ announced: true, delivery: null, notice: name },
      }
      expect(await alerts.write('me', now, [found], [])).toBe(true)
    }
    await until(() => heard.length === 2, 'two alerts were told')
    expect(heard).toEqual(['billing_alerts billing', 'order_alerts order'])
    expect(await apps.stet.alerts.history()).toEqual([])
  })
})

describe('transactions', () => {
  test('of callers: start and signal commit with their rows, and their statements stay as they are', async () => {
    const { billing } = apps
    const pool = new pg.Pool({ connectionString: db.url, max: 1 })
    onTestFinished(() => pool.end())
    const tx = await pool.connect()
    await tx.query('BEGIN')
    const run = await billing.start('order', 4, { id: 'in a transaction', tx })
    await run.signal(go, 'along', { tx })
    // The default application's, although it is asked in one of billing's.
    const seen = await tx.query(`SELECT count(*)::int AS n FROM stet.runs WHERE id = 'in a transaction'`)
    expect(seen.rows[0].n).toBe(0)
    await tx.query('COMMIT')
    tx.release()
    expect(await count(`billing.runs WHERE id = 'in a transaction'`)).toBe(1)
    expect(await count(`billing_store.inbox WHERE run_id = '${run.runId}'`)).toBe(1)
  })

  test('of steps: what the function writes and asks is not given other names', async () => {
    await db.query('CREATE TABLE public.notes (note text)')
    const noting = workflow('noting', async (ctx: Ctx) =>
      ctx.transaction('note', async (tx) => {
        await tx.query(`INSERT INTO public.notes VALUES ('stet_store.runs and stet.runs')`)
        const run = await apps.billing.start('order', 6, { id: 'from a step', tx })
        const { rows } = await tx.query(
          `SELECT n.note, (SELECT count(*)::int FROM stet.runs WHERE id = $1) AS here
                                           FROM public.notes n`,
          ['from a step'],
        )
        return { ...rows[0], runId: run.runId }
      }),
    )
    const worker = apps.billing.worker({ workflows: [noting] })
    onTestFinished(() => worker.stop())
    await worker.start()
    const { note, here } = (await apps.billing.execute(noting)) as { note: string; here: number }
    expect({ note, here }).toEqual({ note: 'stet_store.runs and stet.runs', here: 0 })
    expect(await count(`billing.runs WHERE id = 'from a step'`)).toBe(1)
  })
})

test('functions and views in SQL have the name of the application, also in what they say', async () => {
  const { rows } = await db.query(`SELECT billing.start('order', '7', 'from SQL') AS run_id`)
  await db.query(`SELECT billing.signal('from SQL', 'go', '"by hand"')`)
  await db.query(`SELECT billing.cancel('from SQL', 'enough')`)
  expect(await count(`billing_store.inbox WHERE run_id = '${rows[0].run_id}'`)).toBe(2)
  expect(await count(`stet.runs WHERE id = 'from SQL'`)).toBe(0)
  expect(await refusal(db.query(`SELECT billing.start('order', '8', 'from SQL')`))).toMatchObject({
    code: '23505',
    message: expect.stringMatching(/^billing\.start: id "from SQL" is taken/),
  })
  expect(await refusal(db.query(`SELECT "order".signal('nobody', 'go')`))).toMatchObject({
    message: 'order.signal: no run has the id or run id "nobody"',
  })
})

test('no function or view of one application names another', async () => {
  const { rows } = await db.query(
    `SELECT n.nspname || '.' || x.name AS name, x.text
       FROM pg_namespace n, LATERAL (
            SELECT proname AS name, prosrc AS text FROM pg_proc WHERE pronamespace = n.oid
            UNION ALL SELECT viewname, definition FROM pg_views WHERE schemaname = n.nspname) x
      WHERE n.nspname ~ '^(billing|order)'`,
  )
  expect(rows.length).toBeGreaterThan(30)
  expect(rows.filter(({ text }) => /\bstet(_store)?\b/.test(text)).map(({ name }) => name)).toEqual([])
})

test('one application is migrated while another is older', async () => {
  const { url, query } = await testDatabase({ empty: true })
  const named = namesOf('older')
  await query(
    'CREATE SCHEMA older_store; CREATE TABLE older_store.migrations (number int PRIMARY KEY, applied_at timestamptz DEFAULT now())',
  )
  for (const [i, text] of migrations.slice(0, 5).entries()) {
    await query(named(text))
    await query('INSERT INTO older_store.migrations VALUES ($1)', [i + 1])
  }
  await query(`SELECT older.start('order', '1', 'order-1')`)
  const newer = new Stet({ url, schema: 'newer' })
  onTestFinished(() => newer.close())
  await newer.start('order', 1, { id: 'order-1' })
  const { rows } = await query('SELECT max(number) AS last FROM older_store.migrations')
  expect(rows[0].last).toBe(5)
  const db = new Db({ url, schema: 'older', poolSize: 1 })
  onTestFinished(() => db.close())
  expect(await refusal(hasSchema(db))).toMatchObject({ code: 'schema_too_old' })
  // The first process of the older application brings it up, and finds what was there.
  const older = new Stet({ url, schema: 'older' })
  onTestFinished(() => older.close())
  expect((await older.list()).runs.map(({ id }) => id)).toEqual(['order-1'])
  expect(await hasSchema(db)).toBe(true)
})

test('an application is migrated while a migration of another is under way', async () => {
  const { url, query } = await testDatabase({ empty: true })
  const slow = createPostgresStore({ url, schema: 'slow', poolSize: 1 })
  onTestFinished(() => slow.close())
  const under = slow.db.transaction(async (ask) => {
    await ask({ text: `SELECT pg_advisory_xact_lock(hashtextextended('stet migrations', 0))` })
    const quick = createPostgresStore({ url, schema: 'quick', poolSize: 1 })
    expect(await quick.migrate()).toBe(migrations.length)
    await quick.close()
  })
  await under
  const { rows } = await query(`SELECT to_regnamespace('slow') AS slow, to_regnamespace('quick') AS quick`)
  expect(rows).toEqual([{ slow: null, quick: 'quick' }])
})

describe('a name that cannot be an application’s own is refused before anything is written', () => {
  const hostile: unknown[] = [
    ...['', ' ', 'Billing', '1st', 'a-b', 'a.b', 'a"b', "a'b", 'a;DROP SCHEMA stet CASCADE', 'zahlung_ü', 'a b', 'a\n'],
    ...['pg_catalog', 'pg_mine', 'public', 'information_schema', 'stet_store', 'billing_store', 'billing_alerts'],
    ...['a'.repeat(41), 7, null, {}],
  ]
  test.each(hostile)('%j', (schema) => {
    expect(() => new Stet({ url: db.url, schema: schema as string })).toThrow(InvalidInputError)
    expect(() => new Stet({ url: db.url, schema: schema as string })).toThrow(/^new Stet: schema: expected .*, got /)
  })

  test('also when it comes from the environment, which an option outdoes', async () => {
    vi.stubEnv('STET_SCHEMA', 'Not a name')
    onTestFinished(() => void vi.unstubAllEnvs())
    expect(() => new Stet({ url: db.url })).toThrow(/^STET_SCHEMA: expected/)
    await new Stet({ url: db.url, schema: 'billing' }).close()
    vi.stubEnv('STET_SCHEMA', 'billing')
    await using stet = new Stet({ url: db.url })
    expect((await stet.internals()).store.description).toMatch(/, schema billing$/)
  })

  test.each(['billing', 'a', '_x', 'order', 'user', 'stet', 'stet2', 'a'.repeat(40)])('%s is one', (schema) => {
    expect(checkSchema(schema, 'it')).toBe(schema)
  })
})

test('schemas in which there is something else already are left alone', async () => {
  const { url, query } = await testDatabase({ empty: true })
  for (const taken of ['shop', 'shop_store']) {
    await query(`CREATE SCHEMA ${taken}; CREATE TABLE ${taken}.invoices ()`)
    await using stet = new Stet({ url, schema: 'shop' })
    expect(await refusal(stet.migrate())).toMatchObject({
      code: 'schema_taken',
      message: expect.stringContaining(`${taken}.invoices`),
    })
    await query(`DROP SCHEMA ${taken} CASCADE`)
    expect((await query(`SELECT FROM pg_namespace WHERE nspname ~ '^shop'`)).rowCount).toBe(0)
  }
  // Made beforehand, by one who may, and empty.
  await query('CREATE SCHEMA shop; CREATE SCHEMA shop_store')
  await using stet = new Stet({ url, schema: 'shop' })
  await stet.migrate()
  expect((await stet.list()).runs).toEqual([])
})

test('names are put where names stand, and nowhere else', () => {
  const named = namesOf('billing')
  const cases: [string, string][] = [
    ['SELECT FROM stet_store.runs r', 'SELECT FROM "billing_store".runs r'],
    ['SELECT stet.start($1)', 'SELECT "billing".start($1)'],
    ["to_regclass('stet_store.runs')", `to_regclass('"billing_store".runs')`],
    ["pg_notify('stet', 'r')", "pg_notify('billing', 'r')"],
    ["pg_notify('stet_alerts', 'r')", "pg_notify('billing_alerts', 'r')"],
    ["hashtextextended('stet worker ' || $1, 0)", "hashtextextended('billing worker ' || $1, 0)"],
    ["RAISE 'stet.start: no'", "RAISE 'billing.start: no'"],
    ["'then: stet resume ' || id", "'then: stet resume ' || id"],
    ['SELECT stet_test_1.x, my_stet.y, stetson.z', 'SELECT stet_test_1.x, my_stet.y, stetson.z'],
  ]
  for (const [text, expected] of cases) expect(named(text)).toBe(expected)
  for (const [text] of cases) expect(namesOf('stet')(text)).toBe(text)
})
