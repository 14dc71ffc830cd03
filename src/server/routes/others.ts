/** Who works, on what; who did what; sessions. */
import { queuesOf } from '../../client/queues.js'
import { maxQueued } from '../../store/overview.js'
import { roles } from '../access.js'
import { HttpError } from '../problems.js'
import { get, post, type Route } from '../route.js'
import { choice, flag, integer, type JsonSchema, list, name, number, object, refTo, text } from '../schema.js'
import { maxPage } from './shared.js'

const someone = object({ role: choice(roles), actor: text('the name under which it goes on record') })
const pages = { limit: integer(1, maxPage, `so many at most (50; never more than ${maxPage})`) }
/** Pages ask these again and again. */
const pollMs = 3_000
const iso = (ms: number) => new Date(ms).toISOString()
const isSecure = (request: Request) => new URL(request.url).protocol === 'https:'

export const otherRoutes: readonly Route[] = [
  get('/api/workers', {
    summary: 'Workers that are alive',
    sharedMs: pollMs,
    answer: object({ workers: { type: 'array', items: refTo('Worker') } as JsonSchema }),
    run: async ({ house }) => {
      const workers = await (await house.store()).liveWorkers()
      return {
        workers: workers.map((each) => ({ ...each, startedAt: each.startedAt === null ? null : iso(each.startedAt) })),
      }
    },
  }),
  get('/api/versions', {
    summary: 'Versions that have open runs, and whether a worker has them',
    sharedMs: pollMs,
    query: object({}, { workflow: name() }),
    answer: object({
      versions: list(
        object(
          { workflow: text(), version: number(), open: number(), served: flag() },
          { more: flag('there are more open runs than were counted') },
        ),
        Number.MAX_SAFE_INTEGER,
      ),
    }),
    run: async ({ house, query }) => ({ versions: await house.stet.versions(query.workflow) }),
  }),
  get('/api/queues', {
    summary: 'Queues that have open runs or a limit, or that workers listen on',
    sharedMs: pollMs,
    answer: object({
      queues: { type: 'array', items: refTo('Queue') } as JsonSchema,
      more: list(text(), 10, 'statuses that have more runs than were counted, the newest'),
      limit: number('runs of a status that are counted; of those that are ready, 10,000 of each workflow and version'),
    }),
    run: async ({ house }) => {
      const { queues, more } = await queuesOf(await house.store())
      return {
        queues: queues.map(({ queue, paused, ready, oldestMs, runs, workers, concurrency }) => ({
          ...{ queue, ready, oldestAgeMs: oldestMs, ...runs },
          ...{ isPaused: paused, workers, concurrency },
        })),
        more,
        limit: maxQueued,
      }
    },
  }),
  get('/api/workflows', {
    summary: 'Workflows that are known, by their workers and their runs',
    answer: object({
      workflows: list(object({ name: text(), versions: list(number(), 1e6), served: list(number(), 1e6) }), 1e6),
    }),
    run: async ({ house }) => {
      const workflows = new Map<string, { name: string; versions: number[]; served: number[] }>()
      for (const { name, version, served } of await (await house.store()).knownWorkflows()) {
        const known = workflows.get(name) ?? { name, versions: [], served: [] }
        known.versions.push(version)
        if (served) known.served.push(version)
        workflows.set(name, known)
      }
      return { workflows: [...workflows.values()] }
    },
  }),
  get('/api/audit', {
    summary: 'What operators did, newest first',
    role: 'admin',
    query: object(
      {},
      {
        ...pages,
        before: integer(1, Number.MAX_SAFE_INTEGER, '`next` of the page before'),
        runId: name('on this run alone'),
      },
    ),
    answer: object({ audit: { type: 'array', items: refTo('AuditRow') } as JsonSchema }, { next: number() }),
    run: async ({ house, query: { limit = 50, before, runId } }) => {
      const rows = await (await house.store()).readAudit({
        limit: limit + 1,
        ...(before === undefined ? {} : { before }),
        ...(runId === undefined ? {} : { runId }),
      })
      const audit = rows.slice(0, limit).map((row) => ({ ...row, at: iso(row.at) }))
      return { audit, ...(rows.length > limit ? { next: audit.at(-1)!.n } : {}) }
    },
  }),

  get('/api/session', {
    summary: 'Who you are here',
    answer: someone,
    run: async ({ who: { role, actor } }) => ({ role, actor }),
  }),
  post('/api/session', {
    summary: 'Give a token for a cookie: what a browser needs',
    role: null,
    body: object({ token: text(undefined, 1_000) }),
    answer: someone,
    run: async ({ house, body, http }) => {
      const begun = house.access.begin(body.token, isSecure(http.req.raw))
      if (begun === null) throw new HttpError(401, 'unauthorized', 'the token is not known here.')
      if (begun.cookie !== null) http.header('set-cookie', begun.cookie)
      return http.json({ role: begun.who.role, actor: begun.who.actor })
    },
  }),
  {
    ...post('/api/session', {
      summary: 'Give the cookie back',
      role: null,
      body: object({}),
      answer: object({ ended: flag() }),
      run: async ({ house, http }) => {
        http.header('set-cookie', house.access.end(isSecure(http.req.raw)))
        return http.json({ ended: true })
      },
    }),
    method: 'DELETE',
  },
]
