/** `/metrics`: what Prometheus is given, as it reads it. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { assert, expect, test } from 'vitest'
import { type Ctx, workflow } from '../../src/index.js'
import { WorkerMeter } from '../../src/observe/meter.js'
import { serveMetrics } from '../../src/observe/metrics-server.js'
import { prometheus } from '../../src/observe/prometheus.js'
import { house, refusal } from '../support/house.js'

const quiet = { debug() {}, info() {}, warn() {}, error() {} }
const { stet, loop, db } = await house()
const { store } = await stet.internals()

interface Sample {
  readonly name: string
  readonly labels: Record<string, string>
  readonly value: number
}

/** Reads the text format strictly: each sample behind its HELP and TYPE, nothing else. */
function parse(text: string): { types: Map<string, string>; samples: Sample[] } {
  const types = new Map<string, string>()
  const samples: Sample[] = []
  const helped = new Set<string>()
  expect(text.endsWith('\n')).toBe(true)
  for (const line of text.split('\n').filter((each) => each !== '')) {
    const help = /^# HELP ([a-z_]+) \S.*$/.exec(line)
    const type = /^# TYPE ([a-z_]+) (counter|gauge|histogram)$/.exec(line)
    if (help !== null) helped.add(help[1]!)
    else if (type !== null) {
      assert(helped.has(type[1]!), line)
      types.set(type[1]!, type[2]!)
    } else {
      const [, name, labels = '', value] = /^([a-z_]+)(?:\{(.*)\})? (-?[\d.]+(?:e[+-]?\d+)?)$/.exec(line) ?? []
      // Plain assertions: there are thousands of lines.
      assert(name !== undefined, line)
      const found = [...labels.matchAll(/([a-z]+)="((?:[^"\\]|\\["\\n])*)"(?:,|$)/g)]
      assert(found.map(([whole]) => whole).join('') === labels, line)
      assert(types.has(name) || types.get(name.replace(/_(bucket|sum|count)$/, '')) === 'histogram', line)
      samples.push({
        name,
        labels: Object.fromEntries(found.map(([, key, text]) => [key, text])),
        value: Number(value),
      })
    }
  }
  return { types, samples }
}

const letters = (n: number): string =>
  (n < 26 ? '' : letters(Math.floor(n / 26) - 1)) + String.fromCharCode(97 + (n % 26))

test('counters, histograms and gauges say what was done; 10,000 names of steps are 200 and others', async () => {
  const meter = new WorkerMeter(store, quiet)
  const flow = workflow('many "names"\\', async (ctx: Ctx<number>, part) => {
    await Promise.all(Array.from({ length: 1_000 }, (_, i) => ctx.step(`do ${letters(part * 1_000 + i)}`, () => i)))
    await ctx.step('fail 7', { retry: { maxAttempts: 2, initialInterval: 1 } }, () => {
      throw new Error('broken')
    })
  })
  const worker = await loop([flow], { meter, concurrency: { runs: 7, steps: 9 } })
  await Promise.all(Array.from({ length: 10 }, (_, part) => stet.execute(flow, part).catch(() => {})))
  await stet.start('elsewhere', 1, { queue: 'lonely' })
  const { type, content } = prometheus(store, meter)
  expect(type).toContain('text/plain; version=0.0.4')
  const text = await content()
  // The database is not asked again so soon.
  await db.query("UPDATE stet_store.runs SET status = 'blocked' WHERE queue = 'lonely'")
  const soon = parse(await content()).samples
  expect(soon.find(({ name }) => name === 'stet_queue_backlog')!.value).toBe(1)
  const { types, samples } = parse(text)
  const of = (name: string, labels: Record<string, string> = {}) =>
    samples.filter(
      (each) => each.name === name && Object.entries(labels).every(([key, value]) => each.labels[key] === value),
    )
  const sum = (found: Sample[]) => found.reduce((total, { value }) => total + value, 0)
  const name = 'many \\"names\\"\\\\'

  expect(of('stet_runs_started_total')).toEqual([expect.objectContaining({ labels: { workflow: name }, value: 10 })])
  expect(of('stet_runs_failed_total', { workflow: name })[0]!.value).toBe(10)
  expect(of('stet_runs_completed_total', { workflow: name })[0]!.value).toBe(0)
  expect(sum(of('stet_steps_completed_total'))).toBe(10_000)
  expect(sum(of('stet_steps_failed_total'))).toBe(10)
  expect(sum(of('stet_step_retries_total'))).toBe(10)
  const steps = new Set(of('stet_steps_completed_total').map(({ labels }) => labels.step))
  expect(steps.size).toBe(201)
  expect(steps).toContain('other')
  expect(of('stet_steps_completed_total', { step: 'other' })[0]!.value).toBe(9_800)
  // 28 ends, infinity, sum and count; and no run id anywhere.
  expect(samples.length).toBeLessThan(201 * 31 + 1_000)
  expect(text).not.toMatch(/run_[0-9a-z]{20}/)

  for (const [metric, labels] of [
    ['stet_step_duration_seconds', { step: 'other' }],
    ['stet_run_duration_seconds', { workflow: name }],
    ['stet_run_delay_seconds', { queue: 'default' }],
    ['stet_step_delay_seconds', { workflow: name }],
  ] as const) {
    expect(types.get(metric)).toBe('histogram')
    const buckets = of(`${metric}_bucket`, labels)
    const values = buckets.map(({ value }) => value)
    expect(values).toEqual([...values].sort((a, b) => a - b))
    expect(buckets.at(-1)!.labels.le).toBe('+Inf')
    expect(buckets.slice(0, 4).map(({ labels: { le } }) => le)).toEqual(['0.001', '0.002154', '0.004642', '0.01'])
    const [count] = of(`${metric}_count`, labels)
    expect(values.at(-1)).toBe(count!.value)
    expect(count!.value).toBeGreaterThan(0)
    const [total] = of(`${metric}_sum`, labels)
    // Between what the ends of the buckets allow.
    const least = buckets
      .slice(1)
      .reduce((s, { value }, i) => s + (value - values[i]!) * Number(buckets[i]!.labels.le), 0)
    expect(total!.value).toBeGreaterThanOrEqual(least * 0.999)
  }

  expect(of('stet_workers_alive')[0]!.value).toBe(1)
  expect(of('stet_queue_backlog')).toEqual([expect.objectContaining({ labels: { queue: 'lonely' }, value: 1 })])
  expect(of('stet_queue_oldest_ready_age_seconds', { queue: 'lonely' })[0]!.value).toBeLessThan(20)
  expect(of('stet_worker_slots_available').map(({ labels, value }) => [labels.kind, value])).toEqual([
    ['runs', 7],
    ['steps', 9],
  ])
  expect(of('stet_worker_slots_used').map(({ value }) => value)).toEqual([0, 0])
  for (const fact of [
    'stet_nondeterminism_total',
    'stet_lease_lost_total',
    'stet_takeovers_total',
    'stet_db_errors_total',
  ]) {
    expect(of(fact)).toEqual([expect.objectContaining({ value: 0 })])
  }

  // A later scrape goes on from the first: counters never go back.
  await stet.execute(flow, 0).catch(() => {})
  const again = parse(await content()).samples
  expect(again.find(({ name }) => name === 'stet_runs_started_total')!.value).toBe(11)
  await worker.stop()
  // What was counted is kept too, under the same few names.
  const { rows } = await db.query('SELECT count(*)::int AS n FROM stet_store.stats WHERE step <> $1', [''])
  expect(rows[0].n).toBeLessThanOrEqual(2 * 201)
})

test('GET /metrics and nothing else, on this machine alone unless told; a taken port is told', async () => {
  const server = await serveMetrics(prometheus(store), { port: 0 })
  expect(server.url).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/metrics$/)
  const response = await fetch(server.url)
  expect([response.status, response.headers.get('content-type')]).toEqual([
    200,
    'text/plain; version=0.0.4; charset=utf-8',
  ])
  expect(parse(await response.text()).types.get('stet_workers_alive')).toBe('gauge')
  expect((await fetch(server.url, { method: 'POST' })).status).toBe(405)
  expect((await fetch(server.url.replace('/metrics', '/'))).status).toBe(404)
  const port = Number(new URL(server.url).port)
  const error = await refusal(serveMetrics(prometheus(store), { port }))
  expect([error.code, error.message]).toEqual(['cannot_listen', expect.stringContaining(`127.0.0.1:${port}`)])
  await server.close()
  const free = createServer().listen(port, '127.0.0.1')
  await new Promise((resolve) => free.once('listening', resolve))
  expect((free.address() as AddressInfo).port).toBe(port)
  await new Promise((resolve) => free.close(resolve))
})

test('without a database there are no figures of it, and the rest stands', async () => {
  const meter = new WorkerMeter(store, quiet)
  const away = { ...store, backlog: () => Promise.reject(new Error('the database is away')) }
  const { types, samples } = parse(await prometheus(away, meter).content())
  expect(types.has('stet_workers_alive')).toBe(true)
  expect(samples.filter(({ name }) => name === 'stet_workers_alive' || name.startsWith('stet_queue_'))).toEqual([])
  expect(samples.find(({ name }) => name === 'stet_db_errors_total')!.value).toBe(1)
})
