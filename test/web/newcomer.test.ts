/** Who has just begun comes to the live picture of a run by the one address that a command prints. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { Process, project, stetJson } from '../cli/support.js'
import { testBrowser } from '../support/browser.js'
import { testDatabase } from '../support/server.js'
import { drawn } from './drawn.js'

const browser = await testBrowser()

const text = (ready: string) => `import { existsSync } from 'node:fs'
import { workflow } from 'stet'
export const journey = workflow('journey', async (ctx, town: string) => {
  const [rooms, trains] = await Promise.all([
    ctx.step('find rooms', () => [town]),
    ctx.step('find trains', () => 3).then((n) => ctx.step('choose a train', () => n)),
  ])
  await ctx.step('book', async () => {
    while (!existsSync(${JSON.stringify(ready)})) await new Promise((next) => setTimeout(next, 20))
  })
  return [rooms, trains]
})
`

test('stet dev prints an address; from there the run of a workflow written just now is drawn while it runs', async () => {
  const { url } = await testDatabase()
  const cwd = project('module', {})
  const ready = join(cwd, 'ready')
  writeFileSync(join(cwd, 'journey.ts'), text(ready))
  const dev = new Process(['dev', 'journey.ts'], { cwd, url })
  const [, address] = await dev.until(/dashboard (http:\/\/\S+)/)
  await dev.until(/worker started/)
  const { runId } = await stetJson(['start', 'journey', '-i', '"Bern"', '--id', 'trip'], { cwd, url })

  const page = await browser.open(address!)
  await page.getByRole('link', { name: 'Runs', exact: false }).first().click()
  await page.getByRole('link', { name: 'trip', exact: true }).click()
  const book = page.locator('.node[data-key="book"]')
  await book.getByText('running', { exact: true }).waitFor()
  writeFileSync(ready, '')
  await book.getByText('completed', { exact: true }).waitFor()
  await page.locator('.run-header').getByText('completed', { exact: true }).waitFor()

  const { nodes, edges } = await stetJson(['graph', runId, '--format', 'json'], { cwd, url })
  expect(await drawn(page)).toEqual({
    nodes: nodes.map(({ key, status }: { key: string; status: string }) => `${key} ${status}`).sort(),
    edges: edges.map(({ from, to }: { from: string; to: string }) => `${from} → ${to}`).sort(),
  })
  expect(nodes).toHaveLength(5)
  await browser.shot(page, 'newcomer')
  dev.kill('SIGINT')
  expect((await dev.ended).code).toBe(0)
})
