/**
 * Serves the table of routes. Each request is asked, in this order: is this its name for us (403), does it come from
 * our own pages (403), is there such a route (404, 405), who is it (401), may they (403), does it say what it must (415,
 * 413, 400); only then it is done.
 */
import { Hono } from 'hono'
import type { StatusCode } from 'hono/utils/http-status'
import { replaceUnusual } from '../client/json.js'
import { InvalidInputError } from '../core/errors.js'
import { checkName } from '../core/ids.js'
import { mayDo, type Who } from './access.js'
import { readBody } from './body.js'
import { servePage } from './pages.js'
import { HttpError, problemOf } from './problems.js'
import type { House, Route } from './route.js'
import { check, fromText, type JsonSchema } from './schema.js'
import { checkOrigin, type ServedHosts, securityHeaders } from './security.js'
import { forgetShared } from './shared-answers.js'

export interface AppParts {
  readonly routes: readonly Route[]
  readonly house: House
  readonly hosts: ServedHosts
  readonly maxBodyBytes: number
}

export function createApp({ routes, house, hosts, maxBodyBytes }: AppParts): Hono {
  const app = new Hono()
  app.use('*', async (c, next) => {
    checkOrigin(c.req.raw, hosts.check(c.req.raw))
    await next()
  })
  const byPath = new Map<string, Route[]>()
  for (const route of routes) byPath.set(route.path, [...(byPath.get(route.path) ?? []), route])
  for (const [path, own] of byPath) {
    const allowed = own.map(({ method }) => method).join(', ')
    app.all(path, async (c) => {
      const { method } = c.req.raw
      const route = own.find((each) => each.method === method || (each.method === 'GET' && method === 'HEAD'))
      // Nobody would ever end what a HEAD has opened.
      if (route === undefined || (route.live && method === 'HEAD')) {
        throw new HttpError(405, 'method_not_allowed', `expected ${allowed} here, got ${method}.`, { allow: allowed })
      }
      const who = identify(route, house, c.req.raw.headers)
      const ref = c.req.param('run') ?? c.req.param('bulk') ?? ''
      if (path.includes(':')) checkName(ref, path.includes(':run') ? 'run' : 'bulk')
      const query = readQuery(route.query, c.req.queries())
      const body = route.body === null ? undefined : await readBody(c.req.raw, maxBodyBytes)
      if (route.body !== null) check(route.body, body, 'body')
      const answer = await route.run({ house, who, ref, query, body, http: c }).finally(() => {
        if (route.method !== 'GET') forgetShared(house)
      })
      return answer instanceof Response ? answer : json(answer, 200)
    })
  }
  app.notFound(async (c) => {
    const page = await servePage(c.req.raw)
    if (page !== null) return page
    const message = `there is no ${c.req.path.slice(0, 200)} here; /openapi.json has all that is.`
    return json({ error: { code: 'not_found', message } }, 404)
  })
  app.onError((error, c) => {
    const { status, code, message } = problemOf(error, c.req.raw.method)
    if (status === 500) house.onError(error)
    const response = json({ error: { code, message } }, status)
    if (error instanceof HttpError)
      for (const [key, value] of Object.entries(error.headers)) response.headers.set(key, value)
    return response
  })
  return app
}

/** The answer with the headers that all have, but those that it has of its own. */
export function withHeaders(response: Response): Response {
  const headers = new Headers(response.headers)
  for (const [key, value] of Object.entries(securityHeaders)) if (!headers.has(key)) headers.set(key, value)
  return new Response(response.body, { status: response.status, headers })
}

function identify({ role }: Route, { access }: House, headers: Headers): Who {
  const who = access.who(headers)
  if (role === null) return who ?? { role: 'view', actor: 'nobody' }
  if (who === null) {
    throw new HttpError(
      401,
      'unauthorized',
      'a token is needed: Authorization: Bearer <token>, or POST it to /api/session.',
      {
        'www-authenticate': 'Bearer',
      },
    )
  }
  if (mayDo(who.role, role)) return who
  throw new HttpError(403, 'forbidden', `the role ${role} is needed for this; yours is ${who.role}.`)
}

function readQuery(schema: JsonSchema, given: Record<string, string[]>): unknown {
  const { properties = {} } = schema
  const values: [string, unknown][] = Object.entries(given).map(([key, texts]) => {
    const own = Object.hasOwn(properties, key) ? properties[key] : undefined
    if (own !== undefined) return [key, fromText(own, texts, key)]
    const known = Object.keys(properties).join(', ') || 'none'
    throw new InvalidInputError(`no parameter "${key.slice(0, 60)}" is known here; those that are: ${known}.`)
  })
  const query = Object.fromEntries(values)
  check(schema, query, 'query')
  return query
}

export function json(value: unknown, status: number): Response {
  const text = JSON.stringify(value, replaceUnusual) ?? 'null'
  return new Response(text, {
    status: status as StatusCode,
    headers: { 'content-type': 'application/json; charset=utf-8' },
  })
}
