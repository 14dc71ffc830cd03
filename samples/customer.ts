// One run for each customer, for as long as there is one: it holds the points, and is the only one that changes them.
// Terminal 1: npx stet worker samples/customer.ts
// Terminal 2: npx stet start customer --id customer-7 --input '{}'
//             npx stet signal customer-7 purchase '{"order":"A-1","cents":4060}';  npx stet query customer-7 profile
//             npx stet update customer-7 redeem '{"points":40}'         (its rows: stet_sample_customer.vouchers)
// In a program, with no need to know whether the run is there:
//   await stet.signalWithStart(customer, {}, purchase, { order: 'A-1', cents: 4060 }, { id: 'customer-7' })
//   const { result } = await stet.updateWithStart(customer, {}, redeem, { points: 40 }, { id: 'customer-7' })
import { type Ctx, query, signal, type Tx, update, workflow } from 'stet'

/** What a customer is. A run hands it to the one that follows it; `{}` is a new customer. */
export interface Customer {
  points?: number
  email?: string
  /** The latest orders, so that one that is told again counts once. */
  orders?: string[]
  /** After so many messages a new run takes over; default 1,000. */
  renewAfter?: number
}
export interface Voucher {
  code: string
  cents: number
  /** Points that are left. */
  left: number
}

/** A point for each full unit of money. */
export const purchase = signal<{ order: string; cents: number }>('purchase')
export const redeem = update<Voucher, { points: number }>('redeem')
export const changeEmail = update<{ before: string | null }, string>('change-email')
export const leave = update<{ forfeited: number }>('leave')
export const profile = query<{ points: number; email: string | null; orders: number }>('profile')

export const customer = workflow('customer', async (ctx: Ctx<Customer>, input: Customer) => {
  const { renewAfter = 1_000 } = input
  let { points = 0, email } = input
  const orders = [...(input.orders ?? [])]
  let messages = 0
  let gone = false

  // A handler runs in one go up to its first await, and nothing of this run runs beside it: no locks are needed.
  ctx.onSignal(purchase, (message) => {
    messages++
    const { order, cents } = message ?? {}
    // A handler of a signal that throws fails the run, and anything may come: what cannot be used is passed over. So is
    // what came before. (A messageId keeps one run from accepting a message twice; this holds from run to run.)
    if (typeof order !== 'string' || !(cents >= 0) || orders.includes(order)) return
    orders.push(order)
    points += Math.floor(cents / 100)
  })

  ctx.onUpdate(
    redeem,
    {
      // In the same turn as the handler: of two that want the same points, the second is refused.
      validate: ({ points: wanted }) => {
        if (!(Number.isInteger(wanted) && wanted > 0)) throw new RangeError('points: expected a whole number from 1')
        if (wanted > points) throw new RangeError(`there are ${points} points, not ${wanted}`)
      },
    },
    async ({ points: wanted }) => {
      messages++
      points -= wanted
      const voucher = { code: ctx.uuid(), cents: wanted * 5 }
      try {
        await ctx.transaction('write voucher', (tx) => writeVoucher(tx, ctx.run.id, voucher))
      } catch (error) {
        points += wanted
        throw error
      }
      return { ...voucher, left: points }
    },
  )

  ctx.onUpdate(
    changeEmail,
    {
      validate: (address) => {
        if (!/^[^@\s]+@[^@\s]+$/.test(address)) throw new TypeError(`"${address}" is no address`)
      },
    },
    (address) => {
      messages++
      const before = email ?? null
      email = address
      return { before }
    },
  )

  ctx.onUpdate(leave, () => {
    gone = true
    return { forfeited: points }
  })

  ctx.onQuery(profile, () => ({ points, email: email ?? null, orders: orders.length }))

  await ctx.condition(() => gone || messages >= renewAfter || ctx.run.continueAsNewSuggested)
  // Whoever is in the middle of something gets the answer from this run.
  await ctx.condition(() => ctx.allHandlersFinished())
  if (gone) return { orders: orders.length }
  // The id stays, the history begins anew, and messages that were not read go along.
  return ctx.continueAsNew({
    points,
    ...(email === undefined ? {} : { email }),
    orders: orders.slice(-100),
    renewAfter,
  })
})

/** Two that make the table at the same time: one of them fails, and is tried again. */
async function writeVoucher(tx: Tx, id: string, { code, cents }: { code: string; cents: number }): Promise<void> {
  await tx.query(`
    CREATE SCHEMA IF NOT EXISTS stet_sample_customer;
    CREATE TABLE IF NOT EXISTS stet_sample_customer.vouchers
      (code uuid PRIMARY KEY, customer text NOT NULL, cents int NOT NULL)`)
  await tx.query('INSERT INTO stet_sample_customer.vouchers VALUES ($1, $2, $3)', [code, id, cents])
}
