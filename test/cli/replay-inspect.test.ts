import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { beforeAll, expect, test } from 'vitest'
import { testDatabase } from '../support/server.js'
import { Process, project, stet } from './support.js'

let place: { cwd: string; url: string }
let apart: { cwd: string; url?: undefined }

const order = `import { workflow } from 'stet'

export const order = workflow('order', async (ctx, price: number) => {
  const quantity = await ctx.step('count', () => 3)
  const total = price * quantity
  const fee = total / 10
  const receipt = await charge(ctx, total + fee)
  return { receipt, total }
})

async function charge(ctx: any, amount: number) {
  const rounded = Math.round(amount)
  const id = await ctx.step('charge', { timeout: 50 }, () => 'ch_1')
  return { id, rounded }
}
`

beforeAll(async () => {
  const { url } = await testDatabase()
  place = { cwd: project('module', { 'workflows/order.ts': order }), url }
  apart = { cwd: place.cwd }
  await stet(['start', 'order', '-i', '7', '--id', 'o-1'], place)
  await stet(['worker', '--once'], place)
  await stet(['export', 'o-1', '-f', 'o-1.json'], place)
})

interface Stop {
  at: string
  fn: string
  locals: Record<string, unknown>
  byBreakpoint: boolean
}

/** Replays with a debugger attached; what it stopped at, and how the replay ended. */
async function debug(
  args: readonly string[],
  breakAt = '',
  steps = 0,
  where: { cwd: string; url?: string | undefined; env?: Record<string, string> } = apart,
) {
  const replay = new Process(['replay', ...args, ...(where.env === undefined ? ['--inspect'] : [])], where)
  const [url] = await replay.until(/ws:\/\/127\.0\.0\.1:\d+\/\S+/)
  const client = fileURLToPath(new URL('../support/debugger.mjs', import.meta.url))
  const { stdout } = await promisify(execFile)(process.execPath, [
    '--experimental-websocket',
    '--no-warnings',
    client,
    url!,
    breakAt,
    String(steps),
  ])
  return { stops: JSON.parse(stdout) as Stop[], ...(await replay.ended) }
}

test("a breakpoint in the user's TypeScript: hit, its variables read, a step over, done", async () => {
  const { stops, code, stdout, stderr } = await debug(['o-1.json'], 'workflows/order.ts:6', 2)
  expect(stderr).toMatch(/chrome:\/\/inspect/)
  // The first stop, of whoever comes without breakpoints, was left by a step.
  const hit = stops.find(({ at }) => at === 'order.ts:6')
  expect(hit).toMatchObject({ byBreakpoint: true, locals: { price: 7, quantity: 3, total: 21 } })
  expect(code).toBe(0)
  expect(stdout).toContain('✓ the run completed with {"receipt":{"id":"ch_1","rounded":23},"total":21}, as recorded')
})

test('without breakpoints it stops at the first line of the workflow', async () => {
  const { stops } = await debug(['o-1.json'])
  expect(stops).toHaveLength(1)
  expect(stops[0]).toMatchObject({ at: 'order.ts:4', locals: { price: 7 } })
})

test('stops at a step and behind an event, with the function of the user on top; once each', async () => {
  const { stops, code } = await debug(['o-1.json', '--break', 'step:charge', '2'])
  expect(stops.map(({ at, fn }) => [at, fn])).toEqual([
    ['order.ts:5', ''],
    ['order.ts:13', 'charge'],
  ])
  expect(stops[1]!.locals).toMatchObject({ amount: 23.1, rounded: 23 })
  expect(code).toBe(0)
})

test('a run of the database: its history is read before, and nothing is written, however long the debugger takes', async () => {
  const before = await stet(['show', 'o-1', '--json'], place)
  const { stops, code } = await debug(['o-1', '--break', 'charge'], '', 0, place)
  expect(stops.map(({ at }) => at)).toEqual(['order.ts:13'])
  expect(code).toBe(0)
  expect((await stet(['show', 'o-1', '--json'], place)).stdout).toBe(before.stdout)
})

/** VS Code attaches itself to every process of Node that it starts: by NODE_OPTIONS, before the first line. */
const underEditor = (cwd = apart.cwd) => ({ cwd, env: { NODE_OPTIONS: '--inspect-wait=127.0.0.1:0' } })

// Each kind of package has its TypeScript compiled in another way.
test.each(['module', 'none'] as const)(
  'in a process that a debugger holds already: its breakpoints, and no stop of ours (%s)',
  async (kind) => {
    const history = readFileSync(join(apart.cwd, 'o-1.json'), 'utf8')
    const cwd = project(kind, { 'workflows/order.ts': order, 'o-1.json': history })
    const { stops, code } = await debug(['o-1.json'], 'workflows/order.ts:6', 0, underEditor(cwd))
    expect(stops.map(({ at }) => at)).toEqual(['order.ts:6'])
    expect(stops[0]!.locals).toMatchObject({ total: 21 })
    expect(code).toBe(0)
  },
)

test('the launch configuration that init writes: its arguments, under such a debugger', async () => {
  const cwd = project('module')
  await stet(['init'], { cwd })
  const { configurations } = JSON.parse(readFileSync(join(cwd, '.vscode/launch.json'), 'utf8'))
  const { runtimeExecutable, runtimeArgs } = configurations.find(({ name }: any) => name === 'stet replay')
  const [command, subcommand, run, ...rest] = runtimeArgs
  expect([runtimeExecutable, command, subcommand, run]).toEqual(['npx', 'stet', 'replay', '$' + '{input:runId}'])
  const { stops, code } = await debug(['o-1.json', ...rest, '--break', 'charge'], '', 0, underEditor())
  expect(stops.map(({ at }) => at)).toEqual(['order.ts:13'])
  expect(code).toBe(0)
})

test.each([
  [['--break', 'step:pay'], 'the history has no step "pay". It has: count, charge'],
  [['--break', '77'], 'expected an event from 1 to 4'],
  [['--inspect', '99999'], 'expected a port from 0 to 65535'],
])('%j: said before a debugger is waited for', async (args, message) => {
  const ended = await stet(['replay', 'o-1.json', ...(args.includes('--inspect') ? [] : ['--inspect']), ...args], apart)
  expect(ended).toMatchObject({ code: 2, stderr: expect.stringContaining(message) })
})
