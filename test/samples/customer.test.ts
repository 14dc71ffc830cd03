import { RunClosedError, UpdateRejectedError, workflow } from 'stet'
import { type TestEnv, testEnv } from 'stet/testing'
import { expect, inject, test } from 'vitest'
import { changeEmail, customer, leave, profile, purchase, redeem } from '../../samples/customer.js'

/** The tables of the sample are in the database of the test: read by a step, as they are written. */
const vouchers = workflow('vouchers', async (ctx, id: string) =>
  ctx.transaction('read', async (tx) => {
    const { rows } = await tx.query('SELECT code FROM stet_sample_customer.vouchers WHERE customer = $1', [id])
    return rows.map(({ code }) => code as string).sort()
  }),
)
const open = () => testEnv({ workflows: [customer, vouchers], url: inject('serverUrl') })
const buy = ({ stet }: TestEnv, id: string, order: string, cents: number) =>
  stet.signalWithStart(customer, {}, purchase, { order, cents }, { id })
const refusal = (promise: Promise<unknown>) =>
  promise.then(
    (value) => expect.unreachable(`expected a rejection, got ${value}`),
    (error) => error,
  )

test('is one run, whoever comes first, and an order that is told twice counts once', async () => {
  await using env = await open()
  const runs = await Promise.all(Array.from({ length: 16 }, (_, i) => buy(env, 'ada', `A-${i % 8}`, 1_099)))
  expect(new Set(runs.map(({ runId }) => runId)).size).toBe(1)
  const [run] = runs
  await run!.signal('purchase')
  await run!.signal('purchase', { order: 'A-9', cents: 'many' })
  await env.clock.advance('1m')
  expect(await run!.update(changeEmail, 'ada@example.com')).toEqual({ before: null })
  expect(await run!.query(profile)).toEqual({ points: 80, email: 'ada@example.com', orders: 8 })
})

test('pays out no point twice: vouchers are rows, and as many as were answered', async () => {
  await using env = await open()
  const ask = (points: number) => env.stet.updateWithStart(customer, {}, redeem, { points }, { id: 'bob' })
  expect((await refusal(ask(1))).cause).toMatchObject({ name: 'RangeError', message: 'there are 0 points, not 1' })
  const run = await buy(env, 'bob', 'B-1', 10_000)
  const answers = await Promise.allSettled(Array.from({ length: 5 }, () => ask(40)))
  const paid = answers.flatMap((answer) => (answer.status === 'fulfilled' ? [answer.value.result] : []))
  expect(paid.map(({ cents }) => cents)).toEqual([200, 200])
  expect((await run.query(profile)).points).toBe(20)
  expect(await env.stet.execute(vouchers, 'bob')).toEqual(paid.map(({ code }) => code).sort())
})

test('is refused what makes no sense, and changes nothing then', async () => {
  await using env = await open()
  const run = await buy(env, 'eve', 'C-1', 500)
  expect(await refusal(run.update(changeEmail, 'nowhere'))).toBeInstanceOf(UpdateRejectedError)
  expect(await refusal(run.update(redeem, { points: -5 }))).toBeInstanceOf(UpdateRejectedError)
  expect(await run.query(profile)).toEqual({ points: 5, email: null, orders: 1 })
})

test('who leaves gets an answer, and is gone', async () => {
  await using env = await open()
  const run = await buy(env, 'jim', 'D-1', 700)
  await env.clock.advance('400d')
  expect(await run.update(leave)).toEqual({ forfeited: 7 })
  expect(await run.result()).toEqual({ orders: 1 })
  expect(await refusal(buy(env, 'jim', 'D-2', 700))).toBeInstanceOf(RunClosedError)
})

test('when the history gets long a new run takes over: nothing is lost, and nothing counts twice', async () => {
  await using env = await open()
  const first = await env.stet.start(customer, { renewAfter: 10 }, { id: 'sue' })
  const run = env.stet.run('sue')
  for (let i = 0; i < 30; i++) {
    await run.signal(purchase, { order: `E-${i}`, cents: 1_000 })
    await env.clock.advance('1h')
    if (i % 3 === 0) await run.update(redeem, { points: 2 })
  }
  // Told again, to another run than the first time.
  await run.signal(purchase, { order: 'E-1', cents: 1_000 })
  await env.clock.advance('1h')
  expect(await run.query(profile)).toEqual({ points: 280, email: null, orders: 30 })
  expect(await env.stet.execute(vouchers, 'sue')).toHaveLength(10)
  const { runs } = await env.stet.list({ workflow: 'customer' })
  expect(runs.map(({ status }) => status)).toEqual(['waiting', ...Array(4).fill('continued')])
  expect((await first.describe()).status).toBe('continued')
})

test('neither is it in a storm of messages', async () => {
  await using env = await open()
  await env.stet.start(customer, { renewAfter: 10 }, { id: 'tom' })
  const run = env.stet.run('tom')
  const orders = Array.from({ length: 80 }, (_, i) => ({ order: `F-${i % 40}`, cents: 1_000 }))
  await Promise.all(orders.map((order) => run.signal(purchase, order)))
  await env.clock.advance('1h')
  expect(await run.query(profile)).toEqual({ points: 400, email: null, orders: 40 })
  const answers = await Promise.all(Array.from({ length: 30 }, () => run.update(redeem, { points: 10 })))
  expect(await run.query(profile)).toMatchObject({ points: 100 })
  expect(await env.stet.execute(vouchers, 'tom')).toEqual(answers.map(({ code }) => code).sort())
})
