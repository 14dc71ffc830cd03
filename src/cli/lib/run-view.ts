/** A run as text. */
import type { RunView, StepView } from '../../client/run-view.js'
import { decode, decodeError } from '../../core/codec.js'
import { formatMs } from '../../core/duration.js'
import { isTerminal, type RecordedEvent } from '../../core/events.js'
import type { RunGraph } from '../../core/types.js'
import { brief, clean, cleanLines, paint, paintStatus, shorten, statusMark, table, when } from './term.js'

export { historyJson, type RunView, readRun, type StepView, viewJson } from '../../client/run-view.js'

export function headerText({ row, events, problem }: RunView): string {
  const last = events.at(-1)
  const begun = row.startedAt
  const lines: [string, string][] = [
    ['workflow', `${clean(row.workflow)}@${row.version}, queue ${clean(row.queue)}`],
    ['created', `${new Date(row.createdAt).toISOString()} (${when(new Date(row.createdAt))})`],
  ]
  if (row.id !== row.runId) lines.unshift(['run id', row.runId])
  if (begun !== null && row.closedAt !== null) lines.push(['took', formatMs(row.closedAt - begun)])
  if (row.owner !== null && row.closedAt === null) lines.push(['worker', clean(row.owner)])
  const { schedule, scheduledFor } = events[0]?.facts ?? {}
  if (schedule !== undefined)
    lines.push(['schedule', `${clean(schedule)} for ${new Date(scheduledFor!).toISOString()}`])
  if (events[0] !== undefined) lines.push(['input', brief(decode(events[0].payload), 200)])
  if (last?.type === 'RunCompleted') lines.push(['result', brief(decode(last.payload), 200)])
  if (row.error !== null) lines.push(['error', paint('red', cleanLines(`${row.error.name}: ${row.error.message}`))])
  if (last !== undefined && isTerminal(last.type) && last.facts?.reason)
    lines.push(['reason', clean(last.facts.reason)])
  if (problem?.code === 'paused') {
    if (row.status === 'paused') lines.push(['paused', cleanLines(problem.message)])
  } else if (problem !== null) {
    const where = problem.where === undefined || problem.message.includes(problem.where) ? '' : ` (${problem.where})`
    lines.push(['blocked', paint('red', cleanLines(problem.message + where))])
  }
  const indented = lines.map(
    ([key, value]) => `  ${paint('dim', key.padEnd(9))} ${value.replaceAll('\n', '\n            ')}`,
  )
  return [`${paint('bold', clean(row.id))}  ${paintStatus(row.status)}`, ...indented].join('\n')
}

export function stepsText(steps: readonly StepView[]): string {
  if (steps.length === 0) return paint('dim', '  none yet')
  const rows = steps.map((step) => [
    `  ${mark(step.status)} ${clean(step.key)}`,
    step.kind === 'step' ? '' : paint('dim', step.kind),
    paintStatus(step.status),
    timeOf(step),
    step.attempts > 1 ? `${step.attempts} attempts` : '',
    paint('dim', `after ${listOf(step.after)}`),
  ])
  const lines = table(rows).split('\n')
  return lines
    .flatMap((line, i) => [
      line,
      ...steps[i]!.errors.map(({ attempt, name, message }) =>
        paint('red', `      attempt ${attempt}: ${shorten(clean(`${name}: ${message}`), 120)}`),
      ),
    ])
    .join('\n')
}

function timeOf({ durationMs, dueAt, startedAt }: StepView): string {
  if (durationMs !== undefined) return formatMs(durationMs)
  if (dueAt !== undefined) return `due ${when(new Date(dueAt))}`
  return startedAt === undefined ? '' : `since ${formatMs(Math.max(0, Date.now() - Date.parse(startedAt)))}`
}

function mark(status: string): string {
  return paintStatus(status, statusMark[status] ?? '?')
}

export function historyText(events: readonly RecordedEvent[]): string {
  return table(events.map(eventCells))
}

export function eventCells(event: RecordedEvent): string[] {
  return [
    `  ${String(event.seq).padStart(4)}`,
    paint('dim', new Date(event.at).toISOString().slice(11, 23)),
    event.type,
    event.name === null ? '' : clean(event.name),
    paint('dim', payloadText(event)),
  ]
}

/** What an event carries, on one line. */
export function payloadText({ type, payload, facts }: RecordedEvent): string {
  const attempt = facts?.attempt !== undefined && facts.attempt > 1 ? `attempt ${facts.attempt} ` : ''
  if (payload === null)
    return (facts?.dueAt !== undefined ? `due ${new Date(facts.dueAt).toISOString()}` : attempt).trim()
  if (/Failed$|^RunCancelled$|^RunTerminated$|Rejected$/.test(type)) {
    const { name, message } = decodeError(payload)
    return attempt + shorten(clean(`${name}: ${message}`), 80)
  }
  return attempt + brief(decode(payload))
}

/** One line for all that came from the same: `validate, reserve → ship`. Exact: each edge once, none else. */
export function graphText({ nodes, edges }: RunGraph): string {
  const status = new Map(nodes.map(({ key, status }) => [key, status as string]))
  const sources = new Map<string, string[]>()
  for (const { from, to } of edges) sources.set(to, [...(sources.get(to) ?? []), from])
  const groups = new Map<string, { from: readonly string[]; to: string[] }>()
  for (const { key } of nodes.slice(1)) {
    const from = sources.get(key) ?? []
    const id = JSON.stringify(from)
    const group = groups.get(id) ?? { from, to: [] }
    group.to.push(key)
    groups.set(id, group)
  }
  const named = (key: string) => (key === 'start' ? key : `${mark(status.get(key)!)} ${clean(key)}`)
  const lines = [...groups.values()].map(({ from, to }) => `  ${listOf(from, clean)} → ${listOf(to, named)}`)
  return lines.length === 0 ? '  start' : lines.join('\n')
}

/** A fan-out of a thousand is told by its first few and its number. */
function listOf(keys: readonly string[], show: (key: string) => string = clean): string {
  if (keys.length === 0) return 'nothing'
  const shown = keys.slice(0, keys.length > 12 ? 6 : 12).map(show)
  return shown.join(', ') + (shown.length < keys.length ? `, … (${keys.length} in all)` : '')
}
