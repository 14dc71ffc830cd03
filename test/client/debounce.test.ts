/** Debounced starts, from where they are asked for to the run that begins; both stores. */
import pg from 'pg'
import { describe, expect, inject, onTestFinished, test } from 'vitest'
import { type StartOptions, Stet, workflow } from '../../src/index.js'
import { testEnv } from '../../src/testing/index.js'
import { refusal } from '../support/house.js'
import { testDatabase } from '../support/server.js'

const digest = workflow('digest', async (_, what: string) => what)
const debounce = { key: 'u-7', wait: '30s', maxWait: '5m' } as const

describe.each([
  ['Postgres', () => ({ url: inject('serverUrl') })],
  ['in memory', () => ({ database: 'memory' as const })],
])('%s', (_, where) => {
  test('one run for many starts, after the wait, with the last input; then another', async () => {
    await using env = await testEnv({ workflows: [digest], ...where() })
    const first = await env.stet.start(digest, 'one', { debounce })
    await env.clock.advance('29s')
    const second = await env.stet.start(digest, 'two', { debounce })
    expect([second.id, second.runId]).toEqual([first.id, first.runId])
    await env.clock.advance('29s')
    expect((await first.describe()).status).toBe('waiting')
    expect(await first.why()).toMatchObject({ code: 'delayed' })
    await env.clock.advance('1s')
    expect(await second.result()).toBe('two')
    const third = await env.stet.start(digest, 'three', { debounce })
    expect(third.runId).not.toBe(first.runId)
    await env.clock.advance('30s')
    expect(await third.result()).toBe('three')
  })

  test('however many come, it begins so long after the first', async () => {
    await using env = await testEnv({ workflows: [digest], ...where() })
    const began = await env.stet.start(digest, '0', { debounce })
    for (let i = 1; i <= 20; i++) {
      await env.clock.advance('20s')
      await env.stet.start(digest, String(i), { debounce })
    }
    // The 15th came at 5 minutes, when it had begun; in which order the two came in that moment is open.
    expect(['14', '15']).toContain(await began.result())
    expect((await env.stet.list({ workflow: 'digest' })).runs).toHaveLength(2)
  })
})

test('in a transaction it is there when that is committed, and never when it is not', async () => {
  const { url } = await testDatabase()
  await using stet = new Stet({ url })
  const begin = async (end: 'COMMIT' | 'ROLLBACK') => {
    const tx = new pg.Client(url)
    await tx.connect()
    await tx.query('BEGIN')
    const { runId } = await stet.start(digest, end, { tx, debounce })
    await tx.query(end)
    await tx.end()
    return runId
  }
  await begin('ROLLBACK')
  expect((await stet.list({})).runs).toEqual([])
  const runId = await begin('COMMIT')
  expect((await stet.start(digest, 'later', { debounce })).runId).toBe(runId)
  expect((await stet.run(runId).history())[0]!.data).toEqual({ input: 'later' })
})

test.each<[string, StartOptions | object, RegExp]>([
  ['an id', { id: 'mine' }, /debounce and id cannot both be given/],
  ['a delay', { delay: '1s' }, /debounce and delay cannot both/],
  ['no key', { debounce: { wait: '1s' } }, /debounce\.key: expected/],
  ['no wait', { debounce: { key: 'a' } }, /debounce\.wait: expected a duration, got undefined/],
  ['a wrong longest wait', { debounce: { key: 'a', wait: 1, maxWait: -1 } }, /debounce\.maxWait: expected a duration/],
  ['no object', { debounce: '30s' }, /debounce: expected \{ key, wait, maxWait \}.*got 30s/],
])('with %s it is refused, and nothing is written', async (_, options, message) => {
  const stet = new Stet({ url: inject('serverUrl') })
  onTestFinished(() => stet.close())
  expect(await refusal(stet.start(digest, 'x', { debounce, ...options } as StartOptions))).toMatchObject({
    code: 'invalid_input',
    message: expect.stringMatching(message),
  })
})
