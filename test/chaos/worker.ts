/**
 * A process to be killed, stopped and starved: `worker.js '{"url":…,"ledger":…,"worker":{…}}' worker|standby|client`.
 * A worker says 'ready'; on standby it says 'loaded' first and begins when it is told to. SIGTERM drains it. A client
 * makes the calls that it is sent, and answers.
 */
import { setTimeout as pause } from 'node:timers/promises'
import { type AnyWorkflow, type Signal, Stet } from 'stet'
import type { Answer, Call, CallOptions } from '../support/harness.js'
import * as workflows from './workflows.js'

const { url, ledger, poolSize, worker: settings, versions, claimers } = JSON.parse(process.argv[2]!)
const mode = process.argv[3]

function connect(): Stet {
  return new Stet({
    url,
    ...(poolSize === undefined ? {} : { poolSize }),
    log: {
      debug() {},
      info() {},
      warn: (message, fields) => void process.stderr.write(`${message} ${JSON.stringify(fields ?? {})}\n`),
      error: (message, fields) => void process.stderr.write(`${message} ${JSON.stringify(fields ?? {})}\n`),
    },
  })
}

async function work(): Promise<void> {
  workflows.openLedger(ledger)
  const stet = connect()
  const { versioned, ...rest } = workflows
  const all = [...Object.values(rest).filter(isWorkflow), ...versions.map(versioned)]
  const workers = Array.from({ length: claimers }, () => stet.worker({ workflows: all, ...settings }))
  process.on('SIGTERM', async () => {
    await Promise.all(workers.map((worker) => worker.stop()))
    await stet.close()
    process.exit(0)
  })
  if (mode === 'standby') {
    process.send!('loaded')
    await new Promise((resolve) => process.once('message', resolve))
  }
  await Promise.all(workers.map((worker) => worker.start()))
}

function isWorkflow(value: unknown): value is AnyWorkflow {
  return typeof value === 'object'
}

/** Several Stet objects, as several clients would have. */
async function serve(): Promise<void> {
  const clients = Array.from({ length: 4 }, connect)
  await Promise.all(clients.map((stet) => stet.list({ limit: 1 })))
  process.on('message', async ({ n, calls, options }: { n: number; calls: Call[]; options: CallOptions }) => {
    const { order = 'atOnce', at = 0, pauseMs = 0, againOn } = options
    await pause(Math.max(0, at - Date.now()))
    const answers: Answer[] = []
    if (order === 'atOnce') {
      answers.push(...(await Promise.all(calls.map((call, i) => answer(clients[i % clients.length]!, call, againOn)))))
    } else {
      for (const call of calls) {
        if (pauseMs > 0) await pause(Math.random() * pauseMs)
        answers.push(await answer(clients[n % clients.length]!, call, againOn))
      }
    }
    process.send!({ n, answers })
  })
}

async function answer(stet: Stet, call: Call, againOn: string | undefined): Promise<Answer> {
  for (let tries = 1; ; tries++) {
    try {
      return { ok: true, value: await make(stet, call), tries }
    } catch (error) {
      const { code, message } = error as Error & { code: string }
      if (againOn === undefined || code !== againOn) return { ok: false, code, message, tries }
    }
  }
}

async function make(stet: Stet, call: Call): Promise<unknown> {
  switch (call[0]) {
    case 'start':
      return (await stet.start(call[1], call[2], call[3] ?? {})).runId
    case 'cancel':
      return stet.run(call[1]).cancel()
    case 'signal':
      return stet.run(call[1]).signal(call[2], call[3], call[4])
    case 'update':
      return stet.run(call[1]).update(call[2], call[3], call[4])
    case 'signalWithStart': {
      const [, name, input, signal, message, options] = call
      const workflow = Object.values(workflows).find((each) => isWorkflow(each) && each.name === name) as AnyWorkflow
      return (await stet.signalWithStart(workflow, input, { name: signal } as Signal<unknown>, message, options)).runId
    }
  }
}

// Its parent is gone, however that went.
process.on('disconnect', () => process.exit(0))
await (mode === 'client' ? serve() : work())
process.send!('ready')
