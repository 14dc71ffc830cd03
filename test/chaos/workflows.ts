/** Workflows that leave a trace: each step's body notes its beginning and its end in a ledger of its own connection. */
import pg from 'pg'
import { type StepContext, workflow } from 'stet'

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
