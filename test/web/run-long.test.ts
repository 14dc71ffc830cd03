/**
 * A run of 10,000 steps: it opens, and one looks around in it. What keeps the page quick is asserted: of thousands no
 * more is drawn than is seen. How long it stood still meanwhile is printed.
 */
import { expect, test } from 'vitest'
import { type Ctx, workflow } from '../../src/index.js'
import { type Page, served, testBrowser } from '../support/browser.js'
import { house, until } from '../support/house.js'

const { stet, work } = await house()
const browser = await testBrowser()

const steps = 10_000

/** Half of them one after the other, half side by side, a few of which fail. */
const big = workflow('big', async (ctx: Ctx<unknown>, _: unknown) => {
  for (let i = 0; i < steps / 2; i++) await ctx.step('work', () => i)
  await Promise.allSettled(
    Array.from({ length: steps / 2 }, (_, i) =>
      ctx.step('index', { retry: false }, () => {
        if (i % 1_000 === 7) throw new Error('not this one')
        return i
      }),
    ),
  )
})

/** What is on the page, of however many events: some screens of rows and nodes. */
async function drawsLittle(page: Page): Promise<void> {
  expect(await page.locator('[role=option]').count()).toBeLessThan(150)
  expect(await page.locator('.node').count()).toBeLessThan(60)
  expect(await page.locator('body *').count()).toBeLessThan(4_000)
}

/** Tasks of more than 50 ms while something is done, ms. */
async function longTasks(page: Page, what: () => Promise<void>): Promise<number[]> {
  await page.evaluate('window.longTasks.length = 0')
  await what()
  // The observer is told in a task of its own.
  await page.evaluate('new Promise((done) => requestAnimationFrame(() => setTimeout(done, 100)))')
  return (await page.evaluate('window.longTasks')) as number[]
}

test('10,000 steps: open, scroll, pan, zoom, go back in time', { timeout: 180_000 }, async () => {
  await work([big])
  const run = await stet.start(big, null)
  await run.result()
  const url = await served(stet)
  const page = await browser.open('about:blank', { context: { reducedMotion: 'reduce' } })
  await page.addInitScript(
    `window.longTasks = []
     new PerformanceObserver((list) => window.longTasks.push(...list.getEntries().map(({ duration }) => Math.round(duration))))
       .observe({ type: 'longtask', buffered: true })`,
  )
  const begun = performance.now()
  await page.goto(`${url}/runs/${run.runId}`)
  await page.locator('.graph[data-laid] .node').nth(2).waitFor()
  const opened = Math.round(performance.now() - begun)
  const loading = (await page.evaluate('window.longTasks')) as number[]
  await page.locator('.node[data-group="5000"]').first().waitFor()
  await browser.shot(page, 'run-long')
  // What the first pictures still had to do is over when nothing has been long for a while.
  await until(
    () =>
      page.evaluate(
        `(() => {
           const n = window.longTasks.length
           if (window.lastLong !== n) Object.assign(window, { lastLong: n, since: performance.now() })
           return performance.now() - window.since > 500
         })()`,
      ) as Promise<boolean>,
    'the page is at rest',
  )

  const timeline = page.getByRole('listbox', { name: 'Steps by time' })
  const scrolled = await longTasks(page, async () => {
    await timeline.hover()
    for (let i = 0; i < 40; i++) await page.mouse.wheel(0, 4_000)
  })
  expect(await timeline.evaluate((node: any) => node.scrollTop)).toBeGreaterThan(50_000)
  await drawsLittle(page)
  const zoomed = await longTasks(page, async () => {
    for (let i = 0; i < 6; i++) await page.getByRole('button', { name: 'Zoom in' }).click()
    for (let i = 0; i < 20; i++) await page.mouse.wheel(800, 0)
  })
  const panned = await longTasks(page, async () => {
    const graph = (await page.locator('.graph').boundingBox())!
    const [x, y] = [graph.x + graph.width - 300, graph.y + 40]
    await page.mouse.move(x, y)
    await page.mouse.down()
    for (let i = 0; i < 40; i++) await page.mouse.move(x - i * 8, y + i * 3)
    await page.mouse.up()
    for (let i = 0; i < 10; i++) await page.mouse.wheel(0, i % 2 === 0 ? 200 : -200)
  })
  await drawsLittle(page)
  const slider = page.getByRole('slider', { name: 'After event' })
  const { length } = await run.history()
  const stepped = await longTasks(page, async () => {
    await slider.fill(String(Math.round(length / 2)))
    for (let i = 0; i < 20; i++) await slider.press('ArrowLeft')
    await slider.fill(String(length - 100))
    for (let i = 0; i < 20; i++) await slider.press('ArrowRight')
  })
  await page.locator('.run-header').getByText(`as it was after event`, { exact: false }).waitFor()
  await page.getByRole('tab', { name: 'History' }).click()
  await page.locator('[data-event]').first().waitFor()
  const events = page.getByRole('listbox', { name: 'Events' })
  const read = await longTasks(page, async () => {
    await events.hover()
    for (let i = 0; i < 40; i++) await page.mouse.wheel(0, 5_000)
  })
  expect(await events.evaluate((node: any) => node.scrollTop)).toBeGreaterThan(50_000)
  await drawsLittle(page)
  const filtered = await longTasks(page, async () => {
    await page.getByLabel('Filter the events').fill('stepfailed')
    await page.getByText(/^5 of [\d,]+ events$/).waitFor()
  })
  const figures = { scrolled, zoomed, panned, stepped, read, filtered }
  console.log(
    `${length} events; shown after ${opened} ms; tasks of more than 50 ms: ${JSON.stringify({ loading, ...figures })}`,
  )

  // An opened group of thousands is drawn in parts.
  await page.getByRole('button', { name: 'Back to now' }).click()
  await page.getByRole('tab', { name: 'Graph', exact: true }).click()
  await page.getByRole('button', { name: 'Open the group index' }).click()
  await page.locator('.node[data-group="250"]').nth(19).waitFor()
  expect(await page.locator('.node').count()).toBe(22)
  await browser.shot(page, 'run-long-opened')
})
