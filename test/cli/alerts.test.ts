/** `stet alerts`, and alerts of workers and dashboards, as people use them. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { testDatabase } from '../support/server.js'
import { Process, project, stet, stetJson, write } from './support.js'

const database = await testDatabase()
const cwd = project('module', {
  'workflows/flow.ts': `
    import { workflow } from 'stet'
    export const flow = workflow('flow', (ctx) => ctx.step('break', { retry: false }, () => { throw new Error('broken') }))
  `,
})
const place = { cwd, url: database.url }
const received: { status: string; alertname: string }[] = []
let tell = () => {}
const server = createServer((request, response) => {
  let text = ''
  request.on('data', (data) => {
    text += data
  })
  request.on('end', () => {
    const { status, commonLabels } = JSON.parse(text)
    received.push({ status, alertname: commonLabels.alertname })
    tell()
    response.end()
  })
})
/** Resolves when so many have come. */
const came = (n: number) =>
  new Promise<void>((resolve) => {
    tell = () => received.length >= n && resolve()
    tell()
  })

beforeAll(async () => {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`
  write(
    cwd,
    'stet.config.ts',
    `import { defineConfig } from 'stet'
     export default defineConfig({ alerts: {
       every: '1s',
       rules: [{ name: 'blocked', kind: 'blockedRuns', severity: 'page' }],
       webhook: { url: '${url}', secret: 'a-secret-of-the-test' },
     } })`,
  )
})
afterAll(() => {
  server.closeAllConnections()
  server.close()
})

const lines = (text: string) =>
  text
    .trimEnd()
    .split('\n')
    .map((line) => line.split(/ {2,}/))

test('a worker looks after the rules of the config; a dashboard goes on when it is gone', async () => {
  const none = await stet(['alerts', 'list'], place)
  expect([none.code, none.stdout, none.stderr]).toEqual([0, '', expect.stringContaining('there are no alert rules')])
  const worker = new Process(['worker'], place)
  await worker.until(/worker started/)
  await database.query(`INSERT INTO stet_store.runs (run_id, id, workflow, version, queue, status, created_at)
                        VALUES ('run_b', 'stuck', 'other', 1, 'default', 'blocked', now())`)
  await worker.until(/ALERT: 1 run of other is blocked; stet why stuck/)
  await came(1)
  worker.kill('SIGTERM')
  expect((await worker.ended).code).toBe(0)

  const listed = await stet(['alerts', 'list'], place)
  expect(listed.code).toBe(0)
  const [head, firing, , rules, rule] = lines(listed.stdout)
  expect([head![0], firing!.slice(0, 2), rules![0], rule]).toEqual([
    'STATE',
    ['firing', 'blocked'],
    'RULE',
    ['blocked', 'blockedRuns', 'page', 'config', 'enabled'],
  ])
  const {
    firing: [alert],
  } = await stetJson(['alerts', 'list'], place)
  expect(alert).toMatchObject({
    rule: 'blocked',
    state: 'firing',
    deliveries: [{ event: 'firing', state: 'delivered' }],
  })

  const dashboard = new Process(['dashboard', '-p', '0'], place)
  const [address] = await dashboard.until(/http:\/\/127\.0\.0\.1:\d+/)
  await database.query('DELETE FROM stet_store.runs')
  await dashboard.until(/alert resolved: 1 run of other is blocked/)
  await came(2)
  expect(received).toEqual([
    { status: 'firing', alertname: 'blocked' },
    { status: 'resolved', alertname: 'blocked' },
  ])
  const { recent } = (await (await fetch(`${address}/api/alerts`)).json()) as any
  expect(recent).toMatchObject([{ rule: 'blocked', state: 'resolved' }])
  dashboard.kill('SIGTERM')
  expect((await dashboard.ended).code).toBe(0)
  const history = await stet(['alerts', 'history', '--limit', '5'], place)
  expect(lines(history.stdout)[1]!.slice(3)).toEqual(['blocked', '1 run of other is blocked; stet why stuck'])
})

test('rules are added, tried, silenced, disabled and removed', async () => {
  const rule = { name: 'flows \u202efail', kind: 'failureRate', workflow: 'flow', above: 0.5, minRuns: 2, for: '1m' }
  write(cwd, 'rule.json', JSON.stringify(rule))
  expect(await stet(['alerts', 'add', '@rule.json'], place)).toMatchObject({
    ...{ code: 0, stdout: '', stderr: expect.stringContaining('alert rule added: flows fail') },
  })
  await stetJson(['alerts', 'silence', rule.name, '--for', '2h'], place)
  const { rules } = await stetJson(['alerts', 'list'], place)
  expect(rules).toMatchObject([
    { name: 'blocked', source: 'config' },
    { name: rule.name, source: 'runtime', configured: false, enabled: true, rule, silencedUntil: expect.any(String) },
  ])
  const { stdout } = await stet(['alerts', 'list'], place)
  expect(stdout).toMatch(/flows fail +failureRate +warning +added +silenced until 20/)
  expect(stdout).not.toContain('\u202e')
  await stetJson(['alerts', 'silence', rule.name, '--end'], place)
  expect(await stetJson(['alerts', 'disable', rule.name], place)).toEqual({ name: rule.name, enabled: false })
  await stetJson(['alerts', 'enable', rule.name], place)

  await database.query(
    `INSERT INTO stet_store.stats SELECT 60, date_trunc('minute', now() - n * interval '1 minute'), 'flow', 1, '', 0, 0, 5, 0, 0, 0, 0, 0, '{}', '{}'
       FROM generate_series(60, 65) n`,
  )
  const tried = await stet(['alerts', 'test', '--last', '1d'], place)
  expect(tried.stdout).toMatch(/^blocked \(blockedRuns\): not known: how many runs were blocked at a time is not kept/m)
  expect(tried.stdout).toMatch(
    /flows fail \(failureRate\): would have fired once\n {2}by the minute\n +20\S+Z +for 14 m +100 % of \d+ runs of flow failed/,
  )
  const trial = JSON.stringify({ ...rule, minRuns: 1_000 })
  const { tests } = await stetJson(['alerts', 'test', '--rule', trial], place)
  expect(tests).toEqual([{ rule: rule.name, kind: 'failureRate', known: true, note: expect.any(String), firings: [] }])
  expect(await stetJson(['alerts', 'remove', rule.name], place)).toEqual({ name: rule.name, done: 'removed' })
})

test('what is wrong is told', async () => {
  const wrong: [string[], number, RegExp][] = [
    [['alerts', 'add', '{"name":"x","kind":"failureRate"}'], 2, /alert rule "x", above: expected it to be given/],
    [['alerts', 'add', 'x'], 2, /rule: expected JSON/],
    [['alerts', 'remove', 'nothing'], 1, /no alert rule has the name "nothing"/],
    [['alerts', 'remove', 'blocked'], 1, /is the config's: take it out there, or disable it/],
    [['alerts', 'silence', 'blocked'], 2, /one of --for, --until and --end/],
    [['alerts', 'silence', '--for', '1h'], 2, /name of a rule, or --fingerprint/],
    [['alerts', 'test', '--last', 'week'], 2, /--last.*expected a duration/],
    [['alerts', 'tset'], 2, /unknown command 'tset'/],
  ]
  const ended = await Promise.all(wrong.map(([args]) => stet(args, place)))
  for (const [i, { code, stderr }] of ended.entries()) {
    expect([wrong[i]![0], code, wrong[i]![2].test(stderr)], stderr).toEqual([wrong[i]![0], wrong[i]![1], true])
  }
  const broken = project('module', {
    'workflows/flow.ts': `import { workflow } from 'stet'\nexport const flow = workflow('flow', async () => 1)`,
    'stet.config.ts': `export default { alerts: { rules: [{ name: 'x', kind: 'queueAge', olderThan: 'long' }] } }`,
  })
  const refused = await stet(['worker'], { cwd: broken, url: database.url })
  expect([refused.code, refused.stderr]).toEqual([
    2,
    expect.stringMatching(/stet\.config\.ts, alerts, rules\[0\] "x", olderThan: expected a duration, got 'long'/),
  ])
})

test.each(['list', 'add', 'remove', 'enable', 'disable', 'silence', 'history', 'test'])(
  'stet alerts %s --help has an example',
  async (name) => {
    const { code, stdout } = await stet(['alerts', name, '--help'], place)
    expect([code, stdout]).toEqual([0, expect.stringMatching(new RegExp(`Examples?:\\n  \\$ stet alerts ${name}`))])
  },
)
