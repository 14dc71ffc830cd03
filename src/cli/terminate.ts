import type { Command } from 'commander'
import { type ActionOptions, act, withRun } from './lib/actions.js'
import { examples } from './lib/options.js'

export function define(command: Command): void {
  withRun(command).option('-r, --reason <text>', 'why; it is recorded').action(run)
  examples(command, 'stet terminate order-42 --reason "never to be finished"')
}

async function run(ref: string, options: ActionOptions & { reason?: string }): Promise<void> {
  await act(ref, options, (handle) => handle.terminate(options.reason), 'terminated')
}
