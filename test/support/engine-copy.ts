/** A copy of the engine's sources with a fault built in, in a folder of its own, to be run in a process of its own. */
import { execFile } from 'node:child_process'
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('../..', import.meta.url))

export interface Fault {
  /** Below src. */
  readonly file: string
  /** What stands there, exactly once, and what is to stand there instead. */
  readonly changes: readonly (readonly [from: string, to: string])[]
}

export class EngineCopy {
  readonly folder = mkdtempSync(join(tmpdir(), 'stet-engine-'))

  /** @throws Error when a text to be replaced is not there exactly once: the fault has to follow the code */
  constructor(faults: readonly Fault[]) {
    cpSync(join(root, 'src'), join(this.folder, 'src'), { recursive: true })
    cpSync(join(root, 'package.json'), join(this.folder, 'package.json'))
    // Threads are started from dist; no fault is in what they do.
    for (const name of ['node_modules', 'dist']) symlinkSync(join(root, name), join(this.folder, name), 'junction')
    for (const { file, changes } of faults) {
      const path = join(this.folder, 'src', file)
      writeFileSync(path, withChanges(file, readFileSync(path, 'utf8'), changes))
    }
  }

  /** Runs a TypeScript file, which finds the copy in `./src`; what it wrote to stdout, as JSON. */
  async run(program: string, ...args: string[]): Promise<any> {
    const file = join(this.folder, 'program.ts')
    cpSync(program, file)
    const out = await new Promise<string>((resolve, reject) => {
      const options = { cwd: this.folder, timeout: 60_000 }
      execFile(process.execPath, ['--import', 'tsx', file, ...args], options, (error, stdout, stderr) =>
        error === null ? resolve(stdout) : reject(new Error(`${error.message}\n${stderr}`)),
      )
    })
    return JSON.parse(out)
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true })
  }
}

export function withChanges(file: string, text: string, changes: Fault['changes']): string {
  for (const [from, to] of changes) {
    const times = text.split(from).length - 1
    if (times !== 1) throw new Error(`${file}: expected this text once, found it ${times} times:\n${from}`)
    text = text.replace(from, () => to)
  }
  return text
}
