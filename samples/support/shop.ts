/**
 * What the order samples talk to, as if over the network: a payment provider, a warehouse, a carrier, a mail service.
 *
 * Like real ones they outlive the worker that calls them, and they honour idempotency keys: each keeps a book with one
 * entry a key, in a folder, and answers a request that comes again with the first answer. A worker that is killed after
 * the provider acted and before stet recorded it therefore charges nobody twice.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { NonRetryableError, type StepContext } from 'stet'

export interface Order {
  id: string
  customer: string
  items: { sku: string; quantity: number; cents: number }[]
  card: string
}
export interface Payment {
  card: string
  cents: number
}
export interface Stock {
  reservation: string
  units: number
}
export interface Receipt {
  charge: string
  cents: number
}
export interface Shipment {
  tracking: string
}

/** How long each of them takes to answer, ms: long enough to be caught in the middle of. */
const latencyMs = 300

/** One line on the screen for each time that the body of a step really runs. */
function say(name: string, step: StepContext, what: string): void {
  console.log(`[pid ${process.pid}] ${name}, attempt ${step.attempt}: ${what}`)
}

export async function validatePayment(order: Order, step: StepContext): Promise<Payment> {
  say('validate payment', step, `card ${order.card}`)
  await delay(latencyMs, undefined, { signal: step.signal })
  // Trying again would not help: the run fails at once.
  if (!/^tok_/.test(order.card)) throw new NonRetryableError(`card "${order.card}" was declined`)
  const cents = order.items.reduce((sum, item) => sum + item.quantity * item.cents, 0)
  return { card: order.card, cents }
}

export async function reserveInventory(order: Order, step: StepContext): Promise<Stock> {
  say('reserve inventory', step, order.items.map(({ sku, quantity }) => `${quantity} × ${sku}`).join(', '))
  await delay(latencyMs, undefined, { signal: step.signal })
  const units = order.items.reduce((sum, { quantity }) => sum + quantity, 0)
  return book('warehouse', step.idempotencyKey, (n) => ({ reservation: `res-${n}`, units }))
}

export async function charge(payment: Payment, step: StepContext): Promise<Receipt> {
  say('charge payment', step, `${(payment.cents / 100).toFixed(2)} on ${payment.card}`)
  await delay(latencyMs, undefined, { signal: step.signal })
  return book('payments', step.idempotencyKey, (n) => ({ charge: `ch-${n}`, cents: payment.cents }))
}

/** The carrier's API is flaky: it is overloaded for the first request of each key. */
export async function ship(stock: Stock, receipt: Receipt, step: StepContext): Promise<Shipment> {
  say('ship order', step, `${stock.units} units, paid by ${receipt.charge}`)
  await delay(latencyMs, undefined, { signal: step.signal })
  const { isNew } = entry('carrier-requests', step.idempotencyKey, () => ({}))
  if (isNew) throw new Error('carrier: 503 Service Unavailable')
  return book('carrier', step.idempotencyKey, (n) => ({ tracking: `trk-${n}` }))
}

export async function confirm(order: Order, shipment: Shipment, step: StepContext): Promise<{ mail: string }> {
  say('send confirmation', step, `${shipment.tracking} to ${order.customer}`)
  await delay(latencyMs / 3, undefined, { signal: step.signal })
  return book('mail', step.idempotencyKey, (n) => ({ mail: `mail-${n}` }))
}

// ── books ────────────────────────────────────────────────────────────────────────────────────────

const shelf = join(tmpdir(), `stet-samples-${process.getuid?.() ?? 'user'}`)

/** The answer that belongs to a key: made at the first request, the same ever after. */
function book<T>(provider: string, key: string, make: (number: string) => T): T {
  return entry(provider, key, make).value
}

function entry<T>(provider: string, key: string, make: (number: string) => T): { value: T; isNew: boolean } {
  mkdirSync(join(shelf, provider), { recursive: true })
  const file = join(shelf, provider, `${encodeURIComponent(key)}.json`)
  const value = make(Math.random().toString(36).slice(2, 8))
  try {
    // 'wx': of two requests at once, one makes the entry.
    writeFileSync(file, JSON.stringify(value), { flag: 'wx' })
    return { value, isNew: true }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    return { value: JSON.parse(readFileSync(file, 'utf8')), isNew: false }
  }
}
