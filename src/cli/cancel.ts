import type { Command } from 'commander'
import { type ActionOptions, act, withRun } from './lib/actions.js'
import { examples } from './lib/options.js'

export function define(command: Command): void {
  withRun(command).option('-r, --reason <text>', 'why; the run is told').action(run)
  examples(command, 'stet cancel order-42 --reason "ordered twice"')
}

async function run(ref: string, options: ActionOptions & { reason?: string }): Promise<void> {
  await act(ref, options, (handle) => handle.cancel(options.reason), 'cancel requested')
}
