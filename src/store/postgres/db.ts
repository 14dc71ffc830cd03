/**
 * Connections to Postgres.
 *
 * A *lane* is one connection that one kind of statement has for itself, so that a flush never waits behind a long
 * read. With a pool of size 1 all lanes are the same connection; nothing may hold one while it waits for another.
 */
import type pg from 'pg'
import { NoDatabaseError } from '../../core/errors.js'
import { defaultSchema } from '../../core/schema-name.js'
import { columnTypes, type Driver, loadPg } from '../pg.js'
import { namesOf } from './schema.js'

export interface DbOptions {
  readonly url: string
  /** The application's schema (`schema.ts`); default `stet`. */
  readonly schema?: string
  /** Connections for statements, beside the ones that listen and beat. At least 1; default 5. */
  readonly poolSize?: number
  readonly onWarning?: (message: string) => void
}

export interface Query {
  readonly name?: string
  readonly text: string
  readonly values?: readonly unknown[]
}

export interface Rows<Row = any> {
  readonly rows: Row[]
  readonly rowCount: number | null
}

export type Ask = (query: Query) => Promise<Rows>
type ConnectHook = (query: Ask, client: pg.Client) => Promise<unknown>

/** Below the lease (10 s): a statement of a worker that hangs is over before others take the worker for dead. */
const statementTimeoutMs = 8_000

const connectTimeoutMs = 5_000

const closeTimeoutMs = 1_000

function clientConfig(url: string, driver: Driver): pg.ClientConfig {
  return {
    connectionString: url,
    types: columnTypes(driver),
    application_name: 'stet',
    // Statements are sent without waiting for the answers before them; each is a transaction of its own.
    pipeline: true,
    // Planning one of the larger statements costs more than running it, and no parameter changes the best plan: by index,
    // also while the tables are still small or their statistics old.
    options: '-c plan_cache_mode=force_generic_plan -c enable_seqscan=off',
    connectionTimeoutMillis: connectTimeoutMs,
    statement_timeout: statementTimeoutMs,
    idle_in_transaction_session_timeout: statementTimeoutMs,
    // A socket that neither answers nor closes (half-open): the statement's own limit has passed long before.
    query_timeout: statementTimeoutMs + 2_000,
    keepAlive: true,
    keepAliveInitialDelayMillis: 10_000,
  }
}

/** Statements as they are handed to the driver: with the names of the application. */
function naming(schema: string): (query: Query) => pg.QueryConfig {
  const named = namesOf(schema)
  return (query) => {
    const text = named(query.text)
    return (text === query.text ? query : { ...query, text }) as pg.QueryConfig
  }
}

/** A connection that mends itself: a broken one is replaced by the next query. */
export class Lane {
  readonly #url: string
  readonly #name: (query: Query) => pg.QueryConfig
  readonly #onConnect: ConnectHook | undefined
  readonly #onLost: (() => void) | undefined
  #client: pg.Client | null = null
  #connecting: Promise<pg.Client> | null = null
  /** The end of the transaction that has the connection for itself. */
  #exclusive: Promise<void> | null = null
  #closed = false

  constructor(
    { url, schema = defaultSchema }: Pick<DbOptions, 'url' | 'schema'>,
    hooks: { onConnect?: ConnectHook; onLost?: () => void } = {},
  ) {
    this.#url = url
    this.#name = naming(schema)
    this.#onConnect = hooks.onConnect
    this.#onLost = hooks.onLost
  }

  query<Row = any>(query: Query): Promise<Rows<Row>> {
    // The common case takes no detour over another promise: every hop shows in the latency of a step.
    return this.#client !== null && this.#exclusive === null
      ? this.#client.query<any>(this.#name(query))
      : this.#connectAndQuery(query)
  }

  /**
   * Gives `body` the connection for itself: whatever else comes waits until it is over, so that nobody's statement gets
   * into another's transaction. The client does not mend itself: what was lost with it is not continued elsewhere.
   */
  async exclusively<T>(body: (client: pg.Client) => Promise<T>): Promise<T> {
    while (this.#exclusive !== null) await this.#exclusive
    let over = () => {}
    this.#exclusive = new Promise((resolve) => {
      over = () => {
        this.#exclusive = null
        resolve()
      }
    })
    try {
      return await body(await this.connect())
    } finally {
      over()
    }
  }

  async connect(): Promise<pg.Client> {
    if (this.#client !== null) return this.#client
    if (this.#closed) throw new Error('the connection is closed')
    this.#connecting ??= this.#open().finally(() => {
      this.#connecting = null
    })
    return this.#connecting
  }

  async close(): Promise<void> {
    this.#closed = true
    const client = this.#client ?? (await this.#connecting?.catch(() => null)) ?? null
    this.#client = null
    if (client === null) return
    // A server that does not answer must not keep its client from going.
    const limit = setTimeout(() => (client as any).connection.stream.destroy(), closeTimeoutMs)
    await client.end().catch(() => {})
    clearTimeout(limit)
  }

  async #connectAndQuery(query: Query): Promise<Rows<any>> {
    while (this.#exclusive !== null) await this.#exclusive
    const client = await this.connect()
    return client.query<any>(this.#name(query))
  }

  async #open(): Promise<pg.Client> {
    const driver = await loadPg()
    const client = new driver.Client(clientConfig(this.#url, driver))
    const lost = () => {
      if (this.#client !== client) return
      this.#client = null
      this.#onLost?.()
    }
    // Without these two listeners a broken idle connection would end the process.
    client.on('error', lost)
    client.on('end', lost)
    try {
      await client.connect()
      await this.#onConnect?.((query) => client.query<any>(this.#name(query)), client)
    } catch (error) {
      client.end().catch(() => {})
      throw error
    }
    if (this.#closed) {
      await client.end().catch(() => {})
      throw new Error('the connection is closed')
    }
    this.#client = client
    return client
  }
}

export class Db {
  readonly url: string
  /** The application's schema. */
  readonly schema: string
  /** Appends of events. */
  readonly events: Lane
  /** Changes of run rows. */
  readonly rows: Lane
  /** Starts and claims: short, and somebody waits for them. */
  readonly calls: Lane
  readonly #name: (query: Query) => pg.QueryConfig
  readonly #size: number
  #pool: Promise<pg.Pool> | null = null
  readonly #only: Lane | null
  readonly #lanes: Lane[]
  readonly #onWarning: (message: string) => void
  #closing = false
  #wakeRetries = new Set<() => void>()

  constructor(options: DbOptions) {
    this.#size = options.poolSize ?? 5
    this.url = options.url
    this.schema = options.schema ?? defaultSchema
    this.#name = naming(this.schema)
    this.#onWarning = options.onWarning ?? (() => {})
    if (this.#size < 4) {
      this.#only = new Lane(this)
      this.events = this.#only
      this.rows = this.#only
      this.calls = this.#only
      this.#lanes = [this.#only]
    } else {
      this.#only = null
      this.events = new Lane(this)
      this.rows = new Lane(this)
      this.calls = new Lane(this)
      this.#lanes = [this.events, this.rows, this.calls]
    }
  }

  get closing(): boolean {
    return this.#closing
  }

  /** A statement that belongs to no lane. */
  async query<Row = any>(query: Query): Promise<Rows<Row>> {
    return this.#only !== null ? this.#only.query(query) : (await this.#connections()).query<any>(this.#name(query))
  }

  /** Runs `body` in a transaction of its own. `asIs` is for statements of users, whose names are theirs. */
  async transaction<T>(body: (query: Ask, asIs: Ask) => Promise<T>): Promise<T> {
    const ask =
      (client: pg.ClientBase): Ask =>
      (query) =>
        client.query<any>(this.#name(query))
    const within = (client: pg.ClientBase) => inTransaction(client, (asIs) => body(ask(client), asIs))
    if (this.#only !== null) {
      return this.#only.exclusively(async (client) => {
        try {
          return await within(client)
        } catch (error) {
          // A connection that may still be in a transaction is of no use to those who come next.
          await client.query('ROLLBACK').catch(() => (client as any).connection.stream.destroy())
          throw error
        }
      })
    }
    const client = await (await this.#connections()).connect()
    let broken = false
    try {
      return await within(client)
    } catch (error) {
      await client.query('ROLLBACK').catch(() => {
        broken = true
      })
      throw error
    } finally {
      client.release(broken)
    }
  }

  /** An extra connection, for listening; closed with the rest. */
  lane(hooks: ConstructorParameters<typeof Lane>[1]): Lane {
    const lane = new Lane(this, hooks)
    this.#lanes.push(lane)
    return lane
  }

  /**
   * Tries again, with growing pauses, for as long as the trouble is the database's or the network's. What `attempt`
   * does must be harmless to do twice: a commit may have happened although it was reported as failed.
   */
  async retrying<T>(what: string, attempt: () => Promise<T>, options: { giveUpAfterMs?: number } = {}): Promise<T> {
    const giveUpAt = performance.now() + (options.giveUpAfterMs ?? Number.POSITIVE_INFINITY)
    for (let pause = 20, tries = 1; ; tries++, pause = Math.min(pause * 2, 1_000)) {
      try {
        return await attempt()
      } catch (error) {
        if (this.#closing || !isTransient(error)) throw error
        if (performance.now() + pause > giveUpAt) {
          throw new NoDatabaseError(
            `${what}: the database did not answer (${(error as Error).message}). Is it running, and is the URL right?`,
            { cause: error },
          )
        }
        if (tries === 3)
          this.#onWarning(`${what}: ${(error as Error).message}; trying again until the database is back`)
      }
      await this.#pause(pause * (0.75 + Math.random() / 2))
    }
  }

  async close(): Promise<void> {
    this.#closing = true
    for (const wake of this.#wakeRetries) wake()
    await Promise.all([...this.#lanes.map((lane) => lane.close()), this.#pool?.then((pool) => pool.end())])
  }

  #connections(): Promise<pg.Pool> {
    if (this.#pool === null && this.#closing) throw new Error('the connections are closed')
    this.#pool ??= loadPg().then((driver) => {
      const max = this.#size - this.#lanes.length
      const pool = new driver.Pool({ ...clientConfig(this.url, driver), max, idleTimeoutMillis: 60_000 })
      pool.on('error', () => {})
      pool.on('connect', (client) => client.on('error', () => {}))
      return pool
    })
    return this.#pool
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const wake = () => {
        clearTimeout(timer)
        this.#wakeRetries.delete(wake)
        resolve()
      }
      const timer = setTimeout(wake, ms)
      this.#wakeRetries.add(wake)
    })
  }
}

async function inTransaction<T>(client: pg.ClientBase, body: (query: Ask) => Promise<T>): Promise<T> {
  await client.query('BEGIN')
  const result = await body((query) => client.query<any>(query as pg.QueryConfig))
  await client.query('COMMIT')
  return result
}

/** SQLSTATE classes and codes that say nothing about the statement: another try may succeed. */
const transientCodes = new Set([
  '40001',
  '40P01', // serialization failure, deadlock
  '57P01',
  '57P02',
  '57P03',
  '57014',
  '57P05', // shutdown, crash, starting up, statement timeout, idle session timeout
  '53300',
  '53100',
  '53200', // too many connections, disk full, out of memory
  '53400',
  '58030', // configuration limit, I/O error
  '25006', // read-only: a former primary
  '55P03',
  '25P03', // lock timeout, idle in transaction
  'ECONNREFUSED',
  'ECONNRESET',
  'ECONNABORTED',
  'EADDRNOTAVAIL',
  'EMFILE',
  'ENFILE',
  'ERR_STREAM_DESTROYED',
  'ERR_STREAM_WRITE_AFTER_END',
  'EPIPE',
  'ETIMEDOUT',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOENT',
])

export function isTransient(error: unknown): boolean {
  const { code, message = '' } = (error ?? {}) as { code?: string; message?: string }
  if (code !== undefined) return transientCodes.has(code) || code.startsWith('08')
  // What pg says of its own accord has no code.
  return /connection|timeout|terminated|not queryable|closed/i.test(message)
}
