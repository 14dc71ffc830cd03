import type { Command } from 'commander'
import { type Reason, whyInFile } from '../client/why.js'
import { withRun } from './lib/actions.js'
import { connect } from './lib/connect.js'
import { readHistoryFile } from './lib/history.js'
import { type CommonOptions, type DatabaseOptions, examples, isJson } from './lib/options.js'
import { clean, out, outJson, paint } from './lib/term.js'

export function define(command: Command): void {
  withRun(command).action(run)
  command.addHelpText(
    'after',
    '\nOne sentence: the first true reason why the run is where it is; with --json its code and its evidence too.\n<run> may also be a file that `stet export` wrote: then it is said where the run stood at the end of the file.',
  )
  examples(command, 'stet why order-42', 'stet why order-42 --json', 'stet why order-42.json')
}

async function run(target: string, options: CommonOptions): Promise<void> {
  const reason = await reasonOf(target, options)
  if (isJson(options)) outJson(reason)
  else out(`${paint('bold', clean(String(reason.evidence.id)))}: ${clean(reason.message)}`)
}

async function reasonOf(target: string, options: DatabaseOptions): Promise<Reason> {
  const file = readHistoryFile(target)
  if (file !== null) return whyInFile(file.run, file.events)
  await using connection = await connect(options)
  return (await connection.stet.run(target).why()) as Reason
}
