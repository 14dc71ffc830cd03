/** Run by env.test.ts in a process of its own: `stet/testing` needs nothing of vitest. */
import assert from 'node:assert/strict'
import test from 'node:test'
import { workflow } from '../../src/index.js'
import { testEnv } from '../../src/testing/index.js'

const napping = workflow('napping', async (ctx) => {
  await ctx.sleep('30d')
  return ctx.step('wake', () => 'awake')
})

test('a sleep of thirty days', async () => {
  const on = JSON.parse(process.env.TEST_ON ?? '{}')
  const env = await testEnv({ workflows: [napping], ...on })
  const run = await env.stet.start(napping)
  await env.clock.advance('30d')
  assert.equal(await run.result(), 'awake')
  await env[Symbol.asyncDispose]()
})
