/** Differences as people and as programs read them. */
import { formatMs } from '../../core/duration.js'
import type { OperationDifference, OperationView, RecordDifference, RunDiff, RunSummary } from '../../debug/diff.js'
import type { Branch, Parting } from '../../debug/trace.js'
import type { ValueDifference } from '../../debug/values.js'
import type { FoundHistory } from './history.js'
import { brief, clean, cleanLines, paint, paintStatus, plain, shorten, table } from './term.js'
import type { Traced } from './trace-process.js'

/** So many of a kind are shown; the rest is counted. */
const maxShown = 10
const maxValue = 60

// ── two runs, as text ────────────────────────────────────────────────────────────────────────────

export function diffText(diff: RunDiff): string {
  const { input, operations, records, durations, outcome } = diff
  const [first, ...rest] = operations
  const parts = [headerText(diff)]
  if (input.length > 0) parts.push(titled('input', valueLines(input)))
  parts.push(titled('operations', [alikeText(diff), ...(first === undefined ? [] : firstLines(first))]))
  if (rest.length > 0) parts.push(titled('further on', limited(rest.map(restLine))))
  if (records.length > 0) parts.push(titled('beside the operations', limited(records.map(recordLine))))
  if (durations.length > 0) {
    const rows = durations.map(({ key, aMs, bMs }) => `${clean(key)}  ${formatMs(aMs)} → ${formatMs(bMs)}`)
    parts.push(titled('took more than twice as long', limited(rows)))
  }
  const ends = [outcome.a, outcome.b].map(({ status }) => paintStatus(status))
  const ended = outcome.same
    ? [`both ${outcome.a.status === 'open' ? 'go on' : outcome.a.status}, alike`]
    : [ends[0] === ends[1] ? ends[0]! : `${ends[0]} → ${ends[1]}`, ...valueLines(outcome.values)]
  parts.push(titled('outcome', ended))
  parts.push(diff.same ? `${paint('green', '✓')} nothing differs` : `${paint('red', '✗')} ${summaryText(diff)}`)
  return parts.join('\n\n')
}

function headerText({ a, b, sameWorkflow }: RunDiff): string {
  const row = (letter: string, { id, runId, workflow, version, status, durationMs, events }: RunSummary) => [
    paint('bold', letter),
    clean(id) + (id === runId ? '' : ` (${runId})`),
    `${clean(workflow)}@${version}`,
    paintStatus(status),
    formatMs(durationMs),
    `${events} events`,
  ]
  const note = sameWorkflow ? '' : `\n${paint('red', 'they are runs of two workflows')}`
  return table([row('a', a), row('b', b)]) + note
}

function alikeText({ alike, operations, a, b }: RunDiff): string {
  if (operations.length === 0) return alike === 0 ? 'none that differs' : `all ${alike} alike`
  if (alike === 0) return a.operations + b.operations === 0 ? 'none' : 'none alike at the beginning'
  return paint('dim', `the first ${alike} alike`)
}

function firstLines({ a, b, aspects, values }: OperationDifference): string[] {
  if (a === null || b === null) return [aloneText(a, b)]
  if (isAnother(aspects)) {
    return [
      `the next is another one (operation ${a.op}):`,
      `  a  ${nameOf(a)}${stateOf(a)}`,
      `  b  ${nameOf(b)}${stateOf(b)}`,
    ]
  }
  const lines = [
    `${nameOf(a)}${a.where === b.where || b.where === null ? '' : paint('dim', ` | ${clean(b.where)}`)} differs:`,
  ]
  if (aspects.includes('status')) lines.push(`  status    ${paintStatus(a.status)} → ${paintStatus(b.status)}`)
  if (aspects.includes('attempts')) lines.push(`  attempts  ${a.attempts} → ${b.attempts}`)
  lines.push(...valueLines(values).map((line) => `  ${line}`))
  if (a.durationMs !== null && b.durationMs !== null) {
    lines.push(paint('dim', `  took      ${formatMs(a.durationMs)} → ${formatMs(b.durationMs)}`))
  }
  return lines
}

const isAnother = (aspects: OperationDifference['aspects']) => aspects.includes('kind') || aspects.includes('name')

function restLine({ a, b, aspects, values }: OperationDifference): string {
  if (a === null || b === null) return aloneText(a, b)
  if (isAnother(aspects)) return `operation ${a.op} is another one: a ${nameOf(a)}, b ${nameOf(b)}`
  const what = aspects.map((aspect) =>
    aspect === 'status'
      ? `${a.status} → ${b.status}`
      : aspect === 'attempts'
        ? `${a.attempts} → ${b.attempts} attempts`
        : aspect,
  )
  const place =
    values[0] === undefined
      ? ''
      : `  ${valueText(values[0])}${values.length > 1 ? `, and ${values.length - 1} more` : ''}`
  return `${clean(a.key)}: ${what.join(', ')}${place}`
}

function aloneText(a: OperationView | null, b: OperationView | null): string {
  const one = (a ?? b)!
  return `only ${a === null ? 'b' : 'a'} has ${nameOf(one)}${stateOf(one)}`
}

function nameOf({ kind, key, where }: OperationView): string {
  return `${kind} ${paint('bold', `"${clean(key)}"`)}${where === null ? '' : paint('dim', ` ${clean(where)}`)}`
}

function stateOf({ status, error, result }: OperationView): string {
  if (error !== null)
    return `  ${paintStatus(status)} with ${shorten(clean(`${error.name}: ${error.message}`), maxValue)}`
  return `  ${paintStatus(status)}${result === undefined ? '' : ` with ${brief(result, maxValue)}`}`
}

function recordLine({ type, nth, a, b, values }: RecordDifference): string {
  const name = (a ?? b)!.name
  const who = `${type}${name === null ? '' : ` "${clean(name)}"`}${nth === 1 ? '' : ` (${nth}.)`}`
  if (a === null || b === null) return `only ${a === null ? 'b' : 'a'} has ${who}`
  if (a.name !== b.name) return `${type} ${nth}: "${clean(a.name ?? '')}" → "${clean(b.name ?? '')}"`
  return `${who}: ${values[0] === undefined ? '' : valueText(values[0])}`
}

function valueLines(values: readonly ValueDifference[]): string[] {
  return limited(values.map(valueText))
}

function valueText({ path, how, a, b }: ValueDifference): string {
  const at = paint('cyan', clean(path))
  if (how === 'removed') return `${at}  ${brief(a, maxValue)} → ${paint('dim', '(not there)')}`
  if (how === 'added') return `${at}  ${paint('dim', '(not there)')} → ${brief(b, maxValue)}`
  return `${at}  ${brief(a, maxValue)} → ${brief(b, maxValue)}`
}

function summaryText({ input, operations, records, outcome, sameWorkflow }: RunDiff): string {
  const count = (n: number, what: string) => (n === 0 ? [] : [`${n} ${what}${n === 1 ? '' : 's'}`])
  const parts = [
    ...(sameWorkflow ? [] : ['the workflow']),
    ...(input.length === 0 ? [] : ['the input']),
    ...count(operations.length, 'operation'),
    ...count(records.length, 'record'),
    ...(outcome.same ? [] : ['the outcome']),
  ]
  return `differ: ${parts.join(', ')}`
}

function titled(title: string, lines: readonly string[]): string {
  return [paint('bold', title), ...lines.map((line) => `  ${line}`)].join('\n')
}

function limited(lines: readonly string[]): string[] {
  return lines.length <= maxShown
    ? [...lines]
    : [...lines.slice(0, maxShown), paint('dim', `… and ${lines.length - maxShown} more`)]
}

// ── two runs, as JSON ────────────────────────────────────────────────────────────────────────────

export function diffJson(diff: RunDiff): object {
  const { input, operations, records, outcome, ...rest } = diff
  const [first, ...others] = operations.map(operationJson)
  return {
    ...rest,
    a: datedSummary(diff.a),
    b: datedSummary(diff.b),
    input: input.map(valueJson),
    first: first ?? null,
    others,
    records: records.map((record) => ({ ...record, values: record.values.map(valueJson) })),
    outcome: {
      same: outcome.same,
      a: { status: outcome.a.status, value: anyJson(outcome.a.value) },
      b: { status: outcome.b.status, value: anyJson(outcome.b.value) },
      values: outcome.values.map(valueJson),
    },
  }
}

function datedSummary(summary: RunSummary): object {
  return { ...summary, startedAt: new Date(summary.startedAt).toISOString() }
}

function operationJson({ a, b, aspects, values }: OperationDifference): object {
  return { a: viewJson(a), b: viewJson(b), aspects, values: values.map(valueJson) }
}

function viewJson(view: OperationView | null): object | null {
  if (view === null) return null
  const startedAt = view.startedAt === null ? null : new Date(view.startedAt).toISOString()
  return { ...view, startedAt, result: anyJson(view.result), error: view.error }
}

function valueJson({ path, how, a, b }: ValueDifference): object {
  return { path, how, ...(how === 'added' ? {} : { a: anyJson(a) }), ...(how === 'removed' ? {} : { b: anyJson(b) }) }
}

/** Errors stay as they are: they have a form of their own in JSON. */
function anyJson(value: unknown): unknown {
  return value instanceof Error ? value : plain(value)
}

// ── two versions of the code ─────────────────────────────────────────────────────────────────────

export function codesText({ run, events }: FoundHistory, a: Traced, b: Traced, parting: Parting | null): string {
  const row = (letter: string, { file, version, trace }: Traced) => [
    paint('bold', letter),
    `${clean(run.workflow)}@${version}`,
    clean(file),
    trace.blockage === null ? paint('green', 'fits') : paint('red', 'does not fit'),
  ]
  const header = `${paint('bold', clean(run.id))}  ${events.length} events, replayed with\n${table([row('a', a), row('b', b)])}`
  if (parting === null) return `${header}\n\n${paint('green', '✓')} both do the same: ${endOf(a)}`
  const event = events.find(({ seq }) => seq === parting.seq)
  const place = `event ${parting.seq}${event === undefined ? '' : ` (${event.type}${event.name === null ? '' : ` "${clean(event.name)}"`})`}`
  const lines = [`${paint('red', '✗')} they part at ${place}:`, branchText('a', parting.a), branchText('b', parting.b)]
  for (const [letter, { message }] of [
    ['a', parting.a],
    ['b', parting.b],
  ] as const) {
    if (message !== null) lines.push('', `${letter}: ${cleanLines(message)}`)
  }
  return `${header}\n\n${lines.join('\n')}`
}

function endOf({ trace }: Traced): string {
  if (trace.blockage !== null) return 'neither fits the history'
  if (trace.outcome !== null) return shorten(clean(trace.outcome), 200)
  return `it waits for ${trace.pending.map(({ what }) => clean(what)).join(', ') || 'nothing that is on record'}`
}

function branchText(letter: string, { does, where }: Branch): string {
  return `  ${paint('bold', letter)}  ${shorten(clean(does), 200)}${where === null ? '' : paint('cyan', `  ${clean(where)}`)}`
}

export function codesJson({ run }: FoundHistory, a: Traced, b: Traced, parting: Parting | null): object {
  const { id, runId, workflow, version } = run
  const side = ({ file, version, trace: { blockage, outcome, pending } }: Traced) => ({
    file,
    version,
    fits: blockage === null,
    ...(blockage === null ? {} : { blockage }),
    outcome,
    pending,
  })
  return { run: { id, runId, workflow, version }, same: parting === null, parting, a: side(a), b: side(b) }
}
