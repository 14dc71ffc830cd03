/**
 * Lists of runs.
 *
 * N1. Newest first, which is the order of run ids, whatever is asked for. So pages follow each other by a run id alone.
 * N2. A list costs the same however many runs there are. Each is read from the ends of ranges of an index that ends in
 *     `run_id` (a *seek*); what no index knows is looked at in the newest `maxLookedAt` runs of those ranges.
 * N3. Nothing is left out in silence: where a list was not looked for any farther, it says so, and goes on from there.
 */
import { closedStatuses, openStatuses, runStatuses } from '../../core/statuses.js'
import type { RunFilter, RunStatus } from '../../core/types.js'
import { checkListFilter } from '../list-filter.js'
import type { RunList, RunRow } from '../port.js'
import { textArray } from './arrays.js'
import type { Db } from './db.js'
import { astray } from './migrations/m0008.js'
import { rowColumns, toRow } from './reads.js'

/** Runs that one list looks at. */
const maxLookedAt = 10_000

/** Runs that have the attributes in question are looked at all together when they are no more than this. */
const maxFew = 5_000

/** Runs whose ids begin in some way are looked at all together when they are no more than this. */
const maxPrefixed = 5_000

/** Runs that may have failed of something. */
const mayHaveFailed: readonly RunStatus[] = ['failed', 'cancelled', 'terminated']

/** The parameters of one statement. */
class Values {
  readonly all: unknown[] = []

  add(value: unknown, type: string): string {
    return `$${this.all.push(value)}::${type}`
  }
}

/**
 * Ranges of an index whose columns are `key` and then `run_id`: a range for each row of `ranges`, which has those columns.
 * What of the filter it sees to is not looked at again.
 */
interface Seek {
  readonly ranges: (values: Values) => string
  readonly key: readonly ('workflow' | 'version' | 'queue' | 'status' | 'parent_run_id')[]
  readonly sees: readonly (keyof RunFilter)[]
  /** What the index is of. */
  readonly only?: string
}

interface Found {
  readonly rows: readonly RunRow[]
  /** Not looked for any farther than this run; null: to the end, or as far as is wanted. */
  readonly stop: string | null
}

/** `lookAt`: runs that it looks at, at most, where it has to look. */
export async function listRuns(db: Pick<Db, 'query'>, filter: RunFilter, lookAt = maxLookedAt): Promise<RunList> {
  const { limit, wanted } = checkListFilter(filter)
  if (wanted?.length === 0) return { rows: [], next: null }
  const few = (await listFew(db, filter, wanted, limit + 1)) ?? (await listPrefixed(db, filter, limit + 1))
  const found =
    few === null
      ? await Promise.all(seeksOf(filter, wanted).map((seek) => look(db, filter, seek, limit + 1, lookAt)))
      : [few]
  const stop = found.reduce<string | null>(
    (far, each) => (each.stop === null || (far !== null && far >= each.stop) ? far : each.stop),
    null,
  )
  // A stray may have an id of the time that is wanted.
  const distinct = new Map(found.flatMap((each) => each.rows.map((row) => [row.runId, row])))
  const rows = [...distinct.values()]
    .filter(({ runId }) => stop === null || runId >= stop)
    .sort((a, b) => (a.runId < b.runId ? 1 : -1))
  const page = rows.slice(0, limit)
  if (rows.length > limit) return { rows: page, next: page.at(-1)!.runId }
  return stop === null ? { rows: page, next: null } : { rows: page, next: stop, bounded: true }
}

// ── where to look ────────────────────────────────────────────────────────────────────────────────

function seeksOf(filter: RunFilter, wanted: readonly RunStatus[] | null): Seek[] {
  const ended = filter.closedAfter !== undefined || filter.closedBefore !== undefined
  const statuses = wanted ?? (filter.error !== undefined ? mayHaveFailed : ended ? closedStatuses : null)
  // Of the children of one run there are few, or the run is what is looked for.
  const seeks = filter.parent === undefined ? inIndexes(filter, statuses) : [ofParent(filter.parent)]
  const timed = filter.startedAfter !== undefined || filter.startedBefore !== undefined
  return timed ? [...seeks, strays(wanted)] : seeks
}

function inIndexes({ workflow, version, queue }: RunFilter, statuses: readonly RunStatus[] | null): Seek[] {
  if (workflow !== undefined) return [ofWorkflow(workflow, version, statuses ?? runStatuses)]
  if (queue !== undefined) {
    const some = (part: readonly RunStatus[]) => part.filter((status) => statuses?.includes(status) ?? true)
    const [open, closed] = [some(openStatuses), some(closedStatuses)]
    return [...(open.length === 0 ? [] : [ofStatuses(open)]), ...(closed.length === 0 ? [] : [ofQueue(queue, closed)])]
  }
  return [statuses === null ? everything : ofStatuses(statuses)]
}

const everything: Seek = { ranges: () => 'SELECT', key: [], sees: [] }

const ofStatuses = (statuses: readonly RunStatus[]): Seek => ({
  ranges: (values) => `SELECT status FROM unnest(${values.add(textArray(statuses), 'text[]')}) AS s(status)`,
  key: ['status'],
  sees: ['status'],
})

const ofQueue = (queue: string, closed: readonly RunStatus[]): Seek => ({
  ranges: (values) => `SELECT ${values.add(queue, 'text')} AS queue, s.* FROM (${ofStatuses(closed).ranges(values)}) s`,
  key: ['queue', 'status'],
  sees: ['queue', 'status'],
  only: 'r.closed_at IS NOT NULL',
})

const ofParent = (parent: string): Seek => ({
  ranges: (values) => `SELECT ${values.add(parent, 'text')} AS parent_run_id`,
  key: ['parent_run_id'],
  sees: ['parent'],
  only: 'r.parent_run_id IS NOT NULL',
})

/** Of a workflow's versions that have runs, each with each status. */
const ofWorkflow = (workflow: string, version: number | undefined, statuses: readonly RunStatus[]): Seek => ({
  ranges: (values) => {
    const name = values.add(workflow, 'text')
    const versions =
      version !== undefined
        ? `SELECT ${values.add(version, 'int')} AS version`
        : `WITH RECURSIVE v AS (
             (SELECT version FROM stet_store.runs WHERE workflow = ${name} ORDER BY version LIMIT 1)
             UNION ALL
             SELECT n.version FROM v, LATERAL (SELECT version FROM stet_store.runs WHERE workflow = ${name} AND version > v.version
                                                ORDER BY version LIMIT 1) n)
           SELECT version FROM v`
    return `SELECT ${name} AS workflow, v.version, s.status
              FROM (${versions}) v, unnest(${values.add(textArray(statuses), 'text[]')}) AS s(status)`
  },
  key: ['workflow', 'version', 'status'],
  sees: ['workflow', 'version', 'status'],
})

/** Runs whose ids do not say when they were created. */
const strays = (wanted: readonly RunStatus[] | null): Seek => ({
  ...everything,
  sees: wanted === null ? ['status'] : [],
  only: astray,
})

// ── what else must hold ──────────────────────────────────────────────────────────────────────────

function conditions(filter: RunFilter, sees: readonly (keyof RunFilter)[], values: Values): string[] {
  const { status, workflow, version, queue, attributes, error, startedAfter, startedBefore } = filter
  const { idPrefix, parent, closedAfter, closedBefore } = filter
  const left = <T>(key: keyof RunFilter, value: T | undefined, condition: (value: T) => string): string[] =>
    value === undefined || sees.includes(key) ? [] : [condition(value)]
  return [
    ...left('status', status, (one) => `w.status IN (SELECT unnest(${values.add(textArray([one].flat()), 'text[]')}))`),
    ...left('workflow', workflow, (name) => `w.workflow = ${values.add(name, 'text')}`),
    ...left('version', version, (n) => `w.version = ${values.add(n, 'int')}`),
    ...left('queue', queue, (name) => `w.queue = ${values.add(name, 'text')}`),
    ...left('attributes', attributes, (all) => `w.attributes @> ${values.add(JSON.stringify(all), 'jsonb')}`),
    ...left('error', error, (text) => `position(lower(${values.add(text, 'text')}) IN lower(w.error_message)) > 0`),
    ...left('idPrefix', idPrefix, (text) => `starts_with(w.id, ${values.add(text, 'text')})`),
    ...left('parent', parent, (runId) => `w.parent_run_id = ${values.add(runId, 'text')}`),
    ...left('closedAfter', closedAfter, (date) => `w.closed_at >= ${values.add(date, 'timestamptz')}`),
    ...left('closedBefore', closedBefore, (date) => `w.closed_at < ${values.add(date, 'timestamptz')}`),
    ...left('startedAfter', startedAfter, (date) => `w.created_at >= ${values.add(date, 'timestamptz')}`),
    ...left('startedBefore', startedBefore, (date) => `w.created_at < ${values.add(date, 'timestamptz')}`),
  ]
}

/** Run ids between which all are that may be wanted. */
function between({ after, startedAfter, startedBefore }: RunFilter, isTimed: boolean): { from: string; to: string } {
  const begin = startedAfter === undefined || !isTimed ? '' : idAt(startedAfter.getTime() - 106_656)
  const end = startedBefore === undefined || !isTimed ? last : idAt(startedBefore.getTime() + 60_000 + unitMs)
  return { from: begin, to: after === undefined || after > end ? end : after }
}

/** Above every id. */
const last = '\u{10ffff}'

const unitMs = 36 ** 3

/** The first run id of the unit of time before this, or above every id (`astray` in m0008). */
function idAt(ms: number): string {
  const digits = Math.max(0, Math.floor(ms / unitMs))
    .toString(36)
    .padStart(6, '0')
  return digits.length > 6 ? last : `run_${digits}`
}

// ── looking ──────────────────────────────────────────────────────────────────────────────────────

/**
 * The page and where the looking ended are of one moment: between two statements a run could change ranges, and be in
 * none of them. A range is asked for as one of rows, in their order, which no index has but its own; how many of them
 * stands in the text, or the plan would be one for a tenth of all runs.
 */
async function look(
  db: Pick<Db, 'query'>,
  filter: RunFilter,
  { ranges, key, sees, only }: Seek,
  most: number,
  lookAt: number,
): Promise<Found> {
  const values = new Values()
  const over = ranges(values)
  const rest = conditions(filter, sees, values)
  const { from, to } = between(filter, only !== astray)
  const row = (table: string, id = `${table}.run_id`) =>
    `(${[...key.map((column) => `${table}.${column}`), id].join(', ')})`
  const order = (table: string) => [...key, 'run_id'].map((column) => `${table}.${column} DESC`).join(', ')
  const range = `FROM stet_store.runs r
                WHERE ${row('r')} >= ${row('c', values.add(from, 'text'))} AND ${row('r')} < ${row('c', values.add(to, 'text'))}
                  ${only === undefined ? '' : `AND ${only}`} ORDER BY ${order('r')}`
  const each = `(SELECT greatest(${most}, ${lookAt} / greatest(1, count(*))) FROM c)`
  const page =
    rest.length === 0
      ? `SELECT r.run_id ${range} LIMIT ${most}`
      : `SELECT w.run_id FROM (SELECT r.* ${range} LIMIT ${each}) w WHERE ${rest.join(' AND ')} ORDER BY ${order('w')} LIMIT ${most}`
  // One range that has filled the page was looked at as far as that.
  const stop =
    rest.length === 0
      ? 'NULL'
      : `CASE WHEN (SELECT count(*) FROM page) < ${most} OR (SELECT count(*) FROM c) > 1
              THEN (SELECT max(e.run_id) FROM c, LATERAL (SELECT r.run_id ${range} OFFSET ${each} - 1 LIMIT 1) e) END`
  const { rows } = await db.query({
    text: `WITH c AS MATERIALIZED (${over}),
                page AS MATERIALIZED (SELECT p.run_id FROM c, LATERAL (${page}) p ORDER BY p.run_id DESC LIMIT ${most})
           SELECT s.stop, ${rowColumns}
             FROM (SELECT ${stop} AS stop) s LEFT JOIN (page JOIN stet_store.runs r ON r.run_id = page.run_id) ON true`,
    values: values.all,
  })
  return { rows: rows.flatMap((row) => (row.run_id === null ? [] : [toRow(row)])), stop: rows[0].stop }
}

/** Each of the values that runs must have, in the form of attributes. */
function singly(attributes: RunFilter['attributes']): object[] {
  return Object.entries(attributes ?? {}).flatMap(([key, value]) => {
    const values = Array.isArray(value) ? value.map((one) => [one]) : value === undefined ? [] : [value]
    return values.map((one) => ({ [key]: one }))
  })
}

/** So many of them are tried, to find one that few runs have. */
const maxTried = 5

/** All runs that have these attributes, if few have one of them; else null. The index of attributes has no order. */
async function listFew(
  db: Pick<Db, 'query'>,
  filter: RunFilter,
  wanted: readonly RunStatus[] | null,
  most: number,
): Promise<Found | null> {
  const single = singly(filter.attributes).slice(0, maxTried)
  if (single.length === 0) return null
  const guess = await db.query({
    text: 'SELECT bool_or(stet_store.few_have(one)) AS few FROM jsonb_array_elements($1::jsonb) AS one',
    values: [JSON.stringify(single)],
  })
  if (guess.rows[0].few === false) return null
  const values = new Values()
  const attributes = values.add(JSON.stringify(filter.attributes), 'jsonb')
  const rest = conditions(filter, ['attributes', ...(wanted === null ? (['status'] as const) : [])], values)
  if (filter.after !== undefined) rest.push(`w.run_id < ${values.add(filter.after, 'text')}`)
  const { rows } = await db.query({
    text: `WITH few AS MATERIALIZED (SELECT r.* FROM stet_store.runs r WHERE r.attributes @> ${attributes} LIMIT ${maxFew + 1}),
                page AS MATERIALIZED (SELECT w.run_id FROM few w ${rest.length === 0 ? '' : `WHERE ${rest.join(' AND ')}`}
                                       ORDER BY w.run_id DESC LIMIT ${most})
           SELECT s.few, ${rowColumns}
             FROM (SELECT (SELECT count(*)::int FROM few) AS few) s
             LEFT JOIN (page JOIN stet_store.runs r ON r.run_id = page.run_id) ON s.few <= ${maxFew}`,
    values: values.all,
  })
  if (rows[0].few > maxFew) return null
  return { rows: rows.flatMap((row) => (row.run_id === null ? [] : [toRow(row)])), stop: null }
}

/**
 * All runs whose ids begin so, if they are few; else null. Callers' ids have an index of their own, which has another
 * order; generated ones are run ids.
 */
async function listPrefixed(db: Pick<Db, 'query'>, filter: RunFilter, most: number): Promise<Found | null> {
  const { idPrefix = '' } = filter
  if (idPrefix === '') return null
  const values = new Values()
  const [from, to] = [values.add(idPrefix, 'text'), values.add(`${idPrefix}${last}`, 'text')]
  const rest = conditions(filter, ['idPrefix'], values)
  if (filter.after !== undefined) rest.push(`w.run_id < ${values.add(filter.after, 'text')}`)
  const { rows } = await db.query({
    text: `WITH given AS MATERIALIZED (
                  SELECT r.* FROM stet_store.runs_named(${from}, ${to}, ${maxPrefixed + 1}) AS g(run_id),
                         LATERAL (SELECT * FROM stet_store.runs x WHERE x.run_id = g.run_id OFFSET 0) r),
                made AS MATERIALIZED (
                  SELECT r.* FROM stet_store.runs r WHERE r.run_id >= ${from} AND r.run_id < ${to} ORDER BY r.run_id LIMIT ${maxPrefixed + 1}),
                named AS (SELECT * FROM given UNION ALL SELECT * FROM made WHERE id = run_id),
                page AS MATERIALIZED (SELECT w.run_id FROM named w ${rest.length === 0 ? '' : `WHERE ${rest.join(' AND ')}`}
                                       ORDER BY w.run_id DESC LIMIT ${most})
           SELECT s.count, ${rowColumns}
             FROM (SELECT greatest((SELECT count(*)::int FROM given), (SELECT count(*)::int FROM made)) AS count) s
             LEFT JOIN (page JOIN stet_store.runs r ON r.run_id = page.run_id) ON s.count <= ${maxPrefixed}`,
    values: values.all,
  })
  if (rows[0].count > maxPrefixed) return null
  return { rows: rows.flatMap((row) => (row.run_id === null ? [] : [toRow(row)])), stop: null }
}
