/** Nothing that a run was given, said or returned stands readable in any table. */
import { randomBytes } from 'node:crypto'
import { type Ctx, query, Stet, update, workflow } from 'stet'
import { expect, test } from 'vitest'
import { aesGcm, consultation } from '../../samples/encrypted.js'
import { refusal, until } from '../support/house.js'
import { testDatabase } from '../support/server.js'

const db = await testDatabase()
const keys = new Map([['a', randomBytes(32)]])
const secret = 'a very private matter'

/** Everything that goes through a codec: input, results, failures, checkpoints, messages, answers, children, reasons. */
const everything = workflow('everything', async (ctx, input: { secret: string }) => {
  let heard = ''
  ctx.onQuery(query<string, string>('heard'), (add) => heard + add)
  ctx.onUpdate(update<string, string>('hear'), { validate: refuse }, (word) => {
    heard = word
    return `heard ${word}`
  })
  const fromStep = await ctx.step('keep', async (step) => {
    await step.saveCheckpoint({ at: input.secret })
    return input
  })
  const fromTransaction = await ctx.transaction('pay', async () => input.secret)
  const failure = await ctx
    .step('fail', { retry: false }, () => Promise.reject(new Error(input.secret)))
    .catch((e) => e.cause.message)
  const fromChild = await ctx.child(child, input.secret)
  const signalled = await ctx.waitForSignal<string>('word')
  await ctx.condition(() => heard !== '')
  if (signalled !== 'go on') return ctx.continueAsNew(input)
  return { fromStep, fromTransaction, failure, fromChild, heard }
})
const child = workflow('secret child', async (ctx, input: string) => ctx.step('echo', () => input))
const failing = workflow('secret failure', async (_ctx: Ctx<string>, input: string) => {
  throw new Error(input)
})
function refuse(word: string) {
  if (word.startsWith('no')) throw new Error(`not ${secret}`)
}

async function tables(): Promise<string> {
  const { rows } = await db.query(
    `SELECT table_schema AS s, table_name AS t FROM information_schema.tables WHERE table_schema = 'stet_store' AND table_type = 'BASE TABLE'`,
  )
  let text = ''
  for (const { s, t } of rows) {
    const all = await db.query(`SELECT x::text AS row FROM ${s}.${t} x`)
    text += all.rows.map(({ row }) => row).join('\n')
  }
  return text
}

test('the sample runs, and the database has only cipher text of it', async () => {
  await using stet = new Stet({ url: db.url, codec: aesGcm(keys) })
  await using worker = stet.worker({ workflows: [consultation] })
  await worker.start()
  const run = await stet.start(consultation, { name: 'Ada', complaint: secret })
  await run.signal('advice', 'more sleep')
  expect(await run.result()).toEqual({ finding: `Ada: ${secret}, nothing serious`, advice: 'more sleep' })
  const stored = await tables()
  expect(stored).toContain('consultation')
  for (const word of [secret, 'Ada', 'more sleep']) expect(stored).not.toContain(word)
  const { rows } = await db.query('SELECT input, output FROM stet.runs WHERE run_id = $1', [run.runId])
  expect(rows).toEqual([{ input: '(encoded)', output: '(encoded)' }])
})

test('no part of a run leaves plain text: messages, answers, checkpoints, children, failures, reasons', async () => {
  await using stet = new Stet({ url: db.url, codec: aesGcm(keys), log: silent })
  await using worker = stet.worker({ workflows: [everything, child, failing] })
  await worker.start()
  const run = await stet.start(everything, { secret }, { id: 'everything' })
  expect(await run.update('hear', secret)).toBe(`heard ${secret}`)
  expect((await refusal(run.update('hear', 'no'))).cause.message).toBe(`not ${secret}`)
  expect(await run.query('heard', '!')).toBe(`${secret}!`)
  await run.signal('word', secret)
  await until(async () => (await run.describe()).status === 'continued', 'it began anew')
  const next = stet.run<typeof everything>('everything')
  await next.update('hear', secret)
  await next.signal('word', 'go on')
  expect(await run.result()).toEqual({
    fromStep: { secret },
    fromTransaction: secret,
    failure: secret,
    fromChild: secret,
    heard: secret,
  })
  const failed = await stet.start(failing, secret)
  expect((await refusal(failed.result())).cause.message).toBe(secret)
  expect((await failed.describe()).error).toMatchObject({ message: secret })
  const cancelled = await stet.start(everything, { secret }, { queue: 'nobody' })
  await cancelled.cancel(secret)
  expect((await cancelled.history()).at(-1)).toMatchObject({ data: { reason: secret } })
  const terminated = await stet.start(everything, { secret })
  await terminated.terminate(secret)
  expect(await tables()).not.toContain(secret)
})

test('another key, or none, is a typed error; keys can be changed while runs are open', async () => {
  const newer = new Map([['b', randomBytes(32)], ...keys])
  await using old = new Stet({ url: db.url, codec: aesGcm(keys) })
  const run = await old.start(consultation, { name: 'Bob', complaint: secret })
  {
    await using none = new Stet({ url: db.url })
    expect(await refusal(none.run(run.runId).history())).toMatchObject({ name: 'SerializationError' })
    await using wrong = new Stet({ url: db.url, codec: aesGcm(new Map([['a', randomBytes(32)]])) })
    expect(await refusal(wrong.run(run.runId).history())).toMatchObject({ name: 'SerializationError' })
  }
  await using stet = new Stet({ url: db.url, codec: aesGcm(newer) })
  await using worker = stet.worker({ workflows: [consultation] })
  await worker.start()
  await run.signal('advice', 'tea')
  expect(await stet.run(run.runId).result()).toMatchObject({ advice: 'tea' })
})

const silent = { debug() {}, info() {}, warn() {}, error() {} }
