import { RunClosedError, UpdateRejectedError, workflow } from 'stet'
import { type TestEnv, testEnv } from 'stet/testing'
import { expect, inject, test } from 'vitest'
import { cancel, changePlan, status, subscription } from '../../samples/subscription.js'

/** The tables of the sample are in the database of the test: read by a step, as they are written. */
const invoices = workflow('invoices', async (ctx, id: string) =>
  ctx.transaction('read', async (tx) => {
    const { rows } = await tx.query(
      'SELECT month, plan, cents, at FROM stet_sample_subscription.invoices WHERE subscription = $1 ORDER BY month',
      [id],
    )
    return rows as { month: number; plan: string; cents: number; at: Date }[]
  }),
)
const open = () => testEnv({ workflows: [subscription, invoices], url: inject('serverUrl') })
const days = (n: number) => n * 86_400_000

/** Moves the time on to the next moment like this one. */
async function advanceTo(env: TestEnv, month: number, day: number): Promise<void> {
  const now = new Date(env.clock.now())
  const then = (year: number) => Date.UTC(year, month - 1, day, 12)
  const year = now.getUTCFullYear()
  await env.clock.advance((then(year) > now.getTime() ? then(year) : then(year + 1)) - now.getTime())
}

test('a year is twelve runs and twelve invoices; a change of plan counts from the next month', async () => {
  await using env = await open()
  const run = await env.stet.start(subscription, { customer: 'ada', plan: 'basic' }, { id: 'ada' })
  await env.clock.advance('75d')
  await env.stet.run('ada').signal(changePlan, 'team')
  // Nobody sells this one.
  await env.stet.run('ada').signal('change-plan', 'gold')
  expect(await env.stet.run('ada').query(status)).toMatchObject({ plan: 'basic', month: 3, ending: false })
  await env.clock.advance('270d')

  const billed = await env.stet.execute(invoices, 'ada')
  expect(billed.map(({ month, plan, cents }) => [month, plan, cents])).toEqual([
    [1, 'basic', 900],
    [2, 'basic', 900],
    [3, 'basic', 900],
    ...Array.from({ length: 9 }, (_, i) => [i + 4, 'team', 2_900]),
  ])
  const { runs } = await env.stet.list({ workflow: 'subscription' })
  expect(runs.map(({ id, status }) => `${id} ${status}`)).toEqual(['ada waiting', ...Array(11).fill('ada continued')])
  expect(runs[0]!.attributes).toEqual({ customer: 'ada', plan: 'team', month: 12 })
  await env.stet.run('ada').terminate()
  expect((await run.describe()).status).toBe('continued')
})

test('who cancels is told until when, is billed no more, and cannot cancel twice', async () => {
  await using env = await open()
  const first = await env.stet.start(subscription, { customer: 'bob', plan: 'team' }, { id: 'bob' })
  await env.clock.advance('40d')
  const run = env.stet.run('bob')
  const { paidUntil } = await run.query(status)
  expect(await run.update(cancel, { reason: 'moving' })).toEqual({ until: paidUntil })
  expect(await run.query(status)).toMatchObject({ month: 2, ending: true })

  const again = await run.update(cancel, { reason: 'sure' }).catch((error) => error)
  expect(again).toBeInstanceOf(UpdateRejectedError)
  expect(again.cause.message).toContain('already')

  await env.clock.advance('30d')
  // Whoever started it gets the result of the last month.
  expect(await first.result()).toEqual({ months: 2, paidCents: 5_800, reason: 'moving' })
  expect(await run.update(cancel, { reason: 'again' }).catch((error) => error)).toBeInstanceOf(RunClosedError)
})

test('a subscription of 31 January is billed on the last day of shorter months, and drifts no further', async () => {
  await using env = await open()
  await advanceTo(env, 1, 31)
  const begun = env.clock.now()
  await env.stet.start(subscription, { customer: 'eve', plan: 'basic' }, { id: 'eve' })
  await env.clock.advance(days(125))
  const billed = await env.stet.execute(invoices, 'eve')
  const leap = new Date(Date.UTC(new Date(begun).getUTCFullYear(), 2, 0)).getUTCDate()
  expect(billed.map(({ at }) => `${at.getUTCMonth() + 1}-${at.getUTCDate()}`)).toEqual([
    '1-31',
    `2-${leap}`,
    '3-31',
    '4-30',
    '5-31',
  ])
})
