import { InvalidInputError, StetError } from '../core/errors.js'
import { packageVersion } from '../core/package.js'
import { readSettings } from '../settings.js'
import type { Stet } from '../stet.js'
import type { Store } from '../store/port.js'
import { Access, parseTokens, type Tokens } from './access.js'
import { createApp, json, withHeaders } from './app.js'
import { Audit } from './audit.js'
import { Feed } from './feed.js'
import { openapiOf } from './openapi.js'
import { get, type House, type Route } from './route.js'
import { actionRoutes } from './routes/actions.js'
import { alertRoutes } from './routes/alerts.js'
import { bulkRoutes } from './routes/bulk.js'
import { feedRoutes } from './routes/feed.js'
import { limitRoutes } from './routes/limits.js'
import { metricsRoutes } from './routes/metrics.js'
import { otherRoutes } from './routes/others.js'
import { retentionRoutes } from './routes/retention.js'
import { runRoutes } from './routes/runs.js'
import { scheduleRoutes } from './routes/schedules.js'
import { statsRoutes } from './routes/stats.js'
import { isLoopback, ServedHosts } from './security.js'
import { shapes } from './shapes.js'

export interface DashboardOptions {
  /**
   * Who may come: by token (16 characters or more), what its bearer may do. Default: those of `STET_DASHBOARD_TOKEN`
   * (with commas between them, each with its role before it, as `view:…`; admin unless it has one).
   */
  readonly tokens?: Tokens
  /**
   * Whoever reaches the server that this is mounted in may operate, without a token: for a server that listens on
   * loopback alone. Default: false.
   */
  readonly local?: boolean
  /** Names under which it is served, with any port or with one (`ops.example.com:8443`), beside those of this machine. */
  readonly hosts?: readonly string[]
  /** Longest body that is read, bytes. Default: 1 MiB. */
  readonly maxBodyBytes?: number
  /** Feeds that may be open at once. Default: 100. */
  readonly maxFeeds?: number
  /** How often an open feed that has nothing to say says so, ms. Default: 15,000. */
  readonly heartbeatMs?: number
  /** Told of what went wrong here and is nobody's fault who asked. Default: a warning of the process. */
  readonly onError?: (error: unknown) => void
}

export interface Dashboard {
  /** Answers a request: never rejects. */
  fetch(request: Request): Promise<Response>
  /** Ends its feeds. The Stet stays open. Safe to call again. */
  close(): Promise<void>
}

/** All routes: what is served, documented and tested. */
export const routes: readonly Route[] = [
  ...runRoutes,
  ...actionRoutes,
  ...bulkRoutes,
  ...retentionRoutes,
  ...feedRoutes,
  ...otherRoutes,
  ...alertRoutes,
  ...limitRoutes,
  ...scheduleRoutes,
  ...statsRoutes,
  ...metricsRoutes,
  get('/openapi.json', {
    summary: 'This document',
    answer: { type: 'object' },
    role: null,
    run: async () => json(openapi(), 200),
  }),
]

let document: object | undefined

function openapi(): object {
  document ??= openapiOf(routes, shapes, packageVersion)
  return document
}

/**
 * The dashboard of a Stet, to be mounted in a server of your own: anything that can pass on a `Request` and send a
 * `Response`. It has an HTTP API, described at `/openapi.json`, and a live feed.
 *
 * @throws StetError with code `token_required` when there are no tokens and it is not said to be `local`;
 *   InvalidInputError for an option that cannot be used
 * @example
 * const dashboard = createDashboard(stet, { tokens: { [process.env.OPS_TOKEN]: 'operate' }, hosts: ['ops.example.com'] })
 * const response = await dashboard.fetch(request)
 */
export function createDashboard(stet: Stet, options: DashboardOptions = {}): Dashboard {
  const hosts = new ServedHosts(options.hosts ?? [])
  const tokens = tokensOf(options)
  if (tokens === null && options.local !== true) {
    throw new StetError(
      'token_required',
      'createDashboard: no tokens are given, so whoever reaches the server could operate. Pass { tokens: { [token]: role } } or set STET_DASHBOARD_TOKEN; or { local: true }, if the server listens on loopback alone.',
    )
  }
  checkNames(tokens, options)
  return assemble(stet, options, tokens, hosts)
}

/** Names that others know are served with tokens alone. @throws StetError */
export function checkNames(tokens: Tokens | null, { hosts = [] }: DashboardOptions): void {
  const outside = hosts.find((host) => !isLoopback(host.replace(/:\d+$/, '')))
  if (tokens !== null || outside === undefined) return
  throw new StetError(
    'token_required',
    `the dashboard is to be served as "${outside}", which others can reach, and no tokens are given. Pass { tokens: { [token]: role } } or set STET_DASHBOARD_TOKEN.`,
  )
}

/** Null: none are given, and none are in the environment. @throws InvalidInputError */
export function tokensOf({ tokens }: DashboardOptions): Tokens | null {
  if (tokens !== undefined) {
    if (typeof tokens !== 'object' || tokens === null || Object.keys(tokens).length === 0) {
      throw new InvalidInputError('tokens: expected an object with at least one token, and its role.')
    }
    return tokens
  }
  const { dashboardToken } = readSettings()
  return dashboardToken === undefined ? null : parseTokens(dashboardToken, 'STET_DASHBOARD_TOKEN')
}

export function assemble(stet: Stet, options: DashboardOptions, tokens: Tokens | null, hosts: ServedHosts): Dashboard {
  const { maxBodyBytes = 2 ** 20, maxFeeds = 100, heartbeatMs = 15_000, onError = warn } = options
  for (const [name, value] of Object.entries({ maxBodyBytes, maxFeeds, heartbeatMs })) {
    if (Number.isInteger(value) && value >= 1) continue
    throw new InvalidInputError(`${name}: expected a whole number from 1, got ${String(value)}.`)
  }
  const internals = () => stet.internals<Store>()
  const store = async () => (await internals()).store
  const feed = new Feed(internals, { maxWatchers: maxFeeds, heartbeatMs, onError })
  const access = new Access(tokens)
  const house: House = { stet, store, feed, access, audit: new Audit(store, onError), onError }
  const app = createApp({ routes, house, hosts, maxBodyBytes })
  return {
    fetch: async (request) => withHeaders(await app.fetch(request)),
    close: async () => feed.close(),
  }
}

function warn(error: unknown): void {
  const { stack } = (error ?? {}) as Partial<Error>
  process.emitWarning(`stet dashboard: ${stack ?? String(error)}`, { type: 'stet' })
}
