// Order processing as plain code: two chains in parallel, retries against a flaky carrier, idempotency keys.
// Terminal 1: npx stet worker samples/order.ts
// Terminal 2: npx stet start order --input @samples/order.json --wait
import { workflow } from 'stet'
import { charge, confirm, type Order, reserveInventory, ship, validatePayment } from './support/shop.js'

export const order = workflow('order', async (ctx, input: Order) => {
  const pay = async () => {
    const payment = await ctx.step('validate payment', (step) => validatePayment(input, step))
    return ctx.step('charge payment', { timeout: '30s' }, (step) => charge(payment, step))
  }
  const [receipt, stock] = await Promise.all([
    pay(),
    ctx.step('reserve inventory', (step) => reserveInventory(input, step)),
  ])
  const shipment = await ctx.step(
    'ship order',
    { retry: { maxAttempts: 8, initialInterval: '200ms' }, timeout: '10s' },
    (step) => ship(stock, receipt, step),
  )
  const { mail } = await ctx.step('send confirmation', (step) => confirm(input, shipment, step))
  return { charge: receipt.charge, cents: receipt.cents, tracking: shipment.tracking, mail }
})
