/** Who gets in, and what is refused whoever asks. */
import { request as httpRequest } from 'node:http'
import { connect } from 'node:net'
import { afterAll, describe, expect, test } from 'vitest'
import { Stet } from '../../src/index.js'
import { routes } from '../../src/server/dashboard.js'
import { createDashboard, serveDashboard } from '../../src/server/index.js'
import { openapiOf } from '../../src/server/openapi.js'
import { shapes } from '../../src/server/shapes.js'
import { house, refusal } from '../support/house.js'
import { Browser, bearer, browse, idle, tokens } from './support.js'

const { stet, db } = await house()

/**
 * Stated here once more, by hand: who is let in, and what those who are let in get for a run that is not there and an
 * empty body, which do nothing.
 */
const expected: Record<string, readonly ['anyone' | 'view' | 'operate' | 'admin', number]> = {
  'GET /api/runs': ['view', 200],
  'GET /api/counts': ['view', 200],
  'GET /api/runs/:run': ['view', 404],
  'GET /api/runs/:run/summary': ['view', 404],
  'GET /api/runs/:run/graph': ['view', 404],
  'GET /api/runs/:run/history': ['view', 404],
  'GET /api/runs/:run/why': ['view', 404],
  'GET /api/runs/:run/checkpoint': ['view', 400],
  'GET /api/runs/:run/children': ['view', 404],
  'GET /api/runs/:run/forks': ['view', 404],
  'GET /api/runs/:run/export': ['view', 404],
  'POST /api/runs/:run/query': ['view', 400],
  'GET /api/workers': ['view', 200],
  'GET /api/versions': ['view', 200],
  'GET /api/workflows': ['view', 200],
  'GET /api/queues': ['view', 200],
  'GET /api/stats': ['view', 200],
  'GET /api/alerts': ['view', 200],
  'GET /api/alerts/history': ['view', 200],
  'GET /api/alerts/rules': ['view', 200],
  'POST /api/alerts/test': ['view', 200],
  'POST /api/alerts/silence': ['operate', 400],
  'POST /api/alerts/rules': ['admin', 400],
  'POST /api/alerts/rules/remove': ['admin', 400],
  'POST /api/alerts/rules/enable': ['admin', 400],
  'POST /api/alerts/rules/disable': ['admin', 400],
  'GET /api/limits': ['view', 200],
  'POST /api/limits': ['operate', 400],
  'POST /api/limits/reset': ['operate', 400],
  'POST /api/limits/pause': ['operate', 400],
  'POST /api/limits/resume': ['operate', 400],
  'GET /api/schedules': ['view', 200],
  'GET /api/schedules/one': ['view', 400],
  'POST /api/schedules/next': ['view', 400],
  'POST /api/schedules': ['operate', 400],
  'POST /api/schedules/update': ['operate', 400],
  'POST /api/schedules/pause': ['operate', 400],
  'POST /api/schedules/resume': ['operate', 400],
  'POST /api/schedules/trigger': ['operate', 400],
  'POST /api/schedules/backfill': ['operate', 400],
  'POST /api/schedules/delete': ['operate', 400],
  'GET /metrics': ['view', 200],
  'GET /api/session': ['view', 200],
  'GET /api/feed': ['view', 200],
  'POST /api/runs': ['operate', 400],
  'POST /api/runs/:run/signal': ['operate', 400],
  'POST /api/runs/:run/update': ['operate', 400],
  'POST /api/runs/:run/cancel': ['operate', 404],
  'POST /api/runs/:run/terminate': ['operate', 404],
  'POST /api/runs/:run/pause': ['operate', 404],
  'POST /api/runs/:run/resume': ['operate', 404],
  'POST /api/runs/:run/retry': ['operate', 404],
  'POST /api/runs/:run/fork': ['operate', 404],
  'POST /api/runs/:run/move': ['operate', 400],
  'POST /api/bulk/cancel': ['operate', 400],
  'POST /api/bulk/terminate': ['operate', 400],
  'POST /api/bulk/pause': ['operate', 400],
  'POST /api/bulk/resume': ['operate', 400],
  'POST /api/bulk/retry': ['operate', 400],
  'POST /api/bulk/fork': ['operate', 400],
  'POST /api/bulk/delete': ['admin', 400],
  'GET /api/bulks': ['view', 200],
  'GET /api/bulks/:bulk': ['view', 404],
  'POST /api/bulks/:bulk/cancel': ['operate', 404],
  'POST /api/bulks/:bulk/pause': ['operate', 404],
  'POST /api/bulks/:bulk/resume': ['operate', 404],
  'POST /api/runs/:run/delete': ['admin', 404],
  'GET /api/retention': ['view', 200],
  'POST /api/retention': ['admin', 400],
  'GET /api/audit': ['admin', 200],
  'POST /api/session': ['anyone', 400],
  'DELETE /api/session': ['anyone', 200],
  'GET /openapi.json': ['anyone', 200],
}
const methods = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'] as const
const callers = { 'no token': null, 'a wrong token': 'not-a-token-0123456789', ...bearer } as const
const may = { 'no token': 0, 'a wrong token': 0, viewer: 1, operator: 2, admin: 3 } as const
const needs = { anyone: 0, view: 1, operate: 2, admin: 3 } as const

test('the matrix is of all routes', () => {
  expect(routes.map(({ method, path }) => `${method} ${path}`).sort()).toEqual(Object.keys(expected).sort())
})

describe.each([...new Set(routes.map(({ path }) => path))])('%s', (path) => {
  const url = path.replace(/:run|:bulk/, 'nobody')
  const known = methods.filter((method) => `${method} ${path}` in expected)
  const cases = methods.flatMap((method) =>
    Object.keys(callers).map((caller) => ({ method, caller: caller as keyof typeof callers })),
  )

  // One for all requests: what is refused is refused whoever asked before.
  const browser = new Browser(createDashboard(stet, { tokens }))
  afterAll(() => browser.dashboard.close())

  async function status(method: string, caller: keyof typeof callers, headers: Record<string, string> = {}) {
    const body = method === 'GET' ? {} : { body: {} }
    const request = browser.request(url, { token: callers[caller], method, headers, ...body })
    const response = await browser.dashboard.fetch(request)
    const live = response.headers.get('content-type') === 'text/event-stream'
    const text = live ? '' : await response.text()
    if (live) await response.body!.cancel()
    return { status: response.status, code: /"code":"(\w+)"/.exec(text)?.[1], response }
  }

  test.each(cases)('$method by $caller', async ({ method, caller }) => {
    const [role, met] = expected[`${method} ${path}`] ?? ['anyone', 405]
    const wanted = may[caller] >= needs[role] ? met : may[caller] === 0 ? 401 : 403
    const { status: got, code, response } = await status(method, caller)
    expect(got).toBe(wanted)
    if (wanted === 401) expect([code, response.headers.get('www-authenticate')]).toEqual(['unauthorized', 'Bearer'])
    if (wanted === 403) expect(code).toBe('forbidden')
    if (wanted === 405) expect(response.headers.get('allow')).toBe(known.join(', '))
    expect(response.headers.get('content-security-policy')).toMatch(/default-src 'none'.*frame-ancestors 'none'/)
    expect(response.headers.get('content-security-policy')).not.toMatch(/unsafe|\*/)
    expect(response.headers.get('x-content-type-options')).toBe('nosniff')
    expect(response.headers.get('referrer-policy')).toBe('no-referrer')
    expect(response.headers.get('cache-control')).toMatch(/no-store|no-cache, no-transform/)
    expect(response.headers.get('access-control-allow-origin')).toBeNull()
  })

  test('under another name nobody gets in', async () => {
    for (const method of methods) {
      for (const host of ['evil.example', 'localhost.evil.example:4400', 'localhost@evil', '127.0.0.1.nip.io', '']) {
        const { status: got, code } = await status(method, 'admin', { host })
        expect([method, host, got, code]).toEqual([method, host, 403, 'host_not_allowed'])
      }
    }
  })

  test('a page of another origin changes nothing', async () => {
    const foreign = [
      { origin: 'http://evil.example' },
      { origin: 'null' },
      // Another server on this machine is another origin.
      { origin: 'http://localhost:3000' },
      { origin: 'http://localhost:4400', 'sec-fetch-site': 'cross-site' },
    ]
    for (const method of methods) {
      for (const headers of foreign) {
        const { status: got, code } = await status(method, 'admin', headers as any)
        if (method === 'GET') expect(code).not.toBe('origin_not_allowed')
        else expect([method, headers, got, code]).toEqual([method, headers, 403, 'origin_not_allowed'])
      }
      const own = { host: 'localhost:4400', origin: 'http://localhost:4400', 'sec-fetch-site': 'same-origin' }
      expect((await status(method, 'admin', own)).status).toBe(expected[`${method} ${path}`]?.[1] ?? 405)
    }
  })

  // A path that is only read has no such test.
  for (const method of known.filter((each) => each !== 'GET').slice(0, 1))
    test('takes JSON alone, and so much of it', async () => {
      const browser = browse(stet, { maxBodyBytes: 1_000 })
      for (const type of [
        'text/plain',
        'application/x-www-form-urlencoded',
        'multipart/form-data',
        'application/jsonp',
      ]) {
        const { status, json } = await browser.ask(url, { method, body: '{}', headers: { 'content-type': type } })
        expect([type, status, json.error.code]).toEqual([type, 415, 'json_required'])
      }
      const long = await browser.ask(url, { method, body: { name: 'x'.repeat(1_000) } })
      expect([long.status, long.json.error.code]).toEqual([413, 'too_large'])
      for (const body of ['{', '"', '[1', '\u0000']) {
        const { status, json } = await browser.ask(url, { method, body })
        expect([status, json.error.code]).toEqual([400, 'invalid_json'])
      }
      for (const body of ['[]', '1', 'null', '"text"', '{"no such field":1}']) {
        const { status, json } = await browser.ask(url, { method, body })
        expect([body, status, json.error.code]).toEqual([body, 400, 'invalid_input'])
      }
    })
})

describe('limits', () => {
  test('a body without a length is read as far as is allowed', async () => {
    const { dashboard, request } = limited()
    let pulled = 0
    const body = new ReadableStream({
      pull(controller) {
        pulled += 1
        controller.enqueue(new TextEncoder().encode(' '.repeat(100)))
      },
    })
    const { url, headers } = request
    const response = await dashboard.fetch(
      new Request(url, { method: 'POST', headers, body, duplex: 'half' } as RequestInit),
    )
    expect(response.status).toBe(413)
    expect(pulled).toBeLessThan(30)
    function limited() {
      const browser = browse(stet, { maxBodyBytes: 1_000 })
      return { dashboard: browser.dashboard, request: browser.request('/api/runs', { body: {} }) }
    }
  })

  test('no page is longer than 200, of events 1,000', async () => {
    const browser = browse(stet)
    for (const path of ['/api/runs', '/api/runs/nobody/history', '/api/runs/nobody/children', '/api/audit']) {
      const most = path.endsWith('history') ? '1001' : '201'
      for (const limit of [most, '0', '-1', '1e3', '', 'all', '1&limit=2']) {
        const { status, json } = await browser.ask(`${path}?limit=${limit}`)
        expect([path, limit, status, json.error.code]).toEqual([path, limit, 400, 'invalid_input'])
      }
    }
    const { status, json } = await browser.ask('/api/runs?limti=5')
    expect([status, json.error.message]).toEqual([400, expect.stringContaining('limti')])
  })

  test('no more feeds than may be open', async () => {
    const browser = browse(stet, { maxFeeds: 2 })
    const open = () => browser.dashboard.fetch(browser.request('/api/feed?lists=1'))
    const [first, second] = [await open(), await open()]
    const third = await open()
    expect([third.status, ((await third.json()) as any).error.code]).toEqual([503, 'too_many_feeds'])
    await first.body!.cancel()
    const fourth = await open()
    expect(fourth.status).toBe(200)
    for (const { body } of [second, fourth]) await body!.cancel()
    // What HEAD opens nobody would close.
    for (let i = 0; i < 3; i++) expect((await browser.ask('/api/feed', { method: 'HEAD' })).status).toBe(405)
    expect((await browser.ask('/api/runs', { method: 'HEAD' })).status).toBe(200)
  })
})

describe('sessions', () => {
  const login = (browser: Browser, token: string) => browser.ask('/api/session', { token: null, body: { token } })

  test('a cookie for a token: HttpOnly, SameSite=Strict, and not the token', async () => {
    const browser = browse(stet)
    const { status, headers } = await login(browser, bearer.operator)
    expect(status).toBe(200)
    const cookie = headers.get('set-cookie')!
    expect(cookie).toMatch(/^stet_session=[\w-]{43}; Path=\/; HttpOnly; SameSite=Strict; Max-Age=\d+$/)
    expect(cookie).not.toContain(bearer.operator)
    const sent = { cookie: `other=1; ${cookie.split(';')[0]}; more=2` }
    const me = await browser.ask('/api/session', { token: null, headers: sent })
    expect(me.json).toEqual({ role: 'operate', actor: 'otto' })
    expect((await browser.ask('/api/audit', { token: null, headers: sent })).status).toBe(403)
    // Another process with the same tokens knows it; one with others does not.
    const same = browse(stet)
    expect((await same.ask('/api/session', { token: null, headers: sent })).status).toBe(200)
    const other = browse(stet, { tokens: { 'another-token-0123456789': 'operate' } })
    expect((await other.ask('/api/session', { token: null, headers: sent })).status).toBe(401)
    // A wrong token is told, whatever the cookie says.
    expect((await browser.ask('/api/session', { token: 'wrong', headers: sent })).status).toBe(401)
    const over = await browser.ask('/api/session', { token: null, method: 'DELETE', body: {}, headers: sent })
    expect(over.headers.get('set-cookie')).toMatch(/^stet_session=; .*Max-Age=0/)
  })

  test('none for a wrong one', async () => {
    const browser = browse(stet)
    for (const token of ['', 'x', bearer.admin.slice(0, -1), `${bearer.admin} `, 'é'.repeat(20)]) {
      const { status, headers } = await login(browser, token)
      expect([token, status, headers.get('set-cookie')]).toEqual([token, 401, null])
    }
    for (const authorization of ['Bearer', 'Basic eDp5', `bearer  ${bearer.admin}x`, bearer.admin]) {
      expect((await browser.ask('/api/runs', { token: null, headers: { authorization } })).status).toBe(401)
    }
    expect(
      (await browser.ask('/api/runs', { token: null, headers: { authorization: `bearer ${bearer.viewer}` } })).status,
    ).toBe(200)
  })
})

describe('without tokens', () => {
  test('mounted, it has to be said', async () => {
    expect(() => createDashboard(stet)).toThrow(expect.objectContaining({ code: 'token_required' }))
    expect(() => createDashboard(stet, { local: true, hosts: ['ops.example.com'] })).toThrow(
      expect.objectContaining({ code: 'token_required', message: expect.stringContaining('ops.example.com') }),
    )
    const local = new Browser(createDashboard(stet, { local: true }), null)
    expect((await local.ask('/api/session')).json).toEqual({ role: 'operate', actor: 'local' })
    expect((await local.ask('/api/audit')).status).toBe(403)
    await local.dashboard.close()
  })

  test.each(['0.0.0.0', '::', '192.0.2.7', 'example.com'])(
    'it does not listen on %s, and says how it would',
    async (host) => {
      const error = await refusal(serveDashboard(stet, { host, port: 0 }))
      expect(error).toMatchObject({
        code: 'token_required',
        message: expect.stringMatching(/STET_DASHBOARD_TOKEN.*--token/),
      })
    },
  )

  test('options that cannot be used are refused, and no token is in a message', () => {
    const short = { 'short-secret': 'admin' } as const
    const error = (() => {
      try {
        createDashboard(stet, { tokens: short })
      } catch (error) {
        return error as Error
      }
      throw new Error('expected a refusal')
    })()
    expect(error.message).not.toContain('short-secret')
    const wrong = [
      { tokens: {} },
      { tokens: { 'long-enough-0123456789': 'root' } },
      { tokens, maxFeeds: 0 },
      { tokens, maxBodyBytes: 1.5 },
    ]
    for (const options of wrong) {
      expect(() => createDashboard(stet, options as any)).toThrow(expect.objectContaining({ code: 'invalid_input' }))
    }
  })
})

describe('on a real socket', () => {
  /** As no client of JavaScript would send it. */
  function raw(port: number, text: string): Promise<string> {
    return new Promise((resolve, reject) => {
      const socket = connect(port, '127.0.0.1', () => socket.end(text))
      let answer = ''
      socket.on('data', (data) => {
        answer += data
      })
      socket.on('close', () => resolve(answer))
      socket.on('error', reject)
    })
  }

  test('loopback by default; other names, none and two are refused', async () => {
    await using served = await serveDashboard(stet, { port: 0 })
    expect(served.url).toBe(`http://127.0.0.1:${served.port}`)
    expect((await fetch(`${served.url}/api/runs`)).status).toBe(200)
    expect(await raw(served.port, 'GET /api/runs HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n')).toMatch(
      /^HTTP\/1.1 403/,
    )
    expect(await raw(served.port, 'GET /api/runs HTTP/1.1\r\nConnection: close\r\n\r\n')).toMatch(/^HTTP\/1.1 400/)
    const two = 'GET /api/runs HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\nConnection: close\r\n\r\n'
    expect(await raw(served.port, two)).not.toMatch(/^HTTP\/1.1 2/)
    const absolute = 'GET http://evil.example/api/runs HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n'
    const answer = await raw(served.port, absolute)
    expect(answer).not.toContain('evil')
    const taken = await refusal(serveDashboard(stet, { port: served.port }))
    expect(taken).toMatchObject({ code: 'port_in_use', message: expect.stringContaining(String(served.port)) })
  })

  test('everywhere, with a token: by its addresses and the names that it was told', async () => {
    await using served = await serveDashboard(stet, { port: 0, host: '0.0.0.0', tokens, hosts: ['ops.example.com'] })
    const ask = (host: string) =>
      new Promise<number>((resolve, reject) => {
        const headers = { host, authorization: `Bearer ${bearer.viewer}` }
        httpRequest({ port: served.port, host: '127.0.0.1', path: '/api/runs', headers }, (response) => {
          response.resume()
          resolve(response.statusCode!)
        })
          .on('error', reject)
          .end()
      })
    expect(await ask(`127.0.0.1:${served.port}`)).toBe(200)
    expect(await ask('ops.example.com')).toBe(200)
    expect(await ask('ops.example.com:8443')).toBe(200)
    expect(await ask('example.com')).toBe(403)
    expect((await fetch(`http://127.0.0.1:${served.port}/api/runs`)).status).toBe(401)
  })

  test('it closes while feeds are open', async () => {
    const served = await serveDashboard(stet, { port: 0 })
    const response = await fetch(`${served.url}/api/feed?lists=1`)
    const reader = response.body!.getReader()
    await reader.read()
    const rest = (async () => {
      while (!(await reader.read()).done);
    })().catch(() => {})
    await served.close()
    await rest
    await expect(fetch(`${served.url}/api/runs`)).rejects.toThrow()
    await served.close()
  })
})

describe('errors', () => {
  test('what goes wrong here is told without its words, and to whoever runs it with them', async () => {
    const errors: any[] = []
    const lost = new Stet({ url: db.url })
    const { store } = await lost.internals()
    store.countRuns = () => Promise.reject(new Error('secret of the house'))
    const browser = browse(lost, { onError: (error) => errors.push(error) })
    const { status, json } = await browser.ask('/api/counts')
    expect([status, Object.keys(json.error)]).toEqual([500, ['code', 'message']])
    expect(JSON.stringify(json)).not.toMatch(/secret|at .*:\d+/)
    expect(errors.map(({ message }) => message)).toEqual(['secret of the house'])
    await lost.close()
    expect((await browser.ask('/api/counts')).status).toBe(503)
  })

  test('an action that cannot be put on record is not done', async () => {
    const own = new Stet({ url: db.url })
    const { store } = await own.internals()
    store.beginAudit = () => Promise.reject(new Error('no room'))
    const browser = browse(own, { onError: () => {} })
    await stet.start(idle, null, { id: 'not-recorded' })
    expect((await browser.ask('/api/runs/not-recorded/cancel', { body: {} })).status).toBe(500)
    expect((await browser.ask('/api/runs', { body: { workflow: 'idle', id: 'never' } })).status).toBe(500)
    expect((await stet.run('not-recorded').describe()).status).toBe('pending')
    expect((await stet.list({ workflow: 'idle' })).runs.map(({ id }) => id)).toEqual(['not-recorded'])
    await own.close()
  })

  test('what is not there', async () => {
    const browser = browse(stet)
    for (const path of ['/api', '/api/', '/nothing', '/api/runs/', '/api/bulk/anything', '/../etc/passwd']) {
      const { status, json } = await browser.ask(path)
      expect([path, status, json.error.code]).toEqual([path, 404, 'not_found'])
    }
  })
})

describe('the OpenAPI document', () => {
  const document = openapiOf(routes, shapes, '0') as any

  test('has every route, and no other', () => {
    const found = Object.entries(document.paths).flatMap(([path, operations]) =>
      Object.keys(operations as object).map(
        (method) => `${method.toUpperCase()} ${path.replaceAll(/\{(\w+)\}/g, ':$1')}`,
      ),
    )
    expect(found.sort()).toEqual(Object.keys(expected).sort())
  })

  test('has the shape that OpenAPI asks for', () => {
    expect(document.info).toMatchObject({ title: expect.any(String), version: expect.any(String) })
    const ids = new Set<string>()
    for (const [path, operations] of Object.entries<any>(document.paths)) {
      expect(path).toMatch(/^\//)
      for (const operation of Object.values<any>(operations)) {
        expect(operation.operationId).toMatch(/^[a-zA-Z]+$/)
        expect(ids.has(operation.operationId)).toBe(false)
        ids.add(operation.operationId)
        expect(operation.summary).toMatch(/\w/)
        const inPath = operation.parameters.filter((each: any) => each.in === 'path').map((each: any) => each.name)
        expect(inPath).toEqual([...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name))
        for (const parameter of operation.parameters) {
          expect(parameter).toMatchObject({ name: expect.any(String), in: expect.stringMatching(/^(path|query)$/) })
          expect('schema' in parameter !== 'content' in parameter).toBe(true)
        }
        for (const [status, response] of Object.entries<any>(operation.responses)) {
          expect(status).toMatch(/^(\d{3}|default)$/)
          expect(response.description).toMatch(/\w/)
        }
        for (const scheme of operation.security.flatMap(Object.keys)) {
          expect(document.components.securitySchemes).toHaveProperty(scheme)
        }
      }
    }
    const text = JSON.stringify(document)
    for (const [, name] of text.matchAll(/"#\/components\/schemas\/(\w+)"/g))
      expect(document.components.schemas).toHaveProperty(name!)
    const types = [...text.matchAll(/"type":"(\w+)"/g)].map(([, type]) => type!)
    const known = ['string', 'number', 'integer', 'boolean', 'object', 'array', 'null', 'http', 'apiKey']
    expect(types.filter((type) => !known.includes(type))).toEqual([])
  })
})
