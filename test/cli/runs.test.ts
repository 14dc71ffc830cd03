import { beforeAll, describe, expect, test } from 'vitest'
import { testDatabase } from '../support/server.js'
import { Process, project, stet, stetJson, write } from './support.js'

const source = `
import { NonRetryableError, workflow, signal } from 'stet'
const tries = new Map<string, number>()
export const order = workflow('order', async (ctx, input: { sku: string }) => {
  const [checked, reserved] = await Promise.all([
    ctx.step('check "it"', () => 'checked ' + input.sku),
    ctx.step('reserve', { retry: { initialInterval: 1 } }, (step) => {
      if (step.attempt < 3) throw new Error('busy\\u001b[31m')
      return 'reserved'
    }),
  ])
  const charged = await ctx.step('charge', () => checked + ', ' + reserved)
  return { charged, at: new Date(0) }
})
export const approval = workflow('approval', async (ctx) => ctx.waitForSignal<{ by: string }>('approved', { timeout: '3d' }))
export const failing = workflow('failing', async (ctx) => {
  await ctx.step('break', () => { throw new NonRetryableError('broken \\u001b[2J\\u009b31mthing') })
})
`
const cwd = project('module', { 'workflows/order.ts': source })
let place: { cwd: string; url: string }
let query: (text: string, values?: unknown[]) => Promise<{ rows: any[] }>

beforeAll(async () => {
  const database = await testDatabase()
  query = database.query
  place = { cwd, url: database.url }
  // For all tests of this file.
  const worker = new Process(['worker'], place)
  await worker.until(/worker started/)
})

test('start --wait prints the id and the result; the same id gives the same run', async () => {
  const args = ['start', 'order', '-i', '{"sku":"A1"}', '--id', 'order-1', '--wait']
  const first = await stet(args, place)
  expect(first.code).toBe(0)
  const [id, ...json] = first.stdout.split('\n')
  expect(id).toBe('order-1')
  expect(JSON.parse(json.join('\n'))).toEqual({ charged: 'checked A1, reserved', at: '1970-01-01T00:00:00.000Z' })
  const again = await stetJson(args, place)
  expect(again).toEqual({
    id: 'order-1',
    runId: expect.stringMatching(/^run_/),
    status: 'completed',
    output: JSON.parse(json.join('\n')),
  })
  const other = await stet(['start', 'order', '-i', '{"sku":"B"}', '--id', 'order-1'], place)
  expect(other.code).toBe(1)
  expect(other.stderr).toContain('with another input')
})

test('input from standard input and from a file', async () => {
  write(cwd, 'input.json', '{"sku":"file"}')
  const [piped, file] = await Promise.all([
    stetJson(['start', 'order', '-i', '-', '--wait'], { ...place, input: '{"sku":"piped"}' }),
    stetJson(['start', 'order', '-i', '@input.json', '--wait'], place),
  ])
  expect(piped.output.charged).toBe('checked piped, reserved')
  expect(file.output.charged).toBe('checked file, reserved')
})

test('a failed run: exit code 1 and the error, without its terminal escapes', async () => {
  const text = await stet(['start', 'failing', '--id', 'failing-1', '--wait'], place)
  expect(text.code).toBe(1)
  expect(text.stdout).toBe('failing-1\n')
  expect(text.stderr).toContain('failed: ')
  expect(text.stderr).toContain('thing')
  const json = await stetJson(['start', 'failing', '--id', 'failing-1', '--wait'], place, 1)
  expect(json).toMatchObject({ status: 'failed', error: { name: 'StepFailure', code: 'step_failed' } })
  const shown = await stet(['show', 'failing-1', '--history'], place)
  const listed = await stet(['list', '--status', 'failed'], place)
  const raw = await stet(['export', 'failing-1'], place)
  for (const each of [text, shown, listed, raw]) {
    // biome-ignore lint/suspicious/noControlCharactersInRegex: it is they that must not be there
    expect(each.stdout + each.stderr).not.toMatch(/[\u001b\u009b]/)
  }
  expect(shown.stdout).toMatch(/attempt 1: NonRetryableError: broken/)
})

test('a run that no worker takes is started, and told', async () => {
  const { code, stdout, stderr } = await stet(['start', 'ordr', '--id', 'ordr-1'], place)
  expect({ code, stdout }).toEqual({ code: 0, stdout: 'ordr-1\n' })
  expect(stderr).toContain(
    'no worker takes "ordr" from queue "default" now (the running workers have approval, failing, order)',
  )
})

test('show: steps with attempts, durations and causes; the graph; the history', async () => {
  await stet(['start', 'order', '-i', '{"sku":"S"}', '--id', 'order-show', '--wait'], place)
  const [{ stdout }, json] = await Promise.all([
    stet(['show', 'order-show', '--history'], place),
    stetJson(['show', 'order-show', '--history'], place),
  ])
  expect(stdout).toMatch(/^order-show {2}completed\n/)
  expect(stdout).toMatch(/✓ reserve +completed +[\d.]+ m?s +3 attempts +after start/)
  expect(stdout).toMatch(/attempt 1: Error: busy\n/)
  expect(stdout).toContain('  start → ✓ check "it", ✓ reserve\n  check "it", reserve → ✓ charge')
  expect(stdout).toMatch(/ 1 {2}[\d:.]+ {2}RunStarted +\{"sku":"S"\}/)
  expect(Object.keys(json)).toEqual(['run', 'steps', 'graph', 'history'])
  expect(json.run).toMatchObject({
    id: 'order-show',
    workflow: 'order',
    version: 1,
    status: 'completed',
    input: { sku: 'S' },
  })
  expect(json.steps[1]).toMatchObject({
    key: 'reserve',
    kind: 'step',
    status: 'completed',
    attempts: 3,
    after: ['start'],
    durationMs: expect.any(Number),
    where: 'workflows/order.ts:7',
    errors: [{ attempt: 1, name: 'Error' }, { attempt: 2 }],
  })
  expect(json.history[0]).toMatchObject({ seq: 1, type: 'RunStarted', data: { input: { sku: 'S' } } })
  expect(json.history.at(-1)).toMatchObject({
    type: 'RunCompleted',
    data: { output: { at: '1970-01-01T00:00:00.000Z' } },
  })
})

test('graph in every format', async () => {
  await stet(['start', 'order', '-i', '{"sku":"G"}', '--id', 'order-graph', '--wait'], place)
  const [text, dot, mermaid, json] = await Promise.all([
    stet(['graph', 'order-graph'], place),
    stet(['graph', 'order-graph', '--format', 'dot'], place),
    stet(['graph', 'order-graph', '--format', 'mermaid'], place),
    stetJson(['graph', 'order-graph'], place),
  ])
  expect(text.stdout).toContain('check "it", reserve → ✓ charge')
  expect(dot.stdout).toContain('"check \\"it\\"" -> "charge"')
  expect(mermaid.stdout).toContain('n1["check #34;it#34;"]:::completed')
  expect(mermaid.stdout).toContain('n1 --> n3')
  expect(json.edges).toContainEqual({ from: 'reserve', to: 'charge' })
  expect(json.nodes).toHaveLength(4)
})

test('signal, and show --watch until the end', async () => {
  await stet(['start', 'approval', '--id', 'approval-1'], place)
  const watching = new Process(['show', 'approval-1', '--watch'], place)
  await watching.until(/TimerStarted +approved/)
  const sent = await stetJson(['signal', 'approval-1', 'approved', '{"by":"ann"}', '--message-id', 'm1'], place)
  expect(sent).toMatchObject({ id: 'approval-1', runId: expect.stringMatching(/^run_/) })
  const { code, stdout } = await watching.ended
  expect(code).toBe(0)
  expect(stdout).toMatch(/SignalReceived +approved +\{"by":"ann"\}/)
  expect(stdout).toMatch(/result +\{"by":"ann"\}/)
  const late = await stet(['signal', 'approval-1', 'approved'], place)
  expect(late.code).toBe(1)
  expect(late.stderr).toContain('takes no message')
})

test('cancel, terminate, resume', async () => {
  await Promise.all(['a', 'b'].map((id) => stet(['start', 'approval', '--id', id], place)))
  const cancelled = await stet(['cancel', 'a', '--reason', 'twice'], place)
  expect(cancelled).toMatchObject({ code: 0, stdout: '' })
  expect(cancelled.stderr).toMatch(/cancel requested: a \(run_\w+\)/)
  const terminated = await stetJson(['terminate', 'b', '--reason', 'enough'], place)
  expect(terminated).toMatchObject({ id: 'b', status: 'terminated' })
  const watched = await stet(['show', 'a', '--watch'], place)
  expect(watched.code).toBe(1)
  expect(watched.stdout).toMatch(/^a {2}cancelled$/m)
  expect((await stet(['show', 'b'], place)).stdout).toMatch(/reason +enough/)
  const resumed = await stet(['resume', 'b'], place)
  expect(resumed.code).toBe(1)
  expect(resumed.stderr).toMatch(/expected run run_\w+ to be blocked or paused, it is terminated/)
})

test('list: filters, pages, JSON', async () => {
  for (const n of [1, 2, 3]) {
    await stet(['start', 'order', '-i', '{"sku":"L"}', '-a', 'customer=c9', '-a', `n=${n}`, '--wait'], place)
  }
  const all = await stetJson(['list', '-a', 'customer=c9'], place)
  expect(all.runs).toHaveLength(3)
  expect(all.runs[0]).toMatchObject({ workflow: 'order', status: 'completed', attributes: { customer: 'c9', n: 3 } })
  const page = await stetJson(['list', '-a', 'customer=c9', '--limit', '2'], place)
  const rest = await stetJson(['list', '-a', 'customer=c9', '--after', page.next], place)
  expect([...page.runs, ...rest.runs]).toEqual(all.runs)
  expect((await stetJson(['list', '-a', 'n=2', '--since', '1h', '-s', 'completed,failed'], place)).runs).toHaveLength(1)
  expect((await stetJson(['list', '-a', 'n=2', '--until', '1h'], place)).runs).toEqual([])
  const none = await stet(['list', '--workflow', 'nothing'], place)
  expect(none).toMatchObject({ code: 0, stdout: '' })
  expect(none.stderr).toContain('no run fits')
  const text = await stet(['list', '-a', 'customer=c9'], place)
  expect(text.stdout.split('\n')[0]).toMatch(/^STATUS +ID +WORKFLOW +CREATED +TOOK +ERROR$/)
})

describe('a run that is not there: 3', () => {
  test.each([
    ['show', 'nope'],
    ['graph', 'nope'],
    ['export', 'nope'],
    ['replay', 'nope'],
    ['cancel', 'nope'],
    ['terminate', 'nope'],
    ['resume', 'nope'],
    ['signal', 'nope', 'x'],
  ])('%s', async (...args) => {
    const { code, stdout, stderr } = await stet(args, place)
    expect({ code, stdout }).toEqual({ code: 3, stdout: '' })
    expect(stderr).toContain('no run has the id or run id "nope"')
  })
})

test('the database is named once, by where it was found; the flag comes first', async () => {
  const { url } = place
  const elsewhere = 'postgres://127.0.0.1:1/x'
  const flag = await stet(['list', '-d', url], { cwd, url: elsewhere })
  expect(flag.code).toBe(0)
  expect(flag.stderr.match(/database:.*/g)).toEqual([expect.stringMatching(/\(--database-url\)$/)])
  const env = await stet(['list'], { cwd, url, env: { DATABASE_URL: elsewhere } })
  expect(env.stderr).toContain('(STET_DATABASE_URL)')
  const customary = await stet(['list'], { cwd, env: { DATABASE_URL: url } })
  expect(customary.stderr).toContain('(DATABASE_URL)')
  const config = `import { defineConfig } from 'stet'\nexport default defineConfig({ url: ${JSON.stringify(url)} })\n`
  const own = project('module', { 'stet.config.ts': config, 'deep/er/file.txt': '' })
  const found = await stet(['list'], { cwd: `${own}/deep/er` })
  expect(found.code).toBe(0)
  expect(found.stderr).toContain('(../../stet.config.ts)')
})

test('the rows are what was printed', async () => {
  const { rows } = await query("SELECT status, output FROM stet.runs WHERE id = 'order-1'")
  expect(rows).toMatchObject([{ status: 'completed', output: { charged: 'checked A1, reserved' } }])
})
