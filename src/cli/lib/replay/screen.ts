/** How one moment of a replay looks in a terminal. */
import { formatMs } from '../../../core/duration.js'
import { type Place, sourceLines } from '../../../debug/places.js'
import type { Frame } from '../../../debug/probe.js'
import type { MomentView, OpenedView, OperationView } from '../../../debug/view.js'
import { clean, cleanLines, paint, shorten } from '../term.js'

export interface Look {
  /** Characters of a line. */
  readonly width: number
  /** Locals of the functions that wait are shown, too. */
  readonly waiting: boolean
}

const around = 2
const maxExcerpt = 24
const maxLocals = 24
const maxPending = 12

export function openedText(opened: OpenedView, header: string): string {
  const { events, fits, outcome, blockage, pending } = opened
  const lines = [header]
  if (blockage !== null) lines.push(blockageText(blockage), `${fits} of ${events} events fit the code.`)
  else if (outcome !== null) lines.push(`${paint('green', '✓')} ${cleanLines(outcome)}`)
  else lines.push(`${paint('green', '✓')} the history ends here; ${pending.length} pending`)
  return lines.join('\n')
}

function blockageText({ message, where }: { readonly message: string; readonly where?: string | undefined }): string {
  const place = where === undefined || message.includes(where) ? '' : `\n  at ${where}`
  return `${paint('red', '✗')} ${cleanLines(message + place)}`
}

export function momentText(moment: MomentView, look: Look): string {
  const { seq, events, type, name, at, sinceMs, delivered, askedAt, ran, frames } = moment
  const lines = [
    `${paint('bold', `event ${seq} of ${events}`)}  ${type}${name === null ? '' : ` ${paint('bold', clean(name))}`}  ${paint(
      'dim',
      `${new Date(at).toISOString().slice(11, 23)}${seq === 1 ? '' : `  +${formatMs(sinceMs)}`}`,
    )}`,
  ]
  const cut = (text: string, indent: number) => shorten(clean(text), Math.max(40, look.width - indent))
  if (delivered !== null) lines.push(`  ${paint('dim', 'brings')}  ${cut(delivered, 10)}`)
  if (askedAt !== null) {
    lines.push(`  ${paint('dim', 'asked for at')} ${paint('cyan', clean(`${askedAt.file}:${askedAt.line}`))}`)
  }
  const stands = ran.at(-1)
  lines.push(...excerpt(askedAt, stands ?? askedAt, ran, look.width))
  if (stands === undefined && seq !== 1) lines.push(paint('dim', '  no line of the workflow ran in this turn'))
  if (moment.cut) lines.push(paint('dim', '  more ran in this turn than is followed'))
  for (const frame of frames) lines.push(...frameText(frame, 'ran', look, '  '))
  for (const text of moment.logs) lines.push(`  ${paint('dim', 'log')}  ${cut(text, 7)}`)
  for (const { text, where } of moment.asked.slice(0, maxPending)) lines.push(`  asks   ${placed(text, where)}`)
  if (moment.asked.length > maxPending) lines.push(`         … ${moment.asked.length} in all`)
  lines.push(...pendingText(moment, look))
  for (const { name, result, recorded, failed, tookMs, same } of moment.live) {
    lines.push(
      `  ${paint(same ? 'green' : 'yellow', 'live')}   step "${clean(name)}" really ran, ${formatMs(tookMs)}: ${failed ? 'threw ' : ''}${cut(result, 30)}`,
    )
    if (recorded !== null && !same) lines.push(`         on record: ${cut(recorded, 20)}`)
  }
  if (moment.blockage !== null) lines.push(blockageText(moment.blockage))
  else if (moment.outcome !== null) lines.push(`${paint('green', '■')} ${cleanLines(moment.outcome)}`)
  return lines.join('\n')
}

function pendingText({ seq, pending, more, conditions }: MomentView, look: Look): string[] {
  const lines = conditions.slice(0, maxPending).map((where) => `  waits  ${placed('a condition', where)}`)
  for (const { text, where, waiting } of pending.slice(0, maxPending)) {
    lines.push(`  waits  ${placed(text, where)}`)
    // What ran in this very turn is shown above.
    for (const frame of look.waiting ? waiting.filter(({ asOf }) => asOf !== seq) : []) {
      lines.push(...frameText(frame, `as of event ${frame.asOf}`, look, '         '))
    }
  }
  const left = pending.length + more - maxPending
  if (left > 0) lines.push(paint('dim', `         … and ${left} more`))
  return lines
}

function placed(text: string, where: string | undefined): string {
  return `${clean(text)}${where === undefined ? '' : `  ${paint('cyan', clean(where))}`}`
}

/** A function: where it stands, what it returned or threw, its variables. */
function frameText(frame: Frame, what: string, { width }: Look, indent: string): string[] {
  const { fn, file, line, locals, returns, throws } = frame
  const lines = [
    `${indent}${paint('bold', clean(fn))}  ${paint('cyan', clean(`${file}:${line}`))}  ${paint('dim', what)}`,
  ]
  const set = locals.filter(({ text }) => text !== 'undefined')
  const pad = Math.min(20, Math.max(0, ...set.map(({ name }) => name.length)))
  for (const { name, text } of set.slice(0, maxLocals)) {
    lines.push(shorten(`${indent}  ${clean(name).padEnd(pad)} = ${clean(text)}`, width))
  }
  if (set.length > maxLocals) lines.push(`${indent}  … ${set.length - maxLocals} more`)
  const unset = locals.filter(({ text }) => text === 'undefined').map(({ name }) => clean(name))
  if (unset.length > 0) lines.push(paint('dim', shorten(`${indent}  undefined: ${unset.join(', ')}`, width)))
  if (throws !== undefined) lines.push(`${indent}  ${paint('red', 'throws')} ${shorten(clean(throws), width)}`)
  else if (returns !== undefined && returns !== 'undefined') {
    lines.push(`${indent}  ${paint('dim', 'returns')} ${shorten(clean(returns), width - 12)}`)
  }
  return lines
}

/** The line that asked and the lines that ran, with some around; `▶` where the code stands, `·` what ran. */
function excerpt(asked: Place | null, stands: Place | null, ran: readonly Place[], width: number): string[] {
  if (stands === null) return []
  const { file } = stands
  const marked = new Set(ran.filter((place) => place.file === file).map(({ line }) => line))
  const wanted = [...marked, stands.line, ...(asked?.file === file ? [asked.line] : [])]
  let [from, to] = [Math.min(...wanted) - around, Math.max(...wanted) + around]
  if (to - from > maxExcerpt) [from, to] = [stands.line - around * 4, stands.line + around]
  const lines = sourceLines(file, from, to)
  if (lines.length === 0) return []
  const digits = String(lines.at(-1)!.line).length
  return lines.map(({ line, text }) => {
    const mark = line === stands.line ? '▶' : marked.has(line) ? '·' : ' '
    const shown = shorten(`  ${mark} ${String(line).padStart(digits)} │ ${cleanLines(text)}`, width)
    return line === stands.line ? paint('bold', shown) : marked.has(line) ? shown : paint('dim', shown)
  })
}

export function liveText({ live }: Pick<OpenedView, 'live'>): string[] {
  return live.map(({ name, tookMs, failed, result, recorded, same }) => {
    const now = `${failed ? 'threw ' : ''}${shorten(clean(result), 120)}`
    const then =
      recorded === null ? 'nothing is on record' : same ? 'as on record' : `on record: ${shorten(clean(recorded), 120)}`
    return `${paint(same ? 'green' : 'yellow', 'live')} step "${clean(name)}" really ran, ${tookMs} ms: ${now} (${then})`
  })
}

export function operationText({ text, where }: Pick<OperationView, 'text' | 'where'>): string {
  return placed(text, where)
}
