import type { Command } from 'commander'
import { InvalidInputError, StetError } from '../core/errors.js'
import { act } from './lib/actions.js'
import { doMany, filterInPlace, type ManyOptions, manyHelp, withRunOrFilter } from './lib/many.js'
import { examples } from './lib/options.js'

export function define(command: Command): void {
  withRunOrFilter(command).action(run)
  command.addHelpText('after', manyHelp)
  examples(command, 'stet resume order-42', 'stet resume --workflow ship --status paused --yes')
}

async function run(ref: string | undefined, options: ManyOptions): Promise<void> {
  const filter = filterInPlace(ref, options)
  if (filter !== null) return doMany('resume', filter, options)
  const resume = async (handle: { resume(): Promise<void> }) => {
    try {
      await handle.resume()
    } catch (error) {
      // The command was called rightly; it is the run that is not in a state to be resumed.
      throw error instanceof InvalidInputError ? new StetError('not_resumable', error.message) : error
    }
  }
  await act(ref!, options, resume, 'resumed')
}
