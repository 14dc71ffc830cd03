/**
 * The table of routes: one entry serves, is checked, is documented and is tested. There is no second list.
 */
import type { Context } from 'hono'
import { RunNotFoundError } from '../core/errors.js'
import type { Stet } from '../stet.js'
import type { RunRow, Store } from '../store/port.js'
import type { Access, Role, Who } from './access.js'
import type { Audit } from './audit.js'
import type { Feed } from './feed.js'
import { type JsonSchema, object, type Schema } from './schema.js'
import { shared } from './shared-answers.js'

/** What all routes share. */
export interface House {
  readonly stet: Stet
  readonly access: Access
  readonly audit: Audit
  readonly feed: Feed
  /** Told of what is nobody's fault who asked. */
  readonly onError: (error: unknown) => void
  /** @throws NoDatabaseError */
  store(): Promise<Store>
}

export interface Call<Query, Body> {
  readonly house: House
  readonly who: Who
  /** What stands in the path for `:run`. */
  readonly ref: string
  readonly query: Query
  readonly body: Body
  readonly http: Context
}

/** A call that does something to one run, which is there. */
export interface RunCall<Body> extends Call<unknown, Body> {
  readonly row: RunRow
}

export interface Route {
  readonly method: 'GET' | 'POST' | 'DELETE'
  readonly path: string
  /** Who may; null: whoever comes. */
  readonly role: Role | null
  readonly summary: string
  readonly query: JsonSchema
  /** Null: it takes none. */
  readonly body: JsonSchema | null
  /** Of the answer; with `produces`: of one part of it. */
  readonly answer: JsonSchema
  /** The kind of answer, where it is not JSON. */
  readonly produces: string | null
  /** The answer goes on until one of both ends. */
  readonly live: boolean
  /** What goes on record as done; null: nothing is done, or the handler itself sees to it. */
  readonly action: string | null
  /** A value becomes JSON; a response is sent as it is. */
  run(call: Call<any, any>): Promise<unknown>
}

const none = object({})

interface Reading<Q> {
  readonly summary: string
  readonly answer: JsonSchema
  readonly query?: Schema<Q>
  readonly role?: Role | null
  readonly produces?: string
  readonly live?: boolean
  /** Whoever asks the same within so many ms is given the same answer. */
  readonly sharedMs?: number
  readonly run: (call: Call<Q, unknown>) => Promise<unknown>
}

/** Reads, and changes nothing. */
export function get<Q>(path: string, { summary, answer, query, role = 'view', ...rest }: Reading<Q>): Route {
  const { produces = null, live = false, sharedMs } = rest
  const run: typeof rest.run =
    sharedMs === undefined
      ? rest.run
      : (call) =>
          shared(call.house, `${path} ${JSON.stringify([call.ref, call.query])}`, sharedMs, () => rest.run(call))
  return {
    method: 'GET',
    path,
    role,
    summary,
    query: query ?? none,
    body: null,
    answer,
    produces,
    live,
    action: null,
    run,
  }
}

interface Posting<B> {
  readonly summary: string
  readonly body: Schema<B>
  readonly answer: JsonSchema
  readonly role?: Role | null
  readonly run: (call: Call<unknown, B>) => Promise<unknown>
}

/** Takes a body and puts nothing on record by itself. */
export function post<B>(path: string, { summary, body, answer, role = 'operate', run }: Posting<B>): Route {
  const rest = { query: none, produces: null, live: false, action: null }
  return { method: 'POST', path, role, summary, body, answer, run, ...rest }
}

interface Acting<B> extends Omit<Posting<B>, 'run' | 'role'> {
  readonly run: (call: RunCall<B>) => Promise<unknown>
  /** What of the body goes on record: no payloads. */
  readonly note?: (body: B) => Record<string, unknown>
}

/** Does something to one run, on record. `POST /api/runs/:run/<action>`. */
export function act<B>(action: string, { run, note = () => ({}), ...posting }: Acting<B>): Route {
  const route = post<B>(`/api/runs/:run/${action}`, {
    ...posting,
    run: async (call) => {
      const { house, ref, who, body } = call
      const row = await (await house.store()).find(ref)
      if (row === null) throw new RunNotFoundError(ref)
      const entry = { action, runId: row.runId, id: row.id, details: note(body) }
      return house.audit.of(who, entry, () => run({ ...call, row }))
    },
  })
  return { ...route, action }
}
