// 10,000 files, each checked and compressed in a step of its own: so many at once, and a few of them may be broken.
// Terminal 1: npx stet worker samples/fan-out.ts           (a second worker beside it takes over if this one is killed)
// Terminal 2: npx stet start archive --id logs-1 --input '{"files":10000}' --wait
//             npx stet start archive --input '{"files":10000,"brokenEvery":20}' --wait      (too many are broken)
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { gzip } from 'node:zlib'
import { NonRetryableError, workflow } from 'stet'

export interface Archive {
  /** How many files there are to be; default 10,000. Those that are missing are made up. */
  files?: number
  /** Every so manieth made-up file is broken; default 500. */
  brokenEvery?: number
  /** Files under way at the same time; default 200. A worker runs 100 steps at once unless told otherwise. */
  concurrency?: number
  /** How many broken ones are put up with; default 1 in 100. */
  tolerated?: number | `${number}%`
  /** By default a folder of this run in the temporary folder. */
  folder?: string
}

export const archive = workflow('archive', async (ctx, input: Archive) => {
  const { files = 10_000, brokenEvery = 500, concurrency = 200, tolerated = '1%' } = input
  const folder = input.folder ?? join(tmpdir(), `stet-archive-${ctx.run.runId}`)
  const names = await ctx.step('collect', () => collect(folder, files, brokenEvery))

  // The function is workflow code: it may take several steps, wait, start children. For far more items than this, give
  // chunks of them to children, each with a map of its own: a history of 100,000 steps takes long to replay.
  const { values, failures, notStarted, reason } = await ctx.map(
    'files',
    names,
    { concurrency, toleratedFailures: tolerated },
    (name) =>
      ctx.step('compress', { retry: { maxAttempts: 3, initialInterval: '200ms' } }, () => compress(folder, name)),
  )
  if (reason === 'toleratedFailures') {
    throw new Error(`${failures.length} of ${names.length} files are broken; ${notStarted} were not looked at`)
  }

  const sum = (of: 'lines' | 'bytes' | 'packed') => values.reduce((total, file) => total + file[of], 0)
  const total = { files: values.length, lines: sum('lines'), bytes: sum('bytes'), packed: sum('packed') }
  const broken = failures.map(({ item, error }) => ({ file: item, why: (error.cause as Error).message }))
  const manifest = await ctx.step('write manifest', () => replace(join(folder, 'manifest.json'), { ...total, broken }))
  return { ...total, broken: broken.length, manifest }
})

/** Log files, one JSON object a line; the first line of a broken one is cut off in the middle. */
async function collect(folder: string, count: number, brokenEvery: number): Promise<string[]> {
  await mkdir(join(folder, 'logs'), { recursive: true })
  const names = Array.from({ length: count }, (_, i) => `${String(i + 1).padStart(6, '0')}.log`)
  for (let from = 0; from < count; from += 500) {
    await Promise.all(
      names.slice(from, from + 500).map((name, i) => {
        const n = from + i + 1
        const lines = Array.from({ length: 20 }, (_, line) =>
          JSON.stringify({ machine: n, line, level: 'info', message: 'all is well' }),
        )
        if (n % brokenEvery === 0) lines[0] = lines[0]!.slice(0, 10)
        return writeFile(join(folder, 'logs', name), `${lines.join('\n')}\n`)
      }),
    )
  }
  return names
}

/** Checks a file and writes a compressed copy. What it returns goes into the history: sizes, not contents. */
async function compress(folder: string, name: string): Promise<{ lines: number; bytes: number; packed: number }> {
  const text = await readFile(join(folder, 'logs', name), 'utf8')
  const lines = text.trimEnd().split('\n')
  const wrong = lines.findIndex((line) => !isJson(line))
  // It would be as broken the next time.
  if (wrong !== -1) throw new NonRetryableError(`line ${wrong + 1} is no JSON`)
  const packed = await promisify(gzip)(text)
  await replace(join(folder, 'logs', `${name}.gz`), packed)
  return { lines: lines.length, bytes: Buffer.byteLength(text), packed: packed.length }
}

function isJson(line: string): boolean {
  try {
    JSON.parse(line)
    return true
  } catch {
    return false
  }
}

/** Writes a file whole, so that an attempt that is cut off leaves none that looks finished. */
async function replace(file: string, content: Buffer | object): Promise<string> {
  await writeFile(`${file}.next`, Buffer.isBuffer(content) ? content : JSON.stringify(content, null, 2))
  await rename(`${file}.next`, file)
  return file
}
