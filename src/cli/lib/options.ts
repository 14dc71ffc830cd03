/** Options and values that several commands take. */
import { readFileSync } from 'node:fs'
import { type Command, InvalidArgumentError, Option } from 'commander'
import { durationMs } from '../../core/duration.js'
import { checkName } from '../../core/ids.js'
import { parseJson } from '../../core/json.js'
import { checkSchema } from '../../core/schema-name.js'
import type { Attributes, Duration } from '../../core/types.js'
import { UsageError } from './errors.js'

export interface DatabaseOptions {
  databaseUrl?: string
  schema?: string
}
export interface OutputOptions {
  output?: 'text' | 'json'
  json?: boolean
}

/** What every command takes that works on a database. */
export type CommonOptions = DatabaseOptions & OutputOptions

export function withDatabase(command: Command): Command {
  return command
    .option(
      '-d, --database-url <url>',
      'database (default: STET_DATABASE_URL, DATABASE_URL, PG*, the url of stet.config, else the embedded Postgres)',
    )
    .option(
      '--schema <name>',
      "the application's schema in it (default: STET_SCHEMA, the schema of stet.config, else stet)",
      asSchema,
    )
}

export function withOutput(command: Command): Command {
  return command
    .addOption(new Option('-o, --output <format>', 'text or json').choices(['text', 'json']))
    .option('--json', 'the same as -o json')
}

/** For a command that is several, each on a database: makes one of them. */
export function subcommandsOf(command: Command): (name: string, description: string) => Command {
  command.helpCommand(false)
  return (name, description) => withDatabase(withOutput(command.command(name).description(description)))
}

export function isJson(options: OutputOptions): boolean {
  return options.json === true || options.output === 'json'
}

export function withFiles(command: Command): Command {
  return command.option(
    '-w, --workflows <glob...>',
    'files with workflows: paths, folders or globs (default: stet.config, else workflows/** and src/workflows/**)',
  )
}

/** Text that follows the options in the help of a command. */
export function examples(command: Command, ...lines: string[]): Command {
  const [title, indent] = [lines.length === 1 ? 'Example' : 'Examples', '  $ ']
  return command.addHelpText('after', `\n${title}:\n${lines.map((line) => indent + line).join('\n')}`)
}

// ── values ───────────────────────────────────────────────────────────────────────────────────────

/** What `check` throws becomes a usage error that names the option. */
function parser<T>(check: (value: string) => T): (value: string) => T {
  return (value) => {
    try {
      return check(value)
    } catch (error) {
      throw new InvalidArgumentError((error as Error).message)
    }
  }
}

export const asName = parser((value) => {
  checkName(value, 'name')
  return value
})

const asSchema = parser((value) => checkSchema(value, 'schema'))

export const asDuration = parser((value) => {
  const duration = (/^\d+$/.test(value) ? Number(value) : value) as Duration
  durationMs(duration, 'duration')
  return duration
})

export const asCount = parser((value) => {
  const n = Number(value)
  if (!/^\d+$/.test(value) || !Number.isSafeInteger(n) || n < 1) throw new Error('Expected a whole number from 1.')
  return n
})

export const asPort = parser((value) => {
  const port = Number(value)
  if (!/^\d{1,5}$/.test(value) || port > 65_535) throw new Error('Expected a whole number from 0 to 65535.')
  return port
})

export const asInteger = parser((value) => {
  if (!/^-?\d+$/.test(value)) throw new Error('Expected a whole number.')
  return Number(value)
})

/** A date and time, or a duration that counts back from now. */
export const asPast = parser((value) => {
  if (/^\d+(\.\d+)?(ms|[smhdw])$/.test(value)) return new Date(Date.now() - durationMs(value as Duration, 'duration'))
  return dateOf(value)
})

export const asDate = parser(dateOf)

function dateOf(value: string): Date {
  const date = new Date(value)
  if (Number.isNaN(date.getTime())) throw new Error("Expected a date and time ('2026-01-31T12:00:00Z').")
  return date
}

/** `key=value`, several times. The value is JSON if it reads as such, else text. */
export function addAttribute(value: string, before: Attributes = {}): Attributes {
  const at = value.indexOf('=')
  if (at < 1) throw new InvalidArgumentError('Expected key=value.')
  const text = value.slice(at + 1)
  let parsed: any = text
  try {
    parsed = parseJson(text)
  } catch {
    // Plain text, as it mostly is.
  }
  return { ...before, [value.slice(0, at)]: parsed }
}

/** Comma-separated and repeated values as one list. */
export function addToList(value: string, before: string[] = []): string[] {
  return [...before, ...value.split(',').filter((each) => each !== '')]
}

/**
 * JSON given as text, as `@file`, or as `-` for standard input; undefined when nothing was given.
 * @throws UsageError with the place of the first thing that is not JSON
 */
export function readJson(given: string | undefined, what: string): unknown {
  if (given === undefined) return undefined
  const source = given === '-' ? 'standard input' : given.startsWith('@') ? given.slice(1) : null
  let text = given
  if (source !== null) {
    try {
      text = readFileSync(given === '-' ? 0 : source, 'utf8')
    } catch (error) {
      throw new UsageError(`${what}: cannot read ${source}: ${(error as Error).message}`)
    }
  }
  try {
    return parseJson(text)
  } catch (error) {
    const bare = source === null && /^[\w .-]+$/.test(text) ? ` For text, write '"${text}"'.` : ''
    throw new UsageError(
      `${what}: expected JSON${source === null ? '' : ` in ${source}`}, got ${short(text)} (${(error as Error).message}).${bare} Or give @file, or - for standard input.`,
    )
  }
}

function short(text: string): string {
  return JSON.stringify(text.length > 60 ? `${text.slice(0, 60)}…` : text)
}
