/** One application of several in a database, from the command line. */
import { expect, test } from 'vitest'
import { testDatabase } from '../support/server.js'
import { Process, project, stet, stetJson } from './support.js'

const flow = `import { workflow } from 'stet'
export const hello = workflow('hello', async (ctx, name: string) => ctx.step('greet', () => \`hello \${name}\`))
`

test('--schema, STET_SCHEMA and stet.config name the application, in this order', async () => {
  const { url, query } = await testDatabase({ empty: true })
  const cwd = project('module', {
    'workflows/hello.ts': flow,
    'stet.config.ts': `import { defineConfig } from 'stet'\nexport default defineConfig({ schema: 'from_config' })\n`,
  })
  const byEnv = { cwd, url, env: { STET_SCHEMA: 'from_env' } }
  const byFlag = (...args: string[]) => stetJson([...args, '--schema', 'order'], byEnv)
  expect(await byFlag('migrate')).toMatchObject({ applied: expect.any(Number) })
  for (const start of [
    () => byFlag('start', 'hello', '-i', '"flag"', '--id', 'one'),
    () => stetJson(['start', 'hello', '-i', '"env"', '--id', 'one'], byEnv),
    () => stetJson(['start', 'hello', '-i', '"config"', '--id', 'one'], { cwd, url }),
  ])
    expect(await start()).toMatchObject({ id: 'one' })
  const { rows } = await query(
    `SELECT 'order' AS schema, input FROM "order".runs UNION ALL SELECT 'from_env', input FROM from_env.runs
     UNION ALL SELECT 'from_config', input FROM from_config.runs`,
  )
  expect(rows).toEqual([
    { schema: 'order', input: 'flag' },
    { schema: 'from_env', input: 'env' },
    { schema: 'from_config', input: 'config' },
  ])

  // A worker, alone and as a process of a supervisor, has the runs of its application alone.
  const worker = await stet(['worker', '--once', '--schema', 'order'], byEnv)
  expect(worker.stderr).toContain('(STET_DATABASE_URL), schema order')
  expect(worker.code).toBe(0)
  expect((await byFlag('list')).runs).toMatchObject([{ id: 'one', status: 'completed' }])
  expect((await stetJson(['list'], byEnv)).runs).toMatchObject([{ id: 'one', status: 'pending' }])
  expect((await stet(['worker', '--once', '--processes', '2'], byEnv)).code).toBe(0)
  expect((await stetJson(['list'], byEnv)).runs).toMatchObject([{ id: 'one', status: 'completed' }])
  expect((await stetJson(['list'], { cwd, url })).runs).toMatchObject([{ id: 'one', status: 'pending' }])

  const { findings } = await byFlag('doctor')
  expect(findings).toContainEqual(
    expect.objectContaining({ check: 'schema', message: expect.stringMatching(/^order: /) }),
  )
  expect((await query(`SELECT to_regnamespace('stet') AS schema`)).rows).toEqual([{ schema: null }])
})

test('dev and its dashboard are of the application as well', async () => {
  const { url, query } = await testDatabase({ empty: true })
  const cwd = project('module', { 'workflows/hello.ts': flow })
  const dev = new Process(['dev', '--schema', 'shop', '--no-dashboard'], { cwd, url })
  await dev.until(/worker started/)
  const ended = await stetJson(['start', 'hello', '-i', '"you"', '--wait', '--schema', 'shop'], { cwd, url })
  expect(ended.output).toBe('hello you')
  dev.kill('SIGTERM')
  await dev.ended
  expect((await query('SELECT id FROM shop.runs')).rows).toHaveLength(1)
})

test('a name that cannot be one is wrong usage, whoever gives it; nothing is written', async () => {
  const { url, query } = await testDatabase({ empty: true })
  const place = { cwd: project('module'), url }
  const list = await stet(['list', '--schema', 'No;DROP'], place)
  expect([list.code, list.stderr]).toEqual([2, expect.stringContaining('schema: expected the name of a schema')])
  const env = await stet(['list'], { ...place, env: { STET_SCHEMA: 'pg_x' } })
  expect([env.code, env.stderr]).toEqual([2, expect.stringContaining('STET_SCHEMA: expected')])
  const config = { 'stet.config.js': `export default { schema: 'public' }\n` }
  const byConfig = await stet(['list'], { ...place, cwd: project('module', config) })
  expect([byConfig.code, byConfig.stderr]).toEqual([2, expect.stringContaining('stet.config.js, schema: expected')])
  expect((await query(`SELECT FROM pg_namespace WHERE nspname ~ '(store|stet)'`)).rowCount).toBe(0)
})
