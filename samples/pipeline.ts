// Build, test, deploy: lint, build and a matrix of test shards as real child processes; a person releases, in time.
// Terminal 1: npx stet worker samples/pipeline.ts
// Terminal 2: npx stet start pipeline --id build-1 --input '{"shards":4}'
//             npx stet show build-1;  npx stet signal build-1 release '{"by":"ada"}'
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { cp, mkdir, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { type Duration, NonRetryableError, signal, workflow } from 'stet'

export interface Pipeline {
  /** Test shards that run in parallel; default 3. */
  shards?: number
  /** How long a release may wait for its signal; default a day. */
  releaseWithin?: Duration
  /** Makes the tests of this shard fail. */
  breakShard?: number
}

export const release = signal<{ by: string }>('release')

export const pipeline = workflow('pipeline', async (ctx, input: Pipeline) => {
  const { shards = 3, releaseWithin = '1d', breakShard } = input
  // A folder that all workers of this queue see: here one machine, elsewhere a shared disk or a bucket.
  const folder = join(tmpdir(), `stet-pipeline-${ctx.run.runId}`)
  await ctx.step('check out', () => checkOut(folder, shards, breakShard))

  const files = Array.from({ length: shards }, (_, i) => `src/part-${i + 1}.js`)
  const [build] = await Promise.all([
    ctx.step('build', (step) => bundle(folder, files, step.signal)),
    ctx.step('lint', (step) =>
      Promise.all(files.map((file) => node(folder, ['--check', file], step.signal))).then(() => {}),
    ),
  ])

  const tests = await Promise.all(
    files.map((_, i) =>
      ctx.step(`test ${i + 1}/${shards}`, { timeout: '2m', retry: { maxAttempts: 2 } }, (step) =>
        runShard(folder, i + 1, step.signal),
      ),
    ),
  )
  const passed = tests.reduce((sum, shard) => sum + shard.passed, 0)

  const released = await ctx.waitForSignal(release, { timeout: releaseWithin, default: null })
  if (released === null) return { ...build, passed, deployed: false as const, reason: 'not released in time' }

  const current = await ctx.step('deploy', () => deploy(folder, build.digest))
  const said = await ctx.step('smoke test', (step) => node(folder, [join(current, 'main.js')], step.signal))
  return { ...build, passed, deployed: true as const, by: released.by, said: said.trim() }
})

const run = promisify(execFile)

/** Standard output of a Node process that ends with the attempt: the signal kills it. */
async function node(cwd: string, args: string[], signal: AbortSignal): Promise<string> {
  // What this process was started with is no business of the project's.
  const { NODE_OPTIONS: _, NODE_TEST_CONTEXT: __, ...env } = process.env
  return (await run(process.execPath, args, { cwd, env, signal })).stdout
}

/** A small project, made up: one source and one test file a shard. Made anew by each attempt. */
async function checkOut(folder: string, shards: number, broken: number | undefined): Promise<void> {
  await rm(folder, { recursive: true, force: true })
  for (const name of ['src', 'test']) await mkdir(join(folder, name), { recursive: true })
  await writeFile(join(folder, 'package.json'), '{ "name": "made-up", "type": "module" }\n')
  for (let n = 1; n <= shards; n++) {
    await writeFile(
      join(folder, `src/part-${n}.js`),
      `export const part${n} = (x) => x + ${n === broken ? n + 1 : n}\n`,
    )
    await writeFile(
      join(folder, `test/part-${n}.test.js`),
      `import test from 'node:test'
import assert from 'node:assert'
import { part${n} } from '../src/part-${n}.js'
test('adds ${n} to zero', () => assert.equal(part${n}(0), ${n}))
test('adds ${n} to a number', () => assert.equal(part${n}(40), ${40 + n}))
`,
    )
  }
}

async function bundle(
  folder: string,
  files: string[],
  signal: AbortSignal,
): Promise<{ digest: string; bytes: number }> {
  const parts = await Promise.all(files.map((file) => readFile(join(folder, file), { encoding: 'utf8', signal })))
  const calls = files.reduce((inner, _, i) => `part${i + 1}(${inner})`, '0')
  const code = `${parts.join('').replaceAll('export ', '')}console.log('sum:', ${calls})\n`
  await mkdir(join(folder, 'dist'), { recursive: true })
  await writeFile(join(folder, 'dist/main.js'), code)
  return { digest: createHash('sha256').update(code).digest('hex').slice(0, 12), bytes: code.length }
}

async function runShard(folder: string, n: number, signal: AbortSignal): Promise<{ passed: number }> {
  const file = `test/part-${n}.test.js`
  try {
    const report = await node(folder, ['--test', '--test-reporter=tap', file], signal)
    return { passed: Number(/^# pass (\d+)/m.exec(report)?.[1]) }
  } catch (error) {
    const { code, stdout } = error as { code?: number | string; stdout?: string }
    // The tests ran and said no: that is an answer, and the same next time. Anything else may be tried again.
    if (code === 1) throw new NonRetryableError(`tests failed in ${file}: ${/error: (.*)/.exec(stdout ?? '')?.[1]}`)
    throw error
  }
}

/** Puts the build where it is served from, then points `current` at it: at no time is there half a release. */
async function deploy(folder: string, digest: string): Promise<string> {
  const current = join(folder, 'current')
  await cp(join(folder, 'dist'), join(folder, 'releases', digest), { recursive: true })
  await rm(`${current}.next`, { force: true })
  await symlink(join('releases', digest), `${current}.next`)
  await rename(`${current}.next`, current)
  return current
}
