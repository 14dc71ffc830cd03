import type { Command } from 'commander'
import { act } from './lib/actions.js'
import { doMany, filterInPlace, type ManyOptions, manyHelp, withRunOrFilter } from './lib/many.js'
import { examples } from './lib/options.js'

export function define(command: Command): void {
  withRunOrFilter(command).option('-r, --reason <text>', 'why; the run is told').action(run)
  command.addHelpText('after', manyHelp)
  examples(
    command,
    'stet cancel order-42 --reason "ordered twice"',
    'stet cancel --workflow order --since 2h --dry-run',
    'stet cancel --workflow order --since 2h --yes --reason recalled',
  )
}

async function run(ref: string | undefined, options: ManyOptions & { reason?: string }): Promise<void> {
  const filter = filterInPlace(ref, options)
  const { reason } = options
  if (filter !== null) return doMany('cancel', filter, options, reason === undefined ? {} : { reason })
  await act(ref!, options, (handle) => handle.cancel(reason), 'cancel requested')
}
