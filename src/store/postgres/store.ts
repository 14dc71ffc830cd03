/** The Postgres store: each method is one function of a sibling file, tried again while the database is away. */
import type { Store } from '../port.js'
import { appendEvents, changeRows } from './appends.js'
import { textArray } from './arrays.js'
import { claimRuns, loadRuns, readHistories, wakeDue } from './claims.js'
import { Db, type DbOptions } from './db.js'
import { publish, subscribe } from './hints.js'
import { holdLease } from './lease.js'
import { closeUnowned, postMessages, readMessages } from './messages.js'
import { migrate } from './migrate.js'
import { findRun, listRuns, readResults } from './reads.js'
import { startRuns } from './starts.js'
import { goneWorkers, takeOver } from './workers.js'

export interface PostgresStore extends Store {
  readonly db: Db
}

/** How long a call of a client waits for a database that does not answer, before it says so. */
const clientPatienceMs = 15_000

export function createPostgresStore(options: DbOptions): PostgresStore {
  const db = new Db(options)
  const patient = { giveUpAfterMs: clientPatienceMs }
  return {
    db,
    description: describe(options.url),
    migrate: () => db.retrying('migrate', () => migrate(db), patient),

    start: (requests) =>
      db.retrying(
        'start',
        () => {
          const started = startRuns((query) => db.calls.query(query), requests)
          // Right behind on the same connection: it is sent before the answer is here, and done after the commit.
          const queues = [...new Set(requests.map(({ queue }) => queue))]
          publish(db.calls, [{ kind: 'ready', queues }]).catch(() => {})
          return started
        },
        patient,
      ),
    post: (messages) => db.retrying('send a message', () => postMessages(db, messages), patient),
    closeUnowned: (runId, how, reason) =>
      db.retrying('close a run', () => closeUnowned(db, runId, how, reason), patient),
    resume: (runId) =>
      db.retrying(
        'resume',
        async () => {
          const { rowCount } = await db.query({
            text: `UPDATE stet_store.runs SET status = 'pending', due = stet_store.clock(), problem = NULL, crashes = 0, crash_seq = 0
                    WHERE run_id = $1 AND status IN ('blocked', 'paused')`,
            values: [runId],
          })
          return rowCount === 1
        },
        patient,
      ),
    find: (ref) => db.retrying('look up a run', () => findRun(db, ref), patient),
    list: (filter) => db.retrying('list runs', () => listRuns(db, filter), patient),
    history: async (runId) =>
      (await db.retrying('read a history', () => readHistories(db, [runId]), patient)).get(runId) ?? [],
    results: (runIds) => db.retrying('read results', () => readResults(db, runIds)),

    holdLease: (worker, leaseMs, beatMs, listener) =>
      holdLease({ url: options.url, worker, leaseMs, beatMs }, listener),
    goneWorkers: () => db.retrying('look for dead workers', () => goneWorkers(db)),
    unregister: async (workerId) => {
      await db.query({ text: 'DELETE FROM stet_store.workers WHERE id = $1', values: [workerId] })
    },
    takeOver: (dead) => db.retrying('take over', () => takeOver(db, dead)),
    wake: () => db.retrying('wake runs', () => wakeDue(db)),
    claim: (workerId, lanes, limit, suspects) =>
      db.retrying('claim', () => claimRuns(db, workerId, lanes, limit, suspects)),
    load: (runIds) => db.retrying('load runs', () => loadRuns(db, runIds)),
    inbox: (runIds) => db.retrying('read messages', () => readMessages(db, runIds)),
    append: (workerId, batch, events) => db.retrying('append', () => appendEvents(db, workerId, batch, events)),
    change: (workerId, changes) => db.retrying('change runs', () => changeRows(db, workerId, changes)),
    saveCheckpoint: (workerId, runId, claim, op, payload) =>
      db.retrying('save a checkpoint', async () => {
        const { rowCount } = await db.query({
          name: 'stet_checkpoint',
          text: `WITH w AS MATERIALIZED (SELECT 1 FROM stet_store.workers WHERE id = $1 FOR KEY SHARE)
                 INSERT INTO stet_store.checkpoints (run_id, op, payload, at)
                 SELECT r.run_id, $4, $5, stet_store.clock() FROM w, stet_store.runs r
                  WHERE r.run_id = $2 AND r.owner = $1 AND r.claim = $3
                     ON CONFLICT (run_id, op) DO UPDATE SET payload = EXCLUDED.payload, at = EXCLUDED.at`,
          values: [workerId, runId, claim, op, payload],
        })
        return rowCount === 1
      }),
    unblock: (workflows) =>
      db.retrying('unblock runs', async () => {
        const { rowCount } = await db.query({
          text: `UPDATE stet_store.runs SET status = 'pending', due = stet_store.clock()
                  WHERE status = 'blocked' AND workflow = ANY($1::text[]) AND problem::json ->> 'code' <> 'crash_loop'`,
          values: [textArray(workflows)],
        })
        return rowCount ?? 0
      }),
    now: () =>
      db.retrying('ask the time', async () => {
        const { rows } = await db.query({
          name: 'stet_now',
          text: 'SELECT (extract(epoch FROM stet_store.clock()) * 1000)::float8 AS now',
        })
        return rows[0].now
      }),

    publish: (hints) => publish(db.rows, hints),
    subscribe: (listener) => subscribe(db, listener),
    close: () => db.close(),
  }
}

function describe(url: string): string {
  try {
    const { hostname, port, pathname } = new URL(url)
    return `${hostname || 'local'}${port === '' ? '' : `:${port}`}${pathname}`
  } catch {
    return 'a Postgres database'
  }
}
