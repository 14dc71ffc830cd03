// The functions of order.dag.json, the same order as a DAG from configuration: JSON has the shape, this file the code.
// Terminal 1: npx stet worker samples/order.dag.json samples/order-tasks.ts
// Terminal 2: npx stet start order_json --input @samples/order.json --wait
import type { StepContext } from 'stet'
import * as shop from './support/shop.js'

type Order = shop.Order
/** The outputs of the tasks in "dependsOn", by name. */
type Done = Record<string, any>
/** `step.with` is what the task has under "with" in the JSON. */
type Step = StepContext & { with: any }

export const validate = (order: Order, _: Done, step: Step) => shop.validatePayment(order, step)

export const reserve = (order: Order, _: Done, step: Step) => shop.reserveInventory(order, step)

export const chargeCard = (_: Order, done: Done, step: Step) => shop.charge(done.validate_payment, step)

export const shipParcel = (_: Order, done: Done, step: Step) =>
  shop.ship(done.reserve_inventory, done.charge_payment, step)

export const sendMail = async (order: Order, done: Done, step: Step) => ({
  ...(await shop.confirm(order, done.ship_order, step)),
  copyTo: step.with.copyTo,
})
