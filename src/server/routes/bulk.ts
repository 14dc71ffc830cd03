/**
 * The same for many runs: named one by one, or by a filter.
 *
 * B1. Nothing is done unless `dryRun` is false: without it the answer is what would be done.
 * B2. To runs that are named it is done within the request, which takes only so many, and only so long. What a filter names
 *     is a bulk: it is written down, and goes on by itself (`store/bulks.ts`).
 * B3. Given twice, a fork is made once: its id follows from the run's.
 */
import { beginBulk, checkBulk, doBulkPart, previewBulk, progressOf } from '../../client/bulks.js'
import { forkId, forkRun, planFork, retryRun, storedOrigin } from '../../client/forks.js'
import type { BulkOperation } from '../../core/bulk-types.js'
import { InvalidInputError, RunClosedError, StetError } from '../../core/errors.js'
import type { ForkOptions } from '../../core/types.js'
import type { RunRow } from '../../store/port.js'
import type { Who } from '../access.js'
import { get, type House, post, type Route } from '../route.js'
import { flag, list, name, object, refTo, text } from '../schema.js'
import { forkFields, terminate } from './actions.js'
import { filter, filterOf, pageFields } from './shared.js'

const maxRuns = 100
const atOnce = 8
/** What is not begun by then is left for the next request. */
const maxMs = 20_000

interface Outcome {
  readonly made?: { readonly id: string; readonly runId: string }
  readonly kept?: number
}

interface Many {
  readonly runs?: readonly string[]
  readonly filter?: Parameters<typeof filterOf>[0]
  readonly dryRun?: boolean
  readonly reason?: string
}

interface Action<Body> {
  readonly name: BulkOperation
  readonly body: Body
  /** Default: who operates. */
  readonly role?: 'admin'
  /** @throws StetError when it cannot be done */
  readonly plan: (house: House, row: RunRow, body: Body) => Promise<Outcome>
  readonly run: (house: House, row: RunRow, body: Body) => Promise<Outcome>
}

const common = {
  runs: list(name(), maxRuns, 'ids or run ids'),
  filter,
  dryRun: flag('true unless it is said to be false: nothing is done, and the answer is what would be'),
}
const reason = text('why; the runs are told', 1_000)

async function mustBeOpen(row: RunRow, what: string): Promise<Outcome> {
  if (row.closedAt === null) return {}
  throw new RunClosedError(`${what}: run ${row.runId} is ${row.status} already.`)
}

async function mustRest(row: RunRow): Promise<Outcome> {
  if (row.status === 'paused' || row.status === 'blocked') return {}
  throw new StetError('not_resumable', `resume: run ${row.runId} is ${row.status}, neither paused nor blocked.`)
}

async function planned(house: House, row: RunRow, options: ForkOptions): Promise<Outcome> {
  const { store } = await house.stet.internals()
  return { kept: planFork(await storedOrigin(store, row), options, await store.now()).kept }
}

/** The fields of a bulk request that say how to fork. */
function forkOptions(body: object): ForkOptions {
  const own = Object.entries(body).filter(([key]) => key in forkFields)
  return Object.fromEntries(own) as unknown as ForkOptions
}

const actions: readonly Action<any>[] = [
  {
    name: 'cancel',
    body: object({}, { ...common, reason }),
    plan: (_, row) => mustBeOpen(row, 'cancel'),
    run: async (house, { runId }, { reason }) => {
      await house.stet.run(runId).cancel(reason)
      return {}
    },
  },
  {
    name: 'terminate',
    body: object({}, { ...common, reason }),
    plan: (_, row) => mustBeOpen(row, 'terminate'),
    run: async (house, { runId }, { reason }) => {
      await terminate(house, runId, reason)
      return {}
    },
  },
  {
    name: 'pause',
    body: object({}, { ...common, reason }),
    plan: (_, row) => mustBeOpen(row, 'pause'),
    run: async (house, { runId }, { reason }) => {
      await house.stet.run(runId).pause(reason)
      return {}
    },
  },
  {
    name: 'resume',
    body: object({}, common),
    plan: (_, row) => mustRest(row),
    run: async (house, row) => {
      await mustRest(row)
      await house.stet.run(row.runId).resume()
      return {}
    },
  },
  {
    name: 'retry',
    body: object({}, common),
    plan: async (house, row) => {
      if (row.closedAt !== null) return planned(house, row, { at: 'last-failure' })
      throw new StetError('run_open', `retry: run ${row.runId} is ${row.status}. Only a closed run is tried again.`)
    },
    run: async (house, row) => {
      const { id, runId, kept } = await retryRun(await house.stet.internals(), row)
      return { made: { id, runId }, kept }
    },
  },
  {
    name: 'fork',
    body: object({}, { ...common, ...forkFields }),
    plan: (house, row, body) => planned(house, row, forkOptions(body)),
    run: async (house, row, body) => {
      const { store, hints } = await house.stet.internals()
      const id = forkId(row.id, row.runId.slice(-8))
      const known = await store.find(id)
      if (known?.forkedFrom?.runId === row.runId) return { made: { id, runId: known.runId } }
      const { runId, kept } = await forkRun({ store, hints }, await storedOrigin(store, row), {
        ...forkOptions(body),
        id,
      })
      return { made: { id, runId }, kept }
    },
  },
  {
    name: 'delete',
    body: object({}, common),
    role: 'admin',
    plan: async (_, row) => {
      if (row.closedAt !== null) return {}
      throw new StetError('run_open', `delete: run ${row.runId} is ${row.status}. Only a closed run is deleted.`)
    },
    run: async (house, { runId }) => {
      await house.stet.run(runId).delete()
      return {}
    },
  },
]

export const bulkRoutes: readonly Route[] = [
  ...actions.map((action) => ({
    ...post<any>(`/api/bulk/${action.name}`, {
      summary: `${action.name[0]!.toUpperCase()}${action.name.slice(1)} many runs; a dry run unless dryRun is false`,
      body: action.body,
      answer: refTo('Many'),
      ...(action.role === undefined ? {} : { role: action.role }),
      run: ({ house, who, body }) => doMany(house, who, action, body),
    }),
    action: action.name,
  })),
  get('/api/bulks', {
    summary: 'Bulks, newest first: what was asked for by a filter, and how it gets on',
    query: object({}, pageFields),
    answer: {
      type: 'object',
      properties: { bulks: { type: 'array', items: refTo('Bulk') }, next: { type: 'string' } },
      required: ['bulks'],
      additionalProperties: false,
    },
    run: async ({ house, query }) => {
      const { limit = 50, after } = query
      const { bulks, next } = await (await house.store()).listBulks({ limit, after })
      return { bulks: bulks.map(progressOf), ...(next === null ? {} : { next }) }
    },
  }),
  get('/api/bulks/:bulk', {
    summary: 'How a bulk gets on',
    answer: refTo('Bulk'),
    run: async ({ house, ref }) => (await house.stet.bulks.get(ref)).progress(),
  }),
  change('cancel', 'End a bulk where it stands; what is done stays done'),
  change('pause', 'Keep a bulk from going on'),
  change('resume', 'Let a paused bulk go on'),
]

function change(name: 'cancel' | 'pause' | 'resume', summary: string): Route {
  const route = post(`/api/bulks/:bulk/${name}`, {
    summary,
    body: object({}),
    answer: refTo('Bulk'),
    run: async ({ house, who, ref }) => {
      const bulk = await house.stet.bulks.get(ref)
      const entry = { action: `bulk.${name}`, runId: null, id: null, details: { bulk: ref } }
      await house.audit.of(who, entry, () => bulk[name]())
      return bulk.progress()
    },
  })
  return { ...route, action: `bulk.${name}` }
}

async function doMany<Body extends Many>(house: House, who: Who, action: Action<Body>, body: Body) {
  if ((body.runs === undefined) === (body.filter === undefined)) {
    throw new InvalidInputError('body: expected runs or a filter, one of the two.')
  }
  return body.runs === undefined ? doFiltered(house, who, action, body) : doNamed(house, who, action, body, body.runs)
}

// ── by a filter ──────────────────────────────────────────────────────────────────────────────────

async function doFiltered<Body extends Many>(house: House, who: Who, { name }: Action<Body>, body: Body) {
  const { filter, dryRun = true, reason } = body
  const fork = forkOptions(body)
  const wanted = checkBulk(name, filterOf(filter!), {
    ...(reason === undefined ? {} : { reason }),
    ...(name === 'fork' ? { fork } : {}),
    actor: who.actor,
  })
  const backend = await house.stet.internals()
  const preview = await previewBulk(backend, wanted)
  const { count, more, sample } = preview
  if (dryRun) {
    const would = sample.filter(({ refused }) => refused === undefined)
    return {
      ...{ dryRun, count, more },
      done: would.map(({ id, runId, workflow, status }) => ({ id, runId, workflow, status })),
      failed: sample.flatMap(({ id, runId, refused: code, message = '' }) =>
        code === undefined ? [] : [{ id, runId, code, message }],
      ),
    }
  }
  const details = { bulk: true, filter }
  const { id } = await house.audit.of(who, { action: name, runId: null, id: null, details }, async () => {
    const begun = await beginBulk(backend, wanted, preview)
    return { id: begun.id }
  })
  void driveAlone(house, id)
  return { dryRun, done: [], failed: [], bulk: await (await house.stet.bulks.get(id)).progress() }
}

/** Where no worker lives, the dashboard does it, as long as it is there. */
async function driveAlone(house: House, id: string): Promise<void> {
  try {
    const backend = await house.stet.internals()
    if ((await backend.store.liveWorkers()).length > 0) return
    for (let idle = 0; idle < 10; ) {
      const part = await doBulkPart(backend, id)
      idle = part === null || part.runs === 0 ? idle + 1 : 0
      if (part !== null && part.bulk.state !== 'running') return
      await new Promise((resolve) => setTimeout(resolve, idle === 0 ? 10 : 250))
    }
  } catch (error) {
    if (error instanceof StetError && error.code === 'closed') return
    house.onError(error)
  }
}

// ── by name ──────────────────────────────────────────────────────────────────────────────────────

async function doNamed<Body extends Many>(
  house: House,
  who: Who,
  action: Action<Body>,
  body: Body,
  runs: readonly string[],
) {
  const { dryRun = true } = body
  const store = await house.store()
  const found = await Promise.all(runs.map((ref) => store.find(ref)))
  const rows = [...new Map(found.flatMap((row) => (row === null ? [] : [[row.runId, row] as const]))).values()]
  const done: object[] = []
  const failed: object[] = runs.flatMap((ref, i) => {
    if (found[i] !== null) return []
    return [{ id: ref, runId: ref, code: 'run_not_found', message: `no run has the id or run id "${ref}".` }]
  })
  const until = performance.now() + maxMs
  let at = 0
  for (; at < rows.length && performance.now() < until; at += atOnce) {
    const part = rows.slice(at, at + atOnce)
    const results = await settle(house, who, action, body, part, dryRun)
    for (const [i, result] of results.entries()) {
      const { id, runId, workflow, status } = part[i]!
      if (result.status === 'fulfilled') done.push({ id, runId, workflow, status, ...result.value })
      else failed.push({ id, runId, ...told(house, result.reason) })
    }
  }
  const left = rows.slice(at).map(({ runId }) => runId)
  return { dryRun, done, failed, ...(left.length === 0 ? {} : { left }) }
}

function settle<Body extends Many>(
  house: House,
  who: Who,
  action: Action<Body>,
  body: Body,
  rows: readonly RunRow[],
  dryRun: boolean,
): Promise<PromiseSettledResult<Outcome>[]> {
  if (dryRun) return Promise.allSettled(rows.map((row) => action.plan(house, row, body)))
  const entries = rows.map(({ runId, id }) => ({ action: action.name, runId, id, details: { bulk: true } }))
  return house.audit.all(who, entries, async (_, i) => action.run(house, rows[i]!, body))
}

function told(house: House, error: unknown): { code: string; message: string } {
  if (error instanceof StetError) return { code: error.code, message: error.message }
  house.onError(error)
  return { code: 'internal', message: 'something went wrong here; the log of the dashboard says what.' }
}
