import type { Command } from 'commander'
import { diffRuns } from '../debug/diff.js'
import { compareTraces } from '../debug/trace.js'
import { codesJson, codesText, diffJson, diffText } from './lib/diff-view.js'
import { exit, UsageError } from './lib/errors.js'
import { type FoundHistory, readHistories } from './lib/history.js'
import {
  asName,
  type DatabaseOptions,
  examples,
  isJson,
  type OutputOptions,
  withDatabase,
  withFiles,
  withOutput,
} from './lib/options.js'
import { out, outJson } from './lib/term.js'
import { traceApart } from './lib/trace-process.js'

interface Options extends DatabaseOptions, OutputOptions {
  workflows?: string[]
  against?: string[]
}

export function define(command: Command): void {
  const what = 'id (its latest run), run id, or a file that `stet export` wrote'
  withDatabase(withOutput(withFiles(command.argument('<a>', what, asName).argument('[b]', what, asName))))
    .option(
      '--against <glob...>',
      'in place of <b>: other files with the code, which the history of <a> is replayed with',
    )
    .action(run)
  command.addHelpText(
    'after',
    `
Two runs: their inputs, the operations in the order of asking, the first that differs and what differs in it, what else
differs, and how they ended. Ids, times, durations, versions and lines in the source are shown where they help and are
no differences.
One run, two versions of the code (those of -w or the default files, and those of --against): the history is replayed with
each in a process of its own, nothing is performed, and where they part is shown.
Exit code: 0 when nothing differs, 1 when something does.`,
  )
  examples(
    command,
    'stet diff order-42 order-43',
    'stet diff order-42 order-41.json --json',
    'stet diff order-42 -w workflows/order.ts --against changed/order.ts',
  )
}

async function run(a: string, b: string | undefined, options: Options): Promise<void> {
  const { against } = options
  if ((b === undefined) === (against === undefined)) {
    throw new UsageError(
      b === undefined
        ? 'diff: expected a second run, or --against <glob…> with other code for the first one.'
        : 'diff: expected a second run or --against, got both.',
    )
  }
  const histories = await readHistories(b === undefined ? [a] : [a, b], options)
  const same = b === undefined ? await codes(histories[0]!, options) : runs(histories[0]!, histories[1]!, options)
  if (!same) process.exitCode = exit.failed
}

function runs(a: FoundHistory, b: FoundHistory, options: Options): boolean {
  const diff = diffRuns(a, b)
  if (isJson(options)) outJson(diffJson(diff))
  else out(diffText(diff))
  return diff.same
}

async function codes(history: FoundHistory, { workflows, against, ...options }: Options): Promise<boolean> {
  const a = await traceApart({ history, patterns: workflows ?? null })
  const b = await traceApart({ history, patterns: against! })
  const parting = compareTraces(a.trace, b.trace)
  if (isJson(options)) outJson(codesJson(history, a, b, parting))
  else out(codesText(history, a, b, parting))
  return parting === null
}
