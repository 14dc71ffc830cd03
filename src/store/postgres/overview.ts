import { payloadField } from '../../core/events.js'
import { runStatuses } from '../../core/statuses.js'
import type { RunStatus } from '../../core/types.js'
import {
  type LiveWorker,
  maxEventBytes,
  maxQueued,
  type Overview,
  type Page,
  type Place,
  type PlacedEvent,
  type QueuedRuns,
} from '../overview.js'
import { maxCounted, type RunRow } from '../port.js'
import { intArray, textArray } from './arrays.js'
import { beginAudit, endAudit, readAudit } from './audit.js'
import { toEvent } from './claims.js'
import type { Db } from './db.js'
import { rowColumns, toRow } from './reads.js'

/** How long a call waits for a database that does not answer, before it says so. */
const patient = { giveUpAfterMs: 15_000 }

export function overviewOf(db: Db): Overview {
  return {
    eventsAfter: (places, limit) => db.retrying('read events', () => eventsAfter(db, places, limit), patient),
    rows: (runIds, newest) => db.retrying('read runs', () => readRows(db, runIds, newest), patient),
    relatives: (runId, kind, page) =>
      db.retrying('read relatives of a run', () => readRelatives(db, runId, kind, page), patient),
    checkpoint: (runId, op) => db.retrying('read a checkpoint', () => readCheckpoint(db, runId, op), patient),
    countRuns: () => db.retrying('count runs', () => countRuns(db), patient),
    queuedRuns: () => db.retrying('count runs by queue', () => countQueued(db), patient),
    liveWorkers: () => db.retrying('list workers', () => liveWorkers(db), patient),
    knownWorkflows: () => db.retrying('list workflows', () => knownWorkflows(db), patient),
    // Not tried again: an action would be on record twice. Whoever acts is told, and has done nothing yet.
    beginAudit: (entries) => beginAudit(db, entries),
    endAudit: (ends) => db.retrying('record an action', () => endAudit(db, ends), patient),
    readAudit: (page) => db.retrying('read actions', () => readAudit(db, page), patient),
  }
}

const errorTypes = Object.entries(payloadField)
  .flatMap(([type, field]) => (field === 'error' ? [`'${type}'`] : []))
  .join(', ')

/** Lengths are known without the payloads being read. */
async function eventsAfter(db: Db, places: readonly Place[], limit: number): Promise<PlacedEvent[][]> {
  const found: PlacedEvent[][] = places.map(() => [])
  const { rows } = await db.query({
    name: 'stet_events_after',
    text: `SELECT i, seq, type, op, name, CASE WHEN bytes <= most THEN payload END AS payload, CASE WHEN bytes > most THEN bytes END AS omitted,
                  facts, (extract(epoch FROM at) * 1000)::float8 AS at
             FROM (SELECT *, sum(CASE WHEN bytes > most THEN 0 ELSE bytes END) OVER (ORDER BY i, seq ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before
                     FROM (SELECT u.i, h.*, coalesce(octet_length(h.payload), 0) AS bytes,
                                  CASE WHEN u.most IS NULL OR h.type IN (${errorTypes}) THEN ${2 ** 31 - 1} ELSE u.most END AS most
                             FROM unnest($1::int[], $2::text[], $3::int[], $5::int[]) AS u(i, id, after, most),
                                  LATERAL (SELECT * FROM stet_store.history h WHERE h.run_id = u.id AND h.seq > u.after ORDER BY h.seq LIMIT $4) h) e) p
            WHERE coalesce(before, 0) < ${maxEventBytes} ORDER BY i, seq`,
    values: [
      intArray(places.map((_, i) => i)),
      textArray(places.map(({ runId }) => runId)),
      intArray(places.map(({ after }) => after)),
      limit,
      intArray(places.map(({ maxPayload }) => maxPayload ?? null)),
    ],
  })
  for (const { omitted, ...row } of rows) {
    const event = toEvent(row as (typeof rows)[number])
    found[row.i]!.push(omitted === null ? event : { ...event, omitted })
  }
  return found
}

async function readRows(db: Db, runIds: readonly string[], newest: number): Promise<RunRow[]> {
  const { rows } = await db.query({
    name: 'stet_rows',
    text: `SELECT ${rowColumns}
             FROM (SELECT id COLLATE "C" AS id FROM unnest($1::text[]) AS u(id)
                   UNION (SELECT run_id FROM stet_store.runs ORDER BY run_id DESC LIMIT $2)) w
             JOIN stet_store.runs r ON r.run_id = w.id ORDER BY r.run_id DESC`,
    values: [textArray(runIds), newest],
  })
  return rows.map(toRow)
}

async function readCheckpoint(db: Db, runId: string, op: number): Promise<{ payload: string | null } | null> {
  const { rows } = await db.query({
    text: 'SELECT payload FROM stet_store.checkpoints WHERE run_id = $1 AND op = $2',
    values: [runId, op],
  })
  return rows[0] ?? null
}

const related = { child: 'parent_run_id', fork: 'forked_from' } as const

async function readRelatives(
  db: Db,
  runId: string,
  kind: 'child' | 'fork',
  { limit, after }: Page,
): Promise<{ rows: RunRow[]; next: string | null }> {
  const { rows } = await db.query({
    text: `SELECT ${rowColumns} FROM stet_store.runs r
            WHERE r.${related[kind]} = $1 ${after === undefined ? '' : 'AND r.run_id < $3'} ORDER BY r.run_id DESC LIMIT $2`,
    values: [runId, limit + 1, ...(after === undefined ? [] : [after])],
  })
  const page = rows.slice(0, limit).map(toRow)
  return { rows: page, next: rows.length > limit ? page.at(-1)!.runId : null }
}

const countAll = runStatuses
  .map(
    (status) =>
      `(SELECT count(*)::int FROM (SELECT FROM stet_store.runs WHERE status = '${status}' LIMIT ${maxCounted + 1}) x) AS ${status}`,
  )
  .join(', ')

async function countRuns(db: Db): Promise<Record<RunStatus, number>> {
  const { rows } = await db.query({ name: 'stet_count_runs', text: `SELECT ${countAll}` })
  return rows[0]
}

async function liveWorkers(db: Db): Promise<LiveWorker[]> {
  const { rows } = await db.query({
    text: `SELECT w.id, w.host, w.pid, w.queues, w.workflows, w.versions,
                  (extract(epoch FROM w.started_at) * 1000)::float8 AS started_at,
                  greatest(0, extract(epoch FROM clock_timestamp() - w.beat_at) * 1000)::float8 AS beat_age_ms,
                  (SELECT count(*)::int FROM (SELECT FROM stet_store.runs r WHERE r.owner = w.id LIMIT $1) x) AS runs
             FROM stet_store.workers w WHERE w.expires_at > clock_timestamp() ORDER BY w.id LIMIT 1000`,
    values: [maxCounted + 1],
  })
  return rows.map(({ id, host, pid, queues, workflows, versions, started_at, beat_age_ms, runs }) => ({
    ...{ id, host, pid, queues, runs, startedAt: started_at, beatAgeMs: beat_age_ms },
    workflows: workflows.map((name: string, i: number) => ({ name, version: versions[i] })),
  }))
}

/** Those whose newest runs are counted by queue. */
const queued = ['running', 'waiting', 'paused', 'blocked'] as const

async function countQueued(db: Db): Promise<QueuedRuns> {
  const { rows } = await db.query({
    text: `SELECT n.queue, s.status, count(*)::int AS n
             FROM (VALUES ${queued.map((status) => `('${status}' COLLATE "C")`).join(', ')}) s(status),
                  LATERAL (SELECT r.queue FROM stet_store.runs r WHERE (r.status, r.run_id) >= (s.status, '') AND (r.status, r.run_id) < (s.status, '\u{10ffff}')
                            ORDER BY r.status DESC, r.run_id DESC LIMIT ${maxQueued + 1}) n
            GROUP BY 1, 2 ORDER BY 1`,
  })
  const queues = new Map<string, { queue: string; running: number; waiting: number; paused: number; blocked: number }>()
  const totals = new Map<RunStatus, number>()
  for (const { queue, status, n } of rows as { queue: string; status: (typeof queued)[number]; n: number }[]) {
    const counts = queues.get(queue) ?? { queue, running: 0, waiting: 0, paused: 0, blocked: 0 }
    queues.set(queue, { ...counts, [status]: n })
    totals.set(status, (totals.get(status) ?? 0) + n)
  }
  return { queues: [...queues.values()], more: queued.filter((status) => (totals.get(status) ?? 0) > maxQueued) }
}

/**
 * From one workflow and version that has runs to the next, in the index: as many steps as there are of them, not of runs.
 * To be had as `kinds`.
 */
export const kindsOfRuns = `kinds AS (
  (SELECT workflow, version FROM stet_store.runs ORDER BY workflow, version LIMIT 1)
  UNION ALL
  SELECT n.workflow, n.version
    FROM kinds k, LATERAL (SELECT r.workflow, r.version FROM stet_store.runs r WHERE (r.workflow, r.version) > (k.workflow, k.version)
                            ORDER BY r.workflow, r.version LIMIT 1) n)`

async function knownWorkflows(db: Db): Promise<{ name: string; version: number; served: boolean }[]> {
  const { rows } = await db.query({
    text: `WITH RECURSIVE ${kindsOfRuns},
           live AS MATERIALIZED (
             SELECT v.name COLLATE "C" AS name, v.version FROM stet_store.workers w, unnest(w.workflows, w.versions) AS v(name, version)
              WHERE w.expires_at > clock_timestamp()),
           known AS (SELECT workflow, version FROM kinds UNION SELECT name, version FROM live)
           SELECT workflow AS name, version, EXISTS (SELECT FROM live l WHERE l.name = workflow AND l.version = k.version) AS served
             FROM known k WHERE version > 0 ORDER BY workflow, version`,
  })
  return rows
}
