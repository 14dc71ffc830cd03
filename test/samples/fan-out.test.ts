import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { gunzipSync } from 'node:zlib'
import { Stet } from 'stet'
import { afterAll, expect, test } from 'vitest'
import { archive } from '../../samples/fan-out.js'
import { until } from '../support/house.js'
import { long } from '../support/long.js'
import { testDatabase } from '../support/server.js'

const database = await testDatabase()
const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))))
const open = () => new Stet({ url: database.url })
const work = (stet: Stet) => stet.worker({ workflows: [archive] }).start()
const folders: string[] = []
afterAll(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true })
})
function makeFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'stet-archive-test-'))
  folders.push(folder)
  return folder
}
const packed = (folder: string) => readdirSync(join(folder, 'logs')).filter((name) => name.endsWith('.gz'))

const files = long ? 10_000 : 2_000
const brokenEvery = files / 20

test(`${files} files, of which 20 are broken: the others are compressed, and the manifest says which were not`, async () => {
  const folder = makeFolder()
  await using stet = open()
  await work(stet)
  const run = await stet.start(archive, { folder, files, brokenEvery })
  const result = await run.result()
  expect(result).toMatchObject({ files: files - 20, lines: 20 * (files - 20), broken: 20 })
  expect(result.packed).toBeLessThan(result.bytes)
  expect(packed(folder)).toHaveLength(files - 20)
  expect(gunzipSync(readFileSync(join(folder, 'logs', '001711.log.gz')))).toEqual(
    readFileSync(join(folder, 'logs', '001711.log')),
  )
  const { broken } = JSON.parse(readFileSync(result.manifest, 'utf8'))
  expect(broken).toEqual(
    Array.from({ length: 20 }, (_, i) => ({
      file: `${String((i + 1) * brokenEvery).padStart(6, '0')}.log`,
      why: 'line 1 is no JSON',
    })),
  )
}, 180_000)

test('when too many are broken no further file is begun, and the run fails', async () => {
  const folder = makeFolder()
  await using stet = open()
  await work(stet)
  const run = await stet.start(archive, { folder, files: 1_000, brokenEvery: 4, concurrency: 10, tolerated: 9 })
  const { cause } = await run.result().catch((error) => error)
  const [, failed, left] = /^(\d+) of 1000 files are broken; (\d+) were not looked at$/.exec(cause.message) ?? []
  expect(Number(failed)).toBe(10)
  // The tenth broken file is the 40th; ten are under way at once.
  expect(Number(left)).toBeGreaterThan(900)
  expect(packed(folder).length).toBeLessThan(60)
})

test('a worker is killed in the middle: another goes on, and what was recorded is not done again', async () => {
  const folder = makeFolder()
  await using stet = open()
  const run = await stet.start(archive, { folder, files: 2_000, brokenEvery: 500 })
  // The first operation collects, each after it compresses the next file.
  const recorded = async () => {
    const { rows } = await database.query(
      `SELECT op FROM stet_store.history WHERE run_id = $1 AND type = 'StepCompleted' AND name = 'compress'`,
      [run.runId],
    )
    return rows.map(({ op }) => `${String(op - 1).padStart(6, '0')}.log.gz`)
  }
  // A file that is written again is another one.
  const inodes = (names: string[]) => names.map((name) => [name, statSync(join(folder, 'logs', name)).ino])

  const worker = spawn(process.execPath, ['dist/cli/main.js', 'worker', 'samples/fan-out.ts'], {
    cwd: root,
    env: { ...process.env, DATABASE_URL: database.url },
    stdio: 'ignore',
  })
  try {
    await until(async () => (await recorded()).length > 0, 'a part of them is done')
  } finally {
    worker.kill('SIGKILL')
  }
  await once(worker, 'exit')
  const before = inodes(await recorded())
  expect(before.length).toBeLessThan(1_996)

  await work(stet)
  expect(await run.result()).toMatchObject({ files: 1_996, broken: 4 })
  expect(inodes(before.map(([name]) => name as string))).toEqual(before)
  expect(await recorded()).toHaveLength(1_996)
})
