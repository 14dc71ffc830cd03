/** What the tools ask a database: can it be reached, is it set up as it should be, what is there to do and by whom. */
import { NoDatabaseError } from '../../core/errors.js'
import type { RunStatus } from '../../core/types.js'
import type { WorkerLanes } from '../port.js'
import { intArray, textArray } from './arrays.js'
import { type Db, Lane } from './db.js'
import { migrations } from './migrations/index.js'

/**
 * Connects once, so that a wrong URL is told at once instead of after all the patience that a worker has.
 * @throws NoDatabaseError
 */
export async function reach(url: string): Promise<void> {
  const lane = new Lane({ url })
  try {
    await lane.connect()
  } catch (error) {
    const { code, message } = error as { code?: string; message?: string }
    // Starting up, or full for a moment: those who use the store wait for it.
    if (code === '57P03' || code === '53300') return
    throw new NoDatabaseError(
      `the database cannot be used: ${message || code}. Is it running, and are host, name and password right?`,
      { cause: error },
    )
  } finally {
    await lane.close()
  }
}

export interface ServerFacts {
  readonly version: string
  /** As in `server_version_num`. */
  readonly number: number
  readonly fsync: boolean
  readonly fullPageWrites: boolean
  readonly synchronousCommit: string
  readonly inRecovery: boolean
  /** ms since the epoch. */
  readonly now: number
}

export async function serverFacts(db: Db): Promise<ServerFacts> {
  const { rows } = await db.query({
    text: `SELECT current_setting('server_version') AS version, current_setting('server_version_num')::int AS number,
                  current_setting('fsync') = 'on' AS fsync, current_setting('full_page_writes') = 'on' AS full_page_writes,
                  current_setting('synchronous_commit') AS synchronous_commit, pg_is_in_recovery() AS in_recovery,
                  (extract(epoch FROM clock_timestamp()) * 1000)::float8 AS now`,
  })
  const row = rows[0]
  return {
    version: row.version,
    number: row.number,
    fsync: row.fsync,
    fullPageWrites: row.full_page_writes,
    synchronousCommit: row.synchronous_commit,
    inRecovery: row.in_recovery,
    now: row.now,
  }
}

/** How many migrations this release has. */
export const latestMigration = migrations.length

export interface LiveWorker {
  readonly id: string
  readonly host: string
  readonly pid: number
  readonly queues: readonly string[]
  readonly workflows: readonly { readonly name: string; readonly version: number }[]
}

export async function liveWorkers(db: Db): Promise<LiveWorker[]> {
  const { rows } = await db.query({
    text: 'SELECT id, host, pid, queues, workflows, versions FROM stet_store.workers WHERE expires_at > clock_timestamp() ORDER BY id',
  })
  return rows.map((row) => ({
    id: row.id,
    host: row.host,
    pid: row.pid,
    queues: row.queues,
    workflows: row.workflows.map((name: string, i: number) => ({ name, version: row.versions[i] })),
  }))
}

export interface StuckRuns {
  readonly status: RunStatus
  readonly workflow: string
  readonly version: number
  readonly queue: string
  readonly count: number
  readonly example: string
  /** When the longest waiting one could have begun, ms since the epoch. */
  readonly since: number
}

/** Runs that are blocked, and runs that are ready and that no live worker can take, grouped. */
export async function stuckRuns(db: Db): Promise<StuckRuns[]> {
  const { rows } = await db.query({
    text: `SELECT r.status, r.workflow, r.version, r.queue, count(*)::int AS count, min(r.id) AS example,
                  (extract(epoch FROM min(coalesce(r.due, r.created_at))) * 1000)::float8 AS since
             FROM stet_store.runs r
            WHERE r.status = 'blocked'
               OR (r.status = 'pending' AND r.due <= stet_store.clock() AND NOT EXISTS (
                    SELECT FROM stet_store.workers w, unnest(w.workflows, w.versions) v(name, version)
                     WHERE w.expires_at > clock_timestamp() AND r.queue = ANY(w.queues) AND v.name = r.workflow
                       AND r.version IN (v.version, 0)))
            GROUP BY 1, 2, 3, 4 ORDER BY 5 DESC LIMIT 50`,
  })
  return rows as StuckRuns[]
}

/** True while there is something that a worker with these lanes could do now. */
export async function hasWork(db: Db, lanes: WorkerLanes): Promise<boolean> {
  const rows = lanes.queues.flatMap((queue) => lanes.workflows.map((workflow) => ({ queue, ...workflow })))
  const { rows: found } = await db.query({
    text: `SELECT EXISTS (
             SELECT FROM unnest($1::text[], $2::text[], $3::int[]) AS lane(queue, workflow, version), stet_store.runs r
              WHERE r.status IN ('pending', 'waiting') AND r.queue = lane.queue AND r.workflow = lane.workflow
                AND r.version IN (lane.version, 0) AND r.due <= stet_store.clock()) AS work`,
    values: [
      textArray(rows.map(({ queue }) => queue)),
      textArray(rows.map(({ name }) => name)),
      intArray(rows.map(({ version }) => version)),
    ],
  })
  return found[0].work
}
