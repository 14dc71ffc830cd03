/**
 * What the chaos tests stand on: a server that keeps what it acknowledged, worker processes that can be killed, and a
 * ledger in which step bodies note what they did.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { chmodSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import pg from 'pg'
import { inject } from 'vitest'
import type { MessageOptions, StartOptions } from '../../src/core/types.js'
import { Stet } from '../../src/index.js'
import { startEmbedded, stopEmbedded } from '../../src/store/embedded/index.js'
import { createPostgresStore } from '../../src/store/postgres/store.js'
import type { WorkerSettings } from '../../src/worker/settings.js'
import { databaseUrl, onServer } from './server.js'

export { long } from './long.js'

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}

/** Asks until the answer is neither false, null nor undefined. @throws when that takes too long */
export async function eventually<T>(
  what: string,
  ask: () => Promise<T | false | null | undefined>,
  withinMs = 30_000,
): Promise<T> {
  const end = performance.now() + withinMs
  let last: unknown
  while (performance.now() < end) {
    try {
      const answer = await ask()
      if (answer !== false && answer !== null && answer !== undefined) return answer
    } catch (error) {
      last = error
    }
    await pause(50)
  }
  throw new Error(`${what}: not within ${withinMs} ms${last === undefined ? '' : ` (${(last as Error).message})`}`)
}

// ── the server ───────────────────────────────────────────────────────────────────────────────────

export interface DurableServer {
  readonly url: string
  /** A new migrated database, with a ledger. */
  database(name: string): Promise<string>
  /** kill -9 of the postmaster; its children notice. */
  kill(): Promise<void>
  /** What `pg_ctl stop -m immediate` does. */
  crash(): Promise<void>
  /** Starts it again, on the same port. */
  start(): Promise<void>
  remove(): Promise<void>
}

/** A server of one's own that waits for the disk, so that what it acknowledged must be there after a crash. */
export async function durableServer(): Promise<DurableServer> {
  const folder = mkdtempSync(join(tmpdir(), 'stet-chaos-'))
  // As root the server runs as another user, who must be able to get through.
  chmodSync(folder, 0o755)
  const options = {
    projectDir: folder,
    dataDir: join(folder, 'pg'),
    pgBin: process.env.STET_PG_BIN,
    settings: { max_connections: '300' },
  }
  const first = await startEmbedded(options)
  let { pid } = first
  return {
    url: first.url,
    database: async (name) => {
      await onServer(first.url, `CREATE DATABASE ${name}`)
      const url = databaseUrl(first.url, name)
      await prepare(url)
      return url
    },
    kill: async () => {
      process.kill(pid, 'SIGKILL')
    },
    crash: async () => {
      await stopEmbedded(options, 'immediate')
    },
    start: async () => {
      const { url, pid: next } = await startEmbedded(options)
      if (url !== first.url) throw new Error('the server came back at another address')
      pid = next
    },
    remove: async () => {
      await stopEmbedded(options, 'immediate')
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

/** Migrates a database and gives it a ledger. */
export async function prepare(url: string): Promise<void> {
  const store = createPostgresStore({ url })
  await store.migrate()
  await store.close()
  await onServer(
    url,
    `CREATE SCHEMA IF NOT EXISTS chaos;
     CREATE TABLE IF NOT EXISTS chaos.ledger (run_id text, op int, attempt int, phase text, pid int, at timestamptz DEFAULT clock_timestamp())`,
  )
}

/** A connection that is used for looking, and outlives the server's crashes. */
export class Observer {
  readonly #pool: pg.Pool

  constructor(url: string) {
    this.#pool = new pg.Pool({ connectionString: url, max: 3 })
    this.#pool.on('error', () => {})
    this.#pool.on('connect', (client) => client.on('error', () => {}))
  }

  readonly query = (text: string, values: unknown[] = []): Promise<pg.QueryResult> => this.#pool.query(text, values)

  async one<T = any>(text: string, values: unknown[] = []): Promise<T> {
    return Object.values((await this.query(text, values)).rows[0])[0] as T
  }

  /** A connection for oneself: to leave a transaction open, for instance. */
  client(): Promise<pg.PoolClient> {
    return this.#pool.connect()
  }

  close(): Promise<void> {
    return this.#pool.end()
  }
}

// ── worker processes ─────────────────────────────────────────────────────────────────────────────

export interface WorkerProcessOptions {
  readonly url: string
  /** Where step bodies write; default: the same database. Given when `url` leads through a proxy. */
  readonly ledger?: string
  readonly poolSize?: number
  readonly worker?: Omit<WorkerSettings, 'workflows'>
  /** The versions of workflow `versioned` that it has; default: none. */
  readonly versions?: readonly number[]
  /** Workers in the process; default 1. */
  readonly claimers?: number
}

const root = fileURLToPath(new URL('../..', import.meta.url))

/** `standby`: it has loaded everything and begins when it is told to. `client`: it makes calls (`ClientProcess`). */
type Mode = 'worker' | 'standby' | 'client'

export class WorkerProcess {
  readonly child: ChildProcess
  readonly ready: Promise<void>
  readonly ended: Promise<{ code: number | null; signal: NodeJS.Signals | null }>
  said = ''

  constructor(
    { url, ledger = url, poolSize, worker = {}, versions = [], claimers = 1 }: WorkerProcessOptions,
    mode: Mode = 'worker',
  ) {
    const settings = JSON.stringify({ url, ledger, poolSize, worker, versions, claimers })
    this.child = spawn(process.execPath, [inject('workerProgram'), settings, mode], {
      cwd: root,
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      env: { ...process.env, NODE_OPTIONS: '' },
    })
    const listen = (text: string) => {
      this.said = (this.said + text).slice(-8_000)
    }
    this.child.stdout!.setEncoding('utf8').on('data', listen)
    this.child.stderr!.setEncoding('utf8').on('data', listen)
    this.ended = new Promise((resolve) => this.child.once('exit', (code, signal) => resolve({ code, signal })))
    this.ready = new Promise((resolve, reject) => {
      this.child.on('message', (message) => {
        if (message === 'ready') resolve()
      })
      void this.ended.then(() => reject(new Error(`the worker process ended before it was ready:\n${this.said}`)))
    })
    this.ready.catch(() => {})
  }

  get alive(): boolean {
    return this.child.exitCode === null && this.child.signalCode === null
  }

  /** By its pid; waits until it is gone when the signal ends it. */
  async kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    this.child.kill(signal)
    if (signal === 'SIGKILL' || signal === 'SIGTERM') await this.ended
  }
}

/** What a client process can be asked to do; a run is named by its id or its run id. */
export type Call =
  | readonly ['start', workflow: string, input: unknown, options?: StartOptions]
  | readonly ['cancel', run: string]
  | readonly ['signal' | 'update', run: string, name: string, message: unknown, options?: MessageOptions]
  | readonly [
      'signalWithStart',
      workflow: string,
      input: unknown,
      name: string,
      message: unknown,
      options: StartOptions & { id: string },
    ]

/** `tries`: how often the call was made. */
export type Answer = { readonly tries: number } & (
  | { readonly ok: true; readonly value: any }
  | { readonly ok: false; readonly code: string; readonly message: string }
)

export interface CallOptions {
  /** `atOnce`, the default: by four Stet objects. `inTurn`: by one, each waits for the answer to the one before. */
  readonly order?: 'atOnce' | 'inTurn'
  /** When to begin, ms since the epoch, so that several processes begin together. */
  readonly at?: number
  /** In turn: a pause before each, of random length up to this, ms. */
  readonly pauseMs?: number
  /** An error code upon which the same call is made again. */
  readonly againOn?: string
}

/** A process that starts runs and talks to them. */
export class ClientProcess extends WorkerProcess {
  #calls = 0

  constructor(options: WorkerProcessOptions) {
    super(options, 'client')
  }

  /** Makes calls; an answer for each, whatever came of it. */
  call(calls: readonly Call[], options: CallOptions = {}): Promise<Answer[]> {
    const n = ++this.#calls
    return new Promise((resolve, reject) => {
      const listen = (message: any) => {
        if (message.n !== n) return
        this.child.off('message', listen)
        resolve(message.answers)
      }
      this.child.on('message', listen)
      this.child.send({ n, calls, options })
      void this.ended.then(() => reject(new Error(`the client process ended:\n${this.said}`)))
    })
  }
}

/** The worker processes of a test; those that are left are killed with `end`. */
export class Workers {
  readonly all: WorkerProcess[] = []
  readonly #options: WorkerProcessOptions
  /** Processes that have loaded everything and wait: a replacement is there at once, however slow the machine. */
  readonly #spares: WorkerProcess[] = []
  readonly #said = new Set<string>()
  readonly #listeners = new Map<string, () => void>()

  constructor(options: WorkerProcessOptions) {
    this.#options = options
  }

  /** Keeps so many processes on standby. */
  async keepSpares(count: number): Promise<void> {
    const spares = Array.from({ length: count }, () => this.#add(new WorkerProcess(this.#options, 'standby')))
    this.#spares.push(...spares)
    await Promise.all(
      spares.map(({ child, ended }) => Promise.race([ended, new Promise((resolve) => child.once('message', resolve))])),
    )
  }

  /** Lets a process on standby begin, and has another take its place. */
  replace(): WorkerProcess {
    const worker = this.#spares.shift()!
    worker.child.send('begin')
    void this.keepSpares(1)
    return worker
  }

  spawn(options: Partial<WorkerProcessOptions> = {}): WorkerProcess {
    return this.#add(new WorkerProcess({ ...this.#options, ...options }))
  }

  async spawnReady(count: number, options: Partial<WorkerProcessOptions> = {}): Promise<WorkerProcess[]> {
    const workers = Array.from({ length: count }, () => this.spawn(options))
    await Promise.all(workers.map(({ ready }) => ready))
    return workers
  }

  /** Resolves when the code of a workflow has said this (`say` in `workflows.ts`), in whichever process. */
  said(what: string): Promise<void> {
    return new Promise((resolve) => {
      if (this.#said.has(what)) resolve()
      else this.#listeners.set(what, resolve)
    })
  }

  #add(worker: WorkerProcess): WorkerProcess {
    this.all.push(worker)
    worker.child.on('message', ({ say }: { say?: string }) => {
      if (say === undefined) return
      this.#said.add(say)
      this.#listeners.get(say)?.()
    })
    return worker
  }

  async end(): Promise<void> {
    await Promise.all(this.all.filter(({ alive }) => alive).map((worker) => worker.kill('SIGKILL')))
  }
}

/** Plays a scene on a database of its own with worker processes, all of it gone afterwards. */
export async function scene(
  server: DurableServer,
  name: string,
  options: Omit<WorkerProcessOptions, 'url'>,
  play: (scene: { url: string; stet: Stet; observer: Observer; workers: Workers }) => Promise<void>,
): Promise<void> {
  const url = await server.database(name)
  const observer = new Observer(url)
  const workers = new Workers({ url, ...options })
  const stet = new Stet({ url })
  try {
    await play({ url, stet, observer, workers })
  } finally {
    await workers.end()
    await stet.close()
    await observer.close()
  }
}

/** Numbers that are the same for the same seed. */
export function seeded(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = state
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296
  }
}
