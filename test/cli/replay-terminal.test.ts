import { beforeAll, describe, expect, test } from 'vitest'
import { testDatabase } from '../support/server.js'
import { project, stet, write } from './support.js'
import { noTerminal, Terminal } from './terminal.js'

let place: { cwd: string; url: string }

const order = `import { workflow } from 'stet'

interface Order { items: { sku: string; price: number }[] }

export const order = workflow('order', async (ctx, input: Order) => {
  let total = 0
  for (const item of input.items) {
    const stock = await ctx.step(\`check \${item.sku}\`, () => ({ left: item.price > 20 ? 0 : 3 }))
    if (stock.left >= 0) total += item.price
  }
  const [paid, label] = await Promise.all([pay(ctx, total), ctx.step('print label', () => 'L-1')])
  ctx.log.info('paid', { paid })
  if (paid.amount > 50) throw new Error('too dear: ' + paid.amount)
  const ok = await ctx.waitForSignal('approved')
  return { paid, label, ok }
})

async function pay(ctx: any, amount: number) {
  const fee = Math.round(amount * 0.1)
  const auth = await ctx.step('authorize', () => 'a1')
  return ctx.step('capture', () => ({ amount: amount + fee, auth }))
}
`

beforeAll(async () => {
  const { url } = await testDatabase()
  place = { cwd: project('module', { 'workflows/order.ts': order }), url }
  const items = (...prices: number[]) => JSON.stringify({ items: prices.map((price, i) => ({ sku: `S${i}`, price })) })
  await stet(['start', 'order', '-i', items(10, 30), '--id', 'small'], place)
  await stet(['start', 'order', '-i', items(10, 90), '--id', 'dear'], place)
  await stet(['worker', '--once'], place)
  await stet(['export', 'small', '-f', 'small.json'], place)
})

describe.skipIf(noTerminal !== undefined)(`in a terminal${noTerminal === undefined ? '' : ` (${noTerminal})`}`, () => {
  test('forwards, backwards, to a step: the line, what ran, the variables, what waits and where', async () => {
    const terminal = new Terminal(['replay', 'small'], place)
    const opened = await terminal.shown()
    expect(opened).toContain('replay of small  order@1 (workflows/order.ts), 6 events')
    expect(opened).toContain('event 1 of 6  RunStarted')
    expect(opened).toMatch(/▶ {2}8 │ {5}const stock = await ctx\.step/)
    expect(opened).toMatch(/item {2}= \{ sku: 'S0', price: 10 \}/)
    expect(opened).toMatch(/waits {2}step "check S0" {2}workflows\/order\.ts:8/)

    const second = await terminal.type('n\n')
    expect(second).toContain('event 2 of 6  StepCompleted check S0')
    expect(second).toContain('brings  { left: 3 }')
    expect(second).toMatch(/total = 10\n/)
    // An empty line is the last command again; an arrow is one, too.
    expect(await terminal.type('\n')).toContain('event 3 of 6')
    expect(await terminal.type('\x1b[D')).toContain('event 2 of 6')
    expect(await terminal.type('\x1b[C')).toContain('event 3 of 6')

    // Nothing of the user's ran in the turn of this event: what is suspended is as it was before.
    const label = await terminal.type('s print label\n')
    expect(label).toMatch(/event (4|5) of 6 {2}StepCompleted print label/)
    expect(label).toContain('no line of the workflow ran in this turn')
    expect(label).toMatch(/pay {2}workflows\/order\.ts:2[01] {2}as of event [34]\n +amount = 40\n +fee +=/)
    expect(label).toMatch(/order {2}workflows\/order\.ts:11 {2}as of event 3\n(.*\n)* +total = 40/)

    const end = await terminal.type('e\n')
    expect(end).toContain('event 6 of 6  StepCompleted capture')
    expect(end).toMatch(/log {2}info paid \{ paid: \{ amount: 44, auth: 'a1' \} \}/)
    expect(end).toMatch(/asks {3}wait for signal "approved" {2}workflows\/order\.ts:14/)
    expect(await terminal.type('n\n')).toContain('the history ends here')
    expect(await terminal.type('b\n')).toContain('event 5 of 6')
    expect(await terminal.type('g 1\n')).toContain('event 1 of 6')
    expect(await terminal.type('b\n')).toContain('this is the first event')
    expect(await terminal.type('f\n')).toContain('nothing failed in this history')
    expect(await terminal.type('s nonsense\n')).toContain('no event settles "nonsense"; there are check S0')
    expect(await terminal.type('fly\n')).toContain('"fly" is no command')
    expect(await terminal.quit()).toBe(0)
  })

  test('the first failure: the line that threw, and the variables there', async () => {
    const terminal = new Terminal(['replay', 'dear', '--at', 'failure'], place)
    const opened = await terminal.shown()
    expect(opened).toContain('✓ the run failed with Error: too dear: 110')
    expect(opened).toMatch(/RunFailed/)
    const before = await terminal.type('b\n')
    expect(before).toContain('▶ 13 │   if (paid.amount > 50) throw new Error')
    expect(before).toContain('throws Error: too dear: 110')
    expect(before).toMatch(/total += 100\n/)
    expect(await terminal.quit('\x04')).toBe(0)
  })

  test('edit and continue: r replays with the code as it is now, and stops at the first difference', async () => {
    const terminal = new Terminal(['replay', 'small.json'], { ...place, url: undefined })
    await terminal.type('s capture\n')
    write(place.cwd, 'workflows/order.ts', order.replace("ctx.step('capture'", "ctx.step('take money'"))
    const changed = await terminal.type('r\n')
    expect(changed).toContain('✗ the code does not fit the history at event 6 (StepCompleted)')
    expect(changed).toMatch(/expected: operation 5: step "capture", as recorded from workflows\/order\.ts:21/)
    expect(changed).toMatch(/got: +operation 5: step "take money", at workflows\/order\.ts:21/)
    expect(changed).toMatch(/pay {2}workflows\/order\.ts:21 {2}as of event [45]\n(.*\n)* +auth += 'a1'/)
    expect(await terminal.type('n\n')).toContain('the code does not fit the history any further')
    write(place.cwd, 'workflows/order.ts', order.replace('amount * 0.1', 'amount * 0.5'))
    const mended = await terminal.type('r\n')
    expect(mended).toContain('✓ the history ends here')
    expect(mended).toMatch(/event 6 of 6/)
    expect(await terminal.type('g 3\n')).toMatch(/fee +=|total = 40/)
    write(place.cwd, 'workflows/order.ts', 'export const broken = (')
    expect(await terminal.type('r\n')).toContain('cannot load workflows/order.ts')
    write(place.cwd, 'workflows/order.ts', order)
    expect(await terminal.type('r\n')).toContain('✓ the history ends here')
    expect(await terminal.quit()).toBe(0)
  })

  test('replay alone repeats the last one', async () => {
    const first = await stet(['replay', 'dear', '-w', 'workflows/order.ts'], place)
    const again = await stet(['replay'], place)
    expect(again.stdout).toBe(first.stdout)
    expect(again.stderr).toContain('again: dear')
    const nothing = await stet(['replay'], { ...place, cwd: project('module') })
    expect(nothing).toMatchObject({ code: 2, stderr: expect.stringContaining('Nothing was replayed') })
  })
})

test('live: the body of a step really runs, once, and is compared with what is on record', async () => {
  const printing = order.replace("() => 'a1'", "() => { console.log('REALLY'); return 'a2' }")
  write(place.cwd, 'live.ts', printing)
  const args = ['replay', 'small.json', '-w', 'live.ts', '--live', 'authorize', 'capture']
  const { code, stdout } = await stet(args, { ...place, url: undefined })
  expect(code).toBe(0)
  expect(stdout).toMatch(/live step "authorize" really ran, \d+ ms: 'a2' \(on record: 'a1'\)/)
  // What the code prints is not what the command says.
  expect(stdout).not.toContain('REALLY')
  expect(stdout).toMatch(/live step "capture" really ran, \d+ ms: \{ amount: 44, auth: 'a1' \} \(as on record\)/)
})

test('without a terminal: each event with the lines that ran and the variables; as JSON all of it', async () => {
  const { stdout } = await stet(['replay', 'small'], place)
  expect(stdout).toMatch(/ran {2}workflows\/order\.ts:6-8\n/)
  expect(stdout).toMatch(/has {2}amount = 40, fee = 4 {2}pay :20/)
  const json = JSON.parse((await stet(['replay', 'small', '--json'], place)).stdout)
  const third = json.events[2]
  expect(third.functions.map(({ fn }: any) => fn)).toEqual(['order', 'pay'])
  expect(third.functions[1]).toMatchObject({ file: 'workflows/order.ts', line: 20 })
  expect(third.functions[1].locals).toContainEqual({ name: 'fee', text: '4' })
  expect(json.events.at(-1).ran.at(-1)).toEqual({ file: 'workflows/order.ts', line: 14 })
})
