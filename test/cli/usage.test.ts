import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { project, root, stet } from './support.js'

const commands =
  'init dev worker start list show signal query update cancel terminate resume delete bulk retention move versions export replay graph migrate db doctor'.split(
    ' ',
  )
const place = { cwd: project('module') }

test('help and version', async () => {
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  expect(await stet(['--version'], place)).toEqual({ code: 0, stdout: `${version}\n`, stderr: '' })
  const [bare, help] = await Promise.all([stet([], place), stet(['--help'], place)])
  expect(bare).toEqual(help)
  expect(help).toMatchObject({ code: 0, stderr: '' })
  for (const command of commands) expect(help.stdout).toMatch(new RegExp(`^ {2}${command} +\\w`, 'm'))
  expect(help.stdout).toContain('Exit codes')
})

test.each(commands)('%s --help has an example', async (command) => {
  const { code, stdout } = await stet([command, '--help'], place)
  expect(code).toBe(0)
  expect(stdout).toMatch(new RegExp(`Examples?:\\n  \\$ .*stet ${command}`))
})

test('help <command> is the same as <command> --help', async () => {
  const [one, other] = await Promise.all([stet(['help', 'start'], place), stet(['start', '--help'], place)])
  expect(one).toEqual(other)
})

test.each([
  [['lsit'], /unknown command 'lsit'[\s\S]*Did you mean list/],
  [['list', '--status', 'done'], /--status: expected one of pending.*got "done"/],
  [['list', '--limit', '0'], /whole number from 1/],
  [['list', '--nope'], /unknown option '--nope'/],
  [['start'], /missing required argument 'workflow'/],
  [['start', 'order', '--delay', 'soon'], /expected a duration/],
  [['start', 'order', '--debounce', 'u-7'], /--debounce <key> and --debounce-wait <duration> belong together/],
  [['start', 'order', '--input', '{sku: 1}'], /--input: expected JSON, got "\{sku: 1\}"/],
  [['start', 'order', '--input', 'world'], /write '"world"'/],
  [['start', 'order', '--input', '@missing.json'], /cannot read missing\.json/],
  [['show', 'run', '-o', 'yaml'], /Allowed choices are text, json/],
  [['worker', 'missing.ts'], /no workflow file matches "missing\.ts"/],
  [['worker'], /no workflow files \(workflows\/\*\*, src\/workflows\/\*\*/],
  [['replay', 'missing.json'], /missing\.json: there is no such file/],
  [['list', '-d', 'mysql://localhost/x'], /--database-url: expected a URL that begins with postgres:\/\//],
  [['query', 'run'], /missing required argument 'name'/],
  [['query', 'run', 'progress', '{a: 1}'], /argument: expected JSON, got "\{a: 1\}"/],
  [['update', 'run', 'withdraw', '5', '--timeout', 'soon'], /expected a duration/],
  [['move', 'run', '0'], /whole number from 1/],
  [['move', 'run'], /missing required argument 'version'/],
  [['db', 'reset'], /Say so with --yes/],
  [['cancel'], /expected a run, or filters/],
  [['cancel', 'order-1', '--workflow', 'order'], /expected a run or filters, got both/],
  [['delete', '--status', 'failed', '--yes', '--dry-run'], /--dry-run or --yes, got both/],
  [['pause', '--status', 'waiting', '--wait'], /--wait: expected --yes beside it/],
  [['retention', 'set', 'open=3d'], /expected <status>=<time>/],
])('%j is wrong usage: 2, told on stderr', async (args, message) => {
  const ended = await stet(args, place)
  expect(ended).toMatchObject({ code: 2, stdout: '' })
  expect(ended.stderr).toMatch(message)
})

test('no database: 5, at once, also as JSON; the password is not shown', async () => {
  const url = 'postgres://me:secret@127.0.0.1:1/x'
  const [text, json] = await Promise.all([
    stet(['list'], { ...place, url }),
    stet(['list', '--json'], { ...place, url }),
  ])
  expect(text.code).toBe(5)
  expect(text.stderr).toContain('database: 127.0.0.1:1/x (STET_DATABASE_URL)')
  expect(text.stderr).toContain('ECONNREFUSED')
  expect(text.stderr).not.toContain('secret')
  expect(json).toMatchObject({ code: 5, stdout: '' })
  const error = JSON.parse(json.stderr.split('\n').find((line) => line.startsWith('{'))!)
  expect(error.error).toMatchObject({ name: 'NoDatabaseError', code: 'no_database' })
})

test('in production nothing falls back to the embedded database', async () => {
  const { code, stderr } = await stet(['list'], { ...place, env: { NODE_ENV: 'production' } })
  expect(code).toBe(5)
  expect(stderr).toContain('NODE_ENV is production')
})

test('a reader that leaves early is no error', () => {
  const text = execFileSync('bash', [
    '-c',
    `set -o pipefail; "${process.execPath}" "${join(root, 'dist/cli/main.js')}" --help | head -1`,
  ])
  expect(text.toString()).toContain('Usage: stet')
})
