import { createInterface } from 'node:readline/promises'
import type { Command } from 'commander'
import { readSettings } from '../settings.js'
import { embeddedPaths, embeddedStatus, resetEmbedded, startEmbedded, stopEmbedded } from '../store/embedded/index.js'
import { UsageError } from './lib/errors.js'
import { examples, isJson, type OutputOptions, withOutput } from './lib/options.js'
import { clean, out, outJson, paintTalk, say } from './lib/term.js'

const embedded = () => ({ ...readSettings().embedded, log: (message: string) => say(paintTalk('dim', clean(message))) })

export function define(command: Command): void {
  command.helpCommand(false)
  const add = (name: string, description: string, action: (options: OutputOptions & { yes?: true }) => Promise<void>) =>
    withOutput(command.command(name).description(description)).action(action)
  add('url', 'start it if need be, and print its URL', url)
  add('start', 'start it', start)
  add('stop', 'stop it; the data stay', stop)
  add('reset', 'stop it and delete its data', reset).option('-y, --yes', 'do not ask')
  add('path', 'where its data are', path)
  add('status', 'whether it runs, and where', status)
  examples(command, 'psql "$(stet db url)"', 'stet db reset --yes')
}

async function url(options: OutputOptions): Promise<void> {
  const server = await startEmbedded(embedded())
  if (isJson(options)) outJson({ url: server.url })
  else out(server.url)
}

async function start(options: OutputOptions): Promise<void> {
  const { started, version, port, pid, dataDir } = await startEmbedded(embedded())
  if (isJson(options)) outJson({ started, version, port, pid, dataDir })
  else say(`Postgres ${version} ${started ? 'started' : 'runs already'}: port ${port}, pid ${pid}`)
}

async function stop(options: OutputOptions): Promise<void> {
  const stopped = await stopEmbedded(embedded())
  if (isJson(options)) outJson({ stopped })
  else say(stopped ? 'stopped; the data stay' : 'it was not running')
}

async function reset(options: OutputOptions & { yes?: true }): Promise<void> {
  const { dataDir } = embeddedPaths(embedded())
  if (options.yes !== true) await confirm(`Delete all runs and data in ${dataDir}?`)
  await resetEmbedded(embedded())
  if (isJson(options)) outJson({ deleted: dataDir })
  else say(`deleted ${dataDir}`)
}

async function path(options: OutputOptions): Promise<void> {
  const paths = embeddedPaths(embedded())
  if (isJson(options)) outJson(paths)
  else out(paths.dataDir)
}

async function status(options: OutputOptions): Promise<void> {
  const server = await embeddedStatus(embedded())
  const { dataDir, logFile } = embeddedPaths(embedded())
  if (isJson(options)) {
    const { version, port, pid } = server ?? {}
    outJson({ running: server !== null, ...(server === null ? {} : { version, port, pid }), dataDir, logFile })
    return
  }
  if (server === null) out(`not running; it starts when it is needed, or by: stet db start`)
  else out(`running: Postgres ${server.version}, port ${server.port}, pid ${server.pid}`)
  out(`data ${dataDir}\nlog  ${logFile}`)
}

async function confirm(question: string): Promise<void> {
  if (process.stdin.isTTY !== true) throw new UsageError(`${question} Say so with --yes.`)
  const asking = createInterface({ input: process.stdin, output: process.stderr })
  const answer = await asking.question(`${question} [y/N] `)
  asking.close()
  if (!/^y(es)?$/i.test(answer.trim())) throw new UsageError('nothing was deleted.')
}
