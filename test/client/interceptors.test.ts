/** What is put around steps, starts and messages, and what is never put around workflow code. */
import { expect, test } from 'vitest'
import { type Interceptor, query, Stet, signal, workflow } from '../../src/index.js'
import { refusal, until } from '../support/house.js'
import { testDatabase } from '../support/server.js'

const db = await testDatabase()
const word = signal<string>('word')
const flow = workflow('intercepted', async (ctx, input: string) => {
  ctx.onQuery(query<string>('input'), () => input)
  const first = await ctx.step('first', { retry: { maxAttempts: 2, initialInterval: 1 } }, ({ attempt }) => {
    if (attempt === 1) throw new Error('again')
    return input
  })
  return `${first} ${await ctx.waitForSignal(word)}`
})

test('each attempt, start and message passes through all of them, the first outermost, and replays through none', async () => {
  const seen: string[] = []
  const named = (name: string): Interceptor => ({
    async step(call, next) {
      seen.push(`${name} begins ${call.workflow}@${call.version} ${call.name} ${call.attempt}`)
      try {
        return await next()
      } finally {
        seen.push(`${name} ends ${call.name} ${call.attempt}`)
      }
    },
    start: (call, next) => next({ ...call, input: `${name}(${call.input})` }),
    message: (call, next) => next({ ...call, argument: `${name}(${call.argument})` }),
  })
  await using stet = new Stet({ url: db.url, interceptors: [named('a'), {}, named('b')] })
  {
    await using worker = stet.worker({ workflows: [flow] })
    await worker.start()
    const run = await stet.start(flow, 'in')
    await until(async () => (await run.describe()).status === 'waiting' || seen.length === 8, 'it waits')
    expect(await run.query('input')).toBe('b(a(in))')
    await run.signal(word, 'out')
    expect(await run.result()).toBe('b(a(in)) b(a(out))')
  }
  const attempt = (n: number) => [
    `a begins intercepted@1 first ${n}`,
    `b begins intercepted@1 first ${n}`,
    `b ends first ${n}`,
    `a ends first ${n}`,
  ]
  expect(seen).toEqual([...attempt(1), ...attempt(2)])
})

test('one that throws refuses: a start is not made, a message not sent, an attempt fails', async () => {
  const refusing: Interceptor = {
    start: (call, next) => (call.options.id === 'no' ? Promise.reject(new Error('no start')) : next(call)),
    message: () => Promise.reject(new Error('no message')),
    step: () => Promise.reject(new Error('no step')),
  }
  await using stet = new Stet({ url: db.url, interceptors: [refusing] })
  expect((await refusal(stet.start(flow, 'x', { id: 'no' }))).message).toBe('no start')
  expect((await refusal(stet.run('no').describe())).code).toBe('run_not_found')
  await using worker = stet.worker({ workflows: [flow] })
  await worker.start()
  const run = await stet.start(flow, 'x')
  expect((await refusal(run.signal(word, 'x'))).message).toBe('no message')
  expect((await refusal(run.result())).cause.message).toContain('no step')
})
