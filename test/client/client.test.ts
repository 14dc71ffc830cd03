/** Starting, waiting, reading. */
import type { StandardSchemaV1 } from '@standard-schema/spec'
import pg from 'pg'
import { describe, expect, onTestFinished, test } from 'vitest'
import {
  type Ctx,
  RunFailedError,
  RunNotFoundError,
  StepFailure,
  Stet,
  signal,
  TimeoutFailure,
  workflow,
} from '../../src/index.js'
import { gate, house, refusal, until } from '../support/house.js'

const { stet, work, db, reached } = await house()

const waiter = workflow('waiter', async (ctx: Ctx<unknown>, input: unknown) => {
  const how = await ctx.waitForSignal<string>('end')
  if (how === 'fail') throw new Error('told to fail')
  return input
})

let ids = 0
const newId = (what: string) => `${what}-${++ids}`

describe('start is idempotent', () => {
  test('the same id, workflow and input is the first run, open or closed', async () => {
    const id = newId('same')
    const first = await stet.start(waiter, { a: 1, b: [new Date(5)] }, { id })
    expect(first.id).toBe(id)
    const again = await stet.start(waiter, { b: [new Date(5)], a: 1 }, { id })
    expect(again.runId).toBe(first.runId)
    expect((await stet.start('waiter', { a: 1, b: [new Date(5)] }, { id })).runId).toBe(first.runId)
    await work([waiter])
    await first.signal('end', 'well')
    await first.result()
    const after = await stet.start(waiter, { a: 1, b: [new Date(5)] }, { id })
    expect(after.runId).toBe(first.runId)
    expect(await after.result()).toEqual({ a: 1, b: [new Date(5)] })
  })

  test('another input or another workflow is a conflict that names the run', async () => {
    const id = newId('conflict')
    const { runId } = await stet.start(waiter, 1, { id })
    const other = workflow('other', async (_: Ctx<number>, n: number) => n)
    for (const call of [
      stet.start(waiter, 2, { id }),
      stet.start(other, 1, { id }),
      stet.start(waiter, undefined, { id }),
    ]) {
      expect(await refusal(call)).toMatchObject({
        name: 'IdConflictError',
        code: 'id_conflict',
        message: expect.stringContaining(runId),
      })
    }
  })

  test('many at once make one run', async () => {
    const id = newId('at-once')
    const other = new Stet({ url: db.url })
    onTestFinished(() => other.close())
    const runs = await Promise.all(
      Array.from({ length: 60 }, (_, i) => (i % 2 === 0 ? stet : other).start(waiter, 'same', { id })),
    )
    expect(new Set(runs.map(({ runId }) => runId)).size).toBe(1)
    const { rows } = await db.query('SELECT count(*)::int AS n FROM stet_store.runs WHERE id = $1', [id])
    expect(rows[0].n).toBe(1)
  })

  test('without an id each is a run of its own', async () => {
    const runs = await Promise.all(Array.from({ length: 20 }, () => stet.start(waiter, 1)))
    expect(new Set(runs.map(({ runId }) => runId)).size).toBe(20)
    for (const { id, runId } of runs) expect(id).toBe(runId)
  })
})

describe('what stands under the id decides', () => {
  test.each<['existing' | 'fail' | 'terminate', string]>([
    ['existing', 'same'],
    ['fail', 'id_conflict'],
    ['terminate', 'another'],
  ])('open, ifOpen %s: %s', async (ifOpen, what) => {
    const id = newId('open')
    const first = await stet.start(waiter, 1, { id })
    const second = await stet.start(waiter, 1, { id, ifOpen }).catch((error) => error)
    if (what === 'id_conflict') expect(second.code).toBe(what)
    else expect(second.runId === first.runId).toBe(what === 'same')
    expect((await first.describe()).status).toBe(ifOpen === 'terminate' ? 'terminated' : 'pending')
    expect((await stet.run(id).describe()).runId).toBe(second.runId ?? first.runId)
  })

  test('terminate and restart may have another input, and leaves one run open', async () => {
    const id = newId('restart')
    const held = gate()
    const began = gate()
    const flow = workflow('restarted', (ctx: Ctx<number>, n: number) =>
      ctx.step('hold', async () => {
        if (n > 1) return n
        began.open()
        await held.promise
        return 0
      }),
    )
    await work([flow])
    const first = await stet.start(flow, 1, { id })
    await began.promise
    const second = await stet.start(flow, 2, { id, ifOpen: 'terminate' })
    expect(await second.result()).toBe(2)
    expect((await refusal(first.result())).code).toBe('run_terminated')
    expect(await stet.run(id).result()).toBe(2)
    held.open()
  })

  test.each<['completed' | 'failed', 'existing' | 'new' | 'newIfFailed' | 'fail', string]>([
    ['completed', 'existing', 'same'],
    ['completed', 'new', 'another'],
    ['completed', 'newIfFailed', 'same'],
    ['completed', 'fail', 'id_conflict'],
    ['failed', 'existing', 'same'],
    ['failed', 'new', 'another'],
    ['failed', 'newIfFailed', 'another'],
    ['failed', 'fail', 'id_conflict'],
  ])('%s, ifClosed %s: %s', async (status, ifClosed, what) => {
    await work([waiter])
    const id = newId('closed')
    const first = await stet.start(waiter, 1, { id })
    await first.signal('end', status === 'failed' ? 'fail' : 'well')
    await reached(first, status)
    const second = await stet.start(waiter, 1, { id, ifClosed }).catch((error) => error)
    if (what === 'id_conflict') expect(second.code).toBe(what)
    else expect(second.runId === first.runId).toBe(what === 'same')
    if (what !== 'another') return
    // By id means the latest; by run id, that very one.
    expect((await stet.run(id).describe()).runId).toBe(second.runId)
    expect((await stet.run(first.runId).describe()).status).toBe(status)
    await second.signal('end', 'well')
    expect(await stet.run(id).result()).toBe(1)
  })

  test('a cancelled or terminated run counts as failed', async () => {
    const id = newId('ended')
    const first = await stet.start(waiter, 1, { id })
    await first.cancel()
    const second = await stet.start(waiter, 1, { id, ifClosed: 'newIfFailed' })
    await second.terminate()
    const third = await stet.start(waiter, 1, { id, ifClosed: 'newIfFailed' })
    expect(new Set([first.runId, second.runId, third.runId]).size).toBe(3)
  })

  test('a policy for open runs says nothing of closed ones: another input still conflicts', async () => {
    const id = newId('closed-conflict')
    const first = await stet.start(waiter, 1, { id })
    await first.terminate()
    expect((await refusal(stet.start(waiter, 2, { id, ifOpen: 'terminate' }))).code).toBe('id_conflict')
    expect((await stet.start(waiter, 2, { id, ifClosed: 'new' })).runId).not.toBe(first.runId)
  })
})

describe('when it begins', () => {
  const noted = workflow('noted', async (ctx: Ctx<string>, name: string) => {
    await ctx.step('note', () => order.push(name))
    return ctx.run.startedAt
  })
  const order: string[] = []

  test('delay and startAt: not before', async () => {
    await work([noted])
    const now = (await db.query('SELECT clock_timestamp() AS now')).rows[0].now as Date
    const startAt = new Date(now.getTime() + 300)
    const [put, at, past] = await Promise.all([
      stet.start(noted, 'put', { delay: 250 }),
      stet.start(noted, 'at', { startAt }),
      stet.start(noted, 'past', { startAt: new Date(-8.64e15) }),
    ])
    await Promise.all([put.result(), at.result(), past.result()])
    expect(order.splice(0)).toEqual(['past', 'put', 'at'])
    const began = async (run: typeof put) => Date.parse((await run.history()).find(({ op }) => op === 1)!.data.began)
    expect(await began(put)).toBeGreaterThanOrEqual((await put.describe()).createdAt.getTime() + 250)
    expect(await began(at)).toBeGreaterThanOrEqual(startAt.getTime())
  })

  test('a signal to a run that is put off does not bring it forward', async () => {
    const run = await stet.start(waiter, 1, { delay: '1h' })
    await work([waiter])
    await run.signal('end', 'well')
    expect((await reached(run, 'waiting')).claim).toBe(0)
    await run.cancel()
  })

  test('higher priority first, first come first served among equals', async () => {
    const started = [
      ['low', -5],
      ['first', 0],
      ['second', 0],
      ['high', 7],
      ['highest', 32_000],
    ] as const
    for (const [name, priority] of started) await stet.start(noted, name, { priority })
    await work([noted], { concurrency: 1 })
    await until(() => order.length === 5, 'all have run')
    expect(order.splice(0)).toEqual(['highest', 'high', 'first', 'second', 'low'])
  })

  test('on the queue that was named, by workers that listen on it', async () => {
    await work([noted], { queues: ['here'] })
    const [elsewhere, here] = await Promise.all([
      stet.start(noted, 'elsewhere', { queue: 'elsewhere' }),
      stet.start(noted, 'here', { queue: 'here' }),
    ])
    await here.result()
    expect((await elsewhere.describe()).status).toBe('pending')
    expect(order.splice(0)).toEqual(['here'])
    await elsewhere.terminate()
  })
})

describe('results', () => {
  const failing = workflow('failing', async (ctx: Ctx<void>) => {
    await ctx.step('charge', { retry: { maxAttempts: 2, initialInterval: 1 } }, () => {
      throw new TypeError('no card', { cause: new RangeError('limit of 5') })
    })
  })

  test('execute gives the output, or throws with the whole chain of causes', async () => {
    await work([failing])
    const error = await refusal(stet.execute(failing))
    expect(error).toBeInstanceOf(RunFailedError)
    expect(error).toMatchObject({ code: 'run_failed', runId: expect.stringMatching(/^run_/) })
    expect(error.message).toContain('no card')
    expect(error.cause).toBeInstanceOf(StepFailure)
    expect(error.cause).toMatchObject({ step: 'charge', attempts: 2 })
    expect(error.cause.cause).toBeInstanceOf(TypeError)
    expect(error.cause.cause).toMatchObject({ message: 'no card' })
    expect(error.cause.cause.stack).toContain('client.test.ts')
    expect(error.cause.cause.cause).toBeInstanceOf(RangeError)
    expect(error.cause.cause.cause.message).toBe('limit of 5')
  })

  test('with a timeout: a TimeoutFailure, and the run goes on', async () => {
    await work([waiter])
    const run = await stet.start(waiter, 'later')
    const error = await refusal(run.result({ timeout: 20 }))
    expect(error).toBeInstanceOf(TimeoutFailure)
    expect(error.operation).toBe('result')
    expect((await refusal(run.result({ timeout: -1 }))).code).toBe('invalid_input')
    await run.signal('end', 'well')
    expect(await run.result({ timeout: '20s' })).toBe('later')
  })

  test('many waits for one run, before and after its end, in this and another process, see the same', async () => {
    const other = new Stet({ url: db.url })
    onTestFinished(() => other.close())
    await work([waiter])
    const run = await stet.start(waiter, { value: 7 })
    const early = Array.from({ length: 50 }, (_, i) => (i % 2 === 0 ? run : other.run(run.id)).result())
    await run.signal('end', 'well')
    const all = await Promise.all([...early, run.result(), other.run(run.runId).result(), stet.run(run.id).result()])
    for (const each of all) expect(each).toEqual({ value: 7 })
  })

  test('2,000 waits at once cost few statements', async () => {
    const { store } = await stet.internals()
    const quick = workflow('quick', async (_: Ctx<number>, n: number) => n)
    const runs = await Promise.all(Array.from({ length: 2_000 }, (_, n) => stet.start(quick, n)))
    const real = store.results
    let statements = 0
    store.results = (runIds) => {
      statements++
      return real(runIds)
    }
    onTestFinished(() => {
      store.results = real
    })
    const results = Promise.all(runs.map((run) => run.result()))
    await work([quick])
    expect(await results).toEqual(Array.from({ length: 2_000 }, (_, n) => n))
    expect(statements).toBeLessThan(60)
  })

  test('what is not there is not found, at the first use', async () => {
    const nobody = stet.run('nobody')
    for (const call of [
      () => nobody.result(),
      () => nobody.describe(),
      () => nobody.history(),
      () => nobody.graph(),
      () => nobody.signal('x', 1),
      () => nobody.cancel(),
      () => nobody.terminate(),
      () => nobody.resume(),
    ]) {
      const error = await refusal(call)
      expect(error).toBeInstanceOf(RunNotFoundError)
      expect(error.message).toContain('"nobody"')
    }
  })

  test('a closed Stet says so', async () => {
    const other = new Stet({ url: db.url })
    const run = await other.start(waiter, 1)
    const waiting = refusal(run.result())
    // The wait has begun when its first question has been answered.
    await run.describe()
    await other.close()
    expect((await waiting).code).toBe('closed')
    for (const call of [() => other.start(waiter, 1), () => run.describe(), () => run.result()]) {
      expect((await refusal(call)).code).toBe('closed')
    }
    await other.close()
  })
})

describe('reading', () => {
  test('list: filters, newest first, by pages', async () => {
    const listed = workflow('listed', { version: 3, queue: 'lists' }, async (_: Ctx<number>, n: number) => {
      if (n % 5 === 4) throw new Error(`No. ${n} FAILED`)
      return n
    })
    await work([listed])
    const runs: Awaited<ReturnType<typeof stet.start>>[] = []
    for (let n = 0; n < 15; n++) {
      runs.push(
        await stet.start(listed, n, { attributes: { n, half: n < 7 ? 'first' : 'second', tags: ['a', `t${n % 3}`] } }),
      )
    }
    await Promise.all(runs.map((run) => run.result().catch(() => {})))
    const idsOf = (found: { runs: { runId: string }[] }) => found.runs.map(({ runId }) => runId)
    // Run ids carry their millisecond; within one the order is theirs.
    const expected = (keep: (n: number) => boolean) =>
      runs
        .filter((_, n) => keep(n))
        .map(({ runId }) => runId)
        .sort()
        .reverse()
    const list = async (filter: Parameters<typeof stet.list>[0]) =>
      idsOf(await stet.list({ workflow: 'listed', ...filter }))

    expect(await list({})).toEqual(expected(() => true))
    expect(await list({ status: 'failed' })).toEqual(expected((n) => n % 5 === 4))
    expect(await list({ status: ['failed', 'completed'] })).toEqual(expected(() => true))
    expect(await list({ status: 'pending' })).toEqual([])
    expect(await list({ version: 3, queue: 'lists' })).toEqual(expected(() => true))
    expect(await list({ version: 2 })).toEqual([])
    expect(await list({ queue: 'default' })).toEqual([])
    expect(await list({ attributes: { half: 'first' } })).toEqual(expected((n) => n < 7))
    expect(await list({ attributes: { half: 'first', n: 3 } })).toEqual(expected((n) => n === 3))
    expect(await list({ attributes: { tags: ['t1'] } })).toEqual(expected((n) => n % 3 === 1))
    expect(await list({ error: 'failed' })).toEqual(expected((n) => n % 5 === 4))
    expect(await list({ error: 'no. 9' })).toEqual(expected((n) => n === 9))
    const middle = (await runs[8]!.describe()).createdAt
    expect(await list({ startedAfter: middle })).toEqual(expected((n) => n >= 8))
    expect(await list({ startedBefore: middle })).toEqual(expected((n) => n < 8))

    const paged: string[] = []
    let after: string | undefined
    let pages = 0
    do {
      const page = await stet.list({ workflow: 'listed', limit: 4, ...(after === undefined ? {} : { after }) })
      paged.push(...idsOf(page))
      after = page.next
      pages++
    } while (after !== undefined)
    expect([paged, pages]).toEqual([expected(() => true), 4])
    expect((await stet.list({ workflow: 'listed', limit: 15 })).next).toBeUndefined()
    for (const filter of [{ limit: 0 }, { limit: 1.5 }, { limit: 1e9 }, { status: 'done' as any }]) {
      expect((await refusal(() => stet.list(filter))).code).toBe('invalid_input')
    }
    // Text that no database takes finds nothing, and is no accident.
    for (const filter of [
      { workflow: 'a\u0000' },
      { error: '\u0000' },
      { queue: '\u0000' },
      { after: '\u0000' },
      { attributes: { a: '\u0000' } },
    ]) {
      const found = await stet.list(filter).catch((error) => error)
      expect(found.runs ?? found.code).toEqual(found.runs ? [] : 'invalid_input')
    }
  })

  test('describe and history', async () => {
    const flow = workflow('described', async (ctx: Ctx<{ at: Date }>, input: { at: Date }) => {
      await ctx.step('a', () => new Map([['k', input.at]]))
      const message = await ctx.waitForSignal<Set<number>>('s', { timeout: '1d' })
      await ctx.sleep(1)
      throw new Error(`no ${message.size}`)
    })
    await work([flow])
    const at = new Date(1_000)
    const run = await stet.start(
      flow,
      { at },
      { id: newId('described'), attributes: { customer: 'c1', vip: true, since: at, none: null } },
    )
    expect(await run.describe()).toMatchObject({
      id: run.id,
      runId: run.runId,
      workflow: 'described',
      version: 1,
      queue: 'default',
    })
    await reached(run, 'waiting')
    const waiting = await run.describe()
    expect(waiting.startedAt).toBeInstanceOf(Date)
    expect(waiting.closedAt).toBeUndefined()
    expect(waiting.error).toBeUndefined()
    await run.signal('s', new Set([1, 2]))
    await refusal(run.result())
    const described = await run.describe()
    expect(described).toMatchObject({
      status: 'failed',
      error: { name: 'Error', message: 'no 2' },
      attributes: { customer: 'c1', vip: true, none: null },
    })
    expect(described.createdAt.getTime()).toBeLessThanOrEqual(described.startedAt!.getTime())
    expect(described.startedAt!.getTime()).toBeLessThanOrEqual(described.closedAt!.getTime())
    const history = await run.history()
    expect(described.historyLength).toBe(history.length)
    expect(history.map(({ seq }) => seq)).toEqual(history.map((_, i) => i + 1))
    const data = (type: string) => history.find((event) => event.type === type)!.data
    expect(data('RunStarted')).toEqual({ input: { at } })
    expect(data('StepCompleted')).toMatchObject({
      output: new Map([['k', at]]),
      where: expect.stringMatching(/client\.test\.ts:\d+$/),
    })
    expect(data('SignalReceived')).toMatchObject({ message: new Set([1, 2]) })
    expect(data('RunFailed').error).toBeInstanceOf(Error)
    expect(data('RunFailed').error.message).toBe('no 2')
    for (const event of history) expect(Number.isNaN(new Date(event.at).getTime())).toBe(false)
  })

  test('attributes that cannot be searched are refused', async () => {
    for (const attributes of [
      { a: Number.NaN },
      { a: new Date(Number.NaN) },
      { a: '\u0000' },
      { a: { deep: 1 } },
      { a: [1] },
      { '': 1 },
      { a: undefined },
    ]) {
      expect((await refusal(() => stet.start(waiter, 1, { attributes: attributes as any }))).code).toBe('invalid_input')
    }
  })
})

describe('start inside a transaction of one’s own', () => {
  const flow = workflow('in-tx', async (_: Ctx<string>, text: string) => text)
  const connected = async () => {
    const client = new pg.Client({ connectionString: db.url })
    await client.connect()
    onTestFinished(() => client.end())
    return client
  }

  test('the run is there when it commits, and never was when it rolls back', async () => {
    await work([flow])
    const tx = await connected()
    await tx.query('CREATE TABLE orders (id text)')
    await tx.query('BEGIN')
    await tx.query("INSERT INTO orders VALUES ('o1')")
    const kept = await stet.start(flow, 'kept', { id: newId('tx'), tx })
    const fresh = await stet.start(flow, 'fresh', { tx })
    expect(await refusal(kept.describe())).toBeInstanceOf(RunNotFoundError)
    await tx.query('COMMIT')
    expect(await kept.result()).toBe('kept')
    expect(await fresh.result()).toBe('fresh')

    await tx.query('BEGIN')
    await tx.query("INSERT INTO orders VALUES ('o2')")
    const lost = await stet.start(flow, 'lost', { id: newId('tx'), tx })
    expect(await refusal(stet.start(flow, 'other', { id: lost.id, tx }))).toMatchObject({ code: 'id_conflict' })
    expect((await stet.start(flow, 'lost', { id: lost.id, tx })).runId).toBe(lost.runId)
    await tx.query('ROLLBACK')
    expect(await refusal(lost.describe())).toBeInstanceOf(RunNotFoundError)
    expect((await tx.query('SELECT id FROM orders')).rows).toEqual([{ id: 'o1' }])
  })

  test('what is no client is refused', async () => {
    expect((await refusal(stet.start(flow, 'x', { tx: {} as any }))).message).toMatch(
      /tx: expected a connected pg client/,
    )
  })
})

describe('input of a schema', () => {
  /** A Standard Schema by hand: text of digits becomes a number; checked later when it begins with 9. */
  const amount: StandardSchemaV1<{ amount: string }, { amount: number }> = {
    '~standard': {
      version: 1,
      vendor: 'test',
      validate(value: any) {
        const answer = /^\d+$/.test(value?.amount)
          ? { value: { amount: Number(value.amount) } }
          : { issues: [{ message: 'must be digits', path: ['amount', { key: 0 }] }, { message: 'and more' }] }
        return String(value?.amount).startsWith('9') ? Promise.resolve(answer) : answer
      },
    },
  }
  const paid = workflow('paid', { input: amount }, async (_ctx, input) => input.amount + 1)

  test('is checked when a run is started; the workflow gets what the schema made of it', async () => {
    await work([paid])
    expect(await stet.execute(paid, { amount: '41' })).toBe(42)
    expect(await stet.execute(paid, { amount: '99' })).toBe(100)
    const error = await refusal(stet.start(paid, { amount: 'x' }, { id: 'never' }))
    expect(error).toMatchObject({ name: 'InvalidInputError', code: 'invalid_input' })
    expect(error.message).toContain('$.amount.0: must be digits')
    expect(error.message).toContain('$: and more')
    expect(await refusal(stet.run('never').describe())).toBeInstanceOf(RunNotFoundError)
  })

  test('a message of a signal too', async () => {
    const pay = signal('pay', amount)
    const flow = workflow('pay-signal', (ctx: Ctx<void>) => ctx.waitForSignal(pay))
    await work([flow])
    const run = await stet.start(flow)
    expect((await refusal(run.signal(pay, { amount: '' } as any))).message).toContain('the message of signal "pay"')
    await run.signal(pay, { amount: '5' } as any)
    expect(await run.result()).toEqual({ amount: 5 })
  })
})

describe('versions', () => {
  const versions = [1, 2, 3].map((version) =>
    workflow('versioned', { version }, async (ctx: Ctx<void>) => `${version} ${ctx.run.version}`),
  )

  test('a start takes that of the definition; by name, the highest that a live worker has', async () => {
    expect(workflow('plain', async () => {}).version).toBe(1)
    const early = await stet.start('versioned', undefined)
    const worker = await work(versions.slice(0, 2))
    expect(await stet.execute(versions[0]!)).toBe('1 1')
    expect(await (await stet.start('versioned', undefined)).result()).toBe('2 2')
    // One that was started when nobody was there is decided by who takes it up.
    expect(await early.result()).toBe('2 2')
    const waiting = await stet.start(versions[2]!)
    expect((await waiting.describe()).status).toBe('pending')
    await worker.stop()
    await work(versions)
    expect(await waiting.result()).toBe('3 3')
    expect((await waiting.describe()).version).toBe(3)
  })

  test('two definitions of one name and version are refused, and so is what is no workflow', async () => {
    const twin = workflow('versioned', { version: 1 }, async () => 'twin')
    for (const workflows of [[versions[0]!, twin], [], [{ name: 'x' } as any], {}]) {
      expect((await refusal(() => stet.worker({ workflows }).start())).code).toBe('invalid_input')
    }
    const worker = stet.worker({ workflows: { one: versions[0], helper: () => 1, text: 'x' } })
    await worker.start()
    await worker.stop()
    expect((await refusal(worker.start())).message).toMatch(/stopped/)
  })
})

test.each<[string, any, RegExp]>([
  ['ifOpen', { ifOpen: 'maybe' }, /ifOpen: expected one of 'existing', 'fail', 'terminate', got maybe/],
  ['ifClosed', { ifClosed: 5 }, /ifClosed: expected one of/],
  ['priority', { priority: 1.5 }, /priority: expected a whole number/],
  ['delay', { delay: -1 }, /delay: expected a duration, got -1/],
  ['startAt', { startAt: new Date(Number.NaN) }, /startAt: expected a valid Date/],
  ['startAt as text', { startAt: '2030-01-01' }, /startAt: expected a valid Date, got 2030-01-01/],
  ['timeout', { timeout: 'x' }, /timeout: expected a duration/],
])('start refuses a wrong %s and writes nothing', async (name, options, message) => {
  const id = `refused-${name}`
  const error = await refusal(() => stet.start(waiter, 1, { id, ...options }))
  expect(error).toMatchObject({ code: 'invalid_input', message: expect.stringMatching(message) })
  expect(await refusal(stet.run(id).describe())).toBeInstanceOf(RunNotFoundError)
})

test('a delayed start begins when it is due, and not at the next beat of the worker', async () => {
  const late = workflow('late', async (ctx: Ctx<void>) => ctx.run.startedAt.getTime())
  // A beat that is far away: nothing else tells the worker.
  await work([late], { beatMs: 60_000, leaseMs: 600_000 })
  const run = await stet.start(late, undefined, { delay: 400 })
  const { createdAt } = await run.describe()
  expect((await run.result({ timeout: '10s' })) - createdAt.getTime()).toBeGreaterThanOrEqual(400)
})
