/** Transactions, patches, versions, attributes: what is on record exactly once. */
import pg from 'pg'
import { describe, expect, test } from 'vitest'
import { type Ctx, workflow } from '../../src/index.js'
import { house, refusal, types, until } from '../support/house.js'

const { stet, work, loop, reached, db } = await house({ verify: true })

describe('transaction', () => {
  test('rows and record commit together, once; a failed attempt leaves nothing', async () => {
    await db.query('CREATE TABLE debits (run text, amount int)')
    const flow = workflow('debit', async (ctx, amount: number) => {
      const left = await ctx.transaction(
        'debit',
        { retry: { maxAttempts: 3, initialInterval: 1 } },
        async (tx, step) => {
          await tx.query('INSERT INTO debits VALUES ($1, $2)', [step.idempotencyKey, amount])
          if (step.attempt < 3) throw new Error('not yet')
          const { rows } = await tx.query('SELECT count(*)::int AS n FROM debits')
          return rows[0].n
        },
      )
      await ctx.step('after', () => 1)
      return left
    })
    await work([flow])
    const run = await stet.start(flow, 5)
    expect(await run.result()).toBe(1)
    expect((await db.query('SELECT * FROM debits')).rows).toEqual([{ run: `${run.runId}:1`, amount: 5 }])
    expect((await types(run)).filter((type) => type !== 'StepScheduled').slice(1, 4)).toEqual([
      'AttemptFailed',
      'AttemptFailed',
      'StepCompleted',
    ])
    expect((await db.query('SELECT FROM stet_store.inbox WHERE run_id = $1', [run.runId])).rowCount).toBe(0)
  })

  test('a worker that ends after the commit and before the record of it: the rows are there once', async () => {
    await db.query('CREATE TABLE once (n int)')
    let calls = 0
    const flow = workflow('crash after commit', async (ctx: Ctx<void>) => {
      const n = await ctx.transaction('insert', async (tx) => {
        calls++
        await tx.query('INSERT INTO once VALUES (1)')
        return 42
      })
      return n
    })
    const crashing = await loop([flow], {
      gate: { took() {}, before() {}, effect: () => void crashing.crash(), committed() {}, rest() {} },
    })
    const run = await stet.start(flow)
    expect(await run.result()).toBe(42)
    expect(calls).toBe(1)
    expect((await db.query('SELECT FROM once')).rowCount).toBe(1)
  })

  test('a former owner cannot commit', async () => {
    await db.query('CREATE TABLE fenced (n int)')
    let calls = 0
    let hold: (() => void) | null = null
    const flow = workflow('fenced transaction', async (ctx: Ctx<void>) =>
      ctx.transaction('insert', async (tx) => {
        const call = ++calls
        await tx.query('INSERT INTO fenced VALUES ($1)', [call])
        if (call === 1) {
          await new Promise<void>((resolve) => {
            hold = resolve
          })
        }
        return call
      }),
    )
    const former = await loop([flow])
    const run = await stet.start(flow)
    await until(() => hold !== null, 'it is in the middle')
    former.crash()
    expect(await run.result()).toBe(2)
    hold!()
    await until(
      async () =>
        (await db.query('SELECT * FROM pg_stat_activity WHERE state LIKE $1', ['idle in tr%'])).rowCount === 0,
      'it is over',
    )
    expect((await db.query('SELECT n FROM fenced')).rows).toEqual([{ n: 2 }])
  })

  test('works with a pool of one connection', async () => {
    const { Stet } = await import('../../src/stet.js')
    const flow = workflow('small pool', async (ctx: Ctx<void>) =>
      Promise.all(
        [1, 2, 3].map((n) =>
          ctx.transaction('tx', async (tx) => (await tx.query('SELECT $1::int AS n', [n])).rows[0].n),
        ),
      ),
    )
    await using small = new Stet({ url: db.url, poolSize: 1 })
    await using worker = small.worker({ workflows: [flow] })
    await worker.start()
    expect(await small.execute(flow)).toEqual([1, 2, 3])
  })
})

describe('patched', () => {
  const make = (patch: boolean | 'deprecated') =>
    workflow('patchy', async (ctx: Ctx<void>) => {
      const path: string[] = []
      if (patch === 'deprecated') ctx.deprecatePatch('p1')
      if (patch === 'deprecated' || (patch && ctx.patched('p1'))) path.push(await ctx.step('new', () => 'new'))
      else path.push(await ctx.step('old', () => 'old'))
      await ctx.waitForSignal('go')
      if (patch === 'deprecated' || (patch && ctx.patched('p1'))) path.push(await ctx.step('new 2', () => 'new 2'))
      else path.push(await ctx.step('old 2', () => 'old 2'))
      return path
    })

  test('a run in progress stays on its path, a new one takes the other, and both replay', async () => {
    const before = await loop([make(false)])
    const old = await stet.start(make(false))
    await reached(old, 'waiting')
    await before.stop()
    const patched = await loop([make(true)])
    const fresh = await stet.start(make(true))
    await reached(fresh, 'waiting')
    expect(await types(fresh)).toContain('PatchMarked')
    await old.signal('go')
    expect(await old.result()).toEqual(['old', 'old 2'])
    await patched.stop()
    await work([make('deprecated')])
    await fresh.signal('go')
    expect(await fresh.result()).toEqual(['new', 'new 2'])
  })
})

describe('versions', () => {
  const v = (version: number) =>
    workflow('versioned', { version }, async (ctx: Ctx<void>) => {
      const first = await ctx.step(`step of ${version}`, () => version)
      await ctx.waitForSignal('go')
      return [first, ctx.run.version]
    })

  test('a run that began on 1 ends on 1 while new ones take 2: one worker with both, and two workers', async () => {
    const one = await loop([v(1)])
    const old = await stet.start(v(1))
    await reached(old, 'waiting')
    await one.stop()
    const both = await loop([v(1), v(2)])
    const young = await stet.start<ReturnType<typeof v>>('versioned', undefined)
    await reached(young, 'waiting')
    expect(await stet.versions('versioned')).toEqual([
      { workflow: 'versioned', version: 1, open: 1, served: true },
      { workflow: 'versioned', version: 2, open: 1, served: true },
    ])
    await both.stop()
    await work([v(2)])
    await work([v(1)])
    await old.signal('go')
    await young.signal('go')
    expect(await old.result()).toEqual([1, 1])
    expect(await young.result()).toEqual([2, 2])
  })

  test('a worker that lacks a version leaves the run waiting, visibly; moved on request it goes on', async () => {
    const same = (version: number) =>
      workflow('movable', { version }, async (ctx: Ctx<void>) => {
        await ctx.waitForSignal('go')
        return ctx.run.version
      })
    const one = await loop([same(1)])
    const run = await stet.start(same(1))
    await reached(run, 'waiting')
    await one.stop()
    await work([same(2)])
    await run.signal('go')
    expect(await stet.versions('movable')).toEqual([{ workflow: 'movable', version: 1, open: 1, served: false }])
    await (run as any).moveTo(2)
    expect(await run.result()).toBe(2)
    expect((await refusal((run as any).moveTo(3))).code).toBe('run_held')
  })
})

test('attributes are on record, searchable, and merged, also after a crash', async () => {
  const flow = workflow('attributed', async (ctx: Ctx<void>) => {
    ctx.setAttributes({ customer: 'ada', stage: 1 })
    await ctx.waitForSignal('go')
    ctx.setAttributes({ stage: 2, tags: ['x', 'y'] })
  })
  const worker = await loop([flow])
  const run = await stet.start(flow, undefined, { attributes: { source: 'test' } })
  await reached(run, 'waiting')
  expect((await stet.list({ attributes: { customer: 'ada', stage: 1 } })).runs.map(({ runId }) => runId)).toEqual([
    run.runId,
  ])
  worker.crash()
  await run.signal('go')
  await run.result()
  expect((await run.describe()).attributes).toEqual({ source: 'test', customer: 'ada', stage: 2, tags: ['x', 'y'] })
  expect((await types(run)).filter((type) => type === 'AttributesSet')).toHaveLength(2)
})

test('psql alone starts a run, signals it and reads its result; rolled back, nothing happened', async () => {
  const flow = workflow('by sql', async (ctx, name: string) => `${name}: ${await ctx.waitForSignal<string>('word')}`)
  await work([flow])
  const client = new pg.Client(db.url)
  await client.connect()
  try {
    await client.query('BEGIN')
    await client.query(`SELECT stet.start('by sql', '"nobody"', 'sql-0')`)
    await client.query('ROLLBACK')
    await client.query('BEGIN')
    const { rows } = await client.query(`SELECT stet.start('by sql', '"ada"', 'sql-1') AS run`)
    await client.query(`SELECT stet.signal('sql-1', 'word', '"hello"')`)
    await client.query('COMMIT')
    const done = await until(async () => {
      const found = await client.query(`SELECT output FROM stet.runs WHERE run_id = $1 AND status = 'completed'`, [
        rows[0].run,
      ])
      return found.rows[0]
    }, 'it is completed')
    expect(done).toEqual({ output: 'ada: hello' })
    expect((await client.query(`SELECT FROM stet.runs WHERE id = 'sql-0'`)).rowCount).toBe(0)
  } finally {
    await client.end()
  }
})
