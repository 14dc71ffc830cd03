import type { Command } from 'commander'
import { TimeoutFailure } from '../core/errors.js'
import { newId } from '../core/ids.js'
import type { Duration } from '../core/types.js'
import { withRun } from './lib/actions.js'
import { connect } from './lib/connect.js'
import { asDuration, asName, type CommonOptions, examples, readJson } from './lib/options.js'
import { clean, outJson, paintTalk, plain, say } from './lib/term.js'

export function define(command: Command): void {
  withRun(command)
    .argument('<name>', 'name of the update', asName)
    .argument('[argument]', 'JSON, @file, or - for standard input')
    .option('--message-id <id>', 'the same message id is accepted once by a run, and has one answer', asName)
    .option('--timeout <duration>', 'how long to wait for the answer (default: until there is one)', asDuration)
    .action(run)
  examples(
    command,
    `stet update account-7 withdraw '{"amount":5}'`,
    `stet update account-7 withdraw '{"amount":5}' --message-id w-1 --timeout 30s`,
  )
}

/** The answer alone is printed, as JSON in both formats. */
async function run(
  ref: string,
  name: string,
  argument: string | undefined,
  options: CommonOptions & { messageId?: string; timeout?: Duration },
): Promise<void> {
  const value = readJson(argument, 'argument')
  const { messageId = newId('msg'), timeout } = options
  await using connection = await connect(options)
  try {
    const handle = connection.stet.run(ref)
    outJson(plain(await handle.update(name, value, { messageId, ...(timeout === undefined ? {} : { timeout }) })))
  } catch (error) {
    // It may have been done by now: sent again under another id, it would be done twice.
    if (error instanceof TimeoutFailure) say(paintTalk('dim', `its message id: --message-id ${clean(messageId)}`))
    throw error
  }
}
