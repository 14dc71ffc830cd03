/** Commands that take a run, or filters in its place: then what they do is a bulk. */
import { userInfo } from 'node:os'
import type { Command } from 'commander'
import type { Bulk, BulkOperation, BulkOptions, BulkPreview, BulkProgress, RunFilter } from '../../core/types.js'
import { type FilterOptions, filterOf, withFilter } from '../list.js'
import { connect } from './connect.js'
import { exit, UsageError } from './errors.js'
import { asName, type DatabaseOptions, isJson, type OutputOptions, withDatabase, withOutput } from './options.js'
import { clean, cleanLines, out, outJson, paint, paintStatus, paintTalk, say, table } from './term.js'

export interface ManyOptions extends DatabaseOptions, OutputOptions, FilterOptions {
  dryRun?: true
  yes?: true
  wait?: true
}

export function withRunOrFilter(command: Command): Command {
  command.argument('[run]', 'id (its latest run) or run id; without it: every run that the filters name', asName)
  return withDatabase(withOutput(withMany(withFilter(command))))
}

export function withMany(command: Command): Command {
  return command
    .option('--dry-run', 'with filters: count the runs, show some, and do nothing (the default)')
    .option('--yes', 'with filters: do it. It goes on without this command; see `stet bulk`')
    .option('--wait', 'and stay until it is over; does the work from here, beside the workers')
}

export const manyHelp = `
With filters it is done to all runs that they name and that were made before, newest first: written down as a bulk,
and done by workers part by part. A status in the filters is that of the moment when a run is come to.`

/** What stands in place of a run, checked; null: a run was given. @throws UsageError */
export function filterInPlace(ref: string | undefined, options: ManyOptions): RunFilter | null {
  const filter = filterOf(options)
  const filtered = Object.keys(filter).length > 0
  if (ref === undefined && !filtered) {
    throw new UsageError('expected a run, or filters that say which runs (--status failed --workflow order).')
  }
  if (ref !== undefined && (filtered || options.dryRun || options.yes || options.wait)) {
    throw new UsageError('expected a run or filters, got both.')
  }
  if (options.dryRun && options.yes) throw new UsageError('expected --dry-run or --yes, got both.')
  if (options.wait && !options.yes) throw new UsageError('--wait: expected --yes beside it.')
  return ref === undefined ? filter : null
}

/** Says what would be done; with `--yes` does it. */
export async function doMany(
  operation: BulkOperation,
  filter: RunFilter,
  options: ManyOptions,
  more: Omit<BulkOptions, 'dryRun' | 'actor'> = {},
): Promise<void> {
  const json = isJson(options)
  await using connection = await connect(options)
  const { stet } = connection
  if (options.yes !== true) {
    const preview = await stet.bulk(operation, filter, { ...more, dryRun: true })
    if (json) outJson({ dryRun: true, ...preview })
    else sayPreview(preview)
    return
  }
  const bulk = await stet.bulk(operation, filter, { ...more, actor: operator() })
  if (options.wait === true) {
    await follow(bulk, json, true)
    return
  }
  const progress = await bulk.progress()
  if (json) outJson(progress)
  else {
    out(bulk.id)
    say(`${operation}: begun, ${expected(progress)}`)
    const { store } = await stet.internals()
    if ((await store.liveWorkers()).length > 0) say(paintTalk('dim', `follow it: stet bulk show ${bulk.id} --watch`))
    else
      say(paintTalk('yellow', `no worker lives, so nobody does it. Do it from here: stet bulk show ${bulk.id} --drive`))
  }
}

/** Until it is over. Exit code 1 when runs were refused or failed. */
export async function follow(bulk: Bulk, json: boolean, drive: boolean): Promise<void> {
  let last = ''
  const done = await bulk.result({
    drive,
    onProgress: (now) => {
      const line = lineOf(now)
      if (!json && line !== last) say(paintTalk('dim', line))
      last = line
    },
  })
  if (json) outJson(done)
  else sayProgress(done)
  if (done.failed > 0 || Object.keys(done.refused).length > 0) process.exitCode = exit.failed
}

function operator(): string {
  try {
    return `cli:${userInfo().username}`
  } catch {
    return 'cli'
  }
}

const runs = (n: number) => `${n} ${n === 1 ? 'run' : 'runs'}`

function expected({ expected = 0, expectedMore }: BulkProgress): string {
  return `${runs(expected)}${expectedMore ? ' or more' : ''} fit the filters`
}

function sayPreview({ operation, count, more, sample }: BulkPreview): void {
  say(
    `${operation}: ${runs(count)}${more ? ' or more' : ''} ${count === 1 ? 'fits' : 'fit'} the filters; nothing was done`,
  )
  if (sample.length > 0) {
    const rows = sample.map((run) => [
      paintStatus(run.status),
      clean(run.id),
      `${clean(run.workflow)}@${run.version}`,
      run.message === undefined ? '' : cleanLines(run.message),
    ])
    out(table([['STATUS', 'ID', 'WORKFLOW', 'NOT, BECAUSE'].map((text) => paint('dim', text)), ...rows]))
  }
  if (count > 0) say(paintTalk('dim', 'to do it: the same with --yes'))
}

export function lineOf({
  operation,
  state,
  seen,
  done,
  held,
  failed,
  refused,
  expected,
  expectedMore,
}: BulkProgress): string {
  const left = Object.values(refused).reduce((sum, n) => sum + n, 0)
  const of = expected === undefined ? '' : ` of ${expected}${expectedMore ? '+' : ''}`
  const parts = [
    `${operation} ${state}: ${seen}${of} seen, ${done} done`,
    ...(left > 0 ? [`${left} refused`] : []),
    ...(failed > 0 ? [`${failed} failed`] : []),
    ...(held > 0 ? [`${held} held`] : []),
  ]
  return parts.join(', ')
}

export function sayProgress(progress: BulkProgress): void {
  const { id, actor, createdAt, reason, refused, examples, problem, filter } = progress
  out(`${paint('bold', id)}  ${lineOf(progress)}`)
  out(`by ${clean(actor)} at ${createdAt.toISOString()}${reason === undefined ? '' : `: ${clean(reason)}`}`)
  out(`filter ${clean(JSON.stringify(filter))}`)
  if (problem !== undefined) out(paint('red', cleanLines(problem)))
  for (const [code, n] of Object.entries(refused)) out(`refused ${clean(code)}: ${n}`)
  for (const each of examples) out(`  ${clean(each.id)}  ${paint('dim', cleanLines(each.message))}`)
}
