import { describe, expect, inject, test } from 'vitest'
import { NonRetryableError, type StepContext, workflow } from '../../src/index.js'
import { crashEverywhere } from '../../src/testing/index.js'

const url = inject('serverUrl')

describe('crashEverywhere', () => {
  test('crashes before, during and after each attempt; parallel steps, retries, sleeps and failures come out the same', async () => {
    const effects = new Map<string, number>()
    const bodies: string[] = []
    const once = (step: StepContext) => {
      effects.set(step.idempotencyKey, (effects.get(step.idempotencyKey) ?? 0) + 1)
    }
    const order = workflow('order', async (ctx, amount: number) => {
      const [a, b] = await Promise.all([
        ctx.step('validate', (step) => {
          once(step)
          bodies.push('validate')
          return amount
        }),
        ctx.step('reserve', (step) => {
          once(step)
          bodies.push('reserve')
          return amount + 1
        }),
      ])
      await ctx.sleep('1h')
      const c = await ctx.step('charge', { retry: { maxAttempts: 2 } }, (step) => {
        bodies.push('charge')
        if (step.attempt === 1) throw new Error('busy')
        return a + b
      })
      const d = await ctx.step('refund', () => Promise.reject(new NonRetryableError('too late'))).catch(String)
      return { c, d, random: Math.random() >= 0 }
    })
    const result = await crashEverywhere(order, 20, { url })
    // validate, reserve, two attempts of charge, refund
    expect(result).toEqual({ crashPoints: 3 * 5, outcomes: 1 })
    // Each step ran again in the executions that crashed after its effect, and only there: 1 + 15 runs, and one more.
    expect(bodies.filter((name) => name === 'validate').length).toBeGreaterThanOrEqual(17)
    expect([...effects.values()].filter((times) => times > 1).length).toBeGreaterThanOrEqual(2)
    expect(Math.max(...effects.values())).toBe(2)
  })

  test('finds a step whose effect is not the same the second time', async () => {
    const seen = new Set<string>()
    const naive = workflow('naive', async (ctx) => {
      const left = await ctx.step('take', () => 1)
      return { left, number: await ctx.step('number', () => 'replaced below') }
    })
    await expect(
      crashEverywhere(naive, undefined, {
        url,
        steps: {
          number: (step: StepContext) => {
            if (seen.has(step.idempotencyKey)) return 'again'
            seen.add(step.idempotencyKey)
            return 'new'
          },
        },
      }),
    ).rejects.toMatchObject({
      code: 'crash_outcome',
      message: expect.stringMatching(
        /after the effect of step "number", before it was recorded \(crash point 5 of 6\)[\s\S]*expected: completed with .*"new"[\s\S]*got: {6}completed with .*"again"/,
      ),
    })
  })

  test('signals are sent by drive; what compare leaves out may differ; a run that still waits is an error', async () => {
    const approval = workflow('approval', async (ctx) => {
      await ctx.step('ask', () => 1)
      const by = await ctx.waitForSignal<string>('approved')
      return { by, key: await ctx.step('publish', (step) => step.idempotencyKey) }
    })
    const drive = async (run: any, env: any) => {
      await env.clock.advance('1h')
      await run.signal('approved', 'Ada')
      await env.clock.runToIdle()
    }
    expect(await crashEverywhere(approval, undefined, { url, drive, compare: ({ by }) => by })).toEqual({
      crashPoints: 6,
      outcomes: 1,
    })
    await expect(crashEverywhere(approval, undefined, { url })).rejects.toMatchObject({ code: 'not_closed' })
    await expect(crashEverywhere('approval' as any, undefined, { url })).rejects.toThrow(/expected a workflow/)
  })
})
