import { type Command, Option } from 'commander'
import { formatMs } from '../core/duration.js'
import type { Percentiles, Stats } from '../core/types.js'
import { connect } from './lib/connect.js'
import {
  asInteger,
  asName,
  asPast,
  type DatabaseOptions,
  examples,
  isJson,
  type OutputOptions,
  withDatabase,
  withOutput,
} from './lib/options.js'
import { clean, out, outJson, paint, paintTalk, say, table } from './lib/term.js'

interface Options extends DatabaseOptions, OutputOptions {
  since?: Date
  by?: 'version'
  step?: string
  versionOf?: number
}

export function define(command: Command): void {
  command
    .argument('[workflow]', 'name of a workflow (default: all)', asName)
    .option('--since <duration>', 'how far back: a duration, or a date and time (default: 1h)', asPast)
    .addOption(new Option('--by <what>', 'version: each version for itself').choices(['version']))
    .option('--step <name>', 'this step alone', asName)
    .option('--version-of <n>', 'this version of the workflow alone', asInteger)
    .action(run)
  withDatabase(withOutput(command))
  examples(
    command,
    'stet stats',
    'stet stats order --since 6h --by version',
    "stet stats order --step 'charge payment'",
  )
  command.addHelpText(
    'after',
    '\nFigures are kept by the minute and come from workers every ten seconds. Percentiles are within 5 % of the truth.\nDigits in names of steps are shown as #.',
  )
}

async function run(workflow: string | undefined, options: Options): Promise<void> {
  await using connection = await connect(options)
  const { since, by, step, versionOf: version } = options
  const stats = await connection.stet.stats({
    ...(since === undefined ? {} : { since }),
    ...(workflow === undefined ? {} : { workflow }),
    ...(by === undefined ? {} : { by }),
    ...(step === undefined ? {} : { step }),
    ...(version === undefined ? {} : { version }),
  })
  if (isJson(options)) {
    outJson(stats)
    return
  }
  const rows = rowsOf(stats, by === 'version')
  if (rows.length === 0) {
    const whose = workflow === undefined ? '' : ` of workflow "${clean(workflow)}"`
    say(`nothing was counted${whose} since ${stats.from.toISOString()}; look further back with --since 1d`)
    return
  }
  const head = [
    ...['WORKFLOW', ...(by === 'version' ? ['VERSION'] : []), 'STEP'],
    ...['COUNT', 'P50', 'P95', 'P99', 'FAILED', 'RETRIED'],
  ]
  out(table([head.map((text) => paint('dim', text)), ...rows]))
  const blocked = stats.runs.reduce((sum, each) => sum + each.blocked, 0)
  if (blocked > 0) say(paintTalk('yellow', `runs were blocked ${blocked} times: stet list --status blocked`))
}

/** Of each workflow its runs, then its steps. Runs that closed, attempts that ended: that is what is counted. */
function rowsOf({ runs, steps }: Stats, byVersion: boolean): string[][] {
  const groups = new Map<string, string[][]>()
  const add = (place: { workflow: string; version?: number }, cells: string[]) => {
    const key = JSON.stringify([place.workflow, place.version ?? 0])
    const head = [clean(place.workflow), ...(byVersion ? [String(place.version)] : [])]
    groups.set(key, [...(groups.get(key) ?? []), [...head, ...cells]])
  }
  for (const each of runs) {
    const { completed, failed, cancelled, terminated, continued } = each
    const count = completed + failed + cancelled + terminated + continued
    add(each, [paint('dim', '(runs)'), String(count), ...times(each.durationMs), bad('red', failed), paint('dim', '–')])
  }
  for (const each of steps) {
    const { attempts, failed, retried } = each
    add(each, [
      clean(each.step),
      String(attempts),
      ...times(each.durationMs),
      bad('red', failed),
      bad('yellow', retried),
    ])
  }
  return [...groups.values()].flat()
}

function times(percentiles: Percentiles | null): string[] {
  if (percentiles === null) return ['–', '–', '–']
  return [percentiles.p50, percentiles.p95, percentiles.p99].map((ms) => formatMs(ms))
}

function bad(style: 'red' | 'yellow', n: number): string {
  return n === 0 ? '0' : paint(style, String(n))
}
