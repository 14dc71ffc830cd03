// The same order as an explicit DAG: each task names what it depends on, and starts as soon as that is done.
// Terminal 1: npx stet worker samples/order-dag.ts
// Terminal 2: npx stet start order_dag --input @samples/order.json --wait
import { type Dag, dag } from 'stet'
import { charge, confirm, type Order, reserveInventory, ship, validatePayment } from './support/shop.js'

export const orderDag = dag('order_dag', (d: Dag<Order>) => {
  const validate = d.task('validate_payment', (order, _, step) => validatePayment(order, step))
  const reserve = d.task('reserve_inventory', (order, _, step) => reserveInventory(order, step))
  const charged = d.task('charge_payment', { dependsOn: [validate], timeout: '30s' }, (_order, [payment], step) =>
    charge(payment, step),
  )
  const shipped = d.task(
    'ship_order',
    { dependsOn: [reserve, charged], retry: { maxAttempts: 8, initialInterval: '200ms' }, timeout: '10s' },
    (_order, [stock, receipt], step) => ship(stock, receipt, step),
  )
  // Not critical: an order whose mail could not be sent has been shipped all the same.
  const confirmed = d.task('send_confirmation', { dependsOn: [shipped], critical: false }, (order, [shipment], step) =>
    confirm(order, shipment, step),
  )
  return { receipt: charged, shipment: shipped, confirmation: confirmed }
})
