/**
 * Where things lie. One folder per project and major version holds all there is to know about a server:
 *
 *     <data root>/18/            ours (not the server account's): what we trust must not be writable by the server
 *       stet.json                mark of ownership, kept port, place of the last start
 *       password                 of the superuser, 0600
 *       postgres.log             output of the server (older: postgres.log.1)
 *       lock                     held while starting, stopping, deleting
 *       data/                    the cluster (PGDATA), owned by the account that the server runs as
 *
 * L1  A folder without our `stet.json` is never written into (unless empty) and never deleted.
 * L2  Files that others may read at any time appear whole: written beside and linked or renamed into place.
 */
import { createHash, randomBytes } from 'node:crypto'
import { accessSync, constants, existsSync, readdirSync, readFileSync, realpathSync } from 'node:fs'
import { chmod, link, mkdir, readdir, rename, rm, stat, writeFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { basename, dirname, join, resolve } from 'node:path'
import { InvalidInputError } from '../../core/errors.js'
import { type Account, serverAccount } from './account.js'
import type { EmbeddedOptions } from './options.js'
import type { Place } from './process.js'

/** Postgres cannot open longer paths (MAXPGPATH is 1024, and it appends its own file names). */
const longestDataPath = 900

/** The nearest folder with a `package.json`, from `from` upward; `from` itself when there is none. */
export function findProjectDir(from: string): string {
  const start = resolve(from)
  for (let folder = start; ; folder = dirname(folder)) {
    if (existsSync(join(folder, 'package.json'))) return folder
    if (folder === dirname(folder)) return start
  }
}

export interface Layout {
  /** Our folder for one major version. */
  home: string
  /** PGDATA. */
  data: string
  mark: string
  password: string
  logFile: string
  lock: string
  project: string
  /** Undefined: the server runs as the account that runs us. */
  account: Account | undefined
}

export function layoutOf(options: EmbeddedOptions, major: string): Layout {
  const home = join(dataRoot(options), major)
  return {
    home,
    data: join(home, 'data'),
    mark: join(home, 'stet.json'),
    password: join(home, 'password'),
    logFile: join(home, 'postgres.log'),
    lock: join(home, 'lock'),
    project: real(options.projectDir),
    account: serverAccount(),
  }
}

/** The major versions that have a folder of ours, highest first. */
export function majorsPresent(options: EmbeddedOptions): string[] {
  const root = dataRoot(options)
  try {
    const majors = readdirSync(root).filter((name) => /^\d+$/.test(name) && readMark(join(root, name, 'stet.json')))
    return majors.sort((a, b) => Number(b) - Number(a))
  } catch {
    return []
  }
}

function dataRoot(options: EmbeddedOptions): string {
  if (options.dataDir) return resolve(options.dataDir)
  const project = real(options.projectDir)
  if (serverAccount()) return join('/var/lib/stet', projectKey(project))
  const inside = join(project, '.stet', 'pg')
  const suitable = inside.length <= longestDataPath && (existsSync(inside) || writable(project))
  return suitable ? inside : join(homedir(), '.local', 'share', 'stet', projectKey(project))
}

/** The folder that holds a copy of the binaries per version. */
export function cacheRoot(options: EmbeddedOptions): string {
  if (options.cacheDir) return resolve(options.cacheDir)
  if (serverAccount()) return '/var/cache/stet'
  const home = homedir() // containers may have one that is not there
  return writable(home) || existsSync(join(home, '.cache', 'stet'))
    ? join(home, '.cache', 'stet')
    : join(real(options.projectDir), '.stet', 'cache')
}

/** Two projects of the same name differ by the hash; the name is there for people. */
function projectKey(project: string): string {
  const hash = createHash('sha256').update(project).digest('hex').slice(0, 12)
  const name = basename(project).replace(/[^A-Za-z0-9._-]/g, '_')
  return `${hash}-${name.slice(0, 40)}`
}

/** One spelling per folder: through a link or not, it is the same project. */
function real(path: string): string {
  try {
    return realpathSync(path)
  } catch {
    return resolve(path)
  }
}

function writable(folder: string): boolean {
  try {
    accessSync(folder, constants.W_OK)
    return true
  } catch {
    return false
  }
}

// ── the mark ─────────────────────────────────────────────────────────────────────────────────────
export interface Mark {
  format: 'stet-embedded-1'
  project: string
  /** The port of the last start: tried first at the next one, so that a saved URL stays good. */
  port?: number
  /** Where the last start happened. */
  place?: Place | undefined
}

export function readMark(path: string): Mark | undefined {
  try {
    const mark = JSON.parse(readFileSync(path, 'utf8'))
    return mark?.format === 'stet-embedded-1' ? mark : undefined
  } catch {
    return undefined
  }
}

export async function writeMark(layout: Layout, mark: Omit<Mark, 'format' | 'project'>): Promise<void> {
  const beside = `${layout.mark}.${randomBytes(6).toString('hex')}`
  await writeFile(beside, markText({ format: 'stet-embedded-1', project: layout.project, ...mark }))
  await rename(beside, layout.mark) // L2
}

function markText(mark: Mark): string {
  return `${JSON.stringify(mark, null, 2)}\n`
}

/**
 * Makes our folder and puts the mark into it.
 * @throws InvalidInputError when the folder is there and holds something else (L1)
 */
export async function claimHome(layout: Layout): Promise<void> {
  const mode = layout.account ? 0o711 : 0o700 // another account has to reach data/ through it
  await ensureIgnored(layout)
  await ensureDir(layout.home, mode)
  if (!readMark(layout.mark)) {
    // A start that was killed may have left these before the mark was there.
    const foreign = (await readdir(layout.home)).filter((name) => !/^(stet\.json|lock)/.test(name))
    if (foreign.length > 0) throw notOurs(layout, foreign)
    await rm(layout.mark, { force: true }) // one that cannot be read, as a power cut may leave
    await createExclusive(layout.mark, markText({ format: 'stet-embedded-1', project: layout.project }), 0o644)
  }
  await chmod(layout.home, mode)
  await sweep(layout.home)
}

/** What `createExclusive` leaves behind when it is killed. A minute old: no live process is still at it. */
async function sweep(home: string): Promise<void> {
  for (const name of await readdir(home)) {
    if (!/^(stet\.json|lock|password)\.[0-9a-f]{12}$/.test(name)) continue
    const found = await stat(join(home, name)).catch(() => undefined)
    if (found && Date.now() - found.mtimeMs > 60_000) await rm(join(home, name), { force: true })
  }
}

export function notOurs(layout: Layout, entries: string[]): InvalidInputError {
  return new InvalidInputError(
    `embedded Postgres: ${layout.home} does not look like a data folder of stet. Expected no folder, an empty one, or one with our stet.json; it holds ${entries.slice(0, 5).join(', ')}${entries.length > 5 ? ', …' : ''}. Nothing was changed. Give another folder with STET_DATA_DIR, or move that one away.`,
  )
}

/** The data and its password must not be committed with the project. */
async function ensureIgnored(layout: Layout): Promise<void> {
  const folder = join(layout.project, '.stet')
  if (!layout.home.startsWith(join(folder, 'pg'))) return
  await mkdir(folder, { recursive: true })
  await createExclusive(join(folder, '.gitignore'), '*\n', 0o644)
}

// ── file helpers ─────────────────────────────────────────────────────────────────────────────────
/** Makes a folder and the missing ones above it, with exactly this mode: a narrow umask must not shut others out. */
export async function ensureDir(path: string, mode: number): Promise<void> {
  try {
    await mkdir(path)
    await chmod(path, mode)
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code
    if (code === 'EEXIST') return
    if (code !== 'ENOENT' || path === dirname(path)) throw error
    await ensureDir(dirname(path), mode)
    await ensureDir(path, mode)
  }
}

/** Creates a file whole or not at all; false when it was there already. */
export async function createExclusive(path: string, text: string, mode: number): Promise<boolean> {
  const beside = `${path}.${randomBytes(6).toString('hex')}`
  await writeFile(beside, text, { mode, flush: true })
  try {
    await chmod(beside, mode)
    await link(beside, path)
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw error
  } finally {
    await rm(beside, { force: true })
  }
}
