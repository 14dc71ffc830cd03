/** Messages in: handlers, iterators, conditions, queries, updates. Messages out: signals and cancels to other runs. */
import pg from 'pg'
import { describe, expect, test } from 'vitest'
import {
  type Ctx,
  query,
  RunClosedError,
  RunNotFoundError,
  signal,
  TimeoutFailure,
  UpdateRejectedError,
  update,
  workflow,
} from '../../src/index.js'
import { house, refusal, types, until } from '../support/house.js'

const { stet, work, loop, reached, db } = await house({ verify: true })

const add = signal<number>('add')
const stop = signal('stop')
const total = query<number>('total')
const withdraw = update<number, number>('withdraw')

/** An account: deposits by signal, withdrawals by update, its balance by query. */
const account = workflow('account', async (ctx, opening: number) => {
  let balance = opening
  let closed = false
  ctx.onSignal(add, (amount) => {
    balance += amount
  })
  ctx.onSignal(stop, () => {
    closed = true
  })
  ctx.onQuery(total, () => balance)
  ctx.onUpdate(
    withdraw,
    {
      validate: (amount) => {
        if (amount > balance) throw new RangeError(`only ${balance} left`)
      },
    },
    async (amount) => {
      balance -= amount
      await ctx.step('pay out', () => amount)
      return balance
    },
  )
  await ctx.condition(() => closed)
  await ctx.condition(() => ctx.allHandlersFinished())
  return balance
})

describe('handlers of signals', () => {
  test('get what was sent before they were registered, in order, and what comes while the run is parked', async () => {
    const heard = workflow('heard', async (ctx: Ctx<void>) => {
      const all: string[] = []
      await ctx.sleep(50)
      ctx.onSignal(signal<string>('word'), async (word) => {
        await ctx.step(`note ${word}`, () => word)
        all.push(word)
      })
      await ctx.condition(() => all.length === 4)
      return all
    })
    const run = await stet.start(heard)
    for (const word of ['a', 'b', 'c']) await run.signal('word', word)
    await work([heard])
    await until(
      async () => (await types(run)).filter((type) => type === 'StepCompleted').length === 3,
      'three are noted',
    )
    await reached(run, 'waiting')
    await run.signal('word', 'd')
    expect(await run.result()).toEqual(['a', 'b', 'c', 'd'])
  })

  test('a wait for the same name comes before the handler', async () => {
    const both = workflow('both', async (ctx: Ctx<void>) => {
      const handled: number[] = []
      ctx.onSignal(add, (n) => {
        handled.push(n)
      })
      const first = await ctx.waitForSignal(add)
      await ctx.condition(() => handled.length === 2)
      return { first, handled }
    })
    const run = await stet.start(both)
    for (const n of [1, 2, 3]) await run.signal(add, n)
    await work([both])
    expect(await run.result()).toEqual({ first: 1, handled: [2, 3] })
  })

  test('one that throws fails the run', async () => {
    const touchy = workflow('touchy', async (ctx: Ctx<void>) => {
      ctx.onSignal(stop, () => {
        throw new Error('ouch')
      })
      await ctx.sleep('1d')
    })
    await work([touchy])
    const run = await stet.start(touchy)
    await run.signal(stop)
    expect((await refusal(run.result())).cause).toMatchObject({ message: 'ouch' })
  })

  test('a history with a handled signal does not fit code without the handler', async () => {
    const { stet, work, loop, db } = await house()
    const flow = (handle: boolean) =>
      workflow('handler gone', async (ctx: Ctx<void>) => {
        if (handle) ctx.onSignal(stop, () => {})
        await ctx.waitForSignal('go')
      })
    const first = await loop([flow(true)])
    const run = await stet.start(flow(true))
    await run.signal(stop)
    await until(async () => (await types(run)).includes('SignalReceived'), 'it is handled')
    await first.stop()
    await run.signal('go')
    await work([flow(false)])
    await until(async () => (await run.describe()).status === 'blocked', 'it is blocked')
    const { rows } = await db.query('SELECT problem FROM stet_store.runs WHERE run_id = $1', [run.runId])
    expect(JSON.parse(rows[0].problem).message).toContain('a handler of signal "stop"')
  })

  test('those at work when the workflow ends are warned about', async () => {
    const { stet, work, logs } = await house()
    const hasty = workflow('hasty', async (ctx: Ctx<void>) => {
      let begun = false
      ctx.onSignal(stop, async () => {
        begun = true
        await ctx.sleep('1d')
      })
      await ctx.condition(() => begun)
    })
    await work([hasty])
    const run = await stet.start(hasty)
    await run.signal(stop)
    await run.result()
    expect(logs.find(({ message }) => message.includes('handlers of messages were at work'))).toMatchObject({
      level: 'warn',
      fields: { run: run.runId, unfinished: 1 },
    })
  })
})

describe('signals as an iterator', () => {
  test('gives each message once, in order, across parking, until the loop is left', async () => {
    const summing = workflow('summing', async (ctx: Ctx<void>) => {
      let sum = 0
      for await (const n of ctx.signals(add)) {
        if (n === 0) break
        sum += await ctx.step('weigh', () => n)
      }
      return sum
    })
    await work([summing])
    const run = await stet.start(summing)
    for (const n of [1, 2]) await run.signal(add, n)
    await reached(run, 'waiting')
    for (const n of [3, 0]) await run.signal(add, n)
    expect(await run.result()).toBe(6)
  })
})

describe('condition', () => {
  test('with a timeout is false when the time is up, and true when it holds before, also across parking', async () => {
    const patient = workflow('patient', async (ctx: Ctx<void>) => {
      let ready = false
      ctx.onSignal(stop, () => {
        ready = true
      })
      const tooEarly = await ctx.condition(() => ready, { timeout: 60 })
      const inTime = await ctx.condition(() => ready, { timeout: '1d' })
      return { tooEarly, inTime, already: await ctx.condition(() => true) }
    })
    await work([patient])
    const run = await stet.start(patient)
    await until(async () => (await types(run)).includes('TimerFired'), 'the first timed out')
    await run.signal(stop)
    expect(await run.result()).toEqual({ tooEarly: false, inTime: true, already: true })
  })

  test('is looked at after each turn, and one that makes another true is followed at once', async () => {
    const chain = workflow('chain', async (ctx: Ctx<void>) => {
      const order: number[] = []
      let n = 0
      const waits = [3, 2, 1].map(async (wanted) => {
        await ctx.condition(() => n === wanted)
        order.push(wanted)
        n++
      })
      await ctx.step('begin', () => 1)
      n = 1
      await Promise.all(waits)
      return order
    })
    await work([chain])
    expect(await stet.execute(chain)).toEqual([1, 2, 3])
  })

  test('one that nothing can make true blocks the run and says so', async () => {
    const never = workflow('never', async (ctx: Ctx<void>) => {
      await ctx.condition(() => false)
    })
    const { stet, work, reached } = await house()
    await work([never])
    const run = await stet.start(never)
    expect((await reached(run, 'blocked')).problem?.message).toContain('awaits a condition')
  })

  test('a predicate that asks for something is an error at its place', async () => {
    const greedy = workflow('greedy', async (ctx: Ctx<void>) => {
      let looked = 0
      const wait = ctx.condition(() => {
        if (looked++ > 0) void ctx.step('x', () => 1)
        return false
      })
      await Promise.all([wait, ctx.sleep(10)])
    })
    const { stet, work } = await house()
    await work([greedy])
    expect((await refusal(stet.execute(greedy))).cause).toMatchObject({ code: 'in_condition' })
  })
})

describe('queries', () => {
  test('are answered by a live, a parked and a closed run, and see what came before', async () => {
    await work([account])
    const run = await stet.start(account, 10)
    await reached(run, 'waiting')
    expect(await run.query(total)).toBe(10)
    await run.signal(add, 5)
    await until(async () => (await run.query(total)) === 15, 'the deposit counts')
    await run.signal(stop)
    expect(await run.result()).toBe(15)
    expect(await run.query(total)).toBe(15)
    expect(await run.query('total')).toBe(15)
  })

  test('a run that is held in memory answers too, and with an argument', async () => {
    const times = query<number, number>('times')
    const busy = workflow('busy', async (ctx: Ctx<void>) => {
      const state = { n: 1 }
      ctx.onQuery(times, (by) => state.n * by)
      state.n = await ctx.step('two', () => 2)
      await ctx.sleep(100_000)
    })
    await work([busy], { holdMs: 200_000 })
    const run = await stet.start(busy)
    await until(async () => (await types(run)).includes('StepCompleted'), 'the step is over')
    await until(async () => (await run.query(times, 21)) === 42, 'it answers')
    expect((await run.describe()).status).toBe('running')
    await run.cancel()
  })

  test('one without a handler, with a handler that asks, fails or is async says so', async () => {
    const odd = workflow('odd', async (ctx: Ctx<void>) => {
      ctx.onQuery(query<number>('asks'), () => ctx.step('x', () => 1) as any)
      ctx.onQuery(query<number>('fails'), () => {
        throw new RangeError('no')
      })
      ctx.onQuery(query<number>('waits'), (async () => 1) as any)
      await ctx.waitForSignal('end')
    })
    await work([odd])
    const run = await stet.start(odd)
    await reached(run, 'waiting')
    expect(await refusal(run.query('asks'))).toMatchObject({ code: 'in_query' })
    expect(await refusal(run.query('fails'))).toBeInstanceOf(RangeError)
    expect(await refusal(run.query('waits'))).toMatchObject({ code: 'async_query' })
    const unknown = await refusal(run.query('unknown'))
    expect(unknown).toMatchObject({ code: 'no_handler' })
    expect(unknown.message).toContain('"asks", "fails", "waits"')
    await run.signal('end')
    await run.result()
  })

  test('that nobody can answer times out and says whose code is missing; to no run, that there is none', async () => {
    const lonely = workflow('lonely', { version: 7 }, async (ctx: Ctx<void>) => {
      await ctx.sleep('1d')
    })
    const run = await stet.start(lonely)
    const error = await refusal(run.query('q', undefined, { timeout: 50 }))
    expect(error).toBeInstanceOf(TimeoutFailure)
    expect(error.message).toContain('lonely@7')
    expect(await refusal(stet.run('nowhere').query('q'))).toBeInstanceOf(RunNotFoundError)
  })
})

describe('updates', () => {
  test('are validated in the turn that applies them: two withdrawals of one balance do not both pass', async () => {
    await work([account])
    const run = await stet.start(account, 100)
    const answers = await Promise.allSettled([run.update(withdraw, 70), run.update(withdraw, 70)])
    expect(answers.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected'])
    const lost = answers.find((answer) => answer.status === 'rejected')!
    expect((lost as PromiseRejectedResult).reason).toBeInstanceOf(UpdateRejectedError)
    expect((lost as PromiseRejectedResult).reason.cause).toMatchObject({ name: 'RangeError', message: 'only 30 left' })
    expect(await run.update(withdraw, 30)).toBe(0)
    await run.signal(stop)
    expect(await run.result()).toBe(0)
  })

  test('the same messageId has one effect and one answer, also after the run has closed', async () => {
    await work([account])
    const run = await stet.start(account, 100)
    const same = await Promise.all([1, 2, 3].map(() => run.update(withdraw, 10, { messageId: 'w1' })))
    expect(same).toEqual([90, 90, 90])
    await run.signal(stop)
    expect(await run.result()).toBe(90)
    expect(await run.update(withdraw, 10, { messageId: 'w1' })).toBe(90)
    expect(await refusal(run.update(withdraw, 10))).toBeInstanceOf(RunClosedError)
  })

  test('a run that closes first: RunClosedError; an answer given in the last turn is one', async () => {
    const last = update<string>('last')
    const never = update<string>('never')
    const brief = workflow('brief', async (ctx: Ctx<void>) => {
      let over = false
      ctx.onUpdate(last, () => {
        over = true
        return 'done'
      })
      ctx.onUpdate(never, async () => {
        await ctx.sleep('1d')
        return ''
      })
      await ctx.condition(() => over)
    })
    await work([brief])
    const run = await stet.start(brief)
    const lost = refusal(run.update(never))
    await until(async () => (await types(run)).includes('UpdateReceived'), 'it is at work')
    expect(await run.update(last)).toBe('done')
    await run.result()
    expect(await lost).toBeInstanceOf(RunClosedError)
  })

  test('a handler that fails rejects; a validator must not be async; the answer outlives a crash', async () => {
    const moody = workflow('moody', async (ctx: Ctx<void>) => {
      ctx.onUpdate(update<number>('fails'), async () => {
        await ctx.step('try', { retry: false }, () => {
          throw new Error('no luck')
        })
        return 1
      })
      ctx.onUpdate(update<number>('lazy'), { validate: (async () => {}) as any }, () => 1)
      ctx.onUpdate(update<number>('slow'), async () => {
        await ctx.sleep(300)
        return ctx.step('after', () => 7)
      })
      await ctx.waitForSignal('end')
    })
    const worker = await loop([moody])
    const run = await stet.start(moody)
    const failed = await refusal(run.update('fails'))
    expect(failed).toBeInstanceOf(UpdateRejectedError)
    expect(failed.cause).toMatchObject({ name: 'StepFailure' })
    expect((await refusal(run.update('lazy'))).cause).toMatchObject({ code: 'async_validator' })
    const slow = run.update('slow')
    await until(
      async () => (await types(run)).filter((type) => type === 'UpdateReceived').length === 3,
      'it is at work',
    )
    worker.crash()
    expect(await slow).toBe(7)
    await run.signal('end')
    await run.result()
  })

  test('one that was accepted and is not answered in time says how to go on waiting', async () => {
    const run = await stet.start(account, 1, { queue: 'nobody' })
    const error = await refusal(run.update(withdraw, 1, { timeout: 30 }))
    expect(error).toBeInstanceOf(TimeoutFailure)
    expect(error.message).toContain('messageId')
  })
})

describe('with start', () => {
  test('signalWithStart starts once, whoever asks, and loses no message', async () => {
    await work([account])
    const runs = await Promise.all(
      Array.from({ length: 16 }, (_, i) => stet.signalWithStart(account, 0, add, 2 ** i, { id: 'one account' })),
    )
    expect(new Set(runs.map(({ runId }) => runId)).size).toBe(1)
    await until(async () => (await runs[0]!.query(total)) === 2 ** 16 - 1, 'all have arrived')
    await runs[0]!.signal(stop)
    await runs[0]!.result()
    expect(await refusal(stet.signalWithStart(account, 0, add, 1, { id: 'one account' }))).toBeInstanceOf(
      RunClosedError,
    )
    const next = await stet.signalWithStart(account, 0, add, 1, { id: 'one account', ifClosed: 'new' })
    await until(async () => (await next.query(total)) === 1, 'a new one was started')
    await next.cancel()
  })

  test('updateWithStart starts, and answers', async () => {
    await work([account])
    const first = await stet.updateWithStart(account, 50, withdraw, 20, { id: 'updated account' })
    expect(first.result).toBe(30)
    const second = await stet.updateWithStart(account, 50, withdraw, 20, { id: 'updated account' })
    expect(second).toMatchObject({ result: 10, run: { runId: first.run.runId } })
    const refused = await refusal(stet.updateWithStart(account, 50, withdraw, 20, { id: 'updated account' }))
    expect(refused).toBeInstanceOf(UpdateRejectedError)
    await first.run.signal(stop)
    await first.run.result()
  })
})

describe('to other runs', () => {
  test('signalWithStart from a workflow starts one run for all, and loses no message', async () => {
    const depositor = workflow('depositor', async (ctx, n: number) => {
      await ctx.signalWithStart(account, 0, add, n, { id: 'shared account' })
      const closed = await ctx
        .signalWithStart(account, 0, add, n, { id: 'closed account' })
        .catch((error) => error.cause.code)
      return closed
    })
    await work([account, depositor])
    const gone = await stet.start(account, 0, { id: 'closed account' })
    await gone.terminate()
    const all = await Promise.all(Array.from({ length: 8 }, (_, n) => stet.execute(depositor, 10 ** n)))
    expect(all).toEqual(Array.from({ length: 8 }, () => 'run_closed'))
    const shared = stet.run<typeof account>('shared account')
    await until(async () => (await shared.query(total)) === 11_111_111, 'all have arrived')
    await shared.signal(stop)
    expect(await shared.result()).toBe(11_111_111)
  })

  test("a signal inside the caller's transaction is there when it commits, and never was when it rolls back", async () => {
    await work([account])
    const run = await stet.start(account, 0)
    const client = new pg.Client(db.url)
    await client.connect()
    try {
      await client.query('BEGIN')
      await run.signal(add, 1, { tx: client })
      await client.query('ROLLBACK')
      await client.query('BEGIN')
      await run.signal(add, 10, { tx: client })
      await client.query('COMMIT')
      await until(async () => (await run.query(total)) === 10, 'it has arrived')
      await run.signal(stop)
      expect(await run.result()).toBe(10)
      expect(await refusal(run.signal(add, 1, { tx: client }))).toBeInstanceOf(RunClosedError)
    } finally {
      await client.end()
    }
  })

  test('a signal is sent once, also when the worker ends in between; to no run it fails', async () => {
    const sender = workflow('sender', async (ctx, to: string) => {
      await ctx.handle(to).signal(add, 5)
      try {
        await ctx.handle('no such run').signal(add, 5)
      } catch (error: any) {
        return { name: error.name, cause: error.cause.code }
      }
      return null
    })
    const worker = await loop([account, sender])
    const target = await stet.start(account, 0, { id: 'target' })
    const run = await stet.start(sender, 'target')
    worker.crash()
    expect(await run.result()).toEqual({ name: 'StepFailure', cause: 'run_not_found' })
    await until(async () => (await target.query(total)) === 5, 'it has arrived')
    await target.signal(stop)
    expect(await target.result()).toBe(5)
  })

  test('a cancel reaches another run; one that has closed needs none', async () => {
    const victim = workflow('victim', async (ctx: Ctx<void>) => {
      await ctx.sleep('1d')
    })
    const canceller = workflow('canceller', async (ctx, to: string) => {
      await ctx.handle(to).cancel('enough')
      await ctx.sleep(100)
      await ctx.handle(to).cancel('again')
      return 'ok'
    })
    await work([victim, canceller])
    const target = await stet.start(victim, undefined, { id: 'victim-1' })
    await reached(target, 'waiting')
    expect(await stet.execute(canceller, 'victim-1')).toBe('ok')
    expect((await refusal(target.result())).code).toBe('run_cancelled')
  })
})
