import inspector from 'node:inspector'
import type { Command } from 'commander'
import { exit, UsageError } from './lib/errors.js'
import type { FoundHistory } from './lib/history.js'
import {
  asName,
  type DatabaseOptions,
  examples,
  isJson,
  type OutputOptions,
  withDatabase,
  withFiles,
  withOutput,
} from './lib/options.js'
import { quietly } from './lib/quiet.js'
import { keepLast, readLast } from './lib/replay/last.js'
import { startReplayer } from './lib/replay/replayer.js'
import type { ReplayResult } from './lib/replay/text.js'
import { out, say } from './lib/term.js'

interface Options extends DatabaseOptions, OutputOptions {
  workflows?: string[]
  inspect?: true | string
  break?: string[]
  at?: string
  live?: string[]
  locals?: boolean
}

/** Reading variables at each line takes a few ms an event: of long histories only when asked for. */
const watchedEvents = 500

export function define(command: Command): void {
  withFiles(withDatabase(withOutput(command)))
    .argument('[run]', 'id (its latest run), run id, or a file that `stet export` wrote; default: the last one', asName)
    .option('--at <where>', 'begin at an event (12), a step (charge), or "failure"; in a terminal')
    .option('--inspect [port]', 'wait for a debugger (VS Code, Chrome) and replay under it')
    .option('--break <where...>', 'with --inspect: stop where the code goes on after an event (17), or asks for a step')
    .option('--live <step...>', 'really run the bodies of these steps, and compare with what is on record')
    .option('--locals', `read variables also when the history has more than ${watchedEvents} events`)
    .action(run)
  command.addHelpText(
    'after',
    '\nIn a terminal the replay is stepped through: forwards, backwards, with the variables of each function.\nElsewhere, and with --json, all of it is printed. No step runs (but those of --live) and nothing is written;\nof a file no database is needed.\nExit code 4: the code does not fit the history, or awaits something that is not recorded.',
  )
  examples(
    command,
    'stet replay order-42',
    'stet replay order-42.json -w workflows/order.ts',
    'stet replay order-42 --inspect --break step:charge',
    'stet replay order-42 --live "charge payment"',
  )
}

/** A debugger is attached already, or will be: VS Code does that to processes that it starts. */
const isInspected = () => inspector.url() !== undefined

// What is loaded by need: the process that has the code is to begin before all else.
async function run(target: string | undefined, options: Options): Promise<void> {
  const asked = target === undefined ? readLast() : { target, ...only('workflows', options.workflows) }
  if (asked === null) throw new UsageError('which run? Nothing was replayed in this project before.')
  if (target === undefined) say(`again: ${asked.target}`)
  const workflows = options.workflows ?? asked.workflows
  if (options.break !== undefined && options.inspect === undefined && !isInspected()) {
    throw new UsageError('--break stops a debugger: use it with --inspect. In a terminal, --at goes to a place.')
  }
  const live = options.live ?? []
  const json = isJson(options)
  const debugged = options.inspect !== undefined || isInspected()
  const inTerminal = !json && !debugged && process.stdin.isTTY === true && process.stdout.isTTY === true
  await using replayer = inTerminal ? startReplayer(workflows) : null
  const { readHistory } = await import('./lib/history.js')
  const history = await readHistory(asked.target, options)
  keepLast({ target: asked.target, ...only('workflows', workflows) })
  if (replayer !== null) {
    const { stepThrough } = await import('./lib/replay/terminal.js')
    const spec = { history, workflows, live }
    const fits = await stepThrough(spec, await replayer.open(spec), startOf(options.at))
    if (!fits) process.exitCode = exit.nondeterminism
    return
  }
  const [{ headerText, reportJson, traceText, verdictText }, { liveText }] = await Promise.all([
    import('./lib/replay/text.js'),
    import('./lib/replay/screen.js'),
  ])
  const result = debugged
    ? await underDebugger(history, workflows, options)
    : await quietly(() => trace(history, workflows, options))
  if (result.whole.blockage !== null) process.exitCode = exit.nondeterminism
  if (json) return reportJson(history, result)
  out(headerText(history, result.code))
  out(traceText(result))
  for (const line of liveText(result.whole)) out(line)
  out(verdictText(result.whole, history.events))
}

async function underDebugger(
  history: FoundHistory,
  workflows: readonly string[] | undefined,
  { inspect, break: breaks = [], live = [] }: Options,
): Promise<ReplayResult> {
  const { inspectReplay } = await import('./lib/replay/inspect.js')
  return inspectReplay(history, workflows, { port: portOf(inspect), attached: isInspected(), breaks, live })
}

async function trace(
  history: FoundHistory,
  workflows: readonly string[] | undefined,
  { live = [], locals = false }: Options,
): Promise<ReplayResult> {
  const [{ TimeMachine }, { findCode }] = await Promise.all([
    import('../debug/timeline.js'),
    import('./lib/find-code.js'),
  ])
  const code = await findCode(history.run, workflows)
  const machine = new TimeMachine(code.definition, code.identity, history.events, { live })
  try {
    const whole = await machine.timeline()
    const watch = locals || history.events.length <= watchedEvents
    return { code, whole, watched: watch ? await machine.trace() : null }
  } finally {
    machine.close()
  }
}

/** As the terminal takes it. */
function startOf(at: string | undefined): string | undefined {
  if (at === undefined) return undefined
  if (/^\d+$/.test(at)) return `g ${at}`
  return /^(last-)?failure$/.test(at) ? 'f' : `s ${at.replace(/^step:/, '')}`
}

function portOf(inspect: true | string | undefined): number | true {
  if (inspect === undefined || inspect === true) return true
  const port = Number(inspect)
  if (!Number.isInteger(port) || port < 0 || port > 65_535) {
    throw new UsageError(`--inspect: expected a port from 0 to 65535, got ${inspect}. It listens on 127.0.0.1 alone.`)
  }
  return port
}

function only<K extends string, V>(key: K, value: V | undefined): Partial<Record<K, V>> {
  return value === undefined ? {} : ({ [key]: value } as Record<K, V>)
}
