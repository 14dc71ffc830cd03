// A subscription that lives for years: one run a month under one id, a change of plan by signal, an end by update.
// Terminal 1: npx stet worker samples/subscription.ts
// Terminal 2: npx stet start subscription --id sub-ada --input '{"customer":"ada","plan":"basic"}'
//             npx stet signal sub-ada change-plan '"team"';  npx stet query sub-ada status
//             npx stet update sub-ada cancel '{"reason":"moving"}'    (its rows: stet_sample_subscription.invoices)
import { type Ctx, query, signal, type Tx, update, workflow } from 'stet'

/** Cents a month. */
const prices = { basic: 900, team: 2_900, company: 9_900 }
export type Plan = keyof typeof prices

export interface Subscription {
  customer: string
  plan: Plan
  /** The month that begins, from 1. This and `since` are what a run hands to the next. */
  month?: number
  /** When the first month began, ms since the epoch. */
  since?: number
}
export interface Status {
  plan: Plan
  month: number
  paidUntil: Date
  /** Nothing is billed after that. */
  ending: boolean
}

export const changePlan = signal<Plan>('change-plan')
export const cancel = update<{ until: Date }, { reason: string }>('cancel')
export const status = query<Status>('status')

export const subscription = workflow('subscription', async (ctx: Ctx<Subscription>, input: Subscription) => {
  const { customer, plan, month = 1, since = ctx.now() } = input
  // Counted from the first day, so that a month that began late does not move the next.
  const until = new Date(monthsAfter(since, month))
  let next = plan
  let reason: string | null = null

  ctx.onSignal(changePlan, (wanted) => {
    // Whatever a signal says, its handler must not throw: the run would fail. An update could say no.
    if (Object.hasOwn(prices, wanted)) next = wanted
    else ctx.log.warn('there is no such plan', { wanted })
  })
  ctx.onUpdate(
    cancel,
    {
      validate: () => {
        if (reason !== null) throw new Error(`the subscription ends on ${until.toISOString()} already`)
      },
    },
    (argument) => {
      reason = argument.reason
      return { until }
    },
  )
  ctx.onQuery(status, () => ({ plan, month, paidUntil: until, ending: reason !== null }))
  ctx.setAttributes({ customer, plan, month })

  if (month === 1) await ctx.transaction('create table', createTable)
  // The row and the record of the step are one commit: no month is billed twice, and none is left out.
  const at = new Date(ctx.now())
  await ctx.transaction('bill', async (tx) => {
    await tx.query('INSERT INTO stet_sample_subscription.invoices VALUES ($1, $2, $3, $4, $5)', [
      ctx.run.id,
      month,
      plan,
      prices[plan],
      at,
    ])
  })

  await ctx.sleepUntil(until)
  // A history of years would be replayed at every wake-up; a new run begins with an empty one.
  if (reason === null) return ctx.continueAsNew({ customer, plan: next, month: month + 1, since })
  const paidCents = await ctx.transaction('add up', (tx) => addUp(tx, ctx.run.id))
  return { months: month, paidCents, reason }
})

async function createTable(tx: Tx): Promise<void> {
  await tx.query(`
    CREATE SCHEMA IF NOT EXISTS stet_sample_subscription;
    CREATE TABLE IF NOT EXISTS stet_sample_subscription.invoices
      (subscription text, month int, plan text NOT NULL, cents int NOT NULL, at timestamptz NOT NULL,
       PRIMARY KEY (subscription, month))`)
}

async function addUp(tx: Tx, id: string): Promise<number> {
  const { rows } = await tx.query(
    'SELECT sum(cents)::int AS cents FROM stet_sample_subscription.invoices WHERE subscription = $1',
    [id],
  )
  return rows[0].cents
}

/** The same day so many months later, or the last day of a month that is shorter. */
function monthsAfter(start: number, months: number): number {
  const date = new Date(start)
  const day = date.getUTCDate()
  date.setUTCMonth(date.getUTCMonth() + months, 1)
  const lastDay = new Date(Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + 1, 0)).getUTCDate()
  return date.setUTCDate(Math.min(day, lastDay))
}
