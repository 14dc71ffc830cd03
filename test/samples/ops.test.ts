/** What `samples/ops` asks Prometheus for is what workers serve. */
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { checkAlerts } from '../../src/core/alert-rule.js'
import { WorkerMeter } from '../../src/observe/meter.js'
import { prometheus } from '../../src/observe/prometheus.js'
import { createMemoryStore } from '../../src/store/memory/store.js'

const text = (name: string) => readFileSync(new URL(`../../samples/ops/${name}`, import.meta.url), 'utf8')
const rules = text('prometheus-rules.yml')
const dashboard = JSON.parse(text('grafana-dashboard.json'))

/** Names of metrics, and which of them have buckets. */
async function served(): Promise<Set<string>> {
  const store = createMemoryStore()
  const log = { debug() {}, info() {}, warn() {}, error() {} }
  const content = await prometheus(store, new WorkerMeter(store, log)).content()
  await store.close()
  const names = new Set<string>()
  for (const [, name, type] of content.matchAll(/^# TYPE (\w+) (\w+)$/gm)) {
    if (type === 'histogram') for (const suffix of ['_bucket', '_sum', '_count']) names.add(name + suffix)
    else names.add(name!)
  }
  return names
}

const asked = (query: string) => query.match(/\bstet_\w+/g) ?? []

test('every metric that is asked for is there', async () => {
  const names = await served()
  expect(names.size).toBeGreaterThan(20)
  const expressions = [...rules.matchAll(/^ {8}expr: (\|\n(?: {10}.*\n)+|.*\n)/gm)].map(([, expression]) => expression!)
  expect(expressions).toHaveLength(rules.match(/- alert:/g)!.length)
  const queries = dashboard.panels.flatMap(({ targets = [] }: any) => targets.map(({ expr }: any) => expr))
  const variables = dashboard.templating.list.map(({ definition = '' }: any) => definition)
  for (const query of [...expressions, ...queries]) {
    expect(asked(query), query).not.toEqual([])
    expect(
      asked(query).filter((name) => !names.has(name)),
      query,
    ).toEqual([])
    // Brackets that do not match are the commonest slip.
    for (const [open, close] of ['()', '[]', '{}']) {
      expect(query.split(open!).length, query).toBe(query.split(close!).length)
    }
  }
  expect(variables.flatMap(asked)).toEqual(['stet_runs_started_total'])
})

test('the rules are YAML of the form that Prometheus takes, as far as a look tells', () => {
  expect(rules).not.toContain('\t')
  const lines = rules.split('\n').filter((line) => !/^\s*(#|$)/.test(line))
  expect(lines.slice(0, 3)).toEqual(['groups:', '  - name: stet', '    rules:'])
  const alerts = rules.split(/^ {6}- alert: /m).slice(1)
  for (const alert of alerts) {
    expect(alert).toMatch(/^Stet[A-Za-z]+\n {8}expr: /)
    expect(alert).toMatch(
      /^ {8}labels:\n {10}severity: (info|warning|critical)\n {8}annotations:\n {10}summary: '[^'\n]+'$/m,
    )
    for (const [, duration] of alert.matchAll(/^ {8}for: (.*)$/gm)) expect(duration).toMatch(/^\d+[smh]$/)
  }
  const names = alerts.map((alert) => alert.split('\n')[0])
  expect(new Set(names).size).toBe(names.length)
})

test('the dashboard can be imported, and shows what is asked of it', () => {
  const { panels, templating, schemaVersion, uid } = dashboard
  expect([schemaVersion, uid]).toEqual([expect.any(Number), 'stet-overview'])
  expect(templating.list.map(({ name }: any) => name)).toEqual(['datasource', 'workflow'])
  expect(new Set(panels.map(({ id }: any) => id)).size).toBe(panels.length)
  const charts = panels.filter(({ type }: any) => type !== 'row')
  for (const { datasource, targets, gridPos, title } of charts) {
    expect([title, datasource.uid]).toEqual([title, '$' + '{datasource}'])
    expect(targets.length, title).toBeGreaterThan(0)
    expect(gridPos.x + gridPos.w, title).toBeLessThanOrEqual(24)
  }
  // None lies on another.
  const cells = panels.flatMap(({ gridPos: { x, y, w, h } }: any) =>
    Array.from({ length: w * h }, (_, i) => `${x + (i % w)} ${y + Math.floor(i / w)}`),
  )
  expect(new Set(cells).size).toBe(cells.length)
  const titles = charts.map(({ title }: any) => title).join('; ')
  for (const topic of [
    /started, completed, failed/,
    /Failure rate/,
    /P50/,
    /P95/,
    /P99/,
    /Queue depth/,
    /Queue age/,
    /Workers/,
    /Retries/,
    /Blocked/,
  ]) {
    expect(titles).toMatch(topic)
  }
})

test('the rules of the README are rules', () => {
  const [, source] = /alerts: (\{\n[\s\S]*?\n {2}\}),\n\}\)/.exec(text('README.md'))!
  const alerts = new Function('process', `return (${source!.replace('!', '')})`)({
    env: { STET_WEBHOOK_SECRET: 'a-secret-of-the-test' },
  })
  expect(checkAlerts(alerts, 'README').rules).toHaveLength(7)
})
