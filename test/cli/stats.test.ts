/** `stet stats`, and metrics of `stet worker`, as people use them. */
import { beforeAll, expect, test } from 'vitest'
import { testDatabase } from '../support/server.js'
import { Process, project, stet, stetJson } from './support.js'

const source = `
import { workflow } from 'stet'
export const order = workflow('order', { version: 2 }, async (ctx, sku: string) => {
  await ctx.step('charge card 4711', { retry: { initialInterval: 1 } }, (step) => {
    if (step.attempt < 3) throw new Error('busy')
  })
  await ctx.step('ship', () => new Promise((resolve) => setTimeout(resolve, 120)))
})
export const failing = workflow('failing\\u202e', (ctx) => ctx.step('break', { retry: false }, () => { throw new Error('broken') }))
`
const cwd = project('module', { 'workflows/order.ts': source })
let place: { cwd: string; url: string }
let scraped = ''

beforeAll(async () => {
  const database = await testDatabase()
  place = { cwd, url: database.url }
  const none = await stet(['stats', 'order'], place)
  expect([none.code, none.stdout]).toEqual([0, ''])
  expect(none.stderr).toMatch(/nothing was counted of workflow "order" since .*; look further back/)
  const worker = new Process(['worker', '--metrics-port', '0'], place)
  const [, url] = await worker.until(/metrics.*?(http:\/\/127\.0\.0\.1:\d+\/metrics)/)
  await worker.until(/worker started/)
  await stet(['start', 'order', '-i', '"A1"', '--wait'], place)
  await stet(['start', 'order', '-i', '"A2"', '--wait'], place)
  await stet(['start', 'failing\u202e', '--wait'], place)
  scraped = await (await fetch(url!)).text()
  worker.kill('SIGTERM')
  expect((await worker.ended).code).toBe(0)
  // The server has gone with its worker.
  await expect(fetch(url!)).rejects.toThrow()
})

test('a table of runs and steps', async () => {
  const { code, stdout } = await stet(['stats'], place)
  expect(code).toBe(0)
  const lines = stdout
    .trimEnd()
    .split('\n')
    .map((line) => line.split(/ {2,}/))
  expect(lines[0]).toEqual(['WORKFLOW', 'STEP', 'COUNT', 'P50', 'P95', 'P99', 'FAILED', 'RETRIED'])
  const time = expect.stringMatching(/^[\d.]+ (ms|s)$/)
  expect(lines.slice(1)).toEqual([
    ['failing', '(runs)', '1', time, time, time, '1', '–'],
    ['failing', 'break', '1', '–', '–', '–', '1', '0'],
    ['order', '(runs)', '2', time, time, time, '0', '–'],
    ['order', 'charge card #', '6', time, time, time, '0', '4'],
    ['order', 'ship', '2', time, time, time, '0', '0'],
  ])
})

test('of one workflow, by version, of one step; as JSON', async () => {
  const { stdout } = await stet(['stats', 'order', '--since', '2h', '--by', 'version'], place)
  const lines = stdout
    .trimEnd()
    .split('\n')
    .map((line) => line.split(/ {2,}/))
  expect(lines.map((cells) => cells.slice(0, 4))).toEqual([
    ['WORKFLOW', 'VERSION', 'STEP', 'COUNT'],
    ['order', '2', '(runs)', '2'],
    ['order', '2', 'charge card #', '6'],
    ['order', '2', 'ship', '2'],
  ])
  const { from, to, runs, steps } = await stetJson(['stats', 'order', '--step', 'ship'], place)
  expect(Date.parse(to) - Date.parse(from)).toBeLessThanOrEqual(3_720_000)
  expect(runs).toEqual([])
  expect(steps).toEqual([
    {
      ...{ workflow: 'order', step: 'ship', attempts: 2, completed: 2, failed: 0, retried: 0 },
      ...{ perSecond: expect.any(Number), failureRate: 0, retryRate: 0 },
      durationMs: { p50: expect.any(Number), p95: expect.any(Number), p99: expect.any(Number) },
      delayMs: { p50: expect.any(Number), p95: expect.any(Number), p99: expect.any(Number) },
    },
  ])
  expect(steps[0].durationMs.p50).toBeGreaterThan(110)
  expect((await stetJson(['stats', 'order', '--version-of', '1'], place)).steps).toEqual([])
})

test('what Prometheus was given', () => {
  expect(scraped).toContain('stet_runs_completed_total{workflow="order"} 2\n')
  expect(scraped).toContain('stet_steps_completed_total{workflow="order",step="charge card #"} 2\n')
  expect(scraped).toContain('stet_step_retries_total{workflow="order",step="charge card #"} 4\n')
  expect(scraped).toContain('stet_workers_alive 1\n')
})

test('wrong usage is told before anything is done', async () => {
  const wrong: [string[], RegExp][] = [
    [['stats', '--since', 'yesterday'], /--since.*Expected a date and time/s],
    [['stats', '--by', 'queue'], /--by.*Allowed choices are version/s],
    [['worker', '--metrics-port', '70000'], /--metrics-port.*Expected a whole number from 0 to 65535/s],
    [['worker', '--metrics-host', '0.0.0.0'], /--metrics-host: expected --metrics-port/],
    [['worker', '--metrics-port', '0', '--processes', '2'], /--metrics-port: expected one process/],
  ]
  const ended = await Promise.all(wrong.map(([args]) => stet(args, place)))
  for (const [i, { code, stderr }] of ended.entries()) {
    expect([code, wrong[i]![1].test(stderr)], stderr).toEqual([2, true])
  }
})
