import type { Command } from 'commander'
import { connect } from './lib/connect.js'
import { asName, type CommonOptions, examples, isJson, withDatabase, withOutput } from './lib/options.js'
import { clean, out, outJson, paint, paintTalk, say, table } from './lib/term.js'

export function define(command: Command): void {
  command.argument('[workflow]', 'name of a workflow (default: all that have open runs)', asName).action(run)
  withDatabase(withOutput(command))
  examples(command, 'stet versions', 'stet versions order --json')
}

async function run(workflow: string | undefined, options: CommonOptions): Promise<void> {
  await using connection = await connect(options)
  const versions = await connection.stet.versions(workflow)
  if (isJson(options)) {
    outJson({ versions })
    return
  }
  if (versions.length === 0) {
    say(workflow === undefined ? 'no open runs' : `no open runs of workflow "${clean(workflow)}"`)
    return
  }
  const head = ['WORKFLOW', 'VERSION', 'OPEN', 'SERVED'].map((text) => paint('dim', text))
  const rows = versions.map(({ workflow, version, open, more, served }) => [
    clean(workflow),
    // A run that was started by name when no worker had the workflow: it takes the highest of the worker that comes.
    version === 0 ? '–' : String(version),
    `${open}${more === true ? '+' : ''}`,
    served ? 'yes' : paint('yellow', 'no'),
  ])
  out(table([head, ...rows]))
  if (versions.every(({ served }) => served)) return
  say(
    paintTalk(
      'yellow',
      'runs of a version that is not served wait: start a worker that has it, or move them (stet move <run> <version>)',
    ),
  )
}
