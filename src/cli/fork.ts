import { type Command, InvalidArgumentError, Option } from 'commander'
import { exportedOrigin, type ForkOrigin, forkId, forkRun, planFork, storedOrigin } from '../client/forks.js'
import { RunNotFoundError, StetError } from '../core/errors.js'
import type { ForkOptions } from '../core/types.js'
import type { Hints } from '../hints/hints.js'
import type { RunRow, Store } from '../store/port.js'
import { connect } from './lib/connect.js'
import { exit, UsageError } from './lib/errors.js'
import { keptText, tellForked } from './lib/forked.js'
import { readHistoryFile } from './lib/history.js'
import { doMany } from './lib/many.js'
import {
  asCount,
  asName,
  type DatabaseOptions,
  examples,
  isJson,
  type OutputOptions,
  readJson,
  withDatabase,
  withOutput,
} from './lib/options.js'
import { clean, cleanLines, out, outJson, paintTalk, say } from './lib/term.js'
import { type FilterOptions, filterOf, withFilter } from './list.js'

interface Options extends DatabaseOptions, OutputOptions, FilterOptions {
  at?: string
  input?: string
  set?: Record<string, string>
  version?: number
  id?: string
  children?: NonNullable<ForkOptions['children']>
  dropSignals?: true
  dryRun?: true
  limit?: number
  bulk?: true
  wait?: true
}

interface Backend {
  readonly store: Store
  readonly hints: Hints
}

export function define(command: Command): void {
  command
    .argument(
      '[run]',
      'id (its latest run), run id, or a file that `stet export` wrote; without it: every run that the filters name',
      asName,
    )
    .option('--at <place>', 'what runs anew first: a step (charge, charge#2), the number of an event, or last-failure')
    .option('-i, --input <json>', 'another input: JSON, @file, or - for standard input')
    .option('--set <step=json>', 'give a step this result in place of its own; may be repeated', addSet)
    .option('--version <n>', 'the version of the code that goes on with it (default: the same)', asCount)
    .option('--id <id>', 'your name of the new run', asName)
    .addOption(
      new Option(
        '--children <how>',
        'those that were open there: start anew, take over, or cancel and start anew',
      ).choices(['rerun', 'keep', 'cancel']),
    )
    .option('--drop-signals', 'do not deliver anew the signals that came behind the place')
  withFilter(command)
    .option('-n, --limit <n>', 'with filters: make so many forks at most', asCount)
    .option('--dry-run', 'say what would be forked, and write nothing')
    .option('--bulk', 'with filters: as a bulk, which goes on without this command; see `stet bulk`')
    .option('--wait', 'with --bulk: stay until it is over; does the work from here, beside the workers')
    .action(run)
  withDatabase(withOutput(command))
  command.addHelpText(
    'after',
    `
The new run begins with a copy of the history up to the place; the other run stays as it is. Steps that run anew have
idempotency keys of their own, and sleeps and timeouts that were under way count from now. Without --at, --set parts
right behind the earliest step that it names. With filters the ids follow from the runs, so the same command given twice
makes each fork once; exit code 1 when a run could not be forked.`,
  )
  examples(
    command,
    'stet fork order-42 --at last-failure',
    `stet fork order-42 --at charge --input '{"card":"another"}' --id order-42b`,
    `stet fork order-42 --set 'check stock={"left":3}'`,
    'stet fork --status failed --workflow order --since 2h --at last-failure --version 2 --dry-run',
    'stet fork order-42.json --at charge',
    'stet fork --status failed --workflow order --at charge --bulk --wait',
  )
}

function addSet(value: string, before: Record<string, string> = {}): Record<string, string> {
  const at = value.indexOf('=')
  if (at < 1) throw new InvalidArgumentError('Expected step=json.')
  return { ...before, [value.slice(0, at)]: value.slice(at + 1) }
}

async function run(ref: string | undefined, options: Options): Promise<void> {
  const filter = filterOf(options)
  const filtered = Object.keys(filter).length > 0
  const wanted = forkOptions(options)
  if (ref === undefined && !filtered) {
    throw new UsageError('expected a run, or filters that say which runs (--status failed --workflow order).')
  }
  if (ref !== undefined && (filtered || options.limit !== undefined)) {
    throw new UsageError('expected a run or filters, got both.')
  }
  if (ref === undefined && options.id !== undefined) {
    throw new UsageError('--id: with filters each fork has an id that follows from its run.')
  }
  if (options.bulk) {
    if (ref !== undefined || options.limit !== undefined) {
      throw new UsageError('--bulk: expected filters beside it, and neither a run nor --limit.')
    }
    const yes = options.dryRun ? {} : { yes: true as const }
    return doMany('fork', filter, { ...options, ...yes }, { fork: wanted })
  }
  const file = ref === undefined ? null : readHistoryFile(ref)
  if (file !== null && options.dryRun) {
    tellPlan(exportedOrigin(file.run, file.events), wanted, isJson(options))
    return
  }
  await using connection = await connect(options)
  const { store, hints } = await connection.stet.internals()
  if (ref === undefined) {
    await forkAll({ store, hints }, options, wanted)
    return
  }
  const row = file === null ? await store.find(ref) : null
  if (file === null && row === null) throw new RunNotFoundError(ref)
  const origin = file === null ? await storedOrigin(store, row!) : exportedOrigin(file.run, file.events)
  if (options.dryRun) tellPlan(origin, wanted, isJson(options))
  else tellForked(await forkRun({ store, hints }, origin, wanted), origin, isJson(options))
}

function forkOptions({ at, input, set, version, id, children, dropSignals }: Options): ForkOptions {
  if (at === undefined && set === undefined) {
    throw new UsageError('--at: expected what is to run anew first: a step, the number of an event, or last-failure.')
  }
  const results = Object.entries(set ?? {}).map(([step, json]) => [step, readJson(json, `--set ${step}`)])
  return {
    ...(at === undefined ? {} : { at: /^\d+$/.test(at) ? Number(at) : at }),
    ...(set === undefined ? {} : { set: Object.fromEntries(results) }),
    ...(input === undefined ? {} : { input: readJson(input, '--input') }),
    ...(version === undefined ? {} : { version }),
    ...(id === undefined ? {} : { id }),
    ...(children === undefined ? {} : { children }),
    ...(dropSignals ? { signals: 'drop' as const } : {}),
  } as ForkOptions
}

function tellPlan(origin: ForkOrigin, wanted: ForkOptions, json: boolean): void {
  const { kept, anew, cut } = planFork(origin, wanted, Date.now())
  const of = origin.events.length
  if (json) outJson({ dryRun: true, forkedFrom: { runId: origin.runId, seq: cut }, kept, of, anew })
  else say(`a fork would have ${keptText({ kept, of, anew })}`)
}

// ── many at once ─────────────────────────────────────────────────────────────────────────────────

interface Ref {
  readonly id: string
  readonly runId: string
}

interface Tally {
  readonly dryRun: boolean
  matched: number
  readonly forked: ({ readonly from: Ref; readonly kept: number } & Partial<Ref>)[]
  /** Made by an earlier call. */
  readonly existing: ({ readonly from: Ref } & Ref)[]
  readonly failed: ({ readonly code: string; readonly message: string } & Ref)[]
}

const pageSize = 100

async function forkAll(backend: Backend, options: Options, wanted: ForkOptions): Promise<void> {
  const { limit = Number.POSITIVE_INFINITY, dryRun = false } = options
  const tally: Tally = { dryRun, matched: 0, forked: [], existing: [], failed: [] }
  // Newest first: what is made here is newer than the page, and never comes into the next.
  for (let after: string | null | undefined; after !== null; ) {
    const cursor = after === undefined ? {} : { after }
    const { rows, next } = await backend.store.list({ ...filterOf(options), ...cursor, limit: pageSize })
    for (const row of rows) {
      if (tally.forked.length === limit) break
      tally.matched++
      await forkOne(backend, row, wanted, tally, isJson(options))
    }
    after = tally.forked.length === limit ? null : next
  }
  if (isJson(options)) outJson(tally)
  else sayTally(tally)
  if (tally.failed.length > 0) process.exitCode = exit.failed
}

async function forkOne({ store, hints }: Backend, row: RunRow, wanted: ForkOptions, tally: Tally, json: boolean) {
  const from = { id: row.id, runId: row.runId }
  const id = forkId(row.id, row.runId.slice(-8))
  try {
    const known = await store.find(id)
    if (known?.forkedFrom?.runId === row.runId) {
      tally.existing.push({ id, runId: known.runId, from })
      return
    }
    const origin = await storedOrigin(store, row)
    if (tally.dryRun) {
      tally.forked.push({ from, kept: planFork(origin, wanted, Date.now()).kept })
      return
    }
    const { runId, kept } = await forkRun({ store, hints }, origin, { ...wanted, id })
    tally.forked.push({ id, runId, from, kept })
    if (!json) out(clean(id))
  } catch (error) {
    if (!(error instanceof StetError) || error.code === 'no_database') throw error
    tally.failed.push({ ...from, code: error.code, message: error.message })
  }
}

function sayTally({ dryRun, matched, forked, existing, failed }: Tally): void {
  say(`${dryRun ? 'would fork' : 'forked'} ${forked.length} of ${matched} ${matched === 1 ? 'run' : 'runs'}`)
  if (existing.length > 0) say(`${existing.length} ${existing.length === 1 ? 'was' : 'were'} forked before`)
  if (failed.length === 0) return
  say(paintTalk('red', `${failed.length} ${failed.length === 1 ? 'run' : 'runs'} cannot be forked:`))
  for (const { id, message } of failed) say(`  ${clean(id)}: ${cleanLines(message).replaceAll('\n', '\n    ')}`)
}
