/** Commands that talk to runs and get an answer, and those about versions. */
import { beforeAll, describe, expect, test } from 'vitest'
import { testDatabase } from '../support/server.js'
import { Process, project, stet, stetJson } from './support.js'

const source = `
import { query, signal, update, workflow, type Ctx } from 'stet'
const balance = query<number>('balance')
const since = query<unknown, { year: number }>('since')
const broken = query<never>('broken')
const withdraw = update<{ left: number }, { amount: number }>('withdraw')
const refill = update<string>('refill')
const forget = update('forget')
export const account = workflow('account', async (ctx, start: number) => {
  let left = start
  ctx.onQuery(balance, () => left)
  ctx.onQuery(since, ({ year }) => ({ at: new Date(Date.UTC(year, 0)), tags: new Set(['a\\u009b31m']) }))
  ctx.onQuery(broken, () => { throw new Error('no \\u001b[31mmeter') })
  ctx.onUpdate(
    withdraw,
    { validate: ({ amount }) => { if (amount > left) throw new Error('only ' + left + ' left') } },
    async ({ amount }) => ({ left: (left -= amount) }),
  )
  ctx.onUpdate(refill, async () => {
    left += await ctx.waitForSignal<number>('delivery')
    return 'refilled'
  })
  ctx.onUpdate(forget, () => {})
  await ctx.waitForSignal('close')
  await ctx.condition(() => ctx.allHandlersFinished())
  return left
})
const waiting = (version: number) =>
  workflow('steps', { version }, async (ctx: Ctx<void>) => {
    ctx.onQuery('version', () => version)
    await ctx.waitForSignal('go')
    return version
  })
export const first = waiting(1)
export const second = waiting(2)
`
const cwd = project('module', { 'workflows/account.ts': source })
let place: { cwd: string; url: string }

beforeAll(async () => {
  place = { cwd, url: (await testDatabase()).url }
  // For all tests of this file.
  const worker = new Process(['worker'], place)
  await worker.until(/worker started/)
})

const open = (id: string, left: number) => stetJson(['start', 'account', '-i', String(left), '--id', id], place)

test('query prints the answer as JSON, of an open run and of a closed one', async () => {
  await open('q-1', 20)
  const [text, json, date, piped] = await Promise.all([
    stet(['query', 'q-1', 'balance'], place),
    stetJson(['query', 'q-1', 'balance'], place),
    stet(['query', 'q-1', 'since', '{"year":1970}'], place),
    stet(['query', 'q-1', 'since', '-', '--timeout', '30s'], { ...place, input: '{"year":1971}' }),
  ])
  expect(text).toMatchObject({ code: 0, stdout: '20\n' })
  expect(json).toBe(20)
  // As SQL shows it, and nothing in it can move the cursor.
  expect(JSON.parse(date.stdout)).toEqual({ at: '1970-01-01T00:00:00.000Z', tags: ['a\u009b31m'] })
  expect(date.stdout).toContain('a\\u009b31m')
  expect(JSON.parse(piped.stdout).at).toBe('1971-01-01T00:00:00.000Z')
  await stet(['signal', 'q-1', 'close'], place)
  await stet(['show', 'q-1', '--watch'], place)
  expect(await stetJson(['query', 'q-1', 'balance'], place)).toBe(20)
})

test('a query without an answer: 1', async () => {
  await open('q-2', 20)
  // Nobody has the code of this one.
  await stet(['start', 'nobody', '--id', 'nobody-1'], place)
  const [unknown, broken, late, json] = await Promise.all([
    stet(['query', 'q-2', 'balanse'], place),
    stet(['query', 'q-2', 'broken'], place),
    stet(['query', 'nobody-1', 'balance', '--timeout', '100'], place),
    stet(['query', 'nobody-1', 'balance', '--timeout', '100ms', '-o', 'json'], place),
  ])
  for (const each of [unknown, broken, late, json]) expect(each).toMatchObject({ code: 1, stdout: '' })
  expect(unknown.stderr).toContain('has no handler for it at this point. It has "balance", "since", "broken".')
  expect(broken.stderr).toContain('stet: no meter\n')
  expect(late.stderr).toContain('query "balance": no worker has answered within 100 ms')
  expect(errorOf(json.stderr)).toMatchObject({ name: 'TimeoutFailure', code: 'timeout' })
})

test('update prints the answer; the same message id is done once', async () => {
  await open('u-1', 20)
  const args = ['update', 'u-1', 'withdraw', '{"amount":5}', '--message-id', 'w-1']
  const once = await stet(args, place)
  expect(once.code).toBe(0)
  expect(JSON.parse(once.stdout)).toEqual({ left: 15 })
  expect(await stetJson(args, place)).toEqual({ left: 15 })
  // Without an id each is another.
  expect(await stetJson(args.slice(0, 4), place)).toEqual({ left: 10 })
  expect(await stetJson(args.slice(0, 4), place)).toEqual({ left: 5 })
  expect(await stetJson(['query', 'u-1', 'balance'], place)).toBe(5)
  expect(await stet(['update', 'u-1', 'forget'], place)).toMatchObject({ code: 0, stdout: 'null\n' })
})

test('an update that is rejected, or comes too late: 1', async () => {
  await open('u-2', 20)
  const args = ['update', 'u-2', 'withdraw', '{"amount":21}']
  const [text, json] = await Promise.all([stet(args, place), stet([...args, '--json'], place)])
  for (const each of [text, json]) expect(each).toMatchObject({ code: 1, stdout: '' })
  expect(text.stderr).toMatch(/stet: update "withdraw" of run run_\w+ was rejected: only 20 left/)
  expect(errorOf(json.stderr)).toMatchObject({ name: 'UpdateRejectedError', code: 'update_rejected' })
  const watching = new Process(['show', 'u-2', '--watch'], place)
  const accepted = stet(['update', 'u-2', 'refill'], place)
  await watching.until(/UpdateReceived +refill/)
  await stet(['terminate', 'u-2'], place)
  const [overtaken, late] = await Promise.all([accepted, stet(args, place)])
  for (const each of [overtaken, late]) expect(each).toMatchObject({ code: 1, stdout: '' })
  expect(overtaken.stderr).toMatch(/update "refill": run run_\w+ is terminated, and had not answered/)
  expect(late.stderr).toMatch(/update: run run_\w+ is terminated, so it takes no message/)
})

test('an update that is not answered in time tells its message id, under which the answer is had later', async () => {
  await open('u-3', 20)
  const { code, stdout, stderr } = await stet(['update', 'u-3', 'refill', '--timeout', '300ms'], place)
  expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
  expect(stderr).toContain('is not answered after 300 ms')
  const id = /--message-id (msg_\S+)/.exec(stderr)![1]!
  const again = new Process(['update', 'u-3', 'refill', '--message-id', id], place)
  await stet(['signal', 'u-3', 'delivery', '100'], place)
  expect(await again.ended).toMatchObject({ code: 0, stdout: '"refilled"\n' })
  expect(await stetJson(['query', 'u-3', 'balance'], place)).toBe(120)
})

test('versions: what has open runs, and whether a worker has it; move gives a run to another', async () => {
  const none = await stet(['versions', 'steps'], place)
  expect(none).toMatchObject({ code: 0, stdout: '' })
  expect(none.stderr).toContain('no open runs of workflow "steps"')
  expect(await stetJson(['versions', 'steps'], place)).toEqual({ versions: [] })

  for (const id of ['s-1', 's-2', 's-3']) await stet(['start', 'steps', '--id', id], place)
  // By name a start takes the highest version that a worker has.
  expect(await stetJson(['query', 's-1', 'version'], place)).toBe(2)
  await untilParked('s-1', 's-2', 's-3')
  const moved = await stet(['move', 's-1', '1'], place)
  expect(moved).toMatchObject({ code: 0, stdout: '' })
  expect(moved.stderr).toMatch(/moved to version 1: s-1 \(run_\w+\), waiting/)
  expect(await stetJson(['query', 's-1', 'version'], place)).toBe(1)
  expect(await stetJson(['move', 's-3', '7'], place)).toEqual({
    id: 's-3',
    runId: expect.stringMatching(/^run_/),
    status: 'waiting',
  })

  const { versions } = await stetJson(['versions', 'steps'], place)
  expect(versions).toEqual([
    { workflow: 'steps', version: 1, open: 1, served: true },
    { workflow: 'steps', version: 2, open: 1, served: true },
    { workflow: 'steps', version: 7, open: 1, served: false },
  ])
  const [one, all] = await Promise.all([stet(['versions', 'steps'], place), stet(['versions'], place)])
  expect(one.stdout.split('\n').slice(0, 4)).toEqual([
    expect.stringMatching(/^WORKFLOW +VERSION +OPEN +SERVED$/),
    expect.stringMatching(/^steps +1 +1 +yes$/),
    expect.stringMatching(/^steps +2 +1 +yes$/),
    expect.stringMatching(/^steps +7 +1 +no$/),
  ])
  expect(one.stderr).toContain('stet move <run> <version>')
  expect(all.stdout).toMatch(/^nobody +– +1 +no$/m)

  for (const id of ['s-1', 's-2', 's-3']) await stet(['signal', id, 'go'], place)
  const ends = await Promise.all(['s-1', 's-2'].map((id) => stet(['show', id, '--watch'], place)))
  for (const [i, each] of ends.entries()) expect(each.stdout).toMatch(new RegExp(`result +${i + 1}\\n`))
  // A version that nobody has: it waits, and goes on when it is given to one that somebody has.
  expect((await stetJson(['move', 's-3', '2'], place)).id).toBe('s-3')
  expect((await stet(['show', 's-3', '--watch'], place)).stdout).toMatch(/result +2\n/)
  const closed = await stet(['move', 's-3', '1'], place)
  expect(closed).toMatchObject({ code: 1, stdout: '' })
  expect(closed.stderr).toMatch(/moveTo: run run_\w+ is completed, so it cannot be moved now/)
})

describe('a run that is not there: 3', () => {
  test.each([
    ['query', 'nope', 'balance'],
    ['update', 'nope', 'withdraw', '{"amount":5}'],
    ['move', 'nope', '2'],
  ])('%s', async (...args) => {
    const { code, stdout, stderr } = await stet(args, place)
    expect({ code, stdout }).toEqual({ code: 3, stdout: '' })
    expect(stderr).toContain('no run has the id or run id "nope"')
  })
})

function errorOf(stderr: string): unknown {
  // stderr has the talk too.
  return JSON.parse(stderr.split('\n').find((line) => line.startsWith('{'))!).error
}

/** A run cannot be moved while a worker holds it. */
async function untilParked(...ids: string[]): Promise<void> {
  for (const id of ids) {
    for (;;) {
      const { run } = await stetJson(['show', id], place)
      if (run.status === 'waiting') break
    }
  }
}
