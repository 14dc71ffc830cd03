/** What becomes of a run that awaits something which is not recorded. */
import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Ctx, StetError, workflow } from '../../src/index.js'
import { bodies, broken, brokenLater, closePool, laterTold, places } from '../fixtures/unrecorded.js'
import { gate, house, refusal, until } from '../support/house.js'

const { db, stet, work, reached, logs } = await house()
const source = readFileSync(new URL('../fixtures/unrecorded.ts', import.meta.url), 'utf8').split('\n')
const lineOf = (name: string) => source.findIndex((line) => line.endsWith(`// ${name}`)) + 1

let server: Server
beforeAll(async () => {
  server = createServer((_, response) => setTimeout(() => response.end('hello'), 20))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  places.http = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`
  places.database = db.url
})
afterAll(async () => {
  server.closeAllConnections()
  server.close()
  await closePool()
})

describe('an await that is not recorded blocks the run and is named with its line', () => {
  test.each(Object.keys(bodies))('%s', async (name) => {
    const flow = broken.find((each) => each.name === name)!
    await work([flow])
    const run = await stet.start(flow)
    const { problem } = await reached(run, 'blocked')
    expect(problem?.code).toBe('unrecorded_await')
    expect(problem?.where).toBe(`test/fixtures/unrecorded.ts:${lineOf(name)}`)
    expect(problem?.message).toContain(`test/fixtures/unrecorded.ts:${lineOf(name)}`)
    expect(problem?.message).toContain('ctx.step')
  })
})

describe('an own promise that never settles, beside a watched sleep, is told of when the sleep ends', () => {
  test.each(Object.keys(laterTold))('%s', async (name) => {
    const flow = brokenLater.find((each) => each.name === name)!
    await work([flow])
    const run = await stet.start(flow, 30)
    const { problem } = await reached(run, 'blocked')
    expect(problem?.where).toBe(`test/fixtures/unrecorded.ts:${lineOf(name)}`)
  })
})

test('lines are those of the TypeScript source in a process that loads it as `stet worker` does', async () => {
  const { stdout } = await child('unrecorded-child.ts', [places.http, db.url])
  const expected = Object.keys(bodies).map((name) => [name, `test/fixtures/unrecorded.ts:${lineOf(name)}`])
  expect(JSON.parse(stdout)).toEqual(Object.fromEntries(expected))
})

describe('a blocked run goes on', () => {
  test('when a worker with mended code comes', async () => {
    const name = 'fetch-later'
    const first = await work([broken.find((each) => each.name === name)!])
    const run = await stet.start(name, undefined)
    await reached(run, 'blocked')
    await first.stop()
    const mended = workflow(name, async (ctx: Ctx<void>) => {
      await ctx.step('first', () => 2)
      await ctx.sleep(5)
      return await ctx.step('fetch', async () => (await fetch(places.http)).text())
    })
    await work([mended])
    expect(await run.result()).toBe('hello')
    expect((await run.history()).filter(({ name }) => name === 'first')).toMatchObject([{ data: { output: 1 } }])
  })

  test('by resume', async () => {
    let broken = true
    const flow = workflow('resumable', async (ctx) => {
      const nap = ctx.sleep(1)
      if (broken) await fetch(places.http)
      await nap
      return 'through'
    })
    await work([flow])
    const run = await stet.start(flow)
    await reached(run, 'blocked')
    expect((await refusal(run.result({ timeout: 1 }))).code).toBe('timeout')
    broken = false
    await run.resume()
    expect(await run.result()).toBe('through')
    expect((await refusal(run.resume())).code).toBe('invalid_input')
  })

  test('and is blocked again by resume when nothing was mended', async () => {
    const flow = workflow('stubborn', async (ctx) => {
      await Promise.all([ctx.sleep('3d'), fetch(places.http)])
    })
    await work([flow])
    const run = await stet.start(flow)
    const { claim } = await reached(run, 'blocked')
    await run.resume()
    await until(async () => (await reached(run, 'blocked')).claim > claim, 'blocked anew')
  })
})

describe('what nobody waits for blocks nothing', () => {
  test('a promise that the workflow lets run by itself, before and after a park', async () => {
    let done = 0
    const logLine = async () => {
      await fetch(places.http)
      await Promise.resolve()
      done++
    }
    const flow = workflow('talkative', async (ctx) => {
      void logLine()
      await ctx.step('a', () => 1)
      void logLine()
      await ctx.sleep(60)
      void logLine()
      await Promise.race([ctx.sleep(60), ctx.waitForSignal('never')])
      return 'said'
    })
    await work([flow])
    const run = await stet.start(flow)
    expect(await run.result()).toBe('said')
    await until(() => done >= 3, 'the lines are logged')
    expect((await run.describe()).status).toBe('completed')
  })

  test('such a promise while the workflow waits for days', async () => {
    const told = gate()
    const flow = workflow('talkative-waiter', async (ctx) => {
      void fetch(places.http).then(() => told.open())
      await Promise.all([ctx.sleep('3d'), ctx.waitForSignal('go')])
    })
    await work([flow])
    const run = await stet.start(flow)
    await told.promise
    await reached(run, 'waiting')
    await run.signal('go')
    await until(async () => (await run.history()).some(({ type }) => type === 'SignalReceived'), 'the signal is in')
    await reached(run, 'waiting')
    expect(logs.filter(({ fields }) => fields.run === run.runId && fields.level === 'error')).toEqual([])
  })

  test('a promise of the run that another branch of it settles', async () => {
    const told = gate()
    const flow = workflow('gated', async (ctx) => {
      const own = gate<string>()
      void fetch(places.http).then(() => told.open())
      const opener = async () => {
        await ctx.sleep(40)
        own.open('opened')
      }
      const [value] = await Promise.all([own.promise, opener()])
      return value
    })
    await work([flow])
    const run = await stet.start(flow)
    expect(await run.result()).toBe('opened')
    await told.promise
  })
})

describe('a workflow that no longer fits the history', () => {
  const here = readFileSync(fileURLToPath(import.meta.url), 'utf8').split('\n')
  const place = (mark: string) =>
    `test/worker/unrecorded.test.ts:${here.findIndex((line) => line.endsWith(`// ${mark}`)) + 1}`

  test('is blocked, and both names and both lines are told; old code lets it go on', async () => {
    const old = workflow('changed', async (ctx) => {
      await ctx.step('reserve', () => 1)
      const paid = await ctx.step('charge', () => 2) // old charge
      await ctx.waitForSignal('go')
      return paid
    })
    const changed = workflow('changed', async (ctx) => {
      await ctx.step('reserve', () => 1)
      const paid = await ctx.step('charge card', () => 3) // new charge
      await ctx.waitForSignal('go')
      return paid
    })
    const first = await work([old])
    const run = await stet.start(old)
    await reached(run, 'waiting')
    await first.stop()
    const second = await work([changed])
    await run.signal('go')
    const { problem } = await reached(run, 'blocked')
    expect(problem).toMatchObject({ code: 'nondeterminism', where: place('new charge') })
    expect(problem?.mismatch).toMatchObject({
      seq: 3,
      expected: 'operation 2: step "charge"',
      actual: 'operation 2: step "charge card"',
    })
    expect(problem?.message).toContain(place('old charge'))
    expect(problem?.message).toContain(place('new charge'))
    await second.stop()
    await work([old])
    expect(await run.result()).toBe(2)
  })

  test.each<[string, (ctx: Ctx<void>) => Promise<unknown>, string, RegExp]>([
    ['asks for another kind', async (ctx) => void (await ctx.sleep('3d')), 'step "a"', /timer "sleep"/],
    ['asks for less', async () => 'early', 'step "a"', /the workflow had already returned/],
    [
      'asks for it later',
      async (ctx) => {
        await ctx.waitForSignal('go')
        await ctx.step('a', () => 1)
      },
      'step "a"',
      /wait for signal "go"/,
    ],
    [
      'waits for another signal',
      async (ctx) => {
        await ctx.step('a', () => 1)
        await ctx.waitForSignal('gone')
      },
      'wait for signal "go"',
      /wait for signal "gone"/,
    ],
  ])('one that %s', async (what, body, expected, actual) => {
    const name = `changed-${what}`
    const old = workflow(name, async (ctx: Ctx<void>) => {
      await ctx.step('a', () => 1)
      await ctx.waitForSignal('go')
      await ctx.waitForSignal('more')
    })
    const first = await work([old])
    const run = await stet.start(old)
    await run.signal('go')
    await until(async () => (await run.history()).some(({ type }) => type === 'SignalReceived'), 'the signal is in')
    await reached(run, 'waiting')
    await first.stop()
    await work([workflow(name, body)])
    await run.signal('more')
    const { problem } = await reached(run, 'blocked')
    expect(problem).toMatchObject({
      code: 'nondeterminism',
      mismatch: { expected: expect.stringContaining(expected), actual: expect.stringMatching(actual) },
    })
  })
})

describe('a command of one run in the turn of another', () => {
  test.each(['in memory', 'parked'])('is an error of the first, which is %s; the second goes on', async (where) => {
    // A step that runs keeps its run in memory, so that this very promise is settled.
    const [hold, holdToo] = [gate(), gate()]
    let leaked: Promise<unknown> | undefined
    const errors: unknown[] = []
    const lender = workflow(`lender, ${where}`, async (ctx) => {
      const held = ctx.step('hold', () => hold.promise)
      leaked = ctx.waitForSignal('go')
      await leaked
      await ctx.step('mine', () => 1)
      await held
      return 'fine'
    })
    const borrower = workflow(`borrower, ${where}`, async (ctx) => {
      const held = where === 'parked' ? ctx.sleep('3d').then(() => 0) : ctx.step('hold', () => holdToo.promise)
      held.then(() => {})
      await leaked
      try {
        await ctx.step('theirs', () => 0)
      } catch (error) {
        errors.push(error)
        throw error
      }
    })
    const worker = await work([lender, borrower])
    const one = await stet.start(lender)
    await until(() => leaked !== undefined, 'the promise is there')
    const two = await stet.start(borrower)
    await reached(two, where === 'parked' ? 'waiting' : 'running')
    await until(async () => (await two.graph()).nodes.length > 1, 'it has begun')
    await one.signal('go')
    hold.open()
    expect(await one.result()).toBe('fine')
    const { problem } = await reached(two, 'blocked')
    expect(problem?.code).toBe('unrecorded_await')
    expect(errors).toMatchObject([
      { code: 'foreign_turn', message: expect.stringContaining('let runs talk by signals') },
    ])
    holdToo.open()
    await worker.stop()
  })
})

test('ctx inside a step is an error that says so, at once and without another attempt', async () => {
  const flow = workflow('inside', async (ctx) => {
    const seen: unknown[] = []
    for (const misuse of [
      () => ctx.sleep(1),
      () => ctx.step('inner', () => 1),
      () => ctx.now(),
      () => ctx.uuid(),
      () => ctx.waitForSignal('x'),
    ]) {
      await ctx.step('outer', misuse as () => unknown).catch((failure) => seen.push(failure))
      await ctx
        .step('outer, later', async () => {
          await new Promise((resolve) => setImmediate(resolve))
          await misuse()
        })
        .catch((failure) => seen.push(failure))
    }
    return seen
  })
  await work([flow])
  const run = await stet.start(flow)
  const seen = (await run.result()) as any[]
  expect(seen).toHaveLength(10)
  for (const { cause, attempts } of seen) {
    expect(cause).toBeInstanceOf(StetError)
    expect(cause.code).toBe('inside_step')
    expect(cause.message).toMatch(/step "outer/)
    expect(attempts).toBe(1)
  }
})

test('rejections that nobody handles: one in a turn is reported at the outcome, any other ends the process', async () => {
  const { stdout, stderr, code } = await child('rejections-child.ts', [db.url])
  const lines = stdout
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line))
  expect(lines).toContainEqual({
    message: 'promises of the workflow were rejected and nobody handled it',
    messages: ['lost in a turn'],
  })
  expect(lines).toContainEqual({ result: 'done' })
  expect(lines).not.toContainEqual({ result: 'still here' })
  expect(code).toBe(1)
  expect(stderr).toContain('lost outside')
})

function child(file: string, args: readonly string[]): Promise<{ stdout: string; stderr: string; code: number }> {
  const path = fileURLToPath(new URL(`../fixtures/${file}`, import.meta.url))
  return new Promise((resolve) => {
    execFile(process.execPath, ['--import', 'tsx', path, ...args], (error, stdout, stderr) =>
      resolve({ stdout, stderr, code: (error?.code as number | undefined) ?? 0 }),
    )
  })
}
