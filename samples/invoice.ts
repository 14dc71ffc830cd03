/**
 * An invoice: what each meter has counted, side by side, less the customer's credit.
 *
 * There is a bug in it, left on purpose: Ada's invoice came to 0. "Find a bug by stepping back" in README.md finds it,
 * from the history of her run in `invoice.history.json`.
 *
 *     npx stet replay samples/invoice.history.json -w samples/invoice.ts
 */
import { workflow } from 'stet'

export interface Bill {
  customer: string
  meters: string[]
}

/** What the meters of this sample have counted. */
const counted: Record<string, number> = { compute: 10, storage: 5, traffic: 8 }
const pricePerUnit = 2

export const invoice = workflow('invoice', async (ctx, { customer, meters }: Bill) => {
  let credit = await ctx.step('read credit', () => 30)
  let total = 0
  await Promise.all(
    meters.map(async (meter) => {
      const left = credit
      const units = await ctx.step(`read ${meter}`, () => counted[meter] ?? 0)
      const price = units * pricePerUnit
      const covered = Math.min(left, price)
      credit = left - covered
      total += price - covered
    }),
  )
  await ctx.step('send invoice', () => `${customer} owes ${total}`)
  return { total, credit }
})
