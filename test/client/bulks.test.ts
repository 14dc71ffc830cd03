/** Bulks over real workers: what they promise to whoever asks for them. */
import { expect, test } from 'vitest'
import { type BulkProgress, type Ctx, Stet, workflow } from '../../src/index.js'
import { gate, house, refusal, until } from '../support/house.js'

const { stet, work, db, reached } = await house()

const idle = workflow('idle', async (ctx: Ctx<number>) => {
  await ctx.sleep('30d')
})

const repaired = { value: false }
const broken = workflow('broken', { retry: { maxAttempts: 1 } }, async (ctx: Ctx<number>, input) => {
  const first = await ctx.step('first', () => input)
  return ctx.step('second', () => {
    if (!repaired.value) throw new Error('not yet')
    return first * 10
  })
})

test('workers do it: all that were there, none that came later, and who asked is on record', async () => {
  await work([idle])
  const runs = []
  for (let i = 0; i < 20; i++) runs.push(await stet.start(idle, i, { queue: 'default', attributes: { lot: 1 } }))
  await Promise.all(runs.map((run) => reached(run, 'waiting')))
  const filter = { attributes: { lot: 1 } }
  const preview = await stet.bulk('cancel', filter, { dryRun: true })
  expect(preview).toMatchObject({ operation: 'cancel', count: 20, more: false })
  expect(preview.sample.map(({ runId }) => runId)).toEqual(
    runs
      .slice(10)
      .map(({ runId }) => runId)
      .reverse(),
  )
  expect((await stet.bulks.list()).bulks).toEqual([])

  const bulk = await stet.bulk('cancel', filter, { reason: 'a test', actor: 'ada' })
  const late = await stet.start(idle, 99, { attributes: { lot: 1 } })
  const done = await bulk.result({ timeout: '20s' })
  expect(done).toMatchObject({
    state: 'completed',
    expected: 20,
    seen: 20,
    done: 20,
    refused: {},
    reason: 'a test',
    actor: 'ada',
  })
  for (const run of runs) expect((await refusal(run.result({ timeout: '20s' }))).code).toBe('run_cancelled')
  expect((await late.describe()).closedAt).toBeUndefined()
  expect((await stet.bulks.list()).bulks).toMatchObject([{ id: bulk.id, state: 'completed' }])
  const { rows } = await db.query('SELECT operation, actor, state, done::int, refused FROM stet.bulks')
  expect(rows).toEqual([{ operation: 'cancel', actor: 'ada', state: 'completed', done: 20, refused: {} }])
  await late.cancel()
})

test('where no worker lives, the caller does it, and sees how it gets on', async () => {
  for (let i = 0; i < 5; i++) await stet.start('nobody has it', i, { queue: 'lonely' })
  const bulk = await stet.bulk('terminate', { queue: 'lonely' })
  expect((await refusal(bulk.result({ timeout: 300 }))).code).toBe('timeout')
  expect(await bulk.progress()).toMatchObject({ state: 'running', seen: 0 })
  const seen: BulkProgress[] = []
  const done = await (await stet.bulks.get(bulk.id)).result({ drive: true, onProgress: (now) => seen.push(now) })
  expect(done).toMatchObject({ state: 'completed', done: 5 })
  expect(seen.at(-1)).toEqual(done)
  // Of one that is over nothing can be changed, and nothing is.
  await bulk.cancel()
  expect((await bulk.progress()).state).toBe('completed')
  expect((await refusal(stet.bulks.get('bulk_none'))).code).toBe('bulk_not_found')
})

test('retry after retry under one id: recorded steps are kept, and the latest is the one that is meant', async () => {
  await work([broken])
  const run = await stet.start(broken, 4, { id: 'again' })
  await refusal(run.result())
  const filter = { status: 'failed' as const, workflow: 'broken' }
  const once = await stet.bulk('retry', filter, { dryRun: true })
  expect(once.sample).toMatchObject([{ id: 'again', runId: run.runId }])
  await (await stet.bulk('retry', filter)).result({ timeout: '20s' })
  const second = await stet.run('again').describe()
  expect(second.runId).not.toBe(run.runId)
  await refusal(stet.run('again').result())
  repaired.value = true
  // Both failed runs are come to; the latest is tried again.
  const done = await (await stet.bulk('retry', filter)).result({ timeout: '20s' })
  expect(done).toMatchObject({ seen: 2, done: 1, refused: { superseded: 1 } })
  expect(
    await until(
      async () =>
        stet
          .run('again')
          .result()
          .catch(() => null),
      'the latest is well',
    ),
  ).toBe(40)
  const { runs } = await stet.list({ workflow: 'broken' })
  expect(runs.map(({ status, superseded }) => [status, superseded])).toEqual([
    ['completed', undefined],
    ['failed', true],
    ['failed', true],
  ])
  const history = await stet.run('again').history()
  expect(history.filter(({ type, name }) => type === 'StepCompleted' && name === 'first')).toHaveLength(1)
})

test('payloads of bulks go through the codec, and come back', async () => {
  const flip = (bytes: Uint8Array) => bytes.map((byte) => byte ^ 0x5a)
  await using secret = new Stet({ url: db.url, codec: { encode: flip, decode: flip } })
  await secret.start('nobody has it', 'words', { id: 'hidden', queue: 'secret' })
  const bulk = await secret.bulk('cancel', { queue: 'secret' }, { reason: 'classified' })
  expect((await bulk.result({ drive: true })).reason).toBe('classified')
  const { rows } = await db.query('SELECT row_to_json(b)::text AS text FROM stet_store.bulks b WHERE id = $1', [
    bulk.id,
  ])
  expect(rows[0].text).not.toContain('classified')
  const [, asked] = await secret.run('hidden').history()
  expect(asked).toMatchObject({ type: 'CancelRequested', data: { reason: 'classified' } })
})

test('a bulk of forks: results and input are set in all of them', async () => {
  await work([broken], { queues: ['forks'] })
  repaired.value = true
  const runs = await Promise.all([1, 2, 3].map((i) => stet.start(broken, i, { id: `f-${i}`, queue: 'forks' })))
  await Promise.all(runs.map((run) => run.result()))
  const ended = gate()
  const fork = { at: 'second', set: { first: 7 } }
  const bulk = await stet.bulk('fork', { queue: 'forks', workflow: 'broken' }, { fork })
  const done = await bulk.result({ timeout: '20s', onProgress: ({ state }) => state === 'completed' && ended.open() })
  await ended.promise
  expect(done).toMatchObject({ seen: 3, done: 3 })
  for (const run of runs) expect(await stet.run(`${run.id}-fork-${run.runId.slice(-8)}`).result()).toBe(70)
})
