/** The page of schedules, in a real Chromium. */
import { expect, test } from 'vitest'
import { bearer, idle, tokens } from '../server/support.js'
import { served, testBrowser } from '../support/browser.js'
import { house } from '../support/house.js'

const { stet } = await house()
const browser = await testBrowser()

test('schedules: looked at, triggered, backfilled, paused, resumed, deleted; nothing of that for who only looks', async () => {
  const hostile = '<img src=x onerror=alert(1)>'
  await stet.schedules.create('nightly', {
    workflow: idle,
    input: null,
    cron: '0 3 * * *',
    timeZone: 'Asia/Tokyo',
    note: hostile,
  })
  await stet.schedules.create(hostile, { workflow: idle, input: null, every: '1h' })
  const url = await served(stet, { tokens })
  const page = await browser.open(`${url}/schedules`, { expected: [/status of 40[0149]/] })
  await page.getByLabel('Token').fill(bearer.operator)
  await page.keyboard.press('Enter')
  const row = page.locator('[data-schedule="nightly"]')
  await row.getByText('cron 0 3 * * *').waitFor()
  await row.getByText('Asia/Tokyo').waitFor()
  await row.getByText(hostile).waitFor()
  await row.getByRole('button', { name: 'nightly' }).click()
  const one = page.getByRole('region', { name: 'Schedule nightly' })
  await one.getByText('It has not fired yet.').waitFor()
  const asked = async (button: string, name: string, action: string) => {
    await one.getByRole('button', { name: button }).click()
    await page.getByRole('dialog', { name }).getByRole('button', { name: action, exact: true }).click()
    await page.getByRole('dialog').waitFor({ state: 'detached' })
  }
  await asked('Trigger now', 'Trigger nightly', 'Trigger')
  await one.getByRole('status').getByText('Started nightly@').waitFor()
  await one.getByRole('table', { name: 'Last fires' }).getByText('trigger').waitFor()
  // What its policy skips is told where it was asked.
  await one.getByRole('button', { name: 'Trigger now' }).click()
  await page.getByRole('dialog').getByRole('button', { name: 'Trigger', exact: true }).click()
  await page.getByRole('dialog').getByRole('alert').getByText('an earlier run was open').waitFor()
  await page.keyboard.press('Escape')
  await asked('Backfill', 'Backfill nightly', 'Backfill')
  await one.getByRole('status').getByText('Started 1, buffered 0').waitFor()
  await browser.shot(page, 'pages-schedules-one')
  await asked('Pause', 'Pause nightly', 'Pause')
  await row.getByText('paused').waitFor()
  await one.getByRole('button', { name: 'Resume' }).click()
  await row.getByText('active').waitFor()
  const { runId } = (await stet.schedules.describe('nightly')).fires.find(({ status }) => status === 'started')!
  await one
    .getByRole('link', { name: /^nightly@/ })
    .first()
    .click()
  await page.waitForURL(`${url}/runs/${runId}`)
  await page.goto(`${url}/schedules?id=nightly`)
  await asked('Delete', 'Delete nightly', 'Delete')
  await row.waitFor({ state: 'detached' })
  expect((await stet.schedules.list()).map(({ id }) => id)).toEqual([hostile])
  expect(await page.locator('img[src=x]').count()).toBe(0)
  await page.context().close()

  const other = await browser.open(`${url}/schedules?${new URLSearchParams({ id: hostile })}`, {
    expected: [/status of 40[014]/],
  })
  await other.getByLabel('Token').fill(bearer.viewer)
  await other.keyboard.press('Enter')
  await other
    .getByRole('region', { name: `Schedule ${hostile}` })
    .getByText('Next:')
    .waitFor()
  expect(await other.getByRole('button', { name: 'Delete' }).count()).toBe(0)
})
