/** The server of the benchmark: the embedded Postgres with its durable defaults, in a folder of its own. */
import { chmodSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import { embeddedPaths, startEmbedded, stopEmbedded } from '../src/store/embedded/index.js'

export interface BenchServer {
  database(): Promise<string>
  /** Statements in the log so far, if it is told to have them. */
  statements(): number
  stop(): Promise<void>
}

export async function benchServer(settings: Record<string, string> = {}): Promise<BenchServer> {
  const folder = mkdtempSync(join(tmpdir(), 'stet-bench-'))
  chmodSync(folder, 0o755)
  const options = {
    projectDir: folder,
    dataDir: join(folder, 'pg'),
    pgBin: process.env.STET_PG_BIN,
    settings: { shared_buffers: '512MB', max_wal_size: '4GB', ...settings },
  }
  const server = await startEmbedded(options)
  const admin = new pg.Client(server.url)
  await admin.connect()
  let count = 0
  return {
    async database() {
      const name = `bench_${++count}`
      await admin.query(`CREATE DATABASE ${name}`)
      await admin.query('CHECKPOINT')
      const url = new URL(server.url)
      url.pathname = `/${name}`
      return url.href
    },
    statements: () =>
      readFileSync(embeddedPaths(options).logFile, 'utf8').match(/LOG: {2}(execute|statement)/g)?.length ?? 0,
    async stop() {
      await admin.end()
      await stopEmbedded(options, 'immediate')
      rmSync(folder, { recursive: true, force: true })
    },
  }
}
