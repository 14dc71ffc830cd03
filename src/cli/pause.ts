import type { Command } from 'commander'
import { type ActionOptions, act, withRun } from './lib/actions.js'
import { examples } from './lib/options.js'

export function define(command: Command): void {
  withRun(command).option('-r, --reason <text>', 'why; `stet why` tells it').action(run)
  examples(command, 'stet pause order-42 --reason "the carrier has an outage"')
  command.addHelpText(
    'after',
    '\nSteps that execute come to their end and are recorded; until then the run is `running`. Then nothing of it happens,\nuntil `stet resume`: messages and timers wait.',
  )
}

async function run(ref: string, options: ActionOptions & { reason?: string }): Promise<void> {
  await act(ref, options, (handle) => handle.pause(options.reason), 'asked to pause')
}
