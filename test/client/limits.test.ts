/** Limits as users meet them: in options, through `stet.limits`, on the command line, and in what `why` says. */
import { afterAll, expect, test } from 'vitest'
import { type Ctx, InvalidInputError, signal, workflow } from '../../src/index.js'
import { project, stet as stetCli, stetJson } from '../cli/support.js'
import { house, until } from '../support/house.js'

const { stet, work, db } = await house()
afterAll(() => stet.close())

const open = signal('open')

/** Runs that execute a step until they are let go. */
function gated(name: string, options: object) {
  const running = new Set<string>()
  let most = 0
  const gates = new Map<string, () => void>()
  const flow = workflow(name, options, async (ctx: Ctx<any>, _: any) => {
    await ctx.step('hold', async () => {
      running.add(ctx.run.id)
      most = Math.max(most, running.size)
      await new Promise<void>((resolve) => gates.set(ctx.run.id, resolve))
      running.delete(ctx.run.id)
    })
    return ctx.run.id
  })
  const release = (id: string) => gates.get(id)!()
  return { flow, running, release, most: () => most }
}

test('what the options of a workflow say holds, for starts by SQL and by name too, and is listed', async () => {
  const { flow, running, release } = gated('gated', { concurrency: { limit: 2, key: 'customer.id' } })
  await work([flow])
  const runs = [
    await stet.start(flow, { customer: { id: 'ada' } }, { id: 'ada-1' }),
    await stet.start('gated', { customer: { id: 'ada' } }, { id: 'ada-2' }),
  ]
  await until(() => running.size === 2, 'two run')
  await db.query(`SELECT stet.start('gated', '{"customer": {"id": "ada"}}', 'ada-3')`)
  const bob = await stet.start(flow, { customer: { id: 'bob' } }, { id: 'bob-1' })
  await until(() => running.has('bob-1'), 'the other customer runs')
  const third = stet.run('ada-3')
  const why = await until(async () => {
    const reason = await third.why()
    return reason.code === 'limited' && reason
  }, 'it says that it is limited')
  expect(why.message).toContain(
    '2 runs of customer.id "ada" of workflow "gated" are in hand, and no more than 2 may be at once',
  )
  const [limit] = await stet.limits.list()
  expect(limit).toMatchObject({
    target: { workflow: 'gated', key: 'customer.id' },
    ...{ concurrency: 2, rate: null, paused: false, source: 'code', running: 3, queued: 1, full: 1 },
    values: [
      { value: 'ada', running: 2 },
      { value: 'bob', running: 1 },
    ],
  })
  expect(limit).toMatchObject({
    ...{ declared: { concurrency: 2, rate: null }, begun: null },
    fullValues: [{ value: 'ada', running: 2, begun: null, queued: 1, oldestMs: expect.any(Number) }],
  })
  const cli = await stetCli(['limit', 'list'], { cwd: project('module'), url: db.url })
  expect(cli.stdout).toMatch(/workflow:gated by customer\.id +2 .*3 \(1 full: ada\) +1/)
  expect(running.has('ada-3')).toBe(false)
  release('ada-1')
  await until(() => running.has('ada-3'), 'the third runs')
  for (const id of ['ada-2', 'ada-3', 'bob-1']) release(id)
  expect(await Promise.all([...runs, bob, third].map((run) => run.result()))).toEqual([
    'ada-1',
    'ada-2',
    'bob-1',
    'ada-3',
  ])
})

test('a run that waits counts for nothing, and stands in line again when it is woken', async () => {
  const waiting = workflow('waiting', { concurrency: { limit: 1 } }, async (ctx: Ctx<void>) => {
    await ctx.waitForSignal(open)
    return ctx.run.id
  })
  await work([waiting])
  const runs = await Promise.all(Array.from({ length: 5 }, (_, i) => stet.start(waiting, undefined, { id: `w-${i}` })))
  await until(async () => (await stet.list({ workflow: 'waiting', status: 'waiting' })).runs.length === 5, 'all wait')
  for (const run of runs) await run.signal(open)
  expect(await Promise.all(runs.map((run) => run.result()))).toHaveLength(5)
})

test('a change holds at once: more, fewer, none; and a queue is paused and resumed', async () => {
  const { flow, running, release, most } = gated('changed', { queue: 'narrow' })
  await stet.limits.set({ queue: 'narrow' }, { concurrency: 1 })
  await work([flow])
  const runs = await Promise.all(
    Array.from({ length: 6 }, (_, i) => stet.start(flow, null, { id: `c-${i}`, queue: 'narrow' })),
  )
  await until(() => running.size === 1, 'one runs')
  await stet.limits.set({ queue: 'narrow' }, { concurrency: 3 })
  await until(() => running.size === 3, 'three run')
  await stet.limits.pause({ queue: 'narrow' })
  for (const id of [...running]) release(id)
  await until(() => running.size === 0, 'nothing runs')
  const left = (await stet.list({ workflow: 'changed', status: 'pending' })).runs
  await until(
    async () => (await stet.run(left[0]!.id).why()).message.includes('queue "narrow" is paused'),
    'it says so',
  )
  expect(running.size).toBe(0)
  await stet.limits.resume({ queue: 'narrow' })
  await until(() => running.size === 3, 'the others run')
  for (const id of [...running]) release(id)
  await Promise.all(runs.map((run) => run.result()))
  expect(most()).toBe(3)
  expect(await stet.limits.reset({ queue: 'narrow' })).toBe(true)
  expect(await stet.limits.reset({ queue: 'narrow' })).toBe(false)
})

test('a rate lets so many begin in a period, and asks again when the next may', async () => {
  const quick = workflow('quick', { rateLimit: { limit: 3, period: '400ms' } }, async (ctx: Ctx<void>) =>
    ctx.step('now', () => 1),
  )
  await work([quick])
  const runs = await Promise.all(Array.from({ length: 9 }, () => stet.start(quick)))
  await Promise.all(runs.map((run) => run.result()))
  const { rows } = await db.query(
    `SELECT (extract(epoch FROM started_at) * 1000)::float8 AS at FROM stet_store.runs WHERE workflow = 'quick' ORDER BY started_at`,
  )
  for (const [i, { at }] of rows.entries()) if (i >= 3) expect(at - rows[i - 3].at).toBeGreaterThanOrEqual(400)
})

test('what cannot be a limit is refused before anything is written', async () => {
  const fn = async () => {}
  const wrong: [object, string][] = [
    [{ concurrency: { limit: 0 } }, 'concurrency.limit: expected a whole number from 1, got 0'],
    [{ concurrency: 3 }, 'concurrency: expected an object'],
    [{ concurrency: { limit: 1, key: 'a..b' } }, 'concurrency.key: expected a path'],
    [{ concurrency: { limit: 1, key: '{a}' } }, 'concurrency.key: expected a path'],
    [{ rateLimit: { limit: 1 } }, 'rateLimit.period: expected a duration'],
    [{ rateLimit: { limit: 1.5, period: '1s' } }, 'rateLimit.limit: expected a whole number'],
    [{ rateLimit: { limit: 1, period: 1 } }, 'rateLimit.period: expected 10 ms at least'],
    [{ fairness: {} }, 'fairness.key: expected a path'],
  ]
  for (const [options, message] of wrong) {
    expect(() => workflow('wrong', options as any, fn as any)).toThrow(InvalidInputError)
    expect(() => workflow('wrong', options as any, fn as any)).toThrow(message)
  }
  const before = await stet.limits.list()
  const refused = async (what: Promise<unknown>) =>
    expect(await what.catch((error) => error)).toBeInstanceOf(InvalidInputError)
  await refused(stet.limits.set({} as any, { concurrency: 1 }))
  await refused(stet.limits.set({ queue: 'a', workflow: 'b' } as any, { concurrency: 1 }))
  await refused(stet.limits.set({ queue: '' }, { concurrency: 1 }))
  await refused(stet.limits.set({ queue: 'a' }, {}))
  await refused(stet.limits.set({ queue: 'a' }, { concurrency: -1 }))
  await refused(stet.limits.set({ queue: 'a', key: '.' }, { concurrency: 1 }))
  expect(await stet.limits.list()).toEqual(before)
})

test('on the command line', async () => {
  const place = { cwd: project('module'), url: db.url }
  expect(
    (
      await stetCli(
        ['limit', 'set', 'workflow:mail', '--key', 'to', '--concurrency', '2', '--rate', '5', '--period', '1m'],
        place,
      )
    ).code,
  ).toBe(0)
  const json = await stetJson(['limit', 'list'], place)
  expect(json.find(({ target }: any) => target.workflow === 'mail')).toMatchObject({
    ...{
      target: { workflow: 'mail', key: 'to' },
      concurrency: 2,
      rate: { limit: 5, periodMs: 60_000 },
      source: 'runtime',
    },
  })
  expect((await stetCli(['limit', 'list'], place)).stdout).toMatch(/workflow:mail by to +2 +5 \/ 1 m/)
  expect((await stetCli(['queue', 'pause', 'mail'], place)).code).toBe(0)
  expect((await stetCli(['queue', 'list'], place)).stdout).toMatch(/mail paused/)
  expect(await stetJson(['queue', 'list'], place)).toContainEqual({
    ...{ queue: 'mail', paused: true, ready: 0, oldestMs: null, workers: 0, concurrency: null },
  })
  expect((await stetCli(['queue', 'resume', 'mail'], place)).code).toBe(0)
  expect((await stetCli(['queue', 'list'], place)).stdout).not.toContain('paused')
  expect(await stetJson(['limit', 'reset', 'workflow:mail', '--key', 'to'], place)).toMatchObject({ was: true })
  for (const args of [
    ['limit', 'set', 'mail', '--concurrency', '2'],
    ['limit', 'set', 'workflow:mail', '--rate', '2'],
    ['limit', 'set', 'workflow:mail', '--concurrency', 'many'],
    ['limit', 'set', 'workflow:mail'],
  ]) {
    const { code, stderr } = await stetCli(args, place)
    expect(code, stderr).toBe(2)
    expect(stderr).toContain('expected')
  }
})
