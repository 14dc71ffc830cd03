/** A whole replay as text and as JSON. */
import type { RecordedEvent } from '../../../core/events.js'
import { describeOutcome } from '../../../core/verify.js'
import type { Place } from '../../../debug/places.js'
import type { Watched } from '../../../debug/probe.js'
import type { Step } from '../../../debug/session.js'
import { operationView } from '../../../debug/view.js'
import type { Whole } from '../../../debug/whole.js'
import type { FoundCode } from '../find-code.js'
import type { FoundHistory } from '../history.js'
import { payloadText } from '../run-view.js'
import { clean, cleanLines, outJson, paint, plain, shorten } from '../term.js'
import { operationText } from './screen.js'

export interface ReplayResult {
  readonly code: FoundCode
  readonly whole: Whole
  /** What the code did in the turn of each event; null: nobody watched. */
  readonly watched: readonly Watched[] | null
}

export function headerText({ run, events }: FoundHistory, { file, identity }: FoundCode): string {
  return `${paint('bold', `replay of ${clean(run.id)}`)}  ${clean(run.workflow)}@${identity.version} (${clean(file)}), ${events.length} events`
}

export function traceText({ whole, watched }: ReplayResult): string {
  return whole.steps.map((step, i) => stepText(step, watched?.[i])).join('\n')
}

function stepText({ event, asked }: Step, watched: Watched | undefined): string {
  const name = event.name === null ? '' : ` ${clean(event.name)}`
  const payload = payloadText(event)
  const lines = [
    `${String(event.seq).padStart(5)} ${event.type}${paint('bold', name)}${payload === '' ? '' : `  ${paint('dim', payload)}`}`,
  ]
  for (const operation of asked) lines.push(`        asks ${operationText(operationView(operation))}`)
  if (watched !== undefined && watched.ran.length > 0) lines.push(`        ran  ${clean(rangesText(watched.ran))}`)
  for (const { fn, line, locals, throws } of watched?.frames ?? []) {
    const set = locals.filter(({ text }) => text !== 'undefined').map(({ name, text }) => `${name} = ${text}`)
    const at = paint('dim', `${clean(fn)} :${line}`)
    if (set.length > 0) lines.push(`        has  ${shorten(clean(set.join(', ')), 160)}  ${at}`)
    if (throws !== undefined) lines.push(`        ${paint('red', 'threw')} ${shorten(clean(throws), 160)}  ${at}`)
  }
  return lines.join('\n')
}

/** `workflows/order.ts:5-7, 9`. */
function rangesText(places: readonly Place[]): string {
  const files = new Map<string, Set<number>>()
  for (const { file, line } of places) files.set(file, (files.get(file) ?? new Set()).add(line))
  return [...files]
    .map(([file, lines]) => {
      const ranges: [number, number][] = []
      for (const line of [...lines].sort((a, b) => a - b)) {
        const last = ranges.at(-1)
        if (last !== undefined && line <= last[1] + 1) last[1] = line
        else ranges.push([line, line])
      }
      return `${file}:${ranges.map(([from, to]) => (from === to ? from : `${from}-${to}`)).join(', ')}`
    })
    .join('; ')
}

export function verdictText({ outcome, blockage, pending, steps }: Whole, events: readonly RecordedEvent[]): string {
  if (blockage !== null) {
    const { message, where } = blockage
    const place = where === undefined || message.includes(where) ? '' : `\n  at ${where}`
    return `${paint('red', '✗')} ${cleanLines(message + place)}`
  }
  if (outcome !== null) {
    const closed = /^Run(Completed|Failed|Cancelled)$/.test(events.at(-1)!.type)
    return `${paint('green', '✓')} ${cleanLines(describeOutcome(outcome))}${closed ? ', as recorded' : ''}`
  }
  const conditions = steps.at(-1)?.conditions ?? []
  const waits = [
    ...pending.map((operation) => operationView(operation)),
    ...conditions.map((where) => ({ text: 'a condition', where })),
  ].map((wait) => `    ${operationText(wait)}`)
  return [`${paint('green', '✓')} the code fits the history, which ends here. It waits for:`, ...waits].join('\n')
}

export function reportJson({ run }: FoundHistory, { code, whole, watched }: ReplayResult): void {
  const { id, runId, workflow } = run
  const { outcome, blockage, pending, steps, live } = whole
  outJson({
    run: { id, runId, workflow, version: code.identity.version },
    code: code.file,
    events: steps.map(({ event: { seq, type, op, name, facts, at }, asked, settled }, i) => ({
      seq,
      type,
      op,
      name,
      at: new Date(at).toISOString(),
      recordedFrom: facts?.where,
      asked: asked.map(operationJson),
      settled: settled.map(({ index }) => index),
      ...(watched?.[i] === undefined ? {} : { ran: watched[i].ran, functions: watched[i].frames }),
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
    pending: pending.map(operationJson),
    ...(live.length === 0 ? {} : { live }),
  })
}

function operationJson(operation: Whole['pending'][number]): object {
  const { op, kind, name, where } = operationView(operation)
  return { op, kind, name, where }
}
