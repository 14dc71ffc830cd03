/** What each route answers when all is well. Every answer is held against the schema that documents it. */
import { readFileSync } from 'node:fs'
import { afterAll, expect, onTestFinished, test, vi } from 'vitest'
import { type Ctx, workflow } from '../../src/index.js'
import { AlertEvaluator } from '../../src/observe/alerts/evaluator.js'
import { routes } from '../../src/server/dashboard.js'
import { check } from '../../src/server/schema.js'
import { shapes } from '../../src/server/shapes.js'
import { gate, house, types, until } from '../support/house.js'
import { type Asked, all, type Browser, broken, browse, idle, leaf, order, parent, repaired } from './support.js'

const { stet, db, work, reached } = await house()
const met = new Set<string>()

/** Asks, and holds the answer against the schema of the route that it met. */
async function ask(browser: Browser, path: string, asked: Asked = {}): Promise<any> {
  const answer = await browser.get(path, asked)
  const method = asked.method ?? (asked.body === undefined ? 'GET' : 'POST')
  const [bare] = path.split('?')
  const fits = (route: string) => new RegExp(`^${route.replaceAll(/:\w+/g, '[^/]+')}$`).test(bare!)
  const route = routes.find((each) => each.method === method && fits(each.path))!
  check(route.answer, answer, `the answer of ${method} ${route.path}`, shapes)
  met.add(`${method} ${route.path}`)
  return answer
}

afterAll(() => {
  const left = routes.map(({ method, path }) => `${method} ${path}`).filter((route) => !met.has(route))
  // The feed has a file of its own.
  expect(left).toEqual(['GET /api/feed'])
})

test('a run from its start to its end, with all that can be read of it', async () => {
  const browser = browse(stet)
  await work(all)
  const at = (path: string) => `/api/runs/order-1${path}`
  const started = await ask(browser, '/api/runs', {
    body: { workflow: 'order', input: { sku: 'A1' }, id: 'order-1', attributes: { shop: 'nord' } },
  })
  expect(started).toMatchObject({ id: 'order-1', runId: expect.stringMatching(/^run_/) })
  expect(
    (await ask(browser, '/api/runs', { body: { workflow: 'order', input: { sku: 'A1' }, id: 'order-1' } })).runId,
  ).toBe(started.runId)
  await reached(started, 'waiting')
  const debounced = { workflow: 'order', input: { sku: 'B2' }, debounce: { key: 'b', wait: '1h' } }
  const twice = [
    await ask(browser, '/api/runs', { body: debounced }),
    await ask(browser, '/api/runs', { body: debounced }),
  ]
  expect(twice[1]).toEqual({ ...twice[0], status: 'waiting' })
  await ask(browser, `/api/runs/${twice[0].runId}/terminate`, { body: {} })

  const view = await ask(browser, at(''))
  expect(view.run).toMatchObject({
    ...{ id: 'order-1', runId: started.runId, workflow: 'order', version: 1, status: 'waiting', input: { sku: 'A1' } },
    attributes: { shop: 'nord', stage: 'paid' },
  })
  const steps = new Map<string, any>(view.steps.map((step: any) => [step.key, step]))
  expect([...steps.keys()]).toEqual(['validate', 'reserve', 'charge', 'go'])
  expect(steps.get('reserve')).toMatchObject({
    ...{ status: 'completed', attempts: 2, after: ['start'], where: expect.stringMatching(/support\.ts:\d+/) },
    errors: [{ attempt: 1, name: 'RangeError', message: 'out of stock' }],
    queuedMs: expect.any(Number),
  })
  expect(steps.get('charge').after.sort()).toEqual(['reserve', 'validate'])
  expect(steps.get('go')).toMatchObject({ kind: 'signal', status: 'running' })
  expect((await ask(browser, at('/graph'))).edges).toEqual((await stet.run('order-1').graph()).edges)
  expect(await ask(browser, at('/why'))).toMatchObject({ code: 'waiting_signal' })
  const { waits, ...summary } = (await ask(browser, at('/summary'))).run
  expect(summary).toEqual(view.run)
  expect(waits).toMatchObject([{ kind: 'signal', name: 'go' }])

  expect(await ask(browser, at('/query'), { body: { name: 'progress' } })).toEqual({
    answer: { sum: 0, at: '1970-01-01T00:00:00.000Z' },
  })
  expect(await ask(browser, at('/update'), { body: { name: 'add', argument: 5, messageId: 'm1' } })).toEqual({
    answer: 5,
  })
  expect(await ask(browser, at('/update'), { body: { name: 'add', argument: 5, messageId: 'm1' } })).toEqual({
    answer: 5,
  })
  const refused = await browser.ask(at('/update'), { body: { name: 'add', argument: -1 } })
  expect([refused.status, refused.json.error.code]).toEqual([422, 'update_rejected'])
  const unasked = await browser.ask(at('/query'), { body: { name: 'nothing' } })
  expect(unasked.status).toBe(422)

  expect(await ask(browser, at('/signal'), { body: { name: 'go', message: { by: 'ann' } } })).toMatchObject({
    id: 'order-1',
  })
  await stet.run('order-1').result()
  expect((await ask(browser, at(''))).run).toMatchObject({
    status: 'completed',
    output: { input: { sku: 'A1' }, message: { by: 'ann' } },
  })
  const late = await browser.ask(at('/signal'), { body: { name: 'go' } })
  expect([late.status, late.json.error.code]).toEqual([409, 'run_closed'])

  // In pages, all of it once and in order.
  const names = await types(stet.run('order-1'))
  const seen: any[] = []
  for (let after: number | undefined = 0; after !== undefined; ) {
    const page: any = await ask(browser, at(`/history?after=${after}&limit=4`))
    expect(page.events.length).toBeLessThanOrEqual(4)
    expect(page).toMatchObject({ runId: started.runId, length: names.length })
    seen.push(...page.events)
    after = page.next
  }
  expect(seen.map(({ type }) => type)).toEqual(names)
  expect(seen.map(({ seq }) => seq)).toEqual(names.map((_, i) => i + 1))
  expect(seen[0].data.input).toEqual({ sku: 'A1' })

  const response = await browser.dashboard.fetch(browser.request(at('/export')))
  expect(response.headers.get('content-disposition')).toBe(`attachment; filename="${started.runId}.json"`)
  const file = (await ask(browser, at('/export'))) as any
  expect([file.format, file.run.id, file.events.length]).toEqual(['stet-history-1', 'order-1', names.length])
})

test('a run as it was after each of its events', async () => {
  const browser = browse(stet)
  await work(all)
  const run = await stet.start(order, 'x', { id: 'time' })
  await reached(run, 'waiting')
  await run.signal('go', 'now')
  await run.result()
  const history = await run.history()
  const statuses: string[] = []
  let before = 0
  for (const { seq } of history) {
    const { run: then, steps, graph } = await ask(browser, `/api/runs/time?at=${seq}`)
    expect(then.historyLength).toBe(seq)
    statuses.push(then.status)
    // Nothing that was there goes away again, and nothing is there that came later.
    expect(graph.nodes.length).toBeGreaterThanOrEqual(before)
    before = graph.nodes.length
    const known = new Set(history.slice(0, seq).flatMap(({ name, op = 0 }) => (op > 0 ? [name] : [])))
    expect(steps.every(({ key }: any) => known.has(key))).toBe(true)
    const settled = history.slice(0, seq).flatMap(({ type, name }) => (type === 'StepCompleted' ? [name] : []))
    expect(
      steps
        .filter((step: any) => step.kind === 'step' && step.status === 'completed')
        .map(({ key }: any) => key)
        .sort(),
    ).toEqual([...settled].sort())
    const paid = history.slice(0, seq).some(({ type }) => type === 'AttributesSet')
    expect(then.attributes).toEqual(paid ? { stage: 'paid' } : {})
    expect(then.output).toEqual(seq === history.length ? { input: 'x', message: 'now' } : undefined)
  }
  expect(statuses[0]).toBe('pending')
  expect(statuses.at(-1)).toBe('completed')
  expect(statuses.slice(1, -1)).not.toContain('completed')
  const whole = await ask(browser, '/api/runs/time')
  const last = await ask(browser, `/api/runs/time?at=${history.length}`)
  expect(last.steps).toEqual(whole.steps)
  for (const wrong of [0, history.length + 1, 'x', '1.5']) {
    expect((await browser.ask(`/api/runs/time?at=${wrong}`)).status).toBe(400)
  }
})

test('pause and resume, one by one and many at once', async () => {
  const browser = browse(stet)
  await work(all)
  const runs = await Promise.all(
    ['pause-1', 'pause-2', 'pause-3'].map((id) =>
      ask(browser, '/api/runs', { body: { workflow: 'idle', id, attributes: { lot: 'pauses' } } }),
    ),
  )
  for (const run of runs) await reached(run, 'waiting')
  expect(await ask(browser, '/api/runs/pause-1/pause', { body: { reason: 'stocktaking' } })).toMatchObject({
    status: 'paused',
  })
  expect((await stet.run('pause-1').why()).message).toContain('stocktaking')
  const filter = { attributes: { lot: 'pauses' } }
  const dry = await ask(browser, '/api/bulk/pause', { body: { filter } })
  expect(dry.done.map(({ id }: { id: string }) => id).sort()).toEqual(['pause-2', 'pause-3'])
  expect((await stet.run('pause-2').describe()).status).toBe('waiting')
  const { bulk } = await ask(browser, '/api/bulk/pause', { body: { filter, dryRun: false } })
  for (const run of runs) await reached(run, 'paused')
  const pausing = await until(async () => {
    const now = await ask(browser, `/api/bulks/${bulk.id}`)
    return now.state === 'completed' && now
  }, 'all are paused')
  expect(pausing).toMatchObject({ operation: 'pause', seen: 2, done: 2, refused: {} })
  const refused = await ask(browser, '/api/bulk/resume', { body: { runs: ['pause-1', 'nobody'], dryRun: false } })
  expect(refused).toMatchObject({ done: [{ id: 'pause-1' }], failed: [{ code: 'run_not_found' }] })
  const resuming = await ask(browser, '/api/bulk/resume', { body: { filter, dryRun: false } })
  expect(resuming).toMatchObject({ dryRun: false, bulk: { operation: 'resume', expected: 2, expectedMore: false } })
  for (const run of runs) {
    await reached(run, 'waiting')
    await stet.run(run.runId).terminate()
  }
})

test('what a step has saved for its next attempt', async () => {
  const browser = browse(stet)
  const saved = gate()
  const paging = workflow('paging', (ctx: Ctx<void>) =>
    ctx.step('pages', async (step) => {
      await step.saveCheckpoint({ page: 7, at: new Date(0) })
      saved.open()
      await new Promise((_, reject) => step.signal.addEventListener('abort', () => reject(step.signal.reason)))
    }),
  )
  await work([paging])
  const run = await stet.start(paging, undefined, { id: 'paging-1' })
  await saved.promise
  expect(await ask(browser, '/api/runs/paging-1/checkpoint?op=1')).toEqual({
    there: true,
    value: { page: 7, at: '1970-01-01T00:00:00.000Z' },
  })
  expect(await ask(browser, '/api/runs/paging-1/checkpoint?op=2')).toEqual({ there: false })
  await run.terminate()
})

test('metrics for Prometheus', async () => {
  const browser = browse(stet)
  const response = await browser.dashboard.fetch(browser.request('/metrics'))
  expect(response.headers.get('content-type')).toContain('text/plain')
  expect(await response.text()).toMatch(/^stet_workers_alive \d+$/m)
  met.add('GET /metrics')
})

test('twenty pages that ask the same at once cost as much as one, and see what was changed here at once', async () => {
  const { store } = await stet.internals()
  const asked = vi.spyOn(store, 'liveWorkers')
  onTestFinished(() => asked.mockRestore())
  const browser = browse(stet)
  await Promise.all(Array.from({ length: 20 }, () => browser.get('/api/workers')))
  expect(asked).toHaveBeenCalledTimes(1)
  await browser.post('/api/runs', { workflow: 'nobody has this' })
  await browser.get('/api/workers')
  expect(asked).toHaveBeenCalledTimes(2)
})

test('cancel, terminate, resume, move', async () => {
  const browser = browse(stet)
  const running = await work(all)
  for (const id of ['c', 't']) await reached(await stet.start(idle, null, { id: `idle-${id}` }), 'waiting')
  await ask(browser, '/api/runs/idle-c/cancel', { body: { reason: 'not wanted' } })
  await until(async () => (await stet.run('idle-c').describe()).status === 'cancelled', 'it is cancelled')
  expect(await ask(browser, '/api/runs/idle-t/terminate', { body: {} })).toMatchObject({ status: 'terminated' })
  const again = await browser.ask('/api/runs/idle-t/terminate', { body: {} })
  expect([again.status, again.json.error.code]).toEqual([409, 'run_closed'])

  await running.stop()
  const { runId } = await stet.start(idle, null, { id: 'idle-m' })
  const sane = await browser.ask('/api/runs/idle-m/resume', { body: {} })
  expect([sane.status, sane.json.error.code]).toEqual([409, 'not_resumable'])
  await ask(browser, '/api/runs/idle-m/move', { body: { version: 7 } })
  expect((await stet.run('idle-m').describe()).version).toBe(7)
  const { store } = await stet.internals()
  await store.db.query({ text: `UPDATE stet_store.runs SET status = 'blocked' WHERE run_id = $1`, values: [runId] })
  expect(await ask(browser, '/api/runs/idle-m/resume', { body: {} })).toMatchObject({ status: 'pending' })
})

test('fork and retry', async () => {
  const browser = browse(stet)
  await work(all)
  repaired.value = false
  const run = await stet.start(broken, { a: 1 }, { id: 'broken-1' })
  await run.result().catch(() => {})
  const origin = { runId: run.runId, seq: expect.any(Number) }
  const plan = await ask(browser, '/api/runs/broken-1/fork', { body: { at: 'second', dryRun: true } })
  expect(plan).toMatchObject({ anew: 'second', of: (await run.history()).length })
  expect((await stet.list({ workflow: 'broken' })).runs).toHaveLength(1)
  const fork = await ask(browser, '/api/runs/broken-1/fork', {
    body: { at: 'second', id: 'broken-1b', set: { second: 'given' }, input: { a: 2 } },
  })
  expect(fork).toMatchObject({ id: 'broken-1b', forkedFrom: origin, kept: plan.kept })
  expect(await stet.run('broken-1b').result()).toBe('given')
  expect((await ask(browser, '/api/runs/broken-1/forks')).runs.map(({ id }: any) => id)).toEqual(['broken-1b'])

  repaired.value = true
  const retried = await ask(browser, '/api/runs/broken-1/retry', { body: {} })
  expect(retried).toMatchObject({ id: 'broken-1', forkedFrom: origin })
  expect(await stet.run(retried.runId).result()).toBe('well')
  const { status, json } = await browser.ask(`/api/runs/${retried.runId}/retry`, { body: {} })
  expect([status, json.error.code]).toEqual([409, 'no_failure'])
  const nowhere = await browser.ask('/api/runs/broken-1/fork', { body: { at: 'nothing of that name' } })
  expect([nowhere.status, nowhere.json.error.code]).toEqual([400, 'invalid_input'])
})

test('lists by all filters and in pages; counts; children', async () => {
  const browser = browse(stet)
  await work(all)
  await stet.execute(parent, 3, { id: 'family', attributes: { house: 'red' } })
  const children = await ask(browser, '/api/runs/family/children?limit=2')
  expect(children.runs.map(({ parent }: any) => parent.id)).toEqual(['family', 'family'])
  const rest = await ask(browser, `/api/runs/family/children?limit=2&after=${children.next}`)
  expect([rest.runs.length, rest.next]).toEqual([1, undefined])
  const ids = [...children.runs, ...rest.runs].map(({ runId }: any) => runId)
  expect(ids).toEqual([...ids].sort().reverse())

  const seen: string[] = []
  for (let after: string | undefined = ''; after !== undefined; ) {
    const page: any = await ask(browser, `/api/runs?limit=3${after === '' ? '' : `&after=${after}`}`)
    seen.push(...page.runs.map(({ runId }: any) => runId))
    after = page.next
  }
  const everything = (await stet.list({ limit: 1000 })).runs.map(({ runId }) => runId)
  expect(seen).toEqual(everything)

  const filters = [
    ['workflow=leaf&status=completed', { workflow: 'leaf', status: 'completed' }],
    ['status=failed,terminated', { status: ['failed', 'terminated'] }],
    ['status=failed&status=cancelled', { status: ['failed', 'cancelled'] }],
    [`attributes=${encodeURIComponent('{"house":"red"}')}`, { attributes: { house: 'red' } }],
    ['error=BROKEN%20with', { error: 'broken with' }],
    ['queue=other', { queue: 'other' }],
    ['workflow=idle&version=7', { workflow: 'idle', version: 7 }],
    ['startedAfter=2100-01-01', { startedAfter: new Date('2100-01-01') }],
    ['startedBefore=2100-01-01T00:00:00Z&limit=200', { startedBefore: new Date('2100-01-01'), limit: 200 }],
  ] as const
  for (const [text, filter] of filters) {
    const { runs } = await ask(browser, `/api/runs?${text}`)
    const expected = (await stet.list(filter as object)).runs.map(({ runId }) => runId)
    expect([text, runs.map(({ runId }: any) => runId)]).toEqual([text, expected])
  }
  expect((await ask(browser, '/api/runs?error=BROKEN%20with')).runs.length).toBeGreaterThan(0)

  const { counts, more, limit } = await ask(browser, '/api/counts')
  expect([more, limit]).toEqual([[], 1000])
  const all_ = (await stet.list({ limit: 1000 })).runs
  for (const [status, n] of Object.entries(counts)) {
    expect([status, n]).toEqual([status, all_.filter((run) => run.status === status).length])
  }
})

test('workers, versions, workflows', async () => {
  const browser = browse(stet)
  await work(all, { queues: ['default', 'mail'] })
  await stet.start('unheard of', 1, { id: 'waits-for-ever' })
  const { workers } = await ask(browser, '/api/workers')
  expect(workers).toContainEqual(
    expect.objectContaining({
      ...{ pid: process.pid, queues: ['default', 'mail'], startedAt: expect.any(String), runs: expect.any(Number) },
      workflows: expect.arrayContaining([{ name: 'order', version: 1 }]),
    }),
  )
  const { versions } = await ask(browser, '/api/versions?workflow=idle')
  expect(versions).toEqual([{ workflow: 'idle', version: 7, open: 1, served: false }])
  const { workflows } = await ask(browser, '/api/workflows')
  expect(workflows).toContainEqual({ name: 'idle', versions: [1, 7], served: [1] })
  expect(workflows).toContainEqual({ name: 'leaf', versions: [1], served: [1] })
  expect(workflows.map(({ name }: any) => name)).toEqual([...workflows.map(({ name }: any) => name)].sort())

  const waiting = (await stet.list({ queue: 'default', status: 'waiting', limit: 1_000 })).runs.length
  await stet.start(idle, 0, { id: 'nobody-listens', queue: 'unheard' })
  const { queues, more, limit } = await ask(browser, '/api/queues')
  expect([more, limit]).toEqual([[], 5_000])
  expect(queues.map(({ queue }: any) => queue)).toEqual([...queues.map(({ queue }: any) => queue)].sort())
  const bounds = { isPaused: false, concurrency: null }
  const none = { ready: 0, oldestAgeMs: null, running: 0, waiting: 0, paused: 0, blocked: 0, ...bounds }
  expect(queues).toContainEqual({ queue: 'mail', ...none, workers: 1 })
  expect(queues).toContainEqual({ queue: 'unheard', ...none, ready: 1, oldestAgeMs: expect.any(Number), workers: 0 })
  expect(queues.find(({ queue }: any) => queue === 'default')).toMatchObject({ waiting, workers: 1 })
})

test('statistics, as stet.stats() gives them', async () => {
  const browser = browse(stet)
  const worker = await work(all)
  await stet.execute(leaf, 4, { id: 'counted' })
  // It brings what it has counted when it stops.
  await worker.stop()
  const plain = (value: unknown) => JSON.parse(JSON.stringify(value))
  const until = new Date((await stet.stats()).to)
  const asked = [
    ['', {}],
    ['&workflow=leaf&since=6h&by=version', { workflow: 'leaf', since: '6h', by: 'version' }],
    ['&workflow=order&step=charge&version=1', { workflow: 'order', step: 'charge', version: 1 }],
    ['&since=30m&every=1m', { since: '30m', every: '1m' }],
    ['&compare=true', { compare: true }],
    ['&since=2026-01-01', { since: new Date('2026-01-01') }],
  ] as const
  for (const [text, options] of asked) {
    const answer = await ask(browser, `/api/stats?until=${until.toISOString()}${text}`)
    expect([text, answer]).toEqual([text, plain(await stet.stats({ ...options, until } as object))])
  }
  const both = await ask(browser, '/api/stats')
  expect(both.runs.find(({ workflow }: any) => workflow === 'leaf').completed).toBeGreaterThan(0)
  expect(both.steps.length).toBeGreaterThan(0)
  expect(await ask(browser, '/api/stats?only=runs')).toEqual({ ...both, steps: [] })
  expect(await ask(browser, '/api/stats?only=steps')).toEqual({ ...both, runs: [] })
  for (const wrong of [
    'since=soon',
    'since=1d&every=1m',
    'every=1s',
    'every=1m&compare=true',
    'by=queue',
    'version=x',
  ]) {
    const { status, json } = await browser.ask(`/api/stats?${wrong}`)
    expect([wrong, status, json.error.code]).toEqual([wrong, 400, 'invalid_input'])
  }
})

test('whoever asks for the same statistics at the same time is answered by one reading', async () => {
  const browser = browse(stet)
  const { store } = await stet.internals()
  const readStats = vi.spyOn(store, 'readStats')
  onTestFinished(() => readStats.mockRestore())
  await Promise.all(Array.from({ length: 20 }, () => browser.get('/api/stats?since=2h')))
  await browser.get('/api/stats?since=3h')
  expect(readStats).toHaveBeenCalledTimes(2)
})

test('limits: set, paused, looked at, reset, on record', async () => {
  const browser = browse(stet)
  const target = { workflow: 'idle', key: 'customer.id' }
  const at = (what: string, body: object) => ask(browser, `/api/limits${what}`, { body })
  expect(await at('', { target, concurrency: 3, rate: { limit: 100, period: '1s' } })).toEqual({ target })
  await at('', { target, rate: null })
  await at('/pause', { target: { queue: 'mail' } })
  const { limits } = await ask(browser, '/api/limits')
  expect(limits).toMatchObject([
    { target: { queue: 'mail' }, paused: true, concurrency: null, rate: null },
    { target, concurrency: 3, rate: null, paused: false, source: 'runtime', running: 0, values: [] },
  ])
  // A queue that nobody listens on, and that has no runs, is told of for its limit.
  const mail = async () => (await ask(browser, '/api/queues')).queues.find(({ queue }: any) => queue === 'mail')
  expect(await mail()).toMatchObject({ isPaused: true, concurrency: null, paused: 0, ready: 0 })
  await at('', { target: { queue: 'mail' }, concurrency: 2 })
  await at('/resume', { target: { queue: 'mail' } })
  expect(await mail()).toMatchObject({ isPaused: false, concurrency: 2 })
  await at('/reset', { target: { queue: 'mail' } })
  expect(await at('/reset', { target })).toEqual({ target, was: true })
  expect(await at('/reset', { target })).toEqual({ target, was: false })
  for (const body of [{ target: {} }, { target }, { target: { queue: 'a', workflow: 'b' }, concurrency: 1 }]) {
    const { status, json } = await browser.ask('/api/limits', { body })
    expect([status, json.error.code]).toEqual([400, 'invalid_input'])
  }
  const { audit } = await ask(browser, '/api/audit')
  expect(audit.map(({ action }: any) => action)).toEqual(
    expect.arrayContaining(['limit-set', 'limit-pause', 'limit-resume', 'limit-reset']),
  )
})

test('schedules: made, looked at, changed, fired by hand, deleted, on record', async () => {
  const browser = browse(stet)
  const at = (what: string, body: object) => ask(browser, `/api/schedules${what}`, { body })
  const times = { cron: '30 2 * * *', timeZone: 'Europe/Berlin' }
  expect(await at('/next', { times, count: 1, after: '2026-03-28T12:00:00Z' })).toEqual({
    next: ['2026-03-29T01:00:00.000Z'],
  })
  const options = { workflow: 'idle', ...times, startAt: '2026-01-01T00:00:00Z', input: { of: 'night' } }
  expect(await at('', { id: 'a@b', options })).toEqual({ id: 'a@b' })
  await at('', { id: 'b', options: { workflow: 'idle', every: '1h', overlap: 'bufferOne' } })
  const { schedules, next } = await ask(browser, '/api/schedules?limit=1')
  expect([schedules, next]).toMatchObject([
    [{ id: 'a@b', workflow: 'idle', times: 'cron 30 2 * * *', next: expect.any(String) }],
    'a@b',
  ])
  await at('/update', { id: 'a@b', options: { cron: '30 3 * * *', note: 'later' } })
  await at('/pause', { id: 'a@b', note: 'not now' })
  expect(await ask(browser, '/api/schedules/one?id=a@b')).toMatchObject({
    ...{ paused: true, note: 'not now', times: 'cron 30 3 * * *', nextFires: [], input: { of: 'night' } },
    spec: { ...times, cron: '30 3 * * *', startAt: '2026-01-01T00:00:00.000Z' },
  })
  await at('/resume', { id: 'a@b' })
  const first = await at('/trigger', { id: 'b' })
  expect(first).toEqual({ id: expect.stringMatching(/^b@/), runId: expect.stringMatching(/^run_/) })
  expect((await at('/trigger', { id: 'b' })).runId).toBeNull()
  const [from, to] = [new Date(Date.now() - 7_200_000).toISOString(), new Date(Date.now() - 60_000).toISOString()]
  const { started, existing } = await at('/backfill', { id: 'b', from, to })
  expect([started >= 1, existing]).toEqual([true, 0])
  const { fires, buffered } = await ask(browser, '/api/schedules/one?id=b&fires=2')
  expect([fires, buffered]).toMatchObject([[{ status: 'buffered' }, { status: 'started', runId: first.runId }], 1])
  const run = await ask(browser, `/api/runs/${first.runId}`)
  expect(run.run.id).toBe(first.id)

  const wrong: [string, object, number, string][] = [
    ['', { id: 'x', options: { workflow: 'idle', cron: 'often' } }, 400, 'invalid_input'],
    ['', { id: 'x', options: { cron: '@daily' } }, 400, 'invalid_input'],
    ['', { id: 'b', options: { workflow: 'idle', cron: '@daily' } }, 409, 'id_conflict'],
    ['/next', { times: { cron: '0 0 30 2 *' } }, 400, 'invalid_input'],
    ['/trigger', { id: 'b' }, 409, 'schedule_skipped'],
    ['/trigger', { id: 'nobody' }, 404, 'schedule_not_found'],
    ['/update', { id: 'nobody', options: {} }, 404, 'schedule_not_found'],
    ['/backfill', { id: 'b', from: to, to: from }, 400, 'invalid_input'],
  ]
  for (const [path, body, status, code] of wrong) {
    const { status: got, json } = await browser.ask(`/api/schedules${path}`, { body })
    expect([path, got, json.error.code]).toEqual([path, status, code])
  }
  await at('/delete', { id: 'a@b' })
  await at('/delete', { id: 'b' })
  const { rows } = await db.query(
    "SELECT action, details ->> 'schedule' AS schedule FROM stet.audit WHERE action LIKE 'schedule-%' ORDER BY n LIMIT 6",
  )
  expect(rows.map(({ action, schedule }) => [action, schedule])).toEqual([
    ['schedule-create', 'a@b'],
    ['schedule-create', 'b'],
    ['schedule-update', 'a@b'],
    ['schedule-pause', 'a@b'],
    ['schedule-resume', 'a@b'],
    ['schedule-trigger', 'b'],
  ])
})

test('alerts: rules, what fires, silences, what would have fired', async () => {
  const browser = browse(stet)
  const rule = { name: 'blocked', kind: 'blockedRuns', workflow: 'alarming', severity: 'page' } as const
  expect(await ask(browser, '/api/alerts/rules', { body: { rule } })).toEqual({ name: 'blocked' })
  expect(await ask(browser, '/api/alerts/rules')).toEqual({
    rules: [{ name: 'blocked', rule, source: 'runtime', configured: false, enabled: true }],
  })
  const { store } = await stet.internals()
  const evaluator = new AlertEvaluator(store, { debug() {}, info() {}, warn() {}, error() {} }, undefined)
  onTestFinished(() => evaluator.stop())
  await db.query(`INSERT INTO stet_store.runs (run_id, id, workflow, version, queue, status, created_at)
                  VALUES ('run_alarm', 'alarm', 'alarming', 1, 'default', 'blocked', now())`)
  await evaluator.tick()
  const { firing } = await ask(browser, '/api/alerts')
  expect(firing).toMatchObject([
    { rule: 'blocked', state: 'firing', severity: 'page', labels: { workflow: 'alarming' } },
  ])
  const [{ fingerprint }] = firing
  expect(await ask(browser, '/api/alerts/silence', { body: { fingerprint, for: '1h' } })).toEqual({ silenced: true })
  expect(await ask(browser, '/api/alerts/silence', { body: { rule: 'blocked', until: null } })).toEqual({
    silenced: false,
  })
  expect((await ask(browser, '/api/alerts')).firing[0].silencedUntil).toEqual(expect.any(String))
  await ask(browser, '/api/alerts/rules/disable', { body: { name: 'blocked' } })
  await evaluator.tick()
  expect((await ask(browser, '/api/alerts?recent=5')).recent).toMatchObject([{ fingerprint, state: 'resolved' }])
  const { alerts } = await ask(browser, '/api/alerts/history?limit=1')
  expect(alerts).toMatchObject([{ fingerprint, resolvedAt: expect.any(String) }])
  await ask(browser, '/api/alerts/rules/enable', { body: { name: 'blocked' } })
  const { tests } = await ask(browser, '/api/alerts/test', { body: { last: '1d', rules: ['blocked'] } })
  expect(tests).toMatchObject([{ rule: 'blocked', known: false, firings: [] }])
  const trial = { name: 'fails', kind: 'failureRate', above: 0.1 }
  expect((await ask(browser, '/api/alerts/test', { body: { rule: trial } })).tests).toMatchObject([{ known: true }])
  expect(await ask(browser, '/api/alerts/rules/remove', { body: { name: 'blocked' } })).toEqual({
    ...{ name: 'blocked', done: 'removed' },
  })
  for (const [path, body, status, code] of [
    ['rules', { rule: { ...trial, above: 3 } }, 400, 'invalid_input'],
    ['rules/remove', { name: 'blocked' }, 404, 'rule_not_found'],
    ['silence', { fingerprint: 'nobody', for: '1h' }, 404, 'alert_not_found'],
    ['silence', { rule: 'blocked', fingerprint, for: '1h' }, 400, 'invalid_input'],
    ['silence', { rule: 'blocked' }, 400, 'invalid_input'],
    ['test', { rules: ['blocked'] }, 404, 'rule_not_found'],
  ] as const) {
    const { status: got, json } = await browser.ask(`/api/alerts/${path}`, { body })
    expect([path, got, json.error.code]).toEqual([path, status, code])
  }
  const { audit } = await ask(browser, '/api/audit?limit=20')
  const mine = audit
    .filter(({ action }: any) => action.startsWith('alert-'))
    .map(({ action, details }: any) => [action, details])
  expect(mine.reverse().slice(0, 3)).toEqual([
    ['alert-rule-add', { name: 'blocked', kind: 'blockedRuns' }],
    ['alert-silence', { fingerprint, until: '1h' }],
    ['alert-silence', { rule: 'blocked', until: null }],
  ])
  expect(mine).toContainEqual(['alert-rule-remove', { name: 'blocked', error: 'rule_not_found' }])
})

test('sessions, the page, the document', async () => {
  const browser = browse(stet)
  expect(await ask(browser, '/api/session')).toMatchObject({ role: 'admin', actor: expect.stringMatching(/^token-/) })
  expect(await ask(browser, '/api/session', { body: { token: 'viewer-token-0123456789' } })).toEqual({
    role: 'view',
    actor: 'vera',
  })
  expect(await ask(browser, '/api/session', { body: {}, method: 'DELETE' })).toEqual({ ended: true })
  // Each page has a path that can be gone to, and come back to by a reload.
  const router = readFileSync(new URL('../../src/web/app.tsx', import.meta.url), 'utf8')
  const paths = [...router.matchAll(/path[:=]\s*["'](\/[\w/:]*)["']/g)].map(([, path]) => path!.replace(':run', 'some'))
  expect(paths).toEqual(expect.arrayContaining(['/', '/queues', '/bulks', '/runs/some']))
  for (const path of paths) expect(await browser.get(path)).toContain('<div id="root"></div>')
  expect(await ask(browser, '/openapi.json')).toMatchObject({ openapi: '3.1.0' })
})

test('the same for many: a dry run first; by a filter it is a bulk, which goes on by itself', async () => {
  const browser = browse(stet)
  await work(all)
  const finished = (id: string) =>
    until(async () => {
      const now = await ask(browser, `/api/bulks/${id}`)
      return now.state !== 'running' && now
    }, `bulk ${id} is over`)
  for (let i = 0; i < 12; i++) {
    await stet.start(idle, i, { id: `many-${i}`, queue: 'many' })
    // Lists are in the order of time, which has milliseconds.
    const now = Date.now()
    await until(() => Date.now() > now, 'another millisecond')
  }
  await stet.start(idle, 9, { id: 'other-1' })
  const wanted = { filter: { queue: 'many' } }
  const dry = await ask(browser, '/api/bulk/cancel', { body: wanted })
  expect(dry).toMatchObject({ dryRun: true, count: 12, more: false, failed: [] })
  expect(dry.done.map(({ id }: any) => id)).toEqual(Array.from({ length: 10 }, (_, i) => `many-${11 - i}`))
  expect((await stet.list({ queue: 'many', status: ['cancelled'] })).runs).toEqual([])

  const { bulk } = await ask(browser, '/api/bulk/cancel', {
    body: { ...wanted, dryRun: false, reason: 'all of them' },
  })
  expect(bulk).toMatchObject({ operation: 'cancel', expected: 12, reason: 'all of them' })
  expect(await finished(bulk.id)).toMatchObject({ state: 'completed', done: 12, refused: {} })
  expect((await stet.list({ queue: 'many', status: 'cancelled' })).runs).toHaveLength(12)
  expect((await stet.run('other-1').describe()).status).not.toBe('cancelled')
  expect((await ask(browser, '/api/bulks?limit=1')).bulks).toMatchObject([{ id: bulk.id, state: 'completed' }])

  const ended = await ask(browser, '/api/bulk/terminate', {
    body: { runs: ['other-1', 'many-0', 'never heard of'], dryRun: false },
  })
  expect(ended.done).toMatchObject([{ id: 'other-1' }])
  expect(ended.failed.map(({ id, code }: any) => [id, code]).sort()).toEqual([
    ['many-0', 'run_closed'],
    ['never heard of', 'run_not_found'],
  ])

  repaired.value = false
  const failing = []
  for (let i = 0; i < 3; i++)
    failing.push(await stet.start(broken, i, { id: `lost-${i}`, queue: 'default', attributes: { lot: 7 } }))
  await Promise.all(failing.map((run) => run.result().catch(() => {})))
  repaired.value = true
  const lot = { filter: { attributes: { lot: 7 } } }
  const forks = await ask(browser, '/api/bulk/fork', { body: { ...lot, at: 'first', dryRun: false } })
  expect(await finished(forks.bulk.id)).toMatchObject({ done: 3 })
  // A fork that there is already is given, not made again.
  const twice = await ask(browser, '/api/bulk/fork', {
    body: { runs: failing.map(({ runId }) => runId), at: 'first', dryRun: false },
  })
  for (const { made } of twice.done) expect(await stet.run(made.runId).result()).toBe('well')
  expect((await stet.list({ attributes: { lot: 7 } })).runs).toHaveLength(6)
  const retries = await ask(browser, '/api/bulk/retry', { body: { ...lot, dryRun: false } })
  expect(await finished(retries.bulk.id)).toMatchObject({ seen: 3, done: 3 })
  for (const i of [0, 1, 2]) expect(await stet.run(`lost-${i}`).result()).toBe('well')

  for (const body of [{}, { filter: {} }, { runs: ['a'], filter: { queue: 'many' } }]) {
    expect((await browser.ask('/api/bulk/cancel', { body })).status).toBe(400)
  }
})

test('a bulk is paused, gone on with and ended; where no worker lives, the dashboard does it', async () => {
  const browser = browse(stet)
  const { store } = await stet.internals()
  await until(async () => (await store.liveWorkers()).length === 0, 'all workers of other tests are gone')
  for (let i = 0; i < 3; i++) await stet.start('of nobody', i, { queue: 'alone' })
  const { bulk } = await ask(browser, '/api/bulk/terminate', { body: { filter: { queue: 'alone' }, dryRun: false } })
  await until(async () => (await ask(browser, `/api/bulks/${bulk.id}`)).state === 'completed', 'the dashboard did it')
  expect((await stet.list({ queue: 'alone', status: 'terminated' })).runs).toHaveLength(3)
  const held = await stet.bulk('cancel', { workflow: 'of nobody' })
  expect(await ask(browser, `/api/bulks/${held.id}/pause`, { body: {} })).toMatchObject({ state: 'paused' })
  expect(await ask(browser, `/api/bulks/${held.id}/resume`, { body: {} })).toMatchObject({ state: 'running' })
  expect(await ask(browser, `/api/bulks/${held.id}/cancel`, { body: {} })).toMatchObject({ state: 'cancelled' })
  const { audit } = await ask(browser, '/api/audit?limit=4')
  expect(audit.map(({ action, details }: any) => [action, details.bulk])).toEqual([
    ['bulk.cancel', held.id],
    ['bulk.resume', held.id],
    ['bulk.pause', held.id],
    ['terminate', true],
  ])
})

test('runs are deleted, and kept for as long as is said', async () => {
  const browser = browse(stet)
  await work(all)
  const done = await stet.start(leaf, 1, { id: 'to go', attributes: { go: 1 } })
  await done.result()
  const open = await stet.start(idle, 1, { id: 'to stay' })
  const refused = await browser.ask('/api/runs/to%20stay/delete', { body: {} })
  expect([refused.status, refused.json.error.code]).toEqual([409, 'run_open'])
  expect(await ask(browser, '/api/runs/to%20go/delete', { body: {} })).toEqual({
    ...{ id: 'to go', runId: done.runId, deleted: true },
  })
  expect((await browser.ask('/api/runs/to%20go')).status).toBe(404)
  const many = await ask(browser, '/api/bulk/delete', { body: { runs: [open.runId], dryRun: false } })
  expect(many.failed).toMatchObject([{ code: 'run_open' }])
  const set = { status: 'completed', keep: '30d', workflow: 'leaf' }
  const { rules } = await ask(browser, '/api/retention', { body: set })
  expect(rules).toEqual([{ workflow: 'leaf', status: 'completed', keepMs: 30 * 86_400_000, from: 'runtime' }])
  expect(await ask(browser, '/api/retention')).toEqual({ rules })
  expect(await ask(browser, '/api/retention', { body: { ...set, keep: null } })).toEqual({ rules: [] })
  await open.terminate()
})

test('what operators do is on record', async () => {
  const browser = browse(stet, {}, 'operator-token-0123456789')
  const admin = browse(stet)
  await work(all)
  await browser.post('/api/runs', { workflow: 'idle', id: 'watched', input: { secret: 1 } })
  const { runId } = await stet.run('watched').describe()
  await browser.post('/api/runs/watched/signal', { name: 'other', message: { secret: 2 }, messageId: 'm-1' })
  await browser.ask('/api/runs/watched/retry', { body: {} })
  await browser.post('/api/bulk/cancel', { runs: ['watched'] })
  await browser.post('/api/bulk/cancel', { runs: ['watched'], dryRun: false, reason: 'secret words' })
  await browser.ask('/api/runs/nobody/cancel', { body: {} })
  const { audit } = await ask(admin, `/api/audit?runId=${runId}`)
  const about = { actor: 'otto', role: 'operate', runId, id: 'watched', at: expect.any(String), n: expect.any(Number) }
  expect(audit).toEqual([
    { ...about, action: 'cancel', details: { bulk: true } },
    { ...about, action: 'retry', details: { error: 'run_open' } },
    { ...about, action: 'signal', details: { name: 'other', messageId: 'm-1' } },
    { ...about, action: 'start', details: { workflow: 'idle' } },
  ])
  const pages: any[] = []
  for (let before = ''; ; ) {
    const page = await ask(admin, `/api/audit?limit=2${before}`)
    pages.push(...page.audit)
    if (page.next === undefined) break
    before = `&before=${page.next}`
  }
  const { store } = await stet.internals()
  const { rows } = await store.db.query({
    text: 'SELECT n::int, action, run_id, details FROM stet.audit ORDER BY n DESC',
  })
  expect(pages.map(({ n, action, runId, details }) => ({ n, action, run_id: runId, details }))).toEqual(rows)
  expect(JSON.stringify(pages)).not.toContain('secret')
})
