import { writeFileSync } from 'node:fs'
import type { Command } from 'commander'
import { describeRow } from '../client/describe.js'
import { RunNotFoundError } from '../core/errors.js'
import { toHistoryFile } from '../core/history-file.js'
import { withRun } from './lib/actions.js'
import { connect } from './lib/connect.js'
import { type DatabaseOptions, examples } from './lib/options.js'
import { jsonText, out, say } from './lib/term.js'

export function define(command: Command): void {
  withRun(command).option('-f, --file <path>', 'write it there instead of to stdout').action(run)
  examples(command, 'stet export order-42 -f order-42.json', 'stet replay order-42.json')
}

async function run(ref: string, options: DatabaseOptions & { file?: string }): Promise<void> {
  await using connection = await connect(options)
  const { store } = connection
  const row = await store.find(ref)
  if (row === null) throw new RunNotFoundError(ref)
  const file = toHistoryFile(describeRow(row), await store.history(row.runId))
  const text = jsonText(file, 2)
  if (options.file === undefined) out(text)
  else {
    writeFileSync(options.file, `${text}\n`)
    say(`wrote ${file.events.length} events to ${options.file}`)
  }
}
