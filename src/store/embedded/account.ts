/**
 * The account that the server runs as. Postgres refuses to run as root, so as root it runs as `nobody`, an account
 * that every system has: nothing is created on the host.
 */
import { readFileSync, statSync } from 'node:fs'
import { userInfo } from 'node:os'
import { dirname } from 'node:path'
import { InvalidInputError, NoDatabaseError } from '../../core/errors.js'

export interface Account {
  name: string
  uid: number
  gid: number
}

/** The account to run the server as; undefined: the one that runs us. */
export function serverAccount(): Account | undefined {
  return process.getuid?.() === 0 ? nobody() : undefined
}

function nobody(): Account {
  let passwd = ''
  try {
    passwd = readFileSync('/etc/passwd', 'utf8')
  } catch {
    // The default below is what it would say nearly everywhere.
  }
  const entry = /^nobody:[^:]*:(-?\d+):(-?\d+):/m.exec(passwd)
  // macOS writes -2; system calls want the unsigned number.
  const id = (text: string | undefined) => (text === undefined ? 65534 : Number(text) >>> 0)
  return { name: 'nobody', uid: id(entry?.[1]), gid: id(entry?.[2]) }
}

/** How to spawn as the account. Its working directory must be one that it may enter. */
export function spawnAs(account: Account | undefined): {
  cwd: string
  uid?: number
  gid?: number
  env?: NodeJS.ProcessEnv
} {
  // A fixed environment: PGDATA, PGPORT and the like of the caller must not reach the server. Windows needs its own.
  const env = process.platform === 'win32' ? {} : { env: { PATH: '/usr/bin:/bin', LC_ALL: 'C' } }
  return { cwd: '/', ...env, ...(account && { uid: account.uid | 0, gid: account.gid | 0 }) }
}

/** initdb looks the account up by name and fails obscurely when it has none (containers with an arbitrary uid). */
export function assertAccountKnown(): void {
  if (process.platform === 'win32' || serverAccount()) return
  try {
    userInfo()
  } catch (cause) {
    throw new NoDatabaseError(
      `embedded Postgres: the user id ${process.getuid?.()} has no entry in /etc/passwd, and Postgres refuses to run without one. Run as a user that has an entry, or set DATABASE_URL to a Postgres that is there.`,
      { cause },
    )
  }
}

/**
 * Every folder above `path` must let the account through.
 * @throws InvalidInputError naming the folder that does not
 */
export function assertReachable(path: string, account: Account | undefined, what: string): void {
  if (!account) return
  for (let folder = dirname(path); ; folder = dirname(folder)) {
    const { mode, uid, gid } = statSync(folder)
    const bit = uid === account.uid ? 0o100 : gid === account.gid ? 0o010 : 0o001
    if (!(mode & bit)) {
      throw new InvalidInputError(
        `embedded Postgres: ${what} ${path} cannot be used as root. The server runs as ${account.name}, which may not enter ${folder} (mode ${(mode & 0o777).toString(8)}). Use a folder that every account may enter, such as one under /var/lib, or run as another user than root.`,
      )
    }
    if (folder === dirname(folder)) return
  }
}
