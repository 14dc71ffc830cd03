/** A dashboard to ask, and what it is asked about. */
import { onTestFinished } from 'vitest'
import { type Ctx, query, type Stet, signal, update, workflow } from '../../src/index.js'
import { createDashboard, type Dashboard, type DashboardOptions } from '../../src/server/index.js'

export const tokens = {
  'viewer-token-0123456789': { role: 'view', name: 'vera' },
  'operator-token-0123456789': { role: 'operate', name: 'otto' },
  'admin-token-0123456789': 'admin',
} as const
export const bearer = {
  viewer: 'viewer-token-0123456789',
  operator: 'operator-token-0123456789',
  admin: 'admin-token-0123456789',
} as const

export interface Asked {
  readonly token?: string | null
  readonly body?: unknown
  readonly headers?: Record<string, string>
  readonly method?: string
}

export interface Answered {
  readonly status: number
  readonly json: any
  readonly headers: Headers
}

export class Browser {
  readonly dashboard: Dashboard
  readonly #token: string | null
  /** `METHOD /path/of/:the/route` of each request that was met. */
  readonly met: string[] = []

  constructor(dashboard: Dashboard, token: string | null = bearer.admin) {
    this.dashboard = dashboard
    this.#token = token
  }

  request(path: string, { token = this.#token, body, headers = {}, method }: Asked = {}): Request {
    const sent = body === undefined ? undefined : typeof body === 'string' ? body : JSON.stringify(body)
    return new Request(`http://localhost:4400${path}`, {
      method: method ?? (sent === undefined ? 'GET' : 'POST'),
      ...(sent === undefined ? {} : { body: sent }),
      headers: {
        ...(token === null ? {} : { authorization: `Bearer ${token}` }),
        ...(sent === undefined ? {} : { 'content-type': 'application/json' }),
        ...headers,
      },
    })
  }

  async ask(path: string, asked: Asked = {}): Promise<Answered> {
    const response = await this.dashboard.fetch(this.request(path, asked))
    const text = await response.text()
    const isJson = response.headers.get('content-type')?.startsWith('application/json') === true
    return { status: response.status, json: isJson && text !== '' ? JSON.parse(text) : text, headers: response.headers }
  }

  /** The answer to a request that is to be met. */
  async get(path: string, asked: Asked = {}): Promise<any> {
    const { status, json } = await this.ask(path, asked)
    if (status !== 200) throw new Error(`${path}: ${status} ${JSON.stringify(json)}`)
    return json
  }

  post(path: string, body: unknown = {}): Promise<any> {
    return this.get(path, { body })
  }
}

export function browse(stet: Stet, options: DashboardOptions = {}, token: string | null = bearer.admin): Browser {
  const dashboard = createDashboard(stet, { tokens, ...options })
  onTestFinished(() => dashboard.close())
  return new Browser(dashboard, token)
}

// ── workflows ────────────────────────────────────────────────────────────────────────────────────

export const go = signal<unknown>('go')
export const progress = query<void, unknown>('progress')
export const add = update<number, number>('add')

/** Steps, a failed attempt, then it waits for a signal and gives it back. */
export const order = workflow('order', async (ctx: Ctx<unknown>, input: unknown) => {
  let sum = 0
  ctx.onQuery(progress, () => ({ sum, at: new Date(0) }))
  ctx.onUpdate(add, async (n) => {
    if (n < 0) throw new Error('not less than nothing')
    sum += n
    return sum
  })
  const [a] = await Promise.all([
    ctx.step('validate', () => 'valid'),
    ctx.step('reserve', { retry: { maxAttempts: 3, initialInterval: 1 } }, (step) => {
      if (step.attempt === 1) throw new RangeError('out of stock')
      return 2
    }),
  ])
  ctx.setAttributes({ stage: 'paid' })
  await ctx.step('charge', () => a)
  const message = await ctx.waitForSignal(go)
  return { input, message }
})

/** Fails at its second step until `repaired`. */
export const broken = workflow('broken', async (ctx: Ctx<unknown>, input: unknown) => {
  await ctx.step('first', () => 1)
  return ctx.step('second', { retry: false }, () => {
    if (!repaired.value) throw new Error(`broken with ${JSON.stringify(input)}`)
    return 'well'
  })
})
export const repaired = { value: false }

export const parent = workflow('parent', async (ctx: Ctx<unknown>, n: number) => {
  const results = []
  for (let i = 0; i < n; i++) results.push(await ctx.child(leaf, i))
  return results
})
export const leaf = workflow('leaf', async (_: Ctx<number>, n: number) => n * 2)

/** Waits for nothing but the end. */
export const idle = workflow('idle', async (ctx: Ctx<unknown>, _: unknown) => ctx.waitForSignal(go))

export const all = [order, broken, parent, leaf, idle]
