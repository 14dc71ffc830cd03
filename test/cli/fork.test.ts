import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import { testDatabase } from '../support/server.js'
import { Process, project, stet, stetJson, write } from './support.js'

const source = `
import { existsSync } from 'node:fs'
import { workflow } from 'stet'
export const order = workflow('order', async (ctx, input: { card: string }) => {
  const checked = await ctx.step('check', () => 'checked by ' + process.pid)
  const charged = await ctx.step('charge', () => 'charged ' + input.card)
  return { checked, charged, told: await ctx.step('tell', () => 'told') }
})
export const fragile = workflow('fragile', async (ctx, n: number) => {
  const done = await ctx.step('done', () => n)
  await ctx.step('break', { retry: false }, () => {
    if (!existsSync('mended')) throw new Error('broken ' + n)
  })
  return done
})
export const buggy = workflow('buggy', async (ctx) => {
  await ctx.step('done', () => 1)
  throw new Error('a bug')
})
`
const cwd = project('module', { 'workflows/order.ts': source })
let place: { cwd: string; url: string }

beforeAll(async () => {
  const database = await testDatabase()
  place = { cwd, url: database.url }
  // For all tests of this file.
  await new Process(['worker'], place).until(/worker started/)
  const first = await stet(['start', 'order', '-i', '{"card":"A"}', '--id', 'order-1', '--wait'], place)
  if (first.code !== 0) throw new Error(first.stderr)
})

const result = async (id: string) => {
  const shown = await stet(['show', id, '--watch', '--json'], place)
  return JSON.parse(shown.stdout).run
}

describe('one run', () => {
  test('prints the id, and says what was kept and what comes next', async () => {
    const made = await stet(['fork', 'order-1', '--at', 'charge', '-i', '{"card":"B"}', '--id', 'order-1b'], place)
    expect(made.code).toBe(0)
    expect(made.stdout).toBe('order-1b\n')
    expect(made.stderr).toMatch(/kept [23] of \d events; "charge" runs anew/)
    expect(made.stderr).toMatch(/see it: stet show run_\w+ --watch/)
    const [first, second] = await Promise.all([result('order-1'), result('order-1b')])
    expect(second.output).toEqual({ ...first.output, charged: 'charged B' })
    expect(second.forkedFrom).toEqual({ runId: first.runId, seq: expect.any(Number) })
  })

  test('with results that are given, and as JSON', async () => {
    const args = ['fork', 'order-1', '--set', 'check="by hand"', '--set', 'charge=@charge.json', '--at', 'tell']
    write(cwd, 'charge.json', '{"free":true}')
    const made = await stetJson(args, place)
    expect(made).toEqual({
      id: expect.stringMatching(/^order-1-fork-\w{8}$/),
      runId: expect.stringMatching(/^run_/),
      forkedFrom: { runId: expect.stringMatching(/^run_/), seq: expect.any(Number) },
      kept: expect.any(Number),
      of: expect.any(Number),
      anew: 'tell',
    })
    expect((await result(made.id)).output).toEqual({ checked: 'by hand', charged: { free: true }, told: 'told' })
  })

  test('at a number, and what a fork would be', async () => {
    const dry = await stetJson(['fork', 'order-1', '--at', '2', '--dry-run'], place)
    expect(dry).toMatchObject({ dryRun: true, kept: 1, forkedFrom: { seq: 2 } })
    const { runs } = await stetJson(['list', '--workflow', 'order'], place)
    const made = await stetJson(['fork', 'order-1', '--at', '2', '--id', 'from 2'], place)
    expect(made).toMatchObject({ id: 'from 2', kept: 1 })
    expect((await stetJson(['list', '--workflow', 'order'], place)).runs).toHaveLength(runs.length + 1)
  })

  test('out of a file, into the database', async () => {
    await stet(['export', 'order-1', '-f', 'order-1.json'], place)
    const { run } = JSON.parse(readFileSync(join(cwd, 'order-1.json'), 'utf8'))
    const other = await testDatabase()
    const dry = await stet(['fork', 'order-1.json', '--at', 'charge', '--dry-run'], { cwd })
    expect([dry.code, dry.stderr]).toEqual([
      0,
      expect.stringMatching(/^a fork would have kept . of . events; "charge"/),
    ])
    const made = await stetJson(['fork', 'order-1.json', '--at', 'charge'], { cwd, url: other.url })
    const { rows } = await other.query('SELECT workflow, queue, status, forked_from FROM stet.runs WHERE id = $1', [
      made.id,
    ])
    expect(rows).toEqual([{ workflow: 'order', queue: 'default', status: 'pending', forked_from: run.runId }])
    const { events } = await stetJson(['export', made.id], { cwd, url: other.url })
    expect(events).toHaveLength(made.kept)
    expect(events[0].data.input).toEqual({ card: 'A' })
  })

  test.each<[string, string[], number, RegExp]>([
    ['a run that is not there', ['nobody', '--at', 'charge'], 3, /no run has the id or run id "nobody"/],
    ['a step that is not there', ['order-1', '--at', 'chrage'], 2, /no step "chrage"\. Did you mean "charge"\?/],
    ['an event that is not there', ['order-1', '--at', '99'], 2, /from 2 to/],
    ['no failure', ['order-1', '--at', 'last-failure'], 1, /did not fail/],
    ['no place', ['order-1'], 2, /--at: expected/],
    ['neither run nor filter', ['--at', 'charge'], 2, /expected a run, or filters/],
    ['both run and filter', ['order-1', '--status', 'failed', '--at', 'charge'], 2, /got both/],
    ['what is no JSON', ['order-1', '--set', 'check=by hand'], 2, /--set check: expected JSON/],
    ['no step to set', ['order-1', '--set', '=1'], 2, /Expected step=json/],
    ['an id for many', ['--status', 'failed', '--at', 'x', '--id', 'y'], 2, /--id: with filters/],
    ['a file that is not there', ['nothing.json', '--at', 'charge'], 2, /there is no such file/],
  ])('says what is wrong: %s', async (_, args, code, says) => {
    const ended = await stet(['fork', ...args], place)
    expect([ended.code, ended.stdout]).toEqual([code, ''])
    expect(ended.stderr).toMatch(says)
  })

  test('--help has examples', async () => {
    const [fork, retry] = await Promise.all([stet(['fork', '--help'], place), stet(['retry', '--help'], place)])
    expect(fork.stdout).toContain('$ stet fork order-42 --at last-failure')
    expect(retry.stdout).toContain('$ stet retry order-42')
  })
})

test('failed runs: retried under their ids, and forked in bulk, each once', async () => {
  const start = (workflow: string, n: number) =>
    stet(['start', workflow, '-i', String(n), '--id', `${workflow}-${n}`, '--wait'], place)
  const started = await Promise.all([start('fragile', 1), start('fragile', 2), start('fragile', 3), start('buggy', 1)])
  expect(started.map(({ code }) => code)).toEqual([1, 1, 1, 1])
  write(cwd, 'mended', '')

  const retried = await stet(['retry', 'fragile-1'], place)
  expect([retried.code, retried.stdout]).toEqual([0, 'fragile-1\n'])
  expect(retried.stderr).toMatch(/kept \d of \d events; "break" runs anew/)
  expect(await result('fragile-1')).toMatchObject({ status: 'completed', output: 1 })
  const fine = await stet(['retry', 'fragile-1'], place)
  expect([fine.code, fine.stderr]).toEqual([1, expect.stringContaining('did not fail')])
  expect((await stet(['retry', 'nobody'], place)).code).toBe(3)

  const bulk = ['fork', '--status', 'failed', '--since', '1h', '--at', 'break']
  const dry = await stet([...bulk, '--workflow', 'fragile', '--dry-run'], place)
  expect([dry.code, dry.stdout]).toEqual([0, ''])
  expect(dry.stderr).toContain('would fork 3 of 3 runs')
  const limited = await stetJson([...bulk, '--workflow', 'fragile', '--limit', '1'], place)
  expect(limited.forked).toHaveLength(1)
  const all = await stet(bulk, place)
  expect(all.code).toBe(1)
  expect(all.stdout.trim().split('\n')).toHaveLength(2)
  expect(all.stderr).toContain('forked 2 of 4 runs\n1 was forked before\n1 run cannot be forked:\n  buggy-1: fork: at:')
  const again = await stetJson(bulk, place, 1)
  expect(again).toMatchObject({ matched: 4, forked: [], failed: [{ id: 'buggy-1', code: 'invalid_input' }] })
  expect(again.existing).toHaveLength(3)
  for (const { id, from } of again.existing) {
    expect(id).toBe(`${from.id}-fork-${from.runId.slice(-8)}`)
    expect(await result(id)).toMatchObject({ status: 'completed', output: Number(from.id.slice(-1)) })
  }
})
