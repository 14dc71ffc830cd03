/** Looks for faults in the engine whose sources stand beside it in `./src`. Tells what it found as JSON. */
// The file is copied to where the engine is; here the paths lead nowhere.
const { workflow } = (await import(
  new URL('./src/index.js', import.meta.url).href
)) as typeof import('../../src/index.js')
const { completeInEveryOrder, crashEverywhere } = (await import(
  new URL('./src/testing/index.js', import.meta.url).href
)) as typeof import('../../src/testing/index.js')
type Ctx = import('../../src/index.js').Ctx<void>

const [url] = process.argv.slice(2)
const on = url === undefined ? { database: 'memory' as const } : { url }

/** Of what was drawn something was done before: another draw must not come after it. */
let drawn = 0
const notes = new Map<string, number>()
const draw = workflow('draw', async (ctx: Ctx) => {
  const token = await ctx.step('draw', () => ++drawn)
  const noted = await ctx.step('note', async (step) => {
    if (!notes.has(step.idempotencyKey)) notes.set(step.idempotencyKey, token)
    return notes.get(step.idempotencyKey)
  })
  return token === noted
})

/** What the function knows is the order in which its steps completed. */
const race = workflow('race', async (ctx: Ctx) => {
  const order: string[] = []
  await Promise.all(['a', 'b'].map((name) => ctx.step(name, async () => name).then((done) => order.push(done))))
  return order.join('')
})

const found = async (look: () => Promise<object>) => {
  try {
    return await look()
  } catch (error) {
    const { code, message } = error as { code?: string; message: string }
    return { code, message }
  }
}
const report = {
  draw: await found(() => crashEverywhere(draw, undefined, on)),
  race: await found(() => crashEverywhere(race, undefined, on)),
  orders: await found(() => completeInEveryOrder(race, undefined, { ...on, outcomes: 'any' })),
}
process.stdout.write(JSON.stringify(report))
