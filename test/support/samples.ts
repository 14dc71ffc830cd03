/** The samples as tests execute them: with which input, and who does what meanwhile. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type AnyWorkflow, dagFromJSON, type Handle, type StepContext } from 'stet'
import type { TestEnv } from 'stet/testing'
import { agent, decide } from '../../samples/agent.js'
import { approval, decision } from '../../samples/approval.js'
import { customer, leave, purchase, redeem } from '../../samples/customer.js'
import { advice, consultation } from '../../samples/encrypted.js'
import { etl } from '../../samples/etl.js'
import { archive } from '../../samples/fan-out.js'
import { invoice } from '../../samples/invoice.js'
import { deploy, lock } from '../../samples/mutex.js'
import { order } from '../../samples/order.js'
import { orderDag } from '../../samples/order-dag.js'
import * as tasks from '../../samples/order-tasks.js'
import { pipeline, release } from '../../samples/pipeline.js'
import { trip } from '../../samples/saga.js'
import { cancel, subscription } from '../../samples/subscription.js'

export type Bodies = Record<string, (step: StepContext) => unknown>

export interface Sample {
  readonly workflow: AnyWorkflow
  readonly input: unknown
  /** Bodies in place of those that take long. */
  readonly steps?: Bodies
  /** Those that take part beside it. */
  readonly others?: readonly AnyWorkflow[]
  /** What comes from outside, up to the end of the run. Without it time alone passes. */
  readonly drive?: (run: Handle<any>, env: TestEnv) => Promise<void>
}

/** The shop of the orders without its delays. Noted: how often each key was charged. */
export function shop(charged = new Map<string, number>()): Bodies {
  return {
    'validate payment': () => ({ card: 'tok_1', cents: 4060 }),
    'reserve inventory': () => ({ reservation: 'res', units: 3 }),
    'charge payment': ({ idempotencyKey }) => {
      charged.set(idempotencyKey, (charged.get(idempotencyKey) ?? 0) + 1)
      return { charge: 'ch', cents: 4060 }
    },
    'ship order': ({ attempt }) => {
      if (attempt === 1) throw new Error('carrier: 503 Service Unavailable')
      return { tracking: 'trk' }
    },
    'send confirmation': () => ({ mail: 'mail' }),
  }
}

const read = (file: string) => JSON.parse(readFileSync(new URL(`../../samples/${file}`, import.meta.url), 'utf8'))

/** By the names of their files. Those that keep files keep them in `folder`; the agent finds its own in `papers` there. */
export function samples(folder: string, bodies = shop()) {
  const tasksOf = (of: Bodies) =>
    Object.fromEntries(Object.entries(of).map(([name, body]) => [name.replaceAll(' ', '_'), body]))
  const input = read('order.json')
  const cases = {
    order: { workflow: order, input, steps: bodies },
    'order-dag': { workflow: orderDag, input, steps: tasksOf(bodies) },
    'order.dag.json': {
      workflow: dagFromJSON(read('order.dag.json'), { ...tasks }),
      input,
      steps: tasksOf(bodies),
    },
    etl: { workflow: etl, input: { rows: 40, batch: 20 } },
    pipeline: {
      workflow: pipeline,
      input: { shards: 2 },
      // Processes of Node take their time.
      steps: {
        lint: async () => {},
        'test 1/2': async () => ({ passed: 2 }),
        'test 2/2': async () => ({ passed: 2 }),
        'smoke test': async () => 'sum: 3\n',
      },
      drive: async (run, env) => {
        await env.clock.advance('1h')
        await run.signal(release, { by: 'ada' })
        await env.clock.runToIdle()
      },
    },
    approval: {
      workflow: approval,
      input: { document: 'plan', author: 'ada', reviewer: 'bob' },
      drive: async (run, env) => {
        await env.clock.advance('2d')
        await run.signal(decision, { approved: true, by: 'bob' })
        await env.clock.runToIdle()
      },
    },
    saga: { workflow: trip, input: { traveller: 'ada', to: 'Rome', soldOut: 'car', folder: join(folder, 'trips') } },
    subscription: {
      workflow: subscription,
      input: { customer: 'ada', plan: 'basic' },
      drive: async (run, env) => {
        await env.clock.advance('32d')
        await run.update(cancel, { reason: 'moving' })
        await env.clock.runToIdle()
      },
    },
    'fan-out': {
      workflow: archive,
      input: { files: 4, brokenEvery: 4, concurrency: 2, tolerated: 1, folder: join(folder, 'archive') },
    },
    agent: {
      workflow: agent,
      input: { goal: 'delete the drafts', folder: join(folder, 'papers') },
      // The next time they are to be there again.
      steps: { delete: async () => 'deleted' },
      drive: async (run, env) => {
        await env.clock.advance('1h')
        await run.signal(decide, { call: 'delete plan.txt', approved: true, by: 'ada' })
        await env.clock.runToIdle()
      },
    },
    customer: {
      workflow: customer,
      input: {},
      drive: async (run, env) => {
        await run.signal(purchase, { order: 'A-1', cents: 4060 })
        await env.clock.advance('1h')
        await run.update(redeem, { points: 40 })
        await run.update(leave)
        await env.clock.runToIdle()
      },
    },
    mutex: {
      workflow: deploy,
      input: { version: 'v1', to: 'production', folder: join(folder, 'deployed') },
      others: [lock],
    },
    encrypted: {
      workflow: consultation,
      input: { name: 'Ada', complaint: 'a headache' },
      drive: async (run, env) => {
        await env.clock.advance('1h')
        await run.signal(advice, 'more sleep')
        await env.clock.runToIdle()
      },
    },
    invoice: { workflow: invoice, input: { customer: 'Ada', meters: ['compute', 'storage'] } },
  } satisfies Record<string, Sample>
  return cases as Record<keyof typeof cases, Sample>
}
