/** The pages of the dashboard, all but that of a run, in a real Chromium. */
import { describe, expect, test } from 'vitest'
import { type Ctx, workflow } from '../../src/index.js'
import { bearer, broken, go, idle, leaf, order, tokens } from '../server/support.js'
import { type Page, served, testBrowser } from '../support/browser.js'
import { house, until } from '../support/house.js'

const { stet, work, reached } = await house()
const empty = await house()
const browser = await testBrowser()
const all = [order, broken, idle, leaf]

const refused = [/status of 40[014]/]
const row = (page: Page, run: { readonly runId: string }) => page.locator(`[data-run="${run.runId}"]`)
const search = async (page: Page, text: string) => {
  await page.getByLabel('Search runs').fill(text)
  await page.keyboard.press('Enter')
}
const shownIds = (page: Page) => page.locator('table.runs tbody td.id').allInnerTexts()

/** Ids that the list shows in the end. Those of one millisecond stand in any order. */
const shows = (page: Page, ids: readonly string[]) =>
  until(
    async () => (await shownIds(page)).sort().join() === [...ids].sort().join(),
    `the list shows ${ids.join(', ')}`,
    10_000,
  )

// ── the first minute ─────────────────────────────────────────────────────────────────────────────

test('an empty database says the next command, on each page', async () => {
  const page = await browser.open(await served(empty.stet))
  await page.getByRole('heading', { name: 'There are no runs yet' }).waitFor()
  await page.getByRole('button', { name: 'Copy stet dev' }).waitFor()
  await page.getByRole('button', { name: /^Copy stet start/ }).waitFor()
  await page.getByRole('form', { name: 'Start a run' }).waitFor()
  await browser.shot(page, 'pages-empty-overview')
  const next = [
    ['Runs', 'Copy stet dev'],
    ['Metrics', 'Copy stet worker'],
    ['Workers', 'Copy stet worker'],
    ['Queues and limits', 'Copy stet limit set'],
    ['Schedules', 'Copy stet schedule create'],
    ['Alerts', 'Copy stet alerts'],
  ] as const
  for (const [name, command] of next) {
    await page.getByRole('link', { name, exact: true }).click()
    await page.getByRole('button', { name: command }).first().waitFor()
    expect(await page.title()).toBe(`${name} · stet`)
  }
  await page.goto(`${page.url()}/nothing-of-that-name`)
  await page.getByText('There is no such page.').waitFor()
})

// ── runs ─────────────────────────────────────────────────────────────────────────────────────────

describe('runs', () => {
  test('are found by text and by chips, and the address says which', async () => {
    await work(all)
    const runs = [
      await stet.start(broken, { lot: 1 }, { id: 'find-1', attributes: { shop: 'nord', lot: 1 } }),
      await stet.start(broken, { lot: 2 }, { id: 'find-2', attributes: { shop: 'süd', lot: 2 } }),
    ]
    await Promise.all(runs.map((run) => run.result().catch(() => {})))
    const waits = await stet.start(idle, null, { id: 'find-3', attributes: { shop: 'nord' } })
    await reached(waits, 'waiting')
    const url = await served(stet)
    const page = await browser.open(`${url}/runs`, { expected: refused })
    await shows(page, ['find-3', 'find-2', 'find-1'])

    await search(page, 'status:failed error:"broken with" attr.lot:2')
    await shows(page, ['find-2'])
    expect(new URL(page.url()).searchParams.get('q')).toBe('status:failed error:"broken with" attr.lot:2')
    // Parts as chips: one is taken out, and the text follows.
    await page.getByRole('button', { name: 'Take away attr.lot:2' }).click()
    await shows(page, ['find-2', 'find-1'])
    expect(await page.getByLabel('Search runs').inputValue()).toBe('status:failed error:"broken with"')
    await page.getByText('+ Filter').click()
    await page.getByLabel('What').selectOption('attr.')
    await page.getByLabel('Name of the attribute').fill('shop')
    await page.getByLabel('Value').fill('nord')
    await page.getByRole('button', { name: 'Add', exact: true }).click()
    await shows(page, ['find-1'])
    expect(await page.getByLabel('Search runs').inputValue()).toBe('status:failed error:"broken with" attr.shop:nord')
    await page.reload()
    await shows(page, ['find-1'])
    await page.goBack()
    await shows(page, ['find-2', 'find-1'])

    // A status by its tab, with the number of its runs; pressed again it is taken out.
    await search(page, '')
    await shows(page, ['find-3', 'find-2', 'find-1'])
    const tab = page.getByRole('button', { name: /^waiting/ })
    await until(async () => (await tab.innerText()).replace(/\s+/g, ' ') === 'waiting 1', 'the tab has the count')
    await tab.click()
    await shows(page, ['find-3'])
    await tab.click()
    await shows(page, ['find-3', 'find-2', 'find-1'])

    // What cannot be searched for is told, and nothing is asked.
    await search(page, 'status:done')
    await page.getByRole('alert').getByText('expected one of pending').waitFor()
    await search(page, 'no-such-id')
    await page.getByRole('alert').getByText('No run has the id or run id "no-such-id"').waitFor()
    // An id goes straight to its run.
    await search(page, 'find-2')
    await page.waitForURL(`**/runs/${runs[1]!.runId}`)
  })

  test('saved filters: kept, used, forgotten', async () => {
    const page = await browser.open(`${await served(stet)}/runs?q=attr.shop:nord`)
    await shows(page, ['find-3', 'find-1'])
    await page.getByText('Saved', { exact: true }).click()
    await page.getByLabel('Keep this filter as').fill('the north')
    await page.keyboard.press('Enter')
    await page.getByRole('button', { name: 'failed today', exact: true }).click()
    await shows(page, ['find-2', 'find-1'])
    await page.reload()
    await page.getByText('Saved', { exact: true }).click()
    await page.getByRole('button', { name: 'the north', exact: true }).click()
    await shows(page, ['find-3', 'find-1'])
    await page.getByText('Saved', { exact: true }).click()
    await page.getByRole('button', { name: 'Forget the filter the north' }).click()
    await page.getByRole('button', { name: 'the north', exact: true }).waitFor({ state: 'detached' })
  })

  test('page by page, back, and by address', async () => {
    for (let i = 0; i < 120; i++) await stet.start(idle, null, { id: `page-${i}`, queue: 'paging' })
    const ids = (await stet.list({ queue: 'paging', limit: 200 })).runs.map(({ id }) => id)
    const page = await browser.open(`${await served(stet)}/runs?q=queue:paging`)
    await shows(page, ids.slice(0, 50))
    expect(await page.getByRole('button', { name: '← Newer' }).isDisabled()).toBe(true)
    await page.getByRole('button', { name: 'Older →' }).click()
    await shows(page, ids.slice(50, 100))
    await page.getByRole('button', { name: 'Older →' }).click()
    await shows(page, ids.slice(100))
    expect(await page.getByRole('button', { name: 'Older →' }).isDisabled()).toBe(true)
    await page.reload()
    await shows(page, ids.slice(100))
    await page.getByRole('button', { name: '← Newer' }).click()
    await shows(page, ids.slice(50, 100))
    await page.goBack()
    await shows(page, ids.slice(100))
    await page.getByLabel('runs a page').selectOption('200')
    await shows(page, ids)
    expect(await shownIds(page)).toEqual(ids)
  })

  test('a search that has looked only so far says so, and goes on when asked', async () => {
    const worker = await empty.work([broken])
    const needle = await empty.stet.start(broken, 'needle', { id: 'needle' })
    await needle.result().catch(() => {})
    await worker.stop()
    await empty.db.query(
      `INSERT INTO stet_store.runs
       SELECT (jsonb_populate_record(r, jsonb_build_object('run_id', 'run_1' || lpad(i::text, 8, '0'), 'id', 'hay-' || i, 'error_message', 'hay'))).*
         FROM stet_store.runs r, generate_series(1, 12000) i WHERE r.run_id = $1`,
      [needle.runId],
    )
    const page = await browser.open(`${await served(empty.stet)}/runs?q=error:needle`)
    await page.getByRole('status').getByText('there may be more that match').waitFor()
    expect(await page.locator('table.runs').count()).toBe(0)
    // Each goes on from where the one before it ended.
    let after = ''
    for (;;) {
      await page.getByRole('button', { name: 'Search further back' }).click()
      const before = after
      await until(async () => {
        const busy = await page.locator('[aria-busy=true]').count()
        after = new URL(page.url()).searchParams.getAll('after').at(-1) ?? ''
        return busy === 0 && after !== before
      }, 'it has looked further')
      if ((await page.locator('table.runs').count()) > 0) break
      expect(after < before || before === '').toBe(true)
    }
    await shows(page, ['needle'])
    expect(await page.getByText('there may be more that match').count()).toBe(0)
    // Counted only so far.
    await page.getByRole('button', { name: /^failed\s+1,000\+$/ }).waitFor()
  })

  test('rows change where they stand; new ones wait while somebody is at the list', async () => {
    const first = await stet.start(idle, null, { id: 'live-1', queue: 'live' })
    const page = await browser.open(`${await served(stet)}/runs?q=queue:live`)
    const asked: string[] = []
    page.on('request', (request) => asked.push(new URL(request.url()).pathname))
    await row(page, first).locator('[data-status=pending]').waitFor()
    await page.evaluate('window.sameDocument = true')
    await work(all, { queues: ['live'] })
    await row(page, first).locator('[data-status=waiting]').waitFor()
    await first.signal(go, null)
    await row(page, first).locator('[data-status=completed]').waitFor()

    // Nobody is there: it comes in by itself.
    const second = await stet.start(idle, null, { id: 'live-2', queue: 'live' })
    await row(page, second).waitFor()
    // Somebody is: it waits to be let in, and others of no concern do not.
    await row(page, first).hover()
    await stet.start(idle, null, { id: 'elsewhere', queue: 'other' })
    const third = await stet.start(idle, null, { id: 'live-3', queue: 'live' })
    const news = page.getByRole('button', { name: '1 new run' })
    await news.waitFor()
    expect(await shownIds(page)).toEqual(['live-2', 'live-1'])
    await news.click()
    await row(page, third).waitFor()
    expect(await shownIds(page)).toEqual(['live-3', 'live-2', 'live-1'])
    expect(await page.evaluate('window.sameDocument')).toBe(true)
    // The feed told it all: after the first counts nothing was asked for.
    expect(asked.filter((path) => path === '/api/runs').length).toBeLessThanOrEqual(2)
    expect(asked.filter((path) => path === '/api/counts').length).toBeLessThanOrEqual(1)
  })

  test('thirty are cancelled by their filter, after a dry run', async () => {
    await work(all, { queues: ['bulk'] })
    const runs = await Promise.all(
      Array.from({ length: 30 }, (_, i) => stet.start(idle, null, { id: `bulk-${i}`, queue: 'bulk' })),
    )
    for (const run of runs) await reached(run, 'waiting')
    const spared = await stet.start(idle, null, { id: 'bulk-spared', queue: 'bulk-not' })
    const page = await browser.open(`${await served(stet)}/runs?q=queue:bulk`)
    await page.getByLabel('Choose bulk-3', { exact: true }).click()
    await page.getByLabel('Choose bulk-7', { exact: true }).click({ modifiers: ['Shift'] })
    const chosen = await page.locator('table.runs tr[aria-selected=true]').count()
    expect(chosen).toBeGreaterThan(1)
    await page.getByText(`${chosen} chosen`, { exact: true }).waitFor()
    await page.getByRole('button', { name: 'Choose all that match' }).click()
    await page.getByRole('button', { name: 'Cancel…' }).click()
    const dialog = page.getByRole('dialog', { name: 'Cancel many runs' })
    await dialog.getByLabel('Why (the runs are told)').fill('not wanted any more')
    await dialog.getByRole('button', { name: 'Show what would be done' }).click()
    await dialog.getByText('30 runs would be asked to cancel.').waitFor()
    await browser.shot(page, 'pages-bulk')
    expect((await stet.list({ queue: 'bulk', status: 'waiting' })).runs).toHaveLength(30)
    await dialog.getByRole('button', { name: 'Cancel 30 runs' }).click()
    await dialog.getByText('30 asked to cancel.').waitFor()
    await dialog.getByRole('button', { name: 'Close' }).click()
    await until(
      async () => (await page.locator('table.runs [data-status=cancelled]').count()) === 30,
      'all rows say cancelled',
    )
    expect((await stet.list({ queue: 'bulk', status: 'cancelled', limit: 100 })).runs).toHaveLength(30)
    expect((await spared.describe()).status).toBe('pending')
  })

  test('what cannot be done is listed with its reason', async () => {
    await work(all, { queues: ['default'] })
    const done = await stet.start(leaf, 1, { id: 'cannot-1', attributes: { cannot: 1 } })
    await done.result()
    const open = await stet.start(idle, null, { id: 'cannot-2', attributes: { cannot: 1 } })
    await reached(open, 'waiting')
    const page = await browser.open(`${await served(stet)}/runs?q=attr.cannot:1`)
    await page.getByLabel('Choose all on this page').click()
    await page.getByRole('button', { name: 'Terminate…' }).click()
    const dialog = page.getByRole('dialog', { name: 'Terminate many runs' })
    await dialog.getByRole('button', { name: 'Show what would be done' }).click()
    await dialog.getByText('1 run would be terminated.').waitFor()
    await dialog.getByRole('region', { name: 'Left out' }).getByText('cannot-1').waitFor()
    await dialog.getByRole('button', { name: 'Terminate 1 run' }).click()
    await dialog.getByText('1 terminated.').waitFor()
    await dialog.getByRole('region', { name: 'Not done' }).getByText('is completed already').waitFor()
    expect((await open.describe()).status).toBe('terminated')
  })

  test('by keys alone: down, choose, open, back, search', async () => {
    const page = await browser.open(`${await served(stet)}/runs?q=queue:live`)
    await shows(page, ['live-3', 'live-2', 'live-1'])
    const focused = () => page.evaluate('document.activeElement.dataset.run') as Promise<string | undefined>
    await page.keyboard.press('j')
    await page.keyboard.press('j')
    await page.keyboard.press('ArrowDown')
    await page.keyboard.press('k')
    const second = (await stet.run('live-2').describe()).runId
    expect(await focused()).toBe(second)
    await page.keyboard.press('x')
    expect(await page.getByLabel('Choose live-2').isChecked()).toBe(true)
    await page.keyboard.press('Enter')
    await page.waitForURL(`**/runs/${second}`)
    await page.locator('table.runs').waitFor({ state: 'detached' })
    await page.goBack()
    await shows(page, ['live-3', 'live-2', 'live-1'])
    await page.keyboard.press('/')
    await page.keyboard.press('Control+a')
    await page.keyboard.type('id:live-1')
    await page.keyboard.press('Enter')
    await page.waitForURL(`**/runs/${(await stet.run('live-1').describe()).runId}`)
    await page.keyboard.press('g')
    await page.keyboard.press('m')
    await page.getByRole('heading', { name: 'Metrics' }).waitFor()
    await page.keyboard.press('?')
    await page.getByRole('dialog', { name: 'Keys' }).waitFor()
    await page.keyboard.press('Escape')
    await page.getByRole('dialog', { name: 'Keys' }).waitFor({ state: 'detached' })
  })
})

// ── what is counted ──────────────────────────────────────────────────────────────────────────────

/** Awaits what is not recorded. */
const stuck = workflow('stuck', async () => {
  const { stat } = await import('node:fs/promises')
  await stat('/')
})

test('overview and metrics show the figures that stet.stats() gives', async () => {
  const worker = await work([...all, stuck])
  await Promise.all(
    Array.from({ length: 6 }, async (_, i) => {
      const run = await stet.start(order, i, { id: `counted-${i}` })
      await reached(run, 'waiting')
      await run.signal(go, null)
      await run.result()
    }),
  )
  const blocked = await stet.start(stuck, undefined as never, { id: 'stuck-1' })
  await until(async () => (await blocked.describe()).status === 'blocked', 'it is blocked')
  // It brings what it has counted when it stops.
  await worker.stop()
  const url = await served(stet)
  const page = await browser.open(url)
  const stats = await stet.stats()
  const sum = (figure: 'started' | 'completed' | 'failed') => stats.runs.reduce((all, run) => all + run[figure], 0)
  await page
    .getByText(`${sum('started')} started, ${sum('completed')} completed, ${sum('failed')} failed`, { exact: true })
    .waitFor()
  expect(sum('failed')).toBeGreaterThan(0)
  const card = (name: string) => page.getByRole('listitem').filter({ hasText: name }).locator('.figure')
  await until(async () => (await card('started in the last hour').innerText()) === String(sum('started')), 'the card')
  expect(await card('failed in the last hour').innerText()).toBe(String(sum('failed')))
  const slow = page.getByRole('region', { name: 'Slowest steps' })
  const slowest = stats.steps.filter(({ durationMs }) => durationMs !== null)
  slowest.sort((a, b) => b.durationMs!.p95 - a.durationMs!.p95)
  await slow.getByRole('link', { name: slowest[0]!.step, exact: true }).first().waitFor()
  const failing = page.getByRole('region', { name: 'Steps that fail most' })
  expect(await failing.getByRole('row').nth(1).innerText()).toMatch(/^second\s+broken/)
  const blockedPanel = page.getByRole('region', { name: 'Blocked runs' })
  await blockedPanel.getByRole('link', { name: 'stuck-1' }).waitFor()
  await blockedPanel.getByText(/awaits something that is not recorded/).waitFor()
  await page.getByRole('region', { name: 'Newest failed runs' }).getByRole('link').nth(1).waitFor()
  await page.getByRole('navigation', { name: 'Pages' }).getByText('1 blocked').waitFor()

  // Every figure of every step, as the table has it.
  await slow.getByRole('link', { name: slowest[0]!.step, exact: true }).first().click()
  await page.getByRole('img', { name: /^Percentiles over time of/ }).waitFor()
  await page.goto(`${url}/statistics`)
  const table = page.getByRole('table', { name: 'Steps' })
  await table.waitFor()
  const cells = (of: string) =>
    page.evaluate(`[...document.querySelectorAll('table[aria-label="${of}"] tbody tr')].map((tr) =>
      [[...tr.querySelectorAll('td.name')].map((td) => td.innerText),
       Object.fromEntries([...tr.querySelectorAll('[data-figure]')].map((td) => [td.dataset.figure, td.dataset.value]))])`)
  const text = (value: number | null | undefined) => (value === null || value === undefined ? '' : String(value))
  const times = ({ durationMs, delayMs }: (typeof stats.runs)[number] | (typeof stats.steps)[number]) => ({
    p50: text(durationMs?.p50),
    p95: text(durationMs?.p95),
    p99: text(durationMs?.p99),
    delay: text(delayMs?.p95),
  })
  const byName = (rows: any) => [...rows].sort((a: any, b: any) => String(a[0]).localeCompare(String(b[0])))
  expect(byName(await cells('Steps'))).toEqual(
    byName(
      stats.steps.map((step) => [
        [step.step, step.workflow],
        {
          ...times(step),
          perMinute: String(step.perSecond * 60),
          count: String(step.attempts),
          retryRate: String(step.retryRate),
          failureRate: String(step.failureRate),
        },
      ]),
    ),
  )
  // By P95, from the greatest down; then by name.
  const p95s = ((await cells('Steps')) as any[]).map(([, { p95 }]) => (p95 === '' ? -1 : Number(p95)))
  expect(p95s).toEqual([...p95s].sort((a, b) => b - a))
  await page.getByRole('button', { name: 'Step', exact: true }).click()
  const steps = ((await cells('Steps')) as any[]).map(([[step]]) => step)
  expect(steps).toEqual([...steps].sort((a, b) => a.localeCompare(b)))
  expect(new URL(page.url()).searchParams.get('sort')).toBe('step')

  await page.getByRole('button', { name: 'runs', exact: true }).click()
  await page.getByRole('table', { name: 'Workflows' }).waitFor()
  const shown = byName(await cells('Workflows'))
  expect(shown.map(([[name], { p50, p95, p99 }]: any) => [name, p50, p95, p99])).toEqual(
    byName(stats.runs.map((run) => [[run.workflow], times(run)])).map(([[name], { p50, p95, p99 }]: any) => [
      ...[name, p50, p95, p99],
    ]),
  )
  // All that is chosen stands in the address.
  await page.getByLabel('versions beside each other').check()
  await page.getByLabel(/^compare with/).check()
  await page.getByRole('button', { name: '6 h' }).click()
  await page.getByRole('button', { name: 'order', exact: true }).click()
  await page.getByRole('region', { name: 'runs of order, version 1' }).waitFor()
  expect(Object.fromEntries(new URL(page.url()).searchParams)).toEqual({
    ...{ sort: 'step', order: 'up', of: 'runs', by: 'version', compare: 'true', since: '6h', workflow: 'order' },
  })
  await page.reload()
  await page.getByRole('cell', { name: '@1' }).first().waitFor()
  expect(await page.getByText('not there before').count()).toBeGreaterThan(0)
})

test('a worker appears, and goes', async () => {
  await stet.start(idle, null, { id: 'needs-v9', queue: 'v9' })
  await stet.run('needs-v9').moveTo(9)
  const page = await browser.open(`${await served(stet)}/workers`)
  const unserved = page.getByRole('region', { name: 'Versions without a worker' })
  await unserved.getByText('idle@9').waitFor()
  await unserved.getByRole('button', { name: 'Copy stet worker' }).waitFor()
  const workers = page.getByRole('region', { name: 'Workers', exact: true })
  await workers.getByText('0 alive').waitFor()
  const worker = await work(all, { queues: ['mail', 'default'] })
  await workers.getByText('1 alive').waitFor()
  const cells = await workers.locator('[data-worker] td').allInnerTexts()
  expect(cells.slice(1, 3)).toEqual([String(process.pid), 'mail, default'])
  expect(cells[3]).toContain('order@1')
  await worker.stop()
  await workers.getByText('No worker is alive').waitFor()
})

// ── alerts ───────────────────────────────────────────────────────────────────────────────────────

test('an alert rule: added, tested, silenced, disabled, edited as JSON, removed', async () => {
  const page = await browser.open(`${await served(stet, { tokens })}/alerts`, { expected: refused })
  await page.getByLabel('Token').fill(bearer.admin)
  await page.keyboard.press('Enter')
  await page.getByText('There are no rules yet.').waitFor()
  await page.getByRole('button', { name: 'Add a rule' }).click()
  const add = page.getByRole('dialog', { name: 'Add a rule' })
  await add.getByLabel('Name', { exact: true }).fill('orders fail')
  await add.getByLabel('More than (share)').fill('2')
  await add.getByRole('button', { name: 'Add', exact: true }).click()
  // What the engine refuses is told where it was asked.
  await add.getByRole('alert').waitFor()
  await add.getByLabel('More than (share)').fill('0.2')
  await add.getByLabel('Workflow (any)').fill('broken')
  await add.getByLabel('And holds for').fill('5m')
  await add.getByText('Fires when more than 20 % of the runs of broken failed in the last 10m.').waitFor()
  await add.getByRole('button', { name: 'Test against the last 7 days' }).click()
  await add.getByRole('region', { name: 'When they would have fired' }).getByText('orders fail').waitFor()
  await add.getByRole('button', { name: 'Add', exact: true }).click()
  const rule = page.locator('[data-rule="orders fail"]')
  await rule.getByText('more than 20 % of the runs of broken failed in the last 10m, for 5m').waitFor()
  await rule.getByText('added here').waitFor()
  expect(await stet.alerts.rules()).toMatchObject([
    { name: 'orders fail', rule: { kind: 'failureRate', above: 0.2, workflow: 'broken', for: '5m' }, enabled: true },
  ])

  await rule.getByText('Silence', { exact: true }).click()
  await rule.getByRole('button', { name: 'for 2h' }).click()
  await rule.getByText('silenced until').waitFor()
  await page.getByRole('button', { name: 'Disable orders fail' }).click()
  await rule.getByText('off', { exact: true }).waitFor()
  expect(await stet.alerts.rules()).toMatchObject([{ enabled: false, silencedUntil: expect.any(Date) }])

  await page.getByRole('button', { name: 'Edit orders fail' }).click()
  const edit = page.getByRole('dialog', { name: 'Edit orders fail' })
  await edit.getByRole('button', { name: 'as JSON' }).click()
  const json = JSON.parse(await edit.getByLabel('The rule, as in stet.config.ts').inputValue())
  expect(json).toEqual({ name: 'orders fail', kind: 'failureRate', workflow: 'broken', above: 0.2, for: '5m' })
  await edit
    .getByLabel('The rule, as in stet.config.ts')
    .fill(JSON.stringify({ ...json, above: 0.5, labels: { team: 'a' } }))
  await edit.getByRole('button', { name: 'Keep' }).click()
  await rule.getByText('more than 50 % of').waitFor()
  await browser.shot(page, 'pages-alerts')
  await page.getByRole('button', { name: 'Remove orders fail' }).click()
  await page.getByRole('dialog').getByRole('button', { name: 'Remove' }).click()
  await page.getByText('There are no rules yet.').waitFor()
  expect(await stet.alerts.rules()).toEqual([])
})

// ── everywhere ───────────────────────────────────────────────────────────────────────────────────

test('the form starts a run, with all that was said, and goes to it', async () => {
  await work(all, { queues: ['forms'] })
  const page = await browser.open(`${await served(stet)}/statistics`)
  await page.getByRole('button', { name: 'Start a run' }).click()
  const form = page.getByRole('dialog', { name: 'Start a run' })
  await form.getByLabel('Workflow').fill('idle')
  await form.getByLabel('Input, as JSON').fill('{"a": ')
  await form.getByText('This is no JSON yet').waitFor()
  await form.getByLabel('Input, as JSON').fill('{"a": [1, "two"]}')
  await form.getByLabel('Id (empty: a new one)').fill('by form')
  await form.getByLabel('Queue (empty: default)').fill('forms')
  await form.getByLabel('Search attributes, as JSON').fill('[]')
  await form.getByText('Expected an object').waitFor()
  await form.getByLabel('Search attributes, as JSON').fill('{"from": "a form"}')
  await form.getByRole('button', { name: 'Start', exact: true }).click()
  await page.waitForURL('**/runs/run_*')
  const run = await stet.run('by form').describe()
  expect(page.url()).toContain(run.runId)
  expect(run).toMatchObject({ workflow: 'idle', queue: 'forms', attributes: { from: 'a form' } })
  const [first] = await stet.run('by form').history()
  expect(first!.data).toMatchObject({ input: { a: [1, 'two'] } })
})

test('the palette goes to pages and runs, starts, and changes colours', async () => {
  const page = await browser.open(await served(stet), { expected: refused })
  await page.getByRole('heading', { name: 'Overview' }).waitFor()
  const open = async (text: string) => {
    // One at a time: the last one goes when what it was asked for is done.
    await page.getByRole('dialog').waitFor({ state: 'detached' })
    await page.keyboard.press('Control+k')
    await page.getByRole('combobox', { name: 'What to go to, find or do' }).waitFor()
    await page.keyboard.type(text)
  }
  await open('work')
  await page.keyboard.press('Enter')
  await page.getByRole('heading', { name: 'Workers', exact: true, level: 1 }).waitFor()
  await open('nobody-has-this')
  await page.keyboard.press('Enter')
  await page.getByRole('alert').getByText('No run has the id').waitFor()
  await page.keyboard.press('Control+a')
  await page.keyboard.type('live-2')
  await page.keyboard.press('Enter')
  await page.waitForURL(`**/runs/${(await stet.run('live-2').describe()).runId}`)
  await open('colours dark')
  await page.keyboard.press('Enter')
  await page.locator('html.dark').waitFor({ state: 'attached' })
  await open('start leaf')
  await page.keyboard.press('Enter')
  await page.getByRole('dialog', { name: 'Start a run' }).waitFor()
  expect(await page.getByLabel('Workflow').inputValue()).toBe('leaf')
})

test('with a token one signs in; who may only look is offered nothing else', async () => {
  const url = await served(stet, { tokens })
  const page = await browser.open(`${url}/runs?q=queue:live`, { expected: refused })
  await page.getByLabel('Token').fill('not-a-token-0123456789')
  await page.keyboard.press('Enter')
  await page.getByRole('alert').getByText('the token is not known here').waitFor()
  await page.getByLabel('Token').fill(bearer.viewer)
  await page.getByRole('button', { name: 'Sign in' }).click()
  await shows(page, ['live-3', 'live-2', 'live-1'])
  await page.getByText('you may view').waitFor()
  const offered = async () => [
    await page.getByRole('button', { name: 'Start a run' }).count(),
    await page.getByRole('checkbox').count(),
  ]
  expect(await offered()).toEqual([0, 0])
  await page.locator('[data-line=live]').waitFor()
  await page.keyboard.press('Control+k')
  await page.keyboard.type('start')
  expect(await page.getByRole('listbox').getByRole('option').allInnerTexts()).toEqual([
    expect.stringContaining('Go to the run start'),
  ])
  await page.keyboard.press('Escape')

  await page.getByRole('button', { name: 'sign out' }).click()
  await page.getByLabel('Token').fill(bearer.operator)
  await page.keyboard.press('Enter')
  await page.getByText('you may operate').waitFor()
  await page.getByRole('checkbox').nth(3).waitFor()
  expect(await offered()).toEqual([1, 4])
})

const hostile = [
  '<script>alert(1)</script>',
  '"><img src=x onerror=alert(1)>',
  'javascript:alert(1)',
  '$' + '{alert(1)} {{7*7}}',
  '</title><svg onload=alert(1)>',
  'a/b?c=d&e=f#g%2Fh%00',
  '%',
  '__proto__',
  '\u202etxt.exe',
]
const thrower = (name: string) =>
  workflow(name, async (ctx: Ctx<string>, text: string) => {
    ctx.setAttributes({ [text]: text })
    await ctx.step(text, { retry: false }, () => {
      throw Object.assign(new Error(text), { name: text })
    })
  })

test('whatever stands in names, ids, attributes and errors is shown as it is, and runs no script', async () => {
  const worker = await work(hostile.map(thrower), { queues: hostile })
  const runs = await Promise.all(
    hostile.map((text) => stet.start(text, text, { id: text, queue: text, attributes: { [text]: text } })),
  )
  await Promise.all(runs.map((run) => run.result().catch(() => {})))
  const waits = await Promise.all(hostile.map((text) => stet.start(`none of ${text}`, text, { queue: text })))
  const url = await served(stet)
  const page = await browser.open(`${url}/runs`)
  for (const [i, run] of runs.entries()) {
    const text = hostile[i]!
    await row(page, run).waitFor()
    expect(await row(page, run).locator('.id').innerText()).toBe(text)
    expect(await row(page, run).locator('.workflow').innerText()).toBe(`${text}@1`)
    expect(await row(page, run).locator('.error').innerText()).toContain(text)
    // Searched for by its own text, and found.
    await page.goto(`${url}/runs?q=${encodeURIComponent(`workflow:"${text.replaceAll(/["\\]/g, '\\$&')}"`)}`)
    await row(page, run).waitFor()
    // By its id in the address, encoded.
    await page.goto(`${url}/runs/${encodeURIComponent(text)}`)
    expect(await page.title()).not.toBe('')
    await page.goto(`${url}/runs`)
  }
  await worker.stop()
  for (const text of hostile) await stet.limits.set({ queue: text }, { concurrency: 5 })
  await stet.limits.set({ workflow: hostile[0]!, key: hostile[1]!.replaceAll('"', "'") }, { concurrency: 1 })
  for (const path of ['/', '/statistics', '/statistics?of=runs', '/workers', '/queues', '/schedules', '/alerts']) {
    await page.goto(url + path)
    await page.getByRole('heading', { level: 1 }).waitFor()
  }
  // Digits in names of steps stand for #.
  const step = hostile[0]!.replace('1', '#')
  await page.goto(`${url}/statistics?${new URLSearchParams({ workflow: hostile[0]!, step })}`)
  await page.getByRole('button', { name: step, exact: true }).waitFor()
  await page.getByRole('img', { name: `Percentiles over time of ${step} of ${hostile[0]}`, exact: false }).waitFor()
  await page.goto(`${url}/workers`)
  await page.getByRole('region', { name: 'Versions without a worker' }).getByText(`none of ${hostile[1]}`).waitFor()
  await page.goto(`${url}/queues`)
  for (const text of hostile) {
    // The row of the queue, and that of its limit; the address says which limit is looked at.
    await page.getByRole('region', { name: 'Queues' }).getByRole('link', { name: text, exact: true }).waitFor()
    await page.getByRole('button', { name: `queue ${text}`, exact: true }).click()
    await page.getByRole('region', { name: `Limit of queue ${text}`, exact: true }).waitFor()
    expect(new URL(page.url()).searchParams.get('queue')).toBe(text)
    await page.getByRole('button', { name: `Pause ${text}`, exact: true }).click()
    await page.getByRole('dialog', { name: `Pause ${text}`, exact: true }).waitFor()
    await page.keyboard.press('Escape')
  }
  await page.reload()
  await page.getByRole('region', { name: `Limit of queue ${hostile.at(-1)}`, exact: true }).waitFor()
  await page.keyboard.press('Control+k')
  await page.keyboard.type('alert')
  await page.getByRole('listbox').getByRole('option').first().waitFor()
  expect(await page.locator('img[src=x], script:not([src]), svg[onload]').count()).toBe(0)
  for (const run of waits) await run.terminate()
  for (const { target } of await stet.limits.list()) await stet.limits.reset(target)
})

test('every control has a name; light and dark, wide and narrow', async () => {
  await work(all)
  const limit = { workflow: 'order', key: 'customer.id' }
  await stet.limits.set(limit, { concurrency: 3, rate: { limit: 1_000, period: '1h' } })
  await stet.limits.pause({ queue: 'paging' })
  const url = await served(stet)
  const pages = { overview: '/', runs: '/runs', metrics: '/statistics?workflow=order&step=charge&compare=true' }
  const more = {
    workers: '/workers',
    queues: '/queues?workflow=order&key=customer.id',
    alerts: '/alerts',
    schedules: '/schedules',
  }
  for (const [name, path] of Object.entries({ ...pages, ...more })) {
    for (const [colours, width] of [
      ['light', 1400],
      ['dark', 760],
    ] as const) {
      const page = await browser.open(url + path, { colours, size: [width, 900] })
      await page.getByRole('heading', { level: 1 }).waitFor()
      await page.locator('[data-line=live]').waitFor()
      const tree = await page.locator('body').ariaSnapshot()
      const nameless = tree.split('\n').filter((line) => nameless_.test(line))
      expect([name, nameless]).toEqual([name, []])
      // Nothing makes the page itself wider than the window; what is wide scrolls by itself.
      expect([
        name,
        await page.evaluate(
          '(({ scrollWidth, clientWidth }) => scrollWidth - clientWidth)(document.querySelector("main"))',
        ),
      ]).toEqual([name, 0])
      expect(await page.evaluate('document.documentElement.scrollWidth <= window.innerWidth')).toBe(true)
      await browser.shot(page, `pages-${name}-${colours}`)
      await page.context().close()
    }
  }
  await stet.limits.reset(limit)
  await stet.limits.resume({ queue: 'paging' })
})
const nameless_ = /^\s*- (button|link|textbox|searchbox|checkbox|combobox|slider|img|dialog|option)(?! ")/
