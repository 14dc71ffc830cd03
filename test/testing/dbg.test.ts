import { inject, test } from 'vitest'
import { type Ctx, workflow } from '../../src/index.js'
import { testEnv, crashEverywhere } from '../../src/testing/index.js'
test('dbg', async () => {
  const url = inject('serverUrl')
  const w = workflow('w', async (ctx: Ctx<void>) => {
    await Promise.all([ctx.step('a', async () => 1), ctx.step('b', async () => 1)])
    await ctx.sleep('1h')
    await ctx.step('c', async () => 1)
  })
  for (let i = 0; i < 3; i++) {
    let t = performance.now()
    const env = await testEnv({ workflows: [w], url })
    console.log('open', performance.now() - t); t = performance.now()
    for (let j = 0; j < 3; j++) {
      const run = await env.stet.start(w)
      await env.clock.runToIdle()
      await run.result()
      console.log('run', performance.now() - t); t = performance.now()
    }
    env.worker.crash()
    const run = await env.stet.start(w)
    await env.clock.runToIdle()
    console.log('crash+run', performance.now() - t); t = performance.now()
    await env[Symbol.asyncDispose]()
    console.log('close', performance.now() - t)
  }
  const t = performance.now()
  const { crashPoints } = await crashEverywhere(w, undefined, { url })
  console.log('crashes', crashPoints, performance.now() - t)
})
