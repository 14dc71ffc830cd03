/** A database with a Stet on it, workers in this process, and what they logged: what most tests of behaviour need. */
import { afterEach, expect, onTestFinished } from 'vitest'
import { verifyReplay } from '../../src/core/verify.js'
import type { AnyWorkflow, Handle, RunStatus, Worker } from '../../src/index.js'
import { Stet } from '../../src/stet.js'
import type { WorkerSettings } from '../../src/worker/settings.js'
import { WorkerLoop } from '../../src/worker/worker.js'
import { type TestDatabase, testDatabase } from './server.js'

export interface LogLine {
  readonly level: string
  readonly message: string
  readonly fields: Record<string, any>
}

export interface House {
  readonly db: TestDatabase
  readonly stet: Stet
  readonly logs: LogLine[]
  /** A worker that begins to work, until the test is over. Every wait parks unless `holdMs` says otherwise. */
  work(workflows: readonly AnyWorkflow[], settings?: Partial<WorkerSettings>): Promise<Worker>
  /** The same, of which a test can see more: `crash()` is as if its process had died there. */
  loop(workflows: readonly AnyWorkflow[], settings?: Partial<WorkerSettings>): Promise<WorkerLoop>
  /** Waits until the run has this status; the row as it then is. */
  reached(run: { readonly runId: string }, status: RunStatus): Promise<Row>
}

export interface Row {
  readonly status: RunStatus
  readonly problem: { code: string; message: string; where?: string; mismatch?: object } | null
  readonly due: Date | null
  readonly claim: number
}

/** `verify`: each run is replayed when it parks or ends, and the file fails if one of them comes out differently. */
export async function house({ verify = false }: { verify?: boolean } = {}): Promise<House> {
  const db = await testDatabase()
  const differences: Promise<string | null>[] = []
  const verified: Partial<WorkerSettings> = verify
    ? {
        verify: ({ definition, execution }, events) => {
          const { identity, outcome, pending } = execution
          differences.push(verifyReplay(definition, identity, [...events], { outcome, pending: [...pending] }))
        },
      }
    : {}
  if (verify) {
    afterEach(async () => {
      expect((await Promise.all(differences.splice(0))).filter((difference) => difference !== null)).toEqual([])
    })
  }
  const logs: LogLine[] = []
  const write =
    (level: string) =>
    (message: string, fields: object = {}) => {
      logs.push({ level, message, fields })
    }
  const log = { debug: write('debug'), info: write('info'), warn: write('warn'), error: write('error') }
  const stet = new Stet({ url: db.url, log })
  const row = async (runId: string): Promise<Row> => {
    const { rows } = await db.query('SELECT status, problem, due, claim FROM stet_store.runs WHERE run_id = $1', [
      runId,
    ])
    return { ...rows[0], problem: rows[0].problem === null ? null : JSON.parse(rows[0].problem) }
  }
  return {
    db,
    stet,
    logs,
    async work(workflows, settings = {}) {
      const worker = stet.worker({ workflows, holdMs: 0, drainMs: 200, ...verified, ...settings } as WorkerSettings)
      onTestFinished(() => worker.stop())
      await worker.start()
      return worker
    },
    async loop(workflows, settings = {}) {
      const { store, hints } = await stet.internals()
      const loop = new WorkerLoop(store, hints, log, { workflows, holdMs: 0, drainMs: 200, ...verified, ...settings })
      onTestFinished(() => loop.stop())
      await loop.start()
      return loop
    },
    reached: ({ runId }, status) =>
      until(async () => {
        const found = await row(runId)
        if (found.status === status) return found
        const closed = ['completed', 'failed', 'cancelled', 'terminated', 'blocked'].includes(found.status)
        if (closed) throw new Error(`expected ${status}, the run is ${found.status}: ${found.problem?.message}`)
        return undefined
      }, `run ${runId} is ${status}`),
  }
}

/** Asks again and again until there is an answer. */
export async function until<T>(
  ask: () => T | undefined | null | false | Promise<T | undefined | null | false>,
  what: string,
  patienceMs = 20_000,
): Promise<T> {
  const deadline = performance.now() + patienceMs
  for (;;) {
    const answer = await ask()
    if (answer !== undefined && answer !== null && answer !== false) return answer
    if (performance.now() > deadline) throw new Error(`never came true: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}

/** What a promise was rejected with. */
export async function refusal(promise: Promise<unknown> | (() => unknown)): Promise<any> {
  let value: unknown
  try {
    value = await (typeof promise === 'function' ? promise() : promise)
  } catch (error) {
    return error
  }
  throw new Error(`expected a rejection, got ${String(value)}`)
}

/** The types of a run's events, in order. */
export async function types(run: Handle<any>): Promise<string[]> {
  return (await run.history()).map(({ type }) => type)
}

/** A promise and what settles it. */
export function gate<T = void>(): { promise: Promise<T>; open(value: T): void } {
  let open!: (value: T) => void
  const promise = new Promise<T>((resolve) => {
    open = resolve
  })
  return { promise, open }
}
