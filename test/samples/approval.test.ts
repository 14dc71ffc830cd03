import { testEnv } from 'stet/testing'
import { expect, inject, test } from 'vitest'
import { approval, decision } from '../../samples/approval.js'

const request = { document: 'plan', author: 'ada', reviewer: 'bob' }
const open = () => testEnv({ workflows: [approval], url: inject('serverUrl') })
const names = (events: { type: string; name?: string }[], type: string) =>
  events.filter((event) => event.type === type).map(({ name }) => name)

test('a decision is taken whenever it comes, and no reminder goes out before it', async () => {
  await using env = await open()
  const run = await env.stet.start(approval, request)
  await env.clock.advance('35h')
  expect((await run.describe()).status).toBe('waiting')
  await run.signal(decision, { approved: true, by: 'bob' })
  expect(await run.result()).toEqual({
    document: 'plan',
    outcome: 'published',
    by: 'bob',
    url: 'https://docs.example.com/plan',
  })
  expect(names(await run.history(), 'StepCompleted')).toEqual(['ask for review', 'publish'])
})

test('after half the time the reviewer is reminded, and may reject', async () => {
  await using env = await open()
  const run = await env.stet.start(approval, request)
  await env.clock.advance('37h')
  await run.signal(decision, { approved: false, by: 'bob', note: 'no budget' })
  expect(await run.result()).toEqual({ document: 'plan', outcome: 'rejected', by: 'bob' })
  expect(names(await run.history(), 'StepCompleted')).toEqual(['ask for review', 'remind', 'tell that it was rejected'])
})

test('the deadline of three days passes in virtual time, and not an hour early', async () => {
  await using env = await open()
  const run = await env.stet.start(approval, request)
  await env.clock.advance('71h')
  expect((await run.describe()).status).toBe('waiting')
  await env.clock.advance('1h')
  expect(await run.result()).toEqual({ document: 'plan', outcome: 'expired' })
})
