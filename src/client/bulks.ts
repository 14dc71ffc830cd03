/** Bulks, as callers have them: said first, begun, followed, and done where no worker lives. */
import type { Bulk, BulkOperation, BulkOptions, BulkPreview, BulkProgress, Bulks } from '../core/bulk-types.js'
import { bulkOperations } from '../core/bulk-types.js'
import { decode, encode } from '../core/codec.js'
import { durationMs } from '../core/duration.js'
import { InvalidInputError, StetError, TimeoutFailure } from '../core/errors.js'
import { newRunId } from '../core/ids.js'
import { closedStatuses, openStatuses } from '../core/statuses.js'
import { checkFields } from '../core/suggest.js'
import type { Duration, ForkOptions, RunFilter, RunStatus } from '../core/types.js'
import type { Hints } from '../hints/hints.js'
import { pausedFor } from '../store/asks.js'
import { type BulkPart, type BulkRow, type PlanFork, why } from '../store/bulks.js'
import { checkListFilter } from '../store/list-filter.js'
import type { RunRow, Store } from '../store/port.js'
import { describeRow } from './describe.js'
import { checkForkOptions, forkId, forkRequest, originOf, planFork, storedOrigin } from './forks.js'

interface Backend {
  readonly store: Store
  readonly hints: Hints
}

/** Which runs a filter means that names no status. */
const statusesOf: Record<BulkOperation, readonly RunStatus[] | null> = {
  cancel: openStatuses,
  terminate: openStatuses,
  pause: ['pending', 'running', 'waiting'],
  resume: ['paused', 'blocked'],
  retry: ['failed'],
  fork: null,
  delete: closedStatuses,
}

/** A dry run counts no farther, and no longer. */
const maxCount = 100_000
const maxCountMs = 3_000
const samples = 10

/** What is wanted, checked. */
interface Wanted {
  readonly operation: BulkOperation
  readonly filter: RunFilter
  readonly reason: string | undefined
  readonly fork: ForkOptions | null
  readonly actor: string
}

/** @throws InvalidInputError naming what cannot be used */
export function checkBulk(operation: BulkOperation, filter: RunFilter, options: BulkOptions): Wanted {
  const what = `bulk ${String(operation)}`
  if (!bulkOperations.includes(operation)) {
    throw new InvalidInputError(`bulk: expected one of ${bulkOperations.join(', ')}, got "${String(operation)}".`)
  }
  if (typeof filter !== 'object' || filter === null) throw new InvalidInputError(`${what}: expected a filter.`)
  checkFields(options, ['reason', 'fork', 'actor', 'dryRun'], what)
  const { limit: _limit, after: _after, ...rest } = filter
  checkListFilter(rest)
  if (Object.values(rest).every((value) => value === undefined)) {
    throw new InvalidInputError(
      `${what}: expected a filter with a field that says which runs; all of them is not meant by nothing. Name their statuses, perhaps.`,
    )
  }
  const statuses = statusesOf[operation]
  if (operation === 'fork') {
    if (options.fork === undefined) throw new InvalidInputError(`${what}: expected options.fork, which says where.`)
    if ('id' in options.fork)
      throw new InvalidInputError(`${what}: id: each fork has an id that follows from its run's.`)
    checkForkOptions(options.fork as ForkOptions, what)
  } else if (options.fork !== undefined) throw new InvalidInputError(`${what}: fork is an option of bulk fork alone.`)
  const { reason, actor = 'code' } = options
  for (const [name, value] of Object.entries({ reason, actor })) {
    if (value === undefined || typeof value === 'string') continue
    throw new InvalidInputError(`${what}: ${name}: expected text, got ${typeof value}.`)
  }
  return {
    operation,
    filter: rest.status !== undefined || statuses === null ? rest : { ...rest, status: [...statuses] },
    reason: reason === undefined || reason === '' ? undefined : plainText(reason),
    fork: operation === 'retry' ? { at: 'last-failure' } : ((options.fork as ForkOptions | undefined) ?? null),
    actor: plainText(actor),
  }
}

function plainText(text: string): string {
  return text.replaceAll('\u0000', '').toWellFormed().slice(0, 1_000)
}

// ── what it would do ─────────────────────────────────────────────────────────────────────────────

/** Counts the runs that fit now, and says of the newest what would become of them. */
export async function previewBulk({ store }: Pick<Backend, 'store'>, wanted: Wanted): Promise<BulkPreview> {
  const until = performance.now() + maxCountMs
  const newest: RunRow[] = []
  let count = 0
  let next: string | null = null
  do {
    const list = await store.list({ ...wanted.filter, limit: 1_000, ...(next === null ? {} : { after: next }) })
    newest.push(...list.rows.slice(0, samples - newest.length))
    count += list.rows.length
    next = list.next
  } while (next !== null && count < maxCount && performance.now() < until)
  const sample = await Promise.all(
    newest.map(async (row) => {
      const refusal = await refusalOf(store, wanted, row)
      return { ...describeRow(row), ...(refusal === null ? {} : { refused: refusal.code, message: refusal.message }) }
    }),
  )
  return { operation: wanted.operation, filter: wanted.filter, count, more: next !== null, sample }
}

/** Why nothing would be done to a run as it is now; null: something would. */
async function refusalOf(store: Store, { operation, fork }: Wanted, row: RunRow) {
  const isOpen = row.closedAt === null
  const parent = operation === 'delete' && row.parent !== null ? await store.find(row.parent.runId) : null
  const codes: Record<BulkOperation, string | false> = {
    cancel: !isOpen && 'run_closed',
    terminate: !isOpen && 'run_closed',
    pause: isOpen ? row.status === 'blocked' && 'blocked' : 'run_closed',
    resume: row.status !== 'paused' && row.status !== 'blocked' && 'not_resumable',
    retry: isOpen ? 'run_open' : row.superseded === true && 'superseded',
    fork: false,
    delete: isOpen ? 'run_open' : parent?.closedAt === null && 'parent_open',
  }
  const code = codes[operation]
  if (code) return { code, message: why(code, operation) }
  if (fork === null) return null
  try {
    planFork(await storedOrigin(store, row), fork, await store.now())
    return null
  } catch (error) {
    if (!(error instanceof StetError)) throw error
    return { code: error.code, message: error.message }
  }
}

// ── doing ────────────────────────────────────────────────────────────────────────────────────────

export async function beginBulk({ store, hints }: Backend, wanted: Wanted, preview: BulkPreview): Promise<BulkRow> {
  const { operation, filter, reason, fork, actor } = wanted
  const bulk = await store.beginBulk({
    id: newRunId().replace('run_', 'bulk_'),
    operation,
    filter,
    options: fork === null ? null : encode(fork, `bulk ${operation}: the options of the fork`),
    words: {
      facts: reason ?? null,
      payload: operation === 'pause' ? encode(reason ?? '', 'the reason') : encode(reason, 'the reason'),
      problem: operation === 'pause' ? pausedFor(reason ?? '') : null,
    },
    actor,
    expected: preview.count,
    expectedMore: preview.more,
  })
  // Workers look up when they hear of each other.
  hints.publish([{ kind: 'workers', ids: [bulk.id] }])
  return bulk
}

/** Does the next part of a bulk, or of any (`id` null), and tells whom it concerns. Null: there is nothing to do now. */
export async function doBulkPart({ store, hints }: Backend, id: string | null): Promise<BulkPart | null> {
  const part = await store.doBulkPart(id, planBulkFork)
  if (part === null) return null
  const { closed, messaged, ready } = part
  hints.publish([
    ...(closed.length === 0 ? [] : [{ kind: 'closed' as const, runIds: closed }]),
    ...(messaged.length === 0 ? [] : [{ kind: 'message' as const, runIds: messaged }]),
    ...(ready.length === 0 ? [] : [{ kind: 'ready' as const, queues: ready }]),
  ])
  return part
}

const planBulkFork: PlanFork = ({ operation, options }, row, events, now) => {
  const fork = decode(options) as ForkOptions
  if (operation === 'retry' && row.closedAt === null) throw new StetError('run_open', why('run_open', operation))
  if (operation === 'retry' && row.superseded) throw new StetError('superseded', why('superseded', operation))
  const origin = originOf(row, events)
  const plan = planFork(origin, fork, now)
  const id = operation === 'retry' ? row.id : forkId(row.id, row.runId.slice(-8))
  const cancel = fork.children === 'cancel' ? plan.open : []
  return { request: forkRequest(origin, fork, plan, id), once: operation === 'fork', cancel }
}

// ── following ────────────────────────────────────────────────────────────────────────────────────

export function progressOf(bulk: BulkRow): BulkProgress {
  const { id, operation, filter, words, actor, state, createdAt, closedAt, expected, expectedMore, problem } = bulk
  const { seen, done, failed, held, refused, examples } = bulk
  return {
    ...{ id, operation, filter },
    ...(words.facts === null ? {} : { reason: words.facts }),
    ...{ actor, state, createdAt: new Date(createdAt) },
    ...(closedAt === null ? {} : { closedAt: new Date(closedAt) }),
    ...(expected === null ? {} : { expected }),
    ...{ expectedMore, seen, done, failed, held },
    refused: { ...refused },
    examples: examples.map((each) => ({ ...each })),
    ...(problem === null ? {} : { problem }),
  }
}

/** How often it is looked how a bulk gets on, ms. */
const lookMs = 250

export class BulkHandle implements Bulk {
  readonly #ready: () => Promise<Backend>
  readonly id: string

  constructor(ready: () => Promise<Backend>, id: string) {
    this.#ready = ready
    this.id = id
  }

  async progress(): Promise<BulkProgress> {
    const { store } = await this.#ready()
    return progressOf((await store.bulk(this.id)) ?? notFound(this.id))
  }

  async result({
    timeout,
    drive = false,
    onProgress,
  }: {
    timeout?: Duration
    drive?: boolean
    onProgress?: (now: BulkProgress) => void
  } = {}): Promise<BulkProgress> {
    const end =
      timeout === undefined ? Number.POSITIVE_INFINITY : performance.now() + durationMs(timeout, 'result: timeout')
    for (;;) {
      const part = drive ? await doBulkPart(await this.#ready(), this.id) : null
      const now = part === null ? await this.progress() : progressOf(part.bulk)
      onProgress?.(now)
      if (now.state === 'failed') throw new StetError('bulk_failed', `bulk ${this.id} failed: ${now.problem ?? ''}`)
      if (now.state === 'completed' || now.state === 'cancelled') return now
      if (performance.now() > end) {
        throw new TimeoutFailure(`bulk ${this.id} was not over in time; it goes on`, { operation: 'result' })
      }
      if (part === null || part.runs === 0) await new Promise((resolve) => setTimeout(resolve, lookMs))
    }
  }

  cancel(): Promise<void> {
    return this.#set('cancelled')
  }

  pause(): Promise<void> {
    return this.#set('paused')
  }

  async resume(): Promise<void> {
    await this.#set('running')
    const { hints } = await this.#ready()
    hints.publish([{ kind: 'workers', ids: [this.id] }])
  }

  async #set(state: 'running' | 'paused' | 'cancelled'): Promise<void> {
    const { store } = await this.#ready()
    if ((await store.setBulk(this.id, state)) === null && (await store.bulk(this.id)) === null) notFound(this.id)
  }
}

export class StoredBulks implements Bulks {
  readonly #ready: () => Promise<Backend>

  constructor(ready: () => Promise<Backend>) {
    this.#ready = ready
  }

  async get(id: string): Promise<Bulk> {
    const { store } = await this.#ready()
    if ((await store.bulk(id)) === null) notFound(id)
    return new BulkHandle(this.#ready, id)
  }

  async list({ limit = 50, after }: { limit?: number; after?: string } = {}) {
    if (!Number.isInteger(limit) || limit < 1 || limit > 200) {
      throw new InvalidInputError(`bulks.list: limit: expected a whole number from 1 to 200, got ${String(limit)}.`)
    }
    const { store } = await this.#ready()
    const { bulks, next } = await store.listBulks({ limit, after })
    return { bulks: bulks.map(progressOf), ...(next === null ? {} : { next }) }
  }
}

function notFound(id: string): never {
  throw new StetError('bulk_not_found', `no bulk has the id "${id}". \`stet bulk list\` shows the bulks there are.`)
}
