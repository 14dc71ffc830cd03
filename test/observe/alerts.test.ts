/**
 * Alerts: each kind of rule fires and resolves, once each, at a real receiver; across restarts and takeovers; what is
 * held back, silenced, edited. Time is what a look is told (`tick(now)`).
 */
import { createHmac, timingSafeEqual } from 'node:crypto'
import { createServer, type IncomingHttpHeaders } from 'node:http'
import type { AddressInfo } from 'node:net'
import pg from 'pg'
import { describe, expect, onTestFinished, test } from 'vitest'
import { type AlertRule, type AlertsConfig, defineConfig, signal, workflow } from '../../src/index.js'
import { AlertEvaluator, fingerprintOf } from '../../src/observe/alerts/evaluator.js'
import { bucketOf } from '../../src/observe/histogram.js'
import type { Tally } from '../../src/store/statistics.js'
import { testEnv } from '../../src/testing/index.js'
import { house, until } from '../support/house.js'

const secret = 'a-secret-of-the-test'
const second = 1_000
const minute = 60 * second

interface Got {
  readonly headers: IncomingHttpHeaders
  readonly text: string
  readonly json: any
}

/** Answers with these statuses, one after the other, then with 200. */
async function receiver(...statuses: (number | { status: number; headers: Record<string, string> })[]) {
  const got: Got[] = []
  const server = createServer((request, response) => {
    let text = ''
    request.setEncoding('utf8').on('data', (data) => {
      text += data
    })
    request.on('end', () => {
      got.push({ headers: request.headers, text, json: JSON.parse(text) })
      const answer = statuses.shift() ?? 200
      const { status, headers } = typeof answer === 'number' ? { status: answer, headers: {} } : answer
      response.writeHead(status, headers).end('thanks')
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  return { got, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook` }
}

/** As the documentation tells a receiver to do it. */
function isSigned({ headers, text }: Got): boolean {
  const [, t, v1] = /^t=(\d+),v1=([0-9a-f]{64})$/.exec(String(headers['x-stet-signature']))!
  const mine = createHmac('sha256', secret).update(`${t}.${text}`).digest()
  return Math.abs(Number(t) - Date.now() / 1_000) < 60 && timingSafeEqual(mine, Buffer.from(v1!, 'hex'))
}

const zero = { started: 0, completed: 0, failed: 0, cancelled: 0, terminated: 0, continued: 0, blocked: 0, retried: 0 }
const none = { first: 0, counts: [] }
const tally = (fields: Partial<Tally>): Tally => ({
  ...{ workflow: 'order', version: 1, step: null, ...zero, duration: none, delay: none },
  ...fields,
})
const lasting = (ms: number, n: number) => ({ first: bucketOf(ms), counts: [n] })

async function scene() {
  const home = await house()
  const { store } = await home.stet.internals()
  let sources = 0
  const evaluator = (config: AlertsConfig | undefined) => {
    const made = new AlertEvaluator(store, logOf(home), config)
    onTestFinished(() => made.stop())
    return made
  }
  return {
    ...home,
    store,
    evaluator,
    count: (...tallies: Partial<Tally>[]) => store.addStats(`test-${sources++}`, 1, tallies.map(tally)),
    /** All that was counted so far happened so long ago. */
    age: (ms: number) => home.db.query(`UPDATE stet_store.stats SET at = at - $1 * interval '1 ms'`, [ms]),
    /** Nothing was ever counted. */
    over: () => home.db.query('TRUNCATE stet_store.stats'),
    clear: () => home.db.query('TRUNCATE stet_store.stats, stet_store.alerts, stet_store.alert_rules CASCADE'),
    names: async (list: 'firing' | 'pending' | 'recent') =>
      (await home.stet.alerts.list())[list].map(({ rule }) => rule),
  }
}

function logOf({ logs }: { logs: { level: string; message: string; fields: any }[] }) {
  const write =
    (level: string) =>
    (message: string, fields: object = {}) =>
      void logs.push({ level, message, fields })
  return { debug: write('debug'), info: write('info'), warn: write('warn'), error: write('error') }
}

const go = signal('go')
const waits = workflow('waits', (ctx) => ctx.waitForSignal(go))
const breaks = workflow('breaks', async () => new Promise(() => {}))
const home = await scene()
const { stet, store, db, evaluator, count, age, over, clear, names, work, reached, logs } = home

describe('each kind fires and resolves, once each', () => {
  interface Case {
    readonly rule: AlertRule
    /** Makes it true; gives back what makes it false again. */
    readonly begin: () => Promise<() => unknown>
    readonly labels: Record<string, string>
    readonly summary: RegExp
    /** How far on from the database's time the looks are. */
    readonly ahead?: number
  }
  const cases: Record<string, Case> = {
    failureRate: {
      rule: { name: 'failures', kind: 'failureRate', above: 0.2, window: '10m', minRuns: 10 },
      begin: async () => {
        await count({ completed: 7, failed: 3 }, { workflow: 'mail', completed: 10 })
        return over
      },
      labels: { workflow: 'order' },
      summary: /^30 % of 10 runs of order failed in the last 10 m, more than 20 %$/,
    },
    'retryRate, of a step': {
      rule: { name: 'retries', kind: 'retryRate', workflow: 'order', step: 'charge 7', above: 0.5 },
      begin: async () => {
        await count({ step: 'charge #', completed: 4, retried: 8 }, { step: 'ship', completed: 50 })
        return over
      },
      labels: { workflow: 'order', step: 'charge #' },
      summary: /66\.7 % of 12 attempts of step charge # of order/,
    },
    'retryRate, against what is usual': {
      rule: { name: 'spike', kind: 'retryRate', timesUsual: 3, window: '10m' },
      begin: async () => {
        await count(
          { step: 'a', completed: 90, retried: 10 },
          { workflow: 'even', step: 'a', completed: 60, retried: 40 },
        )
        await age(11 * minute)
        await count(
          { step: 'a', completed: 60, retried: 40 },
          { workflow: 'even', step: 'a', completed: 60, retried: 40 },
        )
        return over
      },
      labels: { workflow: 'order' },
      summary: /40 % of 100 attempts of steps of order .* more than 30 %/,
    },
    'runTooLong, fixed': {
      rule: { name: 'long', kind: 'runTooLong', longerThan: '10m' },
      begin: async () => {
        const worker = await work([waits])
        const run = await stet.start(waits, undefined, { id: 'long-one' })
        await reached(run, 'waiting')
        return async () => {
          await run.signal(go)
          await run.result()
          await worker.stop()
        }
      },
      labels: { workflow: 'waits' },
      summary: /^1 run of waits has been open for longer than 10 m; the oldest, long-one, for 11 m/,
      ahead: 11 * minute,
    },
    'runTooLong, against the P99': {
      rule: { name: 'unusual', kind: 'runTooLong', workflow: 'waits', timesP99: 3, minRuns: 20 },
      begin: async () => {
        await count({ workflow: 'waits', completed: 20, duration: lasting(minute, 20) })
        const worker = await work([waits])
        const run = await stet.start(waits, undefined, { id: 'unusual-one' })
        await reached(run, 'waiting')
        return async () => {
          await run.signal(go)
          await run.result()
          await worker.stop()
        }
      },
      labels: { workflow: 'waits' },
      summary: /longer than 3 × its P99 of 5\d\.\d s|longer than 3 × its P99 of 1 m/,
      ahead: 4 * minute,
    },
    queueAge: {
      rule: { name: 'queue', kind: 'queueAge', queue: 'slow', olderThan: '1m' },
      begin: async () => {
        await stet.start('nobody has it', null, { queue: 'slow', id: 'in-queue' })
        await db.query(`UPDATE stet_store.runs SET due = due - interval '2 minutes' WHERE id = 'in-queue'`)
        return () => stet.run('in-queue').terminate()
      },
      labels: { queue: 'slow' },
      summary: /has been ready in queue slow for 2 m, longer than 1 m; 1 is ready there/,
    },
    noWorker: {
      rule: { name: 'nobody', kind: 'noWorker', workflow: 'nobody has it' },
      begin: async () => {
        await stet.start('nobody has it', null, { id: 'unserved' })
        return () => stet.run('unserved').terminate()
      },
      labels: { workflow: 'nobody has it', version: 'any', queue: 'default' },
      summary: /runs of nobody has it are ready, and no worker listens on queue default/,
    },
    blockedRuns: {
      rule: { name: 'blocked', kind: 'blockedRuns' },
      begin: async () => {
        const worker = await work([breaks])
        const run = await stet.start(breaks, undefined, { id: 'blocked-one' })
        await reached(run, 'blocked')
        await worker.stop()
        return () => run.terminate()
      },
      labels: { workflow: 'breaks' },
      summary: /^1 run of breaks is blocked; stet why blocked-one$/,
    },
    leaseChurn: {
      rule: { name: 'churn', kind: 'leaseChurn', above: 1, window: '10m' },
      begin: async () => {
        for (const id of ['a', 'b', 'stopped']) {
          const inMs = id === 'stopped' ? 60_000 : -1
          await db.query(
            `INSERT INTO stet_store.workers (id, expires_at, host) VALUES ($1, clock_timestamp() + $2 * interval '1 ms', 'box')`,
            [id, inMs],
          )
        }
        await store.unregister('stopped')
        await store.takeOver([])
        return () => db.query(`UPDATE stet_store.lost_workers SET at = at - interval '1 hour'`)
      },
      labels: {},
      summary: /^2 workers went without being stopped in the last 10 m, more than 1$/,
    },
  }

  test.each(Object.entries(cases))('%s', async (_, { rule, begin, labels, summary, ahead = 0 }) => {
    await clear()
    const { got, url } = await receiver()
    const config = { rules: [rule], webhook: { url, secret }, externalUrl: 'https://ops.example.com/' }
    const first = evaluator(config)
    const looks = async (each: AlertEvaluator, more = 0) => each.tick((await store.now()) + ahead + more)
    await looks(first)
    expect(got).toEqual([])
    const end = await begin()
    await looks(first)
    await looks(first)
    // Another process, as after a restart: what fires goes on firing.
    await first.stop()
    const next = evaluator(config)
    await looks(next)
    expect(got.map(({ json }) => json.status)).toEqual(['firing'])
    await end()
    await looks(next)
    await looks(next)
    expect(got.map(({ json }) => json.status)).toEqual(['firing', 'resolved'])

    const all = { alertname: rule.name, severity: 'warning', kind: rule.kind, ...labels }
    const fingerprint = fingerprintOf(rule.name, labels)
    for (const { json, headers } of got) {
      expect(json).toMatchObject({ version: '4', receiver: 'stet', externalURL: 'https://ops.example.com' })
      expect(json).toMatchObject({ groupLabels: { alertname: rule.name }, commonLabels: all })
      expect(json.groupKey).toContain(fingerprint)
      expect(json.alerts).toHaveLength(1)
      expect(json.alerts[0]).toMatchObject({ labels: all, fingerprint, status: json.status })
      expect(json.alerts[0].annotations.summary).toMatch(summary)
      expect(json.alerts[0].generatorURL).toBe('https://ops.example.com/api/alerts')
      expect(headers['content-type']).toBe('application/json')
    }
    expect(got.every(isSigned)).toBe(true)
    const [fired, resolved] = got.map(({ json }) => json.alerts[0])
    expect(fired.endsAt).toBe('0001-01-01T00:00:00Z')
    expect(resolved.startsAt).toBe(fired.startsAt)
    expect(Date.parse(resolved.endsAt)).toBeGreaterThanOrEqual(Date.parse(fired.startsAt))
    expect(new Set(got.map(({ headers }) => headers['x-stet-delivery'])).size).toBe(2)
    const [kept] = await stet.alerts.history()
    expect(kept).toMatchObject({ rule: rule.name, state: 'resolved', fingerprint })
    expect(kept!.deliveries.map(({ event, state, attempts }) => [event, state, attempts])).toEqual([
      ['firing', 'delivered', 1],
      ['resolved', 'delivered', 1],
    ])
  })

  test('too little says nothing; a rule of one workflow looks at no other', async () => {
    await clear()
    await count({ failed: 9 }, { workflow: 'mail', failed: 100 }, { step: 'a', retried: 9 })
    const rules: AlertRule[] = [
      { name: 'too few', kind: 'failureRate', workflow: 'order', above: 0.1 },
      { name: 'other', kind: 'failureRate', workflow: 'nothing', above: 0 },
      { name: 'too few attempts', kind: 'retryRate', above: 0.1 },
      { name: 'nothing before', kind: 'retryRate', timesUsual: 2, minAttempts: 1 },
      { name: 'too few runs', kind: 'runTooLong', timesP99: 1, minRuns: 1_000 },
    ]
    await evaluator({ rules }).tick()
    expect([await names('firing'), await names('pending')]).toEqual([[], []])
  })
})

describe('what is told, and when', () => {
  const rule: AlertRule = {
    name: 'failures',
    kind: 'failureRate',
    above: 0.2,
    window: '1d',
    severity: 'page',
    labels: { team: 'pay' },
  }
  const statuses = (got: readonly Got[]) => got.map(({ json }) => json.status)
  const failing = () => count({ failed: 10 })

  async function begin(more: Partial<AlertRule> = {}, ...answers: Parameters<typeof receiver>) {
    await clear()
    const { got, url } = await receiver(...answers)
    const config: AlertsConfig = { rules: [{ ...rule, ...more } as AlertRule], webhook: { url, secret } }
    return { got, config, one: evaluator(config), now: await store.now() }
  }

  test('`for` holds it back; what is over before that is not told', async () => {
    const { got, one, now } = await begin({ for: '2m' })
    await failing()
    await one.tick(now)
    await one.tick(now + 119 * second)
    expect([await names('pending'), await names('firing'), got.length]).toEqual([['failures'], [], 0])
    await one.tick(now + 2 * minute)
    expect([await names('pending'), await names('firing'), statuses(got)]).toEqual([[], ['failures'], ['firing']])
    await over()
    await one.tick(now + 3 * minute)
    await failing()
    await one.tick(now + 4 * minute)
    await over()
    await one.tick(now + 5 * minute)
    expect(statuses(got)).toEqual(['firing', 'resolved'])
    expect(await stet.alerts.history()).toHaveLength(1)
  })

  test('one evaluator is active; another takes over when its lease is over, and tells nothing twice', async () => {
    const { got, one, config, now } = await begin()
    const other = evaluator(config)
    await one.tick(now)
    await failing()
    await other.tick(now + 10 * second)
    expect(got).toEqual([])
    await one.tick(now + 15 * second)
    expect(statuses(got)).toEqual(['firing'])
    await over()
    // Its lease goes on from its last look.
    await other.tick(now + 59 * second)
    expect(statuses(got)).toEqual(['firing'])
    await other.tick(now + 61 * second)
    expect(statuses(got)).toEqual(['firing', 'resolved'])
    // The former one, which comes back, neither looks nor tells.
    await failing()
    await one.tick(now + 62 * second)
    expect(statuses(got)).toEqual(['firing', 'resolved'])
    await other.tick(now + 76 * second)
    expect(statuses(got)).toEqual(['firing', 'resolved', 'firing'])
  })

  test('what a former holder found is refused by the database', async () => {
    const { now } = await begin()
    const { alerts } = store
    const fact = { rule: 'r', kind: 'blockedRuns', fingerprint: 'f', severity: 'warning', labels: {}, value: 1 }
    const found = {
      ...{ ...fact, summary: 's', evidence: {}, id: null, state: 'firing' as const, since: now, firedAt: now },
      ...{ resolvedAt: null, announced: true, delivery: null, notice: null },
    }
    expect((await alerts.watch('a', 10_000, now)).active).toBe(true)
    expect((await alerts.watch('b', 10_000, now + 9_999)).active).toBe(false)
    expect((await alerts.watch('b', 10_000, now + 10_000)).active).toBe(true)
    expect(await alerts.write('a', now + 10_001, [found], [])).toBe(false)
    expect(await alerts.openAlerts()).toEqual([])
    expect(await alerts.write('b', now + 10_001, [found], [])).toBe(true)
    expect(await alerts.openAlerts()).toMatchObject([{ fingerprint: 'f' }])
    await alerts.unwatch('b')
  })

  test('a receiver that fails is tried again with the same id and body, also by another evaluator', async () => {
    const { got, one, config, now } = await begin({}, 500, 429)
    await failing()
    await one.tick(now)
    await one.tick(now + 4 * second)
    expect(statuses(got)).toEqual(['firing'])
    const [waiting] = (await stet.alerts.list()).firing
    expect(waiting!.deliveries).toMatchObject([{ state: 'due', attempts: 1, error: 'it answered 500' }])
    await one.stop()
    const next = evaluator(config)
    await next.tick(now + 5 * second)
    // It is resolved while the firing is still to be told: that comes first.
    await over()
    await next.tick(now + 6 * second)
    expect(statuses(got)).toEqual(['firing', 'firing'])
    await next.tick(now + 16 * second)
    expect(statuses(got)).toEqual(['firing', 'firing', 'firing', 'resolved'])
    await next.tick(now + 60 * minute)
    expect(got).toHaveLength(4)
    const ids = got.map(({ headers }) => headers['x-stet-delivery'])
    expect([ids[1], ids[2], new Set(ids).size]).toEqual([ids[0], ids[0], 2])
    expect([got[1]!.text, got[2]!.text]).toEqual([got[0]!.text, got[0]!.text])
    expect(got.every(isSigned)).toBe(true)
  })

  test.each([
    ['refused', 403, 'it answered 403'],
    [
      'redirected, which is not followed',
      { status: 302, headers: { location: '/elsewhere' } },
      'it answered 302, a redirect, which is not followed',
    ],
  ])('what is %s is given up, for all to see', async (_, answer, error) => {
    const { got, one, now } = await begin({}, answer)
    await failing()
    await one.tick(now)
    await one.tick(now + 60 * minute)
    expect(got).toHaveLength(1)
    expect((await stet.alerts.list()).firing[0]!.deliveries).toMatchObject([{ state: 'givenUp', error }])
    expect(logs).toContainEqual(
      expect.objectContaining({
        level: 'error',
        message: expect.stringMatching(/given up/),
        fields: expect.objectContaining({ error }),
      }),
    )
  })

  test('a receiver that is away is given up in the end', async () => {
    const { got, config, now } = await begin()
    const one = evaluator({ ...config, webhook: { url: 'http://127.0.0.1:9/', secret } })
    await failing()
    await one.tick(now)
    for (let tries = 1; tries < 15; tries++) await one.tick(now + tries * 20 * minute)
    const [{ deliveries } = { deliveries: [] }] = (await stet.alerts.list()).firing
    expect(deliveries).toMatchObject([{ state: 'givenUp', attempts: 15 }])
    expect(got).toEqual([])
  })

  test('a delivery whose process died before it was noted is made again, with its id', async () => {
    const { got, config, now } = await begin()
    const one = evaluator({ rules: config.rules! })
    await one.tick(now)
    await store.alerts.setConfigRules(config.rules!, true)
    await failing()
    await one.tick(now + second)
    const [lost] = await store.alerts.claimDeliveries(now + 2 * second, 60_000, 10)
    expect([lost!.event, lost!.attempts, got.length]).toEqual(['firing', 1, 0])
    // One with the webhook, which is not the one that evaluates.
    const sender = evaluator(config)
    await sender.tick(now + 3 * second)
    expect(got).toEqual([])
    await sender.tick(now + 62 * second)
    expect(got.map(({ headers }) => headers['x-stet-delivery'])).toEqual([lost!.id])
  })

  test('silence: looked at, not told; what still fires at the end is told then; a resolving follows its firing', async () => {
    const { got, one, now } = await begin()
    await one.tick(now)
    await stet.alerts.silence({ rule: 'failures' }, new Date(now + 5 * minute))
    await failing()
    await one.tick(now + minute)
    expect([await names('firing'), got.length]).toEqual([['failures'], 0])
    expect((await stet.alerts.list()).firing[0]!.silencedUntil).toEqual(new Date(now + 5 * minute))
    await one.tick(now + 5 * minute)
    expect(statuses(got)).toEqual(['firing'])
    await stet.alerts.silence({ rule: 'failures' }, new Date(now + 60 * minute))
    await over()
    await one.tick(now + 6 * minute)
    expect(statuses(got)).toEqual(['firing', 'resolved'])
    // One that comes and goes in the silence is told to nobody.
    await failing()
    await one.tick(now + 7 * minute)
    await over()
    await one.tick(now + 8 * minute)
    expect(statuses(got)).toEqual(['firing', 'resolved'])
    expect(await stet.alerts.history()).toHaveLength(2)
    // The end of a silence, before its time; then one of a single alert, by its fingerprint.
    await stet.alerts.silence({ rule: 'failures' }, null)
    const fingerprint = fingerprintOf('failures', { workflow: 'order' })
    await stet.alerts.silence({ fingerprint }, new Date(now + 60 * minute))
    await count({ failed: 10 }, { workflow: 'mail', failed: 10 })
    await one.tick(now + 9 * minute)
    expect(got.slice(2).map(({ json }) => json.commonLabels.workflow)).toEqual(['mail'])
    await stet.alerts.silence({ fingerprint }, null)
    await one.tick(now + 10 * minute)
    expect(got.slice(3).map(({ json }) => json.commonLabels)).toEqual([
      { alertname: 'failures', severity: 'page', team: 'pay', kind: 'failureRate', workflow: 'order' },
    ])
  })

  test('a rule edited at run time stands in place of the config until it is removed', async () => {
    const { got, one, config, now } = await begin()
    await one.tick(now)
    await stet.alerts.add({ ...rule, above: 0.95 } as AlertRule)
    await count({ completed: 1, failed: 9 })
    await one.tick(now + second)
    // A process that starts with the config does not undo it.
    await one.stop()
    const next = evaluator(config)
    await next.tick(now + 2 * second)
    expect(got).toEqual([])
    expect(await stet.alerts.rules()).toMatchObject([
      { name: 'failures', source: 'runtime', configured: true, rule: { above: 0.95 } },
    ])
    expect(await stet.alerts.remove('failures')).toBe('restored')
    await next.tick(now + 3 * second)
    expect(statuses(got)).toEqual(['firing'])
    await expect(stet.alerts.remove('failures')).rejects.toMatchObject({ code: 'rule_configured' })
    await stet.alerts.disable('failures')
    await next.tick(now + 4 * second)
    expect(statuses(got)).toEqual(['firing', 'resolved'])
    expect(got[1]!.json.alerts[0].annotations.evidence).toContain('its rule was disabled')
    await stet.alerts.enable('failures')
    await next.tick(now + 5 * second)
    expect(statuses(got)).toEqual(['firing', 'resolved', 'firing'])
    // A config without it takes it away, and what it had fired with it. One that says nothing of alerts leaves all alone.
    await evaluator(undefined).tick(now + 6 * second)
    expect(await stet.alerts.rules()).toHaveLength(1)
    await next.stop()
    await evaluator({ ...config, rules: [] }).tick(now + 7 * second)
    expect(await stet.alerts.rules()).toEqual([])
    expect(statuses(got)).toEqual(['firing', 'resolved', 'firing', 'resolved'])
    const { alerts } = stet
    for (const call of [
      () => alerts.remove('failures'),
      () => alerts.enable('failures'),
      () => alerts.disable('failures'),
      () => alerts.silence({ rule: 'failures' }, '1h'),
      () => alerts.test({ rules: ['failures'] }),
    ]) {
      await expect(call()).rejects.toMatchObject({ code: 'rule_not_found' })
    }
    await expect(stet.alerts.silence({ fingerprint: 'nobody' }, '1h')).rejects.toMatchObject({
      code: 'alert_not_found',
    })
  })

  test('a line in the log and a NOTIFY each; no more when the config says so', async () => {
    const { config, now } = await begin()
    const client = new pg.Client({ connectionString: db.url })
    await client.connect()
    onTestFinished(() => client.end())
    const notices: any[] = []
    client.on('notification', ({ payload }) => notices.push(JSON.parse(payload!)))
    await client.query('LISTEN stet_alerts')
    const one = evaluator({ rules: config.rules! })
    const before = logs.length
    await failing()
    await one.tick(now)
    await one.tick(now + second)
    await over()
    await one.tick(now + 2 * second)
    await until(() => notices.length === 2, 'both notices came')
    expect(notices.map(({ event, rule, severity }) => [event, rule, severity])).toEqual([
      ['firing', 'failures', 'page'],
      ['resolved', 'failures', 'page'],
    ])
    const lines = logs
      .slice(before)
      .map(({ level, message, fields }) => [level, message.split(':')[0], fields.workflow])
    expect(lines).toEqual([
      ['warn', 'ALERT', 'order'],
      ['info', 'alert resolved', 'order'],
    ])
    await one.stop()
    const quiet = evaluator({ rules: config.rules!, log: false, notify: false })
    await failing()
    await quiet.tick(now + 3 * second)
    expect(await names('firing')).toEqual(['failures'])
    // What is notified later comes later.
    await db.query(`SELECT pg_notify('stet_alerts', '{"event":"end"}')`)
    await until(() => notices.at(-1).event === 'end', 'the end came')
    expect([notices.length, logs.length]).toEqual([3, before + 2])
  })

  test('a rule that cannot be looked at harms no other, and its alerts stay', async () => {
    const { got, one, now } = await begin()
    await failing()
    await one.tick(now)
    const { figures } = store.alerts
    const broken = new AlertEvaluator(
      {
        backlog: store.backlog,
        alerts: { ...store.alerts, figures: { ...figures, runSeries: () => Promise.reject(new Error('it is away')) } },
      },
      logOf(home),
      { rules: [rule, { name: 'blocked', kind: 'blockedRuns' }] },
    )
    await one.stop()
    await db.query(`INSERT INTO stet_store.runs (run_id, id, workflow, version, queue, status, created_at)
                    VALUES ('run_b', 'b', 'w', 1, 'default', 'blocked', now())`)
    onTestFinished(async () => void (await db.query(`DELETE FROM stet_store.runs WHERE run_id = 'run_b'`)))
    await broken.tick(now + second)
    await broken.tick(now + 2 * second)
    await broken.stop()
    expect((await names('firing')).sort()).toEqual(['blocked', 'failures'])
    expect(logs.filter(({ message }) => /could not be looked at/.test(message))).toMatchObject([
      { fields: { rule: 'failures' } },
    ])
    expect(statuses(got)).toEqual(['firing'])
  })

  test('without rules a look is one statement; firings are kept so long, and deliveries that nobody makes are given up', async () => {
    const { one, config, now } = await begin()
    await failing()
    await evaluator({ ...config, webhook: { url: 'http://127.0.0.1:9/', secret } }).tick(now)
    await over()
    await one.tick(now + 50 * minute)
    await one.stop()
    const day = 24 * 60 * minute
    const next = evaluator(config)
    await next.tick(now + 29 * day)
    expect(await stet.alerts.history()).toHaveLength(1)
    await next.tick(now + 32 * day)
    expect(await stet.alerts.history()).toEqual([])

    await stet.alerts.list()
    await clear()
    const asked: string[] = []
    const spied = new Proxy(store.alerts, {
      get: (target, name) => {
        const value = Reflect.get(target, name)
        return typeof value === 'function'
          ? (...args: unknown[]) => {
              asked.push(String(name))
              return value(...args)
            }
          : value
      },
    })
    const idle = new AlertEvaluator(
      { alerts: spied, backlog: () => Promise.reject(new Error('asked')) },
      logOf(home),
      undefined,
    )
    await next.stop()
    await idle.tick(now)
    asked.length = 0
    await idle.tick(now + second)
    expect(asked).toEqual(['watch'])
    await idle.stop()
  })
})

test('a store without a database has no alerts, and says so', async () => {
  await using env = await testEnv({ workflows: [waits], database: 'memory' })
  await expect(env.stet.alerts.list()).rejects.toMatchObject({
    code: 'not_available',
    message: expect.stringContaining('Postgres'),
  })
})

test('wrong rules are refused: the rule, the field, what was expected, what was got', () => {
  const at = (given: object) => () => defineConfig({ alerts: { rules: [given as AlertRule] } })
  const base = { name: 'r', kind: 'failureRate', above: 0.2 }
  const wrong: [object, RegExp][] = [
    [{ kind: 'failureRate' }, /alerts, rules\[0\], name: expected text of 1 to 255 bytes .* got undefined/],
    [{ ...base, kind: 'failRate' }, /rules\[0\] "r", kind: expected one of runTooLong, .* got "failRate"/],
    [{ ...base, above: 2 }, /"r", above: expected a number from 0 to 1, less than 1, got 2\./],
    [{ name: 'r', kind: 'failureRate' }, /"r", above: expected it to be given, got nothing/],
    [{ ...base, abov: 1 }, /"r", of kind failureRate: there is no "abov"\. Did you mean "above"\?/],
    [{ ...base, queue: 'q' }, /there is no "queue"\. Known are/],
    [{ ...base, window: '2d' }, /"r", window: expected a duration of a minute to a day, got "2d"/],
    [{ ...base, window: 'soon' }, /"r", window: expected a duration, got 'soon'/],
    [{ ...base, minRuns: 0 }, /"r", minRuns: expected a whole number from 1, got 0/],
    [{ ...base, for: '31d' }, /"r", for: expected a duration of at most 30 days/],
    [{ ...base, severity: '' }, /"r", severity: expected text of 1 to 50 characters/],
    [{ ...base, labels: { 'a-b': 'x' } }, /"r", labels\.a-b: expected a name of letters/],
    [{ ...base, labels: { workflow: 'x' } }, /"r", labels\.workflow: expected a name that alerts do not have/],
    [{ ...base, labels: { team: 7 } }, /"r", labels\.team: expected text of 1 to 200 characters, got 7/],
    [{ name: 'r', kind: 'runTooLong' }, /"r": expected one of longerThan and timesP99, got neither/],
    [{ name: 'r', kind: 'runTooLong', longerThan: '1m', timesP99: 3 }, /got both/],
    [
      { name: 'r', kind: 'runTooLong', longerThan: '1m', minRuns: 3 },
      /"r", minRuns: expected it beside timesP99 alone/,
    ],
    [{ name: 'r', kind: 'retryRate', timesUsual: 0 }, /"r", timesUsual: expected a number above 0/],
    [{ name: 'r', kind: 'queueAge' }, /"r", olderThan: expected it to be given/],
    [{ name: 'r', kind: 'leaseChurn', above: -1 }, /"r", above: expected a whole number from 0, got -1/],
    [[], /rules\[0\]: expected an object with an alert rule, got a list/],
  ]
  for (const [given, message] of wrong) {
    expect(at(given)).toThrow(
      expect.objectContaining({ code: 'invalid_input', message: expect.stringMatching(message) }),
    )
  }
  const config = (alerts: object) => () => defineConfig({ alerts } as any)
  const refused: [object, RegExp][] = [
    [{ rules: [base, base] }, /rules\[1\], name: expected a name that no rule before it has, got "r"/],
    [{ rules: {} }, /alerts, rules: expected a list of rules, got an object/],
    [{ rule: [] }, /there is no "rule"\. Did you mean "rules"\?/],
    [{ every: '10ms' }, /alerts, every: expected at least a second/],
    [{ webhook: { url: 'ftp://x', secret } }, /webhook, url: expected a URL that begins with http/],
    [{ webhook: { url: 'http://me:pw@x', secret } }, /webhook, url: expected a URL without a name and a password/],
    [{ log: 'yes' }, /alerts, log: expected true or false, got "yes"/],
  ]
  for (const [given, message] of refused) {
    expect(config(given)).toThrow(expect.objectContaining({ message: expect.stringMatching(message) }))
  }
  const short = { webhook: { url: 'http://x', secret: 'short-one' } }
  expect(config(short)).toThrow(/secret: expected text of at least 16 characters, got text of 9/)
  expect(config(short)).not.toThrow(/short-one/)
  expect(config({ rules: [base], webhook: { url: 'https://x/y', secret } })).not.toThrow()
})
