/** `stet why`: of a run in the database, and of an exported file. */
import { beforeAll, expect, test } from 'vitest'
import { testDatabase } from '../support/server.js'
import { Process, project, stet, stetJson, write } from './support.js'

let place: { cwd: string; url: string }
/** The same project, and no way to any database. */
let apart: { cwd: string; url: string }

const order = `import { workflow } from 'stet'

export const order = workflow('order', async (ctx, how: string) => {
  await ctx.step('check', () => how)
  if (how === 'fail') await ctx.step('charge', { retry: false }, () => { throw new RangeError('declined') })
  if (how === 'sleep') await ctx.sleep('2d')
  if (how === 'wait') await ctx.waitForSignal('approved')
  return how
})
`

beforeAll(async () => {
  const { url } = await testDatabase()
  place = { cwd: project('module', { 'workflows/order.ts': order }), url }
  apart = { ...place, url: 'postgres://127.0.0.1:1/x' }
  for (const how of ['done', 'fail', 'sleep', 'wait'])
    await stet(['start', 'order', '-i', `"${how}"`, '--id', how], place)
  await stet(['worker', '--once'], place)
  await stet(['start', 'order', '-i', '"late"', '--id', 'late'], place)
  for (const how of ['done', 'fail', 'sleep', 'wait', 'late']) await stet(['export', how, '-f', `${how}.json`], place)
})

test('one sentence about each run, and no worker is there', async () => {
  const said = async (id: string) => (await stet(['why', id], place)).stdout
  expect(await said('done')).toMatch(/^done: completed at \d{4}-.*Z \(.* ago\), after .*\n$/)
  expect(await said('fail')).toMatch(
    /^fail: failed at .*: step "charge" \(workflows\/order\.ts:5\) failed for good after 1 attempt, the last with RangeError: declined\n$/,
  )
  expect(await said('sleep')).toMatch(
    /^sleep: waits for the timer "sleep" \(workflows\/order\.ts:6\) until .* \(in (2 d|1 d 23 h)\); then no worker is live\n$/,
  )
  expect(await said('wait')).toMatch(/^wait: waits for signal "approved" \(workflows\/order\.ts:7\) since .* ago\)/)
  expect(await said('late')).toMatch(/^late: ready since .*, and no worker is live\n$/)
})

test('--json has the code and the evidence', async () => {
  expect(await stetJson(['why', 'wait'], place)).toMatchObject({
    code: 'waiting_signal',
    message: expect.stringContaining('approved'),
    evidence: { id: 'wait', status: 'waiting', operations: [{ name: 'approved', where: 'workflows/order.ts:7' }] },
  })
})

test('a run that is in progress, on a worker of another process', async () => {
  write(
    place.cwd,
    'slow/slow.ts',
    `import { workflow } from 'stet'
export const slow = workflow('slow', { queue: 'slow' }, (ctx) => ctx.step('dig', () => { console.log('digging'); return new Promise((resolve) => setTimeout(resolve, 600_000)) }))`,
  )
  const worker = new Process(['worker', 'slow/slow.ts', '-q', 'slow'], place)
  await stet(['start', 'slow', '--id', 'slow-1', '-q', 'slow'], place)
  await worker.until(/digging/)
  let stdout = ''
  // What a step does is on record a moment after it began.
  while (!stdout.includes('executes')) ({ stdout } = await stet(['why', 'slow-1'], place))
  expect(stdout).toMatch(/^slow-1: owner \S+ executes step "dig" \(slow\/slow\.ts:2\) \(attempt 1\) since .* ago\)\n$/)
})

test('an exported file says where the run stood at its end, without any database', async () => {
  const said = async (file: string) => await stet(['why', file], apart)
  expect(await said('sleep.json')).toEqual({
    code: 0,
    stderr: '',
    stdout: expect.stringMatching(
      /^sleep: at the end of the file, event \d at .*Z, it waited for the timer "sleep" \(workflows\/order\.ts:6\) until \S+Z; a file knows nothing of workers, of queues and of what came later\n$/,
    ),
  })
  expect((await said('fail.json')).stdout).toMatch(
    /^fail: failed at \S+Z, after .*: step "charge" .*RangeError: declined\n$/,
  )
  expect((await said('done.json')).stdout).toMatch(/^done: completed at /)
  expect(await stetJson(['why', 'wait.json'], apart)).toMatchObject({
    code: 'waiting_unknown',
    message: expect.stringContaining('a signal without a timeout, a condition, or its own code'),
    evidence: { id: 'wait', lastEvent: expect.any(Number) },
  })
})

test('an id that does not exist: 3; files that are no histories: 2', async () => {
  const missing = await stet(['why', 'nobody'], place)
  expect(missing.code).toBe(3)
  expect(missing.stderr).toContain('no run has the id or run id "nobody"')
  write(place.cwd, 'corrupt.json', '{"format":')
  write(place.cwd, 'foreign.json', '{"runs":[]}')
  for (const [file, message] of [
    ['corrupt.json', /corrupt\.json: expected a history as JSON/],
    ['foreign.json', /foreign\.json: expected a history in format "stet-history-1"/],
    ['absent.json', /absent\.json: there is no such file/],
  ] as const) {
    const { code, stderr } = await stet(['why', file], apart)
    expect(code).toBe(2)
    expect(stderr).toMatch(message)
  }
})

test('--help has an example', async () => {
  expect((await stet(['why', '--help'], apart)).stdout).toContain('$ stet why order-42')
})
