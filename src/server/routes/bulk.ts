/**
 * The same for many runs: named one by one, or by a filter.
 *
 * B1. Nothing is done unless `dryRun` is false: without it the answer is what would be done.
 * B2. A request does only so much, in number and in time, and says where the next goes on. Newest first: what is made by
 *     it is newer than all that it comes to.
 * B3. Given twice, a fork is made once: its id follows from the run's.
 */
import { forkId, forkRun, planFork, retryRun, storedOrigin } from '../../client/forks.js'
import { InvalidInputError, RunClosedError, StetError } from '../../core/errors.js'
import { openStatuses } from '../../core/statuses.js'
import type { ForkOptions, RunStatus } from '../../core/types.js'
import type { RunRow } from '../../store/port.js'
import type { Who } from '../access.js'
import { type House, post, type Route } from '../route.js'
import { flag, integer, list, name, object, refTo, text } from '../schema.js'
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
  readonly limit?: number
  readonly after?: string
}

interface Action<Body> {
  readonly name: string
  readonly body: Body
  /** Which runs a filter means that names no status. */
  readonly statuses: readonly RunStatus[] | null
  /** @throws StetError when it cannot be done */
  readonly plan: (house: House, row: RunRow, body: Body) => Promise<Outcome>
  readonly run: (house: House, row: RunRow, body: Body) => Promise<Outcome>
}

const common = {
  runs: list(name(), maxRuns, 'ids or run ids'),
  filter,
  dryRun: flag('true unless it is said to be false: nothing is done, and the answer is what would be'),
  limit: integer(1, maxRuns, `so many runs at most (50; never more than ${maxRuns})`),
  after: pageFields.after,
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
    statuses: openStatuses,
    plan: (_, row) => mustBeOpen(row, 'cancel'),
    run: async (house, { runId }, { reason }) => {
      await house.stet.run(runId).cancel(reason)
      return {}
    },
  },
  {
    name: 'terminate',
    body: object({}, { ...common, reason }),
    statuses: openStatuses,
    plan: (_, row) => mustBeOpen(row, 'terminate'),
    run: async (house, { runId }, { reason }) => {
      await terminate(house, runId, reason)
      return {}
    },
  },
  {
    name: 'pause',
    body: object({}, { ...common, reason }),
    statuses: ['pending', 'running', 'waiting'],
    plan: (_, row) => mustBeOpen(row, 'pause'),
    run: async (house, { runId }, { reason }) => {
      await house.stet.run(runId).pause(reason)
      return {}
    },
  },
  {
    name: 'resume',
    body: object({}, common),
    statuses: ['paused', 'blocked'],
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
    statuses: ['failed'],
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
    statuses: null,
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
]

export const bulkRoutes: readonly Route[] = actions.map((action) => ({
  ...post<any>(`/api/bulk/${action.name}`, {
    summary: `${action.name[0]!.toUpperCase()}${action.name.slice(1)} many runs; a dry run unless dryRun is false`,
    body: action.body,
    answer: refTo('Bulk'),
    run: ({ house, who, body }) => doMany(house, who, action, body),
  }),
  action: action.name,
}))

async function doMany<Body extends Many>(house: House, who: Who, action: Action<Body>, body: Body) {
  const { dryRun = true } = body
  const done: object[] = []
  const failed: object[] = []
  const { rows, missing, next } = await chosen(house, action, body)
  for (const ref of missing) {
    failed.push({ id: ref, runId: ref, code: 'run_not_found', message: `no run has the id or run id "${ref}".` })
  }
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
  if (body.filter === undefined) return { dryRun, done, failed, ...(left.length === 0 ? {} : { left }) }
  const goOn = left.length === 0 ? next : rows[at - 1]!.runId
  return { dryRun, done, failed, ...(goOn === null ? {} : { next: goOn }) }
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
  const details = { bulk: true, ...(body.filter === undefined ? {} : { filter: body.filter }) }
  const entries = rows.map(({ runId, id }) => ({ action: action.name, runId, id, details }))
  return house.audit.all(who, entries, async (_, i) => action.run(house, rows[i]!, body))
}

async function chosen<Body extends Many>(
  house: House,
  action: Action<Body>,
  { runs, filter, limit = 50, after }: Body,
) {
  const store = await house.store()
  if ((runs === undefined) === (filter === undefined)) {
    throw new InvalidInputError('body: expected runs or a filter, one of the two.')
  }
  if (runs !== undefined) {
    const found = await Promise.all(runs.map((ref) => store.find(ref)))
    const rows = new Map(found.flatMap((row) => (row === null ? [] : [[row.runId, row] as const])))
    return { rows: [...rows.values()], missing: runs.filter((_, i) => found[i] === null), next: null }
  }
  const wanted = filterOf(filter!)
  if (Object.keys(wanted).length === 0) {
    throw new InvalidInputError(
      'body.filter: expected a field that says which runs; all of them is not meant by nothing.',
    )
  }
  const status = wanted.status ?? (action.statuses === null ? undefined : [...action.statuses])
  const page = { limit, ...(after === undefined ? {} : { after }), ...(status === undefined ? {} : { status }) }
  // Asked of the client first, which checks what a filter may say.
  const { runs: described, next } = await house.stet.list({ ...wanted, ...page })
  const byId = new Map(
    (
      await store.rows(
        described.map(({ runId }) => runId),
        0,
      )
    ).map((row) => [row.runId, row]),
  )
  return { rows: described.flatMap(({ runId }) => byId.get(runId) ?? []), missing: [], next: next ?? null }
}

function told(house: House, error: unknown): { code: string; message: string } {
  if (error instanceof StetError) return { code: error.code, message: error.message }
  house.onError(error)
  return { code: 'internal', message: 'something went wrong here; the log of the dashboard says what.' }
}
