import type { Command } from 'commander'
import { connect } from './lib/connect.js'
import { doMany, filterInPlace, type ManyOptions, manyHelp, withRunOrFilter } from './lib/many.js'
import { examples, isJson } from './lib/options.js'
import { clean, outJson, say } from './lib/term.js'

export function define(command: Command): void {
  withRunOrFilter(command).action(run)
  command.addHelpText(
    'after',
    `
Only closed runs are deleted, with all that is kept of them; one whose parent is open has to wait until that has closed.
Children and forks of it are runs of their own, and stay. A start under its id begins anew.
${manyHelp}`,
  )
  examples(
    command,
    'stet delete order-42',
    'stet delete --workflow import --status completed --closed-until 90d --dry-run',
    'stet delete --workflow import --status completed --closed-until 90d --yes',
  )
}

async function run(ref: string | undefined, options: ManyOptions): Promise<void> {
  const filter = filterInPlace(ref, options)
  if (filter !== null) return doMany('delete', filter, options)
  await using connection = await connect(options)
  const handle = connection.stet.run(ref!)
  const { id, runId } = await handle.describe()
  await connection.stet.run(runId).delete()
  if (isJson(options)) outJson({ id, runId, deleted: true })
  else say(`deleted: ${clean(id)}${id === runId ? '' : ` (${runId})`}`)
}
