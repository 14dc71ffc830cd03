/** Many runs at once from the command line, deletion and retention, on built files and a worker of their own. */
import { beforeAll, expect, test } from 'vitest'
import { until } from '../support/house.js'
import { testDatabase } from '../support/server.js'
import { Process, project, stet, stetJson } from './support.js'

const source = `
import { NonRetryableError, workflow } from 'stet'
import { existsSync } from 'node:fs'
export const approval = workflow('approval', async (ctx) => ctx.waitForSignal('approved'))
export const failing = workflow('failing', async (ctx) => {
  await ctx.step('fetch', () => 'fetched')
  return ctx.step('load', () => { if (!existsSync('mended')) throw new NonRetryableError('broken'); return 'loaded' })
})
`
const config = `
import { defineConfig } from 'stet'
export default defineConfig({ retention: { completed: '30d', perWorkflow: { approval: { failed: 'forever' } } } })
`
const cwd = project('module', { 'workflows/w.ts': source, 'stet.config.ts': config })
let place: { cwd: string; url: string }
let query: (text: string, values?: unknown[]) => Promise<{ rows: any[] }>

beforeAll(async () => {
  const database = await testDatabase()
  query = database.query
  place = { cwd, url: database.url }
  const worker = new Process(['worker'], place)
  await worker.until(/worker started/)
})

const statuses = async (workflow: string) =>
  (await stetJson(['list', '--workflow', workflow], place)).runs.map(({ status }: { status: string }) => status)

test('filters in place of a run: counted first, then done by workers, and on record', async () => {
  for (const i of [1, 2, 3]) await stet(['start', 'approval', '--id', `a-${i}`], place)
  await until(async () => (await statuses('approval')).every((status: string) => status === 'waiting'), 'all wait')
  const dry = await stet(['cancel', '--workflow', 'approval', '--id-prefix', 'a-'], place)
  expect(dry.code).toBe(0)
  expect(dry.stderr).toContain('3 runs fit the filters; nothing was done')
  expect(dry.stdout).toMatch(/waiting +a-3/)
  expect(await statuses('approval')).toEqual(['waiting', 'waiting', 'waiting'])
  expect((await stet(['bulk', 'list'], place)).stderr).toContain('no bulks yet')

  const begun = await stet(['cancel', '--workflow', 'approval', '--yes', '--reason', 'recalled'], place)
  expect(begun.code).toBe(0)
  const [id] = begun.stdout.split('\n')
  const watched = await stet(['bulk', 'show', id!, '--watch'], place)
  expect(watched.code).toBe(0)
  expect(watched.stdout).toMatch(/cancel completed: 3 of 3 seen, 3 done[\s\S]*by cli.*: recalled/)
  await until(
    async () => (await statuses('approval')).every((status: string) => status === 'cancelled'),
    'all are cancelled',
  )
  expect((await stetJson(['bulk', 'list'], place)).bulks).toMatchObject([{ id, state: 'completed', done: 3 }])
  const again = await stetJson(
    ['terminate', '--workflow', 'approval', '--status', 'cancelled', '--yes', '--wait'],
    place,
    1,
  )
  expect(again).toMatchObject({ seen: 3, done: 0, refused: { run_closed: 3 } })
  expect((await stet(['bulk', 'show', 'bulk_none'], place)).code).toBe(3)
})

test('retry again and again: the latest is the one that is meant, and the list says so', async () => {
  await stet(['start', 'failing', '--id', 'f-1', '--wait'], place)
  await stet(['retry', 'f-1'], place)
  await until(async () => (await statuses('failing')).join() === 'failed,failed', 'both failed')
  const retried = await stet(['retry', '--workflow', 'failing', '--yes', '--wait'], place)
  // The first was tried again already.
  expect(retried.code).toBe(1)
  expect(retried.stdout).toContain('2 of 2 seen, 1 done, 1 refused')
  await until(async () => (await statuses('failing')).join() === 'failed,failed,failed', 'the third failed too')
  const { runs } = await stetJson(['list', '--workflow', 'failing'], place)
  expect(runs.map(({ superseded }: { superseded?: boolean }) => superseded)).toEqual([undefined, true, true])
  expect((await stet(['list', '--workflow', 'failing'], place)).stdout.match(/\(superseded\)/g)).toHaveLength(2)
})

test('forks of many as a bulk: each run once', async () => {
  const args = ['fork', '--workflow', 'failing', '--at', 'load', '--set', 'fetch="other"', '--bulk', '--wait']
  const forked = await stetJson(args, place)
  expect(forked).toMatchObject({ operation: 'fork', seen: 3, done: 3, refused: {} })
  const { runs } = await stetJson(['list', '--id-prefix', 'f-1-fork-'], place)
  expect(runs).toHaveLength(3)
  // Those of before are not made again, and forks of forks are other runs.
  expect(await stetJson([...args, '--id-prefix', 'f-1'], place, 1)).toMatchObject({
    ...{ seen: 6, done: 3, refused: { forked_already: 3 } },
  })
})

test('delete, retention and what doctor says', async () => {
  const open = await stetJson(['start', 'approval', '--id', 'open'], place)
  const refused = await stet(['delete', 'open'], place)
  expect([refused.code, refused.stderr.includes('it is open')]).toEqual([1, true])
  await stet(['terminate', 'open'], place)
  expect(await stetJson(['delete', 'open'], place)).toMatchObject({ id: 'open', runId: open.runId, deleted: true })
  expect((await stet(['show', 'open'], place)).code).toBe(3)

  // The worker has put the rules of the config there.
  const { rules } = await stetJson(['retention', 'show'], place)
  expect(rules).toMatchObject([
    { status: 'completed', keepMs: 30 * 86_400_000, from: 'config' },
    { workflow: 'approval', status: 'failed', keepMs: 'forever', from: 'config' },
  ])
  const set = await stet(['retention', 'set', 'cancelled=1ms', '--workflow', 'approval'], place)
  expect(set.stdout).toMatch(/approval +cancelled +1 ?ms +runtime/)
  expect(await stetJson(['retention', 'sweep'], place)).toEqual({ deleted: 3, kept: 0 })
  expect(await statuses('approval')).toEqual([])
  expect(await stetJson(['delete', '--workflow', 'failing', '--yes', '--wait'], place)).toMatchObject({ done: 9 })
  const clean = await stetJson(['doctor'], place)
  expect(clean.findings).toContainEqual(expect.objectContaining({ check: 'orphans', status: 'ok' }))
  await query(`INSERT INTO stet_store.history (run_id, seq, type, at) VALUES ('run_lost', 1, 'RunStarted', now())`)
  const found = await stetJson(['doctor'], place)
  expect(found.findings).toContainEqual(
    expect.objectContaining({ check: 'orphans', status: 'warn', message: expect.stringContaining('run_lost') }),
  )
})
