/** The live feed: nothing lost, nothing twice, and few questions for many. */
import { expect, onTestFinished, test } from 'vitest'
import { type Ctx, type Handle, Stet, workflow } from '../../src/index.js'
import { Feed } from '../../src/server/feed.js'
import { serveDashboard } from '../../src/server/index.js'
import { watchRequest } from '../../src/server/watcher.js'
import { gate, house, until } from '../support/house.js'
import { all, type Browser, browse, go, idle, order } from './support.js'

const { stet, work, db, reached } = await house()

interface Event {
  readonly event: string
  readonly id?: string
  readonly data: any
}

/** One open line. */
class Line {
  readonly events: Event[] = []
  readonly comments: string[] = []
  readonly over: Promise<void>
  readonly headers: Headers
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>
  #text = ''

  constructor(response: Response) {
    expect([response.status, response.headers.get('content-type')]).toEqual([200, 'text/event-stream'])
    this.headers = response.headers
    this.#reader = response.body!.getReader() as ReadableStreamDefaultReader<Uint8Array>
    this.over = this.#read().catch(() => {})
    onTestFinished(() => this.cut())
  }

  static async open(browser: Browser, query: string, lastId?: string): Promise<Line> {
    const headers: Record<string, string> = lastId === undefined ? {} : { 'last-event-id': lastId }
    return new Line(await browser.dashboard.fetch(browser.request(`/api/feed?${query}`, { headers })))
  }

  until(found: (events: readonly Event[]) => unknown, what: string, patienceMs?: number): Promise<unknown> {
    return until(() => found(this.events) || undefined, what, patienceMs)
  }

  of(kind: string): any[] {
    return this.events.filter(({ event }) => event === kind).map(({ data }) => data)
  }

  seqs(runId: string): number[] {
    return this.of('history').flatMap((data) => (data.runId === runId ? [data.event.seq] : []))
  }

  get lastId(): string | undefined {
    return this.events.findLast(({ id }) => id !== undefined)?.id
  }

  async cut(): Promise<void> {
    await this.#reader.cancel().catch(() => {})
    await this.over
  }

  async #read(): Promise<void> {
    const decoder = new TextDecoder()
    for (;;) {
      const { done, value } = await this.#reader.read()
      if (done) return
      this.#text += decoder.decode(value, { stream: true })
      const parts = this.#text.split('\n\n')
      this.#text = parts.pop()!
      for (const part of parts) this.#take(part)
    }
  }

  #take(part: string): void {
    const lines = part.split('\n')
    const field = (name: string) => lines.find((line) => line.startsWith(`${name}: `))?.slice(name.length + 2)
    if (part.startsWith(':')) this.comments.push(part.slice(2))
    const [event, data, id] = [field('event'), field('data'), field('id')]
    if (event !== undefined) this.events.push({ event, data: JSON.parse(data!), ...(id === undefined ? {} : { id }) })
  }
}

const upTo = (n: number, from = 1) => Array.from({ length: n - from + 1 }, (_, i) => i + from)

/** As many steps as there are gates, each waiting for its own. */
const gates = Array.from({ length: 6 }, () => gate())
const gated = workflow('gated', async (ctx: Ctx<unknown>, _: unknown) => {
  for (const [i, { promise }] of gates.entries()) await ctx.step(`step ${i}`, () => promise)
})

test('a run is followed to its end; what a cut line has missed comes with the next, none twice', async () => {
  const browser = browse(stet)
  await work([...all, gated])
  const run = await stet.start(gated, null, { id: 'gated' })
  let line = await Line.open(browser, `runs=${run.runId}:0`)
  expect(line.headers.get('cache-control')).toBe('no-cache, no-transform')
  expect(line.headers.get('x-accel-buffering')).toBe('no')
  const seen: number[] = []
  for (const [i, { open }] of gates.entries()) {
    open()
    const done = () =>
      line.of('history').some(({ event }) => event.type === 'StepCompleted' && event.name === `step ${i}`)
    if (i % 2 === 0) {
      await line.until(done, `step ${i} is told`)
    } else {
      // Cut in the middle, and it goes on meanwhile.
      const lastId = line.lastId!
      expect(lastId).toMatch(new RegExp(`^${run.runId}:\\d+$`))
      await line.cut()
      seen.push(...line.seqs(run.runId))
      await until(
        async () => (await run.graph()).nodes.some(({ key, status }) => key === `step ${i}` && status === 'completed'),
        'it is done',
      )
      line = await Line.open(browser, `runs=${run.runId}:0`, lastId)
      await line.until(done, `step ${i} is told to who came back`)
    }
  }
  await line.until(() => line.of('run').some(({ status }) => status === 'completed'), 'its end is told')
  seen.push(...line.seqs(run.runId))
  expect(seen).toEqual(upTo((await run.history()).length))
  // Whoever hears that it has ended has heard how.
  const order = line.events.map(({ event, data }) =>
    event === 'history' ? data.event.type : event === 'run' ? data.status : event,
  )
  expect(order.indexOf('RunCompleted')).toBeLessThan(order.lastIndexOf('completed'))
  const { events } = await browser.get(`/api/runs/${run.runId}/history`)
  const told = line.of('history').map(({ event }) => event)
  expect(told).toEqual(events.slice(-told.length))
})

test('without a seq: from now on; several runs on one line, each with its place in the id', async () => {
  const browser = browse(stet)
  await work(all)
  const runs = [await stet.start(order, 1, { id: 'a' }), await stet.start(order, 2, { id: 'b' })]
  for (const run of runs) await reached(run, 'waiting')
  const before = await Promise.all(runs.map(async (run) => (await run.history()).length))
  const [a, b] = runs.map(({ runId }) => runId) as [string, string]
  const line = await Line.open(browser, `runs=${a},${b},run_of_nobody`)
  await line.until(() => line.of('ready').length === 1, 'it is known where they stand')
  expect(line.of('missing')).toEqual([{ runId: 'run_of_nobody' }])
  expect(line.lastId).toBe(`${a}:${before[0]},${b}:${before[1]}`)
  for (const run of runs) await run.signal(go, 'x')
  await line.until(() => line.of('run').filter(({ status }) => status === 'completed').length === 2, 'both have ended')
  for (const [i, run] of runs.entries()) {
    const after = (await run.history()).length
    expect(line.seqs(run.runId)).toEqual(upTo(after, before[i]! + 1))
  }
  // What came on the line, with both places as they were then.
  const cut = line.events.find(({ event }) => event === 'history')!.id!
  const next = await Line.open(browser, `runs=${a},${b}`, cut)
  const rest = (runId: string) => line.seqs(runId).length
  await next.until(() => next.seqs(a).length + next.seqs(b).length === rest(a) + rest(b) - 1, 'all but that one')
})

test('a long history comes in pages to one who begins at its start, and all of it', async () => {
  const browser = browse(stet)
  const { runId } = await stet.start(idle, null, { id: 'long' })
  await db.query(
    `INSERT INTO stet_store.history (run_id, seq, type, name, payload, at)
     SELECT $1, n, 'SignalReceived', 'bulk', n::text, clock_timestamp() FROM generate_series(2, 5000) n`,
    [runId],
  )
  const line = await Line.open(browser, `runs=${runId}:0`)
  const late = await Line.open(browser, `runs=${runId}:4990`)
  await line.until(() => line.seqs(runId).length >= 5000, 'all of it')
  expect(line.seqs(runId)).toEqual(upTo(5000))
  expect(late.seqs(runId)).toEqual(upTo(5000, 4991))
})

test('brief: long values by their length, to those who want it so, and to no others', async () => {
  const browser = browse(stet)
  await work(all)
  const run = await stet.start(idle, 'i'.repeat(3_000), { id: 'brief' })
  await reached(run, 'waiting')
  const short = await Line.open(browser, `runs=${run.runId}:0&brief=1`)
  const whole = await Line.open(browser, `runs=${run.runId}:0`)
  await run.signal(go, 'm'.repeat(5_000))
  await run.result()
  for (const line of [short, whole]) {
    await line.until(() => line.of('run').some(({ status }) => status === 'completed'), 'its end is told')
  }
  for (const [line, query] of [[short, '?brief=1'] as const, [whole, ''] as const]) {
    const { events } = await browser.get(`/api/runs/brief/history${query}`)
    expect(line.of('history').map(({ event }) => event)).toEqual(events)
  }
  const told = (line: Line) =>
    line.of('history').find(({ event }) => event.type === 'SignalReceived').event.data.message
  expect([told(short), told(whole)]).toEqual([{ omitted: 5_002 }, 'm'.repeat(5_000)])
  // What is told of the run itself is what its page begins with.
  const { run: then } = await browser.get('/api/runs/brief/summary')
  const { input, historyLength, ...rest } = then
  expect(input).toEqual({ omitted: 3_002 })
  expect(short.of('run').at(-1)).toMatchObject(rest)
})

test('lists: what is new and what has changed, and the counts', async () => {
  const browser = browse(stet)
  await work(all)
  const line = await Line.open(browser, 'lists=1')
  await line.until(() => line.of('counts').length > 0, 'the first counts')
  const first = line.of('counts').at(-1)
  const { runId } = await stet.start(idle, null, { id: 'listed' })
  const told = (status: string) =>
    line.of('runs').some(({ runs }) => runs.some((run: any) => run.runId === runId && run.status === status))
  await line.until(() => told('waiting'), 'it is waiting')
  await line.until(() => line.of('counts').at(-1).counts.waiting > first.counts.waiting, 'one more waits')
  await stet.run('listed').signal(go, 1)
  await line.until(() => told('completed'), 'it is completed')
  await line.until(() => line.of('counts').at(-1).counts.completed > first.counts.completed, 'one more is completed')
  expect(line.of('history')).toEqual([])
})

test('20 tabs ask the database no more than twice a second, and all hear all', async () => {
  const watching = new Stet({ url: db.url })
  onTestFinished(() => watching.close())
  const { store } = await watching.internals()
  let statements = 0
  const { query } = store.db
  store.db.query = (...args) => {
    statements++
    return query.apply(store.db, args) as any
  }
  const browser = browse(watching)
  await work(all)
  const runs: Handle<unknown>[] = []
  for (let i = 0; i < 5; i++) runs.push(await stet.start(idle, i, { id: `tab-${i}` }))
  for (const run of runs) await reached(run, 'waiting')
  const begun = performance.now()
  const lines = await Promise.all(
    Array.from({ length: 20 }, (_, i) => Line.open(browser, `runs=${runs[i % 5]!.runId}:0&lists=1`)),
  )
  // Busy all the while: each of these is several hints.
  for (const run of runs) {
    await stet.start(idle, null, { id: `more-${run.id}` })
    await run.signal(go, 'end')
    await run.result()
  }
  for (const [i, line] of lines.entries()) {
    const run = runs[i % 5]!
    await line.until(() => line.of('run').some(({ status }) => status === 'completed'), `tab ${i} hears its run's end`)
    expect(line.seqs(run.runId)).toEqual(upTo((await run.history()).length))
  }
  await until(() => performance.now() - begun > 4_000, 'a while has passed')
  const seconds = (performance.now() - begun) / 1000
  // The first reading is free.
  expect(statements).toBeLessThanOrEqual(2 * seconds + 3)
  expect(statements).toBeGreaterThan(3)
  for (const line of lines) await line.cut()
  // Nobody watches, nobody asks (F5).
  const after = statements
  await until(() => performance.now() - begun > seconds * 1000 + 2_500, 'two readings would have come')
  expect(statements).toBe(after)
})

test('20 tabs on a run of 10,000 steps: each is given all of it, in pages, and no more is asked for them', async () => {
  const watching = new Stet({ url: db.url })
  onTestFinished(() => watching.close())
  const { store } = await watching.internals()
  let statements = 0
  let most = 0
  const { query } = store.db
  store.db.query = async (...args) => {
    statements++
    const answer = await query.apply(store.db, args)
    most = Math.max(most, answer.rows.length)
    return answer as any
  }
  const { runId } = await stet.start(idle, null, { id: 'ten-thousand' })
  const steps = (from: number, to: number) =>
    db.query(
      `INSERT INTO stet_store.history (run_id, seq, type, op, name, payload, facts, at)
       SELECT $1, n, 'StepCompleted', n - 1, 'step', to_json(repeat('y', CASE WHEN n % 50 = 0 THEN 5000 ELSE 20 END)), '{"causes":"0"}', clock_timestamp()
         FROM generate_series($2::int, $3::int) n`,
      [runId, from, to],
    )
  await steps(2, 6_000)
  const begun = performance.now()
  const browser = browse(watching)
  const lines = await Promise.all(
    Array.from({ length: 20 }, (_, i) => Line.open(browser, `runs=${runId}:${i * 10}&brief=1&lists=${i % 2}`)),
  )
  // It goes on while they are still catching up.
  await lines[0]!.until(() => lines[0]!.seqs(runId).length > 500, 'they have begun')
  await steps(6_001, 10_001)
  for (const [i, line] of lines.entries()) {
    const wanted = 10_001 - i * 10
    // Counted only when there may be enough: counting takes time that the tabs need.
    await line.until(
      (events) => events.length >= wanted && line.seqs(runId).length >= wanted,
      `tab ${i} has all of it`,
      60_000,
    )
    expect(line.seqs(runId)).toEqual(upTo(10_001, i * 10 + 1))
  }
  const seconds = (performance.now() - begun) / 1_000
  expect(statements).toBeLessThanOrEqual(2 * seconds + 3)
  expect(most).toBeLessThanOrEqual(2_000)
  const long = lines[7]!.of('history').find(({ event }) => event.seq === 5_000)
  expect(long.event.data).toEqual({ output: { omitted: 5_002 }, causes: '0' })
}, 120_000)

test('one who leaves leaves nothing; one who takes nothing is sent away; the others stay', async () => {
  const { store, hints } = await stet.internals()
  let listeners = 0
  const counted = {
    subscribe(listener: any) {
      listeners++
      const end = hints.subscribe(listener)
      return () => {
        listeners--
        end()
      }
    },
  } as unknown as typeof hints
  const errors: unknown[] = []
  const onError = (error: unknown) => errors.push(error)
  const feed = new Feed(async () => ({ store, hints: counted }), { maxWatchers: 10, heartbeatMs: 20, onError })
  const silent = feed.open({ runs: new Map(), lists: true, brief: false })
  const reader = feed.open({ runs: new Map(), lists: true, brief: false })
  const heard: (string | null)[] = []
  const reading = (async () => {
    for (let batch = await reader.next(); batch !== null; batch = await reader.next())
      heard.push(...batch.map(({ event }) => event))
  })()
  await until(() => listeners === 1, 'one subscription for both')
  let sentAway = false
  silent.onClosed = () => {
    sentAway = true
  }
  await until(() => sentAway, 'the silent one is sent away')
  expect(await silent.next()).toBeNull()
  expect(feed.size).toBe(1)
  await until(() => heard.filter((event) => event === null).length > 5, 'the other hears the heartbeat')
  reader.close()
  await reading
  expect([feed.size, listeners]).toEqual([0, 0])
  feed.close()
  expect(() => feed.open({ runs: new Map(), lists: true, brief: false })).toThrow(
    expect.objectContaining({ status: 503 }),
  )
  expect(errors).toEqual([])
})

test('one who is slow is given the rest later, from where it stands', async () => {
  const { store, hints } = await stet.internals()
  const { runId } = await stet.start(idle, null, { id: 'slow' })
  await db.query(
    `INSERT INTO stet_store.history (run_id, seq, type, name, payload, at)
     SELECT $1, n, 'SignalReceived', 'bulk', n::text, clock_timestamp() FROM generate_series(2, 3000) n`,
    [runId],
  )
  const feed = new Feed(async () => ({ store, hints }), { maxWatchers: 10, heartbeatMs: 60_000, onError: () => {} })
  onTestFinished(() => feed.close())
  const slow = feed.open({ runs: new Map([[runId, 0]]), lists: false, brief: false })
  const fast = feed.open({ runs: new Map([[runId, 0]]), lists: false, brief: false })
  const seen = { slow: [] as number[], fast: [] as number[] }
  const take = async (name: keyof typeof seen, watcher: typeof slow) => {
    const batch = await watcher.next()
    for (const { event, data } of batch ?? []) if (event === 'history') seen[name].push(JSON.parse(data).event.seq)
    return batch?.length ?? 0
  }
  while (seen.fast.length < 3000) await take('fast', fast)
  const sizes: number[] = []
  while (seen.slow.length < 3000) sizes.push(await take('slow', slow))
  expect(seen).toEqual({ slow: upTo(3000), fast: upTo(3000) })
  expect(Math.max(...sizes)).toBeLessThanOrEqual(1_010)
})

test('what is asked for is checked', async () => {
  const browser = browse(stet)
  const many = Array.from({ length: 21 }, (_, i) => `run_${i}`).join(',')
  for (const runs of ['a b', 'a:x', '../x', 'a\u0000', many, 'a:99999999999']) {
    const { status, json } = await browser.ask(`/api/feed?runs=${encodeURIComponent(runs)}`)
    expect([runs, status, json.error.code]).toEqual([runs, 400, 'invalid_input'])
  }
  // An id from elsewhere counts for nothing.
  expect(watchRequest(['a', 'b:3'], 'c:4,b:7,a,%%', false).runs).toEqual(
    new Map([
      ['a', null],
      ['b', 7],
    ]),
  )
})

test('over a real socket, kept open by a heartbeat', async () => {
  await work(all)
  const run = await stet.start(idle, null, { id: 'socket' })
  await reached(run, 'waiting')
  await using served = await serveDashboard(stet, { port: 0, heartbeatMs: 50 })
  const controller = new AbortController()
  const line = new Line(await fetch(`${served.url}/api/feed?runs=${run.runId}:0`, { signal: controller.signal }))
  await line.until(() => line.seqs(run.runId).length > 0, 'its history')
  await line.until(() => line.comments.length > 1, 'two heartbeats')
  expect(line.comments[0]).toBe('heartbeat')
  await run.signal(go, 1)
  await line.until(() => line.of('run').some(({ status }) => status === 'completed'), 'its end')
  controller.abort()
  await line.over
})
