/** What can be stored comes back equal from everywhere; what cannot is told at the call, and nothing is written. */
import { isDeepStrictEqual } from 'node:util'
import { describe, expect, test } from 'vitest'
import { decideRetry } from '../../src/core/retry.js'
import { type Ctx, SerializationError, signal, workflow } from '../../src/index.js'
import { house, refusal } from '../support/house.js'

const { stet, work, db } = await house()

const cyclic: any = { name: 'round' }
cyclic.self = cyclic
const sharedPart = { deep: true }

const storable: Record<string, unknown> = {
  nothing: undefined,
  null: null,
  'NUL in a value and a key': { 'a\u0000b': 'c\u0000d' },
  'lone surrogates': ['\ud800', '\udc00x', { '\ud83d': 1 }],
  'emoji, marks, separators': '😀 é e\u0301 \u2028 \ufeff \u202e \u200b',
  date: { at: new Date(1), deep: [new Date(-8.64e15)] },
  map: new Map<unknown, unknown>([
    ['a', 1],
    [{ k: 1 }, new Map()],
    [Number.NaN, new Date(0)],
  ]),
  set: new Set([1, 'a', null, undefined]),
  bigint: [2n ** 80n, -1n],
  numbers: [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, -0, 2 ** 53 + 2, 1e308, 5e-324],
  undefineds: { a: undefined, b: [undefined, null], c: undefined },
  'typed arrays': [
    new Uint8Array([0, 255]),
    new Float64Array([Number.NaN, -0]),
    new BigInt64Array([-5n]),
    new Uint16Array(0),
  ],
  regexp: /a\/b/giu,
  url: new URL('https://example.com/a?b=c#d'),
  'dangerous keys': JSON.parse('{"__proto__": {"x": 1}, "constructor": 1, "prototype": null, "at": "now"}'),
  'dangerous keys beside a date': { ...JSON.parse('{"constructor": {"prototype": 1}}'), at: new Date(5) },
  empty: ['', {}, []],
  scalar: 'text',
  deep: Array.from({ length: 400 }).reduce((inner) => ({ inner }), 'end' as any),
  long: 'x'.repeat(1_000_000),
  'JSON that looks like a tag': '~1{"json":1}',
}

describe('comes back equal as input, step result, signal, checkpoint and result', () => {
  const echo = workflow('echo', async (ctx: Ctx<unknown>, input: unknown) => {
    const result = await ctx.step('result', async (step) => {
      await step.saveCheckpoint(input)
      return [input, step.checkpoint]
    })
    const message = await ctx.waitForSignal('message')
    return { input, result, message }
  })

  test.each(Object.keys(storable))('%s', async (name) => {
    const value = storable[name]
    await work([echo])
    const run = await stet.start(echo, value)
    await run.signal('message', value)
    const { input, result, message } = (await run.result()) as any
    const history = await run.history()
    const started = history[0]!.data.input
    const received = history.find(({ type }) => type === 'SignalReceived')!.data.message
    for (const each of [input, result[0], result[1], message, started, received]) {
      // With its own key `constructor` an object is of no class that a matcher could compare.
      if (!isDeepStrictEqual(each, value)) expect(each).toStrictEqual(value)
    }
    expect(({} as any).x).toBeUndefined()
  })

  test('a cycle, and parts that are the same object', async () => {
    await work([echo])
    const value = { cyclic, one: sharedPart, two: sharedPart }
    const run = await stet.start(echo, value)
    await run.signal('message', value)
    const { input, message } = (await run.result()) as any
    for (const each of [input, message]) {
      expect(each.cyclic.self).toBe(each.cyclic)
      expect(each.one).toBe(each.two)
    }
  })
})

class Account {
  constructor(readonly balance: number) {}
}
const nested = () => {
  let value: unknown = 'end'
  for (let i = 0; i < 1_000_000; i++) value = [value]
  return value
}

/** By name: the value, and the path that the error names. */
const unstorable: Record<string, [make: () => unknown, path: string | RegExp, says: RegExp]> = {
  function: [() => ({ a: [0, { b: () => 1 }] }), '$.a[1].b', /function "b"/],
  'an un-awaited promise': [() => ({ total: Promise.resolve(1) }), '$.total', /Did you forget `await`/],
  'a class instance': [() => ({ from: new Account(1) }), '$.from', /class Account/],
  symbol: [() => [Symbol('s')], '$[0]', /Symbol\(s\)/],
  'a WeakMap': [() => ({ seen: new WeakMap() }), '$.seen', /WeakMap/],
  generator: [
    () => ({
      items: (function* () {
        yield 1
      })(),
    }),
    '$.items',
    /generator/,
  ],
  'an invalid date': [() => ({ at: new Date(Number.NaN) }), '$.at', /invalid Date/],
  'a getter that throws': [
    () => ({
      get bad() {
        throw new Error('mean')
      },
    }),
    /^\$(\.bad)?$/,
    /mean/,
  ],
  'a million levels': [nested, /^\$/, /nest|deep|levels/],
  '300 MB of text': [() => ({ text: 'x'.repeat(300 * 1024 * 1024) }), '$.text', /MiB|bytes|large/i],
}

describe('is told at the call with its path, and nothing is written', () => {
  const echo = workflow('refuse', async (ctx: Ctx<unknown>, input: unknown) => {
    await ctx.waitForSignal('never')
    return input
  })
  const count = async () => {
    const { rows } = await db.query(
      'SELECT (SELECT count(*) FROM stet_store.runs) + (SELECT count(*) FROM stet_store.history) + (SELECT count(*) FROM stet_store.inbox) AS n',
    )
    return Number(rows[0].n)
  }

  test.each(Object.keys(unstorable))('%s', async (name) => {
    const [make, path, says] = unstorable[name]!
    const run = await stet.start(echo, 'fine')
    const before = await count()
    for (const call of [
      () => stet.start(echo, make()),
      () => stet.start(echo, make(), { id: `x-${name}` }),
      () => stet.start('refuse', make()),
      () => run.signal('message', make()),
      () => run.signal(signal<unknown>('message'), make()),
    ]) {
      const error = await refusal(call)
      expect(error).toBeInstanceOf(SerializationError)
      expect(error.code).toBe('not_serializable')
      expect(error.path).toMatch(typeof path === 'string' ? new RegExp(`^${path.replace(/[$.[\]]/g, '\\$&')}$`) : path)
      expect(error.message).toMatch(says)
      expect(error.message.length).toBeLessThan(2_000)
    }
    expect(await count()).toBe(before)
    await run.terminate()
  })

  test.each(Object.keys(unstorable))('as the result of a step, %s fails the step without a retry', async (name) => {
    const [make, , says] = unstorable[name]!
    let calls = 0
    const flow = workflow(`step gives ${name}`, async (ctx) => {
      const failure = await ctx
        .step('give', () => {
          calls++
          return make()
        })
        .catch((error) => error)
      return failure
    })
    await work([flow])
    const failure = (await stet.execute(flow)) as any
    expect(failure).toMatchObject({ name: 'StepFailure', step: 'give', attempts: 1 })
    expect(failure.cause).toBeInstanceOf(SerializationError)
    expect(failure.cause.message).toMatch(says)
    expect(failure.cause.message).toContain('the result of step "give"')
    expect(calls).toBe(1)
  })

  test('as the result of a workflow it fails the run', async () => {
    const flow = workflow('gives', async () => ({ f: () => 1 }))
    await work([flow])
    const error = await refusal(stet.execute(flow))
    expect(error).toMatchObject({ code: 'run_failed', cause: { name: 'SerializationError', path: '$.f' } })
    expect(error.cause.message).toContain('the result of workflow "gives"')
  })

  test('a SerializationError is never retried, whatever the policy', () => {
    const policy = { maxAttempts: 9, initialMs: 1, coefficient: 1, maxMs: 1, jitter: 0, nonRetryable: [] }
    expect(decideRetry(policy, 1, new SerializationError('x', '$'), 0, 0)).toEqual({ retry: false })
  })
})

const junk = {
  NUL: 'a\u0000b',
  'a lone surrogate': 'a\ud800b',
  'a newline': 'a\nb',
  'an escape': '\u001b[31mred',
  empty: '',
  long: 'x'.repeat(256),
  'long in bytes': '😀'.repeat(64),
}

describe('the same junk in an error hurts nothing', () => {
  test.each(Object.entries(junk))('%s', async (name, text) => {
    const flow = workflow(`junk error ${name}`, async (ctx) => {
      const failure = await ctx
        .step('throw', { retry: false }, () => {
          throw Object.assign(new Error(text, { cause: new Error(text) }), { name: text || 'Error', code: text })
        })
        .catch((error) => error)
      await ctx.sleep(30)
      throw Object.assign(new Error(text, { cause: failure }), { name: text || 'Error' })
    })
    await work([flow], { holdMs: 0 })
    const run = await stet.start(flow)
    const error = await refusal(run.result())
    expect(error.code).toBe('run_failed')
    expect(error.cause.message).toBe(text)
    expect(error.cause.cause.cause).toMatchObject({ message: text, code: text })
    const { status, error: described } = await run.describe()
    expect(status).toBe('failed')
    expect(described!.message.isWellFormed()).toBe(true)
    expect(JSON.parse(JSON.stringify((await run.history()).map(({ type }) => type)))).toContain('StepFailed')
    expect((await stet.list({ status: 'failed' })).runs.some(({ runId }) => runId === run.runId)).toBe(true)
  })
})

const goodNames = [
  'a',
  'x'.repeat(255),
  "'; drop table runs",
  '../../x',
  'a/b?c#d',
  '%2F',
  '$1 $\u007bx}',
  '__proto__',
  'constructor',
  '-x',
  ' ',
  'é',
  'e\u0301',
  '😀',
  '\u202e',
  '\ufeff',
]

describe('names have the same limits everywhere', () => {
  test.each([...Object.entries(junk), ['no text', 5 as any], ['nothing', undefined], ['null', null]])(
    '%s is refused as the name of a workflow, signal, queue, step, wait, and as an id',
    async (_name, text: any) => {
      const flow = workflow('namer', async (ctx: Ctx<void>) => [
        await refusal(() => ctx.step(text, () => 1)).catch((error) => error.message),
        await refusal(() => ctx.waitForSignal(text)).catch((error) => error.message),
      ])
      const calls: [string, () => unknown][] = [
        ['workflow', () => workflow(text, async () => {})],
        ['signal', () => signal(text)],
        ['start by name', () => stet.start(text, undefined)],
        ['run', () => stet.run(text)],
        ['signal by name', () => stet.run('r').signal(text, 1)],
        ['worker queue', () => stet.worker({ workflows: [flow], queues: [text] }).start()],
      ]
      if (text !== undefined) {
        calls.push(
          ['id', () => stet.start(flow, undefined, { id: text })],
          ['queue', () => workflow('x', { queue: text }, async () => {})],
          ['start queue', () => stet.start(flow, undefined, { queue: text })],
          ['messageId', () => stet.run('r').signal('s', 1, { messageId: text })],
        )
      }
      for (const [what, call] of calls) {
        const error = await refusal(call)
        expect([what, error.name]).toEqual([what, 'InvalidInputError'])
        expect(error.message).toMatch(/expected/)
        expect(error.message.isWellFormed()).toBe(true)
        // biome-ignore lint/suspicious/noControlCharactersInRegex: none may be in a message
        expect(error.message).not.toMatch(/[\u0000-\u001f]/)
      }
      await work([flow])
      const inside = (await stet.execute(flow)) as any[]
      for (const error of inside) expect(error).toMatchObject({ name: 'InvalidInputError', code: 'invalid_input' })
    },
  )

  test.each(goodNames)('%j is a name', async (text) => {
    const id = `${text.slice(0, 250)}`
    const flow = workflow(text, async (ctx) => {
      await ctx.step(text, () => 1)
      return await ctx.waitForSignal<string>(text)
    })
    await work([flow])
    const run = await stet.start(flow, undefined, { id })
    await stet.run(id).signal(text, 'here', { messageId: text })
    expect(await stet.run(id).result()).toBe('here')
    expect((await stet.list({ workflow: text })).runs.map(({ runId }) => runId)).toEqual([run.runId])
    expect(await run.graph()).toMatchObject({ edges: expect.any(Array) })
  })
})
