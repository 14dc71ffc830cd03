import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { testDatabase } from '../support/server.js'
import { Process, project, stet, stetJson, write } from './support.js'

const hello = (word: string) => `import { workflow } from 'stet'
import { mark } from './lib/mark.js'
export const hello = workflow('hello', async (ctx, name: string) => ctx.step('greet', () => '${word} ' + name + mark))
`

test('runs workflows, takes in edits of any source file, survives broken ones, ends by SIGINT', async () => {
  const { url } = await testDatabase()
  const cwd = project('none', {
    'workflows/hello.ts': hello('Hello'),
    'workflows/lib/mark.ts': `export const mark = '!'\n`,
  })
  const place = { cwd, url }
  const result = async () => (await stetJson(['start', 'hello', '-i', '"you"', '--wait'], place)).output
  const dev = new Process(['dev', 'workflows/hello.ts'], place)
  const length = () => (dev.stdout + dev.stderr).length
  await dev.until(/worker started/)
  await dev.until(/npx stet start hello --input/)
  const [, dashboard] = /dashboard (http:\/\/127\.0\.0\.1:\d+)/.exec(dev.stdout + dev.stderr) ?? []
  expect(await result()).toBe('Hello you!')
  const { runs } = (await (await fetch(`${dashboard}/api/runs`)).json()) as { runs: { workflow: string }[] }
  expect(runs.map(({ workflow }) => workflow)).toEqual(['hello'])
  expect(await (await fetch(`${dashboard}/runs`)).text()).toContain('<div id="root">')
  await dev.until(/the run completed with \\"Hello you!\\"/)

  let from = length()
  write(cwd, 'workflows/hello.ts', hello('Goodbye'))
  await dev.until(/workflows\/hello\.ts changed: reloading/, from)
  await dev.until(/worker started/, from)
  expect(await result()).toBe('Goodbye you!')

  from = length()
  write(cwd, 'workflows/hello.ts', 'export const = 1\n')
  await dev.until(/cannot load .*hello\.ts[\s\S]*starts again when a file changes/, from)
  from = length()
  write(cwd, 'workflows/hello.ts', hello('Hello again'))
  await dev.until(/worker started/, from)

  // A file that is only imported, in a folder that was not there before.
  from = length()
  write(cwd, 'workflows/more/mark.ts', `export const mark = '?'\n`)
  await dev.until(/worker started/, from)
  from = length()
  write(cwd, 'workflows/lib/mark.ts', `export { mark } from '../more/mark.js'\n`)
  await dev.until(/worker started/, from)
  expect(await result()).toBe('Hello again you?')

  dev.kill('SIGINT')
  expect((await dev.ended).code).toBe(0)
  // The child says its last word before it ends; nobody is left in the list of workers.
  expect((await stetJson(['doctor'], place)).findings).toContainEqual({
    check: 'workers',
    status: 'ok',
    message: 'none is running',
  })
})

test('a run that a replay does not repeat is told loudly, with its line', async () => {
  const { url } = await testDatabase()
  const text = `import { workflow } from 'stet'
let calls = 0
export const odd = workflow('odd', async (ctx) => {
  calls++
  if (calls % 2 === 1)
    return ctx.step('first time', () => 1)
  return ctx.step('second time', () => 2)
})
`
  const place = { cwd: project('module', { 'workflows/odd.ts': text }), url }
  const dev = new Process(['dev'], place)
  await dev.until(/worker started/)
  await stet(['start', 'odd', '--id', 'odd-1', '--wait'], place)
  await dev.until(/NOT DETERMINISTIC: [^\n]*workflows\/odd\.ts:7/)
  const line = dev.stderr.split('\n').find((each) => each.includes('NOT DETERMINISTIC'))!
  expect(JSON.parse(line).message).toMatch(
    /run_\w+ of workflow "odd"[\s\S]*expected: .*step "first time"[\s\S]*got: .*step "second time"/,
  )
  dev.kill('SIGTERM')
  expect((await dev.ended).code).toBe(0)
})

test('without a database it starts the embedded one, and ends it again', async () => {
  const cwd = project('module', {
    'workflows/hello.ts': `import { workflow } from 'stet'\nexport const hello = workflow('hello', async () => 1)\n`,
  })
  const place = { cwd, env: { STET_DATA_DIR: `${cwd}/.stet/data` } }
  const dev = new Process(['dev'], place)
  await dev.until(/database: embedded Postgres/)
  await dev.until(/worker started/)
  expect(await stetJson(['start', 'hello', '--wait'], place)).toMatchObject({ output: 1 })
  expect(await stetJson(['db', 'status'], place)).toMatchObject({ running: true })
  dev.kill('SIGINT')
  expect((await dev.ended).code).toBe(0)
  const status = await stetJson(['db', 'status'], place)
  expect(status).toMatchObject({ running: false })
  // The data are kept.
  expect(readFileSync(`${status.dataDir}/stet.json`, 'utf8')).toContain('stet-embedded-1')
})
