/** Whatever stands in a name, an id, a payload or an error comes back as it was, as JSON, and as nothing else. */
import { expect, test } from 'vitest'
import { type Ctx, workflow } from '../../src/index.js'
import { house, until } from '../support/house.js'
import { browse, go } from './support.js'

const { stet, work } = await house()

/** Fit to be names as well: no control characters. */
const names = [
  '<script>alert(1)</script>',
  '"><img src=x onerror=alert(1)>',
  "'; DROP TABLE stet_store.runs; --",
  '$' + '{alert(1)} {{7*7}} <%= 1 %>',
  'javascript:alert(1)',
  'a/b?c=d&e=f#g%2Fh%00i+j',
  '%',
  '__proto__',
  'constructor',
  '\\"\\u003c/\\r\\n',
  '𝕌𝕟𝕚 \u202etxt.exe \u200b',
  '</title><!-- ]]>',
  '=cmd|calc!A0',
  '  spaces around  ',
  'counts',
]
/** Fit for payloads alone. */
const texts = [
  ...names,
  '',
  'line\nbreak\r\ndata: forged\n\nevent: forged\n\n',
  '\u0000\u0001\u001b[31m',
  '\u2028\u2029',
  '\ud800 half',
  'x'.repeat(100_000),
]
const values: readonly unknown[] = [
  ...texts,
  ...[null, true, 0, -1.5, 1e21, [], {}, [[null]], { '': 0, 'a.b': 1, '<b>': { '"': ["'"] } }],
  { constructor: { prototype: {} }, hasOwnProperty: 'text' },
]

const echo = workflow('echo', async (ctx: Ctx<any>, input: { step: string; fails: string | null }) => {
  ctx.onQuery('look', (argument: unknown) => argument as any)
  ctx.onUpdate('change', (argument: unknown) => argument as any)
  await ctx.step(input.step, { retry: false }, () => input)
  const message = await ctx.waitForSignal<unknown>('go')
  if (input.fails !== null) throw Object.assign(new Error(input.fails), { name: input.fails.slice(0, 50) || 'Error' })
  return message as any
})

test('payloads: input, message, argument, answer, result, step, history', async () => {
  const browser = browse(stet)
  await work([echo])
  for (const [i, value] of values.entries()) {
    const input = { step: 's', fails: null, value }
    const id = `value-${i}`
    await browser.post('/api/runs', { workflow: 'echo', id, input })
    expect((await browser.post(`/api/runs/${id}/query`, { name: 'look', argument: value })).answer).toEqual(value)
    expect((await browser.post(`/api/runs/${id}/update`, { name: 'change', argument: value })).answer).toEqual(value)
    await browser.post(`/api/runs/${id}/signal`, { name: 'go', message: value })
    await stet.run(id).result()
    const { run } = await browser.get(`/api/runs/${id}`)
    expect([run.input, run.output]).toEqual([input, value])
    const { events } = await browser.get(`/api/runs/${id}/history`)
    const of = (type: string) => events.find((event: any) => event.type === type).data
    expect(of('RunStarted').input).toEqual(input)
    expect(of('StepCompleted').output).toEqual(input)
    expect(of('SignalReceived').message).toEqual(value)
    expect(of('RunCompleted').output).toEqual(value)
  }
})

test('keys that JavaScript takes for something else stay data', async () => {
  const browser = browse(stet)
  await work([echo])
  const text = '{"__proto__":{"polluted":true},"toJSON":"text"}'
  const body = `{"workflow":"echo","id":"keys","input":{"step":"s","fails":null,"value":${text}}}`
  await browser.get('/api/runs', { body })
  await browser.get('/api/runs/keys/signal', { body: `{"name":"go","message":${text}}` })
  expect(JSON.stringify(Object.entries((await stet.run('keys').result()) as object))).toBe(
    '[["__proto__",{"polluted":true}],["toJSON","text"]]',
  )
  // Shown as SQL shows it: JSON has no form of its own for them.
  expect((await browser.get('/api/runs/keys')).run.output).toEqual(['__proto__', { polluted: true }, 'toJSON', 'text'])
  const refused = await browser.ask('/api/runs', { body: '{"workflow":"echo","__proto__":{"role":"admin"}}' })
  expect(refused.status).toBe(400)
  expect(({} as any).polluted).toBeUndefined()
})

test('names: ids, workflows, queues, steps, signals, attributes; in paths, filters and on the page', async () => {
  const browser = browse(stet)
  const named = names.map((name) =>
    workflow(name, async (ctx: Ctx<unknown>) => {
      ctx.setAttributes({ [name]: name })
      await ctx.step(name, () => name)
      return ctx.waitForSignal(go)
    }),
  )
  await work(named, { queues: names })
  for (const name of names) await stet.limits.set({ queue: name }, { concurrency: 99 })
  for (const name of names) {
    const path = `/api/runs/${encodeURIComponent(name)}`
    const { runId } = await browser.post('/api/runs', { workflow: name, id: name, queue: name, input: name })
    await until(async () => (await stet.run(name).describe()).status === 'waiting', 'it waits')
    const { run, steps, graph } = await browser.get(path)
    expect(run).toMatchObject({
      id: name,
      runId,
      workflow: name,
      queue: name,
      input: name,
      attributes: { [name]: name },
    })
    expect(Object.keys(run.attributes)).toEqual([name])
    expect(steps[0].key).toBe(name)
    expect(graph.edges[0]).toEqual({ from: 'start', to: name })
    const filters = `workflow=${encodeURIComponent(name)}&queue=${encodeURIComponent(name)}&attributes=${encodeURIComponent(JSON.stringify({ [name]: name }))}`
    const { runs } = await browser.get(`/api/runs?${filters}`)
    expect(runs.map(({ id }: any) => id)).toEqual([name])
    expect((await browser.get(`${path}/why`)).evidence.id).toBe(name)
  }
  const { limits } = await browser.get('/api/limits')
  expect(limits.map(({ target }: any) => target.queue).sort()).toEqual([...names].sort())
  const { queues } = await browser.get('/api/queues')
  for (const name of names) {
    expect(queues.find(({ queue }: any) => queue === name)).toMatchObject({
      concurrency: 99,
      isPaused: false,
      workers: 1,
    })
    for (const what of ['pause', 'resume', 'reset']) {
      expect(await browser.post(`/api/limits/${what}`, { target: { queue: name } })).toMatchObject({
        target: { queue: name },
      })
    }
  }
  // The page is a file, the same for all: nothing of theirs is in it.
  const response = await browser.dashboard.fetch(browser.request(`/runs/${encodeURIComponent(names[0]!)}`))
  expect(response.headers.get('content-type')).toMatch(/^text\/html/)
  const page = await response.text()
  expect(page).toContain('<div id="root"></div>')
  for (const name of names.filter(({ length }) => length > 4)) expect(page).not.toContain(name)
  for (const name of names) await browser.post(`/api/runs/${encodeURIComponent(name)}/terminate`)
})

test('errors: what a run has failed with', async () => {
  const browser = browse(stet)
  await work([echo])
  for (const [i, text] of texts.entries()) {
    if (text.length > 1_000) continue
    const id = `error-${i}`
    await browser.post('/api/runs', { workflow: 'echo', id, input: { step: 's', fails: text } })
    await browser.post(`/api/runs/${id}/signal`, { name: 'go' })
    await stet
      .run(id)
      .result()
      .catch(() => {})
    const { events } = await browser.get(`/api/runs/${id}/history`)
    expect(events.at(-1).data.error.message).toBe(text)
    const { runs } = await browser.get(`/api/runs?workflow=echo&status=failed&limit=1`)
    expect(runs[0].error.message).toBe(text.replaceAll('\u0000', '').toWellFormed())
  }
})

test('what is no name is refused everywhere, with words that are safe to show', async () => {
  const browser = browse(stet)
  for (const bad of ['a\u0000b', 'line\nbreak', 'x'.repeat(256), '\u001b[31m']) {
    const answers = [
      await browser.ask(`/api/runs/${encodeURIComponent(bad)}`),
      await browser.ask('/api/runs', { body: { workflow: bad } }),
      await browser.ask('/api/runs', { body: { workflow: 'echo', id: bad } }),
      await browser.ask('/api/runs/some/signal', { body: { name: bad } }),
      await browser.ask(`/api/runs?workflow=${encodeURIComponent(bad)}`),
      await browser.ask('/api/bulk/cancel', { body: { runs: [bad] } }),
    ]
    for (const { status, json, headers } of answers) {
      expect([status, json.error.code]).toEqual([400, 'invalid_input'])
      expect(headers.get('content-type')).toMatch(/^application\/json/)
    }
  }
  for (const query of [
    'after=%00',
    'error=%00',
    'after=%ED%A0%80',
    'attributes=%7B%22a%22%3A%22%5Cu0000%22%7D',
    'startedAfter=275760-13-01',
    'version=99999999999',
  ]) {
    const { status } = await browser.ask(`/api/runs?${query}`)
    expect([query, status]).toEqual([query, query === 'after=%ED%A0%80' ? 200 : 400])
  }
})
