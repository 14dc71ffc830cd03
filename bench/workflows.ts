import { workflow } from 'stet'

const filler = 'x'.repeat(100)

/** Five steps, one after another. */
export const fiveSteps = workflow('five steps', async (ctx, n: number) => {
  let sum = n
  for (let i = 0; i < 5; i++) sum += (await ctx.step(`step ${i}`, async () => ({ i, filler }))).i
  return sum
})

export const oneStep = workflow('one step', async (ctx) => ctx.step('only', async () => ({ filler })))

/** `count` steps, one after another; the times of tenths are taken outside. */
export const sequence = workflow('sequence', async (ctx, count: number) => {
  for (let i = 0; i < count; i++) await ctx.step('next', async () => ({ i, filler }))
  return count
})

/** Ten events: the start and nine steps. */
export const nineStepsAndWait = workflow('nine steps and wait', async (ctx, n: number) => {
  for (let i = 0; i < 9; i++) await ctx.step(`step ${i}`, async () => ({ i, n, filler }))
  return ctx.waitForSignal('go')
})

export const fanOut = workflow('fan out', async (ctx, count: number) => {
  const all = await Promise.all(Array.from({ length: count }, (_, i) => ctx.step('part', async () => ({ i, filler }))))
  return all.length
})

/** Steps that take a moment, so that a kill always finds one under way. */
export const steady = workflow('steady', async (ctx, count: number) => {
  for (let i = 0; i < count; i++) {
    await ctx.step('beat', async () => {
      await new Promise((resolve) => setTimeout(resolve, 20))
      return i
    })
  }
  return count
})

/** One step of a moment; turn about between tenants. */
export const tenants = workflow('tenants', { fairness: { key: 'tenant' } }, async (ctx, _: { tenant: string }) =>
  ctx.step('only', () => new Promise<number>((resolve) => setTimeout(() => resolve(1), 20))),
)
