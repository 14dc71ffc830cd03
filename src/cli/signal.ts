import type { Command } from 'commander'
import { act, withRun } from './lib/actions.js'
import { asName, type CommonOptions, examples, readJson } from './lib/options.js'

export function define(command: Command): void {
  withRun(command)
    .argument('<name>', 'name of the signal', asName)
    .argument('[message]', 'JSON, @file, or - for standard input')
    .option('--message-id <id>', 'the same message id is accepted once by a run', asName)
    .action(run)
  examples(command, `stet signal order-42 approved '{"by":"ann"}'`)
}

async function run(
  ref: string,
  name: string,
  message: string | undefined,
  options: CommonOptions & { messageId?: string },
): Promise<void> {
  const value = readJson(message, 'message')
  const { messageId } = options
  await act(
    ref,
    options,
    (handle) => handle.signal(name, value, messageId === undefined ? {} : { messageId }),
    'signal sent',
  )
}
