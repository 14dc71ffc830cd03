import pg from 'pg'
import { beforeAll, expect, test } from 'vitest'
import { Stet } from '../../src/index.js'
import { testDatabase } from '../support/server.js'
import { project, stet, stetJson, write } from './support.js'

let place: { cwd: string; url: string }

const order = `import { workflow } from 'stet'

export const order = workflow('order', async (ctx, input: { n: number; gift: boolean }) => {
  console.log('a workflow may print')
  let total = 0
  for (let i = 0; i < 3; i++) total += await ctx.step('add', () => input.n)
  if (input.gift) await ctx.step('wrap', () => 'paper')
  await ctx.step('pay', () => total)
  return ctx.waitForSignal('go')
})

export const mail = workflow('mail', async (ctx, to: string) => {
  await ctx.step('send', () => to)
  return to
})
`
/** The runs with a gift part from this one at the step that has another name now. */
const renamed = order.replace("ctx.step('wrap'", "ctx.step('wrap it up'")
const count = 1_000
const gifts = [3, 117, 256, 333, 420, 555, 731, 888, 999]

beforeAll(async () => {
  const { url } = await testDatabase()
  place = { cwd: project('module', { 'workflows/order.ts': order }), url }
  const client = new Stet({ url })
  const one = (n: number) =>
    client.start<any>('order', { n, gift: gifts.includes(n) }, { id: `order-${n}` }) as Promise<unknown>
  await Promise.all(Array.from({ length: count }, (_, n) => one(n)))
  await client.start<any>('mail', 'a@b.c', { id: 'mail-1' })
  await client.close()
  await stet(['worker', '--once'], place)
})

test('on unchanged code every open run is fine', async () => {
  const { code, stdout, stderr } = await stet(['check'], place)
  expect(stdout).toBe(`✓ ${count} fine\n`)
  expect(stderr).toMatch(/1000 runs in [\d.]+ m?s, \d+ a second/)
  expect(code).toBe(0)
})

test('names exactly the runs that the change would block, the lines, and the three ways out', async () => {
  write(place.cwd, 'renamed.ts', renamed)
  const { code, stdout } = await stet(['check', 'renamed.ts'], place)
  expect(code).toBe(4)
  expect(stdout).toContain('✗ 9 runs of order@1 at renamed.ts:7')
  expect(stdout).toContain('expected: operation 4: step "wrap", as recorded from workflows/order.ts:7')
  expect(stdout).toContain('got:      operation 4: step "wrap it up"')
  expect(stdout).toMatch(/▶ +7 │ {3}if \(input\.gift\) await ctx\.step\('wrap it up'/)
  for (const way of ['keep the old code', 'patch', 'fork']) expect(stdout).toContain(way)
  expect(stdout).toMatch(/✓ 991 fine {3}✗ 9 diverge\n$/)
  const json = await stetJson(['check', 'renamed.ts'], place, 4)
  expect(json).toMatchObject({ checked: count, fine: count - 9, ok: false, missing: [] })
  expect(json.causes).toHaveLength(1)
  expect(json.causes[0].runs.map(({ id }: any) => id).sort()).toEqual(gifts.map((n) => `order-${n}`).sort())
})

test('a role that can only read is enough, and nothing is written', async () => {
  const admin = new pg.Client(place.url)
  await admin.connect()
  const role = `reader_${Date.now()}`
  await admin.query(`CREATE ROLE ${role} LOGIN PASSWORD 'x'`)
  await admin.query(`GRANT USAGE ON SCHEMA stet, stet_store TO ${role}`)
  await admin.query(`GRANT SELECT ON ALL TABLES IN SCHEMA stet_store TO ${role}`)
  const url = new URL(place.url)
  url.username = role
  url.password = 'x'
  const ended = await stet(['check', '--closed', '5'], { ...place, url: url.href })
  expect(ended).toMatchObject({ code: 0, stdout: `✓ ${count + 1} fine\n` })
  await admin.query(`DROP OWNED BY ${role}`)
  await admin.query(`DROP ROLE ${role}`)
  await admin.end()
})

test('closed runs, single runs and exported files', async () => {
  write(place.cwd, 'mail.ts', order.replace('return to', "return to + '!'"))
  const closed = await stetJson(['check', 'mail.ts', '--closed', '10', '--workflow', 'mail'], place, 4)
  expect(closed).toMatchObject({
    checked: 1,
    causes: [{ workflow: 'mail', expected: expect.stringContaining('"a@b.c"') }],
  })
  await stet(['export', 'order-3', '-f', 'order-3.json'], place)
  const apart = { cwd: place.cwd }
  expect(await stetJson(['check', '--run', 'order-3.json'], apart)).toMatchObject({ checked: 1, fine: 1 })
  expect(await stetJson(['check', 'renamed.ts', '--run', 'order-3.json'], apart, 4)).toMatchObject({ fine: 0 })
  expect(await stetJson(['check', 'renamed.ts', '--run', 'order-3', 'order-4'], place, 4)).toMatchObject({
    checked: 2,
    fine: 1,
    causes: [{ runs: [{ id: 'order-3', seq: expect.any(Number) }] }],
  })
  expect(await stet(['check', '--run', 'nobody'], place)).toMatchObject({
    code: 3,
    stderr: expect.stringContaining('nobody'),
  })
  write(place.cwd, 'foreign.json', '{"format":"something"}')
  expect(await stet(['check', '--run', 'foreign.json'], apart)).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('foreign.json'),
  })
})

test('runs whose version is not in the files; blocked ones that this code can take on', async () => {
  write(place.cwd, 'two.ts', order.replace("workflow('order',", "workflow('order', { version: 2 },"))
  const missing = await stet(['check', 'two.ts'], place)
  expect(missing.code).toBe(4)
  expect(missing.stdout).toContain(`? ${count} of order@1, which is not in these files`)
  expect(missing.stdout).toContain('These files define mail@1, order@2')
  expect((await stet(['check', 'two.ts', '--allow-missing'], place)).code).toBe(0)

  // A worker with the changed code blocks the run when its signal comes; the old code is fine with it.
  await stet(['signal', 'order-3', 'go', '1'], place)
  await stet(['worker', 'renamed.ts', '--once'], place)
  expect(await stetJson(['show', 'order-3'], place)).toMatchObject({ run: { status: 'blocked' } })
  const { stdout } = await stet(['check'], place)
  expect(stdout).toContain('1 of the runs that are fine are blocked now: this code can take them on.')
})

test('a database that stet has never used has nothing to check', async () => {
  const { url } = await testDatabase({ empty: true })
  const { code, stdout, stderr } = await stet(['check'], { ...place, url })
  expect(stderr).toContain('stet has never used this database')
  expect({ code, stdout }).toEqual({ code: 0, stdout: '✓ 0 fine\n' })
})
