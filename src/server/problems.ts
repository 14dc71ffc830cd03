/** What is answered when something cannot be done: a status, a stable code, and words for people. Never a stack. */
import { StetError } from '../core/errors.js'

export interface Problem {
  readonly status: number
  readonly code: string
  readonly message: string
}

/** A refusal of the server's own. */
export class HttpError extends StetError {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  constructor(status: number, code: string, message: string, headers: Readonly<Record<string, string>> = {}) {
    super(code, message)
    this.status = status
    this.headers = headers
  }
}

/** Errors of stet that say that the request cannot be met as things stand are conflicts, unless they are here. */
const statuses: Readonly<Record<string, number>> = {
  run_not_found: 404,
  bulk_not_found: 404,
  rule_not_found: 404,
  alert_not_found: 404,
  schedule_not_found: 404,
  invalid_input: 400,
  not_serializable: 400,
  timeout: 504,
  no_database: 503,
  closed: 503,
  not_installed: 503,
  not_available: 501,
  update_rejected: 422,
  query_failed: 422,
}

/** True for the errors of the engine that any request may meet. */
export function isOwn(code: string): boolean {
  return code in statuses || code === 'run_closed'
}

/** Those of the request's sender are told; of all others only that there was one. */
export function problemOf(error: unknown, method: string): Problem {
  if (error instanceof HttpError) return { status: error.status, code: error.code, message: error.message }
  if (!(error instanceof StetError)) {
    return { status: 500, code: 'internal', message: 'something went wrong here; the log of the dashboard says what.' }
  }
  const { code, message } = error
  // What was read cannot be shown (a codec is missing, perhaps): no fault of the request.
  if (code === 'not_serializable' && (method === 'GET' || method === 'HEAD')) return { status: 500, code, message }
  return { status: statuses[code] ?? 409, code, message }
}
