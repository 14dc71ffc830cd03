/**
 * What is refused before anybody is asked who they are.
 *
 * G1. A name under which the dashboard is not served is refused: a page of another site that makes its own name point
 *     here (DNS rebinding) gets nothing.
 * G2. Nothing changes by GET or HEAD; what changes something comes from the dashboard's own origin, or from no page.
 * G3. Every answer has the headers below; no answer is kept by caches.
 */
import { HttpError } from './problems.js'

/** No scripts and styles but the dashboard's own files, and nothing of it inside another page. */
const policy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' data:",
  "font-src 'self'",
  "connect-src 'self'",
  "worker-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ')

export const securityHeaders: Readonly<Record<string, string>> = {
  'content-security-policy': policy,
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
  'referrer-policy': 'no-referrer',
  'cross-origin-resource-policy': 'same-origin',
  'cross-origin-opener-policy': 'same-origin',
  'cache-control': 'no-store',
}

const loopback = /^(localhost|127(\.\d{1,3}){3}|\[::1\])$/

/** True for an address, or a name, that only this machine has. */
export function isLoopback(host: string): boolean {
  return loopback.test(host.includes(':') && !host.startsWith('[') ? `[${host}]` : host.toLowerCase())
}

/** Names under which the dashboard is served (G1): of this machine itself any, with any port, and those added. */
export class ServedHosts {
  readonly #names: Set<string>

  /** `name` (with any port) or `name:port`. */
  constructor(names: readonly string[]) {
    this.#names = new Set(names.map((name) => name.toLowerCase()))
  }

  add(...names: readonly string[]): void {
    for (const name of names) this.#names.add(name.toLowerCase())
  }

  /** @throws HttpError 403 */
  check(request: Request): string {
    const host = (request.headers.get('host') ?? new URL(request.url).host).toLowerCase()
    const name = /^(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(:\d{1,5})?$/.exec(host)?.[1]
    if (name !== undefined && (loopback.test(name) || this.#names.has(name) || this.#names.has(host))) return host
    throw new HttpError(
      403,
      'host_not_allowed',
      'this dashboard is not served under the name in the Host header. Name it in the option hosts (stet dashboard --hosts) if it is yours.',
    )
  }
}

/** @throws HttpError 403 unless the request comes from the dashboard's own origin, or from no page at all (G2) */
export function checkOrigin(request: Request, host: string): void {
  const { method, headers } = request
  if (method === 'GET' || method === 'HEAD') return
  const origin = headers.get('origin')
  const site = headers.get('sec-fetch-site')
  const own = origin === null || /^https?:\/\/(.*)$/.exec(origin.toLowerCase())?.[1] === host
  if (own && (site === null || site === 'same-origin' || site === 'none')) return
  throw new HttpError(403, 'origin_not_allowed', 'a page of another origin may change nothing here.')
}
