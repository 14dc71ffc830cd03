/**
 * The Postgres that tests use: one server per run of the suite (started by `global.ts`), one database per test file,
 * made from a migrated template.
 */
import { randomBytes } from 'node:crypto'
import pg from 'pg'
import { afterAll, inject } from 'vitest'

declare module 'vitest' {
  interface ProvidedContext {
    serverUrl: string
    /** `test/chaos/worker.ts` as JavaScript. */
    workerProgram: string
  }
}

export const templateName = 'stet_template'

export interface TestDatabase {
  readonly url: string
  query(text: string, values?: unknown[]): Promise<pg.QueryResult>
}

/** A database of one's own, dropped when the test file is over. `empty`: stet has never seen it. */
export async function testDatabase({ empty = false } = {}): Promise<TestDatabase> {
  const serverUrl = inject('serverUrl')
  const name = `t_${randomBytes(6).toString('hex')}`
  await onServer(serverUrl, `CREATE DATABASE ${name} TEMPLATE ${empty ? 'template1' : templateName} STRATEGY wal_log`)
  const url = databaseUrl(serverUrl, name)
  const pool = new pg.Pool({ connectionString: url, max: 2 })
  pool.on('error', () => {})
  afterAll(async () => {
    await pool.end()
    await onServer(serverUrl, `DROP DATABASE IF EXISTS ${name} WITH (FORCE)`)
  })
  return { url, query: (text, values) => pool.query(text, values as any[]) }
}

export async function onServer(url: string, text: string): Promise<void> {
  const client = new pg.Client({ connectionString: url })
  client.on('error', () => {})
  await client.connect()
  try {
    await client.query(text)
  } finally {
    await client.end()
  }
}

export function databaseUrl(serverUrl: string, name: string): string {
  const url = new URL(serverUrl)
  url.pathname = `/${name}`
  return url.href
}
