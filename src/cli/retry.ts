import type { Command } from 'commander'
import { retryRun } from '../client/forks.js'
import { RunNotFoundError } from '../core/errors.js'
import { connect } from './lib/connect.js'
import { tellForked } from './lib/forked.js'
import { doMany, filterInPlace, type ManyOptions, manyHelp, withRunOrFilter } from './lib/many.js'
import { examples, isJson } from './lib/options.js'

export function define(command: Command): void {
  withRunOrFilter(command).action(run)
  command.addHelpText(
    'after',
    '\nA new run under the same id takes over what the failed one had done, and does anew what it failed at: a fork at\nlast-failure. Steps that run anew have idempotency keys of their own.' +
      `\n${manyHelp}`,
  )
  examples(command, 'stet retry order-42', 'stet retry --status failed --workflow order --since 2h --yes --wait')
}

async function run(given: string | undefined, options: ManyOptions): Promise<void> {
  const filter = filterInPlace(given, options)
  if (filter !== null) return doMany('retry', filter, options)
  const ref = given!
  await using connection = await connect(options)
  const { store, hints } = await connection.stet.internals()
  const row = await store.find(ref)
  if (row === null) throw new RunNotFoundError(ref)
  tellForked(await retryRun({ store, hints }, row), row, isJson(options))
}
