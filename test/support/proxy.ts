/**
 * A way to Postgres that can be cut: it passes everything on, and on demand loses a connection at the worst moment, when
 * a statement has been carried out and its answer is not there yet.
 */
import { connect as connectTo, createServer, type Server, type Socket } from 'node:net'

export class CuttingProxy {
  readonly url: string
  /** How many connections were cut, by statement. */
  readonly cuts = new Map<string, number>()
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  readonly #armed = new Map<string, number>()
  #deaf = false

  static async open(target: string): Promise<CuttingProxy> {
    const url = new URL(target)
    const server = createServer()
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    return new CuttingProxy(server, url)
  }

  private constructor(server: Server, target: URL) {
    this.#server = server
    const own = new URL(target)
    own.hostname = '127.0.0.1'
    own.port = String((server.address() as { port: number }).port)
    this.url = own.href
    server.on('connection', (client) => this.#connect(client, target))
  }

  /** The next `times` connections over which the prepared statement goes are lost before its answer. */
  cutAfter(statement: string, times: number): void {
    this.#armed.set(statement, times)
  }

  /** Whoever listens from now on listens to the wrong channel: no NOTIFY arrives. */
  loseNotifications(): void {
    this.#deaf = true
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    await new Promise((resolve) => this.#server.close(resolve))
  }

  #connect(client: Socket, target: URL): void {
    const server = connectTo({ host: target.hostname, port: Number(target.port) })
    let cutting: string | null = null
    for (const socket of [client, server]) {
      socket.setNoDelay(true)
      this.#sockets.add(socket)
      socket.on('error', () => {})
      socket.on('close', () => {
        this.#sockets.delete(socket)
        client.destroy()
        server.destroy()
      })
    }
    client.on('data', (chunk) => {
      for (const [statement, times] of this.#armed) {
        // The name stands in Parse and in Bind; a statement is only sent whole.
        if (times > 0 && cutting === null && chunk.includes(`${statement}\0`, 0, 'latin1')) {
          this.#armed.set(statement, times - 1)
          cutting = statement
        }
      }
      const listen = this.#deaf ? chunk.indexOf('LISTEN stet\0') : -1
      if (listen !== -1) chunk.write('LISTEN deaf\0', listen)
      server.write(chunk)
    })
    server.on('data', (chunk) => {
      if (cutting === null) {
        client.write(chunk)
        return
      }
      // ReadyForQuery is the last word on a statement, said after its commit: until then nothing is lost for sure.
      if (!endsReady(chunk)) return
      this.cuts.set(cutting, (this.cuts.get(cutting) ?? 0) + 1)
      client.resetAndDestroy()
      server.destroy()
    })
  }
}

function endsReady(chunk: Buffer): boolean {
  const n = chunk.length
  return n >= 6 && chunk[n - 6] === 0x5a /* Z */ && chunk.readInt32BE(n - 5) === 5
}
