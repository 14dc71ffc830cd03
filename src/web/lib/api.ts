/** Requests to the dashboard's own server. The cookie of a session goes along by itself. */
import { parseJson } from '../../core/json.ts'

/** What the server refused, or what was in the way of reaching it (`status` 0). */
export class ApiError extends Error {
  override readonly name = 'ApiError'
  readonly status: number
  /** Stable, for programs: `run_not_found`, `forbidden`, … */
  readonly code: string

  constructor(status: number, code: string, message: string) {
    super(message)
    this.status = status
    this.code = code
  }
}

type Query = Readonly<Record<string, string | number | boolean | readonly string[] | undefined>>

export const get = <T>(path: string, query: Query = {}, signal?: AbortSignal): Promise<T> =>
  send<T>('GET', pathWith(path, query), undefined, signal)
export const post = <T>(path: string, body: unknown): Promise<T> => send<T>('POST', path, body)
export const del = <T>(path: string): Promise<T> => send<T>('DELETE', path, {})

/** The path of a run: an id may hold anything. */
export const runPath = (run: string, rest = ''): string => `/api/runs/${encodeURIComponent(run)}${rest}`

export function pathWith(path: string, query: Query): string {
  const params = new URLSearchParams()
  for (const [key, value] of Object.entries(query)) {
    if (value === undefined || value === '') continue
    for (const each of Array.isArray(value) ? value : [value]) params.append(key, String(each))
  }
  const text = params.toString()
  return text === '' ? path : `${path}?${text}`
}

async function send<T>(method: string, path: string, body: unknown, signal?: AbortSignal): Promise<T> {
  let response: Response
  try {
    response = await fetch(path, {
      method,
      credentials: 'same-origin',
      ...(body === undefined ? {} : { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }),
      ...(signal === undefined ? {} : { signal }),
    })
  } catch (error) {
    if (signal?.aborted) throw error
    throw new ApiError(0, 'unreachable', 'The dashboard does not answer. Is `stet dashboard` running?')
  }
  const text = await response.text()
  let answer: any
  try {
    answer = text === '' ? null : parseJson(text)
  } catch {
    throw new ApiError(response.status, 'not_json', `The server answered with something else (${response.status}).`)
  }
  if (response.ok) return answer as T
  const { code = 'failed', message = `The server answered ${response.status}.` } = answer?.error ?? {}
  if (response.status === 401) for (const told of signedOut) told()
  throw new ApiError(response.status, code, message)
}

const signedOut = new Set<() => void>()

/** Calls back when a request is refused because nobody is signed in. Returns what ends that. */
export function onSignedOut(told: () => void): () => void {
  signedOut.add(told)
  return () => signedOut.delete(told)
}
