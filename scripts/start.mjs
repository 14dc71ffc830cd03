/**
 * `npm start`: an order is begun, the process of its worker is killed in the middle, another worker goes on. What is
 * told at the end is read from the run's history and from the lines that the bodies of the steps printed; if a step
 * that was complete before the kill ran again, this fails.
 *
 * Ends every process that it started, but for the database: that stays for the commands to try next. In a terminal the
 * dashboard stays too, until Ctrl-C.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { dirname, join, relative } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const cli = join(root, 'dist/cli/main.js')
const began = performance.now()
const id = `order-${Date.now().toString(36)}`
const limitMs = 60_000

// The demonstration is on the embedded Postgres, whatever database this shell is set up for.
const elsewhere = ['STET_DATABASE_URL', 'DATABASE_URL', 'PGHOST', 'PGDATABASE', 'PGSERVICE'].filter(
  (name) => process.env[name],
)
for (const name of [...elsewhere, 'NODE_ENV']) delete process.env[name]
process.chdir(root)

// ── talk ─────────────────────────────────────────────────────────────────────────────────────────
const inTerminal = process.stdin.isTTY && process.stdout.isTTY
const colours = process.stdout.isTTY && !process.env.NO_COLOR
const paint = (code) => (text) => (colours ? `\u001b[${code}m${text}\u001b[0m` : String(text))
const [bold, dim, red, green, yellow] = ['1', '2', '31', '32', '33'].map(paint)
const say = (line = '') => console.log(line)
const label = (name, text) => say(`${bold(name.padEnd(10))} ${text}`)
const title = (text) => say(`\n${bold(text)}`)
const seconds = (ms) => `${(ms / 1000).toFixed(1)} s`

// ── processes ────────────────────────────────────────────────────────────────────────────────────
const children = new Set()
process.on('exit', () => {
  for (const child of children) child.kill('SIGKILL')
})
for (const [signal, code] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
  ['SIGHUP', 129],
])
  process.on(signal, () => process.exit(code))

class Failed extends Error {}

function stet(...args) {
  const child = spawn(process.execPath, [cli, ...args], { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] })
  const all = { child, pid: child.pid, out: '', err: '', lines: [], exited: once(child, 'close') }
  children.add(child)
  child.once('close', () => children.delete(child))
  child.stdout.on('data', (data) => (all.out += data))
  child.stderr.on('data', (data) => (all.err += data))
  return all
}

/** Runs a command to its end. */
async function command(...args) {
  const process = stet(...args)
  const [code] = await process.exited
  if (code !== 0) throw new Failed(`stet ${args.join(' ')} ended with ${code}:\n${process.err}${process.out}`)
  return process.out.trimEnd()
}

/** A worker whose steps are shown as they begin. */
function startWorker(name, isFirstOfStep) {
  const worker = stet('worker', 'samples/order.ts')
  worker.began = performance.now()
  label(name, `pid ${worker.pid}: stet worker samples/order.ts`)
  createInterface({ input: worker.child.stdout }).on('line', (line) => {
    const [, pid, step, attempt, what] = /^\[pid (\d+)\] (.+), attempt (\d+): (.*)$/.exec(line) ?? []
    if (step === undefined) return
    worker.lines.push({ pid: Number(pid), step, attempt: Number(attempt), at: performance.now() })
    say(`  ${dim(`${name} │`)} ${isFirstOfStep(step) ? step : yellow(step)}, attempt ${attempt}: ${dim(what)}`)
  })
  createInterface({ input: worker.child.stderr }).on('line', (line) => {
    if (line.includes('worker started')) worker.readyAt = performance.now()
  })
  return worker
}

/** Looks again and again until there is something to see. */
async function until(what, worker, look) {
  for (;;) {
    const seen = await look()
    if (seen) return seen
    if (worker.child.exitCode !== null || worker.child.signalCode !== null)
      throw new Failed(`the worker ended before ${what}:\n${worker.err}${worker.out}`)
    if (performance.now() - began > limitMs) throw new Failed(`waited in vain for ${what}:\n${worker.err}${worker.out}`)
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}

// ── the demonstration ────────────────────────────────────────────────────────────────────────────
async function main() {
  say('An order is processed by a worker. The worker is killed in the middle. Another one goes on.\n')
  const { startEmbedded } = await import('../dist/store/embedded/index.js')
  const { readSettings } = await import('../dist/settings.js')
  const { Stet } = await import('../dist/index.js')
  const asked = performance.now()
  const server = await startEmbedded({
    ...readSettings().embedded,
    log: (message) => say(dim(`           ${message}`)),
  })
  label(
    'database',
    `embedded Postgres ${server.version}, ${server.started ? 'started' : 'found running'} (${seconds(performance.now() - asked)})`,
  )

  const client = new Stet({ url: server.url, poolSize: 3 })
  try {
    const { serveDashboard } = await import('../dist/server/index.js')
    const dashboard = await serveDashboard(client, { nearby: true })
    label('dashboard', `${dashboard.url}/runs/${id}   ${dim('the run, live')}`)
    try {
      await demonstrate(client)
      await shown(dashboard)
    } finally {
      await dashboard.close()
    }
  } finally {
    await client.close()
  }
}

/** Whoever sits before a terminal may look at the dashboard for as long as they like; others get the command for it. */
async function shown({ url }) {
  if (!inTerminal) return
  say(`\n${bold('dashboard')}  ${url}/runs/${id}   ${dim('stays until Ctrl-C')}`)
  for (const signal of ['SIGINT', 'SIGTERM']) process.removeAllListeners(signal)
  await Promise.race([once(process, 'SIGINT'), once(process, 'SIGTERM')])
}

async function demonstrate(client) {
  const seenSteps = new Set()
  const isFirst = (step) => !seenSteps.has(step) && Boolean(seenSteps.add(step))
  const first = startWorker('worker 1', isFirst)
  await until('it was ready', first, () => first.readyAt)
  label('start', `stet start order --input @samples/order.json --id ${id}`)
  await command('start', 'order', '--input', '@samples/order.json', '--id', id)
  const run = client.run(id)
  const completed = async () =>
    (await run.history()).filter(({ type }) => type === 'StepCompleted').map(({ name }) => name)

  // In the middle: charged and reserved for good, the second try with the carrier under way.
  await until('the second attempt to ship', first, () =>
    first.lines.some((line) => line.step === 'ship order' && line.attempt === 2),
  )
  const stood = await completed()
  first.child.kill('SIGKILL')
  const killedAt = performance.now()
  const [, signal] = await first.exited
  if (signal !== 'SIGKILL') throw new Failed(`worker 1 ended by ${signal}, not by the kill`)
  say(`  ${red(`kill -9 ${first.pid}`)}   in the middle of "ship order"`)

  const second = startWorker('worker 2', isFirst)
  const next = await until('the next step', second, () => second.lines[0])
  const result = await Promise.race([run.result(), until('the result', second, () => false)])
  label('result', JSON.stringify(result))
  const startUp = second.readyAt - second.began
  label(
    'recovery',
    `${seconds(next.at - killedAt)} from the kill to the next step, ${seconds(startUp)} of it to start the process of worker 2`,
  )

  title('What stood, and what ran')
  const again = []
  for (const node of (await run.graph()).nodes.slice(1)) {
    const [before, after] = [first, second].map(({ lines }) =>
      lines.filter(({ step }) => step === node.name).map(({ attempt }) => attempt),
    )
    if (stood.includes(node.name)) {
      if (after.length > 0) again.push(node.name)
      say(
        `  ${green('stood')}  ${node.name.padEnd(18)} completed before the kill; worker 2 ran it ${times(after.length)}`,
      )
    } else {
      const cut = before.length > 0 ? `cut off by the kill in attempt ${before.at(-1)}` : 'not begun before the kill'
      say(`  ${yellow('ran')}    ${node.name.padEnd(18)} ${cut}; worker 2 ran it ${times(after.length)}`)
    }
  }
  if (stood.length !== 3) throw new Failed(`three steps were to stand, these did: ${stood.join(', ')}`)
  if (again.length > 0) throw new Failed(`completed before the kill, and ran again all the same: ${again.join(', ')}`)
  const strangers = [first, second].filter(({ lines, pid }) => lines.some((line) => line.pid !== pid))
  if (strangers.length > 0) throw new Failed('a step ran in a process that is not one of the two workers')

  title(`stet show ${id}`)
  say(await command('show', id))

  second.child.kill('SIGTERM')
  await Promise.race([second.exited, new Promise((resolve) => setTimeout(resolve, 5_000).unref())])

  // npx works in the checkout itself; for other folders the path would be needed.
  const here = relative('', root) === '' ? '' : `cd ${root}; `
  const other = elsewhere.length === 0 ? '' : ' -d "$(npx stet db url)"'
  title('Try next')
  const commands = [
    [`npx stet show ${id} --history${other}`, 'all that was recorded'],
    [`npx stet replay ${id} -w samples/order.ts${other}`, 'the same code over that history; no step runs'],
    [`npx stet dashboard${other}`, `the dashboard; this run is at /runs/${id}`],
    [
      `npx stet dev -w samples/approval.ts${other}`,
      'a worker that reloads on edit, and the dashboard; then, in another terminal:',
    ],
    [`npx stet start approval --id plan-7 --input '{"document":"plan","author":"ada","reviewer":"bob"}'${other}`, ''],
    [`npx stet signal plan-7 decision '{"approved":true,"by":"bob"}'${other}`, ''],
    ['npx stet db stop', 'end the database; its data stay'],
  ]
  for (const [line, what] of commands)
    say(`  ${here}${line.padEnd(what === '' ? 0 : 52)}${what === '' ? '' : `  ${dim(`# ${what}`)}`}`)
  if (elsewhere.length > 0)
    say(dim(`  (${elsewhere.join(' and ')} is set; the demonstration used the embedded Postgres, so -d names it)`))
  const rest = inTerminal ? '' : '; nothing else does'
  say(dim(`\n${seconds(performance.now() - began)} in all. The database goes on running${rest}.`))
}

const times = (n) => (n === 0 ? '0 times' : n === 1 ? 'once' : `${n} times`)

main()
  .catch((error) => {
    console.error(red(`\n${error instanceof Failed ? error.message : error.stack}`))
    process.exitCode = 1
  })
  .finally(() => {
    // What a failed demonstration left must not hold this process.
    for (const child of children) child.kill('SIGKILL')
  })
