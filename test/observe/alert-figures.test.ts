/** What rules look at comes by an index, however many runs there are, and a look costs the same. */
import { expect, onTestFinished, test } from 'vitest'
import type { AlertRule } from '../../src/index.js'
import { AlertEvaluator } from '../../src/observe/alerts/evaluator.js'
import { house } from '../support/house.js'

const { stet, db } = await house()
const silent = { debug() {}, info() {}, warn() {}, error() {} }

test('no statement reads a whole table', async () => {
  // 20,000 runs of three workflows: 6,000 wait, 2,000 are ready, 2,000 are blocked, the others are closed.
  await db.query(
    `INSERT INTO stet_store.runs (run_id, id, workflow, version, queue, status, created_at, started_at, closed_at, due)
     SELECT 'run_' || lpad(n::text, 23, '0'), 'id ' || n, 'w' || n % 3, 1, 'q' || n % 2, s.status, now(),
            CASE WHEN s.status <> 'pending' THEN now() - n * interval '1 s' END,
            CASE WHEN s.status = 'completed' THEN now() END, CASE WHEN s.status = 'pending' THEN now() END
       FROM generate_series(1, 20000) n, LATERAL (SELECT CASE n % 10 WHEN 0 THEN 'pending' WHEN 1 THEN 'blocked' WHEN 2 THEN 'waiting'
            WHEN 3 THEN 'waiting' WHEN 4 THEN 'waiting' ELSE 'completed' END AS status) s`,
  )
  // Two days of minutes, of three workflows with twenty steps each.
  await db.query(
    `INSERT INTO stet_store.stats
     SELECT 60, date_trunc('minute', now()) - m * interval '1 minute', 'w' || w, 1, CASE WHEN s = 0 THEN '' ELSE 'step ' || s END,
            0, 9, 1, 0, 0, 0, 0, 5, '[40:42]={5,3,1}', '{}'
       FROM generate_series(0, 2879) m, generate_series(0, 2) w, generate_series(0, 20) s`,
  )
  await db.query(
    `INSERT INTO stet_store.lost_workers SELECT now() - n * interval '1 minute', 'w', 'box', 0 FROM generate_series(0, 9999) n`,
  )
  await db.query('ANALYZE stet_store.runs, stet_store.stats, stet_store.lost_workers')
  const rules: AlertRule[] = [
    { name: 'a', kind: 'runTooLong', longerThan: '1h' },
    { name: 'b', kind: 'runTooLong', timesP99: 2, queue: 'q1' },
    { name: 'c', kind: 'failureRate', above: 0.05 },
    { name: 'd', kind: 'failureRate', above: 0.05, workflow: 'w1' },
    { name: 'e', kind: 'retryRate', above: 0.1 },
    { name: 'f', kind: 'retryRate', timesUsual: 1, workflow: 'w1', step: 'step 7' },
    { name: 'g', kind: 'queueAge', olderThan: 1 },
    { name: 'h', kind: 'noWorker' },
    { name: 'i', kind: 'blockedRuns' },
    { name: 'j', kind: 'leaseChurn', above: 0 },
  ]
  const { store } = await stet.internals()
  const asked: { text: string; values?: unknown[] }[] = []
  const { query } = store.db
  store.db.query = (given: any) => {
    if (!asked.some(({ text }) => text === given.text)) asked.push(given)
    return query.call(store.db, given) as any
  }
  const evaluator = new AlertEvaluator(store, silent, { rules })
  onTestFinished(() => evaluator.stop())
  await evaluator.tick()
  const tests = await stet.alerts.test({ last: '1d' })
  await evaluator.tick()
  store.db.query = query
  const { firing } = await stet.alerts.list()
  expect([...new Set(firing.map(({ rule }) => rule))].sort()).toEqual([...'abcdeghij'])
  expect(tests.find(({ rule }) => rule === 'c')!.firings).toHaveLength(3)
  const summaries = firing.filter(({ kind }) => kind === 'runTooLong').map(({ summary }) => summary)
  for (const summary of summaries) expect(summary).toMatch(/^more than 100 runs of w\d have been open/)

  let looked = 0
  const tables = ['runs', 'stats', 'lost_workers']
  for (const { text, values = [] } of asked.filter((each) => /^\s*(WITH|SELECT)/.test(each.text))) {
    const { rows } = await store.db.query({ text: `EXPLAIN (ANALYZE, FORMAT JSON) ${text}`, values })
    const walk = (node: any) => {
      if (tables.includes(node['Relation Name'])) {
        looked++
        expect([text, node['Node Type']]).not.toEqual([text, 'Seq Scan'])
        const read = (node['Actual Rows'] + (node['Rows Removed by Filter'] ?? 0)) * node['Actual Loops']
        // Of runs no more than are counted, of each workflow. Of statistics what the window has.
        if (node['Relation Name'] === 'runs') expect([text, read <= 3_100]).toEqual([text, true])
      }
      for (const child of node.Plans ?? []) walk(child)
    }
    walk(rows[0]['QUERY PLAN'][0].Plan)
  }
  expect(looked).toBeGreaterThan(12)
})
