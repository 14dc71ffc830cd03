/** What tests run on: a database of their own on a real Postgres, or the in-memory store. */
import { NoDatabaseError } from '../core/errors.js'
import type { Log } from '../core/types.js'
import { readSettings } from '../settings.js'
import { Stet, stetOn } from '../stet.js'
import { startEmbedded } from '../store/embedded/index.js'
import { createMemoryStore } from '../store/memory/store.js'
import { refuseTransaction } from '../store/memory/transactions.js'
import { createTestDatabase, dropTestDatabase, postgresTime } from '../store/postgres/test-database.js'
import type { TestTime } from '../store/test-time.js'

export interface TestStore {
  readonly stet: Stet
  /** Moves the clock of the store. */
  readonly time: TestTime
  /** Closes it and deletes what is in it. */
  remove(): Promise<void>
}

/** @throws NoDatabaseError when there is no server */
export async function openPostgres(url: string | undefined, log: Log): Promise<TestStore> {
  const serverUrl = url ?? (await embeddedUrl())
  const database = await createTestDatabase(serverUrl)
  const stet = new Stet({ url: database.url, log })
  const remove = async () => {
    try {
      await stet.close()
    } finally {
      await dropTestDatabase(serverUrl, database.name)
    }
  }
  try {
    const { store } = await stet.internals()
    return { stet, time: postgresTime(store.db), remove }
  } catch (error) {
    await remove().catch(() => {})
    throw error
  }
}

export function openMemory(log: Log): TestStore {
  const store = createMemoryStore()
  const stet = stetOn({ store, startInTransaction: refuseTransaction, postInTransaction: refuseTransaction }, { log })
  return { stet, time: store.time, remove: () => stet.close() }
}

async function embeddedUrl(): Promise<string> {
  try {
    return (await startEmbedded(readSettings().embedded)).url
  } catch (error) {
    if (!(error instanceof NoDatabaseError)) throw error
    throw new NoDatabaseError(
      `${error.message} For testEnv: pass { url } of a server on which it may create databases, or { database: 'memory' }, which needs none.`,
      { cause: error },
    )
  }
}
