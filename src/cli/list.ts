import { type Command, Option } from 'commander'
import { formatMs } from '../core/duration.js'
import { runStatuses } from '../core/statuses.js'
import type { Attributes, RunDescription, RunFilter, RunStatus } from '../core/types.js'
import { connect } from './lib/connect.js'
import { UsageError } from './lib/errors.js'
import {
  addAttribute,
  asCount,
  asName,
  asPast,
  type DatabaseOptions,
  examples,
  isJson,
  type OutputOptions,
  withDatabase,
  withOutput,
} from './lib/options.js'
import { clean, out, outJson, paint, paintStatus, paintTalk, say, shorten, table, when } from './lib/term.js'

const statuses: readonly string[] = runStatuses

/** Which runs: what `filterOf` makes a filter of. */
export interface FilterOptions {
  status?: RunStatus[]
  workflow?: string
  workflowVersion?: number
  queue?: string
  error?: string
  attribute?: Attributes
  since?: Date
  until?: Date
  idPrefix?: string
  parent?: string
  closedSince?: Date
  closedUntil?: Date
}

interface Options extends DatabaseOptions, OutputOptions, FilterOptions {
  limit?: number
  after?: string
}

export function define(command: Command): void {
  withFilter(command)
    .option('-n, --limit <n>', 'so many, newest first (50; at most 1000)', asCount)
    .option('--after <cursor>', '`next` of the page before')
    .action(run)
  withDatabase(withOutput(command))
  examples(command, 'stet list --status failed,blocked --since 2h', 'stet list --workflow order --json')
}

export function withFilter(command: Command): Command {
  return command
    .addOption(
      new Option('-s, --status <status>', `${statuses.join(', ')}; several with commas between them`).argParser(
        addStatus,
      ),
    )
    .option('--workflow <name>', 'runs of this workflow')
    .option('--workflow-version <n>', 'and of this version of it', asCount)
    .option('-q, --queue <name>', 'runs of this queue')
    .option('--error <text>', 'runs whose error has this text in it')
    .option('-a, --attribute <key=value>', 'runs with this search attribute; may be repeated', addAttribute)
    .option('--since <time>', "started after: a date, or how long ago ('2h')", asPast)
    .option('--until <time>', 'started before: a date, or how long ago', asPast)
    .option('--closed-since <time>', 'closed after: a date, or how long ago', asPast)
    .option('--closed-until <time>', 'closed before: a date, or how long ago', asPast)
    .option('--id-prefix <text>', 'runs whose ids begin with this', asName)
    .option('--parent <run id>', 'children of this run', asName)
}

function addStatus(value: string, before: string[] = []): string[] {
  const given = value.split(',').filter((each) => each !== '')
  const unknown = given.find((each) => !statuses.includes(each))
  if (unknown !== undefined) {
    throw new UsageError(`--status: expected one of ${statuses.join(', ')}, got "${clean(unknown)}".`)
  }
  return [...before, ...given]
}

/** Without a field when no option of a filter was given. */
export function filterOf(options: FilterOptions): RunFilter {
  const { status, workflow, workflowVersion, queue, error, attribute, since, until } = options
  const { idPrefix, parent, closedSince, closedUntil } = options
  return {
    ...(status === undefined ? {} : { status }),
    ...(workflow === undefined ? {} : { workflow }),
    ...(workflowVersion === undefined ? {} : { version: workflowVersion }),
    ...(queue === undefined ? {} : { queue }),
    ...(error === undefined ? {} : { error }),
    ...(attribute === undefined ? {} : { attributes: attribute }),
    ...(since === undefined ? {} : { startedAfter: since }),
    ...(until === undefined ? {} : { startedBefore: until }),
    ...(idPrefix === undefined ? {} : { idPrefix }),
    ...(parent === undefined ? {} : { parent }),
    ...(closedSince === undefined ? {} : { closedAfter: closedSince }),
    ...(closedUntil === undefined ? {} : { closedBefore: closedUntil }),
  }
}

async function run(options: Options): Promise<void> {
  const { limit, after } = options
  const filter: RunFilter = {
    ...filterOf(options),
    ...(limit === undefined ? {} : { limit }),
    ...(after === undefined ? {} : { after }),
  }
  await using connection = await connect(options)
  const { runs, next } = await connection.stet.list(filter)
  if (isJson(options)) {
    outJson({ runs, ...(next === undefined ? {} : { next }) })
    return
  }
  if (runs.length === 0) {
    say(
      Object.keys(filter).length === 0
        ? "no runs yet. Start one: stet start <workflow> --input '<json>'"
        : 'no run fits these filters',
    )
    return
  }
  const head = ['STATUS', 'ID', 'WORKFLOW', 'CREATED', 'TOOK', 'ERROR'].map((text) => paint('dim', text))
  out(table([head, ...runs.map(rowOf)]))
  if (next !== undefined) say(paintTalk('dim', `more: --after ${next}`))
}

function rowOf(run: RunDescription): string[] {
  const { startedAt, closedAt } = run
  return [
    paintStatus(run.status),
    run.superseded ? `${clean(run.id)} ${paint('dim', '(superseded)')}` : clean(run.id),
    `${clean(run.workflow)}@${run.version}`,
    when(run.createdAt),
    startedAt === undefined || closedAt === undefined ? '' : formatMs(closedAt.getTime() - startedAt.getTime()),
    run.error === undefined ? '' : shorten(clean(`${run.error.name}: ${run.error.message}`), 80),
  ]
}
