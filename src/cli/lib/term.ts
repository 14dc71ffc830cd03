/**
 * What goes to the terminal. Data on stdout, talk on stderr; colours only on a terminal that has them (NO_COLOR and
 * FORCE_COLOR are obeyed by Node itself in `hasColors`); nothing that a workflow or a user named can move the cursor.
 */
import { stripVTControlCharacters, styleText } from 'node:util'
import { plain, replaceUnusual } from '../../client/json.js'

export { plain } from '../../client/json.js'

export type Style = 'bold' | 'dim' | 'red' | 'green' | 'yellow' | 'cyan'

interface Terminal {
  readonly isTTY?: boolean
  hasColors?(): boolean
}

function painter(stream: Terminal): (style: Style, text: string) => string {
  const colours = stream.isTTY === true && (stream.hasColors?.() ?? false)
  return (style, text) => (colours ? styleText(style, text) : text)
}

/** Colours text for stdout. */
export const paint = painter(process.stdout)
/** Colours text for stderr. */
export const paintTalk = painter(process.stderr)

/** A line of data. */
export function out(text: string): void {
  process.stdout.write(`${text}\n`)
}

/** A line of talk. */
export function say(text: string): void {
  process.stderr.write(`${text}\n`)
}

/** Data as JSON. */
export function outJson(value: unknown): void {
  out(jsonText(value, 2))
}

// Control characters, and those that turn the direction of text: neither has a place in a name.
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
const unsafe = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g

/** Text from outside, harmless and on one line. */
export function clean(text: string): string {
  return cleanLines(text).replaceAll('\n', ' ')
}

/** Text from outside, harmless; line breaks stay. */
export function cleanLines(text: string): string {
  return stripVTControlCharacters(text).replaceAll('\t', '  ').replace(unsafe, '')
}

/** JSON that a terminal takes as text: JSON itself leaves the upper control characters bare. */
export function jsonText(value: unknown, indent?: number): string {
  const text = JSON.stringify(value, replaceUnusual, indent) ?? 'null'
  return text.replace(/[\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g, escaped)
}

function escaped(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`
}

/** A value on one line of at most `max` characters. */
export function brief(value: unknown, max = 80): string {
  let text: string
  try {
    text = value === undefined ? 'undefined' : jsonText(plain(value))
  } catch {
    text = clean(String(value))
  }
  return shorten(text, max)
}

export function shorten(text: string, max: number): string {
  return text.length > max ? `${text.slice(0, max - 1)}…` : text
}

/** Rows in columns as wide as their widest cell. Cells may be coloured. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths: number[] = []
  for (const row of rows) {
    for (const [i, cell] of row.entries()) widths[i] = Math.max(widths[i] ?? 0, width(cell))
  }
  return rows
    .map((row) =>
      row
        .map((cell, i) => cell + ' '.repeat(widths[i]! - width(cell)))
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}

function width(cell: string): number {
  return [...stripVTControlCharacters(cell)].length
}

/** `3 m ago`, `in 2 h`. */
export function when(date: Date, now = Date.now()): string {
  const seconds = Math.round(Math.abs(now - date.getTime()) / 1000)
  const [n, unit] =
    seconds < 60
      ? [seconds, 's']
      : seconds < 3600
        ? [Math.round(seconds / 60), 'm']
        : seconds < 86_400
          ? [Math.round(seconds / 3600), 'h']
          : [Math.round(seconds / 86_400), 'd']
  return date.getTime() > now ? `in ${n} ${unit}` : `${n} ${unit} ago`
}

const statusStyle: Record<string, Style> = {
  completed: 'green',
  failed: 'red',
  blocked: 'red',
  cancelled: 'yellow',
  terminated: 'yellow',
  paused: 'yellow',
  skipped: 'dim',
  pending: 'dim',
  running: 'cyan',
  waiting: 'cyan',
}

/** Tells statuses apart without colour too. */
export const statusMark: Record<string, string> = {
  completed: '✓',
  failed: '✗',
  skipped: '–',
  running: '●',
  pending: '○',
}

export function paintStatus(status: string, text = status): string {
  const style = statusStyle[status]
  return style === undefined ? text : paint(style, text)
}
