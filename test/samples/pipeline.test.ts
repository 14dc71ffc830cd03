import { readlinkSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Handle, RunFailedError, Stet } from 'stet'
import { afterAll, expect, test } from 'vitest'
import { pipeline, release } from '../../samples/pipeline.js'
import { testDatabase } from '../support/server.js'

const { url } = await testDatabase()
const folders: string[] = []
afterAll(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true })
})

async function open() {
  const stet = new Stet({ url })
  await stet.worker({ workflows: [pipeline] }).start()
  return stet
}
function folderOf(run: Handle<unknown>): string {
  const folder = join(tmpdir(), `stet-pipeline-${run.runId}`)
  folders.push(folder)
  return folder
}

test('shards are tested side by side, a person releases, and what is deployed runs', async () => {
  await using stet = await open()
  const run = await stet.start(pipeline, { shards: 3 })
  const folder = folderOf(run)
  // Sent before the run waits for it: it is kept.
  await run.signal(release, { by: 'ada' })
  const result = await run.result()
  expect(result).toMatchObject({ passed: 6, deployed: true, by: 'ada', said: 'sum: 6' })
  expect(readlinkSync(join(folder, 'current'))).toBe(join('releases', result.digest))

  const { edges } = await run.graph()
  const into = (key: string) =>
    edges
      .filter(({ to }) => to === key)
      .map(({ from }) => from)
      .sort()
  for (const shard of ['test 1/3', 'test 2/3', 'test 3/3']) expect(into(shard)).toEqual(['build', 'lint'])
  expect(into('release')).toEqual(['test 1/3', 'test 2/3', 'test 3/3'])
  expect(into('deploy')).toEqual(['release'])
})

test('without a release in time nothing is deployed', async () => {
  await using stet = await open()
  const run = await stet.start(pipeline, { shards: 1, releaseWithin: '100ms' })
  const folder = folderOf(run)
  expect(await run.result()).toMatchObject({ passed: 2, deployed: false, reason: 'not released in time' })
  expect(() => readlinkSync(join(folder, 'current'))).toThrow()
})

test('a shard whose tests fail ends the run, with what the tests said', async () => {
  await using stet = await open()
  const run = await stet.start(pipeline, { shards: 2, breakShard: 2 })
  folderOf(run)
  const failure = await run.result().catch((error) => error)
  expect(failure).toBeInstanceOf(RunFailedError)
  expect(failure.cause).toMatchObject({ step: 'test 2/2', attempts: 1 })
  expect(String(failure.cause.cause)).toContain('tests failed in test/part-2.test.js')
})
