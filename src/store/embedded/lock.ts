/**
 * A lock file: one process at a time starts, stops or deletes the server of a folder.
 *
 * K1  It is held by a live process or by nobody: a dead holder's lock is taken over at once, a live one's never.
 * K2  It only saves work. Were two to hold it (a takeover race), the rename of the finished cluster and Postgres's own
 *     `postmaster.pid` decide, and the loser attaches.
 */
import { randomBytes } from 'node:crypto'
import { readFileSync, statSync } from 'node:fs'
import { link, rename, rm } from 'node:fs/promises'
import { setTimeout as delay } from 'node:timers/promises'
import { NoDatabaseError } from '../../core/errors.js'
import { createExclusive } from './layout.js'
import { here, isAlive, isHiddenFromHere, type Place, processStart } from './process.js'

interface Holder {
  token: string
  pid: number
  start?: string | undefined
  place?: Place | undefined
}

/** A holder that cannot be seen from here is believed for this long. */
const unseenHolderMs = 180_000
const pollMs = 20

/**
 * Runs `work` while holding the lock. While waiting for it, `instead` is asked: what it returns makes the lock needless.
 * @throws NoDatabaseError naming the holder when it keeps the lock longer than `timeoutMs`
 */
export async function withLock<T>(
  path: string,
  work: () => Promise<T>,
  options: { instead?: () => Promise<T | undefined>; timeoutMs?: number } = {},
): Promise<T> {
  const token = randomBytes(12).toString('hex')
  const self: Holder = { token, pid: process.pid, start: processStart(process.pid), place: here() }
  const deadline = Date.now() + (options.timeoutMs ?? 300_000)
  for (;;) {
    const holder = readHolder(path)
    if (!holder) {
      if (await createExclusive(path, JSON.stringify(self), 0o644)) break
      continue
    }
    if (isStale(holder, path)) {
      await takeAway(path, holder)
      continue
    }
    const answer = await options.instead?.()
    if (answer !== undefined) return answer
    if (Date.now() > deadline) {
      throw new NoDatabaseError(
        `embedded Postgres: the process ${holder.pid} has been starting or stopping the server for too long and still holds ${path}. End that process, then try again.`,
      )
    }
    await delay(pollMs)
  }
  try {
    return await work()
  } finally {
    if (readHolder(path)?.token === token) await rm(path, { force: true })
  }
}

/** Undefined when there is none; a holder without a pid when it cannot be read, as a power cut may leave it. */
function readHolder(path: string): Holder | undefined {
  try {
    const text = readFileSync(path, 'utf8')
    try {
      return JSON.parse(text)
    } catch {
      return { token: '', pid: 0 }
    }
  } catch {
    return undefined
  }
}

function isStale(holder: Holder, path: string): boolean {
  if (!holder.pid) return true
  if (isHiddenFromHere(holder.place)) return ageMs(path) > unseenHolderMs
  if (holder.place && holder.place.boot !== here()?.boot) return true
  if (!isAlive(holder.pid)) return true
  const start = processStart(holder.pid)
  return start !== undefined && holder.start !== undefined && start !== holder.start
}

function ageMs(path: string): number {
  try {
    return Date.now() - statSync(path).mtimeMs
  } catch {
    return 0
  }
}

/** Renames before deleting: if another taker was faster, this is a new holder's lock, and it goes back. */
async function takeAway(path: string, stale: Holder): Promise<void> {
  const aside = `${path}.${randomBytes(6).toString('hex')}`
  try {
    await rename(path, aside)
  } catch {
    return // someone else took it away
  }
  if (readHolder(aside)?.token !== stale.token) await link(aside, path).catch(() => undefined)
  await rm(aside, { force: true })
}
