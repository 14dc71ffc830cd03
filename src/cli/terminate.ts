import type { Command } from 'commander'
import { act } from './lib/actions.js'
import { doMany, filterInPlace, type ManyOptions, manyHelp, withRunOrFilter } from './lib/many.js'
import { examples } from './lib/options.js'

export function define(command: Command): void {
  withRunOrFilter(command).option('-r, --reason <text>', 'why; it is recorded').action(run)
  command.addHelpText('after', manyHelp)
  examples(
    command,
    'stet terminate order-42 --reason "never to be finished"',
    'stet terminate --status blocked --workflow order --yes --wait',
  )
}

async function run(ref: string | undefined, options: ManyOptions & { reason?: string }): Promise<void> {
  const filter = filterInPlace(ref, options)
  const { reason } = options
  if (filter !== null) return doMany('terminate', filter, options, reason === undefined ? {} : { reason })
  await act(ref!, options, (handle) => handle.terminate(reason), 'terminated')
}
