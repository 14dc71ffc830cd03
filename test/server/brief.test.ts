/** What the page of a run reads: its summary, and its history in brief. */
import { expect, test } from 'vitest'
import { stepsOf } from '../../src/client/run-view.js'
import { graphOf } from '../../src/core/graph.js'
import { fromExport } from '../../src/core/history-event.js'
import { house } from '../support/house.js'
import { all, broken, browse, idle, order } from './support.js'

const { stet, work, reached, db } = await house()

test('the summary of a run is what its view has of it, without its history', async () => {
  const browser = browse(stet)
  await work(all)
  const run = await stet.start(order, { sku: 'B' }, { id: 'sum', attributes: { shop: 'ost' }, timeout: '1d' })
  await reached(run, 'waiting')
  const asked: string[] = []
  const { store } = await stet.internals()
  const { query } = store.db
  store.db.query = (given: any) => {
    asked.push(given.text)
    return query.call(store.db, given) as any
  }
  const { run: summary } = await browser.get('/api/runs/sum/summary')
  store.db.query = query
  // The row, and the first event by its key; the worker beside it may have asked for other things.
  expect(asked.filter((text) => /find_run|stet_store\.history/.test(text))).toHaveLength(2)
  const { waits, ...rest } = summary
  expect(rest).toEqual((await browser.get('/api/runs/sum')).run)
  expect(rest).toMatchObject({ problem: null, worker: null, deadline: expect.any(String), input: { sku: 'B' } })
  expect(waits).toEqual([
    expect.objectContaining({
      ...{ op: 4, kind: 'signal', name: 'go', causes: '3', askedAt: expect.any(Number) },
      where: expect.stringMatching(/support\.ts:\d+/),
    }),
  ])
  await run.signal('go', 1)
  await run.result()
  const { run: closed } = await browser.get('/api/runs/sum/summary')
  expect(closed).toMatchObject({ status: 'completed', waits: [], closedAt: expect.any(String) })

  // At rest: its worker writes to its row no more.
  await reached(await stet.start(idle, 'x'.repeat(4_000), { id: 'sum-long' }), 'waiting')
  expect((await browser.get('/api/runs/sum-long/summary')).run.input).toEqual({ omitted: 4_002 })
  const problem = { code: 'nondeterminism', message: 'other code' }
  await db.query(`UPDATE stet_store.runs SET status = 'blocked', problem = $1 WHERE id = 'sum-long'`, [
    JSON.stringify(problem),
  ])
  expect((await browser.get('/api/runs/sum-long/summary')).run).toMatchObject({ status: 'blocked', problem })
})

test('a history in brief has all that its graph and steps are made of; the rest is read one by one', async () => {
  const browser = browse(stet)
  await work(all)
  const long = 'x'.repeat(3_000)
  const run = await stet.start(order, long, { id: 'brief' })
  await reached(run, 'waiting')
  await run.signal('go', { long, short: 1 })
  await run.result()
  const failed = await stet.start(broken, long, { id: 'brief-failed' })
  await failed.result().catch(() => {})
  for (const { runId } of [run, failed]) {
    const whole = await browser.get(`/api/runs/${runId}/history?limit=1000`)
    const brief = await browser.get(`/api/runs/${runId}/history?brief=1&limit=1000`)
    expect(brief.events.map(({ seq }: any) => seq)).toEqual(whole.events.map(({ seq }: any) => seq))
    let omitted = 0
    for (const [i, { data = {}, ...event }] of brief.events.entries()) {
      const { data: full = {}, ...bare } = whole.events[i]
      expect(event).toEqual(bare)
      expect(Object.keys(data)).toEqual(Object.keys(full))
      for (const [key, value] of Object.entries<any>(full)) {
        const bytes = JSON.stringify(value).length
        if (bytes <= 2_048) expect(data[key]).toEqual(value)
        else if (key !== 'error') expect(data[key]).toEqual({ omitted: bytes })
        else expect(data.error).toEqual({ name: value.name, message: value.message.slice(0, 500), omitted: bytes })
        if (bytes > 2_048) omitted++
      }
      const [one] = (await browser.get(`/api/runs/${runId}/history?after=${bare.seq - 1}&limit=1`)).events
      expect(one).toEqual(whole.events[i])
    }
    expect(omitted).toBeGreaterThan(1)
    // As the page makes them, in the browser.
    const { status } = await stet.run(runId).describe()
    const recorded = brief.events.map(fromExport)
    const view = await browser.get(`/api/runs/${runId}`)
    expect(graphOf(recorded, [], status)).toEqual(view.graph)
    const plain = ({ queuedMs: _, ...step }: any) => ({
      ...step,
      errors: step.errors.map(({ message, ...rest }: any) => ({ ...rest, message: message.slice(0, 500) })),
    })
    expect(stepsOf(graphOf(recorded, [], status), recorded, []).map(plain)).toEqual(view.steps.map(plain))
  }
})

test('a page of long values ends where it is long enough, and goes on', async () => {
  const browser = browse(stet)
  const { runId } = await stet.start(idle, null, { id: 'heavy' })
  await db.query(
    `INSERT INTO stet_store.history (run_id, seq, type, name, payload, at)
     SELECT $1, n, 'SignalReceived', 'bulk', to_json(repeat('x', 3 * 1024 * 1024)), clock_timestamp() FROM generate_series(2, 9) n`,
    [runId],
  )
  const lengths: number[] = []
  for (let after: number | undefined = 0; after !== undefined; ) {
    const page: any = await browser.get(`/api/runs/${runId}/history?after=${after}&limit=1000`)
    lengths.push(page.events.length)
    after = page.next
  }
  // 16 MiB are full with the sixth of them; the first event is its start.
  expect(lengths).toEqual([7, 2])
  const brief = await browser.get(`/api/runs/${runId}/history?limit=1000&brief=1`)
  expect(brief.events.map(({ data }: any) => data?.message)).toEqual([
    undefined,
    ...new Array(8).fill({ omitted: 3 * 1024 * 1024 + 2 }),
  ])
})
