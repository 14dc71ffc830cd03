import type { Command } from 'commander'
import { retryRun } from '../client/forks.js'
import { RunNotFoundError } from '../core/errors.js'
import { type ActionOptions, withRun } from './lib/actions.js'
import { connect } from './lib/connect.js'
import { tellForked } from './lib/forked.js'
import { examples, isJson } from './lib/options.js'

export function define(command: Command): void {
  withRun(command).action(run)
  command.addHelpText(
    'after',
    '\nA new run under the same id takes over what the failed one had done, and does anew what it failed at: a fork at\nlast-failure. Steps that run anew have idempotency keys of their own.',
  )
  examples(command, 'stet retry order-42', 'stet fork --status failed --workflow order --at last-failure')
}

async function run(ref: string, options: ActionOptions): Promise<void> {
  await using connection = await connect(options)
  const { store, hints } = await connection.stet.internals()
  const row = await store.find(ref)
  if (row === null) throw new RunNotFoundError(ref)
  tellForked(await retryRun({ store, hints }, row), row, isJson(options))
}
