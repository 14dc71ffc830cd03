/** The page of queues and limits, in a real Chromium. */
import { afterAll, expect, test } from 'vitest'
import { type Ctx, workflow } from '../../src/index.js'
import { bearer, tokens } from '../server/support.js'
import { type Page, served, testBrowser } from '../support/browser.js'
import { house, until } from '../support/house.js'

const { stet, work } = await house()
afterAll(() => stet.close())
const browser = await testBrowser()

/** Runs that execute a step until they are let go. */
function gated(name: string, options: object = {}) {
  const gates = new Map<string, () => void>()
  const flow = workflow(name, options, async (ctx: Ctx<any>, _: unknown) => {
    await ctx.step('hold', () => new Promise<void>((resolve) => gates.set(ctx.run.id, resolve)))
  })
  const holds = (...ids: string[]) => until(() => ids.every((id) => gates.has(id)), `${ids.join(', ')} execute`)
  return { flow, holds, release: (id: string) => gates.get(id)!() }
}

const signIn = async (page: Page, token: string) => {
  await page.getByLabel('Token').fill(token)
  await page.keyboard.press('Enter')
}
const refused = { expected: [/status of 40[014]/] }
const cellsOf = async (page: Page, row: string) =>
  (await page.locator(row).locator('td').allInnerTexts()).map((text) => text.replace(/\s+/g, ' ').trim())
const shows = (page: Page, row: string, cells: readonly (string | RegExp)[]) =>
  until(
    async () => {
      const shown = await cellsOf(page, row)
      return cells.every((cell, i) => (typeof cell === 'string' ? shown[i] === cell : cell.test(shown[i] ?? '')))
    },
    `${row} shows ${cells.join(' | ')}`,
  )
/** Clicks, and says yes. */
const confirmed = async (page: Page, button: string, action: string) => {
  await page.getByRole('button', { name: button, exact: true }).click()
  await page.getByRole('dialog').getByRole('button', { name: action, exact: true }).click()
  await page.getByRole('dialog').waitFor({ state: 'detached' })
}

test('a queue: who listens, what is ready, paused and resumed, seen while it happens', async () => {
  const { flow, holds, release } = gated('letter')
  const url = await served(stet, { tokens })
  const page = await browser.open(`${url}/queues`, refused)
  await signIn(page, bearer.operator)
  await page.getByRole('button', { name: 'Copy stet worker -q default' }).waitFor()
  const runs = [await stet.start(flow, null, { id: 'letter-1', queue: 'mail' })]
  const mail = '[data-queue="mail"]'
  await shows(page, mail, ['mail', '1', /s$/, '0', '0', '0', '–', 'nobody listens'])
  const one = await work([flow], { queues: ['mail'] })
  await holds('letter-1')
  await work([flow], { queues: ['mail'] })
  await shows(page, mail, ['mail', '0', '–', '1', '0', '0', '–', '2'])

  await page.getByRole('button', { name: 'Pause mail' }).click()
  const dialog = page.getByRole('dialog', { name: 'Pause mail' })
  await dialog.getByText('go on (1 now)').waitFor()
  await dialog.getByRole('button', { name: 'Never mind' }).click()
  expect(await stet.limits.list()).toEqual([])
  await confirmed(page, 'Pause mail', 'Pause')
  await shows(page, mail, ['mail paused', '0'])
  runs.push(await stet.start(flow, null, { id: 'letter-2', queue: 'mail' }))
  release('letter-1')
  await runs[0]!.result()
  // It waits, though two workers have nothing to do.
  await shows(page, mail, ['mail paused', '1', /s$/, '0'])
  await browser.shot(page, 'queues-paused')

  // The run says why, and leads here.
  await page.goto(`${url}/runs/letter-2`)
  await page.getByRole('link', { name: 'See the limit of queue mail' }).click()
  const limit = page.getByRole('region', { name: 'Limit of queue mail' })
  await limit.getByText('Lets through any number.').waitFor()
  await limit.getByText('paused', { exact: true }).waitFor()
  await confirmed(page, 'Resume mail', 'Resume')
  await holds('letter-2')
  await shows(page, mail, ['mail', '0', '–', '1'])
  // What did nothing but pause is gone.
  await page.getByText('There is no such limit any more.').waitFor()
  release('letter-2')
  await one.stop()
  await shows(page, mail, ['mail', '0', '–', '0', '0', '0', '–', '1'])

  const other = await browser.open(`${url}/queues`, refused)
  await signIn(other, bearer.viewer)
  await other.locator(mail).waitFor()
  expect(await other.getByRole('button', { name: /Pause|Resume|Set a limit/ }).count()).toBe(0)
  expect(await other.getByRole('button', { name: 'Copy stet limit set' }).count()).toBe(1)
})

test('a limit by a key: set from the page, with the values that are full; changed; reset', async () => {
  const { flow, holds, release } = gated('order')
  await work([flow], { queues: ['shop'] })
  const url = await served(stet)
  const page = await browser.open(`${url}/queues`, refused)
  await page.getByRole('button', { name: 'Set a limit' }).click()
  const form = page.getByRole('dialog', { name: 'Set a limit' })
  await form.getByLabel('Its name').fill('order')
  await form.getByRole('button', { name: 'Set', exact: true }).click()
  await form.getByRole('alert').getByText('Expected how many at once').waitFor()
  await form.getByLabel('For each value of').fill('customer..id')
  await form.getByLabel('In hand at once').fill('1')
  await form.getByRole('button', { name: 'Set', exact: true }).click()
  // What the server refuses is told in its words.
  await form.getByRole('alert').getByText('expected a path into the input').waitFor()
  await form.getByLabel('For each value of').fill('customer.id')
  await page.keyboard.press('Enter')
  await form.waitFor({ state: 'detached' })
  const row = '[data-limit="workflow order by customer.id"]'
  await shows(page, row, ['open', 'workflow order by customer.id', '1 at once of each customer.id', '0', '0', '–'])
  expect(new URL(page.url()).searchParams.toString()).toBe('workflow=order&key=customer.id')

  const start = (id: string, customer: string) =>
    stet.start(flow, { customer: { id: customer } }, { id, queue: 'shop' })
  for (const id of ['ada-1', 'ada-2', 'ada-3']) await start(id, 'ada')
  await start('bob-1', 'bob')
  await holds('ada-1', 'bob-1')
  const value = (name: string) => `[data-value="${name}"]`
  await shows(page, row, ['1 full', /order/, /at once/, '2', '2', /s$/, 'set at run time'])
  await shows(page, value('ada'), ['full', 'ada', '1', '2', /s$/])
  await shows(page, value('bob'), ['nobody waits', 'bob', '1', '–', '–'])
  await browser.shot(page, 'queues-limit')
  await start('bob-2', 'bob')
  await shows(page, row, ['2 full'])
  await shows(page, value('bob'), ['full', 'bob', '1', '1'])

  await page.getByRole('button', { name: 'Change', exact: true }).click()
  const change = page.getByRole('dialog', { name: 'Change workflow order by customer.id' })
  expect(await change.getByLabel('In hand at once').inputValue()).toBe('1')
  await change.getByLabel('In hand at once').fill('2')
  await change.getByLabel('Begun in a period').fill('100')
  await change.getByLabel('The period').fill('1m')
  await change.getByRole('button', { name: 'Change', exact: true }).click()
  await change.waitFor({ state: 'detached' })
  await holds('ada-2', 'bob-2')
  await shows(page, row, ['1 full', /order/, '2 at once and 100 begun in any 1 m of each customer.id', '4', '1'])
  await shows(page, value('ada'), ['full', 'ada', '2', /of 100$/, '1'])
  expect((await stet.limits.list())[0]).toMatchObject({ concurrency: 2, rate: { limit: 100, periodMs: 60_000 } })

  await confirmed(page, 'Pause', 'Pause')
  await shows(page, row, ['paused'])
  await confirmed(page, 'Resume', 'Resume')
  await shows(page, row, ['1 full'])
  await page.getByRole('button', { name: 'Reset', exact: true }).click()
  await page.getByRole('dialog').getByText('The code does not know it').waitFor()
  await page.getByRole('dialog').getByRole('button', { name: 'Reset', exact: true }).click()
  await page.locator(row).waitFor({ state: 'detached' })
  await holds('ada-3')
  for (const id of ['ada-1', 'ada-2', 'ada-3', 'bob-1', 'bob-2']) release(id)
  for (const id of ['ada-1', 'ada-2', 'ada-3', 'bob-1', 'bob-2']) await stet.run(id).result()
  const { rows } = await auditOf()
  // What was refused was asked for, too.
  const sets = ['limit-set', 'limit-set', 'limit-set']
  expect(rows.map(({ action }) => action)).toEqual([...sets, 'limit-pause', 'limit-resume', 'limit-reset'])
})

test('a limit from the code: what is set in its place, what the code says, and back', async () => {
  const { flow, holds, release } = gated('report', { concurrency: { limit: 1 } })
  await work([flow], { queues: ['reports'] })
  for (const id of ['report-1', 'report-2']) await stet.start(flow, null, { id, queue: 'reports' })
  const url = await served(stet)
  const page = await browser.open(`${url}/queues`, { colours: 'dark' })
  const row = '[data-limit="workflow report"]'
  await shows(page, row, ['full', 'workflow report', '1 at once', '1', '1', /s$/, 'the code'])
  // By keys alone: to the limit, and to what can be done with it.
  await page.locator(row).getByRole('button').focus()
  await page.keyboard.press('Enter')
  const one = page.getByRole('region', { name: 'Limit of workflow report' })
  await one.getByText('The code says so.').waitFor()
  expect(await one.getByRole('button', { name: 'Reset' }).count()).toBe(0)
  await one.getByRole('button', { name: 'Change' }).focus()
  await page.keyboard.press('Enter')
  await page.getByRole('dialog').getByText('In place of what the code says (1 at once)').waitFor()
  await page.getByLabel('In hand at once').fill('')
  await page.getByLabel('Begun in a period').fill('9')
  await page.keyboard.press('Enter')
  await holds('report-1', 'report-2')
  await shows(page, row, ['open', /report/, '9 begun in any 1 s', '2', '0', '–', 'set at run time the code: 1 at once'])
  await one.getByText('of 9 have begun in this period').waitFor()
  await browser.shot(page, 'queues-code-dark')
  await page.getByRole('button', { name: 'Reset', exact: true }).click()
  await page.getByRole('dialog').getByText('Back to what the code says: 1 at once.').waitFor()
  await page.getByRole('dialog').getByRole('button', { name: 'Reset', exact: true }).click()
  await shows(page, row, ['open', /report/, '1 at once', '2', '0', '–', 'the code'])
  for (const id of ['report-1', 'report-2']) release(id)
})

const auditOf = async () => {
  const { store } = await stet.internals()
  return store.db.query({ text: "SELECT action FROM stet.audit WHERE details ->> 'workflow' = 'order' ORDER BY n" })
}
