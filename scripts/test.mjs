/** Runs the suite: types and style first, then vitest with whatever arguments were given. */
import { spawnSync } from 'node:child_process'
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const bin = (name) => `${root}/node_modules/${name}`

function run(command, args) {
  const { status } = spawnSync(process.execPath, [bin(command), ...args], {
    cwd: root,
    stdio: ['ignore', 'inherit', 'inherit'],
  })
  if (status !== 0) process.exit(status ?? 1)
}

const args = process.argv.slice(2)
if (args.length === 0) {
  run('typescript/bin/tsc', ['-p', 'tsconfig.json'])
  run('typescript/bin/tsc', ['-p', 'src/web/tsconfig.json'])
  run('@biomejs/biome/bin/biome', ['check', '.'])
}
// For `.ci/run`: the results as JSON, beside what is printed.
const { STET_TEST_REPORT: report } = process.env
const reporters = report ? ['--reporter=default', '--reporter=json', `--outputFile.json=${report}`] : []
run('vitest/vitest.mjs', ['run', ...reporters, ...args])
