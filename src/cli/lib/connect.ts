/** The database of a command: found by flag, environment, config or as the embedded one; said once; reached at once. */

import { checkSchema, defaultSchema } from '../../core/schema-name.js'
import type { Log } from '../../core/types.js'
import { readSettings } from '../../settings.js'
import { Stet } from '../../stet.js'
import { codedStore } from '../../store/coded.js'
import { startEmbedded } from '../../store/embedded/index.js'
import { reach } from '../../store/postgres/diagnostics.js'
import { createPostgresStore, type PostgresStore } from '../../store/postgres/store.js'
import { readConfigSchema, readConfigUrl, readEdges } from './config-file.js'
import { UsageError } from './errors.js'
import type { DatabaseOptions } from './options.js'
import { clean, paintTalk, say } from './term.js'

export interface Database {
  readonly url: string
  /** The application's schema in it. */
  readonly schema: string
  /** For people; no password in it. */
  readonly description: string
  /** True: this call started the embedded server. */
  readonly started: boolean
  readonly embedded: boolean
}

/**
 * Finds the database, says on stderr which one it is, and connects to it once.
 * @throws NoDatabaseError when there is none, or it cannot be reached
 */
export async function findDatabase(options: DatabaseOptions): Promise<Database> {
  const settings = readSettings(options.databaseUrl)
  const schema = await findSchema(options)
  const named = (place: string) => (schema === defaultSchema ? place : `${place}, schema ${schema}`)
  let found = settings.database
  if (options.databaseUrl !== undefined) found = { url: options.databaseUrl, from: '--database-url' }
  found ??= await readConfigUrl()
  if (found === null) {
    // Refuses in production, with the reason.
    if (settings.production) new Stet()
    const { url, started, version } = await startEmbedded({ ...settings.embedded, log: tell })
    const description = named(`embedded Postgres ${version} of ${settings.embedded.projectDir}`)
    tell(`database: ${description}`)
    return { url, schema, description, started, embedded: true }
  }
  if (!/^postgres(ql)?:\/\//.test(found.url)) {
    throw new UsageError(
      `${found.from}: expected a URL that begins with postgres://, as postgres://user:password@host:5432/database.`,
    )
  }
  const description = named(`${placeOf(found.url)} (${found.from})`)
  tell(`database: ${description}`)
  await reach(found.url)
  return { url: found.url, schema, description, started: false, embedded: false }
}

/** By flag, environment, config; else the default. */
async function findSchema(options: DatabaseOptions): Promise<string> {
  if (options.schema !== undefined) return options.schema
  const { schema } = readSettings()
  if (schema !== undefined) return checkSchema(schema, 'STET_SCHEMA')
  return (await readConfigSchema()) ?? defaultSchema
}

export interface Connection extends AsyncDisposable {
  readonly stet: Stet
  readonly store: PostgresStore
  readonly database: Database
}

/** A Stet on the database of the command. Migrates it first, as every process does. */
export async function connect(
  options: DatabaseOptions,
  settings: { poolSize?: number; log?: Log } = {},
): Promise<Connection> {
  const database = await findDatabase(options)
  // Commands do one thing after another: one connection is enough.
  const { url, schema } = database
  const stet = new Stet({ url, schema, poolSize: 1, log: talkingLog, ...(await readEdges()), ...settings })
  const { store } = await stet.internals()
  return { stet, store, database, [Symbol.asyncDispose]: () => stet.close() }
}

/** The store alone, as the database is: nothing is migrated. */
export async function openStore(options: DatabaseOptions): Promise<{ store: PostgresStore; database: Database }> {
  const database = await findDatabase(options)
  const store = createPostgresStore({ url: database.url, schema: database.schema, poolSize: 1, onWarning: tell })
  const { codec } = await readEdges()
  return { store: codec === undefined ? store : codedStore(store, codec), database }
}

function placeOf(url: string): string {
  try {
    const { hostname, port, pathname } = new URL(url)
    return clean(`${hostname || 'local'}${port === '' ? '' : `:${port}`}${decodeURIComponent(pathname)}`)
  } catch {
    return 'Postgres'
  }
}

function tell(message: string): void {
  say(paintTalk('dim', clean(message)))
}

const talkingLog: Log = {
  debug() {},
  info() {},
  warn: (message) => tell(message),
  error: (message) => tell(message),
}
