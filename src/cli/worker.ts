import type { Command } from 'commander'
import { durationMs } from '../core/duration.js'
import type { Duration } from '../core/types.js'
import { readConfig } from './lib/config-file.js'
import { findDatabase } from './lib/connect.js'
import { UsageError } from './lib/errors.js'
import { createWorkerLog } from './lib/log.js'
import {
  addToList,
  asCount,
  asDuration,
  asPort,
  type DatabaseOptions,
  examples,
  withDatabase,
  withFiles,
} from './lib/options.js'
import { stopSignal } from './lib/signals.js'
import { supervise } from './lib/supervise.js'
import { runWorker, type WorkerSpec } from './lib/worker-process.js'
import { findFiles } from './lib/workflow-files.js'

interface Options extends DatabaseOptions {
  workflows?: string[]
  queues?: string[]
  concurrency?: number
  once?: true
  processes?: number
  drain?: Duration
  metricsPort?: number
  metricsHost?: string
}

export function define(command: Command): void {
  command.argument('[files...]', 'files with workflows, and *.dag.json with the files of their tasks')
  withDatabase(withFiles(command))
    .option(
      '-q, --queues <names>',
      'queues to listen on, with commas between them (default: those of the workflows)',
      addToList,
    )
    .option('-j, --concurrency <n>', 'runs in memory and step bodies at once, at most', asCount)
    .option('--once', 'end when nothing is ready or due')
    .option('--processes <n>', 'so many worker processes, started again when they die', asCount)
    .option('--drain <duration>', 'how long running steps may go on after SIGTERM', asDuration, '30s')
    .option('--metrics-port <n>', 'serve metrics for Prometheus on this port, at /metrics', asPort)
    .option('--metrics-host <address>', 'on this address (default: 127.0.0.1, this machine alone)')
    .action(run)
  examples(
    command,
    'stet worker workflows/order.ts',
    "stet worker 'src/**/*.workflow.ts' -q default,mail -j 50",
    'stet worker order.dag.json tasks.ts --once',
    'stet worker --metrics-port 9464',
  )
  command.addHelpText(
    'after',
    '\nSIGTERM and SIGINT drain: running steps may finish, other runs go back; the exit code is 0 then.',
  )
}

async function run(files: string[], options: Options): Promise<void> {
  const metrics = metricsOf(options)
  const stop = stopSignal()
  const given = [...files, ...(options.workflows ?? [])]
  const patterns = given.length === 0 ? null : given
  // Told before a database is looked for: no database makes up for a wrong path.
  await findFiles(patterns ?? undefined)
  const { config = {} } = (await readConfig()) ?? {}
  const { url, schema } = await findDatabase(options)
  const spec: WorkerSpec = {
    url,
    schema,
    patterns,
    queues: options.queues ?? config.queues ?? null,
    concurrency: options.concurrency ?? config.concurrency ?? null,
    once: options.once === true,
    verify: false,
    pretty: process.stderr.isTTY === true,
    drainMs: durationMs(options.drain ?? '30s', '--drain'),
    ...(metrics === undefined ? {} : { metrics }),
  }
  if ((options.processes ?? 1) === 1) await runWorker(spec, stop)
  else
    process.exitCode = await supervise(
      spec,
      options.processes!,
      stop,
      createWorkerLog(spec.pretty, { pid: process.pid }),
    )
}

function metricsOf({ metricsPort, metricsHost, processes = 1 }: Options): WorkerSpec['metrics'] {
  if (metricsPort === undefined) {
    if (metricsHost !== undefined) throw new UsageError('--metrics-host: expected --metrics-port beside it, got none.')
    return undefined
  }
  // Each process counts what it does itself.
  if (processes > 1) {
    throw new UsageError(
      '--metrics-port: expected one process, for each has metrics of its own, got --processes. Start the workers one by one, each with a port.',
    )
  }
  return { host: metricsHost ?? '127.0.0.1', port: metricsPort }
}
