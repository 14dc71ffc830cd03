/** What the commands that do one thing to one run have in common. */
import type { Command } from 'commander'
import type { Handle } from '../../core/types.js'
import { connect } from './connect.js'
import { asName, type CommonOptions, isJson, withDatabase, withOutput } from './options.js'
import { clean, outJson, say } from './term.js'

export function withRun(command: Command): Command {
  return withDatabase(withOutput(command.argument('<run>', 'id (its latest run) or run id', asName)))
}

/** Does it, and says what was done and how the run stands then. */
export async function act(
  ref: string,
  options: CommonOptions,
  action: (handle: Handle<unknown>) => Promise<void>,
  done: string,
): Promise<void> {
  await using connection = await connect(options)
  const handle = connection.stet.run(ref)
  await action(handle)
  const { id, runId, status } = await handle.describe()
  if (isJson(options)) outJson({ id, runId, status })
  else say(`${done}: ${clean(id)}${id === runId ? '' : ` (${runId})`}, ${status}`)
}
