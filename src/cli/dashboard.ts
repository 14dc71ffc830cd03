import type { Command } from 'commander'
import { parseTokens } from '../server/access.js'
import { type ServeOptions, serveDashboard } from '../server/index.js'
import { checkServing } from '../server/listen.js'
import { watchAlerts } from './lib/alerts.js'
import { connect } from './lib/connect.js'
import { createWorkerLog } from './lib/log.js'
import { addToList, asPort, type DatabaseOptions, examples, withDatabase } from './lib/options.js'
import { stopSignal } from './lib/signals.js'
import { cleanLines, out, paintTalk, say } from './lib/term.js'

interface Options extends DatabaseOptions {
  port?: number
  host?: string
  hosts?: string[]
  token?: string[]
}

export function define(command: Command): void {
  command
    .option('-p, --port <n>', 'port (4400; 0: any that is free)', asPort)
    .option('--host <address>', "address to listen on (127.0.0.1); another than this machine's own needs a token")
    .option(
      '--hosts <names>',
      'names under which it is reached beside its addresses, with commas between them',
      addToList,
    )
    .option(
      '--token <token>',
      'who may come: a token of 16 characters or more, or role:token (view, operate, admin; admin unless given); may be repeated (default: STET_DASHBOARD_TOKEN)',
      addToList,
    )
    .action(run)
  withDatabase(command)
  examples(
    command,
    'stet dashboard',
    'STET_DASHBOARD_TOKEN=$(openssl rand -hex 24) stet dashboard --host 0.0.0.0 -p 8080',
  )
  command.addHelpText(
    'after',
    '\nWithout a token it listens on this machine alone, and whoever is on this machine may operate. What it serves is\ndescribed at /openapi.json. Ctrl-C ends it. A token on the command line can be seen by others on this machine: the\nvariable cannot.',
  )
}

async function run({ port, host, hosts, token, ...options }: Options): Promise<void> {
  const stop = stopSignal()
  const serving: ServeOptions = {
    ...(port === undefined ? {} : { port }),
    ...(host === undefined ? {} : { host }),
    ...(hosts === undefined ? {} : { hosts }),
    ...(token === undefined ? {} : { tokens: parseTokens(token.join(','), '--token') }),
    onError: (error) => say(paintTalk('red', cleanLines(String((error as Error)?.stack ?? error)))),
  }
  // Told before a database is looked for.
  checkServing(serving)
  await using connection = await connect(options, { poolSize: 5 })
  await using served = await serveDashboard(connection.stet, serving)
  out(served.url)
  say(paintTalk('dim', 'the dashboard is there (Ctrl-C ends it)'))
  const alerts = await watchAlerts(connection.store, createWorkerLog(process.stderr.isTTY === true))
  if (!stop.aborted)
    await new Promise<void>((resolve) => stop.addEventListener('abort', () => resolve(), { once: true }))
  await alerts?.stop()
}
