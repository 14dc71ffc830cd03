import { beforeAll, describe, expect, test } from 'vitest'
import { testDatabase } from '../support/server.js'
import { type Kind, Process, project, stet, stetJson, write } from './support.js'

let url: string
let query: (text: string, values?: unknown[]) => Promise<{ rows: any[] }>

beforeAll(async () => {
  const database = await testDatabase()
  url = database.url
  query = database.query
})

/** An import of another file, an enum, types, a failure recognised by its class, and the line that throws. */
const files = {
  'workflows/greetings.ts': `export enum Tone { Loud = "loud" }\nexport const greet = (name: string): string => 'hi ' + name\n`,
  'workflows/a.ts': `import { StepFailure, workflow, NonRetryableError } from 'stet'
import { greet, Tone } from './greetings.js'

interface Input { name: string }

export const fromTs = workflow('from-ts', async (ctx, { name }: Input) => {
  try {
    await ctx.step('break', () => { throw new NonRetryableError('no') })
  } catch (error) {
    if (!(error instanceof StepFailure)) throw new Error('not recognised')
  }
  return ctx.step('greet', () => greet(name) + Tone.Loud)
})
`,
  'workflows/b.mts': `import { workflow } from 'stet'
import { greet } from './greetings.js'
const suffix: string = await Promise.resolve('!')
export default workflow('from-mts', async (ctx, { name }: { name: string }) => ctx.step('greet', () => greet(name) + suffix))
`,
  'workflows/c.cts': `import { workflow } from 'stet'
export const fromCts = workflow('from-cts', async (ctx, { name }: { name: string }) => ctx.step('greet', () => 'c ' + name))
`,
  // Exported twice: still one.
  'workflows/index.ts': `export { fromTs } from './a.js'\n`,
  'workflows/a.test.ts': `throw new Error('a test loads only under its runner')\n`,
}

describe.each<Kind>(['module', 'commonjs', 'none'])('a package of type %s', (kind) => {
  test('loads .ts, .mts and .cts; --once runs what is ready and ends', async () => {
    const place = { cwd: project(kind, files), url }
    const id = (name: string) => `${kind}-${name}`
    for (const name of ['from-ts', 'from-mts', 'from-cts']) {
      await stet(['start', name, '-i', '{"name":"x"}', '--id', id(name)], place)
    }
    const ended = await stet(['worker', '--once'], place)
    expect(ended).toMatchObject({ code: 0, stdout: '' })
    const { rows } = await query("SELECT id, status, output FROM stet.runs WHERE id LIKE $1 || '-from%' ORDER BY id", [
      kind,
    ])
    expect(rows).toEqual([
      { id: id('from-cts'), status: 'completed', output: 'c x' },
      { id: id('from-mts'), status: 'completed', output: 'hi x!' },
      { id: id('from-ts'), status: 'completed', output: 'hi xloud' },
    ])
    const shown = await stetJson(['show', id('from-ts')], place)
    expect(shown.steps.map((step: any) => step.where)).toEqual(['workflows/a.ts:8', 'workflows/a.ts:12'])
  })
})

test('plain JavaScript, with exports of a CommonJS module', async () => {
  const place = {
    cwd: project('commonjs', {
      'flows/one.js': `const { workflow } = require('stet')\nexports.one = workflow('js-one', async (ctx) => ctx.step('s', () => 1))\n`,
      'flows/two.mjs': `import { workflow } from 'stet'\nexport const two = workflow('js-two', async (ctx) => ctx.step('s', () => 2))\n`,
    }),
    url,
  }
  await stet(['start', 'js-one', '--id', 'js-one'], place)
  await stet(['start', 'js-two', '--id', 'js-two'], place)
  expect(await stet(['worker', 'flows/*.{js,mjs}', '--once'], place)).toMatchObject({ code: 0 })
  const { rows } = await query("SELECT output FROM stet.runs WHERE id LIKE 'js-%' ORDER BY id")
  expect(rows).toEqual([{ output: 1 }, { output: 2 }])
})

test('a dag from JSON with the functions of another file', async () => {
  const spec = {
    name: 'json-order',
    tasks: [
      { name: 'validate', use: 'check' },
      { name: 'charge', use: 'pay', dependsOn: ['validate'], with: { currency: 'EUR' } },
    ],
  }
  const place = {
    cwd: project('module', {
      'order.dag.json': JSON.stringify(spec),
      'tasks.ts': `export const check = (input: { sum: number }) => input.sum\nexport async function pay(_: unknown, { validate }: any, step: any) { return validate + step.with.currency }\n`,
    }),
    url,
  }
  await stet(['start', 'json-order', '-i', '{"sum":5}', '--id', 'json-1'], place)
  expect(await stet(['worker', 'order.dag.json', 'tasks.ts', '--once'], place)).toMatchObject({ code: 0 })
  const { run, graph } = await stetJson(['show', 'json-1'], place)
  expect(run).toMatchObject({ status: 'completed', output: { validate: 5, charge: '5EUR' } })
  expect(graph.edges).toEqual([
    { from: 'start', to: 'validate' },
    { from: 'validate', to: 'charge' },
  ])
  const alone = await stet(['worker', 'order.dag.json'], place)
  expect(alone.code).toBe(1)
  expect(alone.stderr).toMatch(/cannot load order\.dag\.json.*tasks\[0\]\.use.*stet worker x\.dag\.json tasks\.ts/)
})

test('the config says which files, queues and how much at once', async () => {
  const cwd = project('module', {
    'stet.config.ts': `import { defineConfig } from 'stet'\nexport default defineConfig({ workflows: ['code/*.flow.ts'], queues: ['side'], concurrency: { runs: 3 } })\n`,
    'code/x.flow.ts': `import { workflow } from 'stet'\nexport const x = workflow('configured', async () => 'x')\n`,
    'code/other.ts': `throw new Error('not a workflow file')\n`,
  })
  const place = { cwd, url }
  await stet(['start', 'configured', '--id', 'configured-side', '-q', 'side'], place)
  await stet(['start', 'configured', '--id', 'configured-default'], place)
  const { code, stderr } = await stet(['worker', '--once'], { ...place, cwd: `${cwd}/code` })
  expect(code).toBe(0)
  expect(JSON.parse(stderr.split('\n').find((line) => line.includes('worker started'))!)).toMatchObject({
    level: 'info',
    workflows: 'configured@1',
    queues: 'side',
  })
  const { rows } = await query("SELECT id, status FROM stet.runs WHERE id LIKE 'configured-%' ORDER BY id")
  expect(rows).toEqual([
    { id: 'configured-default', status: 'pending' },
    { id: 'configured-side', status: 'completed' },
  ])
  write(cwd, 'stet.config.ts', `export default { queues: 'side' }\n`)
  const wrong = await stet(['worker'], place)
  expect(wrong.stderr).toContain('stet.config.ts, queues: expected a list of names, got string side')
})

describe('files that cannot be used: 1, with the file and the line', () => {
  test.each([
    [
      'throws',
      `const x: number = 1\n\nthrow new Error('at load')\n`,
      /cannot load workflows\/bad\.ts: at load \(workflows\/bad\.ts:3\)/,
    ],
    ['is no TypeScript', `export const = 1\n`, /cannot load .*workflows\/bad\.ts/],
    ['needs what is not there', `import 'not-there'\n`, /cannot load workflows\/bad\.ts.*not-there.*npm install/],
    ['exports nothing', `export const x = 1\n`, /no workflow is exported by workflows\/bad\.ts/],
  ])('it %s', async (_, text, message) => {
    const { code, stderr } = await stet(['worker'], { cwd: project('module', { 'workflows/bad.ts': text }), url })
    expect(code).toBe(1)
    expect(stderr).toMatch(message)
  })

  test('two files define one name and version', async () => {
    const text = (value: number) =>
      `import { workflow } from 'stet'\nexport const w = workflow('twice', async () => ${value})\n`
    const cwd = project('module', { 'workflows/a.ts': text(1), 'workflows/b.ts': text(2) })
    const { code, stderr } = await stet(['worker'], { cwd, url })
    expect(code).toBe(1)
    expect(stderr).toContain('workflows/b.ts: workflow "twice" version 1 is defined in workflows/a.ts already')
  })
})

const slow = `import { workflow } from 'stet'
import { existsSync, writeFileSync } from 'node:fs'
import { once } from 'node:events'
import { watch } from 'node:fs'
export const slow = workflow('slow', async (ctx) => {
  await ctx.step('long', async () => {
    process.stderr.write('step began\\n')
    const watcher = watch('.')
    while (!existsSync('go')) await once(watcher, 'change')
    watcher.close()
  })
  return ctx.step('after', () => 'done')
})
`

test('SIGTERM drains: the running step is finished and recorded, the run goes back, 0', async () => {
  const place = { cwd: project('module', { 'workflows/slow.ts': slow }), url }
  const worker = new Process(['worker'], place)
  await worker.until(/worker started/)
  await stet(['start', 'slow', '--id', 'drained'], place)
  await worker.until(/step began/)
  worker.kill('SIGTERM')
  await worker.until(/SIGTERM: stopping/)
  write(place.cwd, 'go', '')
  expect((await worker.ended).code).toBe(0)
  expect(worker.stderr).toContain('worker is draining')
  expect(worker.stderr).toContain('worker stopped')
  const { rows } = await query(
    "SELECT e.type, e.name FROM stet.events e JOIN stet.runs r USING (run_id) WHERE r.id = 'drained' AND e.type = 'StepCompleted'",
  )
  expect(rows[0]).toEqual({ type: 'StepCompleted', name: 'long' })
  expect(await stet(['worker', '--once'], place)).toMatchObject({ code: 0 })
  expect((await stetJson(['show', 'drained'], place)).run).toMatchObject({ status: 'completed', output: 'done' })
})

test('the second signal quits at once', async () => {
  const place = { cwd: project('module', { 'workflows/slow.ts': slow.replaceAll("'slow'", "'slow2'") }), url }
  const worker = new Process(['worker'], place)
  await worker.until(/worker started/)
  await stet(['start', 'slow2', '--id', 'quit'], place)
  await worker.until(/step began/)
  worker.kill('SIGINT')
  await worker.until(/SIGINT: stopping/)
  worker.kill('SIGINT')
  expect((await worker.ended).code).toBe(1)
  expect(worker.stderr).not.toContain('worker stopped')
})

test('--processes: one that is killed is replaced; SIGTERM drains all', async () => {
  const text = `import { workflow } from 'stet'\nexport const p = workflow('processes', async () => 1)\n`
  const place = { cwd: project('module', { 'workflows/p.ts': text }), url }
  const worker = new Process(['worker', '--processes', '2'], place)
  const started = /worker started","pid":(\d+)[\s\S]*worker started","pid":(\d+)/
  const [, first, second] = await worker.until(started)
  expect(first).not.toBe(second)
  const from = (worker.stdout + worker.stderr).length
  process.kill(Number(first), 'SIGKILL')
  const [, third] = await worker.until(/worker started","pid":(\d+)/, from)
  expect([first, second]).not.toContain(third)
  worker.kill('SIGTERM')
  expect((await worker.ended).code).toBe(0)
  expect(worker.stderr.match(/worker stopped/g)).toHaveLength(2)
  for (const pid of [second, third]) expect(() => process.kill(Number(pid), 0)).toThrow('ESRCH')
})
