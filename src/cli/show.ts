import type { Command } from 'commander'
import type { Store } from '../store/port.js'
import { withRun } from './lib/actions.js'
import { connect } from './lib/connect.js'
import { exit } from './lib/errors.js'
import { type DatabaseOptions, examples, isJson, type OutputOptions } from './lib/options.js'
import {
  eventCells,
  graphText,
  headerText,
  historyJson,
  historyText,
  type RunView,
  readRun,
  stepsText,
  viewJson,
} from './lib/run-view.js'
import { out, outJson, paint, table } from './lib/term.js'

interface Options extends DatabaseOptions, OutputOptions {
  history?: true
  watch?: true
}

/** How often a watched run is looked at, ms. */
const lookMs = 300

export function define(command: Command): void {
  withRun(command)
    .option('--history', 'its events too')
    .option('--watch', 'follow it until it is closed; exit code 1 unless it completed')
    .action(run)
  examples(command, 'stet show order-42', 'stet show order-42 --watch', 'stet show order-42 --history --json')
}

async function run(ref: string, options: Options): Promise<void> {
  await using connection = await connect(options)
  const { store } = connection
  let view = await readRun(store, ref)
  if (options.watch === true) {
    view = await watch(store, view, options)
    if (view.row.status !== 'completed') process.exitCode = exit.failed
    if (process.stdout.isTTY && !isJson(options)) return
  }
  if (isJson(options)) outJson({ ...viewJson(view), ...(options.history ? { history: historyJson(view.events) } : {}) })
  else out(pageOf(view, options))
}

function pageOf(view: RunView, { history }: Options): string {
  const parts = [headerText(view), '', paint('bold', 'steps'), stepsText(view.steps), '', paint('bold', 'graph')]
  parts.push(graphText(view.graph))
  if (history) parts.push('', paint('bold', 'history'), historyText(view.events))
  return parts.join('\n')
}

/** On a terminal the page is drawn again in its place; elsewhere each new event is a line. JSON comes at the end alone. */
async function watch(store: Store, first: RunView, options: Options): Promise<RunView> {
  let view = first
  let told = 0
  for (;;) {
    if (!isJson(options)) {
      if (process.stdout.isTTY) process.stdout.write(`\u001b[H\u001b[J${pageOf(view, options)}\n`)
      else for (const event of view.events.slice(told)) out(table([eventCells(event)]))
      told = view.events.length
    }
    if (view.row.closedAt !== null) return view
    await new Promise((resolve) => setTimeout(resolve, lookMs))
    view = await readRun(store, view.row.runId)
  }
}
