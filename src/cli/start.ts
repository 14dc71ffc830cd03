import { type Command, Option } from 'commander'
import { RunFailedError } from '../core/errors.js'
import type { Attributes, Duration, StartOptions } from '../core/types.js'
import { liveWorkers } from '../store/postgres/diagnostics.js'
import { type Connection, connect } from './lib/connect.js'
import { exit, UsageError } from './lib/errors.js'
import {
  addAttribute,
  asDate,
  asDuration,
  asInteger,
  asName,
  type DatabaseOptions,
  examples,
  isJson,
  type OutputOptions,
  readJson,
  withDatabase,
  withOutput,
} from './lib/options.js'
import { clean, cleanLines, jsonText, out, outJson, paint, paintTalk, plain, say } from './lib/term.js'

interface Options extends DatabaseOptions, OutputOptions {
  input?: string
  id?: string
  queue?: string
  priority?: number
  delay?: Duration
  at?: Date
  timeout?: Duration
  debounce?: string
  debounceWait?: Duration
  debounceMax?: Duration
  attribute?: Attributes
  ifOpen?: NonNullable<StartOptions['ifOpen']>
  ifClosed?: NonNullable<StartOptions['ifClosed']>
  wait?: true
}

export function define(command: Command): void {
  command
    .argument('<workflow>', 'name of the workflow', asName)
    .option('-i, --input <json>', 'input: JSON, @file, or - for standard input')
    .option('--id <id>', 'your name of the run; the same id, workflow and input gives the first run', asName)
    .option('-q, --queue <name>', "queue (default: 'default')", asName)
    .option('--priority <n>', 'higher runs first', asInteger)
    .option('--delay <duration>', "begin not before this long from now ('30s', '2h')", asDuration)
    .option('--at <date>', 'begin not before this time', asDate)
    .option('--debounce <key>', 'starts with this key are one run until it begins, with the last input', asName)
    .option('--debounce-wait <duration>', 'with --debounce: it begins so long after the last start', asDuration)
    .option('--debounce-max <duration>', 'and so long after the first at most', asDuration)
    .option('--timeout <duration>', 'how long the run may take altogether', asDuration)
    .option('-a, --attribute <key=value>', 'search attribute; may be repeated', addAttribute)
    .addOption(
      new Option('--if-open <policy>', 'when an open run has the id').choices(['existing', 'fail', 'terminate']),
    )
    .addOption(
      new Option('--if-closed <policy>', 'when a closed run has the id').choices([
        'existing',
        'new',
        'newIfFailed',
        'fail',
      ]),
    )
    .option('--wait', 'wait for the end and print the result; exit code 1 when the run failed')
    .action(run)
  withDatabase(withOutput(command))
  examples(
    command,
    `stet start order --input '{"sku":"A1","count":2}' --id order-42 --wait`,
    'stet start report --input @report.json --delay 2h',
    `stet start digest --input '{"user":"u-7"}' --debounce u-7 --debounce-wait 30s --debounce-max 5m`,
  )
}

async function run(workflow: string, options: Options): Promise<void> {
  const input = readJson(options.input, '--input')
  const { id, queue, priority, delay, at, timeout, attribute, ifOpen, ifClosed } = options
  const debounce = debounceOf(options)
  await using connection = await connect(options)
  const { stet } = connection
  const handle = await stet.start(workflow, input, {
    ...(id === undefined ? {} : { id }),
    ...(queue === undefined ? {} : { queue }),
    ...(priority === undefined ? {} : { priority }),
    ...(delay === undefined ? {} : { delay }),
    ...(at === undefined ? {} : { startAt: at }),
    ...(timeout === undefined ? {} : { timeout }),
    ...(attribute === undefined ? {} : { attributes: attribute }),
    ...(ifOpen === undefined ? {} : { ifOpen }),
    ...(ifClosed === undefined ? {} : { ifClosed }),
    ...debounce,
  })
  const json = isJson(options)
  // At once, also when the result is waited for: a run whose id nobody knows is hard to find.
  if (!json) out(clean(handle.id))
  await sayIfNobodyCan(workflow, queue ?? 'default', connection)
  if (options.wait !== true) {
    if (json) outJson({ id: handle.id, runId: handle.runId })
    else say(paintTalk('dim', `see it: stet show ${clean(handle.id)}`))
    return
  }
  try {
    const output = plain(await handle.result())
    if (json) outJson({ id: handle.id, runId: handle.runId, status: 'completed', output })
    else out(jsonText(output, 2))
  } catch (error) {
    if (!(error instanceof RunFailedError)) throw error
    const { status } = await handle.describe()
    if (json) outJson({ id: handle.id, runId: handle.runId, status, error: error.cause ?? null })
    else say(`${paint('red', status)}: ${cleanLines(error.message)}`)
    process.exitCode = exit.failed
  }
}

function debounceOf({
  debounce: key,
  debounceWait: wait,
  debounceMax: maxWait,
}: Options): Pick<StartOptions, 'debounce'> {
  if (key === undefined && wait === undefined && maxWait === undefined) return {}
  if (key === undefined || wait === undefined) {
    throw new UsageError('--debounce <key> and --debounce-wait <duration> belong together.')
  }
  return { debounce: { key, wait, ...(maxWait === undefined ? {} : { maxWait }) } }
}

/** A run that nobody can take waits in silence: a wrong name is told. */
async function sayIfNobodyCan(workflow: string, queue: string, { store }: Connection): Promise<void> {
  const workers = await liveWorkers(store.db)
  const names = new Set(workers.flatMap(({ workflows }) => workflows.map(({ name }) => name)))
  if (workers.some((each) => each.queues.includes(queue) && each.workflows.some(({ name }) => name === workflow)))
    return
  const known =
    names.size === 0 ? 'no worker is running' : `the running workers have ${[...names].sort().map(clean).join(', ')}`
  say(
    paintTalk(
      'yellow',
      `no worker takes "${clean(workflow)}" from queue "${clean(queue)}" now (${known}); the run waits for one: stet worker`,
    ),
  )
}
