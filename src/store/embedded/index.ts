/**
 * The default database: a real Postgres that belongs to a project, started when it is first needed and shared by every
 * process that works on the project. It stays when they end; `stopEmbedded` ends it.
 *
 * E1  However many processes start at once, and wherever one is killed, they end up with the same server or an error.
 * E2  Committed data outlive `kill -9` of anything and a power cut (not with `fast`).
 */
import { randomBytes } from 'node:crypto'
import { lstatSync, readdirSync } from 'node:fs'
import { rename, rm } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { NoDatabaseError } from '../../core/errors.js'
import { type Binaries, findBinaries } from './binaries.js'
import { ensureCluster } from './cluster.js'
import { cacheRoot, claimHome, type Layout, layoutOf, majorsPresent, notOurs, readMark } from './layout.js'
import { withLock } from './lock.js'
import type { EmbeddedOptions } from './options.js'
import { assertNotElsewhere, attach, type EmbeddedServer, end, launch, settle, trimLog } from './postmaster.js'

export { findProjectDir } from './layout.js'
export type { EmbeddedOptions, EmbeddedServer }

/**
 * The server of the project, started unless it runs. The first time takes some seconds, later starts some 100 ms.
 * @throws NoDatabaseError when there are no binaries or the server cannot run; the message says what to do
 * @throws InvalidInputError when a folder that was given cannot be used
 * @example const { url } = await startEmbedded({ projectDir: findProjectDir(process.cwd()) })
 */
export async function startEmbedded(options: EmbeddedOptions): Promise<EmbeddedServer> {
  const { layout, binaries } = locate(options)
  const running = await attach(layout)
  if (running) {
    trimLog(layout)
    return running
  }
  const found = binaries()
  const start = async () => {
    await settle(layout, options.log) // what a killed process had begun
    const other = await attach(layout)
    if (other) return other
    trimLog(layout)
    const bin = await found.ready()
    await ensureCluster(layout, bin, options)
    tellOfOthers(options, found.major)
    return launch(layout, bin, options)
  }
  for (;;) {
    try {
      await claimHome(layout)
      return await withLock(layout.lock, start, { instead: () => attach(layout) })
    } catch (error) {
      if (!isDeleted(error, layout)) throw explained(error) // else reset while we waited: begin anew
    }
  }
}

/** The server of the project if it runs and takes connections, else null. Changes nothing. */
export async function embeddedStatus(options: EmbeddedOptions): Promise<EmbeddedServer | null> {
  const found = tryLocate(options)
  return (found && (await attach(found.layout))) ?? null
}

/**
 * Ends the server by its own pid and waits until it is gone. False: none was running.
 * 'fast' (default) ends cleanly, without waiting for clients; 'immediate' is a crash, from which the next start recovers.
 */
export async function stopEmbedded(options: EmbeddedOptions, mode: 'fast' | 'immediate' = 'fast'): Promise<boolean> {
  const found = tryLocate(options)
  if (!found || !readMark(found.layout.mark)) return false
  try {
    return await withLock(found.layout.lock, () => stop(found, mode))
  } catch (error) {
    if (isDeleted(error, found.layout)) return false
    throw explained(error)
  }
}

/**
 * Stops the server and deletes its data: all of this major version's, nothing of another's.
 * @throws InvalidInputError when the folder does not look like ours; nothing is deleted then
 */
export async function resetEmbedded(options: EmbeddedOptions): Promise<void> {
  const found = tryLocate(options)
  if (!found) return
  const { home, lock, mark } = found.layout
  const stat = lstatSync(home, { throwIfNoEntry: false })
  if (!stat) return
  if (!stat.isDirectory()) throw notOurs(found.layout, ['something that is not a folder'])
  if (!readMark(mark)) throw notOurs(found.layout, readdirSync(home))
  const aside = `${home}.deleted-${randomBytes(4).toString('hex')}`
  try {
    await withLock(lock, async () => {
      await stop(found, 'immediate')
      assertNotElsewhere(found.layout)
      await rename(home, aside) // at once, so that no start finds half of it
    })
  } catch (error) {
    if (!isDeleted(error, found.layout)) throw explained(error)
  }
  // Ours, and those of resets that were killed.
  for (const entry of readdirSync(dirname(home))) {
    if (!entry.startsWith(`${basename(home)}.deleted-`)) continue
    await rm(join(dirname(home), entry), { recursive: true, force: true, maxRetries: 5 })
  }
}

/**
 * Where things are, or will be: our data folder of the major version, the server's log, the folder of the binaries.
 * @throws NoDatabaseError when there is neither a server's binary nor a data folder that would tell the version
 */
export function embeddedPaths(options: EmbeddedOptions): { dataDir: string; logFile: string; cacheDir: string } {
  const { layout } = locate(options)
  return { dataDir: layout.home, logFile: layout.logFile, cacheDir: cacheRoot(options) }
}

interface Located {
  layout: Layout
  /** Throws when they are gone; a server that still runs can be used and ended without. */
  binaries: () => Binaries
}

function locate(options: EmbeddedOptions): Located {
  try {
    const binaries = findBinaries(options)
    return { layout: layoutOf(options, binaries.major), binaries: () => binaries }
  } catch (error) {
    const [major] = error instanceof NoDatabaseError ? majorsPresent(options) : []
    if (!major) throw error
    const binaries = () => {
      throw error
    }
    return { layout: layoutOf(options, major), binaries }
  }
}

function tryLocate(options: EmbeddedOptions): Located | undefined {
  try {
    return locate(options)
  } catch (error) {
    if (error instanceof NoDatabaseError) return undefined
    throw error
  }
}

function stop({ layout, binaries }: Located, mode: 'fast' | 'immediate'): Promise<boolean> {
  return end(layout, mode, () => binaries().ready())
}

function tellOfOthers(options: EmbeddedOptions, major: string): void {
  const others = majorsPresent(options).filter((other) => other !== major)
  if (others.length === 0) return
  options.log?.(
    `Postgres ${major} has its own database; what Postgres ${others.join(' and ')} stored is kept, not shown`,
  )
}

/** The folder of the lock is gone: a reset was faster. */
function isDeleted(error: unknown, layout: Layout): boolean {
  const { code, path } = error as NodeJS.ErrnoException
  return code === 'ENOENT' && Boolean(path?.startsWith(layout.lock))
}

/** What the file system refuses, said in terms of what it was for. */
function explained(error: unknown): unknown {
  const { code, path, syscall } = error as NodeJS.ErrnoException
  if (!syscall || !/^(EACCES|EPERM|EROFS|ENOSPC|EDQUOT)$/.test(code ?? '')) return error
  return new NoDatabaseError(
    `embedded Postgres: ${syscall} ${path ?? ''} was refused (${code}). It needs room and the right to write in the data folder (STET_DATA_DIR) and in the cache folder of the binaries. Give it another folder, or set DATABASE_URL to a Postgres that is there.`,
    { cause: error },
  )
}
