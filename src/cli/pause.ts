import type { Command } from 'commander'
import { act } from './lib/actions.js'
import { doMany, filterInPlace, type ManyOptions, manyHelp, withRunOrFilter } from './lib/many.js'
import { examples } from './lib/options.js'

export function define(command: Command): void {
  withRunOrFilter(command).option('-r, --reason <text>', 'why; `stet why` tells it').action(run)
  examples(
    command,
    'stet pause order-42 --reason "the carrier has an outage"',
    'stet pause --workflow ship --yes --reason "the carrier has an outage"',
  )
  command.addHelpText(
    'after',
    '\nSteps that execute come to their end and are recorded; until then the run is `running`. Then nothing of it happens,\nuntil `stet resume`: messages and timers wait.' +
      `\n${manyHelp}`,
  )
}

async function run(ref: string | undefined, options: ManyOptions & { reason?: string }): Promise<void> {
  const filter = filterInPlace(ref, options)
  const { reason } = options
  if (filter !== null) return doMany('pause', filter, options, reason === undefined ? {} : { reason })
  await act(ref!, options, (handle) => handle.pause(reason), 'asked to pause')
}
