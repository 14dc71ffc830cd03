/**
 * The in-memory store of `stet/testing`: what it cannot do, and samples on it. What it does as Postgres does is tested
 * on both (`env.test.ts`, `crash.test.ts`, `test/store`).
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { RunFailedError, StepFailure, type Tx, UpdateRejectedError, workflow } from 'stet'
import { crashEverywhere, type TestOptions, testEnv } from 'stet/testing'
import { afterAll, describe, expect, test, vi } from 'vitest'
import { agent, decide, progress } from '../../samples/agent.js'
import { approval, decision } from '../../samples/approval.js'
import { order } from '../../samples/order.js'
import { confirm, trip } from '../../samples/saga.js'
import { cancel, changePlan, status, subscription } from '../../samples/subscription.js'

const open = (options: TestOptions) => testEnv({ ...options, database: 'memory' })

const folder = mkdtempSync(join(tmpdir(), 'stet-memory-test-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

describe('what takes SQL', () => {
  const books = workflow('books', (ctx, ask: boolean) =>
    ctx.transaction('write', async (tx) => {
      if (ask) await tx.query('SELECT 1')
      return 'written'
    }),
  )

  test('a transaction step that asks for anything fails at once, and says what to do', async () => {
    await using env = await open({ workflows: [books] })
    const run = await env.stet.start(books, true)
    const { cause } = await run.result().catch((error) => error)
    expect(cause).toBeInstanceOf(StepFailure)
    expect(cause).toMatchObject({ step: 'write', attempts: 1 })
    expect(cause.cause.message).toMatch(
      /the in-memory store has no SQL.*Replace the step by name.*database: 'postgres'/,
    )
  })

  test('one whose function swallows the refusal fails all the same: nothing can be committed', async () => {
    const stubborn = workflow('stubborn', (ctx) =>
      ctx.transaction('write', (tx) => tx.query('SELECT 1').then(String, () => 'as if nothing had happened')),
    )
    await using env = await open({ workflows: [stubborn] })
    await expect(env.stet.execute(stubborn)).rejects.toMatchObject({ code: 'run_failed' })
  })

  test('one that asks for nothing, and one that is replaced by name, do their work', async () => {
    await using env = await open({ workflows: [books] })
    expect(await env.stet.execute(books, false)).toBe('written')
    await using other = await open({ workflows: [books], steps: { write: () => 'replaced' } })
    expect(await other.stet.execute(books, true)).toBe('replaced')
  })

  test('calls with tx are refused, and nothing is started or sent', async () => {
    await using env = await open({ workflows: [approval] })
    const tx: Tx = { query: async () => ({ rows: [], rowCount: 0 }) }
    const request = { document: 'plan', author: 'ada', reviewer: 'bob' }
    const refused = { code: 'no_sql', message: expect.stringContaining('the in-memory store has no SQL') }
    await expect(env.stet.start(approval, request, { tx })).rejects.toMatchObject(refused)
    expect((await env.stet.list()).runs).toEqual([])
    const run = await env.stet.start(approval, request)
    await expect(run.signal(decision, { approved: true, by: 'bob' }, { tx })).rejects.toMatchObject(refused)
    await env.clock.advance('1h')
    expect((await run.describe()).status).toBe('waiting')
  })
})

test('needs no database, also where one must be named', async () => {
  vi.stubEnv('NODE_ENV', 'production')
  vi.stubEnv('STET_DATABASE_URL', '')
  vi.stubEnv('DATABASE_URL', '')
  try {
    const nothing = workflow('nothing', async () => 'nothing')
    await using env = await open({ workflows: [nothing] })
    expect(await env.stet.execute(nothing)).toBe('nothing')
  } finally {
    vi.unstubAllEnvs()
  }
})

describe('samples', () => {
  test('order: shipped at the second attempt; a declined card fails the run', async () => {
    await using env = await open({ workflows: [order] })
    const input = JSON.parse(readFileSync(new URL('../../samples/order.json', import.meta.url), 'utf8'))
    const run = await env.stet.start(order, input)
    await env.clock.runToIdle()
    expect(await run.result()).toMatchObject({ cents: 4060, tracking: expect.stringMatching(/^trk-/) })
    const { nodes, edges } = await run.graph()
    expect(nodes.find(({ name }) => name === 'ship order')!.attempts).toBe(2)
    expect(edges).toContainEqual({ from: 'reserve inventory', to: 'ship order' })
    const declined = await env.stet.start(order, { ...input, card: 'stolen' })
    await env.clock.runToIdle()
    expect((await declined.result().catch((error) => error)).cause).toMatchObject({ step: 'validate payment' })
  })

  test('saga: confirmed, undone after a day, undone when it is cancelled', async () => {
    await using env = await open({ workflows: [trip] })
    const rome = { traveller: 'ada', to: 'Rome', folder }
    const runs = await Promise.all([1, 2, 3].map(() => env.stet.start(trip, rome)))
    const undone = async (run: (typeof runs)[number]) =>
      (await run.history()).flatMap(({ type, name }) =>
        type === 'StepCompleted' && name?.startsWith('cancel ') ? [name.slice('cancel '.length)] : [],
      )
    await env.clock.advance('23h')
    await runs[0]!.signal(confirm, { by: 'ada' })
    await runs[1]!.cancel('ill')
    await env.clock.advance('2h')
    expect(Object.keys(await runs[0]!.result())).toEqual(['flight', 'hotel', 'car'])
    expect(await runs[1]!.result().catch((error) => error)).toMatchObject({ code: 'run_cancelled' })
    expect(await runs[2]!.result().catch((error) => error)).toBeInstanceOf(RunFailedError)
    expect(await undone(runs[0]!)).toEqual([])
    for (const run of runs.slice(1)) expect(await undone(run)).toEqual(['car', 'hotel', 'flight'])
  })

  test('saga: a crash at any point changes nothing', async () => {
    const input = { traveller: 'ada', to: 'Rome', folder, soldOut: 'car' } as const
    const { crashPoints, outcomes } = await crashEverywhere(trip, input, { database: 'memory' })
    expect(crashPoints).toBeGreaterThanOrEqual(18)
    expect(outcomes).toBe(1)
  })

  test('approval: reminded after half the time, expired after all of it', async () => {
    await using env = await open({ workflows: [approval] })
    const request = { document: 'plan', author: 'ada', reviewer: 'bob' }
    const [first, second] = await Promise.all([env.stet.start(approval, request), env.stet.start(approval, request)])
    await env.clock.advance('37h')
    await first.signal(decision, { approved: false, by: 'bob', note: 'no budget' })
    expect(await first.result()).toEqual({ document: 'plan', outcome: 'rejected', by: 'bob' })
    await env.clock.advance('35h')
    expect(await second.result()).toEqual({ document: 'plan', outcome: 'expired' })
  })

  test('subscription: a year is twelve runs, with its invoices in a list', async () => {
    const invoices: number[] = []
    await using env = await open({
      workflows: [subscription],
      steps: {
        'create table': () => {},
        bill: () => void invoices.push(env.clock.now()),
        'add up': () => invoices.length * 900,
      },
    })
    const first = await env.stet.start(subscription, { customer: 'ada', plan: 'basic' }, { id: 'ada' })
    const run = env.stet.run('ada')
    await env.clock.advance('75d')
    await run.signal(changePlan, 'team')
    expect(await run.query(status)).toMatchObject({ plan: 'basic', month: 3, ending: false })
    await env.clock.advance('270d')
    expect(invoices).toHaveLength(12)
    const { runs } = await env.stet.list({ workflow: 'subscription' })
    expect(runs.map(({ status }) => status)).toEqual(['waiting', ...Array(11).fill('continued')])
    expect(runs[0]!.attributes).toEqual({ customer: 'ada', plan: 'team', month: 12 })
    const { paidUntil } = await run.query(status)
    expect(await run.update(cancel, { reason: 'moving' })).toEqual({ until: paidUntil })
    const again = await run.update(cancel, { reason: 'sure' }).catch((error) => error)
    expect(again).toBeInstanceOf(UpdateRejectedError)
    await env.clock.advance('30d')
    expect(await first.result()).toEqual({ months: 12, paidCents: 10_800, reason: 'moving' })
  })

  test('agent: deletes what a person approves, and leaves what is denied', async () => {
    const papers = mkdtempSync(join(folder, 'papers-'))
    writeFileSync(join(papers, 'plan.txt'), 'DRAFT of a plan')
    writeFileSync(join(papers, 'letter.txt'), 'DRAFT of a letter')
    writeFileSync(join(papers, 'report.txt'), 'The report')
    await using env = await open({ workflows: [agent] })
    const run = await env.stet.start(agent, { goal: 'delete the drafts', folder: papers })
    await env.clock.advance('1h')
    const { undecided } = await run.query(progress)
    expect(undecided.map(({ id }) => id).sort()).toEqual(['delete letter.txt', 'delete plan.txt'])
    await run.signal(decide, { call: 'delete plan.txt', approved: true, by: 'ada' })
    await run.signal(decide, { call: 'delete letter.txt', approved: false, by: 'bob', note: 'still needed' })
    expect(await run.result()).toEqual({ answer: 'Of 3 files 2 were drafts; 1 are deleted.', turns: 4 })
    expect(readdirSync(papers).sort()).toEqual(['letter.txt', 'report.txt'])
  })
})
