/**
 * What users get: the packed tarball, installed into an empty folder by npm, used through its command line and its
 * types. Installed once; each kind of project is a copy.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync,
  constants,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, posix } from 'node:path'
import { fileURLToPath } from 'node:url'
// It comes with tsx.
import { type BuildOptions, build } from 'esbuild'
import { rolldown } from 'rolldown'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { testDatabase } from './support/server.js'

/** Half a minute on an idle machine; the rest of the suite keeps it busy. */
const patienceMs = 240_000

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
const tsc = join(root, 'node_modules/typescript/bin/tsc')
const box = mkdtempSync(join(tmpdir(), 'stet-package-'))
const installed = join(box, 'installed')
// As root the embedded server runs as another user, who must be able to get through.
chmodSync(box, 0o755)
const database = await testDatabase()
let files: string[] = []

// What this process inherited from npm and from the test runner is no part of a user's shell.
const env: NodeJS.ProcessEnv = Object.fromEntries(
  Object.entries(process.env).filter(
    ([name]) =>
      !/^(npm_(package|lifecycle|command|execpath|node_execpath)|npm_config_local_prefix$|INIT_CWD$)/.test(name) &&
      !/^(VITEST|NODE_ENV|NODE_OPTIONS|TEST$|DATABASE_URL$|STET_|PG)/.test(name),
  ),
)
// The embedded Postgres is one that the suite was told to use, where it was told to.
if (process.env.STET_PG_BIN !== undefined) env.STET_PG_BIN = process.env.STET_PG_BIN

interface Ended {
  readonly code: number | null
  readonly out: string
  readonly err: string
}

function begin(cwd: string, more: object, command: string, ...args: string[]) {
  // A process group of its own, so that it can be interrupted as a terminal does it: npx, its shell and stet at once.
  const child = spawn(command, args, {
    cwd,
    env: { ...env, ...more },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  })
  const told = { out: '', err: '' }
  child.stdout.on('data', (data) => {
    told.out += data
  })
  child.stderr.on('data', (data) => {
    told.err += data
  })
  const ended: Promise<Ended> = once(child, 'close').then(([code]) => ({ code, ...told }))
  return { child, told, ended }
}

/** Runs to the end, which is to be a good one. */
async function run(cwd: string, more: object, command: string, ...args: string[]): Promise<Ended> {
  const ended = await begin(cwd, more, command, ...args).ended
  if (ended.code !== 0) throw new Error(`${command} ${args.join(' ')}: ${ended.code}\n${ended.err}\n${ended.out}`)
  return ended
}

beforeAll(async () => {
  mkdirSync(installed)
  const packed = await run(root, {}, 'npm', 'pack', '--json', '--ignore-scripts', '--pack-destination', box)
  const told = JSON.parse(packed.out)
  // An array, and from npm 12 on an object by name.
  files = ((Array.isArray(told) ? told[0] : Object.values(told)[0]) as any).files.map(({ path }: any) => path)
  await run(installed, {}, 'npm', 'init', '-y')
  const tarball = join(box, readdirSync(box).find((name) => name.endsWith('.tgz'))!)
  const options = ['--ignore-scripts', '--prefer-offline', '--no-audit', '--no-fund', '--loglevel=error']
  await run(installed, {}, 'npm', 'install', ...options, tarball)
}, patienceMs)
afterAll(() => rmSync(box, { recursive: true, force: true }))

function project(name: string, type?: 'module'): string {
  const folder = join(box, name)
  cpSync(installed, folder, { recursive: true, verbatimSymlinks: true, mode: constants.COPYFILE_FICLONE })
  const manifest = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'))
  delete manifest.type
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ ...manifest, name, ...(type ? { type } : {}) }))
  mkdirSync(join(folder, 'workflows'))
  return folder
}

/** A failure of the engine is recognised in the user's file, whichever copy of the package that loaded. */
const late = `import { TimeoutFailure, signal, workflow } from 'stet'

const never = signal<string>('never')

export const late = workflow('late', async (ctx, patience: number) => {
  try {
    return await ctx.waitForSignal(never, { timeout: patience })
  } catch (e) {
    const where = await ctx.step('look', () => process.pid)
    return { late: e instanceof TimeoutFailure && e.operation === 'never', where: typeof where }
  }
})
`

/** What a user's tests and servers do. Compiled, and not run here. */
const app = `import { type OutputOf, RunFailedError, Stet } from 'stet'
import { createDashboard, serveDashboard } from 'stet/dashboard'
import { testEnv } from 'stet/testing'
import { late } from './workflows/late.js'

export async function main(): Promise<OutputOf<typeof late>> {
  await using stet = new Stet()
  await stet.worker({ workflows: [late] }).start()
  const run = await stet.start(late, 10, { id: 'late-1', ifClosed: 'new' })
  // @ts-expect-error: the input is a number
  await stet.start(late, 'soon')
  try {
    return await run.result({ timeout: '5s' })
  } catch (error) {
    if (error instanceof RunFailedError) console.error(error.runId)
    throw error
  }
}

export async function mounted(request: Request): Promise<Response> {
  await using stet = new Stet()
  await using served = await serveDashboard(stet, { port: 0 })
  console.log(served.url)
  return createDashboard(stet, { tokens: { 'a-long-token-0123456789': 'operate' } }).fetch(request)
}

export async function inVirtualTime(): Promise<void> {
  await using env = await testEnv({ workflows: [late] })
  await env.clock.advance('3d')
}
`

const settings = {
  nodenext: { module: 'nodenext' },
  bundler: { module: 'preserve', moduleResolution: 'bundler' },
}

async function typecheck(folder: string, options: object): Promise<Ended> {
  const compilerOptions = {
    ...{ target: 'es2022', lib: ['es2023', 'esnext.disposable'], strict: true, noEmit: true, skipLibCheck: true },
    ...{ types: ['node'], typeRoots: [join(root, 'node_modules/@types')], ...options },
  }
  writeFileSync(
    join(folder, 'tsconfig.json'),
    JSON.stringify({ compilerOptions, include: ['*.ts', '*.mts', 'workflows/hello.ts', 'workflows/hello.mts'] }),
  )
  return begin(folder, {}, process.execPath, tsc, '-p', '.').ended
}

/** `stet dev` until it works; then what users do in another terminal. */
async function use(folder: string, more: object, stet: string[], others: string[]): Promise<void> {
  const [command, ...before] = stet as [string, ...string[]]
  const dev = begin(folder, more, command, ...before, 'dev')
  const cli = (...args: string[]) => run(folder, more, command, ...before, ...args)
  try {
    await Promise.race([
      new Promise<void>((resolve) => {
        dev.child.stderr.on('data', () => dev.told.err.includes('worker started') && resolve())
      }),
      dev.ended.then(({ code, out, err }) => Promise.reject(new Error(`stet dev ended: ${code}\n${err}${out}`))),
    ])
    const hello = await cli('start', 'hello', '--input', '"world"', '--id', 'hello-1', '--wait', '--json')
    expect(JSON.parse(hello.out)).toMatchObject({ id: 'hello-1', status: 'completed', output: 'HELLO, WORLD!' })
    for (const name of others) {
      const ended = await cli('start', name, '--input', '20', '--id', name, '--wait', '--json')
      expect(JSON.parse(ended.out)).toMatchObject({ output: { late: true, where: 'number' } })
    }
    const shown = JSON.parse((await cli('show', 'hello-1', '--json')).out)
    expect(shown.run).toMatchObject({ status: 'completed', output: 'HELLO, WORLD!' })
    expect(shown.graph.edges).toEqual([
      { from: 'start', to: 'greet' },
      { from: 'greet', to: 'sleep' },
      { from: 'sleep', to: 'shout' },
    ])
    expect((await cli('replay', 'hello-1')).out).toContain('as recorded')
    expect((await cli('replay', 'late')).out).toContain('as recorded')
    expect(dev.told.err).not.toContain('NOT DETERMINISTIC')
  } finally {
    process.kill(-dev.child.pid!, 'SIGINT')
    await dev.ended
  }
}

describe('the tarball', () => {
  test('holds the program, its maps and the sources that they name, and nothing else', () => {
    const has = (path: string) => files.includes(path)
    for (const path of [
      'dist/index.js',
      'dist/index.d.ts',
      'dist/testing/index.js',
      'dist/cli/main.js',
      'dist/web/index.html',
      'dist/web/licenses.md',
      'src/index.ts',
    ]) {
      expect(files).toContain(path)
    }
    for (const path of ['README.md', 'CHANGELOG.md', 'LICENSE', 'package.json']) expect(files).toContain(path)
    const isPage = (path: string) => /^dist\/web\/(assets\/)?[^/]+\.(html|js|css|svg|md)$/.test(path)
    const others = files.filter((path) => !/^(dist|src)\/.*\.(js|ts|map)$/.test(path) && !isPage(path)).sort()
    expect(others).toEqual(['CHANGELOG.md', 'LICENSE', 'README.md', 'package.json'])
    const maps = files.filter((path) => path.endsWith('.js.map'))
    expect(maps.length).toBeGreaterThan(50)
    const missing = maps.flatMap((map) => {
      const { sources } = JSON.parse(readFileSync(join(installed, 'node_modules/stet', map), 'utf8'))
      return sources
        .map((source: string) => posix.join(posix.dirname(map), source))
        .filter((path: string) => !has(path))
    })
    // The pages are built; what they are built from is of no use to anybody there.
    expect(files.filter((path) => path.startsWith('src/web/'))).toEqual([])
    // What is left in dist of a source that was deleted shows here: `node scripts/bootstrap.mjs` builds anew.
    expect(missing).toEqual([])
  })

  const dist = () => join(installed, 'node_modules/stet/dist')

  test('has each module once in a process', () => {
    const isThread = (map: string) => map.includes('lease-thread')
    const maps = files.filter((path) => path.endsWith('.js.map') && !path.startsWith('dist/web/') && !isThread(path))
    const sources = maps.flatMap((map) => {
      const { sources } = JSON.parse(readFileSync(join(installed, 'node_modules/stet', map), 'utf8'))
      return sources.map((source: string) => posix.join(posix.dirname(map), source))
    })
    expect(sources.filter((source, i) => sources.indexOf(source) !== i)).toEqual([])
  })

  test.each(['index.js', 'testing/index.js', 'server/index.js'])('%s loads nothing of the command line', (entry) => {
    const packages = new Set<string>()
    const seen = new Set<string>()
    const visit = (file: string) => {
      if (seen.has(file)) return
      seen.add(file)
      for (const [, name = ''] of readFileSync(file, 'utf8').matchAll(/^(?:import|export)\b[^;]*?"([^"\n]+)";$/gm)) {
        if (name.startsWith('.')) visit(join(dirname(file), name))
        else packages.add(name)
      }
    }
    visit(join(dist(), entry))
    expect([...packages]).toContain('superjson')
    expect([...packages]).not.toContain('commander')
  })
})

describe.each([
  // What `npm init -y` makes: .ts files are CommonJS modules there, .mts files are not.
  { kind: 'as `npm init -y` makes it', name: 'plain', type: undefined, extension: 'ts', alsoMts: true },
  { kind: 'with "type": "module"', name: 'modules', type: 'module', extension: 'ts', alsoMts: false },
] as const)('a project $kind', ({ name, type, extension, alsoMts }) => {
  let folder: string
  beforeAll(() => {
    folder = project(name, type)
    writeFileSync(join(folder, `workflows/late.${extension}`), late)
    writeFileSync(join(folder, `app.${extension}`), app)
    if (!alsoMts) return
    writeFileSync(join(folder, 'workflows/late-too.mts'), late.replaceAll("'late'", "'late_too'"))
    writeFileSync(join(folder, 'app-too.mts'), app.replace('late.js', 'late-too.mjs'))
  }, patienceMs)

  test(
    'init, dev, start --wait, show and replay work',
    async () => {
      // The plain one by npx on an embedded Postgres of its own, the other without them: it is the faster way.
      const isPlain = name === 'plain'
      const stet = isPlain ? ['npx', '--offline', 'stet'] : [process.execPath, 'node_modules/stet/dist/cli/main.js']
      const more = isPlain ? { STET_DATA_DIR: join(box, 'data') } : { DATABASE_URL: database.url }
      const cli = (...args: string[]) => run(folder, more, stet[0]!, ...stet.slice(1), ...args)
      const own = isPlain ? 'mts' : extension
      const { written } = JSON.parse((await cli('init', '--json')).out)
      expect(written.sort()).toEqual(
        ['.vscode/launch.json', `stet.config.${own}`, `workflows/hello.${own}`, `workflows/hello.test.${own}`].sort(),
      )
      try {
        await use(folder, more, stet, alsoMts ? ['late', 'late_too'] : ['late'])
      } finally {
        if (isPlain) await cli('db', 'reset', '--yes')
      }
    },
    patienceMs,
  )

  test.each(Object.entries(settings))(
    'tsc passes with %s',
    async (_, options) => {
      expect(await typecheck(folder, options)).toMatchObject({ code: 0, out: '' })
    },
    patienceMs,
  )
})

describe('a server that somebody has bundled', () => {
  const sources = {
    server: `import { Stet, workflow } from 'stet'
const greet = workflow('greet', (ctx, name: string) => ctx.step('greet', () => 'hello ' + name))
async function main() {
  await using stet = new Stet({ url: process.env.DATABASE_URL })
  console.log(typeof (await stet.start(greet, 'bob')).runId)
  const worker = stet.worker({ workflows: [greet] })
  await worker.start()
  console.log(await stet.execute(greet, 'bob'))
  await worker.stop()
}
main()
`,
    pages: `import { Stet } from 'stet'
import { createDashboard } from 'stet/dashboard'
async function main() {
  await using stet = new Stet({ url: process.env.DATABASE_URL })
  const dashboard = createDashboard(stet, { local: true })
  for (const path of ['', 'runs', 'assets/own.js', 'openapi.json']) {
    const response = await dashboard.fetch(new Request('http://localhost/' + path))
    console.log(response.status, (await response.text()).replaceAll('\\n', ' '))
  }
}
main()
`,
  }
  /** As samples/README.md has it. */
  const banner = { js: "const require = process.getBuiltinModule('node:module').createRequire(import.meta.url)" }
  const more = { DATABASE_URL: database.url }
  let folder: string

  /** `<name>.<extension>` in `dist` of the folder. */
  async function withEsbuild(name: string, extension: string, options: BuildOptions): Promise<void> {
    const outfile = join(folder, `dist/${name}.${extension}`)
    const entryPoints = [join(folder, `src/${name}.ts`)]
    await build({
      entryPoints,
      outfile,
      bundle: true,
      platform: 'node',
      target: 'node20',
      logLevel: 'error',
      ...options,
    })
  }

  /** A folder without the package, with one of the bundles. */
  function elsewhere(name: string, file: string): string {
    const bare = join(box, name)
    mkdirSync(bare)
    cpSync(join(folder, 'dist', file), join(bare, file))
    return bare
  }

  beforeAll(async () => {
    folder = project('bundled', 'module')
    mkdirSync(join(folder, 'src'))
    for (const [name, source] of Object.entries(sources)) writeFileSync(join(folder, `src/${name}.ts`), source)
    const input = join(folder, 'src/server.ts')
    const transform = { target: 'node20' }
    const bundle = await rolldown({ input, transform, platform: 'node', cwd: folder, logLevel: 'silent' })
    await bundle.write({ dir: join(folder, 'dist'), entryFileNames: 'server.rolldown.mjs', codeSplitting: false })
    await withEsbuild('server', 'cjs', { format: 'cjs' })
    await withEsbuild('server', 'mjs', { format: 'esm', banner })
    await withEsbuild('pages', 'cjs', { format: 'cjs' })
    await withEsbuild('pages', 'mjs', { format: 'esm', banner })
    const outside = /(from |require\()['"](stet|superjson)['"]/
    for (const file of readdirSync(join(folder, 'dist'))) {
      expect(outside.exec(readFileSync(join(folder, 'dist', file), 'utf8')), file).toBeNull()
    }
    await withEsbuild('server', 'external.mjs', { format: 'esm', external: ['stet'] })
  }, patienceMs)

  test(
    'runs workflows with the package left out',
    async () => {
      expect((await run(folder, more, process.execPath, 'dist/server.external.mjs')).out).toBe('string\nhello bob\n')
    },
    patienceMs,
  )

  test.each(['server.rolldown.mjs', 'server.cjs', 'server.mjs'])(
    'asks, with the package beside it and without; runs no workflow, and says what to do: %s',
    async (file) => {
      for (const place of [join(folder, 'dist'), elsewhere(`bare-${file}`, file)]) {
        const { code, out, err } = await begin(place, more, process.execPath, file).ended
        expect([code, out]).toEqual([1, 'string\n'])
        expect(err).toContain(`stet was bundled into ${realpathSync(join(place, file))}`)
        expect(err).toContain('Leave "stet" out of the bundle')
        expect(err).toContain("code: 'bundled'")
      }
    },
    patienceMs,
  )

  test(
    'takes nothing from another version of the package',
    async () => {
      const other = elsewhere('other', 'pages.cjs')
      mkdirSync(join(other, 'node_modules/stet/dist/web/assets'), { recursive: true })
      writeFileSync(join(other, 'node_modules/stet/package.json'), '{ "name": "stet", "version": "0.0.9" }')
      writeFileSync(join(other, 'node_modules/stet/dist/web/index.html'), 'of 0.0.9')
      const [page] = (await run(other, more, process.execPath, 'pages.cjs')).out.split('\n')
      expect(page).toMatch(new RegExp(`^503 .*stet ${version} was bundled, and stet 0.0.9 is installed there`))
    },
    patienceMs,
  )

  test.each(['pages.cjs', 'pages.mjs'])(
    'shows pages of the package alone: %s',
    async (file) => {
      const there = (await run(folder, more, process.execPath, `dist/${file}`)).out.split('\n')
      expect(there[0]).toMatch(/^200 <!doctype html>/)
      const bare = elsewhere(`bare-${file}`, file)
      mkdirSync(join(bare, 'dist/web/assets'), { recursive: true })
      writeFileSync(join(bare, 'package.json'), `{ "name": "stet", "version": "${version}" }`)
      for (const own of ['index.html', 'assets/own.js']) writeFileSync(join(bare, 'dist/web', own), 'secret')
      const [page, runs, asset, api] = (await run(bare, more, process.execPath, file)).out.split('\n')
      expect(page).toMatch(/^503 .*not_installed.*the package is not installed there/)
      expect(runs).toMatch(/^503 /)
      expect(asset).toMatch(/^404 /)
      expect(api).toMatch(new RegExp(`^200 .*"version":"${version}"`))
    },
    patienceMs,
  )
})
