import type { Command } from 'commander'
import { InvalidInputError, StetError } from '../core/errors.js'
import { type ActionOptions, act, withRun } from './lib/actions.js'
import { examples } from './lib/options.js'

export function define(command: Command): void {
  withRun(command).action(run)
  examples(command, 'stet resume order-42')
}

async function run(ref: string, options: ActionOptions): Promise<void> {
  const resume = async (handle: { resume(): Promise<void> }) => {
    try {
      await handle.resume()
    } catch (error) {
      // The command was called rightly; it is the run that is not in a state to be resumed.
      throw error instanceof InvalidInputError ? new StetError('not_resumable', error.message) : error
    }
  }
  await act(ref, options, resume, 'resumed')
}
