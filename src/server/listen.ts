import { once } from 'node:events'
import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { hostname, networkInterfaces } from 'node:os'
import { createAdaptorServer } from '@hono/node-server'
import { InvalidInputError, StetError } from '../core/errors.js'
import type { Stet } from '../stet.js'
import type { Tokens } from './access.js'
import { assemble, checkNames, type DashboardOptions, tokensOf } from './dashboard.js'
import { isLoopback, ServedHosts } from './security.js'

export interface ServeOptions extends Omit<DashboardOptions, 'local'> {
  /** Default: 4400. 0: any that is free. */
  readonly port?: number
  /** The address to listen on. Default: 127.0.0.1. Another than this machine's own needs a token. */
  readonly host?: string
  /** When the port is taken: one of the next twenty. Default: false. */
  readonly nearby?: boolean
}

export interface ServedDashboard extends AsyncDisposable {
  readonly url: string
  readonly port: number
  /** Ends the feeds, and the server when what is under way is answered. The Stet stays open. */
  close(): Promise<void>
}

/** How long answers that are under way may take when it closes. */
const graceMs = 2_000
const maxConnections = 500

/**
 * Serves the dashboard of a Stet. Without tokens it listens on this machine's own addresses alone, and whoever is on
 * this machine may operate.
 *
 * @throws StetError with code `token_required`, `port_in_use` or `cannot_listen`; InvalidInputError
 * @example const { url } = await serveDashboard(stet, { port: 4400 })
 */
export async function serveDashboard(stet: Stet, options: ServeOptions = {}): Promise<ServedDashboard> {
  const { port, host, tokens } = checkServing(options)
  const hosts = new ServedHosts(options.hosts ?? [])
  const dashboard = assemble(stet, options, tokens, hosts)
  const server = createAdaptorServer({
    fetch: (request) => dashboard.fetch(request),
    overrideGlobalObjects: false,
  }) as Server
  server.maxConnections = maxConnections
  await listenNear(server, port, host, options.nearby === true ? 20 : 0)
  const bound = (server.address() as AddressInfo).port
  hosts.add(...addressesOf(host).map((each) => `${bracketed(each)}:${bound}`))
  const close = async () => {
    await dashboard.close()
    if (!server.listening) return
    const closed = once(server, 'close')
    server.close()
    // A connection whose feed has just ended is idle a moment later.
    const sweep = setInterval(() => server.closeIdleConnections(), 20)
    const limit = setTimeout(() => server.closeAllConnections(), graceMs)
    await closed
    clearInterval(sweep)
    clearTimeout(limit)
  }
  const url = `http://${bracketed(isEverywhere(host) ? '127.0.0.1' : host)}:${bound}`
  return { url, port: bound, close, [Symbol.asyncDispose]: close }
}

/** The same, of the options alone: nothing is opened. @throws as `serveDashboard` */
export function checkServing(options: ServeOptions): { port: number; host: string; tokens: Tokens | null } {
  const { port = 4400, host = '127.0.0.1' } = options
  if (!Number.isInteger(port) || port < 0 || port > 65_535) {
    throw new InvalidInputError(`port: expected a whole number from 0 to 65535, got ${String(port)}.`)
  }
  const tokens = tokensOf(options)
  if (tokens === null && !isLoopback(host)) {
    throw new StetError(
      'token_required',
      `the dashboard does not listen on ${host} without a token: whoever reaches it could operate. Set STET_DASHBOARD_TOKEN (openssl rand -hex 24 makes one) or pass --token; or listen on 127.0.0.1.`,
    )
  }
  checkNames(tokens, options)
  return { port, host, tokens }
}

async function listenNear(server: Server, port: number, host: string, further: number): Promise<void> {
  for (let next = port; ; next++) {
    try {
      return await listen(server, next, host)
    } catch (error) {
      if ((error as StetError).code !== 'port_in_use' || next >= Math.min(port + further, 65_535)) throw error
    }
  }
}

async function listen(server: Server, port: number, host: string): Promise<void> {
  server.listen(port, host)
  try {
    await once(server, 'listening')
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    if (code === 'EADDRINUSE') {
      throw new StetError('port_in_use', `port ${port} of ${host} is in use already. Take another: -p ${port + 1}`)
    }
    throw new StetError('cannot_listen', `cannot listen on ${host}, port ${port}: ${message}`, { cause: error })
  }
}

function isEverywhere(host: string): boolean {
  return host === '0.0.0.0' || host === '::' || host === ''
}

/** What a browser may have in its Host header, of an address that is listened on. */
function addressesOf(host: string): string[] {
  if (!isEverywhere(host)) return [host]
  const addresses = Object.values(networkInterfaces()).flatMap((each) => each?.map(({ address }) => address) ?? [])
  return [hostname(), ...addresses]
}

function bracketed(address: string): string {
  return address.includes(':') ? `[${address}]` : address
}
