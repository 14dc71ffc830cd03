/** The Postgres store: each method is one function of a sibling file, tried again while the database is away. */

import { newId } from '../../core/ids.js'
import { defaultSchema } from '../../core/schema-name.js'
import type { AlertStore } from '../alerts.js'
import type { Store } from '../port.js'
import { laterHints } from '../requests.js'
import { alertsOf } from './alerts.js'
import { appendEvents } from './appends.js'
import { intArray, textArray } from './arrays.js'
import { bulksOf } from './bulks.js'
import { changeInTurn, changeRows } from './changes.js'
import { tellChildren } from './chores.js'
import { claimRuns, loadRuns, readHistories, wakeDue } from './claims.js'
import { Db, type DbOptions } from './db.js'
import { diagnose } from './diagnosis.js'
import { forkRun } from './forks.js'
import { publish, subscribe } from './hints.js'
import { holdLease } from './lease.js'
import { limitsOf } from './limits.js'
import { listRuns } from './lists.js'
import { closeUnowned, Posting, postMessages, readAnswers, readMessages } from './messages.js'
import { migrate } from './migrate.js'
import { overviewOf } from './overview.js'
import { pauseRun, resumeRun } from './pauses.js'
import { answerQuery, askQuery, collectAnswers, takeQueries } from './queries.js'
import { findRun, readResults } from './reads.js'
import { retentionOf } from './retention.js'
import { schedulesOf } from './schedules.js'
import { startAndPost, startRuns } from './starts.js'
import { statisticsOf } from './stats.js'
import { transactionStep } from './transactions.js'
import { countVersions, setVersion } from './versions.js'
import { giveBackStrays, goneWorkers, takeOver } from './workers.js'

export interface PostgresStore extends Store {
  readonly db: Db
  readonly alerts: AlertStore
}

/** How long a call of a client waits for a database that does not answer, before it says so. */
const clientPatienceMs = 15_000

export function createPostgresStore(options: DbOptions): PostgresStore {
  const db = new Db(options)
  const patient = { giveUpAfterMs: clientPatienceMs }
  const posting = new Posting(
    (messages) => db.retrying('send a message', () => postMessages(db, messages), patient),
    clientPatienceMs,
  )
  return {
    db,
    description: describe(options.url) + (db.schema === defaultSchema ? '' : `, schema ${db.schema}`),
    alerts: alertsOf(db),
    schedules: schedulesOf(db),
    migrate: () => db.retrying('migrate', () => migrate(db), patient),

    start: (requests) =>
      db.retrying(
        'start',
        () => {
          const started = startRuns((query) => db.calls.query(query), requests)
          // Right behind on the same connection: it is sent before the answer is here, and done after the commit.
          const queues = [...new Set(requests.map(({ queue }) => queue))]
          publish(db.calls, [{ kind: 'ready', queues }, ...laterHints(requests, Date.now())]).catch(() => {})
          return started
        },
        patient,
      ),
    post: (messages) => {
      // A signal without an id gets one, else a retry whose first try had been committed would be a second signal.
      const sent = messages.map((message) =>
        message.kind === 'signal' && message.messageId === null ? { ...message, messageId: newId('msg') } : message,
      )
      return posting.post(sent)
    },
    closeUnowned: (runId, how, reason) =>
      db.retrying('close a run', () => closeUnowned(db, runId, how, reason), patient),
    blockParked: (runId, claim, problem) =>
      db.retrying('block a run', async () => {
        const { rowCount } = await db.query({
          text: `UPDATE stet_store.runs SET status = 'blocked', due = NULL, problem = $3
                  WHERE run_id = $1 AND claim = $2 AND owner IS NULL AND status = 'waiting'`,
          values: [runId, claim, problem],
        })
        return rowCount === 1
      }),
    pause: (runId, problem) => db.retrying('pause', () => pauseRun(db, runId, problem), patient),
    resume: (runId) => db.retrying('resume', () => resumeRun(db, runId), patient),
    find: (ref) => db.retrying('look up a run', () => findRun(db, ref), patient),
    list: (filter) => db.retrying('list runs', () => listRuns(db, filter), patient),
    history: async (runId) =>
      (await db.retrying('read a history', () => readHistories(db, [runId]), patient)).get(runId) ?? [],
    histories: (runIds) => db.retrying('read histories', () => readHistories(db, runIds), patient),
    diagnose: (ref) => db.retrying('look into a run', () => diagnose(db, ref), patient),
    results: (runIds) => db.retrying('read results', () => readResults(db, runIds)),
    answers: (updates) => db.retrying('read answers', () => readAnswers(db, updates)),
    fork: (request) =>
      db.retrying(
        'fork',
        async () => {
          const existing = await forkRun(db, request)
          publish(db.calls, [{ kind: 'ready', queues: [request.queue] }]).catch(() => {})
          return existing
        },
        patient,
      ),
    startAndPost: (request, message) =>
      db.retrying('start and send', () => startAndPost(db, request, message), patient),
    ask: (query) => db.retrying('ask a run', () => askQuery(db, query), patient),
    collectAnswers: (ids) => db.retrying('read answers', () => collectAnswers(db, ids), patient),
    setVersion: (runId, version) => db.retrying('set a version', () => setVersion(db, runId, version), patient),
    versions: (workflow) => db.retrying('count versions', () => countVersions(db, workflow), patient),

    holdLease: (worker, leaseMs, beatMs, listener) =>
      holdLease({ url: options.url, schema: db.schema, worker, leaseMs, beatMs }, listener),
    goneWorkers: () => db.retrying('look for dead workers', () => goneWorkers(db)),
    unregister: async (workerId) => {
      await db.query({ text: 'DELETE FROM stet_store.workers WHERE id = $1', values: [workerId] })
    },
    takeOver: (dead) => db.retrying('take over', () => takeOver(db, dead)),
    wake: () => db.retrying('wake runs', () => wakeDue(db)),
    claim: (workerId, lanes, limit, how) => db.retrying('claim', () => claimRuns(db, workerId, lanes, limit, how)),
    giveBackStrays: (workerId, held) => db.retrying('give back runs', () => giveBackStrays(db, workerId, held)),
    load: (runIds) => db.retrying('load runs', () => loadRuns(db, runIds)),
    inbox: (runIds) => db.retrying('read messages', () => readMessages(db, runIds)),
    append: (workerId, batch, events) => db.retrying('append', () => appendEvents(db, workerId, batch, events)),
    change: (workerId, changes) => db.retrying('change runs', () => changeRows(db, workerId, changes)),
    changeInTurn: (workerId, change) => db.retrying('change a run', () => changeInTurn(db, workerId, change)),
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
    transaction: (workerId, run, body) => transactionStep(db, workerId, run, body),
    setAttributes: (workerId, runId, claim, attributes) =>
      db.retrying('set attributes', async () => {
        const { rowCount } = await db.query({
          text: `WITH w AS MATERIALIZED (SELECT 1 FROM stet_store.workers WHERE id = $1 FOR KEY SHARE)
                 UPDATE stet_store.runs r SET attributes = coalesce(r.attributes, '{}') || $4::jsonb FROM w
                  WHERE r.run_id = $2 AND r.owner = $1 AND r.claim = $3`,
          values: [workerId, runId, claim, attributes],
        })
        return rowCount === 1
      }),
    tellChildren: () => db.retrying('tell children', () => tellChildren(db)),
    takeQueries: (workerId, lanes) => db.retrying('take queries', () => takeQueries(db, workerId, lanes)),
    answerQuery: (answer) => db.retrying('answer a query', () => answerQuery(db, answer), patient),
    unblock: (workflows) =>
      db.retrying('unblock runs', async () => {
        const { rowCount } = await db.query({
          text: `UPDATE stet_store.runs SET status = 'pending', due = stet_store.clock()
                  WHERE status = 'blocked' AND (workflow, version) IN (SELECT * FROM unnest($1::text[], $2::int[]))
                    AND problem::json ->> 'code' <> 'crash_loop'`,
          values: [textArray(workflows.map(({ name }) => name)), intArray(workflows.map(({ version }) => version))],
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
    ...overviewOf(db),
    ...statisticsOf(db),
    ...limitsOf(db),
    ...bulksOf(db),
    ...retentionOf(db),

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
