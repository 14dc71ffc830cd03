/** Runs that runs start, and runs that follow runs. */
import { describe, expect, test } from 'vitest'
import { CancelledFailure, ChildFailure, type Ctx, IdConflictError, signal, update, workflow } from '../../src/index.js'
import { gate, house, refusal, types, until } from '../support/house.js'

const { stet, work, loop, reached, db } = await house({ verify: true })

const double = workflow('double', async (ctx, n: number) => ctx.step('double', () => n * 2))
const sleeper = workflow('sleeper', async (ctx: Ctx<void>) => {
  await ctx.sleep('1d')
  return 'slept'
})
const statuses = async (parent: string) =>
  (await db.query('SELECT id, status FROM stet_store.runs WHERE parent_run_id = $1 ORDER BY id', [parent])).rows

describe('children', () => {
  test('give their results; the parent is parked meanwhile and knows them, they know it', async () => {
    const family = workflow('family', async (ctx: Ctx<void>) => {
      const [a, b] = await Promise.all([ctx.child(double, 1), ctx.child<typeof double>('double', 2)])
      const handle = await ctx.startChild(double, a + b, { id: 'third child' })
      const about = await ctx.child(kin)
      return { sum: await handle.result(), id: handle.id, parent: about }
    })
    const kin = workflow('kin', async (ctx: Ctx<void>) => ctx.run.parent)
    await work([family, double, kin])
    const run = await stet.start(family, undefined, { id: 'the family' })
    expect(await run.result()).toEqual({ sum: 12, id: 'third child', parent: { id: 'the family', runId: run.runId } })
    expect(await stet.run('third child').describe()).toMatchObject({
      status: 'completed',
      parent: { id: 'the family', runId: run.runId },
    })
    const { nodes, edges } = await run.graph()
    expect(nodes.filter(({ kind }) => kind === 'child').map(({ key, status }) => [key, status])).toEqual([
      ['double', 'completed'],
      ['double#2', 'completed'],
      ['double#3', 'completed'],
      ['kin', 'completed'],
    ])
    expect(edges.filter(({ to }) => to === 'double#3')).toEqual([
      { from: 'double', to: 'double#3' },
      { from: 'double#2', to: 'double#3' },
    ])
  })

  test('a slot of the parent is free while it waits: one slot is enough for a chain', async () => {
    const depth = workflow('depth', async (ctx: Ctx<number>, n: number): Promise<number> => {
      if (n === 0) return 0
      return 1 + (await ctx.child(depth, n - 1))
    })
    await work([depth], { concurrency: 1 })
    expect(await stet.execute(depth, 5)).toBe(5)
  })

  test('fail with a chain of causes', async () => {
    const bad = workflow('bad', async (ctx: Ctx<void>) => {
      await ctx.step('break', { retry: false }, () => {
        throw new RangeError('snap')
      })
    })
    const parent = workflow('parent of bad', async (ctx: Ctx<void>) => {
      try {
        await ctx.child(bad, undefined, { id: 'bad-1' })
      } catch (error: any) {
        return [
          error instanceof ChildFailure,
          error.id,
          error.cause.name,
          error.cause.cause.name,
          error.cause.cause.message,
        ]
      }
      return []
    })
    await work([bad, parent])
    expect(await stet.execute(parent)).toEqual([true, 'bad-1', 'StepFailure', 'RangeError', 'snap'])
  })

  test('an id that an open run has is a typed conflict, also when the worker ends right then', async () => {
    const parent = workflow('parent of taken', async (ctx: Ctx<void>) => {
      try {
        return await ctx.child(double, 1, { id: 'taken id' })
      } catch (error: any) {
        return error.cause instanceof IdConflictError ? 'conflict' : String(error)
      }
    })
    await stet.start(sleeper, undefined, { id: 'taken id' })
    const worker = await loop([parent, double])
    const run = await stet.start(parent)
    await until(async () => (await types(run)).includes('ChildFailed'), 'the refusal is on record')
    worker.crash()
    expect(await run.result()).toBe('conflict')
    await stet.run('taken id').terminate()
  })

  test('64 that finish at one instant lose no wake-up', async () => {
    const open = gate()
    const instant = workflow('instant', async (ctx, n: number) => ctx.step('wait', () => open.promise.then(() => n)))
    const crowd = workflow('crowd', async (ctx: Ctx<void>) => {
      const all = await Promise.all(Array.from({ length: 64 }, (_, n) => ctx.child(instant, n)))
      return all.reduce((a, b) => a + b)
    })
    await work([instant, crowd])
    await work([instant, crowd])
    const run = await stet.start(crowd)
    await until(
      async () => (await statuses(run.runId)).filter(({ status }) => status === 'running').length === 64,
      'all run',
    )
    open.open()
    expect(await run.result({ timeout: '20s' })).toBe(2016)
  })

  test('signals to them, and from outside to them by id', async () => {
    const listener = workflow('listener', async (ctx: Ctx<void>) => ctx.waitForSignal<string>('word'))
    const parent = workflow('parent of listener', async (ctx: Ctx<void>) => {
      const child = await ctx.startChild(listener)
      await child.signal('word', 'hello')
      return child.result()
    })
    await work([listener, parent])
    expect(await stet.execute(parent)).toBe('hello')
  })
})

describe('when the parent closes first', () => {
  test.each([
    ['cancel', 'cancelled'],
    ['terminate', 'terminated'],
    ['abandon', 'waiting'],
  ] as const)('%s', async (parentClosePolicy, status) => {
    const leaver = workflow(`leaver ${parentClosePolicy}`, async (ctx: Ctx<void>) => {
      const children = await Promise.all([1, 2, 3].map(() => ctx.startChild(sleeper, undefined, { parentClosePolicy })))
      return children.map(({ runId }) => runId)
    })
    await work([leaver, sleeper])
    const run = await stet.start(leaver)
    const children = await run.result()
    await until(
      async () => (await statuses(run.runId)).every((child) => child.status === status),
      `children are ${status}`,
    )
    await until(async () => (await db.query('SELECT FROM stet_store.chores')).rowCount === 0, 'no chore is left')
    if (status === 'waiting') for (const child of children) await stet.run(child).terminate()
  })

  test('children that nobody has begun yet are closed without a worker', async () => {
    const far = workflow('far leaver', async (ctx: Ctx<void>) => {
      await ctx.startChild(sleeper, undefined, { queue: 'nobody' })
    })
    await work([far])
    const run = await stet.start(far)
    await run.result()
    await until(async () => (await statuses(run.runId))[0]?.status === 'cancelled', 'it is cancelled')
  })

  test('a run that is terminated without a worker tells its children and its parent', async () => {
    const middle = workflow('middle', async (ctx: Ctx<void>) => {
      await ctx.child(sleeper)
    })
    const top = workflow('top', async (ctx: Ctx<void>) => {
      try {
        await ctx.child(middle, undefined, { id: 'the middle' })
      } catch (error: any) {
        return error.message
      }
      return ''
    })
    const worker = await loop([middle, top, sleeper])
    const run = await stet.start(top)
    await until(async () => (await stet.list({ workflow: 'sleeper', status: 'waiting' })).runs.length === 1, 'all wait')
    await worker.stop()
    await stet.run('the middle').terminate('enough')
    await work([middle, top, sleeper])
    expect(await run.result()).toContain('was terminated')
    await until(
      async () => (await stet.list({ workflow: 'sleeper', status: 'waiting' })).runs.length === 0,
      'it is told',
    )
  })
})

describe('cancelling a run that waits for a child', () => {
  test.each([
    ['wait', 'cancelled'],
    ['request', 'cancelled'],
    ['abandon', 'waiting'],
  ] as const)('%s', async (cancellation, status) => {
    const cleans = workflow(`cleans ${cancellation}`, async (ctx: Ctx<void>) => {
      try {
        await ctx.sleep('1d')
      } finally {
        await ctx.step('clean up', () => 1)
      }
    })
    const parent = workflow(`parent ${cancellation}`, async (ctx: Ctx<void>) => {
      await ctx.child(cleans, undefined, { cancellation, parentClosePolicy: 'abandon' })
    })
    await work([cleans, parent])
    const run = await stet.start(parent)
    await until(async () => (await statuses(run.runId))[0]?.status === 'waiting', 'the child waits')
    await run.cancel()
    const error = await refusal(run.result())
    expect(error.code).toBe('run_cancelled')
    expect(error.cause).toBeInstanceOf(CancelledFailure)
    if (cancellation === 'wait') expect((await statuses(run.runId))[0].status).toBe('cancelled')
    await until(async () => (await statuses(run.runId))[0].status === status, `the child is ${status}`)
    if (status === 'waiting') await stet.run((await stet.list({ workflow: cleans.name })).runs[0]!.runId).terminate()
  })
})

describe('continueAsNew', () => {
  const tick = signal<number>('tick')
  const rounds = workflow(
    'rounds',
    async (ctx: Ctx<{ sum: number; round: number }>, state: { sum: number; round: number }) => {
      if (state.round === 5) return state.sum
      const n = await ctx.waitForSignal(tick)
      return ctx.continueAsNew({ sum: state.sum + n, round: state.round + 1 })
    },
  )

  test('hands unread signals on, in order; result follows; by id means the latest', async () => {
    await work([rounds])
    const run = await stet.start(rounds, { sum: 0, round: 0 }, { id: 'rounds-1' })
    for (let n = 1; n <= 5; n++) await stet.run('rounds-1').signal(tick, 10 ** n)
    expect(await run.result()).toBe(111_110)
    const all = (await stet.list({ workflow: 'rounds' })).runs
    expect(all.map(({ id, status }) => [id, status])).toEqual([
      ['rounds-1', 'completed'],
      ...Array.from({ length: 5 }, () => ['rounds-1', 'continued']),
    ])
    expect((await stet.run('rounds-1').describe()).status).toBe('completed')
    expect((await run.describe()).status).toBe('continued')
    expect((await run.history()).at(-1)).toMatchObject({ type: 'RunContinued', data: { runId: all.at(-2)!.runId } })
  })

  test('a run without an id of its own goes on under its first run id; the highest version takes over', async () => {
    const make = (version: number) =>
      workflow('growing', { version }, async (ctx: Ctx<number>, n: number): Promise<string> => {
        if (n === 0) return `version ${ctx.run.version}`
        await ctx.waitForSignal('go')
        return ctx.continueAsNew(n - 1)
      })
    const first = await loop([make(1)])
    const run = await stet.start(make(1), 1)
    await reached(run, 'waiting')
    await work([make(1), make(2)])
    await first.stop()
    await run.signal('go')
    expect(await run.result()).toBe('version 2')
    expect(await stet.run(run.runId).result()).toBe('version 2')
  })

  test('an update that was not read is answered by the run that follows; the parent waits for the last', async () => {
    const ask = update<string>('ask')
    const chained = workflow('chained', async (ctx: Ctx<number>, n: number): Promise<string> => {
      if (n === 0) {
        await ctx.sleep(100)
        return ctx.continueAsNew(1)
      }
      let asked = false
      ctx.onUpdate(ask, () => {
        asked = true
        return `run ${n}`
      })
      await ctx.condition(() => asked)
      return 'end'
    })
    const above = workflow('above', async (ctx: Ctx<void>) => ctx.child(chained, 0, { id: 'chained-1' }))
    await work([chained, above])
    const run = await stet.start(above)
    const child = await until(async () => (await stet.list({ workflow: 'chained' })).runs[0], 'the child is there')
    expect(await stet.run(child!.runId).update(ask)).toBe('run 1')
    expect(await run.result()).toBe('end')
  })

  test('a signal storm against it loses nothing', async () => {
    const hop = workflow('hop', async (ctx: Ctx<number[]>, seen: number[]): Promise<number[]> => {
      const next = [...seen, await ctx.waitForSignal(tick)]
      return next.length === 40 ? next : ctx.continueAsNew(next)
    })
    await work([hop])
    const run = await stet.start(hop, [], { id: 'hop-1' })
    for (let n = 0; n < 40; n++) await stet.run('hop-1').signal(tick, n)
    expect(await run.result({ timeout: '20s' })).toEqual(Array.from({ length: 40 }, (_, n) => n))
  })
})

describe('what a run took in and did not come to read', () => {
  test('goes on to the run that follows: signals of a handler, of a wait, and updates, in order', async () => {
    const tick = signal<number>('tick')
    const add = update<string, number>('add')
    const entity = workflow('entity', async (ctx: Ctx<number[]>, seen: number[]): Promise<number[]> => {
      if (seen.length === 6) return seen
      const before = seen.length
      ctx.onSignal(tick, (n) => {
        seen.push(n)
      })
      ctx.onUpdate(add, (n) => {
        seen.push(n)
        return `run with ${before}`
      })
      await ctx.condition(() => seen.length > before)
      return ctx.continueAsNew(seen)
    })
    const run = await stet.start(entity, [], { id: 'entity-1' })
    for (const n of [1, 2, 3]) await run.signal(tick, n)
    const answers = [4, 5, 6].map((n) => run.update(add, n))
    await until(
      async () => (await db.query('SELECT FROM stet_store.inbox WHERE run_id = $1', [run.runId])).rowCount === 6,
      'all are accepted',
    )
    await work([entity])
    expect(await run.result()).toEqual([1, 2, 3, 4, 5, 6])
    expect(await Promise.all(answers)).toEqual(['run with 3', 'run with 4', 'run with 5'])

    const either = workflow('either', async (ctx: Ctx<string[]>, seen: string[]): Promise<string[]> => {
      if (seen.length === 2) return seen
      const word = await Promise.race([ctx.waitForSignal<string>('a'), ctx.waitForSignal<string>('b')])
      return ctx.continueAsNew([...seen, word])
    })
    const second = await stet.start(either, [], { id: 'either-1' })
    await second.signal('a', 'first')
    await second.signal('b', 'second')
    await work([either])
    expect(await second.result()).toEqual(['first', 'second'])
  })

  test('a child that could not be started is known before anything is sent to it', async () => {
    const taken = await stet.start(sleeper, undefined, { id: 'taken by another' })
    const hasty = workflow('hasty parent', async (ctx: Ctx<void>) => {
      const started = await ctx.startChild(double, 1, { id: 'taken by another' }).catch((error) => error.cause.code)
      return started
    })
    await work([hasty, double])
    const run = await stet.start(hasty)
    expect(await run.result()).toBe('id_conflict')
    expect(await types(run)).not.toContain('ChildStarted')
    await taken.terminate()
  })
})

test('to continue as new is to close: children hear of it, and messages to the closed run go to the one that follows', async () => {
  const hop = workflow('hop with children', async (ctx: Ctx<number>, n: number): Promise<string> => {
    if (n === 1) return ctx.waitForSignal<string>('word')
    await ctx.startChild(sleeper, undefined, { id: 'left behind' })
    return ctx.continueAsNew(1)
  })
  await work([hop, sleeper])
  const run = await stet.start(hop, 0, { id: 'hopping' })
  await until(async () => (await run.describe()).status === 'continued', 'it goes on under another run id')
  await until(async () => (await stet.run('left behind').describe()).status === 'cancelled', 'the child is told')
  await run.signal('word', 'hello')
  expect(await run.result()).toBe('hello')
})
