/** The log of a worker, on stderr: for people on a terminal, a line of JSON each elsewhere. */
import type { LogLevel } from '../../core/execution.js'
import type { Log } from '../../core/types.js'
import { brief, cleanLines, jsonText, paintTalk, say } from './term.js'

const marks: Record<LogLevel, string> = {
  debug: paintTalk('dim', 'debug'),
  info: paintTalk('green', 'info '),
  warn: paintTalk('yellow', 'warn '),
  error: paintTalk('red', 'error'),
}

/** `fields` stand in every line. Debug lines are left out. */
export function createWorkerLog(pretty: boolean, fields: object = {}): Log {
  const write = (level: LogLevel, message: string, more: object = {}) => {
    if (level === 'debug') return
    const at = new Date()
    if (!pretty) {
      say(line({ at: at.toISOString(), level, message, ...fields, ...more }))
      return
    }
    const details = Object.entries(more).map(
      ([key, value]) => `${key}=${typeof value === 'string' ? value : brief(value)}`,
    )
    const tail = details.length === 0 ? '' : paintTalk('dim', `  ${details.join(' ')}`)
    say(`${paintTalk('dim', at.toTimeString().slice(0, 8))} ${marks[level]} ${cleanLines(message)}${tail}`)
  }
  return {
    debug: (message, more) => write('debug', message, more),
    info: (message, more) => write('info', message, more),
    warn: (message, more) => write('warn', message, more),
    error: (message, more) => write('error', message, more),
  }
}

/** Fields come from workflow code: they may be anything. */
function line(record: Record<string, unknown>): string {
  try {
    return jsonText(record)
  } catch {
    const { at, level, message } = record
    return jsonText({ at, level, message })
  }
}
