/** `npm start`, as it is: its own embedded Postgres, real workers, a real SIGKILL. */
import { spawnSync } from 'node:child_process'
import { chmodSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, expect, test } from 'vitest'

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))))
const data = mkdtempSync(join(tmpdir(), 'stet-start-'))
// As root the server runs as another user, who must be able to get through.
chmodSync(data, 0o755)
afterAll(() => {
  run('dist/cli/main.js', 'db', 'reset', '--yes')
  rmSync(data, { recursive: true, force: true })
})

function run(...args: string[]) {
  const { DATABASE_URL: _, ...env } = process.env
  const { stdout, stderr, status } = spawnSync(process.execPath, args, {
    cwd: root,
    env: { ...env, STET_DATA_DIR: data },
    encoding: 'utf8',
  })
  return { status, stdout, all: stdout + stderr }
}

test('the order survives the kill of its worker, and what is printed holds', () => {
  const { status, stdout, all } = run('scripts/start.mjs')
  expect(all).toContain('The database goes on running')
  expect(status).toBe(0)

  const [killed] = /(?<=kill -9 )\d+/.exec(stdout)!
  const workers = [...stdout.matchAll(/^worker (\d) +pid (\d+)/gm)].map(([, n, pid]) => [n, pid])
  expect(workers).toEqual([
    ['1', killed],
    ['2', expect.not.stringMatching(`^${killed}$`)],
  ])
  for (const [, pid] of workers) expect(() => process.kill(Number(pid), 0)).toThrow('ESRCH')

  const said = (word: string) =>
    [...stdout.matchAll(new RegExp(`^  ${word} +(\\w+ \\w+)`, 'gm'))].map(([, name]) => name)
  expect(said('stood')).toEqual(['validate payment', 'reserve inventory', 'charge payment'])
  expect(said('ran')).toEqual(['ship order', 'send confirmation'])

  // The commands that it ends with, on the id that it printed.
  const [id] = /order-\w+/.exec(stdout)!
  const { run: shown, graph } = JSON.parse(run('dist/cli/main.js', 'show', id, '--json').stdout)
  expect(shown).toMatchObject({ id, status: 'completed' })
  expect(stdout).toContain(JSON.stringify(shown.output))
  expect(graph.nodes.map(({ key, attempts }: any) => `${key} ${attempts}`)).toContain('ship order 2')
  const replayed = run('dist/cli/main.js', 'replay', id, '-w', 'samples/order.ts')
  expect(replayed.stdout).toContain('as recorded')
  expect(replayed.status).toBe(0)
})
