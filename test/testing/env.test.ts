import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import pg from 'pg'
import { describe, expect, inject, test } from 'vitest'
import { type Ctx, dag, signal, workflow } from '../../src/index.js'
import { type TestOptions, testEnv } from '../../src/testing/index.js'
import { databases } from './databases.js'

const url = inject('serverUrl')
const minute = 60_000
const hour = 60 * minute
const day = 24 * hour
/** What a busy machine may take of real time between two moves of the clock. */
const slack = 20_000

const approved = signal<string>('approved')
const approval = workflow('approval', async (ctx, document: string) => {
  await ctx.step('notify reviewer', () => document)
  const by = await ctx.waitForSignal(approved, { timeout: '3d', default: null })
  return by === null ? 'expired' : await ctx.step('publish', () => `${document}, approved by ${by}`)
})

const nothing = workflow('nothing', async (ctx) => ctx.now())

describe.each(databases)('on $database', (on) => {
  const open = (options: Omit<TestOptions, 'url'>) => testEnv({ ...options, ...on })

  test('limits hold in virtual time: a rate takes the time that it takes, one at a time is one after the other', async () => {
    const begun: number[] = []
    const hourly = workflow('hourly', { rateLimit: { limit: 2, period: '1h' } }, async (ctx: Ctx<void>) =>
      ctx.step('begin', () => void begun.push(Date.now())),
    )
    const single = workflow('single', { concurrency: { limit: 1, key: 'of' } }, async (ctx: Ctx<{ of: string }>) => {
      await ctx.step('hold', () => 1)
      await ctx.sleep('1d')
      return ctx.run.id
    })
    await using env = await open({ workflows: [hourly, single] })
    const runs = await Promise.all(Array.from({ length: 6 }, () => env.stet.start(hourly)))
    await env.clock.advance('59m')
    expect(begun).toHaveLength(2)
    await env.clock.advance('2m')
    expect(begun).toHaveLength(4)
    await Promise.all(Array.from({ length: 4 }, (_, i) => env.stet.start(single, { of: `${i % 2}` })))
    await env.clock.runToIdle()
    await Promise.all(runs.map((run) => run.result()))
    expect((await env.stet.list({ status: 'completed' })).runs).toHaveLength(10)
    await env.stet.limits.pause({ queue: 'default' })
    const held = await env.stet.start(single, { of: 'x' })
    await env.clock.advance('1d')
    expect((await held.describe()).status).toBe('pending')
  })

  test('a bulk is done by the worker that there is', async () => {
    await using env = await open({ workflows: [approval] })
    const runs = await Promise.all(['a', 'b'].map((plan) => env.stet.start(approval, plan)))
    await env.clock.advance('1h')
    const bulk = await env.stet.bulk('cancel', { workflow: 'approval' })
    expect(await bulk.result({ timeout: '20s' })).toMatchObject({ done: 2, refused: {} })
    for (const run of runs) await expect(run.result()).rejects.toMatchObject({ code: 'run_cancelled' })
    await (await env.stet.bulk('delete', { workflow: 'approval' })).result({ drive: true })
    expect((await env.stet.list()).runs).toEqual([])
  })

  describe('the clock', () => {
    test('a deadline of three days passes at once, and not before it is due', async () => {
      await using env = await open({ workflows: [approval] })
      const run = await env.stet.start(approval, 'plan')
      const before = env.clock.now()
      const started = performance.now()
      await env.clock.advance('71h')
      expect((await run.describe()).status).toBe('waiting')
      await env.clock.advance('1h')
      expect(await run.result()).toBe('expired')
      expect(performance.now() - started).toBeLessThan(5_000)
      expect(env.clock.now() - before).toBeGreaterThanOrEqual(3 * day)
      expect(env.clock.now() - before).toBeLessThan(3 * day + slack)
    })

    test('a signal in time wins, whatever the clock does afterwards', async () => {
      await using env = await open({ workflows: [approval] })
      const run = await env.stet.start(approval, 'plan')
      await env.clock.advance('2d')
      await run.signal(approved, 'Ada')
      await env.clock.advance('2d')
      expect(await run.result()).toBe('plan, approved by Ada')
    })

    test('sleeps of thirty days, of a fraction of a second and until a date end at their time', async () => {
      const sleeper = workflow('sleeper', async (ctx) => {
        const times = [ctx.now()]
        await ctx.sleep('30d')
        times.push(ctx.now())
        await ctx.sleep(700)
        times.push(ctx.now())
        await ctx.sleepUntil(new Date(times[0]! + 100 * day))
        times.push(ctx.now(), Date.now())
        return times
      })
      await using env = await open({ workflows: [sleeper] })
      const run = await env.stet.start(sleeper)
      await env.clock.runToIdle()
      const [start, month, later, until, patched] = (await run.result()) as number[]
      expect([month! - start!, later! - month!, until! - start!]).toEqual([30 * day, 700, 100 * day])
      expect(patched).toBe(until)
    })

    test('retries wait hours of virtual time, and the attempts are those of the policy', async () => {
      const began: number[] = []
      const retry = { maxAttempts: 4, initialInterval: '1h', jitter: 0 } as const
      const stubborn = workflow('stubborn', async (ctx) => {
        const start = ctx.now()
        const attempts = await ctx.step('call', { retry }, (step) => {
          began.push(env.clock.now())
          if (step.attempt < 4) throw new Error('unavailable')
          return step.attempt
        })
        return { attempts, took: ctx.now() - start }
      })
      await using env = await open({ workflows: [stubborn] })
      const run = await env.stet.start(stubborn)
      await env.clock.runToIdle()
      const { attempts, took } = await run.result()
      expect(attempts).toBe(4)
      const gaps = began.slice(1).map((at, i) => at - began[i]!)
      // The first attempt began while the time went on, and what clients and workers know of it may lag a little.
      expect(Math.abs(gaps[0]! - hour)).toBeLessThan(slack)
      expect(Math.abs(took - 7 * hour)).toBeLessThan(slack)
      expect(gaps.slice(1)).toEqual([2 * hour, 4 * hour])
    })

    test('runs interleave in the order of virtual time, none early', async () => {
      const seen: { due: number; at: number }[] = []
      const periodic = workflow('periodic', async (ctx, every: number) => {
        for (let i = 0; i < 5; i++) {
          const due = ctx.now() + every
          await ctx.sleep(every)
          const at = ctx.now()
          await ctx.step('look', () => void seen.push({ due, at }))
        }
      })
      await using env = await open({ workflows: [periodic] })
      for (const hours of [5, 7, 11, 13]) await env.stet.start(periodic, hours * hour)
      await env.clock.advance('40h')
      await env.clock.advance('25h')
      expect(seen).toHaveLength(20)
      expect(seen.map(({ at }) => at)).toEqual(seen.map(({ due }) => due))
      expect(seen.map(({ at }) => at)).toEqual(seen.map(({ at }) => at).toSorted((a, b) => a - b))
    })

    test('a run that sleeps an hour three times is through after three hours, in one call or in three', async () => {
      const naps = workflow('naps', async (ctx) => {
        for (let i = 0; i < 3; i++) await ctx.sleep('1h')
      })
      await using env = await open({ workflows: [naps] })
      const [first, second] = [await env.stet.start(naps), await env.stet.start(naps)]
      await env.clock.advance('3h')
      expect((await first.describe()).status).toBe('completed')
      expect((await second.describe()).status).toBe('completed')
      const third = await env.stet.start(naps)
      for (let i = 0; i < 3; i++) await env.clock.advance('1h')
      expect((await third.describe()).status).toBe('completed')
    })

    test('without a move, time goes on by itself', async () => {
      const nap = workflow('nap', (ctx) => ctx.sleep(300))
      await using env = await open({ workflows: [nap] })
      await env.clock.advance('1d')
      const before = env.clock.now()
      await env.stet.execute(nap)
      expect(env.clock.now() - before).toBeGreaterThanOrEqual(300)
      expect(env.clock.now() - before).toBeLessThan(slack)
    })

    test('time stands still while a step executes', async () => {
      let release = () => {}
      const gate = new Promise<void>((resolve) => {
        release = resolve
      })
      let entered = () => {}
      const inside = new Promise<void>((resolve) => {
        entered = resolve
      })
      const slow = workflow('slow', async (ctx) => {
        await ctx.step('work', () => {
          entered()
          return gate
        })
        return ctx.now()
      })
      const sleeping = workflow('sleeping', (ctx) => ctx.sleep('1m'))
      await using env = await open({ workflows: [slow, sleeping] })
      const before = env.clock.now()
      const other = await env.stet.start(sleeping)
      const run = await env.stet.start(slow)
      await inside
      const advanced = env.clock.advance('1h')
      for (let i = 0; i < 30; i++) expect((await other.describe()).status).not.toBe('completed')
      expect(env.clock.now() - before).toBeLessThan(slack)
      release()
      await advanced
      expect((await run.result()) - before).toBeLessThan(slack)
      expect((await other.describe()).status).toBe('completed')
      expect(env.clock.now() - before).toBeGreaterThanOrEqual(hour)
    })

    test('a delayed start, a run timeout and calls at the same time', async () => {
      const limited = workflow('limited', { timeout: '2h' }, (ctx) => ctx.waitForSignal('never'))
      const plain = workflow('plain', async (ctx) => ctx.now())
      await using env = await open({ workflows: [limited, plain] })
      const start = env.clock.now()
      const late = await env.stet.start(plain, undefined, { delay: '1h' })
      const run = await env.stet.start(limited)
      await Promise.all([env.clock.advance('30m'), env.clock.advance('31m')])
      const { startedAt } = await late.describe()
      expect(startedAt!.getTime() - start).toBeGreaterThanOrEqual(hour)
      expect(startedAt!.getTime() - start).toBeLessThan(hour + slack)
      expect((await run.describe()).status).toBe('waiting')
      await env.clock.runToIdle()
      await expect(run.result()).rejects.toMatchObject({ code: 'run_failed' })
    })

    test('runToIdle leaves runs that wait for a signal alone, and what no worker can take', async () => {
      const patient = workflow('patient', (ctx) => ctx.waitForSignal<number>('go'))
      await using env = await open({ workflows: [patient] })
      const run = await env.stet.start(patient)
      const stranger = await env.stet.start('not here', null)
      await env.clock.runToIdle()
      await env.clock.advance('1d')
      expect((await run.describe()).status).toBe('waiting')
      expect((await stranger.describe()).status).toBe('pending')
      await run.signal('go', 42)
      expect(await run.result()).toBe(42)
    })

    test('runToIdle names a run that sleeps without end; advance takes it as far as asked', async () => {
      const cron = workflow('cron', async (ctx) => {
        for (;;) await ctx.sleep('1h')
      })
      await using env = await open({ workflows: [cron], maxJumps: 20 })
      const run = await env.stet.start(cron)
      await expect(env.clock.runToIdle()).rejects.toMatchObject({
        code: 'endless',
        message: expect.stringContaining(`run ${run.runId} of workflow "cron" was due 20 times within 21 h`),
      })
      const before = (await run.describe()).historyLength
      await env.clock.advance('3h')
      const fired = (await run.history()).slice(before).filter(({ type }) => type === 'TimerFired')
      expect(fired).toHaveLength(3)
    })
  })

  describe('steps', () => {
    test('are replaced by name, in workflows and dags, attempts and retries included', async () => {
      const charged: number[] = []
      const refuse = () => Promise.reject(new Error('not in a test'))
      const order = workflow('order', async (ctx, amount: number) => {
        const stock = await ctx.step('reserve', () => 'reserved')
        return [stock, await ctx.step('charge payment', refuse), amount]
      })
      const graph = dag('graph', (d) => {
        const charge = d.task('charge payment', refuse)
        return { charge, done: d.task('done', { dependsOn: [charge] }, (_input, [id]) => `${id}, done`) }
      })
      await using env = await open({
        workflows: { order, graph, somethingElse: 1 },
        steps: {
          'charge payment': async (step) => {
            charged.push(step.attempt)
            if (step.attempt === 1) throw new Error('try again')
            return 'ch_1'
          },
        },
      })
      const run = await env.stet.start(order, 12)
      await env.clock.runToIdle()
      expect(await run.result()).toEqual(['reserved', 'ch_1', 12])
      expect(charged).toEqual([1, 2])
      const second = await env.stet.start(graph, undefined)
      await env.clock.runToIdle()
      expect(await second.result()).toMatchObject({ done: 'ch_1, done' })
    })
  })

  describe('the replay of every run', () => {
    test('reports another step, at the next call, once', async () => {
      let calls = 0
      const drifting = workflow('drifting', async (ctx) => {
        await ctx.step(`part ${++calls}`, () => 1)
        await ctx.sleep('1h')
      })
      const env = await open({ workflows: [drifting] })
      const run = await env.stet.start(drifting)
      const error = await env.clock.advance('1m').catch((error) => error)
      expect(error).toMatchObject({ code: 'nondeterminism' })
      expect(error.message).toContain(`run ${run.runId} of workflow "drifting" does not replay as it ran`)
      expect(error.message).toContain('step "part 1"')
      expect(error.message).toContain('step "part 2"')
      expect(error.message).toMatch(/env\.test\.ts:\d+/)
      await env[Symbol.asyncDispose]()
    })

    test.each([
      [
        'result',
        (n: number) => ({ n }),
        'live:   the run completed with {"n":1}',
        'replay: the run completed with {"n":2}',
      ],
      [
        'error',
        (n: number) => {
          throw new Error(`no ${n}`)
        },
        'live:   the run failed with Error: no 1',
        'replay: the run failed with Error: no 2',
      ],
    ])('reports another %s, at the disposal', async (_what, end: (n: number) => unknown, live, replayed) => {
      let calls = 0
      const drifting = workflow('drifting', async () => end(++calls))
      const env = await open({ workflows: [drifting] })
      const run = await env.stet.start(drifting)
      await run.result().catch(() => {})
      const error = await Promise.resolve(env[Symbol.asyncDispose]()).catch((error) => error)
      expect(error.message).toContain(live)
      expect(error.message).toContain(replayed)
    })

    test.each([
      ['a longer sleep', (ctx: Ctx, n: number) => ctx.sleep(n * hour)],
      ['one more wait', (ctx: Ctx, n: number) => Promise.race(Array.from({ length: n }, () => ctx.waitForSignal('x')))],
      ['a return', (ctx: Ctx, n: number) => (n === 1 ? ctx.waitForSignal('x') : Promise.resolve())],
    ])('reports %s', async (_what, wait: (ctx: Ctx, n: number) => Promise<unknown>) => {
      let calls = 0
      const drifting = workflow('drifting', async (ctx) => wait(ctx, ++calls))
      const env = await open({ workflows: [drifting] })
      await env.stet.start(drifting)
      await expect(env.clock.advance(1)).rejects.toMatchObject({ code: 'nondeterminism' })
      await env[Symbol.asyncDispose]()
    })

    test('finds nothing in workflows that use time, random numbers, ids, races and cancellation', async () => {
      const fine = workflow('fine', async (ctx, name: string) => {
        const noise = [Math.random(), Date.now(), ctx.uuid(), crypto.randomUUID(), performance.now()]
        const first = await Promise.race([ctx.step('a', () => noise), ctx.sleep('1h'), ctx.waitForSignal('never')])
        await Promise.allSettled([
          ctx.step(`${name} ${Math.random()}`, () => 1),
          ctx.sleep(Math.floor(Math.random() * hour)),
        ])
        await ctx.waitForSignal('end')
        return [first, new Date(), ctx.random()]
      })
      await using env = await open({ workflows: [fine] })
      const runs = await Promise.all([1, 2, 3].map((n) => env.stet.start(fine, `n${n}`)))
      await env.clock.advance('2h')
      await runs[0]!.signal('end')
      await runs[1]!.cancel('enough')
      await runs[2]!.terminate()
      await env.clock.runToIdle()
      const statuses = await Promise.all(runs.map(async (run) => (await run.describe()).status))
      expect(statuses).toEqual(['completed', 'cancelled', 'terminated'])
    })
  })

  describe('the environment', () => {
    test('is disposed of while a step hangs and a call waits', async () => {
      const hanging = workflow('hanging', (ctx) => ctx.step('hang', () => new Promise(() => {})))
      const env = await open({ workflows: [hanging] })
      await env.stet.start(hanging)
      const waiting = expect(env.clock.advance('1d')).rejects.toMatchObject({ code: 'closed' })
      const started = performance.now()
      await env[Symbol.asyncDispose]()
      await waiting
      expect(performance.now() - started).toBeLessThan(5_000)
    })

    test('two at once have their own runs and times', async () => {
      await using one = await open({ workflows: [nothing, approval] })
      await using two = await open({ workflows: [nothing, approval] })
      const [first, second] = await Promise.all([
        one.stet.start(approval, 'x', { id: 'same' }),
        two.stet.start(approval, 'y', { id: 'same' }),
      ])
      await Promise.all([one.clock.advance('10d'), two.clock.advance('1d')])
      expect(await first.result()).toBe('expired')
      expect((await second.describe()).status).toBe('waiting')
      const gap = (await one.stet.execute(nothing)) - (await two.stet.execute(nothing))
      expect(Math.abs(gap - 9 * day)).toBeLessThan(slack)
    })

    test('works under node:test', async () => {
      const file = join(import.meta.dirname, 'node-test.fixture.ts')
      const args = ['--import', 'tsx', '--test', '--test-reporter=tap', file]
      const { stdout } = await promisify(execFile)(process.execPath, args, {
        env: { ...process.env, TEST_ON: JSON.stringify(on) },
      })
      expect(stdout).toMatch(/# pass 1\n# fail 0/)
    })

    test('refuses to go on after it was disposed of', async () => {
      const env = await open({ workflows: [nothing] })
      await env[Symbol.asyncDispose]()
      await env[Symbol.asyncDispose]()
      await expect(env.clock.advance('1d')).rejects.toMatchObject({ code: 'closed' })
      await expect(env.stet.start(nothing)).rejects.toMatchObject({ code: 'closed' })
    })
  })
})

describe('a database of its own', () => {
  const open = (options: Omit<TestOptions, 'url'>) => testEnv({ ...options, url })
  const onServer = async (text: string, values: unknown[] = []) => {
    const client = new pg.Client({ connectionString: url })
    await client.connect()
    const { rowCount } = await client.query(text, values)
    await client.end()
    return rowCount
  }
  const databases = (name: string) => onServer('SELECT FROM pg_database WHERE datname = $1', [name])

  /** A connection to a new database; one that is old by its name is gone at once when another test opens one of its own. */
  const userOf = async (name: string): Promise<pg.Client> => {
    for (;;) {
      await onServer(`CREATE DATABASE ${name}`)
      const client = new pg.Client({ connectionString: Object.assign(new URL(url), { pathname: `/${name}` }).href })
      try {
        await client.connect()
        return client
      } catch (error) {
        if ((error as { code?: string }).code !== '3D000') throw error
      }
    }
  }

  test('deletes its database', async () => {
    const env = await open({ workflows: [nothing] })
    const { store } = await env.stet.internals()
    const name = store.description.split('/').at(-1)!
    expect(name).toMatch(/^stet_test_/)
    expect(await databases(name)).toBe(1)
    await env[Symbol.asyncDispose]()
    await env[Symbol.asyncDispose]()
    expect(await databases(name)).toBe(0)
  })

  test('deletes what killed processes left behind, and nothing else', async () => {
    const nameAt = (ms: number) => `stet_test_${ms.toString(36).padStart(9, '0')}_leftover`
    const [old, fresh] = [nameAt(Date.now() - hour), nameAt(Date.now() - minute)]
    const used = `${nameAt(Date.now() - 2 * hour)}_used`
    for (const name of [old, fresh]) await onServer(`CREATE DATABASE ${name}`)
    const user = await userOf(used)
    await using _env = await open({ workflows: [nothing] })
    expect([await databases(old), await databases(fresh), await databases(used)]).toEqual([0, 1, 1])
    await user.end()
    for (const name of [fresh, used]) await onServer(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`)
  })

  test('options that cannot be used are refused before anything is made', async () => {
    const bad = (options: object) => expect(testEnv({ url, ...options } as TestOptions)).rejects
    await bad({ workflows: [] }).toThrow(/no workflow found/)
    await bad({ workflows: [nothing], steps: { a: 'b' } }).toThrow(/steps\["a"\]: expected a function, got string/)
    await bad({ workflows: [nothing], maxJumps: 0 }).toThrow(/maxJumps: expected a whole number from 1, got 0/)
    await bad({ workflows: [nothing], database: 'sqlite' }).toThrow(
      /database: expected one of 'postgres', 'memory', got sqlite/,
    )
    await bad({ workflows: [nothing], database: 'memory' }).toThrow(/url: expected none with database: 'memory'/)
    await bad({ workflows: [nothing], url: 'localhost' }).toThrow(/url: expected postgres:/)
    const nowhere = new URL(url)
    nowhere.port = '1'
    await bad({ workflows: [nothing], url: nowhere.href }).toMatchObject({ code: 'no_database' })
    await using env = await open({ workflows: [nothing] })
    expect(() => env.clock.advance('3 days' as any)).toThrow(/clock.advance: expected a duration, got '3 days'/)
  })
})
