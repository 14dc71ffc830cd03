import { relative } from 'node:path'
import type { Command } from 'commander'
import { type ServedDashboard, serveDashboard } from '../server/index.js'
import { readSettings } from '../settings.js'
import type { Stet } from '../stet.js'
import { stopEmbedded } from '../store/embedded/index.js'
import { type Child, forkWorker } from './lib/child.js'
import { readConfig } from './lib/config-file.js'
import { connect } from './lib/connect.js'
import { addToList, asCount, asPort, type DatabaseOptions, examples, withDatabase, withFiles } from './lib/options.js'
import { stopSignal } from './lib/signals.js'
import { clean, cleanLines, paintTalk, say } from './lib/term.js'
import { watchSources } from './lib/watch.js'
import type { WorkerSpec } from './lib/worker-process.js'
import { findFiles } from './lib/workflow-files.js'

interface Options extends DatabaseOptions {
  workflows?: string[]
  queues?: string[]
  concurrency?: number
  verify: boolean
  dashboard: boolean
  port?: number
}

/** Editors write a file in several steps. */
const debounceMs = 60

/** While code is edited nobody wants to wait for long steps: they run again in the next worker. */
const drainMs = 1_000

export function define(command: Command): void {
  command.argument('[files...]', 'files with workflows, and *.dag.json with the files of their tasks')
  withDatabase(withFiles(command))
    .option(
      '-q, --queues <names>',
      'queues to listen on, with commas between them (default: those of the workflows)',
      addToList,
    )
    .option('-j, --concurrency <n>', 'runs in memory and step bodies at once, at most', asCount)
    .option('--no-verify', 'do not replay each run when it parks or closes')
    .option('-p, --port <n>', 'port of the dashboard (4400, or the next that is free)', asPort)
    .option('--no-dashboard', 'without the dashboard')
    .action(run)
  examples(command, 'stet dev', 'stet dev workflows/order.ts')
  command.addHelpText(
    'after',
    '\nThe worker is started again when a source file of the project changes. The dashboard shows its runs live; it listens\non this machine alone. Ctrl-C ends the worker, and the embedded\nPostgres if this command started it; its data stay.',
  )
}

async function run(files: string[], options: Options): Promise<void> {
  let child: Child | null = null
  const stop = stopSignal(() => child?.kill())
  const given = [...files, ...(options.workflows ?? [])]
  const patterns = given.length === 0 ? null : given
  const found = await findFiles(patterns ?? undefined)
  const { config = {} } = (await readConfig()) ?? {}
  const connection = await connect(options, { poolSize: 3 })
  const { database } = connection
  const { projectDir } = readSettings().embedded
  say(`${paintTalk('bold', 'stet dev')}  ${found.map((file) => relative('.', file)).join(', ')}`)
  say(paintTalk('dim', `watching ${projectDir}`))
  const served = options.dashboard ? await serve(connection.stet, options.port) : null
  if (served !== null) say(`${paintTalk('bold', 'dashboard')} ${served.url}`)
  const spec: WorkerSpec = {
    url: database.url,
    schema: database.schema,
    patterns,
    queues: options.queues ?? config.queues ?? null,
    concurrency: options.concurrency ?? config.concurrency ?? null,
    once: false,
    verify: options.verify,
    pretty: process.stderr.isTTY === true,
    drainMs,
  }

  let told = false
  const tellWhatNext = ([name]: string[]) => {
    if (told) return
    told = true
    say(paintTalk('dim', 'try in another terminal:'))
    for (const line of [`start ${quoted(name!)} --input '<json>' --wait`, 'list', 'show <id>', 'replay <id>']) {
      say(paintTalk('dim', `  npx stet ${line}`))
    }
  }
  let reload = () => {}
  let changes = 0
  const unwatch = watchSources(projectDir, debounceMs, (file) => {
    changes++
    say(paintTalk('cyan', `${relative('.', file)} changed: reloading`))
    reload()
  })
  const stopped = new Promise<void>((resolve) => {
    stop.addEventListener('abort', () => resolve(), { once: true })
    if (stop.aborted) resolve()
  })
  while (!stop.aborted) {
    const seen = changes
    const changed = new Promise<void>((resolve) => {
      reload = resolve
    })
    const mine = forkWorker(spec, tellWhatNext)
    child = mine
    await Promise.race([stopped, changed, mine.exited])
    mine.drain()
    await mine.exited
    child = null
    if (stop.aborted || changes > seen) continue
    say(paintTalk('yellow', 'the worker ended; it starts again when a file changes'))
    await Promise.race([stopped, changed])
  }
  unwatch()
  await served?.close()
  await connection[Symbol.asyncDispose]()
  if (database.embedded && database.started) await stopEmbedded(readSettings().embedded)
}

/** On a port that was asked for, or the first that is free; null: it cannot, which is said and stops nothing else. */
async function serve(stet: Stet, port: number | undefined): Promise<ServedDashboard | null> {
  const onError = (error: unknown) => say(paintTalk('red', cleanLines(String((error as Error)?.stack ?? error))))
  try {
    return await serveDashboard(stet, { onError, ...(port === undefined ? { nearby: true } : { port }) })
  } catch (error) {
    if (port !== undefined) throw error
    say(paintTalk('yellow', `no dashboard: ${cleanLines((error as Error).message)}`))
    return null
  }
}

/** As a shell takes it. */
function quoted(name: string): string {
  return /^[\w@./-]+$/.test(name) ? name : `'${clean(name).replaceAll("'", "'\\''")}'`
}
