/** How a command ends: its exit code, and what is said when it fails. */
import { StetError } from '../../core/errors.js'
import { cleanLines, jsonText, paintTalk, say } from './term.js'

export const exit = { ok: 0, failed: 1, usage: 2, notFound: 3, nondeterminism: 4, noDatabase: 5 } as const

/** The command was called wrongly. */
export class UsageError extends StetError {
  constructor(message: string) {
    super('usage', message)
  }
}

/** A file of the user's could not be used. */
export class LoadError extends StetError {
  constructor(message: string, options?: { cause?: unknown }) {
    super('load', message, options)
  }
}

const exitOfCode: Record<string, number> = {
  usage: exit.usage,
  invalid_input: exit.usage,
  bulk_not_found: exit.notFound,
  run_not_found: exit.notFound,
  schedule_not_found: exit.notFound,
  nondeterminism: exit.nondeterminism,
  no_database: exit.noDatabase,
}

/** Answers of a server that cannot be used at all: wrong password, no such database. And no server. */
const noDatabase = /^(28...|3D000|ECONNREFUSED|ENOTFOUND|EAI_AGAIN|ETIMEDOUT|EHOSTUNREACH|ENETUNREACH)$/

export function exitCodeOf(error: unknown): number {
  const code = (error as { code?: unknown } | null)?.code
  if (error instanceof StetError) return exitOfCode[error.code] ?? exit.failed
  return typeof code === 'string' && noDatabase.test(code) ? exit.noDatabase : exit.failed
}

/** Says what went wrong, on stderr. The stack only for what is not an error of stet's own making. */
export function sayError(error: unknown, json: boolean): void {
  const { name, message, code, stack } = (error ?? {}) as Error & { code?: string }
  if (json) {
    say(jsonText({ error: { name, code, message: message ?? String(error) } }))
    return
  }
  say(`${paintTalk('red', 'stet:')} ${cleanLines(message || String(error))}`)
  const ours = error instanceof StetError || code !== undefined
  if (!ours && stack !== undefined) say(paintTalk('dim', cleanLines(stack.split('\n').slice(1, 6).join('\n'))))
}
