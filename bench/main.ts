/**
 * `npm run bench`: stet beside the raw limits of the same server, measured in the same run. Ratios travel from machine
 * to machine; absolute figures do not. `npm run bench -- latency fan` runs the parts named.
 * `npm run bench -- million`: what the pages of the dashboard ask, at a million runs.
 * `npm run bench -- flow`: claims behind limits.
 * `npm run bench -- retention`: what claims feel of the deletion of half a million runs.
 */
import { type ChildProcess, execFileSync, fork, spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import pg from 'pg'
import { Stet } from 'stet'
import { encode } from '../src/core/codec.js'
import type { RecordedEvent } from '../src/core/events.js'
import { replay } from '../src/core/replay.js'
import { installRuntime } from '../src/core/runtime.js'
import { definition } from '../src/core/workflow.js'
import { checkSpeed, longReplay } from './debug.js'
import { flow } from './flow.js'
import { type Limits, measureLimits } from './limits.js'
import { heading, list, median, pause, percentile, report, summary, three } from './measure.js'
import { million } from './million.js'
import { retention } from './retention.js'
import { type BenchServer, benchServer } from './server.js'
import { fanOut, fiveSteps, oneStep, sequence, steady } from './workflows.js'

const wanted = process.argv.slice(2)
const runs = (part: string) => wanted.length === 0 || wanted.includes(part)

async function startWorker(url: string): Promise<ChildProcess> {
  const child = fork(fileURLToPath(new URL('./worker.ts', import.meta.url)), [url], { execArgv: ['--import', 'tsx'] })
  await new Promise((resolve) => child.once('message', resolve))
  return child
}

/** A worker of the command line says that it has started. @throws Error with what else it said, when it ends before */
async function started(child: ChildProcess): Promise<void> {
  let said = ''
  await new Promise<void>((resolve, reject) => {
    child.stderr!.on('data', (data) => {
      said += data
      if (said.includes('worker started')) resolve()
    })
    child.once('close', (code) => reject(new Error(`the worker ended before it had started (${code}): ${said}`)))
  })
}

async function stopWorker(child: ChildProcess): Promise<void> {
  const ended = new Promise((resolve) => child.once('exit', resolve))
  child.kill('SIGTERM')
  await ended
}

/** A client here, a worker in a process of its own, a database for the two. */
async function withWorker(server: BenchServer, body: (stet: Stet, url: string, child: ChildProcess) => Promise<void>) {
  const url = await server.database()
  const stet = new Stet({ url })
  await stet.migrate()
  const child = await startWorker(url)
  await body(stet, url, child)
  if (child.exitCode === null && child.signalCode === null) await stopWorker(child)
  await stet.close()
}

async function latency(server: BenchServer, limits: Limits) {
  await withWorker(server, async (stet) => {
    for (let i = 0; i < 50; i++) await stet.execute(sequence, 10)
    const perStep = await three(async () => {
      const times: number[] = []
      for (let i = 0; i < 100; i++) {
        const run = await stet.start(sequence, 10)
        await run.result()
        times.push(await bodyMs(stet, run.runId, 10))
      }
      return median(times)
    })
    report(
      '10-step run, one at a time: ms a step',
      `${list([perStep.value], 3)} (${list(perStep.all, 2)})`,
      perStep.value / limits.commitMs,
      { atMost: 2 },
    )
  })
}

/** Time between the first and the last step's record, a step. */
async function bodyMs(stet: Stet, runId: string, steps: number): Promise<number> {
  const history = await stet.run(runId).history()
  const last = history.findLast(({ type }) => type === 'StepCompleted')!
  const began = history.find(({ type }) => type === 'StepCompleted')!
  return (Date.parse(last.at as string) - Date.parse(began.at as string)) / (steps - 1)
}

async function longSequence(server: BenchServer, limits: Limits) {
  await withWorker(server, async (stet) => {
    await stet.execute(sequence, 500)
    const run = await stet.start(sequence, 10_000)
    await run.result()
    const at = (await run.history())
      .filter(({ type }) => type === 'StepCompleted')
      .map((event) => Date.parse(event.at as string))
    const tenths = Array.from(
      { length: 10 },
      (_, i) => (at[(i + 1) * 1_000 - 1]! - at[Math.max(0, i * 1_000 - 1)]!) / 1_000,
    )
    const perStep = (at.at(-1)! - at[0]!) / (at.length - 1)
    report('10,000 sequential steps: ms a step', `${list([perStep], 3)}`, perStep / limits.commitMs, { atMost: 2 })
    report('  its tenths; last against first', list(tenths, 2), tenths[9]! / tenths[0]!, { atMost: 1.25 })
  })
}

async function throughput(server: BenchServer, limits: Limits) {
  const count = 5_000
  await withWorker(server, async (stet) => {
    await Promise.all(Array.from({ length: 500 }, (_, i) => stet.execute(fiveSteps, i)))
    const rate = await three(async () => {
      const began = performance.now()
      await Promise.all(Array.from({ length: count }, (_, i) => stet.execute(fiveSteps, i)))
      return (count * 5 * 1_000) / (performance.now() - began)
    })
    report(
      '5-step runs, one worker: steps/s',
      `${list([rate.value])} (${list(rate.all)})`,
      rate.value / limits.rowsPerSecond,
      { atLeast: 0.15 },
    )
  })
}

async function fan(server: BenchServer, limits: Limits) {
  await withWorker(server, async (stet) => {
    await stet.execute(fanOut, 500)
    for (const count of [1_000, 10_000]) {
      const rate = await three(async () => {
        const run = await stet.start(fanOut, count)
        await run.result()
        const history = await run.history()
        const took = Date.parse(history.at(-1)!.at as string) - Date.parse(history[0]!.at as string)
        return (count * 1_000) / took
      })
      const goal = count === 10_000 ? { atLeast: 0.15 } : undefined
      report(
        `fan-out of ${count.toLocaleString('en')}: steps/s`,
        `${list([rate.value])} (${list(rate.all)})`,
        rate.value / limits.rowsPerSecond,
        goal,
      )
    }
  })
}

async function idleLatency(server: BenchServer, limits: Limits) {
  await withWorker(server, async (stet) => {
    for (let i = 0; i < 100; i++) await stet.execute(oneStep)
    const rounds: number[][] = []
    for (let round = 0; round < 3; round++) {
      const times: number[] = []
      for (let i = 0; i < 200; i++) {
        const began = performance.now()
        await stet.execute(oneStep)
        times.push(performance.now() - began)
      }
      rounds.push(times)
    }
    const p50 = rounds.map((times) => percentile(times, 0.5))
    const p95 = rounds.map((times) => percentile(times, 0.95))
    report(
      'start to result, idle worker: p50 ms',
      `${list([median(p50)], 2)} (${list(p50, 2)})`,
      median(p50) / limits.commitMs,
      { atMost: 5 },
    )
    report(
      'start to result, idle worker: p95 ms',
      `${list([median(p95)], 2)} (${list(p95, 2)})`,
      median(p95) / limits.commitMs,
      { atMost: 10 },
    )
  })
}

async function replaySpeed() {
  installRuntime()
  const count = 9_998
  const at = Date.now()
  const event = (seq: number, fields: Partial<RecordedEvent>): RecordedEvent => ({
    seq,
    type: 'StepCompleted',
    op: null,
    name: null,
    payload: null,
    facts: null,
    at: at + seq,
    ...fields,
  })
  const events = [
    event(1, { type: 'RunStarted', op: 0, payload: encode(count, 'input') }),
    ...Array.from({ length: count }, (_, i) =>
      event(i + 2, { op: i + 1, name: 'next', payload: encode({ i, filler: 'x'.repeat(100) }, 'result') }),
    ),
    event(count + 2, { type: 'RunCompleted', payload: encode(count, 'output') }),
  ]
  const def = definition(sequence)!
  const once = async () => {
    const began = performance.now()
    const { outcome } = await replay(
      def,
      { id: 'r', runId: 'r', workflow: def.name, version: 1, queue: 'default' },
      events,
    )
    if (outcome?.type !== 'completed') throw new Error('the replay did not complete')
    return (events.length * 1_000) / (performance.now() - began)
  }
  // A replayer that serves many histories is warm; a cold one is two to three times slower at first.
  for (let i = 0; i < 5; i++) await once()
  const rate = await three(once)
  report('replay of 10,000 events: events/s', `${list([rate.value])} (${list(rate.all)})`, rate.value / 100_000, {
    atLeast: 1,
  })
}

/**
 * A worker as users have it: of the command line, with TypeScript. On a server of its own that writes every statement
 * into its log, which is then counted, over a whole period of what a worker looks after once a minute.
 */
async function idle() {
  const server = await benchServer({ log_statement: 'all' })
  try {
    const url = await server.database()
    const stet = new Stet({ url })
    await stet.migrate()
    await stet.close()
    const path = (relative: string) => fileURLToPath(new URL(relative, import.meta.url))
    const args = [path('../dist/cli/main.js'), 'worker', path('./workflows.ts'), '-d', url]
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'ignore', 'pipe'] })
    await started(child)
    await pause(5_000)
    const before = server.statements()
    await pause(60_000)
    const perSecond = (server.statements() - before) / 60
    const mb = Number(execFileSync('ps', ['-o', 'rss=', '-p', String(child.pid)], { encoding: 'utf8' })) / 1_000
    report('idle worker: statements/s', perSecond.toFixed(2), perSecond, { atMost: 0.5 })
    report('idle worker: memory MB', mb.toFixed(0), mb, { atMost: 90 })
    await stopWorker(child)
  } finally {
    await server.stop()
  }
}

async function recovery(server: BenchServer) {
  const url = await server.database()
  const stet = new Stet({ url })
  await stet.migrate()
  let [victim, heir] = [await startWorker(url), await startWorker(url)]
  const client = new pg.Client(url)
  await client.connect()
  const gaps: number[] = []
  for (let round = 0; round < 7; round++) {
    const run = await stet.start(steady, 100)
    const owner = async () =>
      (
        await client.query(
          'SELECT w.pid FROM stet_store.runs r JOIN stet_store.workers w ON w.id = r.owner WHERE r.run_id = $1',
          [run.runId],
        )
      ).rows[0]?.pid
    let pid = await owner()
    while (pid === undefined) {
      await pause(20)
      pid = await owner()
    }
    await pause(500)
    if (pid !== victim.pid) [victim, heir] = [heir, victim]
    const ended = new Promise((resolve) => victim.once('exit', resolve))
    victim.kill('SIGKILL')
    await ended
    await run.result()
    const at = (await run.history())
      .filter(({ type }) => type === 'StepCompleted')
      .map((event) => Date.parse(event.at as string))
    gaps.push(Math.max(...at.slice(1).map((time, i) => time - at[i]!)))
    victim = await startWorker(url)
  }
  await client.end()
  await Promise.all([stopWorker(victim), stopWorker(heir)])
  await stet.close()
  report(
    'next step after SIGKILL of the worker: p50 ms',
    `${list([median(gaps)])} (${list(gaps)})`,
    median(gaps) / 1_000,
    { atMost: 1 },
  )
}

const server = await benchServer()
try {
  const url = await server.database()
  const limits = await measureLimits(url)
  heading()
  report('limit: commit of one row, p50 ms', limits.commitMs.toFixed(3))
  report('limit: 100-row inserts, rows/s', limits.rowsPerSecond.toFixed(0))
  if (runs('latency')) await latency(server, limits)
  if (runs('sequence')) await longSequence(server, limits)
  if (runs('throughput')) await throughput(server, limits)
  if (runs('fan')) await fan(server, limits)
  if (runs('idle-latency')) await idleLatency(server, limits)
  if (runs('replay')) await replaySpeed()
  if (runs('debug')) await withWorker(server, (stet, url) => longReplay(stet, url).then(() => checkSpeed(stet, url)))
  if (runs('idle')) await idle()
  if (runs('recovery')) await recovery(server)
  // Takes minutes, and says nothing of how fast runs go: only when it is named.
  if (wanted.includes('million')) await million(server)
  if (wanted.includes('flow')) await flow(server, startWorker)
  if (wanted.includes('retention')) await retention(server)
  const after = await measureLimits(url)
  report('limit again: commit ms; rows/s', `${after.commitMs.toFixed(3)}; ${after.rowsPerSecond.toFixed(0)}`)
  summary()
} finally {
  await server.stop()
}
