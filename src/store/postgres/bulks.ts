/** Bulks (U1–U3 in `../bulks.ts`). A part is one transaction, which begins with the lock of the bulk's row. */
import type { BulkOperation } from '../../core/bulk-types.js'
import { StetError } from '../../core/errors.js'
import { openStatuses } from '../../core/statuses.js'
import type { RunFilter } from '../../core/types.js'
import {
  type BulkPart,
  type BulkRequest,
  type BulkRow,
  type BulkStore,
  bulkForks,
  bulkPart,
  childReason,
  maxExamples,
  type PlanFork,
  why,
} from '../bulks.js'
import type { RunRow } from '../port.js'
import { textArray } from './arrays.js'
import { readHistories } from './claims.js'
import { type Db, isTransient } from './db.js'
import { forkIn } from './forks.js'
import { listRuns } from './lists.js'
import { doMany, lockRuns, nothing, type Outcome, type Run } from './many.js'
import { ms, rowColumns, toRow } from './reads.js'

const columns = `
  b.id, b.operation, b.filter, b.options, b.words, b.actor, b.state, ${ms('b.created_at')} AS created_at, ${ms('b.closed_at')} AS closed_at,
  b.expected, b.expected_more, b.phase, b.cursor, b.held, b.seen::float8 AS seen, b.done::float8 AS done, b.failed::float8 AS failed,
  b.refused, b.examples, b.problem`

/** Continued runs are followed so often at most: one that continues without end is not followed without end. */
const maxPhases = 20

export function bulksOf(db: Db): BulkStore {
  const patient = { giveUpAfterMs: 15_000 }
  return {
    beginBulk: (request) => db.retrying('begin a bulk', () => beginBulk(db, request), patient),
    bulk: (id) => db.retrying('read a bulk', () => readBulk(db, id), patient),
    listBulks: ({ limit, after }) =>
      db.retrying(
        'list bulks',
        async () => {
          const { rows } = await db.query({
            text: `SELECT ${columns} FROM stet_store.bulks b WHERE b.id < $1 ORDER BY b.id DESC LIMIT $2`,
            values: [after ?? '\u{10ffff}', limit + 1],
          })
          const bulks = rows.slice(0, limit).map(toBulk)
          return { bulks, next: rows.length > limit ? bulks.at(-1)!.id : null }
        },
        patient,
      ),
    setBulk: (id, state) =>
      db.retrying(
        'change a bulk',
        async () => {
          const { rows } = await db.query({
            text: `UPDATE stet_store.bulks b
                      SET state = $2, next_at = clock_timestamp(), closed_at = CASE WHEN $2 = 'cancelled' THEN stet_store.clock() END
                    WHERE b.id = $1 AND b.state IN ('running', 'paused') RETURNING ${columns}`,
            values: [id, state],
          })
          return rows.length === 0 ? null : toBulk(rows[0])
        },
        patient,
      ),
    doBulkPart: (id, plan) => db.retrying('do a part of a bulk', () => doPart(db, id, plan)),
  }
}

async function beginBulk(db: Db, request: BulkRequest): Promise<BulkRow> {
  const { id, operation, filter, options, words, actor, expected, expectedMore } = request
  await db.query({
    text: `INSERT INTO stet_store.bulks (id, operation, filter, options, words, actor, expected, expected_more, created_at, next_at)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8, date_trunc('milliseconds', stet_store.clock()), clock_timestamp())
               ON CONFLICT DO NOTHING`,
    values: [id, operation, JSON.stringify(filter), options, JSON.stringify(words), actor, expected, expectedMore],
  })
  return (await readBulk(db, id))!
}

async function readBulk(db: Db, id: string): Promise<BulkRow | null> {
  const { rows } = await db.query({ text: `SELECT ${columns} FROM stet_store.bulks b WHERE b.id = $1`, values: [id] })
  return rows.length === 0 ? null : toBulk(rows[0])
}

function toBulk(row: any): BulkRow {
  return {
    id: row.id,
    operation: row.operation,
    filter: toFilter(row.filter),
    options: row.options,
    words: row.words,
    actor: row.actor,
    state: row.state,
    createdAt: row.created_at,
    closedAt: row.closed_at,
    expected: row.expected,
    expectedMore: row.expected_more,
    seen: row.seen,
    done: row.done,
    failed: row.failed,
    held: row.held.length,
    refused: row.refused,
    examples: row.examples,
    problem: row.problem,
  }
}

const dates = ['startedAfter', 'startedBefore', 'closedAfter', 'closedBefore'] as const

function toFilter(stored: Record<string, unknown>): RunFilter {
  const filter = { ...stored } as Record<string, unknown>
  for (const key of dates) if (filter[key] !== undefined) filter[key] = new Date(filter[key] as string)
  return filter as RunFilter
}

// ── a part ───────────────────────────────────────────────────────────────────────────────────────

/** Another than the database's own trouble ends the bulk: it would end every further try as well. */
async function doPart(db: Db, id: string | null, plan: PlanFork): Promise<BulkPart | null> {
  let at: string | null = null
  try {
    return await db.transaction(async (query) => {
      const { rows } = await query({
        text: `SELECT ${columns} FROM stet_store.bulks b
                WHERE b.state = 'running' ${id === null ? 'AND b.next_at <= clock_timestamp()' : 'AND b.id = $1'} ORDER BY b.next_at LIMIT 1 FOR UPDATE SKIP LOCKED`,
        values: id === null ? [] : [id],
      })
      if (rows.length === 0) return null
      at = rows[0].id
      return partOf(query, rows[0], plan)
    })
  } catch (error) {
    if (at === null || isTransient(error)) throw error
    const { rows } = await db.query({
      text: `UPDATE stet_store.bulks b SET state = 'failed', closed_at = stet_store.clock(), problem = $2
              WHERE b.id = $1 AND b.state = 'running' RETURNING ${columns}`,
      values: [at, String((error as Error).message).replaceAll('\u0000', '')],
    })
    if (rows.length === 0) return null
    return { bulk: toBulk(rows[0]), runs: 0, closed: [], messaged: [], ready: [] }
  }
}

async function partOf(query: Run, row: any, plan: PlanFork): Promise<BulkPart> {
  const bulk = toBulk(row)
  const { operation } = bulk
  const forks = operation === 'retry' || operation === 'fork'
  const size = forks ? bulkForks : bulkPart
  // Few are held at a time: a bulk whose runs are all locked goes no farther.
  const page = row.held.length >= size ? null : await nextPage(query, row, bulk, size)
  const fresh = page?.rows ?? []
  const wanted = [...new Set<string>([...row.held, ...fresh.map(({ runId }) => runId)])]
  const examples = [...bulk.examples]
  const refused = { ...bulk.refused }
  const locks = wanted.length === 0 ? { locked: [], held: [], gone: [] } : await lockRuns(query, wanted)
  const outcome = forks
    ? await forkMany(
        query,
        bulk,
        locks.locked.map(({ runId }) => runId),
        plan,
      )
    : await doMany(query, operation, locks.locked, bulk.words, bulk.id)
  for (const runId of locks.gone) outcome.refused.push({ runId, code: 'run_not_found' })
  const names = new Map(fresh.map(({ runId, id }) => [runId, id]))
  for (const { code } of outcome.refused) refused[code] = (refused[code] ?? 0) + 1
  for (const { runId, code, message = why(code, operation) } of [...outcome.refused, ...outcome.examples]) {
    if (examples.length < maxExamples) examples.push({ id: names.get(runId) ?? runId, runId, code, message })
  }
  const held = [...locks.held, ...outcome.held]
  const goesOn = page === null || page.next !== null
  const phase = goesOn ? row.phase : nextPhase(row.phase, operation, fresh.length)
  const over = phase === null && held.length === 0
  const { rows } = await query({
    text: `UPDATE stet_store.bulks b
              SET cursor = $2, held = $3, phase = $4, seen = b.seen + $5, done = b.done + $6, refused = $7, examples = $8, failed = b.failed + $10,
                  next_at = clock_timestamp() + (clock_timestamp() - now()), state = CASE WHEN $9 THEN 'completed' ELSE b.state END,
                  closed_at = CASE WHEN $9 THEN stet_store.clock() END
            WHERE b.id = $1 RETURNING ${columns}`,
    values: [
      ...[bulk.id, phase === null ? '' : goesOn ? (page === null ? row.cursor : page.next) : null, textArray(held)],
      ...[phase ?? row.phase, fresh.length, outcome.done, JSON.stringify(refused), JSON.stringify(examples)],
      ...[over, outcome.failed],
    ],
  })
  const runs = wanted.length - held.length
  const { closed, messaged, ready } = outcome
  return { bulk: toBulk(rows[0]), runs, closed, messaged, ready: [...ready] }
}

/** What comes after the end of a walk; null: nothing. */
function nextPhase(phase: number, operation: BulkOperation, found: number): number | null {
  const follows = operation === 'cancel' || operation === 'terminate' || operation === 'pause'
  if (!follows || phase >= maxPhases) return null
  return phase === 0 || found > 0 ? phase + 1 : null
}

/** Null: the walk was over before. */
async function nextPage(query: Run, row: any, bulk: BulkRow, limit: number) {
  if (row.cursor === '') return { rows: [], next: null }
  const after = row.cursor === null ? {} : { after: row.cursor }
  if (row.phase > 0) return successorsOf(query, bulk, { limit, ...after })
  const { filter, createdAt } = bulk
  // Times are whole milliseconds; what was made in the same one counts.
  const upTo = Math.min(createdAt + 1, filter.startedBefore?.getTime() ?? Number.POSITIVE_INFINITY)
  return listRuns({ query }, { ...filter, startedBefore: new Date(upTo), limit, ...after })
}

/**
 * Runs that go on for others which continued as new before they were come to. They have new run ids, and were made after
 * the bulk, but what they are is what was there.
 */
async function successorsOf(query: Run, bulk: BulkRow, page: { limit: number; after?: string }) {
  const { version: _version, status: _status, startedBefore: _before, startedAfter: _after, ...filter } = bulk.filter
  const list = await listRuns(
    { query },
    { ...filter, status: [...openStatuses], startedAfter: new Date(bulk.createdAt + 1), ...page },
  )
  const { rows } = await query({
    text: `
WITH RECURSIVE k(run_id, at) AS (
  SELECT u.run_id, u.run_id FROM unnest($1::text[]) AS u(run_id)
  UNION ALL
  SELECT k.run_id, h.facts::json ->> 'runId' FROM k JOIN stet_store.runs r ON r.run_id = k.at
    JOIN stet_store.history h ON h.run_id = k.at AND h.seq = 1
   WHERE r.created_at > $2 AND r.forked_from IS NULL AND h.facts::json ->> 'runId' IS NOT NULL)
SELECT DISTINCT k.run_id FROM k JOIN stet_store.runs r ON r.run_id = k.at
 WHERE r.created_at <= $2 AND r.status = 'continued'
   AND NOT EXISTS (SELECT FROM k a JOIN stet_store.message_ids m ON m.run_id = a.at AND m.message_id = $3 WHERE a.run_id = k.run_id)`,
    values: [textArray(list.rows.map(({ runId }) => runId)), new Date(bulk.createdAt), bulk.id],
  })
  const follow = new Set(rows.map((row) => row.run_id))
  return { rows: list.rows.filter(({ runId }) => follow.has(runId)), next: list.next }
}

// ── forks ────────────────────────────────────────────────────────────────────────────────────────

async function forkMany(query: Run, bulk: BulkRow, runIds: readonly string[], plan: PlanFork): Promise<Outcome> {
  const outcome = nothing()
  const { rows } = await query({
    text: `SELECT ${rowColumns} FROM stet_store.runs r WHERE r.run_id IN (SELECT unnest($1::text[])) ORDER BY r.run_id DESC`,
    values: [textArray(runIds)],
  })
  const clock = await query({ text: 'SELECT (extract(epoch FROM stet_store.clock()) * 1000)::float8 AS now' })
  for (const row of rows.map(toRow)) {
    await query({ text: 'SAVEPOINT one' })
    try {
      await forkOne(query, bulk, row, plan, clock.rows[0].now, outcome)
      await query({ text: 'RELEASE one' })
    } catch (error) {
      if (isTransient(error)) throw error
      await query({ text: 'ROLLBACK TO one' })
      if (error instanceof StetError)
        outcome.refused.push({ runId: row.runId, code: error.code, message: error.message })
      else {
        outcome.failed++
        outcome.examples.push({ runId: row.runId, code: 'internal', message: (error as Error).message })
      }
    }
  }
  return outcome
}

async function forkOne(query: Run, bulk: BulkRow, row: RunRow, plan: PlanFork, now: number, outcome: Outcome) {
  const events = (await readHistories({ query }, [row.runId])).get(row.runId) ?? []
  const { request, cancel, once } = await plan(bulk, row, events, now)
  if (once) {
    const { rows } = await query({
      text: 'SELECT run_id FROM stet_store.runs WHERE forked_from = $1 AND id = $2 LIMIT 1',
      values: [row.runId, request.id],
    })
    if (rows.length > 0) throw new StetError('forked_already', `fork: run ${rows[0].run_id} is a fork of it already.`)
  }
  const existing = await forkIn(query, request)
  if (existing !== null) {
    const { id } = request
    throw new StetError('id_conflict', `id "${id}" is taken by the open run ${existing.runId} (${existing.status}).`)
  }
  outcome.ready.add(request.queue)
  outcome.done++
  if (cancel.length === 0) return
  const words = { facts: childReason, payload: JSON.stringify(childReason), problem: null }
  const { locked, held } = await lockRuns(query, cancel)
  const told = await doMany(query, 'cancel', locked, words, `fork of ${row.runId}`)
  // Somebody has a child locked: the whole part is tried again.
  if (held.length + told.held.length > 0) throw Object.assign(new Error('a child is locked'), { code: '55P03' })
  outcome.closed.push(...told.closed)
  outcome.messaged.push(...told.messaged)
}
