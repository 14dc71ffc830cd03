/** Replay debugging: how long a person waits for a long history, and how many histories a check goes through. */
import { execFile, spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import type { Stet } from 'stet'
import { list, median, report, three } from './measure.js'
import { nineStepsAndWait, sequence } from './workflows.js'

const main = fileURLToPath(new URL('../dist/cli/main.js', import.meta.url))
const workflows = fileURLToPath(new URL('./workflows.ts', import.meta.url))
const stetCommand = (...args: string[]) => promisify(execFile)(process.execPath, [main, ...args])

/** Opens a history of 10,000 events at its end in a terminal, and steps back. */
export async function longReplay(stet: Stet, url: string): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'stet-bench-'))
  const file = join(folder, 'long.json')
  const run = await stet.start(sequence, 9_998)
  await run.result()
  await stetCommand('export', run.runId, '-f', file, '-d', url)
  const back: number[] = []
  const open = await three(async () => {
    const session = await openTerminal(file)
    for (let i = 0; i < 3; i++) back.push(await session.type('b'))
    session.quit()
    return session.openMs
  })
  rmSync(folder, { recursive: true })
  report(
    'replay of 10,000 events: open at the end, ms',
    `${list([open.value])} (${list(open.all)})`,
    open.value / 1_000,
    {
      atMost: 1,
    },
  )
  report('  a step back, ms', `${list([median(back)])} (${list(back)})`, median(back) / 1_000, { atMost: 1 })
}

async function openTerminal(file: string) {
  let shown = ''
  let heard = () => {}
  const began = performance.now()
  const command = `'${process.execPath}' '${main}' replay '${file}' -w '${workflows}' --at 10000`
  const child = spawn('script', ['-qefc', command, '/dev/null'])
  child.stdout.on('data', (chunk: Buffer) => {
    shown += chunk.toString()
    heard()
  })
  const prompt = async () => {
    while (!shown.includes('stet> ')) await new Promise<void>((resolve) => (heard = resolve))
  }
  await prompt()
  return {
    openMs: performance.now() - began,
    async type(text: string): Promise<number> {
      shown = ''
      const since = performance.now()
      child.stdin.write(`${text}\n`)
      await prompt()
      return performance.now() - since
    },
    quit: () => child.stdin.write('q\n'),
  }
}

/** Checks open runs of ten events each, on one core. */
export async function checkSpeed(stet: Stet, url: string): Promise<void> {
  const runs = await Promise.all(Array.from({ length: 2_000 }, () => stet.start(nineStepsAndWait, 1)))
  for (const run of runs)
    while ((await run.describe()).status !== 'waiting') await new Promise((done) => setTimeout(done, 20))
  const rate = await three(async () => {
    const { stdout } = await stetCommand('check', workflows, '-d', url, '--json')
    const { ok, checked, runsPerSecond } = JSON.parse(stdout)
    if (!ok || checked !== runs.length) throw new Error(`the check found what is not there: ${stdout}`)
    return runsPerSecond
  })
  report('check: histories of 10 events a second', `${list([rate.value])} (${list(rate.all)})`, rate.value / 1_000, {
    atLeast: 1,
  })
}
