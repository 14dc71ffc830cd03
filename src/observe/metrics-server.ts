/** Serves metrics: `GET /metrics`, and nothing else. */
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { StetError } from '../core/errors.js'

export interface MetricsServer {
  readonly url: string
  close(): Promise<void>
}

/** A scrape that is not over by then is given up. */
const requestMs = 10_000

const maxConnections = 50

/**
 * Resolves when it listens. It does not keep the process alive.
 * @throws StetError code `cannot_listen`, as when the port is taken
 */
export async function serveMetrics(
  source: { readonly type: string; content(): Promise<string> },
  { host = '127.0.0.1', port }: { readonly host?: string | undefined; readonly port: number },
): Promise<MetricsServer> {
  const server = createServer((request, response) => {
    const path = request.url?.split('?')[0]
    const status = path !== '/metrics' ? 404 : request.method !== 'GET' && request.method !== 'HEAD' ? 405 : 200
    if (status !== 200) {
      response.writeHead(status, { 'content-type': 'text/plain', ...(status === 405 ? { allow: 'GET, HEAD' } : {}) })
      response.end(status === 404 ? 'metrics are at /metrics\n' : 'only GET\n')
      return
    }
    source.content().then(
      (text) => {
        response.writeHead(200, { 'content-type': source.type })
        response.end(request.method === 'HEAD' ? '' : text)
      },
      () => {
        response.writeHead(500, { 'content-type': 'text/plain' })
        response.end('the metrics could not be read\n')
      },
    )
  })
  server.maxConnections = maxConnections
  server.requestTimeout = requestMs
  await listen(server, host, port)
  server.unref()
  const { port: bound } = server.address() as AddressInfo
  return {
    url: `http://${host.includes(':') ? `[${host}]` : host}:${bound}/metrics`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

function listen(server: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error) => {
      reject(
        new StetError(
          'cannot_listen',
          `metrics: cannot listen on ${host}:${port}: ${error.message}. Is the port taken, and is the address one of this machine?`,
          { cause: error },
        ),
      )
    })
    server.listen(port, host, () => resolve())
  })
}
