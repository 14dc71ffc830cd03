/** `stet diff`: two runs, and one run under two versions of its code. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, expect, test } from 'vitest'
import { testDatabase } from '../support/server.js'
import { project, stet, stetJson, write } from './support.js'

let place: { cwd: string; url: string }
/** The same project, and no way to any database. */
let apart: { cwd: string; url: string }

const order = (body: string, options = '') => `import { workflow } from 'stet'

export const order = workflow('order', ${options}async (ctx, { sku }: { sku: string }) => {
${body}
})
`
const good = `  const checked = await ctx.step('check', () => sku.length)
  await ctx.sleep(1)
  const charged = await ctx.step('charge', { retry: { initialInterval: 1, maxAttempts: 2 } }, ({ attempt }) => {
    if (sku === 'weak' && attempt === 1) throw new Error('not yet')
    return { checked, sku }
  })
  if (sku === 'waits') await ctx.waitForSignal('approved')
  if (sku === 'other') await ctx.step('insure', () => 1)
  return ctx.step('ship', () => charged.sku + ' shipped')`

beforeAll(async () => {
  const { url } = await testDatabase()
  place = { cwd: project('module', { 'workflows/order.ts': order(good) }), url }
  apart = { ...place, url: 'postgres://127.0.0.1:1/x' }
  const starts = { 'a-1': 'same', 'a-2': 'same', 'b-1': 'weak', 'c-1': 'waits', 'd-1': 'other' }
  for (const [id, sku] of Object.entries(starts)) {
    await stet(['start', 'order', '-i', JSON.stringify({ sku }), '--id', id], place)
  }
  await stet(['worker', '--once'], place)
  for (const id of Object.keys(starts)) await stet(['export', id, '-f', `${id}.json`], place)
})

test('two runs alike: 0, from the database, from files, and one of each', async () => {
  for (const [a, b, where] of [
    ['a-1', 'a-2', place],
    ['a-1', 'a-2.json', place],
    ['a-1.json', 'a-2.json', apart],
  ] as const) {
    const { code, stdout } = await stet(['diff', a, b], where)
    expect(stdout).toContain('all 4 alike')
    expect(stdout).toMatch(/outcome\n {2}both completed, alike\n\n✓ nothing differs\n$/)
    expect(code).toBe(0)
  }
  expect(await stetJson(['diff', 'a-1', 'a-2'], place)).toMatchObject({ same: true, alike: 4, first: null, others: [] })
})

test('two runs that differ: 1; the inputs by path, the first operation with what differs, then the rest', async () => {
  const { code, stdout } = await stet(['diff', 'a-1', 'b-1'], place)
  expect(code).toBe(1)
  expect(stdout).toMatch(/^a +a-1 \(run_\w+\) +order@1 +completed .*\nb +b-1 \(run_\w+\) +order@1 +completed /)
  expect(stdout).toContain('input\n  $.sku  "same" → "weak"')
  expect(stdout).toMatch(
    /the first 2 alike\n {2}step "charge" workflows\/order\.ts:6 differs:\n {4}attempts {2}1 → 2\n/,
  )
  expect(stdout).toContain('$.sku  "same" → "weak"')
  expect(stdout).toContain('ship: result  $  "same shipped" → "weak shipped"')
  expect(stdout).toMatch(/✗ differ: the input, 2 operations, the outcome\n$/)
  const json = await stetJson(['diff', 'a-1', 'b-1'], place, 1)
  expect(json).toMatchObject({
    same: false,
    a: { id: 'a-1', status: 'completed' },
    input: [{ path: '$.sku', how: 'changed', a: 'same', b: 'weak' }],
    first: {
      a: { key: 'charge', attempts: 1, result: { checked: 4, sku: 'same' } },
      b: { attempts: 2 },
      aspects: ['attempts', 'result'],
    },
    others: [{ a: { key: 'ship' } }],
    outcome: { same: false },
  })
})

test('another operation: both lines; a run in progress', async () => {
  const { stdout } = await stet(['diff', 'a-1', 'd-1'], place)
  // What was checked differs first.
  expect(stdout).toMatch(/step "check" workflows\/order\.ts:4 differs:\n {4}\$ {2}4 → 5\n/)
  expect(stdout).toContain(
    'operation 4 is another one: a step "ship" workflows/order.ts:12, b step "insure" workflows/order.ts:11',
  )
  const same = JSON.parse(readFileSync(join(place.cwd, 'd-1.json'), 'utf8'))
  // As if only the code had been another.
  const a = JSON.parse(readFileSync(join(place.cwd, 'a-1.json'), 'utf8'))
  same.events = same.events.map((event: any) => {
    const twin = a.events.find(({ name, type }: any) => name === event.name && type === event.type)
    return { ...event, data: twin?.data ?? event.data }
  })
  write(place.cwd, 'same.json', JSON.stringify(same))
  const next = await stet(['diff', 'a-1.json', 'same.json'], apart)
  expect(next.code).toBe(1)
  expect(next.stdout).toMatch(
    /the first 3 alike\n {2}the next is another one \(operation 4\):\n {4}a {2}step "ship" workflows\/order\.ts:12 {2}completed with "same shipped"\n {4}b {2}step "insure" workflows\/order\.ts:11 {2}completed with 1\n/,
  )
  expect(next.stdout).toMatch(/outcome\n {2}both completed, alike\n\n✗ differ: 1 operation\n$/)
  const waiting = await stet(['diff', 'a-1', 'c-1'], place)
  expect(waiting.code).toBe(1)
  expect(waiting.stdout).toMatch(/b +c-1 .* waiting /)
  expect(waiting.stdout).toMatch(/only a has step "ship"/)
  expect(waiting.stdout).toMatch(/outcome\n {2}completed → open/)
})

test('one run, two versions of its code: 0 when they do the same, though in other lines', async () => {
  write(place.cwd, 'moved/order.ts', `// moved\n\n${order(good)}`)
  const before = readFileSync(join(place.cwd, 'workflows/order.ts'), 'utf8')
  const { code, stdout } = await stet(['diff', 'a-1', '--against', 'moved/order.ts'], place)
  expect(stdout).toContain('✓ both do the same: the run completed with "same shipped"')
  expect(stdout).toMatch(/a +order@1 +workflows\/order\.ts +fits\nb +order@1 +moved\/order\.ts +fits/)
  expect(code).toBe(0)
  expect(readFileSync(join(place.cwd, 'workflows/order.ts'), 'utf8')).toBe(before)
})

test('one run, two versions of its code: 1, the event, both lines, and what does not fit; from a file too', async () => {
  write(
    place.cwd,
    'changed/order.ts',
    order(good.replace("ctx.step('charge'", "ctx.step('charge card'"), '{ version: 2 }, '),
  )
  for (const [run, where] of [
    ['a-1', place],
    ['a-1.json', apart],
  ] as const) {
    const { code, stdout } = await stet(['diff', run, '--against', 'changed/order.ts'], where)
    expect(code).toBe(1)
    expect(stdout).toMatch(/b +order@2 +changed\/order\.ts +does not fit/)
    expect(stdout).toMatch(
      /✗ they part at event \d \(TimerFired "sleep"\):\n {2}a {2}asks for operation 3: step "charge" {2}workflows\/order\.ts:6\n {2}b {2}asks for operation 3: step "charge card" {2}changed\/order\.ts:6\n/,
    )
    expect(stdout).toContain('b: the code does not fit the history')
  }
  const json = await stetJson(['diff', 'a-1', '--against', 'changed/order.ts'], place, 1)
  expect(json).toMatchObject({
    same: false,
    parting: { how: 'asked', a: { where: 'workflows/order.ts:6' }, b: { where: 'changed/order.ts:6' } },
    a: { fits: true, version: 1 },
    b: { fits: false, version: 2, blockage: { code: 'nondeterminism' } },
  })
})

test('a run that goes on, under two versions: what each waits for', async () => {
  write(place.cwd, 'waits/order.ts', order(good.replace("waitForSignal('approved')", "waitForSignal('signed')")))
  const { code, stdout } = await stet(['diff', 'c-1', '--against', 'waits/order.ts'], place)
  expect(code).toBe(1)
  expect(stdout).toMatch(
    /a {2}asks for operation 4: wait for signal "approved" .*\n {2}b {2}asks for operation 4: wait for signal "signed"/,
  )
})

test('what the files print when they are loaded is not data', async () => {
  write(place.cwd, 'loud/order.ts', `console.log('loaded')\n${order(good)}`)
  const { stdout, stderr } = await stet(['diff', 'a-1.json', '--against', 'loud/order.ts', '--json'], apart)
  expect(JSON.parse(stdout).same).toBe(true)
  expect(stderr).toContain('loaded')
})

test('what is missing or wrong: 3, 2, 1, and what it is', async () => {
  write(place.cwd, 'corrupt.json', '{"format":')
  write(place.cwd, 'foreign.json', '{"runs":[]}')
  write(place.cwd, 'other/other.ts', order(good).replace("workflow('order'", "workflow('other'"))
  for (const [args, where, expected, message] of [
    [['a-1', 'nobody'], place, 3, /no run has the id or run id "nobody"/],
    [['nobody', 'a-1.json'], place, 3, /"nobody"/],
    [['a-1.json', 'corrupt.json'], apart, 2, /corrupt\.json: expected a history as JSON/],
    [['foreign.json', 'a-1.json'], apart, 2, /foreign\.json: expected a history in format/],
    [['a-1.json', 'absent.json'], apart, 2, /absent\.json: there is no such file/],
    [['a-1.json', '--against', 'other/other.ts'], apart, 1, /no file defines workflow "order"; they define other@1/],
    [['a-1.json', '--against', 'nowhere/*.ts'], apart, 2, /no workflow file matches "nowhere/],
    [['a-1.json'], apart, 2, /expected a second run, or --against/],
    [['a-1.json', 'a-2.json', '--against', 'other/other.ts'], apart, 2, /got both/],
  ] as const) {
    const { code, stderr, stdout } = await stet(['diff', ...args], where)
    expect([args, code, stdout]).toEqual([args, expected, ''])
    expect(stderr).toMatch(message)
  }
})

test('--help has examples', async () => {
  expect((await stet(['diff', '--help'], apart)).stdout).toContain('$ stet diff order-42 order-43')
})
