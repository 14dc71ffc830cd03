/**
 * The server process: look at it, start it, end it.
 *
 * P1  Nobody is signalled, and nothing is attached to, but a live process that was seen to be the postmaster of this
 *     data folder. A pid alone is never believed.
 * P2  `postmaster.pid` is changed only while holding the lock, and only when its pid was seen not to be a postmaster of
 *     this folder. Its shared memory line is kept: by it Postgres finds backends that outlived a killed postmaster.
 * P3  The server belongs to nobody: it has its own session and no pipe to us, so it survives whatever ends us.
 */
import { execFileSync, spawn } from 'node:child_process'
import {
  closeSync,
  existsSync,
  openSync,
  readFileSync,
  readSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { InvalidInputError, NoDatabaseError } from '../../core/errors.js'
import { loadPg } from '../pg.js'
import { spawnAs } from './account.js'
import { executable } from './binaries.js'
import { cannotRun, readPassword, superuser } from './cluster.js'
import { type Layout, readMark, writeMark } from './layout.js'
import type { EmbeddedOptions } from './options.js'
import { here, isAlive, isHiddenFromHere, isPostmasterOf, processStart } from './process.js'

/** A database that can be used. */
export interface EmbeddedServer {
  /** `postgres://…` with the password. */
  url: string
  port: number
  /** Of the postmaster. */
  pid: number
  /** Our folder for this major version; the cluster is in `data/` inside. */
  dataDir: string
  /** '18.4' */
  version: string
  /** False: it was running already. */
  started: boolean
}

const pollMs = 10
const connectTimeoutMs = 10_000
/** Without a sign of life. Recovering after a crash is one: that may take as long as it takes. */
const silenceMs = 60_000
const recoveryMs = 1_800_000
const logCapBytes = 16 * 1024 * 1024
/** Above every system's largest pid (Linux: 2^22). */
const nobodysPid = 2_147_483_646

// ── looking ──────────────────────────────────────────────────────────────────────────────────────
export type Sight =
  /** No postmaster of this folder. `stalePid`: what the pid file says all the same; 0: it is empty. */
  { state: 'none'; stalePid?: number } | { state: 'starting' | 'ready' | 'stopping'; pid: number; port: number }

/** What the server itself says in `postmaster.pid`: line 1 is the pid, 4 the port, 8 the state. */
export function look(layout: Layout): Sight {
  let lines: string[]
  try {
    lines = readFileSync(join(layout.data, 'postmaster.pid'), 'utf8').split('\n')
  } catch {
    return { state: 'none' }
  }
  const pid = Math.abs(Number(lines[0]))
  if (!pid) return { state: 'none', stalePid: 0 }
  if (!isAlive(pid) || isPostmasterOf(pid, layout.data) === false) return { state: 'none', stalePid: pid } // P1
  const said = lines[7]?.trim()
  const state = said === 'ready' || said === 'stopping' ? said : 'starting'
  return { state, pid, port: Number(lines[3]) }
}

/**
 * The running server; undefined when there is none that takes connections now.
 * @throws NoDatabaseError when it is there but does not let us in
 */
export async function attach(layout: Layout): Promise<EmbeddedServer | undefined> {
  const seen = look(layout)
  if (seen.state !== 'ready') return undefined
  try {
    return await greet(layout, seen, false)
  } catch (cause) {
    if (look(layout).state !== 'ready' || isPassing(cause)) return undefined // it ended meanwhile
    if (cause instanceof NoDatabaseError) throw cause
    throw new NoDatabaseError(
      `embedded Postgres: the server of ${layout.home} runs (pid ${seen.pid}) but cannot be used at 127.0.0.1:${seen.port}: ${(cause as Error).message}. \`stet db stop\` ends it, the next start makes it anew; its output is in ${layout.logFile}.`,
      { cause },
    )
  }
}

/** "the database system is starting up" or "is shutting down" */
function isPassing(error: unknown): boolean {
  return (error as { code?: unknown }).code === '57P03'
}

async function greet(layout: Layout, at: { pid: number; port: number }, started: boolean): Promise<EmbeddedServer> {
  const url = `postgres://${superuser}:${encodeURIComponent(readPassword(layout))}@127.0.0.1:${at.port}/postgres`
  const { Client } = await loadPg()
  const client = new Client({ connectionString: url, connectionTimeoutMillis: connectTimeoutMs, ssl: false })
  client.on('error', () => undefined) // a server that ends while we say goodbye
  try {
    await client.connect()
    const { rows } = await client.query('SHOW server_version')
    const version = String(rows[0].server_version).split(' ')[0]!
    return { url, port: at.port, pid: at.pid, dataDir: layout.home, version, started }
  } finally {
    await client.end().catch(() => undefined)
  }
}

/** Waits until a server that is starting or stopping is ready or gone. */
export async function settle(layout: Layout, log: EmbeddedOptions['log']): Promise<void> {
  const begun = Date.now()
  let told = false
  for (let seen = look(layout); seen.state === 'starting' || seen.state === 'stopping'; seen = look(layout)) {
    if (!told && Date.now() - begun > 3000) {
      log?.(`waiting for the server (pid ${seen.pid}), which is ${seen.state}`)
      told = true
    }
    if (Date.now() - begun > recoveryMs) throw tooLong(layout, seen.pid, seen.state)
    await delay(pollMs)
  }
}

function tooLong(layout: Layout, pid: number, what: string): NoDatabaseError {
  return new NoDatabaseError(
    `embedded Postgres: the server (pid ${pid}) has been ${what} for too long. \`stet db stop\` ends it. The last lines of ${layout.logFile}:\n${logSince(layout, 0)}`,
  )
}

// ── starting ─────────────────────────────────────────────────────────────────────────────────────
/** Starts the server of a finished cluster that has none. The caller holds the lock. */
export async function launch(layout: Layout, bin: string, options: EmbeddedOptions): Promise<EmbeddedServer> {
  readPassword(layout) // or it would start and let nobody in
  const begun = Date.now()
  let port = await freePort(readMark(layout.mark)?.port)
  for (;;) {
    clearStalePid(layout)
    await writeMark(layout, { port, place: here() })
    const logFrom = existsSync(layout.logFile) ? statSync(layout.logFile).size : 0
    const outcome = await startOnce(layout, bin, port, options)
    if ('pid' in outcome) return greet(layout, { ...outcome, port }, true)
    const said = logSince(layout, logFrom)
    // Postgres ended by itself. Another start was faster, or the port was taken between our look and its bind, or
    // backends of a killed postmaster are still on their way out: all of that passes.
    await settle(layout, options.log)
    const other = await attach(layout)
    if (other) return other
    const portTaken = /could not bind|could not create any TCP\/IP sockets/.test(said)
    const stillHeld = /pre-existing shared memory block|lock file "postmaster.pid"/.test(said)
    if ((!portTaken && !stillHeld) || Date.now() - begun > silenceMs) {
      throw new NoDatabaseError(
        `embedded Postgres: the server of ${layout.home} did not start (${outcome.ended}). The last lines of ${layout.logFile}:\n${said}`,
      )
    }
    if (portTaken) port = await freePort()
    else await delay(100)
  }
}

/** P2. Postgres would take any live pid of the same account for a postmaster, and refuse to start for ever. */
function clearStalePid(layout: Layout): void {
  const seen = look(layout)
  if (seen.state !== 'none' || seen.stalePid === undefined) return
  assertNotElsewhere(layout)
  const file = join(layout.data, 'postmaster.pid')
  if (seen.stalePid === 0) {
    rmSync(file, { force: true }) // cut short while it was written: it says nothing
  } else {
    const [, ...rest] = readFileSync(file, 'utf8').split('\n')
    writeFileSync(file, [nobodysPid, ...rest].join('\n'))
  }
}

/** @throws NoDatabaseError when a server may run on this folder where we cannot see its process */
export function assertNotElsewhere(layout: Layout): void {
  const seen = look(layout)
  if (seen.state !== 'none' || seen.stalePid === undefined || !isHiddenFromHere(readMark(layout.mark)?.place)) return
  throw new NoDatabaseError(
    `embedded Postgres: the database in ${layout.home} was opened in another container of this machine (pid ${seen.stalePid} there) and not shut down. Two servers on one folder would destroy it. If that container is gone, delete ${join(layout.data, 'postmaster.pid')}; if it runs, stop it, or set DATABASE_URL so that both use one server.`,
  )
}

async function startOnce(
  layout: Layout,
  bin: string,
  port: number,
  options: EmbeddedOptions,
): Promise<{ pid: number } | { ended: string }> {
  const output = openSync(layout.logFile, 'a', 0o600)
  const settings = Object.entries(settingsFor(port, options)).flatMap(([name, value]) => ['-c', `${name}=${value}`])
  const child = spawn(join(bin, executable('postgres')), ['-D', layout.data, ...settings], {
    ...spawnAs(layout.account),
    detached: true, // P3
    stdio: ['ignore', output, output],
    windowsHide: true,
  })
  closeSync(output)
  let ended: string | undefined
  let failure: Error | undefined
  child.on('error', (error) => {
    failure = error
  })
  child.on('exit', (code, signal) => {
    ended = signal ? `ended by ${signal}` : `ended with code ${code}`
  })
  child.unref()
  const begun = Date.now()
  for (let wait = 2; ; wait = Math.min(wait * 2, 20)) {
    await delay(wait)
    if (failure) throw cannotRun('postgres', bin, failure)
    if (ended) return { ended }
    const seen = look(layout)
    const mine = seen.state !== 'none' && seen.pid === child.pid
    if (mine && seen.state === 'ready') return { pid: seen.pid }
    if (Date.now() - begun > (mine ? recoveryMs : silenceMs)) throw tooLong(layout, child.pid!, 'starting')
  }
}

function settingsFor(port: number, options: EmbeddedOptions): Record<string, string> {
  for (const name of Object.keys(options.settings ?? {})) {
    if (!/^[A-Za-z_][\w.]*$/.test(name)) {
      throw new InvalidInputError(`embedded Postgres: settings: expected names such as 'work_mem', got '${name}'.`)
    }
  }
  return {
    listen_addresses: '127.0.0.1',
    port: String(port),
    unix_socket_directories: '', // loopback with a password is the one way in, on every system
    max_connections: '200',
    shared_buffers: '128MB',
    fsync: options.fast ? 'off' : 'on',
    full_page_writes: options.fast ? 'off' : 'on',
    synchronous_commit: options.fast ? 'off' : 'on',
    jit: 'off', // short statements: compiling them costs more than running them
    timezone: 'UTC',
    log_timezone: 'UTC',
    logging_collector: 'off',
    log_destination: 'stderr',
    // The log is for trouble with the server. Statements would fill it, and they hold the user's data.
    log_min_messages: 'warning',
    log_min_error_statement: 'panic',
    log_checkpoints: 'off',
    cluster_name: 'stet',
    ...options.settings,
  }
}

/**
 * The kept port when it is free, else one that is: below the range from which systems lend ports to outgoing
 * connections, so that it is likely to be free again at the next start.
 */
async function freePort(kept?: number): Promise<number> {
  if (kept && (await isFree(kept))) return kept
  for (let tries = 0; tries < 50; tries++) {
    const port = 20_000 + Math.floor(Math.random() * 12_000)
    if (await isFree(port)) return port
  }
  throw new NoDatabaseError('embedded Postgres: found no free port on 127.0.0.1 between 20000 and 32000 in 50 tries.')
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(false))
    server.listen({ port, host: '127.0.0.1', exclusive: true }, () => server.close(() => resolve(true)))
  })
}

// ── the log ──────────────────────────────────────────────────────────────────────────────────────
/** Keeps the log below the cap, whoever comes by. The server appends, so cutting the file under it is safe. */
export function trimLog(layout: Layout): void {
  try {
    if (statSync(layout.logFile).size <= logCapBytes) return
    writeFileSync(`${layout.logFile}.1`, logSince(layout, 0, 1024 * 1024), { mode: 0o600 })
    truncateSync(layout.logFile)
  } catch {
    // No log yet.
  }
}

function logSince(layout: Layout, from: number, most = 3000): string {
  const file = openSync(layout.logFile, 'r')
  try {
    const buffer = Buffer.alloc(most)
    const start = Math.max(from, statSync(layout.logFile).size - buffer.length)
    return buffer.toString('utf8', 0, readSync(file, buffer, 0, buffer.length, start)).trim()
  } finally {
    closeSync(file)
  }
}

// ── stopping ─────────────────────────────────────────────────────────────────────────────────────
/**
 * Ends the server and waits until it is gone; false when there was none.
 * 'fast' rolls open transactions back and writes everything; 'immediate' is a crash that the next start recovers from.
 */
export async function end(layout: Layout, mode: 'fast' | 'immediate', bin: () => Promise<string>): Promise<boolean> {
  const seen = look(layout)
  if (seen.state === 'none') return false
  const signal = mode === 'fast' ? 'SIGINT' : 'SIGQUIT'
  const born = processStart(seen.pid)
  if (process.platform === 'win32') {
    // Signals there are a thing of Postgres's own.
    execFileSync(join(await bin(), executable('pg_ctl')), ['kill', signal.slice(3), String(seen.pid)])
  } else if (!send(seen.pid, signal)) return false
  const begun = Date.now()
  while (isAlive(seen.pid) && processStart(seen.pid) === born) {
    if (Date.now() - begun > silenceMs) throw tooLong(layout, seen.pid, 'stopping')
    await delay(pollMs)
  }
  return true
}

/** False when the process ended before. */
function send(pid: number, signal: NodeJS.Signals): boolean {
  try {
    return process.kill(pid, signal)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false
    throw error
  }
}
