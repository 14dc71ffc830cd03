/** `stet alerts test`: when rules would have fired, by statistics that the test writes. */
import { expect, test } from 'vitest'
import type { AlertRule } from '../../src/index.js'
import { bucketOf } from '../../src/observe/histogram.js'
import { house } from '../support/house.js'

const { stet, db } = await house()
const { store } = await stet.internals()
const second = 1_000
const minute = 60 * second
const hour = 60 * minute
/** The beginning of this minute. */
const now = Math.floor((await store.now()) / minute) * minute

interface Row {
  readonly ago: number
  readonly seconds?: number
  readonly workflow?: string
  readonly step?: string
  readonly completed?: number
  readonly failed?: number
  readonly retried?: number
  /** How long runs took, ms, and how many did. */
  readonly took?: readonly [number, number]
}

/** A row of what is kept, as workers and their rolling up leave it. */
async function keep(...rows: Row[]): Promise<void> {
  for (const row of rows) {
    const { ago, seconds = 60, workflow = 'order', step = '', completed = 0, failed = 0, retried = 0, took } = row
    const at = now - ago
    const bucket = took === undefined ? 0 : bucketOf(took[0])
    await db.query(
      `INSERT INTO stet_store.stats VALUES ($1, to_timestamp($2 / 1000.0), $3, 1, $4, 0, $5, $6, 0, 0, 0, 0, $7, $8::int[], '{}')`,
      [
        ...[
          seconds,
          Math.floor(at / (seconds * second)) * seconds * second,
          workflow,
          step,
          completed,
          failed,
          retried,
        ],
        took === undefined ? '{}' : `[${bucket}:${bucket}]={${took[1]}}`,
      ],
    )
  }
}

async function ask(rule: AlertRule, last: '1h' | '1d' | '7d' = '1d') {
  const [found] = await stet.alerts.test({ last, rule })
  const firings = found!.firings.map(({ labels, firedAt, resolvedAt, value }) => ({
    labels,
    from: (firedAt.getTime() - now) / minute,
    to: resolvedAt === null ? null : (resolvedAt.getTime() - now) / minute,
    value,
  }))
  return { ...found!, firings }
}

const clear = () => db.query('TRUNCATE stet_store.stats, stet_store.lost_workers')

test('failure rate: from the minute in which it was too high until the window is past it', async () => {
  await clear()
  await keep({ ago: 5 * hour, completed: 90 }, { ago: 5 * hour - minute, failed: 30 }, { ago: 3 * hour, failed: 9 })
  const rule: AlertRule = { name: 'r', kind: 'failureRate', above: 0.2, window: '10m', minRuns: 10 }
  const told = await ask(rule)
  expect(told).toMatchObject({ rule: 'r', kind: 'failureRate', known: true, note: 'by the minute' })
  // 30 of 120, as soon as that minute is over; then 30 of 30; the last window that has it ends ten minutes later.
  expect(told.firings).toEqual([{ labels: { workflow: 'order' }, from: -298, to: -288, value: 1 }])
  expect((await ask({ ...rule, for: '5m' })).firings).toMatchObject([{ from: -293, to: -288 }])
  expect((await ask({ ...rule, for: '11m' })).firings).toEqual([])
  expect((await ask({ ...rule, workflow: 'mail' })).firings).toEqual([])
  expect((await ask({ ...rule, minRuns: 9 })).firings).toHaveLength(2)
  expect((await ask(rule, '1h')).firings).toEqual([])
})

test('what is older than two days is one rate an hour, and that is said', async () => {
  await clear()
  const day = 24 * hour
  await keep({ ago: 3 * day, seconds: 3600, completed: 1, failed: 19 }, { ago: minute, completed: 10, failed: 10 })
  const { note, firings } = await ask({ name: 'r', kind: 'failureRate', above: 0.2 }, '7d')
  expect(note).toMatch(/by the minute for the last 2 days, by the hour before: there one rate stands for an hour/)
  expect(firings).toHaveLength(2)
  expect(firings[0]!.to! - firings[0]!.from).toBe(60)
  // What fires now has no end.
  expect(firings[1]).toEqual({ labels: { workflow: 'order' }, from: 0, to: null, value: 0.5 })
})

test('retry rate, also against what was usual', async () => {
  await clear()
  await keep(
    { ago: 80 * minute, step: 'charge #', completed: 95, retried: 5 },
    { ago: 70 * minute, step: 'charge #', completed: 60, retried: 40 },
    { ago: 70 * minute, step: 'ship', completed: 100 },
  )
  const rule: AlertRule = { name: 'r', kind: 'retryRate', above: 0.3, step: 'charge 7' }
  expect((await ask(rule)).firings).toEqual([
    { labels: { workflow: 'order', step: 'charge #' }, from: -69, to: -59, value: 0.4 },
  ])
  // Of all steps together it is 20 %.
  expect((await ask({ name: 'r', kind: 'retryRate', above: 0.3 })).firings).toEqual([])
  const { above: _, ...spike } = rule
  expect((await ask({ ...spike, timesUsual: 5 } as AlertRule)).firings).toMatchObject([{ from: -69, to: -59 }])
  expect((await ask({ ...spike, timesUsual: 9 } as AlertRule)).firings).toEqual([])
})

test('runs that took too long: from when their time was over until they closed; and those that are open', async () => {
  await clear()
  await keep(
    { ago: 3 * hour, completed: 20, took: [minute, 20] },
    { ago: 2 * hour, completed: 2, took: [30 * minute, 1] },
  )
  await db.query(`INSERT INTO stet_store.runs (run_id, id, workflow, version, queue, status, created_at, started_at)
                  VALUES ('run_open', 'run_open', 'order', 1, 'default', 'waiting', now(), to_timestamp(${now - 20 * minute} / 1000.0))`)
  const near = (value: number, truth: number) => expect(Math.abs(value - truth)).toBeLessThan(2)
  const fixed = await ask({ name: 'r', kind: 'runTooLong', longerThan: '10m' })
  expect(fixed.note).toMatch(/within 5 %, by the minute, and by the runs that are open/)
  expect(fixed.firings.map(({ labels }) => labels)).toEqual([{ workflow: 'order' }, { workflow: 'order' }])
  near(fixed.firings[0]!.from, -139)
  near(fixed.firings[0]!.to!, -119)
  near(fixed.firings[1]!.from, -10)
  expect(fixed.firings[1]!.to).toBeNull()
  const usual = await ask({ name: 'r', kind: 'runTooLong', timesP99: 10, minRuns: 20, window: '2h' })
  near(usual.firings[0]!.from, -139)
  expect(usual.firings).toHaveLength(1)
  expect((await ask({ name: 'r', kind: 'runTooLong', timesP99: 10, minRuns: 21, window: '2h' })).firings).toEqual([])
  await db.query(`DELETE FROM stet_store.runs`)
})

test('workers that went', async () => {
  await clear()
  for (const ago of [100, 95, 93, 20]) {
    await db.query(`INSERT INTO stet_store.lost_workers VALUES (to_timestamp($1 / 1000.0), 'w', 'box', 1)`, [
      now - ago * minute,
    ])
  }
  const { firings } = await ask({ name: 'r', kind: 'leaseChurn', above: 1, window: '10m' })
  expect(firings).toEqual([{ labels: {}, from: -95, to: -85, value: 3 }])
})

test('what is not kept is said, and not made up', async () => {
  const rules: AlertRule[] = [
    { name: 'a', kind: 'queueAge', olderThan: '1m' },
    { name: 'b', kind: 'noWorker' },
    { name: 'c', kind: 'blockedRuns' },
  ]
  for (const rule of rules) {
    expect(await ask(rule)).toMatchObject({
      known: false,
      note: expect.stringMatching(/^not known: .*is not kept/),
      firings: [],
    })
  }
  for (const rule of rules) await stet.alerts.add(rule)
  expect((await stet.alerts.test({ rules: ['b', 'c'] })).map(({ rule }) => rule)).toEqual(['b', 'c'])
  await expect(stet.alerts.test({ last: '91d' })).rejects.toMatchObject({ code: 'invalid_input' })
})
