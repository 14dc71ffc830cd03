import { readFileSync } from 'node:fs'
import { type AnyWorkflow, dagFromJSON, RunFailedError, type RunGraph, StepFailure, Stet } from 'stet'
import { describe, expect, test } from 'vitest'
import { order } from '../../samples/order.js'
import { orderDag } from '../../samples/order-dag.js'
import * as tasks from '../../samples/order-tasks.js'
import type { Order } from '../../samples/support/shop.js'
import { testDatabase } from '../support/server.js'

const read = (file: string) => JSON.parse(readFileSync(new URL(`../../samples/${file}`, import.meta.url), 'utf8'))
const input: Order = read('order.json')
const { url } = await testDatabase()

async function work(workflow: AnyWorkflow) {
  const stet = new Stet({ url })
  await stet.worker({ workflows: [workflow] }).start()
  return stet
}

/** Words for edges, the same for all three spellings of the order. */
function edges(graph: RunGraph): string[] {
  return graph.edges.map(({ from, to }) => `${from} > ${to}`.replaceAll('_', ' ')).sort()
}
const expectedEdges = [
  'start > validate payment',
  'start > reserve inventory',
  'validate payment > charge payment',
  'charge payment > ship order',
  'reserve inventory > ship order',
  'ship order > send confirmation',
].sort()

function attempts(graph: RunGraph): Record<string, number> {
  return Object.fromEntries(graph.nodes.map(({ key, attempts }) => [key.replaceAll('_', ' '), attempts]))
}
const expectedAttempts = {
  start: 1,
  'validate payment': 1,
  'reserve inventory': 1,
  'charge payment': 1,
  'ship order': 2,
  'send confirmation': 1,
}

describe('order', () => {
  test('as plain code: in parallel where it can, shipped at the second attempt', async () => {
    await using stet = await work(order)
    const run = await stet.start(order, input, { id: 'plain' })
    expect(await run.result()).toEqual({
      charge: expect.stringMatching(/^ch-/),
      cents: 4060,
      tracking: expect.stringMatching(/^trk-/),
      mail: expect.stringMatching(/^mail-/),
    })
    const graph = await run.graph()
    expect(edges(graph)).toEqual(expectedEdges)
    expect(attempts(graph)).toEqual(expectedAttempts)
  })

  test('with a card that is declined: the run fails at once, and nothing is charged or shipped', async () => {
    await using stet = await work(order)
    const run = await stet.start(order, { ...input, card: 'stolen' }, { id: 'declined' })
    const failure = await run.result().catch((error) => error)
    expect(failure).toBeInstanceOf(RunFailedError)
    expect(failure.cause).toBeInstanceOf(StepFailure)
    expect(failure.cause).toMatchObject({ step: 'validate payment', attempts: 1 })
    const { nodes } = await run.graph()
    expect(nodes.map(({ name }) => name).sort()).toEqual(['reserve inventory', 'start', 'validate payment'])
  })

  test('as an explicit dag: the same graph', async () => {
    await using stet = await work(orderDag)
    const run = await stet.start(orderDag, input)
    expect(await run.result()).toMatchObject({
      receipt: { cents: 4060 },
      shipment: { tracking: expect.stringMatching(/^trk-/) },
      confirmation: { mail: expect.stringMatching(/^mail-/) },
    })
    const graph = await run.graph()
    expect(edges(graph)).toEqual(expectedEdges)
    expect(attempts(graph)).toEqual(expectedAttempts)
  })

  test('as a dag from JSON: the same graph, and a task gets its own configuration', async () => {
    const orderJSON = dagFromJSON(read('order.dag.json'), { ...tasks })
    await using stet = await work(orderJSON)
    const run = await stet.start(orderJSON, input)
    expect(await run.result()).toMatchObject({
      charge_payment: { cents: 4060 },
      send_confirmation: { copyTo: 'orders@example.com' },
    })
    const graph = await run.graph()
    expect(edges(graph)).toEqual(expectedEdges)
    expect(attempts(graph)).toEqual(expectedAttempts)
  })
})
