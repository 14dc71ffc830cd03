/** Schemas are for the edges: what comes in from callers, what goes out as the result. Old runs are not held to new ones. */
import type { StandardSchemaV1 } from '@standard-schema/spec'
import { expect, test } from 'vitest'
import { type Ctx, signal, update, workflow } from '../../src/index.js'
import { house, refusal, types, until } from '../support/house.js'

const { stet, work, loop, reached } = await house({ verify: true })

/** Numbers up to a limit, as texts or numbers; answers later when `lazy`. */
function atMost(limit: number, lazy = false): StandardSchemaV1<number | string, number> {
  const check = (value: unknown) => {
    const n = Number(value)
    return n <= limit ? { value: n } : { issues: [{ message: `more than ${limit}`, path: ['n'] }] }
  }
  return {
    '~standard': {
      version: 1,
      vendor: 'test',
      validate: (value) => (lazy ? Promise.resolve(check(value)) : check(value)),
    },
  }
}

test.each([false, true])(
  'an input is checked when a run or a child is started, and is what the schema makes of it (async: %s)',
  async (lazy) => {
    const strict = workflow(`strict ${lazy}`, { input: atMost(10, lazy) }, async (_ctx, n) => typeof n)
    const parent = workflow(`parent of strict ${lazy}`, async (ctx: Ctx<void>) => {
      const fine = await ctx.child(strict, '7')
      const refused = await ctx.child(strict, 11).catch((error) => [error.name, error.cause.name, error.cause.message])
      return [fine, refused]
    })
    await work([strict, parent])
    expect(await stet.execute(strict, '5')).toBe('number')
    expect((await refusal(stet.start(strict, 11))).message).toContain('$.n: more than 10')
    const run = await stet.start(parent)
    expect(await run.result()).toEqual([
      'number',
      ['ChildFailure', 'InvalidInputError', expect.stringContaining('$.n: more than 10')],
    ])
  },
)

test('a result is checked when the run ends: recorded as the schema leaves it, or the run fails', async () => {
  const make = (limit: number) =>
    workflow(`result ${limit}`, { output: atMost(limit, true) }, async (ctx: Ctx<void>) => ctx.step('seven', () => '7'))
  await work([make(10), make(5)])
  expect(await stet.execute(make(10))).toBe(7)
  const failed = await refusal(stet.execute(make(5)))
  expect(failed.cause.message).toContain('the result of workflow "result 5" does not fit its schema')
})

test('the input that a run continues with is checked like one that it is started with', async () => {
  const chain = workflow('checked chain', { input: atMost(10) }, async (ctx, n): Promise<string> => {
    if (n >= 9) return `${typeof n} ${n}`
    return ctx.continueAsNew(n === 1 ? '9' : 11)
  })
  await work([chain])
  expect(await stet.execute(chain, 1)).toBe('number 9')
  expect((await refusal(stet.execute(chain, 2))).cause.message).toContain('more than 10')
})

test('messages are checked when they are sent', async () => {
  const word = signal('word', atMost(10))
  const add = update<number, StandardSchemaV1<number | string, number>>('add', atMost(10))
  const flow = workflow('checked messages', async (ctx: Ctx<void>) => {
    let sum = 0
    ctx.onUpdate(add, (n) => (sum += n))
    return sum + (await ctx.waitForSignal(word))
  })
  await work([flow])
  const run = await stet.start(flow)
  await reached(run, 'waiting')
  expect((await refusal(run.update(add, 11))).message).toContain('more than 10')
  expect(await run.update(add, 2)).toBe(2)
  expect((await refusal(run.signal(word, 11))).message).toContain('more than 10')
  await run.signal(word, 3)
  expect(await run.result()).toBe(3)
})

test('a schema that has become stricter does not break runs that began before', async () => {
  const make = (limit: number) =>
    workflow('tightened', { input: atMost(limit) }, async (ctx, n) => {
      await ctx.waitForSignal('go')
      return n
    })
  const before = await loop([make(100)])
  const run = await stet.start(make(100), 50)
  await reached(run, 'waiting')
  await before.stop()
  await work([make(10)])
  await run.signal('go')
  expect(await run.result()).toBe(50)
  expect((await refusal(stet.start(make(10), 50))).message).toContain('more than 10')
})

test('a history longer than a page is loaded whole, and one that is long is warned about', async () => {
  const { stet, work, loop, logs } = await house()
  const long = workflow('long', async (ctx: Ctx<void>) => {
    const all = await Promise.all(Array.from({ length: 20_500 }, (_, n) => ctx.step('n', () => n)))
    await ctx.waitForSignal('go')
    return [all.length, ctx.run.continueAsNewSuggested]
  })
  const first = await loop([long])
  const run = await stet.start(long)
  await until(async () => (await run.describe()).status === 'waiting', 'it waits')
  await first.stop()
  logs.length = 0
  await work([long])
  await run.signal('go')
  expect(await run.result()).toEqual([20_500, true])
  expect(logs.filter(({ message }) => message.includes('history of a run is long'))).toEqual([
    { level: 'warn', message: expect.any(String), fields: { run: run.runId, events: expect.any(Number) } },
  ])
  expect((await types(run)).filter((type) => type === 'StepCompleted')).toHaveLength(20_500)
})
