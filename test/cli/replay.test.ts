import { beforeAll, expect, test } from 'vitest'
import { testDatabase } from '../support/server.js'
import { project, stet, stetJson, write } from './support.js'

let place: { cwd: string; url: string }
/** The same project, and no way to any database. */
let apart: { cwd: string; url: string }

const order = (steps: string) => `import { workflow } from 'stet'
import { appendFileSync } from 'node:fs'

export const order = workflow('order', async (ctx, sku: string) => {
${steps}
})
`
const good =
  order(`  const checked = await ctx.step('check', () => { appendFileSync('effects', 'check'); return sku + '!' })
  await ctx.sleep(1)
  return ctx.step('ship', () => checked + ' shipped')`)

beforeAll(async () => {
  const { url } = await testDatabase()
  place = { cwd: project('module', { 'workflows/order.ts': good }), url }
  apart = { ...place, url: 'postgres://127.0.0.1:1/x' }
  await stet(['start', 'order', '-i', '"A1"', '--id', 'order-1'], place)
  await stet(['worker', '--once'], place)
  await stet(['export', 'order-1', '-f', 'order-1.json'], place)
})

test('export writes what replay reads; without -f to stdout', async () => {
  const printed = await stet(['export', 'order-1'], place)
  const file = JSON.parse(printed.stdout)
  expect(Object.keys(file)).toEqual(['format', 'run', 'events'])
  expect(file).toMatchObject({ format: 'stet-history-1', run: { id: 'order-1', workflow: 'order', version: 1 } })
  expect(
    file.events.map(({ type }: any) => type).filter((type: string) => !/Scheduled|TimerStarted/.test(type)),
  ).toEqual(['RunStarted', 'StepCompleted', 'TimerFired', 'StepCompleted', 'RunCompleted'])
})

test('a good history: each event, the lines that asked, the outcome; nothing is done again', async () => {
  write(place.cwd, 'effects', '')
  const [fromDatabase, fromFile] = await Promise.all([
    stet(['replay', 'order-1'], place),
    stet(['replay', 'order-1.json'], apart),
  ])
  expect(fromFile).toEqual({ code: 0, stdout: fromDatabase.stdout, stderr: '' })
  expect(fromDatabase.stdout).toMatch(/1 RunStarted {2}"A1"\n +asks step "check" {2}workflows\/order\.ts:5\n/)
  expect(fromDatabase.stdout).toMatch(/TimerFired sleep\n +asks step "ship" {2}workflows\/order\.ts:7\n/)
  expect(fromDatabase.stdout).toContain('✓ the run completed with "A1! shipped", as recorded')
  const json = await stetJson(['replay', 'order-1.json', '-w', 'workflows/order.ts'], apart)
  expect(json).toMatchObject({ code: 'workflows/order.ts', result: 'completed', output: 'A1! shipped', pending: [] })
  expect(json.events[0].asked).toEqual([{ op: 1, kind: 'step', name: 'check', where: 'workflows/order.ts:5' }])
  expect((await import('node:fs')).readFileSync(`${place.cwd}/effects`, 'utf8')).toBe('')
})

test.each([
  [
    'another name',
    order(`\n\n  const checked = await ctx.step('verify', () => sku)\n  return checked`),
    { expected: 'operation 1: step "check"', actual: 'operation 1: step "verify"' },
    'workflows/order.ts:5',
    'changed.ts:7',
  ],
  [
    'a step that is not there any more',
    order(`  await ctx.step('check', () => sku)\n  return ctx.step('ship', () => 1)`),
    { expected: 'operation 2: timer "sleep"', actual: 'operation 2: step "ship"' },
    'workflows/order.ts:6',
    'changed.ts:6',
  ],
])('changed code, %s: 4, and both lines', async (_, text, mismatch, recordedAt, where) => {
  write(place.cwd, 'changed.ts', text)
  const { code, stdout } = await stet(['replay', 'order-1.json', '-w', 'changed.ts'], apart)
  expect(code).toBe(4)
  expect(stdout).toContain(`expected: ${mismatch.expected}, as recorded from ${recordedAt}`)
  expect(stdout).toContain(`got:      ${mismatch.actual}, at ${where}`)
  const json = await stetJson(['replay', 'order-1.json', '-w', 'changed.ts'], apart, 4)
  expect(json).toMatchObject({ result: 'nondeterminism', where, mismatch: { ...mismatch, seq: expect.any(Number) } })
})

test('changed code that comes to another end: 4', async () => {
  write(
    place.cwd,
    'other.ts',
    good.replace("'shipped'", "''").replace('return ctx.step', "return 'not ' + await ctx.step"),
  )
  const { code, stdout } = await stet(['replay', 'order-1.json', '-w', 'other.ts'], apart)
  expect(code).toBe(4)
  expect(stdout).toContain('expected: the run completed with "A1! shipped"')
  expect(stdout).toContain('got:      the run completed with "not A1! shipped"')
})

test('an await that is not recorded: 4, and its line', async () => {
  const text = order(`  const checked = await ctx.step('check', () => sku)
  await new Promise((resolve) => process.once('SIGUSR2', resolve))
  return checked`)
  write(place.cwd, 'foreign.ts', text)
  // Up to where the run was when the code was still the same.
  const cut = JSON.parse((await stet(['export', 'order-1'], place)).stdout)
  cut.events = cut.events.slice(0, cut.events.findIndex(({ type }: any) => type === 'StepCompleted') + 1)
  write(place.cwd, 'cut.json', JSON.stringify(cut))
  const { code, stdout } = await stet(['replay', 'cut.json', '-w', 'foreign.ts'], apart)
  expect(code).toBe(4)
  expect(stdout).toContain('awaits something that is not recorded')
  expect(stdout).toContain('foreign.ts:6')
  const waiting = await stet(['replay', 'cut.json', '-w', 'workflows/order.ts'], apart)
  expect(waiting.code).toBe(0)
  expect(waiting.stdout).toMatch(/ends here\. It waits for:\n +timer "sleep" {2}workflows\/order\.ts:6/)
})

test('code of another version, and files that are no histories', async () => {
  write(place.cwd, 'v2.ts', good.replace("workflow('order',", "workflow('order', { version: 2 },"))
  const version = await stet(['replay', 'order-1.json', '-w', 'v2.ts'], apart)
  expect(version.code).toBe(1)
  expect(version.stderr).toContain('no file defines workflow "order" version 1; they define order@2')
  for (const [name, text, message] of [
    ['a.json', '{', /expected a history as JSON/],
    ['b.json', '{"runs":[]}', /expected a history in format "stet-history-1"/],
    ['c.json', '{"format":"stet-history-1","run":{"id":"x"}}', /run\.runId: expected text/],
    [
      'd.json',
      '{"format":"stet-history-1","run":{"id":"x","runId":"x","workflow":"w","queue":"q","version":1},"events":[{}]}',
      /events\[0\]/,
    ],
  ] as const) {
    write(place.cwd, name, text)
    const { code, stderr } = await stet(['replay', name], apart)
    expect(code).toBe(2)
    expect(stderr).toMatch(message)
  }
})
