import { describe, expect, test } from 'vitest'
import { type Ctx, workflow } from '../../src/index.js'
import { completeInEveryOrder } from '../../src/testing/index.js'
import { databases } from './databases.js'

const memory = { database: 'memory' } as const
const names = (n: number) => Array.from({ length: n }, (_, i) => `step ${i + 1}`)
const sideBySide = (n: number) =>
  workflow(`${n} side by side`, async (ctx: Ctx<void>) =>
    Promise.all(names(n).map((name) => ctx.step(name, async () => name))),
  )

describe.each(databases)('completeInEveryOrder on $database', (on) => {
  test('three steps side by side complete in six orders, each of them once', async () => {
    const orders = new Set<string>()
    const three = workflow('three', async (ctx: Ctx<void>) => {
      const order: string[] = []
      await Promise.all(
        ['a', 'b', 'c'].map((name) => ctx.step(name, async () => name).then((done) => order.push(done))),
      )
      await ctx.step('tell', () => void orders.add(order.join('')))
      return order.sort()
    })
    const result = await completeInEveryOrder(three, undefined, on)
    expect(result).toMatchObject({ orders: 6, outcomes: 1, complete: true })
    expect([...orders].sort()).toEqual(['abc', 'acb', 'bac', 'bca', 'cab', 'cba'])
  })

  test('finds an outcome that depends on the order, and names two orders', async () => {
    const last = workflow('last', async (ctx: Ctx<void>) => {
      let newest = 0
      await Promise.all(
        [1, 2].map(async (n) => {
          newest = await ctx.step(`read ${n}`, () => n)
        }),
      )
      return newest
    })
    await expect(completeInEveryOrder(last, undefined, on)).rejects.toMatchObject({
      code: 'order_outcome',
      message: expect.stringMatching(
        /read 2, read 1\n {4}completed with 1\n {2}read 1, read 2\n {4}completed with 2\n/,
      ),
    })
    const compare = () => 'whatever it is'
    expect(await completeInEveryOrder(last, undefined, { ...on, compare })).toMatchObject({ orders: 2, outcomes: 1 })
  })

  test('a race has an outcome for each that may win, and each replays as it was', async () => {
    const won: string[] = []
    const fastest = workflow('fastest', async (ctx: Ctx<void>) => {
      const winner = await Promise.race(['a', 'b'].map((name) => ctx.step(name, async () => name)))
      await ctx.step(`after ${winner}`, () => void won.push(winner))
      return winner
    })
    await expect(completeInEveryOrder(fastest, undefined, on)).rejects.toMatchObject({ code: 'order_outcome' })
    const { outcomes, complete, examples } = await completeInEveryOrder(fastest, undefined, { ...on, outcomes: 'any' })
    expect({ outcomes, complete }).toEqual({ outcomes: 2, complete: true })
    // The loser is recorded before what comes after the race, behind it, or not at all.
    expect(examples).toEqual([
      { outcome: 'completed with "b"', order: ['b', 'after b'] },
      { outcome: 'completed with "a"', order: expect.arrayContaining(['a', 'after a']) },
    ])
    expect(new Set(won)).toEqual(new Set(['a', 'b']))
  })
})

describe('what is permuted', () => {
  test('two chains of two steps interleave in six ways', async () => {
    const chains = workflow('chains', async (ctx: Ctx<void>) => {
      const chain = async (name: string) => {
        await ctx.step(`${name}1`, () => 1)
        await ctx.step(`${name}2`, async () => 2)
      }
      await Promise.all([chain('a'), chain('b')])
    })
    expect(await completeInEveryOrder(chains, undefined, memory)).toMatchObject({ orders: 6, complete: true })
  })

  test('steps of children, attempts that fail, and what waits between them', async () => {
    const child = workflow('child', async (ctx: Ctx<number>, n: number) => ctx.step('work', async () => n))
    const parent = workflow('parent', async (ctx: Ctx<void>) => {
      const flaky = async () => {
        await ctx.sleep('1h')
        return ctx.step('flaky', (step) => {
          if (step.attempt === 1) throw new Error('busy')
          return 3
        })
      }
      return Promise.all([ctx.child(child, 1), ctx.child(child, 2), flaky()])
    })
    const result = await completeInEveryOrder(parent, undefined, { ...memory, workflows: [child] })
    // The children one before the other; what fails an hour later has nothing beside it.
    expect(result).toMatchObject({ orders: 2, outcomes: 1, complete: true })
    expect(result.examples[0]!.order).toEqual(['work of parent/1', 'work of parent/2', 'flaky', 'flaky (attempt 2)'])
  })

  test('a body that takes no end is not waited for longer than a while', async () => {
    const endless = workflow('endless', async (ctx: Ctx<void>) =>
      Promise.race([
        ctx.step('hangs', (step) => new Promise((_, reject) => step.signal.addEventListener('abort', reject))),
        ctx.step('quick', () => 'quick').then((done) => ctx.step('then', () => `${done} then`)),
      ]),
    )
    expect(await completeInEveryOrder(endless, undefined, memory)).toMatchObject({ orders: 1, outcomes: 1 })
  })
})

describe('more orders than can be executed', () => {
  test('are a sample of different ones, the same for the same seed, and the result says so', async () => {
    const five = sideBySide(5)
    const drawn = async (seed: number) => {
      const orders: string[] = []
      const steps = Object.fromEntries(names(5).map((name) => [name, async () => name]))
      const noting = workflow('noting', async (ctx: Ctx<void>) => {
        const order: string[] = []
        await Promise.all(names(5).map((name) => ctx.step(name, steps[name]!).then((done) => order.push(done))))
        await ctx.step('tell', () => void orders.push(order.join()))
      })
      const { complete } = await completeInEveryOrder(noting, undefined, { ...memory, maxOrders: 12, seed })
      expect(complete).toBe(false)
      return orders
    }
    const first = await drawn(7)
    expect(new Set(first).size).toBe(12)
    expect(await drawn(7)).toEqual(first)
    expect(await drawn(8)).not.toEqual(first)
    // Not the neighbours of the first way: some begin with another step.
    expect(new Set(first.map((order) => order.split(',')[0])).size).toBeGreaterThan(2)
    expect(await completeInEveryOrder(five, undefined, memory)).toMatchObject({ orders: 120, complete: true })
  })
})

describe('refuses', () => {
  test('what is no workflow, what still waits, and options that cannot be used', async () => {
    const two = sideBySide(2)
    const waits = workflow('waits', async (ctx: Ctx<void>) => ctx.waitForSignal('never'))
    await expect(completeInEveryOrder('two' as any, undefined, memory)).rejects.toThrow(/expected a workflow/)
    await expect(completeInEveryOrder(two, undefined, { ...memory, maxOrders: 0 })).rejects.toThrow(/maxOrders/)
    await expect(completeInEveryOrder(two, undefined, { ...memory, outcomes: 'all' as any })).rejects.toThrow(/any/)
    await expect(completeInEveryOrder(waits, undefined, memory)).rejects.toMatchObject({ code: 'not_closed' })
  })

  test('steps that are other ones each time', async () => {
    let executions = 0
    const changing = workflow('changing', async (ctx: Ctx<void>) => {
      const n = await ctx.step('count', () => ++executions)
      await Promise.all(names(1 + (n % 3)).map((name) => ctx.step(name, async () => name)))
    })
    await expect(completeInEveryOrder(changing, undefined, memory)).rejects.toMatchObject({ code: 'order_count' })
  })
})
