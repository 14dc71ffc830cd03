import { describe, expect, test } from 'vitest'
import { type Ctx, NonRetryableError, type StepContext, signal, update, workflow } from '../../src/index.js'
import { crashEverywhere } from '../../src/testing/index.js'
import { databases } from './databases.js'

// Dozens of executions each, and on Postgres every crash takes its time.
describe.each(databases)('crashEverywhere on $database', { timeout: 120_000 }, (on) => {
  test('crashes before, during and after each attempt; parallel steps, retries, sleeps and failures come out the same', async () => {
    const effects = new Map<string, number>()
    const bodies: string[] = []
    const once = (step: StepContext) => {
      effects.set(step.idempotencyKey, (effects.get(step.idempotencyKey) ?? 0) + 1)
    }
    const order = workflow('order', async (ctx, amount: number) => {
      const [a, b] = await Promise.all([
        ctx.step('validate', (step) => {
          once(step)
          bodies.push('validate')
          return amount
        }),
        ctx.step('reserve', (step) => {
          once(step)
          bodies.push('reserve')
          return amount + 1
        }),
      ])
      await ctx.sleep('1h')
      const c = await ctx.step('charge', { retry: { maxAttempts: 2 } }, (step) => {
        bodies.push('charge')
        if (step.attempt === 1) throw new Error('busy')
        return a + b
      })
      const d = await ctx.step('refund', () => Promise.reject(new NonRetryableError('too late'))).catch(String)
      return { c, d, random: Math.random() >= 0 }
    })
    const result = await crashEverywhere(order, 20, on)
    // validate, reserve, two attempts of charge, refund; and one of the two that are side by side, settled first
    expect(result).toEqual({ crashPoints: 3 * 5 + 1, expected: 3 * 5 + 1, outcomes: 1 })
    // 17 executions; a body ran again where the crash came after its effect, its own or that of the one beside it.
    expect(bodies.filter((name) => name === 'validate').length).toBeGreaterThanOrEqual(18)
    expect([...effects.values()].filter((times) => times > 1).length).toBeGreaterThanOrEqual(2)
    expect(Math.max(...effects.values())).toBe(2)
  })

  test('finds a step whose effect is not the same the second time', async () => {
    const seen = new Set<string>()
    const naive = workflow('naive', async (ctx) => {
      const left = await ctx.step('take', () => 1)
      return { left, number: await ctx.step('number', () => 'replaced below') }
    })
    await expect(
      crashEverywhere(naive, undefined, {
        ...on,
        steps: {
          number: (step: StepContext) => {
            if (seen.has(step.idempotencyKey)) return 'again'
            seen.add(step.idempotencyKey)
            return 'new'
          },
        },
      }),
    ).rejects.toMatchObject({
      code: 'crash_outcome',
      message: expect.stringMatching(
        /after the effect of step "number", before it was recorded \(crash point 5 of 6\)[\s\S]*expected: completed with .*"new"[\s\S]*got: {6}completed with .*"again"/,
      ),
    })
  })

  test('signals are sent by drive; what compare leaves out may differ; a run that still waits is an error', async () => {
    const approval = workflow('approval', async (ctx) => {
      await ctx.step('ask', () => 1)
      const by = await ctx.waitForSignal<string>('approved')
      return { by, key: await ctx.step('publish', (step) => step.idempotencyKey) }
    })
    const drive = async (run: any, env: any) => {
      await env.clock.advance('1h')
      await run.signal('approved', 'Ada')
      await env.clock.runToIdle()
    }
    expect(await crashEverywhere(approval, undefined, { ...on, drive, compare: ({ by }) => by })).toEqual({
      crashPoints: 6,
      expected: 6,
      outcomes: 1,
    })
    await expect(crashEverywhere(approval, undefined, on)).rejects.toMatchObject({ code: 'not_closed' })
    await expect(crashEverywhere('approval' as any, undefined, on)).rejects.toThrow(/expected a workflow/)
  })

  test('children, theirs, and runs that continue as new: their steps are crash points too', async () => {
    const grandchild = workflow('grandchild', async (ctx: Ctx<number>, n: number) => ctx.step('deep', async () => n))
    const child = workflow('child', async (ctx: Ctx<{ n: number; left: number }>, { n, left }) => {
      const done = await ctx.step('work', async () => n * 2)
      if (left > 0) return ctx.continueAsNew({ n: done, left: left - 1 })
      return ctx.child(grandchild, done)
    })
    const parent = workflow('parent', async (ctx: Ctx<void>) => {
      const [a, b, c] = await Promise.all([
        ctx.child(child, { n: 1, left: 1 }),
        ctx.child(child, { n: 2, left: 0 }),
        ctx.step('beside', async () => 3),
      ])
      return ctx.step('sum', () => a + b + c)
    })
    const result = await crashEverywhere(parent, undefined, { ...on, workflows: [child, grandchild] })
    // beside, sum; three of `work`, two of `deep`; nothing of one run has another of it beside it
    expect(result).toEqual({ crashPoints: 3 * 7, expected: 3 * 7, outcomes: 1 })
  })

  test('messages between runs: whoever is sent one takes part, and is gone before the next execution', async () => {
    const add = signal<number>('add')
    const counter = workflow('counter', async (ctx: Ctx<void>) => {
      for await (const n of ctx.signals(add)) await ctx.step('note', () => n)
    })
    const sender = workflow('sender', async (ctx: Ctx<void>) => {
      await ctx.signalWithStart(counter, undefined, add, 1, { id: 'the counter' })
      await ctx.handle('the counter').signal(add, 2)
      await ctx.sleep('1m')
      return ctx.step('end', () => 'sent')
    })
    const result = await crashEverywhere(sender, undefined, { ...on, workflows: { counter, add } })
    // Two messages are steps as well; they are taken in by two steps of the other.
    expect(result).toEqual({ crashPoints: 3 * 5, expected: 3 * 5, outcomes: 1 })
  })

  test('updates, timers in a race, compensation, a scope that is cancelled, and a map', async () => {
    const book = update<string, string>('book')
    const undone: string[] = []
    const trip = workflow('trip', async (ctx: Ctx<void>) => {
      let booked = ''
      ctx.onUpdate(book, async (what) => {
        booked = await ctx.step('book', async () => what)
        return booked
      })
      const inTime = await ctx.condition(() => booked !== '', { timeout: '1d' })
      const fast = await Promise.race([ctx.sleep('1h').then(() => 'late'), ctx.step('quick', async () => 'quick')])
      const cut = await ctx
        .scope({ timeout: '1m' }, async (ctx) => {
          await ctx.step('begin', () => 1)
          await ctx.sleep('1h')
        })
        .catch((error) => error.name)
      const mapped = await ctx.map('parts', ['x', 'y', 'z'], { concurrency: 2 }, (part) =>
        ctx.step('part', async () => part),
      )
      ctx.compensate('undo', () => void undone.push(booked))
      const told = await ctx.step('tell', () => `${inTime} ${fast} ${cut} ${mapped.join('')}`)
      throw new NonRetryableError(told)
    })
    const answers = new Set<string>()
    const drive = async (run: any, env: any) => {
      await env.clock.advance('1h')
      answers.add(await run.update(book, 'hotel'))
      await env.clock.runToIdle()
    }
    const result = await crashEverywhere(trip, undefined, { ...on, drive })
    // book, quick, begin, x, y, z, tell, undo; of the three parts two have another one beside them
    expect(result).toEqual({ crashPoints: 3 * 8 + 2, expected: 3 * 8 + 2, outcomes: 1 })
    expect([...answers]).toEqual(['hotel'])
    expect(new Set(undone)).toEqual(new Set(['hotel']))
  })

  test('the loser of a race is in no history: no crash point is its own', async () => {
    const race = workflow('race', async (ctx: Ctx<void>) =>
      Promise.race([ctx.step('a', async () => 'a'), ctx.step('b', async () => 'b')]),
    )
    // Which of two wins is fixed: a crash before anything was recorded lets the same one win.
    expect(await crashEverywhere(race, undefined, on)).toEqual({ crashPoints: 4, expected: 4, outcomes: 1 })
  })

  test('a workflow that takes another way each time is told from one whose outcome changes', async () => {
    let executions = 0
    const changing = workflow('changing', async (ctx: Ctx<void>) => {
      const n = await ctx.step('count', () => ++executions)
      if (n === 1) await ctx.step('once only', () => 1)
    })
    await expect(crashEverywhere(changing, undefined, on)).rejects.toMatchObject({
      code: 'crash_count',
      message: expect.stringMatching(/did not come by this: before step "once only" \(crash point 4 of 6\)/),
    })
  })
})

test('a transaction: its rows are there once, wherever the worker is lost', async () => {
  const [on] = databases
  const pay = workflow('pay', async (ctx: Ctx<void>) => {
    await ctx.transaction('make table', async (tx) => {
      await tx.query('CREATE TABLE IF NOT EXISTS payments (run text, n int)')
    })
    const [, count] = await Promise.all([
      ctx.step('beside', async () => 1),
      ctx.transaction('pay', async (tx) => {
        await tx.query('INSERT INTO payments VALUES ($1, 1)', [ctx.run.runId])
        return 1
      }),
    ])
    return ctx.transaction('count', async (tx) => {
      const { rows } = await tx.query('SELECT count(*)::int AS n FROM payments WHERE run = $1', [ctx.run.runId])
      return rows[0].n + count
    })
  })
  expect(await crashEverywhere(pay, undefined, { ...on })).toEqual({ crashPoints: 13, expected: 13, outcomes: 1 })
})
