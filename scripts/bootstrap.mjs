/**
 * Makes a checkout ready to run: installs when node_modules is missing or older than the lockfile, builds when dist, or
 * the dashboard's pages in it, are missing or older than the sources. Built-ins only; nothing to do costs a few milliseconds. The scripts of package.json
 * call it themselves: npm leaves out `pre…` scripts where `ignore-scripts` is set.
 */
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  chmodSync,
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const [major, minor] = process.versions.node.split('.').map(Number)
if (major < 20 || (major === 20 && minor < 19)) {
  console.error(`stet needs Node 20.19 or later, this is ${process.versions.node}.`)
  process.exit(1)
}

function run(what, command, args) {
  console.error(`${what} …`)
  const { status, error } = spawnSync(command, args, {
    cwd: root,
    stdio: ['ignore', 'inherit', 'inherit'],
    shell: process.platform === 'win32',
  })
  if (error) throw error
  if (status !== 0) {
    console.error(`${what} failed (${command} ${args.join(' ')})`)
    process.exit(status ?? 1)
  }
}

function digest(files) {
  const hash = createHash('sha256')
  for (const file of files) hash.update(file).update(readFileSync(join(root, file)))
  return hash.digest('hex')
}

/** A stamp says what a step was last done for, so that a half-done one is done again. */
function unlessStamped(stamp, value, step) {
  const file = join(root, stamp)
  if (existsSync(file) && readFileSync(file, 'utf8') === value) return
  step()
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(file, value)
}

function sources(dir) {
  return readdirSync(join(root, dir), { withFileTypes: true }).flatMap((entry) => {
    const path = join(dir, entry.name)
    return entry.isDirectory() ? sources(path) : statSync(join(root, path)).isFile() ? [path] : []
  })
}

unlessStamped('node_modules/.stet-installed', digest(['package-lock.json']), () =>
  run('installing packages', 'npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error']),
)
const all = sources('src').sort()
const pages = all.filter((file) => file.startsWith(join('src', 'web')))
const engine = all.filter((file) => !pages.includes(file))

/**
 * Built beside the one that is there: processes that use it find a whole one at any time, and it stays when this one
 * fails. What `keep` names below it is taken over.
 */
function replacing(name, build, keep = []) {
  const [now, next, before] = [name, `${name}.next`, `${name}.before`].map((each) => join(root, each))
  for (const left of [next, before]) rmSync(left, { recursive: true, force: true })
  build(next)
  for (const each of keep) {
    if (existsSync(join(now, each))) cpSync(join(now, each), join(next, each), { recursive: true })
  }
  if (existsSync(now)) renameSync(now, before)
  renameSync(next, now)
  rmSync(before, { recursive: true, force: true })
}

const recipes = ['scripts/bundle.mjs', 'package.json', 'tsconfig.build.json', 'tsconfig.json', 'package-lock.json']
unlessStamped('dist/.stet-built', digest([...engine, ...recipes]), () =>
  replacing(
    'dist',
    (next) => {
      const declarations = ['--outDir', next, '--tsBuildInfoFile', join(next, '.tsbuildinfo')]
      const tsc = join(root, 'node_modules/typescript/bin/tsc')
      run('building', process.execPath, [tsc, '-p', 'tsconfig.build.json', ...declarations])
      run('joining', process.execPath, [join(root, 'scripts/bundle.mjs'), next])
    },
    ['web'],
  ),
)
const shared = engine.filter((file) => file.startsWith(join('src', 'core')))
unlessStamped('dist/web/.stet-built', digest([...pages, ...shared, 'package-lock.json']), () =>
  replacing('dist/web', (next) =>
    run('building the pages of the dashboard', process.execPath, [
      join(root, 'node_modules/vite/bin/vite.js'),
      ...['build', '--config', 'src/web/vite.config.ts', '--outDir', next, '--logLevel', 'warn'],
    ]),
  ),
)
// npm makes no link for the package's own command: with this one, `npx stet` works in the checkout, at once and offline.
const link = join(root, 'node_modules/.bin/stet')
chmodSync(join(root, 'dist/cli/main.js'), 0o755)
if (process.platform !== 'win32' && lstatSync(link, { throwIfNoEntry: false }) === undefined) {
  symlinkSync('../../dist/cli/main.js', link)
}
