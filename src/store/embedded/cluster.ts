/**
 * Makes the cluster: `initdb` with a generated password.
 *
 * C1  `data/` is a finished cluster: initdb works in a folder beside it, which gets the name when it is done. One that
 *     was killed half-way leaves only such a folder, and the next start removes it.
 * C2  The password is on the disk before the cluster that wants it.
 */
import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { chmod, chown, mkdir, open, readdir, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { NoDatabaseError } from '../../core/errors.js'
import { assertAccountKnown, assertReachable, spawnAs } from './account.js'
import { executable } from './binaries.js'
import { createExclusive, type Layout } from './layout.js'
import type { EmbeddedOptions } from './options.js'
import { isAlive } from './process.js'

/** The superuser; the only account there is. */
export const superuser = 'postgres'

export async function ensureCluster(layout: Layout, bin: string, options: EmbeddedOptions): Promise<void> {
  await sweep(layout)
  if (existsSync(layout.data)) return
  assertAccountKnown()
  await createExclusive(layout.password, randomBytes(24).toString('base64url'), 0o600) // C2
  options.log?.(`making a database in ${layout.home} (once)`)
  const suffix = `${process.pid}.${randomBytes(4).toString('hex')}`
  const half = join(layout.home, `initdb.${suffix}`)
  const passwordCopy = join(layout.home, `initdb-password.${suffix}`)
  try {
    await mkdir(half)
    await chmod(half, 0o700)
    assertReachable(layout.data, layout.account, 'the data folder')
    await writeFile(passwordCopy, readPassword(layout), { mode: 0o600 })
    if (layout.account) {
      await chown(half, layout.account.uid, layout.account.gid)
      await chown(passwordCopy, layout.account.uid, layout.account.gid)
    }
    await initdb(layout, bin, half, passwordCopy, options)
    await rename(half, layout.data) // C1
    await syncFolder(layout.home)
  } catch (error) {
    await rm(half, { recursive: true, force: true })
    if (!existsSync(layout.data)) throw error // else another process was faster
  } finally {
    await rm(passwordCopy, { force: true })
  }
}

/** @throws NoDatabaseError when the file is gone or belongs to someone else */
export function readPassword(layout: Layout): string {
  try {
    return readFileSync(layout.password, 'utf8')
  } catch (cause) {
    const what = (cause as NodeJS.ErrnoException).code === 'ENOENT' ? 'is gone' : 'cannot be read'
    throw new NoDatabaseError(
      `embedded Postgres: the password file ${layout.password} ${what}, and the database in ${layout.data} cannot be opened without it. Put it back or run as the user that started the server; to give up the data: \`stet db reset\`.`,
      { cause },
    )
  }
}

function initdb(
  layout: Layout,
  bin: string,
  half: string,
  passwordFile: string,
  options: EmbeddedOptions,
): Promise<void> {
  const args = [
    '-D',
    half,
    '-U',
    superuser,
    '-A',
    'scram-sha-256',
    '-E',
    'UTF8',
    '--locale=C',
    `--pwfile=${passwordFile}`,
  ]
  if (options.fast) args.push('--no-sync')
  return new Promise((resolve, reject) => {
    const child = spawn(join(bin, executable('initdb')), args, {
      ...spawnAs(layout.account),
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    let said = ''
    const listen = (text: string) => {
      said = (said + text).slice(-4000)
    }
    child.stdout.setEncoding('utf8').on('data', listen)
    child.stderr.setEncoding('utf8').on('data', listen)
    child.on('error', (cause) => reject(cannotRun('initdb', bin, cause)))
    child.on('close', (code, signal) => {
      if (code === 0) return resolve()
      const end = signal ? `was ended by ${signal}` : `ended with code ${code}`
      reject(new NoDatabaseError(`embedded Postgres: initdb ${end}. It said:\n${said.trim()}`))
    })
  })
}

export function cannotRun(name: string, bin: string, cause: Error): NoDatabaseError {
  return new NoDatabaseError(
    `embedded Postgres: ${join(bin, executable(name))} cannot be run (${cause.message}). Set STET_PG_BIN to the folder of an installed server, or DATABASE_URL to a Postgres that is there.`,
    { cause },
  )
}

/** What killed starts left behind. An orphaned initdb may still write there: then a later start removes it. */
async function sweep(layout: Layout): Promise<void> {
  for (const entry of await readdir(layout.home)) {
    const pid = /^initdb(?:-password)?\.(\d+)\.[0-9a-f]{8}$/.exec(entry)?.[1]
    if (!pid || (isAlive(Number(pid)) && Number(pid) !== process.pid)) continue
    await rm(join(layout.home, entry), { recursive: true, force: true }).catch(() => undefined)
  }
}

/** Makes a rename outlive a power cut; systems that cannot open folders do without. */
async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r').catch(() => undefined)
  await folder?.sync().catch(() => undefined)
  await folder?.close()
}
