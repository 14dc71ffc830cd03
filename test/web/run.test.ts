/** The page of a run, in a real browser: what it shows is what the engine says, while it happens. */
import { expect, test } from 'vitest'
import { type Ctx, type Handle, signal, workflow } from '../../src/index.js'
import { type Locator, type Page, served, testBrowser } from '../support/browser.js'
import { gate, house, until } from '../support/house.js'
import { drawn, laidOut } from './drawn.js'

const { stet, work, reached } = await house()
const browser = await testBrowser()

const approved = signal<unknown>('approved')

const pageOf = async (run: Handle<any>, query = '', options: Parameters<typeof browser.open>[1] = {}) => {
  const url = await served(stet)
  return browser.open(`${url}/runs/${encodeURIComponent(run.runId)}${query}`, options)
}
/** The box of a step. */
const box = (page: Page, key: string): Locator => page.locator(`.node[data-key=${JSON.stringify(key)}]`)
const shows = (page: Page, key: string, word: string) => box(page, key).getByText(word, { exact: true }).waitFor()
const inspector = (page: Page) => page.getByRole('complementary', { name: 'Inspector' })
/** Where the boxes stand. */
const places = (page: Page): Promise<string[]> =>
  page.locator('.node').evaluateAll((nodes: any[]) => nodes.map((node) => node.parentElement.style.transform))

async function graphOf(run: Handle<any>) {
  const { nodes, edges } = await run.graph()
  return {
    nodes: nodes.map(({ key, status }) => `${key} ${status}`).sort(),
    edges: edges.map(({ from, to }) => `${from} → ${to}`).sort(),
  }
}

test('nodes change while it runs: pending, running, retrying, failed, completed, without a reload', async () => {
  const gates = { validate: gate(), reserve: gate(), charge: gate() }
  const live = workflow('live', async (ctx: Ctx<unknown>, _: unknown) => {
    await ctx.step('validate', () => gates.validate.promise)
    await ctx
      .step('reserve', { retry: { maxAttempts: 2, initialInterval: '1h', jitter: 0 } }, async () => {
        await gates.reserve.promise
        throw new RangeError('out of stock')
      })
      .catch(() => {})
  })
  const failing = workflow('failing', async (ctx: Ctx<unknown>, _: unknown) => {
    await ctx.step('charge', { retry: false }, async () => {
      await gates.charge.promise
      throw new TypeError('card was refused')
    })
  })
  const run = await stet.start(live, null, { id: 'live-1' })
  const page = await pageOf(run)
  const header = page.locator('.run-header')
  await header.getByText('pending', { exact: true }).waitFor()
  // Nothing loads the page again from here on.
  await page.evaluate('window.stays = true')
  await page.getByText('no worker is live', { exact: false }).waitFor()
  await work([live, failing])
  await shows(page, 'validate', 'running')
  await header.getByText('running', { exact: true }).waitFor()
  gates.validate.open()
  await shows(page, 'validate', 'completed')
  await shows(page, 'reserve', 'running')
  gates.reserve.open()
  await shows(page, 'reserve', 'retrying')
  await header.getByText('waiting', { exact: true }).waitFor()
  await page.locator('[data-why=retrying]').waitFor()
  await browser.shot(page, 'run-live')
  expect(await page.evaluate('window.stays')).toBe(true)

  const other = await stet.start(failing, null, { id: 'failing-1' })
  const second = await pageOf(other)
  await shows(second, 'charge', 'running')
  gates.charge.open()
  await shows(second, 'charge', 'failed')
  await second.locator('.run-header').getByText('failed', { exact: true }).waitFor()
})

const shipping = { open: gate() }
const parcel = workflow('parcel', async (ctx: Ctx<unknown>, _: unknown) => {
  await ctx.step('print label', () => 'label')
  await Promise.all([ctx.step('weigh', () => 3), ctx.step('call courier', () => shipping.open.promise)])
  return 'sent'
})
const order = workflow('order', async (ctx: Ctx<unknown>, _: unknown) => {
  await Promise.all([
    ctx.step('validate', () => 'valid').then((card) => ctx.step('charge', () => card)),
    ctx.step('reserve', () => 2),
  ])
  await Promise.all([1, 2, 3].map((n) => ctx.step('pack', () => n)))
  const sent = ctx.child(parcel, null)
  const approval = await ctx.waitForSignal(approved)
  await ctx.sleep(1)
  return [await sent, approval]
})

test('drawn are the nodes and edges of graph(), and a child in its place', async () => {
  shipping.open = gate()
  await work([order, parcel])
  const run = await stet.start(order, null, { id: 'order-1' })
  await reached(run, 'waiting')
  const page = await pageOf(run)
  await shows(page, 'approved', 'waiting')
  await shows(page, 'parcel', 'running')
  expect(await drawn(page)).toEqual(await graphOf(run))

  await page.getByRole('button', { name: 'Show the child parcel here' }).click()
  await shows(page, 'call courier', 'running')
  await page.locator('[data-row="call courier"]').waitFor()
  const child = stet.run((await run.history()).find(({ type }) => type === 'ChildStarted')!.data!.runId as string)
  const inside = await graphOf(child)
  const whole = await drawn(page)
  expect(whole.nodes).toEqual([...(await graphOf(run)).nodes, ...inside.nodes].sort())
  expect(whole.edges).toEqual([...(await graphOf(run)).edges, ...inside.edges].sort())
  await browser.shot(page, 'run-child')

  // The signal is sent from the page.
  await page.getByRole('button', { name: 'Signal…' }).click()
  const dialog = page.getByRole('dialog')
  await dialog.getByLabel('Message (JSON)').fill('{"by":"Grace"}')
  await dialog.getByRole('button', { name: 'Send' }).click()
  await shows(page, 'approved', 'completed')
  shipping.open.open()
  await shows(page, 'call courier', 'completed')
  await page.locator('.run-header').getByText('completed', { exact: true }).waitFor()
  await page.locator('.node[data-key=sleep]').waitFor()
  await page.getByRole('button', { name: 'fold it again' }).or(page.locator('.notes button')).first().click()
  await box(page, 'call courier').waitFor({ state: 'detached' })
  expect(await drawn(page)).toEqual(await graphOf(run))
})

test('a fan-out is one box with counts, and opens', async () => {
  const gates = { rest: gate() }
  const fanned = workflow('fanned', async (ctx: Ctx<unknown>, _: unknown) => {
    await Promise.all(
      Array.from({ length: 30 }, (_, i) =>
        ctx.step('resize', { retry: false }, () => (i < 20 ? Promise.resolve() : gates.rest.promise)),
      ),
    )
    await ctx.step('publish', () => 1)
  })
  await work([fanned])
  const run = await stet.start(fanned, null)
  const page = await pageOf(run)
  const group = page.locator('.node[data-group="30"]')
  await group.getByText('20 completed').waitFor()
  await group.getByText('10 running').waitFor()
  expect(await page.locator('.node').count()).toBe(2)
  await browser.shot(page, 'run-folded')
  await page.getByRole('button', { name: 'Open the group resize' }).click()
  await box(page, 'resize#30').waitFor()
  expect(await drawn(page)).toEqual(await graphOf(run))
  gates.rest.open()
  await shows(page, 'publish', 'completed')
  expect(await drawn(page)).toEqual(await graphOf(run))
  // Back in the browser folds it again, for it stands in the address.
  await page.goBack()
  await group.getByText('30 completed').waitFor()
})

const broken = workflow('broken', async (ctx: Ctx<unknown>, input: { customer: string }) => {
  const stock = await ctx.step('check stock', () => ({ left: 0, where: 'Leeds' }))
  return ctx.step('take', { retry: { maxAttempts: 2, initialInterval: 1, jitter: 0 } }, () => {
    if (stock.left === 0) throw new RangeError('nothing left', { cause: new Error('shelf 12 is empty') })
    return `${stock.left} for ${input.customer}`
  })
})

test('the inspector: error, cause, stack, attempts, source line, commands', async () => {
  await work([broken])
  const run = await stet.start(broken, { customer: 'Ada' })
  await run.result().catch(() => {})
  const page = await pageOf(run)
  await box(page, 'take').getByRole('button').first().click()
  const about = inspector(page)
  await about.getByText('RangeError', { exact: true }).waitFor()
  await about.getByText('nothing left', { exact: true }).waitFor()
  await about.getByText('shelf 12 is empty', { exact: true }).waitFor()
  expect(await about.locator('.attempts tbody tr').count()).toBe(2)
  await about
    .getByText(/test\/web\/run\.test\.ts:\d+/)
    .first()
    .waitFor()
  await about.getByText(`npx stet replay ${run.runId} --at take`).waitFor()
  await about.getByText(`npx stet replay ${run.runId} --inspect --break step:take`).waitFor()
  await about.getByRole('button', { name: 'Show the stack' }).click()
  await about
    .locator('.stack-text')
    .first()
    .getByText(/run\.test\.ts:\d+:\d+/)
    .waitFor()
  expect(page.url()).toContain('step=take')
  await browser.shot(page, 'run-failed')
  // One selection: the timeline's row and the history's events are marked too.
  expect(await page.locator('[data-row=take]').getAttribute('data-selected')).toBe('true')
  await page.getByRole('tab', { name: 'History' }).click()
  await page.locator('[data-event][data-of-step]').first().waitFor()
  await page.locator('[data-event][data-type=StepCompleted]').click()
  await about.getByText('"Leeds"').waitFor()
  expect(page.url()).toContain('event=2')
})

test('a long value is read when it is asked for', async () => {
  const long = workflow('long', async (ctx: Ctx<unknown>, _: unknown) =>
    ctx.step('read', () => ({ text: 'x'.repeat(9_000), n: 7 })),
  )
  await work([long])
  const run = await stet.start(long, null)
  await run.result()
  const page = await pageOf(run, '?step=read')
  await inspector(page)
    .getByRole('button', { name: /Read it \(8\.8 KiB\)/ })
    .click()
  await inspector(page).getByText('7', { exact: true }).waitFor()
})

test('back in time: the whole page is as it was', async () => {
  shipping.open = gate()
  shipping.open.open()
  await work([order, parcel])
  const run = await stet.start(order, null)
  await run.signal(approved, 1)
  await run.result()
  const page = await pageOf(run)
  await shows(page, 'sleep', 'completed')
  const events = await run.history()
  const end = events.find(({ name, type }) => name === 'charge' && type === 'StepCompleted')!.seq
  const before = await places(page)
  const slider = page.getByRole('slider', { name: 'After event' })
  await slider.fill(String(end - 1))
  await page
    .locator('.run-header')
    .getByText(`as it was after event ${end - 1} of ${events.length}`)
    .waitFor()
  await shows(page, 'validate', 'completed')
  await shows(page, 'parcel', 'not yet')
  expect(await page.locator('.run-header [data-status]').first().getAttribute('data-status')).toBe('running')
  expect(await page.getByRole('button', { name: 'Fork…' }).isDisabled()).toBe(true)
  // What is there is what the server says was there, at the place that it has now.
  const { body } = await fetchJson(page, `/api/runs/${run.runId}/graph?at=${end - 1}`)
  const then = (await drawn(page)).nodes.filter((each) =>
    body.nodes.some(({ key, status }: any) => `${key} ${status}` === each),
  )
  expect(then.length).toBe(body.nodes.length)
  expect(await page.locator('.node[data-shown=ghost]').count()).toBe(
    (await drawn(page)).nodes.length - body.nodes.length,
  )
  expect(await places(page)).toEqual(before)
  await page.waitForURL(new RegExp(`at=${end - 1}`))
  await browser.shot(page, 'run-past')
  await slider.press('ArrowRight')
  await shows(page, 'charge', 'completed')
  await page.getByRole('button', { name: 'First event' }).click()
  await shows(page, 'validate', 'not yet')
  await page.waitForURL(/at=1(&|$)/)
  await page.reload()
  await shows(page, 'validate', 'not yet')
  await page.getByRole('button', { name: 'Play', exact: true }).click()
  await shows(page, 'sleep', 'completed')
  await page.getByRole('button', { name: 'Back to now' }).click()
  await page.locator('.run-header').getByText('as it was', { exact: false }).waitFor({ state: 'detached' })
})

async function fetchJson(page: Page, path: string): Promise<{ status: number; body: any }> {
  return page.evaluate(
    `fetch(${JSON.stringify(path)}).then(async (answer) => ({ status: answer.status, body: await answer.json() }))`,
  )
}

test('a fork from a failed step with an edited value, and both runs to be seen', async () => {
  await work([broken])
  const run = await stet.start(broken, { customer: 'Ada' }, { id: 'broken-1' })
  await run.result().catch(() => {})
  const page = await pageOf(run, '?step=take')
  await inspector(page).getByRole('button', { name: 'Rerun from here…' }).click()
  const dialog = page.getByRole('dialog')
  await dialog.getByRole('button', { name: 'Edit the result of a step…' }).click()
  await dialog.getByLabel('Step', { exact: true }).selectOption('check stock')
  const value = dialog.getByLabel('Result (JSON)')
  await until(async () => (await value.inputValue()).includes('Leeds'), 'the value as it was')
  await value.fill('{"left": 5}')
  await dialog.getByRole('button', { name: 'What would it keep?' }).click()
  await dialog.getByText(/It keeps \d+ of \d+ events/).waitFor()
  await browser.shot(page, 'run-fork')
  await dialog.getByRole('button', { name: 'Fork', exact: true }).click()
  const link = page.getByRole('link', { name: /open the new run/ })
  await link.waitFor()
  // This run, and the other with its status beside it.
  await page.locator('.run-header [data-fork]').getByText('completed', { exact: true }).waitFor()
  expect(await page.locator('.run-header [data-status]').first().getAttribute('data-status')).toBe('failed')
  await link.click()
  await shows(page, 'take', 'completed')
  await page
    .locator('.run-header')
    .getByText(/forked from/)
    .waitFor()
  await box(page, 'take').getByRole('button').first().click()
  await inspector(page).getByText('"5 for Ada"').waitFor()
  await box(page, 'check stock').getByRole('button').first().click()
  await inspector(page).getByText('result given by a fork').waitFor()
})

test('who may only look is told so, and sees no answer of an action', async () => {
  await work([order, parcel])
  const run = await stet.start(order, null)
  await reached(run, 'waiting')
  const url = await served(stet, { tokens: { 'viewer-token-0123456789': { role: 'view', name: 'vera' } } })
  const page = await browser.open(`${url}/runs/${run.runId}`, { expected: [/401/] })
  await page.getByLabel('Token').fill('viewer-token-0123456789')
  await page.getByRole('button', { name: 'Sign in' }).click()
  const cancel = page.getByRole('button', { name: 'Cancel…' })
  await cancel.waitFor()
  expect(await cancel.isDisabled()).toBe(true)
  expect(await cancel.getAttribute('title')).toBe('your role may only look')
  await run.terminate()
})

test('cancelled from the page, after a question', async () => {
  await work([order, parcel])
  const run = await stet.start(order, null)
  await reached(run, 'waiting')
  const page = await pageOf(run)
  await page.getByRole('button', { name: 'Cancel…' }).click()
  await page
    .getByRole('dialog')
    .getByLabel(/Reason/)
    .fill('not wanted')
  await page.getByRole('dialog').getByRole('button', { name: 'Cancel the run' }).click()
  await page.locator('.run-header').getByText('cancelled', { exact: true }).waitFor()
  await page.locator('[data-why]').waitFor({ state: 'detached' })
})

test('paused and resumed from the page', async () => {
  await work([order, parcel])
  const run = await stet.start(order, null)
  await reached(run, 'waiting')
  const page = await pageOf(run)
  await page.getByRole('button', { name: 'Pause…' }).click()
  await page
    .getByRole('dialog')
    .getByLabel(/Reason/)
    .fill('the carrier has an outage')
  await page.getByRole('dialog').getByRole('button', { name: 'Pause the run' }).click()
  await page.locator('.run-header').getByText('paused', { exact: true }).waitFor()
  await page.locator('[data-why=paused]').waitFor()
  await page.getByRole('button', { name: 'Resume…' }).click()
  await page.getByRole('dialog').getByRole('button', { name: 'Resume' }).click()
  await page.locator('.run-header').getByText('waiting', { exact: true }).waitFor()
  await run.terminate()
})

test('a blocked run says what the history has and what the code does', async () => {
  const hold = gate()
  const first = workflow('changed', async (ctx: Ctx<unknown>, _: unknown) => {
    await ctx.step('a', () => 1)
    await ctx.waitForSignal('go')
  })
  const second = workflow('changed', async (ctx: Ctx<unknown>, _: unknown) => {
    await ctx.step('b', () => 1)
    await ctx.waitForSignal('go')
  })
  const worker = await work([first])
  const run = await stet.start(first, null)
  await reached(run, 'waiting')
  await worker.stop()
  hold.open()
  await work([second])
  await run.signal('go', null)
  await reached(run, 'blocked')
  const page = await pageOf(run)
  const why = page.locator('[data-why=blocked] .mismatch')
  await why.getByText('operation 1: step "a"').waitFor()
  await why.getByText('operation 1: step "b"').waitFor()
  await page.getByRole('button', { name: 'Resume…' }).waitFor()
  await browser.shot(page, 'run-blocked')
})

test('by keys alone: along the edges, into a group, and out', async () => {
  const walked = workflow('walked', async (ctx: Ctx<unknown>, _: unknown) => {
    await ctx.step('first', () => 1)
    await Promise.all([ctx.step('left', () => 1), ctx.step('right', () => 1)])
    await Promise.all(Array.from({ length: 12 }, (_, i) => ctx.step('many', () => i)))
    await ctx.step('last', () => 1)
  })
  await work([walked])
  const run = await stet.start(walked, null)
  await run.result()
  const page = await pageOf(run, '?view=graph')
  await laidOut(page)
  const arrows = async () => {
    const down = (await page.locator('.graph').getAttribute('data-direction')) === 'down'
    return down
      ? ['ArrowDown', 'ArrowUp', 'ArrowRight', 'ArrowLeft']
      : ['ArrowRight', 'ArrowLeft', 'ArrowDown', 'ArrowUp']
  }
  const [on, , aside, other] = await arrows()
  const title = inspector(page).getByRole('heading', { level: 2 })
  const selected = (key: string) => until(async () => (await title.textContent()) === key, `${key} is selected`)
  await page.locator('.node[data-key=start] .face').focus()
  await page.keyboard.press(on!)
  await selected('first')
  await page.keyboard.press(on!)
  const one = await until(async () => /left|right/.exec((await title.textContent()) ?? '')?.[0], 'one of two')
  await page.keyboard.press(aside!)
  if ((await title.textContent()) === one) await page.keyboard.press(other!)
  await selected(one === 'left' ? 'right' : 'left')
  await page.keyboard.press(on!)
  await selected('12 steps')
  await page.keyboard.press('Enter')
  await box(page, 'many#12').waitFor()
  await page.keyboard.press('Tab')
  await box(page, 'last').locator('.face').focus()
  await page.keyboard.press('Enter')
  await selected('last')
  // A graph that has grown may be drawn the other way.
  await page.keyboard.press((await arrows())[1]!)
  await until(async () => /^many/.test((await title.textContent()) ?? ''), 'one of many')
  await browser.shot(page, 'run-keys')
})

const hostile = [
  '<script>window.hacked = 1</script>',
  '<img src=x onerror="window.hacked = 1">',
  '__proto__',
  'constructor',
  '\u202eesrever\u202c \u2066isolate',
  '"><svg onload=window.hacked=1>',
  '{{7*7}} javascript:window.hacked=1',
  'zero\u200bwidth \u0430\u0441\u0435',
]

test('whatever is in names, values, errors and attributes: no script runs, and nothing breaks', async () => {
  const nasty = workflow('nasty', async (ctx: Ctx<unknown>, input: unknown) => {
    for (const name of hostile)
      await ctx.step(name, () => ({ [name]: name, nested: [name, 'tab\tnewline\n\u0000', { __proto__x: name }] }))
    ctx.setAttributes(Object.fromEntries(hostile.slice(0, 3).map((text, i) => [`a${i}`, text])))
    await ctx.step('n'.repeat(255), () => JSON.parse('{"__proto__": {"hacked": 1}, "constructor": 1}'))
    await ctx.step('long', () => ({ text: hostile[0]!.repeat(3_000) }))
    await ctx.step('bad', { retry: false }, () => {
      const error = new Error(hostile.join(' ').repeat(20), { cause: new Error(hostile[1]) })
      error.name = hostile[0]!
      throw error
    })
    return input
  })
  await work([nasty])
  const run = await stet.start(nasty, hostile, { id: `${hostile[0]}${hostile[4]}` })
  await run.result().catch(() => {})
  const page = await pageOf(run)
  await laidOut(page)
  const keys: string[] = await page
    .locator('.node .face')
    .evaluateAll((all: any[]) => all.map((each) => each.dataset.focus))
  expect(keys.length).toBe(hostile.length + 4)
  for (const id of keys) {
    await page.locator(`[data-focus=${JSON.stringify(id)}]`).evaluate((node: any) => node.click())
    await inspector(page).getByRole('heading', { level: 2 }).waitFor()
    const wide = await page.evaluate(
      '[document.documentElement.scrollWidth, innerWidth, document.querySelector(".inspector").scrollWidth - document.querySelector(".inspector").clientWidth]',
    )
    expect([id, (wide as number[])[0], (wide as number[])[2]]).toEqual([id, (wide as number[])[1], 0])
  }
  await inspector(page).getByRole('button', { name: 'Show the stack' }).click()
  await page.getByRole('tab', { name: 'History' }).click()
  await page.locator('[data-event]').first().waitFor()
  await browser.shot(page, 'run-hostile')
  const slider = page.getByRole('slider', { name: 'After event' })
  await slider.fill('3')
  await page.getByText('as it was after event 3', { exact: false }).waitFor()
  // A selection that names what is not there shows the run.
  await page.goto(
    `${page.url().split('?')[0]}?step=${encodeURIComponent('constructor#9')}&group=${encodeURIComponent('part:__proto__:25')}&in=${encodeURIComponent('child:<b>»')}&event=99999&at=0&open=${encodeURIComponent('fan:__proto__')}`,
  )
  await laidOut(page)
  expect(await page.evaluate('window.hacked')).toBeUndefined()
  expect(await page.evaluate('({}).hacked')).toBeUndefined()
})

/** Much of what a run can have: a retried step, a fan-out, a child that failed, a long wait. */
const rich = workflow('rich', async (ctx: Ctx<unknown>, _: unknown) => {
  await Promise.all([
    ctx.step('validate payment', () => ({ ok: true, limits: { day: 100, week: 400 } })),
    ctx.step('reserve inventory', { retry: { maxAttempts: 3, initialInterval: 120, jitter: 0 } }, ({ attempt }) => {
      if (attempt < 3) throw new RangeError('out of stock in Leeds')
      return { left: 3 }
    }),
  ])
  await Promise.all(Array.from({ length: 24 }, (_, i) => ctx.step('resize image', () => i)))
  ctx.setAttributes({ stage: 'packed', country: 'DE' })
  await ctx.sleep(2_500)
  await Promise.all([ctx.child(parcel, null), ctx.step('write invoice', () => 'invoice')])
  await ctx.step('send confirmation', { retry: false }, () => {
    throw new TypeError('mailbox is full', { cause: new Error('452 4.2.2') })
  })
})

test('the timeline: attempts, waits between them, idle time folded; the critical path; light, dark and narrow', async () => {
  shipping.open = gate()
  shipping.open.open()
  await work([rich, parcel])
  const run = await stet.start(rich, { customer: 'Ada' }, { id: 'order-42' })
  await run.result().catch(() => {})
  const page = await pageOf(run, '?step=reserve+inventory')
  const row = page.locator('[data-row="reserve inventory"]')
  await row.locator('[data-kind="failed"]').nth(1).waitFor()
  expect(await row.locator('[data-kind="retry wait"]').count()).toBe(2)
  expect(await row.locator('[data-kind="executing"]').count()).toBe(1)
  // The sleep is folded; with all of it shown, the rest is narrower.
  const sleepsIn = page.locator('.timeline .gap-label')
  await sleepsIn.getByText(/^2\.[45] s$/).waitFor()
  const width = async () => (await row.locator('[data-kind="retry wait"]').last().boundingBox())!.width
  const folded = await width()
  await page.getByRole('button', { name: 'Fold idle time' }).click()
  await sleepsIn.first().waitFor({ state: 'detached' })
  expect(await width()).toBeLessThan(folded)
  await page.getByRole('button', { name: 'Fold idle time' }).click()

  await page.getByRole('button', { name: 'Critical path' }).click()
  await page.getByText(/^critical path: \d+ steps/).waitFor()
  const critical = await page
    .locator('.node[data-critical]')
    .evaluateAll((all: any[]) => all.map((each) => each.querySelector('.name').textContent))
  expect(critical).toEqual(['reserve inventory', 'resize image', 'sleep', 'parcel', 'send confirmation'])
  await browser.shot(page, 'run-rich-light')

  // What is selected in the graph comes into view here; the steps of the child stand below it.
  await box(page, 'parcel').locator('.face').click()
  await page.getByRole('button', { name: 'Steps of child parcel' }).click()
  await page.locator('[data-row="print label"]').waitFor()

  const dark = await pageOf(run, '?step=send+confirmation&open=child:parcel»', { colours: 'dark' })
  await shows(dark, 'print label', 'completed')
  await inspector(dark).getByText('mailbox is full').first().waitFor()
  await browser.shot(dark, 'run-rich-dark')
  for (const view of ['graph', 'timeline', 'history']) {
    const narrow = await pageOf(run, `?view=${view}&step=send+confirmation`, {
      size: [760, 900],
      colours: view === 'graph' ? 'light' : 'dark',
    })
    await inspector(narrow).getByText('mailbox is full').first().waitFor()
    if (view === 'graph') await laidOut(narrow)
    const [inner, outer] = (await narrow.evaluate(
      '[document.querySelector("main").scrollWidth, innerWidth]',
    )) as number[]
    expect(inner).toBeLessThanOrEqual(outer!)
    await browser.shot(narrow, `run-narrow-${view}`, { whole: true })
  }
})

test('a run that is not there says what to do', async () => {
  const url = await served(stet)
  const page = await browser.open(`${url}/runs/nobody`, { expected: [/404/] })
  await page.getByText('npx stet list').waitFor()
})
