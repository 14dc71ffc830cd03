/** Every sample, crashed everywhere: what it comes to is the same each time. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type CrashOptions, completeInEveryOrder, crashEverywhere } from 'stet/testing'
import { afterAll, expect, inject, test, vi } from 'vitest'
import { long } from '../support/long.js'
import { samples, shop } from '../support/samples.js'
import { testDatabase } from '../support/server.js'

const { url: salesUrl } = await testDatabase()
const folder = mkdtempSync(join(tmpdir(), 'stet-crash-test-'))
mkdirSync(join(folder, 'papers'))
writeFileSync(join(folder, 'papers/plan.txt'), 'DRAFT of a plan')
writeFileSync(join(folder, 'papers/report.txt'), 'The report')

// Where samples keep files that they are not told where to keep, and where `etl` has its tables.
const changed = { TMPDIR: folder, DATABASE_URL: salesUrl }
const before = Object.fromEntries(Object.keys(changed).map((name) => [name, process.env[name]]))
Object.assign(process.env, changed)
const silent = vi.spyOn(console, 'log').mockImplementation(() => {})
afterAll(() => {
  for (const [name, value] of Object.entries(before)) {
    if (value === undefined) delete process.env[name]
    else process.env[name] = value
  }
  silent.mockRestore()
  rmSync(folder, { recursive: true, force: true })
})

const charged = new Map<string, number>()
const all = samples(folder, shop(charged))

/** Attempts that are on record; of those that settled a step, how many had another step of the run beside them. */
type Points = [attempts: number, beside: number]

const points: Record<keyof typeof all, Points> = {
  order: [6, 1],
  'order-dag': [6, 1],
  'order.dag.json': [6, 1],
  etl: [6, 1],
  pipeline: [7, 2],
  approval: [3, 0],
  saga: [6, 0],
  subscription: [4, 0],
  'fan-out': [6, 3],
  agent: [8, 1],
  customer: [1, 0],
  mutex: [5, 0],
  encrypted: [2, 0],
  invoice: [4, 1],
}
const postgres = { url: inject('serverUrl') }
const memory = { database: 'memory' } as const
/** On Postgres a crash takes its time: those whose like is there already, or that say nothing of it, are not; fewer in the short variant. */
const on: Partial<Record<keyof typeof all, CrashOptions>> = {
  ...(long ? {} : { pipeline: memory, 'fan-out': memory }),
  'order-dag': memory,
  'order.dag.json': memory,
  approval: memory,
  agent: memory,
  // The lock has an id of its own, so each execution has a store of its own. What was deployed before is of an earlier
  // one, and so is its time.
  mutex: { ...memory, compare: ({ version }) => version },
  encrypted: memory,
  invoice: memory,
}

test.each(Object.keys(all) as (keyof typeof all)[])('%s', { timeout: 120_000 }, async (name) => {
  const { workflow, input, steps, drive, others } = all[name]
  const result = await crashEverywhere(workflow, input, {
    ...(on[name] ?? postgres),
    ...(steps === undefined ? {} : { steps }),
    ...(drive === undefined ? {} : { drive }),
    ...(others === undefined ? {} : { workflows: others }),
  })
  const [attempts, beside] = points[name]
  const crashPoints = 3 * attempts + beside
  expect(result).toEqual({ crashPoints, expected: crashPoints, outcomes: 1 })
})

test('every order was charged under one key in each execution, and that twice at most', () => {
  // 20 executions of each of the three.
  expect(charged.size).toBe(3 * 20)
  expect(new Set(charged.values())).toEqual(new Set([1, 2]))
})

test('the bug of the invoice shows in the order in which its meters answer', async () => {
  const { workflow, input } = all.invoice
  await expect(completeInEveryOrder(workflow, input, { database: 'memory' })).rejects.toMatchObject({
    code: 'order_outcome',
  })
})
