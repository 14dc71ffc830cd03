/**
 * What alert rules look at (`store/alerts.ts`: B4). Where a figure is of each workflow, the index is jumped through from
 * one workflow to the next: as many steps as there are of them, not of runs.
 */
import {
  type AlertFigures,
  type DurationRow,
  type LostWorker,
  maxFigures,
  type OpenRun,
  type SeriesRow,
  type UnservedLane,
} from '../alerts.js'
import { maxCounted } from '../port.js'
import { floatArray, textArray } from './arrays.js'
import type { Db } from './db.js'
import { ms } from './reads.js'
import { readyKinds } from './ready.js'
import { statisticsOf } from './stats.js'

const patient = { giveUpAfterMs: 10_000 }

export function figuresOf(db: Db): AlertFigures {
  const read = <T>(body: () => Promise<T>) => db.retrying('read figures for alerts', body, patient)
  const { readStats } = statisticsOf(db)
  return {
    oldestOpen: (workflow) => read(() => oldestOpen(db, workflow)),
    openSince: (cutoffs, queue, limit) => read(() => openSince(db, cutoffs, queue, limit)),
    durations: async (workflow, from, to) => {
      // '' is the step of the rows that are about runs.
      const [group] = await readStats({ from, to, workflow, step: '', byVersion: false, everyMs: null })
      return group?.duration ?? { first: 0, counts: [] }
    },
    durationRows: (workflow, from, to) => read(() => durationRows(db, workflow, from, to)),
    countedWorkflows: () => read(() => countedWorkflows(db)),
    runSeries: (workflow, from, to) => read(() => runSeries(db, workflow, from, to)),
    stepSeries: (workflow, step, from, to) => read(() => stepSeries(db, workflow, step, from, to)),
    unserved: () => read(() => unserved(db)),
    blocked: (workflow) => read(() => blocked(db, workflow)),
    lostWorkers: (from, to) => read(() => lostWorkers(db, from, to)),
  }
}

/** Workflows that a partial index has, by name. `where` is the index's own condition. */
const workflowsOf = (table: string, where: string) => `
  (SELECT workflow FROM ${table} WHERE ${where} ORDER BY workflow LIMIT 1)
  UNION ALL
  SELECT (SELECT workflow FROM ${table} WHERE ${where} AND workflow > w.workflow ORDER BY workflow LIMIT 1)
    FROM w WHERE w.workflow IS NOT NULL`

/** Of one workflow, or of the first so many. */
const named = (recursive: string) => `
w (workflow) AS (${recursive}),
n AS MATERIALIZED (
  SELECT $1::text COLLATE "C" AS workflow WHERE $1::text IS NOT NULL
  UNION ALL
  SELECT * FROM (SELECT workflow FROM w WHERE $1::text IS NULL AND workflow IS NOT NULL LIMIT ${maxFigures}) x)`

const isOpen = 'closed_at IS NULL AND started_at IS NOT NULL'

const runOf = (row: any): OpenRun => ({
  ...{ workflow: row.workflow, runId: row.run_id, id: row.id, status: row.status, startedAt: row.started_at },
})

async function oldestOpen(db: Db, workflow: string | null): Promise<OpenRun[]> {
  const { rows } = await db.query({
    name: 'stet_oldest_open',
    text: `WITH RECURSIVE ${named(workflowsOf('stet_store.runs', isOpen))}
           SELECT n.workflow, r.run_id, r.id, r.status, ${ms('r.started_at')} AS started_at
             FROM n, LATERAL (SELECT run_id, id, status, started_at FROM stet_store.runs
                               WHERE ${isOpen} AND workflow = n.workflow ORDER BY started_at LIMIT 1) r`,
    values: [workflow],
  })
  return rows.map(runOf)
}

/** A queue is looked for among so many of the oldest. */
const maxOldest = 1_000

async function openSince(
  db: Db,
  cutoffs: readonly { readonly workflow: string; readonly before: number }[],
  queue: string | null,
  limit: number,
): Promise<OpenRun[]> {
  const { rows } = await db.query({
    name: 'stet_open_since',
    text: `SELECT u.workflow, r.run_id, r.id, r.status, ${ms('r.started_at')} AS started_at
             FROM unnest($1::text[], $2::float8[]) AS u(workflow, before),
                  LATERAL (SELECT * FROM (SELECT run_id, id, status, queue, started_at FROM stet_store.runs
                                           WHERE ${isOpen} AND workflow = u.workflow AND started_at < to_timestamp(u.before / 1000)
                                           ORDER BY started_at LIMIT ${maxOldest}) o
                            WHERE $3::text IS NULL OR o.queue = $3 ORDER BY o.started_at LIMIT $4) r`,
    values: [
      textArray(cutoffs.map(({ workflow }) => workflow)),
      floatArray(cutoffs.map(({ before }) => before)),
      queue,
      limit,
    ],
  })
  return rows.map(runOf)
}

const window = 'seconds IN (60, 3600, 86400) AND at >= to_timestamp($2 / 1000.0) AND at < to_timestamp($3 / 1000.0)'

async function durationRows(db: Db, workflow: string, from: number, to: number): Promise<DurationRow[]> {
  const { rows } = await db.query({
    text: `SELECT ${ms('at')} AS at, seconds, array_lower(duration, 1) AS first, duration
             FROM stet_store.stats WHERE workflow = $1 AND step = '' AND ${window} AND cardinality(duration) > 0
            ORDER BY at`,
    values: [workflow, from, to],
  })
  return rows.map(({ at, seconds, first, duration }) => ({ at, seconds, duration: { first, counts: duration } }))
}

async function countedWorkflows(db: Db): Promise<string[]> {
  const { rows } = await db.query({
    text: `WITH RECURSIVE w (workflow) AS (${workflowsOf('stet_store.stats', 'true')})
           SELECT workflow FROM w WHERE workflow IS NOT NULL LIMIT ${maxFigures}`,
  })
  return rows.map(({ workflow }) => workflow)
}

const sums = 'sum(completed)::float8 AS completed, sum(failed)::float8 AS failed, sum(retried)::float8 AS retried'

async function runSeries(db: Db, workflow: string | null, from: number, to: number): Promise<SeriesRow[]> {
  const { rows } = await db.query({
    text: `WITH RECURSIVE ${named(workflowsOf('stet_store.stats', 'true'))}
           SELECT n.workflow, NULL AS step, s.*
             FROM n, LATERAL (SELECT ${ms('at')} AS at, seconds, ${sums} FROM stet_store.stats
                               WHERE workflow = n.workflow AND step = '' AND ${window} GROUP BY stats.at, seconds) s
            ORDER BY n.workflow, s.at`,
    values: [workflow, from, to],
  })
  return rows as SeriesRow[]
}

async function stepSeries(
  db: Db,
  workflow: string | null,
  step: string | null,
  from: number,
  to: number,
): Promise<SeriesRow[]> {
  const { rows } = await db.query({
    text: `SELECT workflow, step, ${ms('at')} AS at, seconds, ${sums}
             FROM stet_store.stats
            WHERE ${workflow === null ? '$1::text IS NULL' : 'workflow = $1'} AND ${step === null ? "step <> ''" : 'step = $4'} AND ${window}
            GROUP BY workflow, step, stats.at, seconds ORDER BY workflow, step, stats.at`,
    values: step === null ? [workflow, from, to] : [workflow, from, to, step],
  })
  return rows as SeriesRow[]
}

/** Queues, workflows and versions that have ready runs, each with its oldest. */
const lanes = `
WITH RECURSIVE ${readyKinds(', id')},
lanes AS MATERIALIZED (
  SELECT DISTINCT ON (queue, workflow, version) queue, workflow, version, due, id
    FROM kinds k WHERE due <= stet_store.clock() ORDER BY queue, workflow, version, due),
live AS MATERIALIZED (
  SELECT w.queues, v.name COLLATE "C" AS name, v.version FROM stet_store.workers w, unnest(w.workflows, w.versions) AS v(name, version)
   WHERE w.expires_at > clock_timestamp())`

async function unserved(db: Db): Promise<UnservedLane[]> {
  const { rows } = await db.query({
    name: 'stet_unserved',
    text: `${lanes}
           SELECT l.workflow, l.version, l.queue, ${ms('l.due')} AS since, l.id AS example,
                  EXISTS (SELECT FROM live WHERE l.queue = ANY (live.queues)) AS listened,
                  EXISTS (SELECT FROM live WHERE live.name = l.workflow AND l.version IN (live.version, 0)) AS served
             FROM lanes l
            WHERE NOT EXISTS (SELECT FROM live WHERE live.name = l.workflow AND l.version IN (live.version, 0) AND l.queue = ANY (live.queues))
            ORDER BY l.due LIMIT ${maxFigures}`,
  })
  return rows
}

async function blocked(
  db: Db,
  workflow: string | null,
): Promise<{ workflow: string; count: number; example: string }[]> {
  const { rows } = await db.query({
    name: 'stet_blocked',
    text: `WITH RECURSIVE ${named(workflowsOf('stet_store.runs', `status = 'blocked'`))}
           SELECT n.workflow, c.count, c.example
             FROM n, LATERAL (SELECT count(*)::int AS count, min(id) AS example
                                FROM (SELECT id FROM stet_store.runs WHERE status = 'blocked' AND workflow = n.workflow
                                       LIMIT ${maxCounted + 1}) x) c
            WHERE c.count > 0`,
    values: [workflow],
  })
  return rows as { workflow: string; count: number; example: string }[]
}

async function lostWorkers(db: Db, from: number, to: number): Promise<LostWorker[]> {
  const { rows } = await db.query({
    text: `SELECT ${ms('at')} AS at, worker, host, runs FROM stet_store.lost_workers
            WHERE at >= to_timestamp($1 / 1000.0) AND at < to_timestamp($2 / 1000.0) ORDER BY at DESC LIMIT 10000`,
    values: [from, to],
  })
  return rows
}
