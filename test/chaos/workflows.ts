/** Workflows that leave a trace: each step's body notes its beginning and its end in a ledger of its own connection. */
import pg from 'pg'
import { type AnyWorkflow, type Ctx, type StepContext, signal, TimeoutFailure, update, workflow } from 'stet'

let ledger: pg.Pool | null = null

export function openLedger(url: string): void {
  ledger = new pg.Pool({ connectionString: url, max: 4, connectionTimeoutMillis: 5_000, query_timeout: 5_000 })
  ledger.on('error', () => {})
  ledger.on('connect', (client) => client.on('error', () => {}))
}

/**
 * Until it is written: the ledger is in the database that is being shot at. What is noted is when it happened, not when
 * it was written: a process may be stopped in between.
 */
async function note(step: StepContext, phase: 'begin' | 'end'): Promise<void> {
  const [runId, op] = step.idempotencyKey.split(':')
  const at = new Date()
  for (;;) {
    try {
      await ledger!.query(
        'INSERT INTO chaos.ledger (run_id, op, attempt, phase, pid, at) VALUES ($1, $2, $3, $4, $5, $6)',
        [runId, Number(op), step.attempt, phase, process.pid, at],
      )
      return
    } catch {
      await pause(50)
    }
  }
}

async function traced<T>(step: StepContext, ms: number, result: () => T): Promise<T> {
  await note(step, 'begin')
  await pause(ms)
  const value = result()
  await note(step, 'end')
  return value
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}

/** 36 steps: every third is followed by a sleep, the eighth fails twice, a signal is awaited in the middle. */
export const thirtySix = workflow('thirty-six', async (ctx, base: number) => {
  let sum = base
  for (let i = 1; i <= 36; i++) {
    sum += await ctx.step(`step ${i}`, { retry: { maxAttempts: 4, initialInterval: 30 } }, (step) =>
      traced(step, 10, () => {
        if (i === 8 && step.attempt <= 2) throw new Error('not yet')
        return i
      }),
    )
    // One sleep is long enough to park the run.
    if (i % 3 === 0) await ctx.sleep(i === 12 ? 1_100 : 40)
    if (i === 18) sum += await ctx.waitForSignal<number>('go')
  }
  return sum
})

/** Waits for `count` signals, one after another, and returns what they said. */
export const listener = workflow('listener', async (ctx, count: number) => {
  const heard: unknown[] = []
  for (let i = 0; i < count; i++) heard.push(await ctx.waitForSignal('word'))
  return heard
})

export interface Work {
  readonly steps: number
  readonly stepMs?: number
  readonly sleepMs?: number
  /** Waits for a signal after the first step. */
  readonly signal?: boolean
}

/** Some steps, perhaps with sleeps between them and a signal. */
export const work = workflow('work', async (ctx, { steps, stepMs = 0, sleepMs = 0, signal = false }: Work) => {
  let sum = 0
  for (let i = 1; i <= steps; i++) {
    sum += await ctx.step('unit', (step) => traced(step, stepMs, () => i))
    if (sleepMs > 0) await ctx.sleep(sleepMs)
    if (signal && i === 1) sum += await ctx.waitForSignal<number>('go')
  }
  return sum
})

/**
 * Steps side by side, more than there are slots. Their end is not noted: the moment a body is over the next begins, with
 * nothing between in which a process that was stopped could hear what has become of it.
 */
export const fan = workflow('fan', async (ctx, count: number) => {
  const all = Array.from({ length: count }, () =>
    ctx.step('part', async (step) => {
      await note(step, 'begin')
      await pause(30)
      return 1
    }),
  )
  return (await Promise.all(all)).length
})

/** Ends the process that runs it, until somebody writes the antidote into the ledger. */
export const poison = workflow('poison', async (ctx) =>
  ctx.step('sting', async (step) => {
    await note(step, 'begin')
    const { rows } = await ledger!.query("SELECT FROM chaos.ledger WHERE phase = 'antidote'")
    if (rows.length === 0) process.kill(process.pid, 'SIGKILL')
    return 'survived'
  }),
)

// ── races ────────────────────────────────────────────────────────────────────────────────────────

/** Tells the test, at once, that a body has come this far. Whoever is replayed says nothing. */
function say(what: string): void {
  process.send?.({ say: what })
}

/** One step, which says that it has begun and takes its time. */
export const brink = workflow('brink', async (ctx, ms: number) =>
  ctx.step('last', async (step) => {
    say(`last ${runOf(step)}`)
    await pause(ms)
    return 'done'
  }),
)

function runOf(step: StepContext): string {
  return step.idempotencyKey.split(':')[0]!
}

export const nap = workflow('nap', async (ctx: Ctx<void>) => {
  await ctx.sleep('1d')
})

/** Starts children that sleep, all in one turn or one after another with a step before each. */
export const brood = workflow('brood', async (ctx, { children, together }: { children: number; together: boolean }) => {
  await ctx.step('first', async (step) => say(`first ${runOf(step)}`))
  if (together) await Promise.all(Array.from({ length: children }, () => ctx.child(nap)))
  for (let i = 0; i < children; i++) {
    await ctx.step('next', () => i)
    await ctx.startChild(nap)
  }
  await ctx.sleep('1d')
})

/** Starts a child under an id that another run may have. */
export const namesake = workflow('namesake', async (ctx, id: string) => {
  await ctx.step('first', async (step) => say(`first ${runOf(step)}`))
  await ctx.child(nap, undefined, { id })
})

export interface Patience {
  readonly waits: number
  readonly timeoutMs: number
  /** Whose timeout it is: that of the wait, or that of a scope around it. */
  readonly timeoutOf: 'wait' | 'scope'
}

/** Waits a little for each of its signals; those that were late are taken at the end. Null: nothing came in time. */
export const patient = workflow('patient', async (ctx, { waits, timeoutMs, timeoutOf }: Patience) => {
  const heard: (number | null)[] = []
  for (let i = 0; i < waits; i++) {
    await ctx.step('arm', async (step) => say(`armed ${runOf(step)} ${i}`))
    if (timeoutOf === 'wait') {
      heard.push(await ctx.waitForSignal<number, null>('ping', { timeout: timeoutMs, default: null }))
      continue
    }
    try {
      heard.push(await ctx.scope({ timeout: timeoutMs }, (inner) => inner.waitForSignal<number>('ping')))
    } catch (error) {
      if (!(error instanceof TimeoutFailure)) throw error
      heard.push(null)
    }
  }
  for (let late = heard.filter((n) => n === null).length; late > 0; late--) heard.push(await ctx.waitForSignal('ping'))
  return heard
})

const gates = new Map<string, Promise<void>>()

/** Until somebody has written that into the ledger; one question for the whole process. */
function gate(name: string): Promise<void> {
  const open = async () => {
    for (;;) {
      const { rowCount } = await ledger!.query('SELECT FROM chaos.ledger WHERE phase = $1', [name]).catch(() => nothing)
      if (rowCount === 1) return
      await pause(5)
    }
  }
  let opened = gates.get(name)
  if (opened === undefined) {
    opened = open()
    gates.set(name, opened)
  }
  return opened
}

const nothing = { rowCount: 0 }

export const gated = workflow('gated', async (ctx, { n, until }: { n: number; until: string }) =>
  ctx.step('wait', () => gate(until).then(() => n)),
)

export const crowd = workflow('crowd', async (ctx, { children, until }: { children: number; until: string }) =>
  Promise.all(Array.from({ length: children }, (_, n) => ctx.child(gated, { n, until }, { queue: ctx.run.queue }))),
)

/** Hears so many words, and takes a moment to close. */
export const session = workflow('session', async (ctx, quota: number) => {
  const heard: unknown[] = []
  while (heard.length < quota) heard.push(await ctx.waitForSignal('say'))
  await ctx.step('good-bye', () => pause(3))
  return heard
})

export interface Payment {
  readonly dies: 'never' | 'before the commit' | 'after the commit'
  /** Beside it, steps with so large results that what follows the commit has to wait for them. */
  readonly ballast: boolean
}

/**
 * Pays once in a transaction, and may end its process in the middle of it, the first time: before the commit, or as soon
 * as another connection sees the row.
 */
export const payer = workflow('payer', async (ctx, { dies, ballast }: Payment) => {
  await ctx.step('open', () => process.pid)
  const heavy = ballast
    ? [1, 2, 3, 4].map((n) => ctx.step('heavy', () => pause(20).then(() => 'x'.repeat(n * 250_000))))
    : []
  const paying = ctx.transaction('pay', async (tx, step) => {
    const runId = runOf(step)
    await tx.query('INSERT INTO chaos.paid (run_id, pid) VALUES ($1, $2)', [runId, process.pid])
    const first = await isFirst(`pay ${runId}`)
    if (first && dies === 'before the commit') process.kill(process.pid, 'SIGKILL')
    if (ballast) await pause(20)
    if (first && dies === 'after the commit') void killOnSight(runId)
    return process.pid
  })
  const [pid] = await Promise.all([paying, ...heavy])
  await ctx.step('close', () => process.pid)
  return pid
})

async function isFirst(what: string): Promise<boolean> {
  const { rowCount } = await ledger!.query(
    'INSERT INTO chaos.ledger (phase) SELECT $1 WHERE NOT EXISTS (SELECT FROM chaos.ledger WHERE phase = $1)',
    [what],
  )
  return rowCount === 1
}

async function killOnSight(runId: string): Promise<void> {
  for (;;) {
    const { rowCount } = await ledger!.query('SELECT FROM chaos.paid WHERE run_id = $1', [runId])
    if (rowCount !== 0) process.kill(process.pid, 'SIGKILL')
  }
}

export interface Hop {
  readonly heard: readonly unknown[]
  /** After so many words it begins anew. */
  readonly every: number
  /** After so many it ends. */
  readonly total: number
}

export const hopper = workflow('hopper', async (ctx: Ctx<Hop>, { heard, every, total }: Hop): Promise<unknown> => {
  const all = [...heard]
  for (let i = 0; i < every && all.length < total; i++) all.push(await ctx.waitForSignal('word'))
  return all.length === total ? all : ctx.continueAsNew({ heard: all, every, total })
})

/** Weighs what updates bring, and tells each when its turn was; ends on a signal. */
export const tally = workflow('tally', async (ctx: Ctx<void>) => {
  const weighed: number[] = []
  let over = false
  ctx.onSignal(signal('stop'), () => {
    over = true
  })
  ctx.onUpdate(update<number, number>('add'), async (n) => {
    weighed.push(await ctx.step('weigh', () => pause(2).then(() => n)))
    return weighed.length
  })
  await ctx.condition(() => over && ctx.allHandlersFinished())
  return weighed
})

/** Steps before and after a signal, each of which says which version it was part of and which process carried it out. */
export function versioned(version: number): AnyWorkflow {
  return workflow('versioned', { version }, async (ctx: Ctx<void>) => {
    const part = (n: number) => ctx.step(`part ${n} of ${version}`, () => process.pid)
    const before = { version: ctx.run.version, pid: await part(1) }
    await ctx.waitForSignal('go')
    return { version, before, after: { version: ctx.run.version, pid: await part(2) } }
  })
}

/** Says for when it was started. */
export const tick = workflow('tick', async (ctx) => ctx.run.scheduledFor?.toISOString())
