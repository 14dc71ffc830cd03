/** What is recorded for a release: each scenario makes runs, and the history of every run is kept. */
import type { AnyWorkflow } from 'stet'
import type { TestEnv } from 'stet/testing'
import { type Bodies, samples } from '../support/samples.js'
import * as own from './workflows.js'

export interface Scenario {
  readonly workflows: readonly AnyWorkflow[]
  readonly steps?: Bodies
  make(env: TestEnv): Promise<void>
}

const { fail, go, hear, word } = own
const all = Object.values(own).filter((each) => 'version' in each) as AnyWorkflow[]

const made: Record<string, Scenario['make']> = {
  steps: async ({ stet, clock }) => {
    await stet.start(own.steps, { at: new Date(0), tags: new Set(['x', 'y']) })
    await clock.runToIdle()
  },
  waits: async ({ stet, clock }) => {
    const run = await stet.start(own.waits)
    await clock.advance('1d')
    await clock.advance('3h')
    await run.signal(word, 'in time')
    await clock.advance('1h')
    for (const each of ['wins', 'one', 'two']) await run.signal(word, each)
    await clock.runToIdle()
  },
  messages: async ({ stet, clock }) => {
    const run = await stet.start(own.messages)
    await clock.advance('1m')
    await run.signal(word, 'signalled')
    await run.update(hear, 'updated')
    await run.update(hear, 'no').catch(() => {})
    await run.update(fail, 'as asked').catch(() => {})
    await run.signal(go)
    await clock.runToIdle()
  },
  family: async ({ stet, clock }) => {
    await stet.start(own.family)
    await clock.runToIdle()
  },
  scopes: async ({ stet, clock }) => {
    const cancelled = await stet.start(own.scopes)
    await clock.advance('1d')
    await cancelled.cancel('not wanted')
    await clock.runToIdle()
  },
  maps: async ({ stet, clock }) => {
    await stet.start(own.maps, [1, -2, 3, 4, -5, 6])
    await clock.runToIdle()
  },
  rounds: async ({ stet, clock }) => {
    const run = await stet.start(own.rounds, { round: 1, words: [] })
    for (const each of ['one', 'two', 'three']) await run.signal(word, each)
    await clock.runToIdle()
  },
  shape: async ({ stet, clock }) => {
    await stet.start(own.shape, 20)
    await clock.runToIdle()
  },
  // Before those that are cancelled early, who never begin: no worker listens on their queue.
  patient: async ({ stet, clock }) => {
    const [completed, failed, terminated, early] = await Promise.all([
      stet.start(own.patient, null),
      stet.start(own.patient, 'as asked'),
      stet.start(own.patient, null),
      stet.start(own.patient, null, { queue: 'nobody' }),
    ])
    await stet.start(own.patient2, null)
    await clock.advance('1h')
    await completed.signal(go)
    await failed.signal(go)
    await terminated.terminate('out of order')
    await early.cancel('never mind')
    await clock.advance('1h')
    // This one is too late.
    await stet.start(own.patient, null)
    await clock.runToIdle()
    // And this one still waits when it is recorded.
    await stet.start(own.patient, null)
    await clock.advance('1h')
  },
  fork: async ({ stet, clock }) => {
    const run = await stet.start(own.maps, [1, 2, -3])
    await clock.runToIdle()
    await run.fork({ at: 'item#2', set: { item: 100 } })
    await clock.runToIdle()
  },
}

/** Bodies that do the same everywhere, in place of those that need files or tables. */
const bodies: Record<string, Bodies> = {
  etl: {
    'create tables': async () => {},
    extract: async () => 40,
    'transform and load': async () => ({ lastId: 40, sales: 40, rejected: 0 }),
    'total by country': async () => [{ kind: 'country', key: 'DE', cents: 100 }],
    'total by day': async () => [{ kind: 'day', key: '2026-01-01', cents: 100 }],
    'check totals': async () => {},
  },
  pipeline: {
    'check out': async () => {},
    build: async () => ({ digest: '0123456789ab', bytes: 120 }),
    deploy: async () => 'current',
  },
  saga: {
    'book flight': async () => 'flight-1',
    'book hotel': async () => 'hotel-1',
    ...Object.fromEntries(['flight', 'hotel', 'car'].map((part) => [`cancel ${part}`, async () => {}])),
  },
  subscription: {
    'create table': async () => {},
    bill: async () => {},
    'add up': async () => 1800,
  },
  'fan-out': {
    collect: async () => ['1.log', '2.log', '3.log'],
    compress: async () => ({ lines: 20, bytes: 1000, packed: 100 }),
    'write manifest': async () => 'manifest.json',
  },
  agent: {
    list: async () => 'plan.txt\nreport.txt',
    read: async () => 'DRAFT of it',
  },
  customer: { 'write voucher': async () => {} },
  mutex: { switch: async () => null, check: async () => {} },
}

export const scenarios: Record<string, Scenario> = Object.fromEntries([
  ...Object.entries(made).map(([name, make]) => [name, { workflows: all, make }]),
  ...Object.entries(samples('files')).map(([name, { workflow, input, steps, drive, others = [] }]) => [
    `sample ${name}`,
    {
      workflows: [workflow, ...others],
      steps: { ...steps, ...bodies[name] },
      make: async (env: TestEnv) => {
        const run = await env.stet.start(workflow, input as any)
        await (drive?.(run, env) ?? env.clock.runToIdle())
      },
    },
  ]),
])

/** Every workflow that has a history here. */
export const workflows: readonly AnyWorkflow[] = [
  ...new Set(Object.values(scenarios).flatMap(({ workflows }) => workflows)),
]
