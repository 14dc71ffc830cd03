import type { Command } from 'commander'
import { act, withRun } from './lib/actions.js'
import { asCount, type CommonOptions, examples } from './lib/options.js'

export function define(command: Command): void {
  withRun(command)
    .argument('<version>', 'the version that is to go on with it; see `stet versions`', asCount)
    .action(run)
  examples(command, 'stet move order-42 3')
}

async function run(ref: string, version: number, options: CommonOptions): Promise<void> {
  await act(ref, options, (handle) => handle.moveTo(version), `moved to version ${version}`)
}
