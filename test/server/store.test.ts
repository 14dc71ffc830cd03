/** What the dashboard asks of a store, of both stores. */
import { describe, expect, onTestFinished, test } from 'vitest'
import { Stet } from '../../src/index.js'
import { maxCounted } from '../../src/store/port.js'
import { testEnv } from '../../src/testing/index.js'
import { house } from '../support/house.js'
import { databases } from '../testing/databases.js'
import { all, broken, browse, idle, parent } from './support.js'

const { stet, db } = await house()

describe.each(databases)('$database', (on) => {
  test('pages, relatives, counts, workers, workflows, actions', async () => {
    await using env = await testEnv({ workflows: all, ...on })
    const { store } = await env.stet.internals()
    const family = await env.stet.start(parent, 3, { id: 'family' })
    await family.result()
    const alone = await env.stet.start(idle, null, { id: 'alone' })
    await env.clock.runToIdle()
    const fork = await family.fork({ at: 'start' })
    await fork.result()

    const whole = await store.history(family.runId)
    const [from, again, none] = await store.eventsAfter(
      [
        { runId: family.runId, after: 2 },
        { runId: family.runId, after: 0 },
        { runId: 'run_of_nobody', after: 0 },
      ],
      3,
    )
    expect(from).toEqual(whole.slice(2, 5))
    expect(again).toEqual(whole.slice(0, 3))
    expect(none).toEqual([])

    const newest = (await store.list({ limit: 1000 })).rows
    expect(await store.rows([], 2)).toEqual(newest.slice(0, 2))
    expect((await store.rows([family.runId, 'run_of_nobody', newest[0]!.runId], 1)).map(({ runId }) => runId)).toEqual([
      newest[0]!.runId,
      family.runId,
    ])

    const first = await store.relatives(family.runId, 'child', { limit: 2 })
    const rest = await store.relatives(family.runId, 'child', { limit: 2, after: first.next! })
    const children = newest.filter((row) => row.parent?.runId === family.runId)
    expect([...first.rows, ...rest.rows]).toEqual(children)
    expect([children.length, rest.next]).toEqual([3, null])
    expect((await store.relatives(family.runId, 'fork', { limit: 5 })).rows.map(({ runId }) => runId)).toEqual([
      fork.runId,
    ])

    expect(await store.countRuns()).toEqual({
      ...{ pending: 0, running: 0, waiting: 1, paused: 0, blocked: 0 },
      ...{ completed: newest.length - 1, failed: 0, cancelled: 0, terminated: 0, continued: 0 },
    })
    expect(await store.liveWorkers()).toMatchObject([{ queues: ['default'], runs: 0, pid: process.pid }])
    expect(await store.knownWorkflows()).toEqual(
      ['broken', 'idle', 'leaf', 'order', 'parent'].map((name) => ({ name, version: 1, served: true })),
    )

    const entry = {
      actor: 'ann',
      role: 'operate',
      action: 'cancel',
      runId: alone.runId,
      id: 'alone',
      details: { a: 1 },
    }
    const [one, two] = await store.beginAudit([entry, { ...entry, runId: null, id: null, action: 'start' }])
    await store.endAudit([{ n: two!, runId: family.runId, id: 'family', details: { b: [2] } }])
    expect(await store.beginAudit([])).toEqual([])
    const rows = await store.readAudit({ limit: 5 })
    expect(rows).toEqual([
      {
        ...entry,
        n: two,
        at: expect.any(Number),
        action: 'start',
        runId: family.runId,
        id: 'family',
        details: { a: 1, b: [2] },
      },
      { ...entry, n: one, at: expect.any(Number) },
    ])
    expect(await store.readAudit({ limit: 5, before: two! })).toEqual([rows[1]])
    expect(await store.readAudit({ limit: 5, runId: family.runId })).toEqual([rows[0]])
    expect(await store.readAudit({ limit: 1 })).toEqual([rows[0]])
  })
})

test('counts end where they are said to, and no statement reads a whole table', async () => {
  await db.query(
    `INSERT INTO stet_store.runs (run_id, id, workflow, version, queue, status, created_at, closed_at, due)
     SELECT 'run_' || lpad(n::text, 23, '0'), 'run_' || lpad(n::text, 23, '0'), 'w' || n % 3, 1, 'default',
            CASE WHEN n % 100 = 0 THEN 'waiting' ELSE 'completed' END, now(), CASE WHEN n % 100 = 0 THEN NULL ELSE now() END, NULL
       FROM generate_series(1, 20000) n`,
  )
  await db.query('ANALYZE stet_store.runs')
  const { store } = await stet.internals()
  expect(await store.countRuns()).toMatchObject({ completed: maxCounted + 1, waiting: 200, failed: 0, running: 0 })
  const known = [1, 2, 3].map((n) => ({ name: `w${n - 1}`, version: 1, served: false }))
  expect(await store.knownWorkflows()).toEqual(known)

  const asked: { text: string; values?: unknown[] }[] = []
  const { query } = store.db
  store.db.query = (given: any) => {
    asked.push(given)
    return query.call(store.db, given) as any
  }
  await store.countRuns()
  await store.knownWorkflows()
  await store.rows(['run_00000000000000000000005'], 50)
  await store.relatives('run_00000000000000000000005', 'child', { limit: 50 })
  await store.relatives('run_00000000000000000000005', 'fork', { limit: 50, after: 'run_1' })
  await store.readAudit({ limit: 50, runId: 'run_00000000000000000000005' })
  await store.eventsAfter([{ runId: 'run_00000000000000000000005', after: 0 }], 50)
  store.db.query = query
  for (const { text, values = [] } of asked) {
    const { rows } = await store.db.query({ text: `EXPLAIN (ANALYZE, FORMAT JSON) ${text}`, values })
    const read: [string, number][] = []
    const walk = (node: any) => {
      if (
        node['Relation Name'] === 'runs' ||
        node['Relation Name'] === 'history' ||
        node['Relation Name'] === 'audit'
      ) {
        expect([text, node['Node Type']]).not.toEqual([text, 'Seq Scan'])
        const loops = node['Actual Loops']
        const removed = node['Rows Removed by Filter'] ?? 0
        read.push([node['Node Type'], (node['Actual Rows'] + removed) * loops])
      }
      for (const child of node.Plans ?? []) walk(child)
    }
    walk(rows[0]['QUERY PLAN'][0].Plan)
    // Of 20,000 runs; ten statuses are counted, each to its own end.
    for (const [, n] of read) expect([text, n <= 1_100]).toEqual([text, true])
  }
  expect(asked).toHaveLength(7)
})

test('what a codec has made is shown as it was, and stays encoded where it is kept', async () => {
  const codec = {
    encode: (bytes: Uint8Array) => bytes.map((byte) => byte ^ 7),
    decode: (bytes: Uint8Array) => bytes.map((byte) => byte ^ 7),
  }
  const own = new Stet({ url: db.url, codec })
  onTestFinished(() => own.close())
  await using worker = own.worker({ workflows: [broken] })
  await worker.start()
  const browser = browse(own)
  await browser.post('/api/runs', { workflow: 'broken', id: 'coded', input: { word: 'plaintext' } })
  await own
    .run('coded')
    .result()
    .catch(() => {})
  const { runId } = await own.run('coded').describe()
  const line = await browser.dashboard.fetch(browser.request(`/api/feed?runs=${runId}:0&lists=1`))
  const reader = line.body!.getReader()
  let told = ''
  while (!told.includes('event: run\n')) told += new TextDecoder().decode((await reader.read()).value)
  await reader.cancel()
  const { events } = await browser.get('/api/runs/coded/history')
  await browser.post('/api/runs/coded/fork', { at: 'first', id: 'coded-2', input: 'plaintext' })
  await own
    .run('coded-2')
    .result()
    .catch(() => {})
  const { runs } = await browser.get('/api/runs/coded/forks')
  for (const shown of [told, JSON.stringify(events), JSON.stringify(runs)]) expect(shown).toContain('plaintext')
  const { rows } = await db.query('SELECT row_to_json(a)::text AS text FROM stet_store.audit a')
  expect(rows.map(({ text }) => text).join()).not.toContain('plaintext')
  // Without it nothing can be read, and it is said why.
  const { status, json } = await browse(stet, { onError: () => {} }).ask('/api/runs/coded/history')
  expect([status, json.error.code, json.error.message]).toEqual([
    500,
    'not_serializable',
    expect.stringContaining('codec'),
  ])
})
