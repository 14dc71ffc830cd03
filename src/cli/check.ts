import { type Command, Option } from 'commander'
import { describeRow } from '../client/describe.js'
import { compareReplay } from '../core/divergence.js'
import { formatMs } from '../core/duration.js'
import { RunNotFoundError } from '../core/errors.js'
import type { RecordedEvent } from '../core/events.js'
import type { RunIdentity } from '../core/execution.js'
import { openStatuses } from '../core/statuses.js'
import type { RunFilter, RunStatus } from '../core/types.js'
import { type Cause, type CheckReport, Findings } from '../debug/check.js'
import { parsePlace, sourceLines } from '../debug/places.js'
import type { Store } from '../store/port.js'
import { hasSchema } from '../store/postgres/migrate.js'
import { openStore } from './lib/connect.js'
import { exit } from './lib/errors.js'
import { readHistoryFile } from './lib/history.js'
import {
  asCount,
  type DatabaseOptions,
  examples,
  isJson,
  type OutputOptions,
  withDatabase,
  withOutput,
} from './lib/options.js'
import { quietly } from './lib/quiet.js'
import { clean, cleanLines, out, outJson, paint, paintTalk, say } from './lib/term.js'
import { type FoundWorkflow, listNames, loadWorkflows } from './lib/workflow-files.js'

interface Options extends DatabaseOptions, OutputOptions {
  closed?: number
  run?: string[]
  workflow?: string
  queue?: string
  allowMissing?: boolean
}

const closed: readonly RunStatus[] = ['completed', 'failed', 'cancelled', 'continued']
/** Histories are read so many events at a time. */
const eventsAtOnce = 20_000
const runsAtOnce = 1_000
const shownRuns = 5

export function define(command: Command): void {
  command
    .argument('[files...]', 'files with workflows (default: stet.config, else workflows/** and src/workflows/**)')
    .option('--closed <n>', 'also so many of the closed runs, the newest', asCount)
    .addOption(new Option('--run <run...>', 'these alone: ids, run ids, or files that `stet export` wrote'))
    .option('--workflow <name>', 'runs of this workflow alone')
    .option('-q, --queue <name>', 'runs of this queue alone')
    .option('--allow-missing', 'runs whose workflow or version is not in the files are no failure')
    .action(run)
  withDatabase(withOutput(command))
  command.addHelpText(
    'after',
    '\nReplays every open run against the code at hand, before it is deployed. No step runs and nothing is written: a\ndatabase role that may only read is enough.\nExit code 4: some run would be blocked by this code, or has no code in these files.',
  )
  examples(
    command,
    'stet check workflows/order.ts',
    "stet check 'src/workflows/**' --closed 200 --json",
    'stet check order.ts --run test/histories/order-42.json',
  )
}

interface Candidate {
  readonly identity: RunIdentity
  readonly blocked: boolean
  readonly events: readonly RecordedEvent[]
}

async function run(files: string[], options: Options): Promise<void> {
  const { found } = await loadWorkflows(files.length === 0 ? undefined : files)
  const findings = new Findings()
  let began = performance.now()
  await quietly(async () => {
    for await (const candidate of candidates(options, () => {
      began = performance.now()
    })) {
      await checkOne(found, candidate, findings)
    }
  })
  const ms = performance.now() - began
  const report = findings.report()
  const failed = report.causes.length > 0 || (report.missing.length > 0 && options.allowMissing !== true)
  if (failed) process.exitCode = exit.nondeterminism
  const rate = Math.round((report.checked * 1_000) / Math.max(1, ms))
  if (isJson(options)) outJson({ ...report, ok: !failed, tookMs: Math.round(ms), runsPerSecond: rate })
  else out(reportText(report, found, `${report.checked} runs in ${formatMs(Math.round(ms))}, ${rate} a second`))
}

async function checkOne(
  found: readonly FoundWorkflow[],
  { identity, blocked, events }: Candidate,
  findings: Findings,
): Promise<void> {
  const named = found.filter(({ definition }) => definition.name === identity.workflow)
  // 0: no worker has taken it up yet, and the one that does will take its highest.
  const version =
    identity.version === 0 ? Math.max(...named.map(({ definition }) => definition.version)) : identity.version
  const code = named.find(({ definition }) => definition.version === version)
  if (code === undefined) findings.miss(identity)
  else {
    const { divergence } = await compareReplay(code.definition, { ...identity, version }, events)
    findings.add(identity, blocked, divergence)
  }
}

/** `begin` is called when the database has been reached. */
async function* candidates(options: Options, begin: () => void): AsyncGenerator<Candidate> {
  const files = (options.run ?? []).map((target) => ({ target, file: readHistoryFile(target) }))
  for (const { file } of files) if (file !== null) yield { ...candidateOf(file.run), events: file.events }
  const named = files.filter(({ file }) => file === null).map(({ target }) => target)
  if (options.run !== undefined && named.length === 0) return
  const { store } = await openStore(options)
  try {
    if (!(await hasSchema(store.db))) return say('stet has never used this database: there are no runs in it')
    begin()
    if (options.run !== undefined) yield* runsNamed(store, named)
    else {
      const filter = {
        ...(options.workflow === undefined ? {} : { workflow: options.workflow }),
        ...(options.queue === undefined ? {} : { queue: options.queue }),
      }
      yield* runsOf(store, { ...filter, status: [...openStatuses] }, Number.POSITIVE_INFINITY)
      if (options.closed !== undefined) yield* runsOf(store, { ...filter, status: [...closed] }, options.closed)
    }
  } finally {
    await store.close()
  }
}

async function* runsNamed(store: Store, refs: readonly string[]): AsyncGenerator<Candidate> {
  for (const ref of refs) {
    const row = await store.find(ref)
    if (row === null) throw new RunNotFoundError(ref)
    yield { ...candidateOf(describeRow(row)), events: await store.history(row.runId) }
  }
}

async function* runsOf(store: Store, filter: RunFilter, most: number): AsyncGenerator<Candidate> {
  let after: string | undefined
  let left = most
  do {
    const limit = Math.min(runsAtOnce, left)
    const { rows, next } = await store.list({ ...filter, limit, ...(after === undefined ? {} : { after }) })
    left -= rows.length
    for (let from = 0; from < rows.length; ) {
      let to = from
      for (let events = 0; to < rows.length && (to === from || events < eventsAtOnce); to++)
        events += rows[to]!.historyLength
      const batch = rows.slice(from, to)
      const histories = await store.histories(batch.map(({ runId }) => runId))
      for (const row of batch) {
        // It may have been deleted meanwhile.
        const events = histories.get(row.runId) ?? []
        if (events.length > 0) yield { ...candidateOf(describeRow(row)), events }
      }
      from = to
    }
    after = next ?? undefined
  } while (after !== undefined && left > 0)
}

function candidateOf(run: {
  id: string
  runId: string
  workflow: string
  version: number
  queue: string
  status?: unknown
}) {
  const { id, runId, workflow, version, queue } = run
  return { identity: { id, runId, workflow, version, queue }, blocked: run.status === 'blocked' }
}

// ── as text ──────────────────────────────────────────────────────────────────────────────────────

function reportText(report: CheckReport, found: readonly FoundWorkflow[], rate: string): string {
  const { fine, unblocked, causes, missing } = report
  const lines: string[] = []
  const diverging = causes.reduce((sum, { runs }) => sum + runs.length, 0)
  const counts = [
    `${paint('green', '✓')} ${fine} fine`,
    ...(diverging === 0 ? [] : [`${paint('red', '✗')} ${diverging} diverge`]),
    ...missing.map(
      ({ workflow, version, runs }) =>
        `${paint('yellow', '?')} ${runs.length} of ${clean(workflow)}@${version}, which is not in these files`,
    ),
  ]
  for (const cause of causes) lines.push(causeText(cause), '')
  if (causes.length > 0) lines.push(remedies, '')
  if (missing.length > 0)
    lines.push(
      `These files define ${clean(listNames(found))}. Runs of other versions wait for a worker that has theirs.`,
    )
  if (unblocked > 0) lines.push(`${unblocked} of the runs that are fine are blocked now: this code can take them on.`)
  say(paintTalk('dim', rate))
  return [...lines, counts.join('   ')].join('\n')
}

const remedies = `Three ways out:
  keep the old code   leave it under its version, and give the new code the next: workflow(name, { version: 2 }, …)
  patch               put the new path into if (ctx.patched('what-changed')) { … } else { … }
  fork                after the deploy: stet fork <run> --at <step>, for runs that may do that part again`

function causeText({ workflow, version, expected, actual, where, recordedAt, runs }: Cause): string {
  const ids = runs.slice(0, shownRuns).map(({ id, seq }) => `${clean(id)} (event ${seq})`)
  const more = runs.length > shownRuns ? `, … ${runs.length - shownRuns} more` : ''
  const lines = [
    `${paint('red', '✗')} ${paint('bold', `${runs.length} ${runs.length === 1 ? 'run' : 'runs'} of ${clean(workflow)}@${version}`)}${where === undefined ? '' : ` at ${paint('cyan', clean(where))}`}`,
    `    expected: ${cleanLines(expected)}${recordedAt === undefined ? '' : `, as recorded from ${clean(recordedAt)}`}`,
    `    got:      ${cleanLines(actual)}`,
  ]
  const place = parsePlace(where)
  for (const { line, text } of place === null ? [] : sourceLines(place.file, place.line - 1, place.line + 1)) {
    const shown = `${line === place!.line ? '▶' : ' '} ${String(line).padStart(5)} │ ${cleanLines(text)}`
    lines.push(`      ${line === place!.line ? shown : paint('dim', shown)}`)
  }
  return [...lines, `    ${ids.join(', ')}${more}`].join('\n')
}
