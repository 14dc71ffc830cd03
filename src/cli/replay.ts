import { readFileSync, statSync } from 'node:fs'
import type { Command } from 'commander'
import { describeRow } from '../client/describe.js'
import { RunNotFoundError } from '../core/errors.js'
import type { RecordedEvent } from '../core/events.js'
import type { Blockage, Outcome } from '../core/execution.js'
import { type ExportedRun, fromHistoryFile } from '../core/history-file.js'
import type { Operation } from '../core/operation.js'
import { compareOutcome, describeOutcome } from '../core/verify.js'
import { ReplaySession, type Step } from '../debug/session.js'
import { withRun } from './lib/actions.js'
import { connect } from './lib/connect.js'
import { exit, LoadError, UsageError } from './lib/errors.js'
import { type DatabaseOptions, examples, isJson, type OutputOptions, withFiles } from './lib/options.js'
import { payloadText } from './lib/run-view.js'
import { clean, cleanLines, out, outJson, paint, plain } from './lib/term.js'
import { type FoundWorkflow, listNames, loadWorkflows } from './lib/workflow-files.js'

interface Options extends DatabaseOptions, OutputOptions {
  workflows?: string[]
}

interface Verdict {
  readonly outcome: Outcome | null
  readonly blockage: Blockage | null
  readonly pending: readonly Operation[]
}

export function define(command: Command): void {
  withFiles(withRun(command)).action(run)
  command.addHelpText(
    'after',
    '\n<run> may also be a file that `stet export` wrote; no database is needed then. No step runs and nothing is written.\nExit code 4: the code does not fit the history, or awaits something that is not recorded.',
  )
  examples(command, 'stet replay order-42', 'stet replay order-42.json -w workflows/order.ts')
}

async function run(target: string, options: Options): Promise<void> {
  const { run, events } = await readHistory(target, options)
  const code = await findCode(run, options.workflows)
  const { id, runId, workflow, queue } = run
  const version = code.definition.version
  const session = new ReplaySession(code.definition, { id, runId, workflow, version, queue }, events)
  const json = isJson(options)
  if (!json) {
    out(
      `${paint('bold', `replay of ${clean(id)}`)}  ${clean(workflow)}@${version} (${clean(code.file)}), ${events.length} events`,
    )
  }
  const steps: Step[] = []
  for (let step = await session.next(); step !== null; step = await session.next()) {
    steps.push(step)
    if (!json) out(stepText(step))
  }
  const verdict = await withValue(await session.verdict(), events)
  if (verdict.blockage !== null) process.exitCode = exit.nondeterminism
  if (json) outJson(report(run, code, steps, verdict))
  else out(verdictText(verdict, events))
}

/** The end is the same kind of end; is it the same value? */
async function withValue(verdict: Verdict, events: readonly RecordedEvent[]): Promise<Verdict> {
  const difference = verdict.blockage === null ? compareOutcome(verdict.outcome, events) : null
  if (difference === null) return verdict
  const { seq, expected, actual } = difference
  const message = `the replay came to another end than the run, at event ${seq}.\n  expected: ${expected}\n  got:      ${actual}`
  return { ...verdict, blockage: { code: 'nondeterminism', message, mismatch: difference } }
}

async function readHistory(
  target: string,
  options: Options,
): Promise<{ run: ExportedRun; events: readonly RecordedEvent[] }> {
  if (statSync(target, { throwIfNoEntry: false })?.isFile()) {
    let document: unknown
    try {
      document = JSON.parse(readFileSync(target, 'utf8'))
    } catch (error) {
      throw new UsageError(`${target}: expected a history as JSON (${(error as Error).message}).`)
    }
    return fromHistoryFile(document, target)
  }
  if (target.endsWith('.json')) throw new UsageError(`${target}: there is no such file.`)
  await using connection = await connect(options)
  const { store } = connection
  const row = await store.find(target)
  if (row === null) throw new RunNotFoundError(target)
  return { run: describeRow(row), events: await store.history(row.runId) }
}

async function findCode({ workflow, version }: ExportedRun, patterns: string[] | undefined): Promise<FoundWorkflow> {
  const { found } = await loadWorkflows(patterns)
  const named = found.filter(({ definition }) => definition.name === workflow)
  // 0: no worker has taken it up yet, and the one that does will take its highest.
  const code =
    version === 0
      ? named.sort((a, b) => b.definition.version - a.definition.version)[0]
      : named.find(({ definition }) => definition.version === version)
  if (code !== undefined) return code
  throw new LoadError(
    `no file defines workflow "${workflow}" version ${version}; they define ${listNames(found)}. Name the file with -w.`,
  )
}

// ── as text ──────────────────────────────────────────────────────────────────────────────────────

function stepText({ event, asked }: Step): string {
  const name = event.name === null ? '' : ` ${clean(event.name)}`
  const payload = payloadText(event)
  const lines = [
    `${String(event.seq).padStart(5)} ${event.type}${paint('bold', name)}${payload === '' ? '' : `  ${paint('dim', payload)}`}`,
  ]
  for (const operation of asked) lines.push(`        asks ${operationText(operation)}`)
  return lines.join('\n')
}

function operationText(operation: Operation): string {
  const where = operation.where === undefined ? '' : `  ${paint('cyan', clean(operation.where))}`
  return `${clean(operation.describe())}${where}`
}

function verdictText({ outcome, blockage, pending }: Verdict, events: readonly RecordedEvent[]): string {
  if (blockage !== null) {
    const { message, where } = blockage
    const place = where === undefined || message.includes(where) ? '' : `\n  at ${where}`
    return `${paint('red', '✗')} ${cleanLines(message + place)}`
  }
  if (outcome !== null) {
    const closed = /^Run(Completed|Failed|Cancelled)$/.test(events.at(-1)!.type)
    return `${paint('green', '✓')} ${cleanLines(describeOutcome(outcome))}${closed ? ', as recorded' : ''}`
  }
  const waits = pending.map((operation) => `    ${operationText(operation)}`)
  return [`${paint('green', '✓')} the code fits the history, which ends here. It waits for:`, ...waits].join('\n')
}

// ── as JSON ──────────────────────────────────────────────────────────────────────────────────────

function report(run: ExportedRun, code: FoundWorkflow, steps: readonly Step[], verdict: Verdict): object {
  const { id, runId, workflow } = run
  const { outcome, blockage, pending } = verdict
  const operation = ({ index, kind, name, where }: Operation) => ({ op: index, kind, name, where })
  return {
    run: { id, runId, workflow, version: code.definition.version },
    code: code.file,
    events: steps.map(({ event: { seq, type, op, name, facts }, asked }) => ({
      seq,
      type,
      op,
      name,
      recordedFrom: facts?.where,
      asked: asked.map(operation),
    })),
    result: blockage?.code ?? outcome?.type ?? 'waiting',
    ...(outcome?.type === 'completed' ? { output: plain(outcome.value) } : {}),
    ...(outcome !== null && 'error' in outcome ? { error: outcome.error } : {}),
    ...(blockage === null
      ? {}
      : {
          message: blockage.message,
          where: blockage.where,
          ...(blockage.mismatch ? { mismatch: blockage.mismatch } : {}),
        }),
    pending: pending.map(operation),
  }
}
