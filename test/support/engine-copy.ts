/**
 * A copy of the engine's sources with a fault built in, in a folder of its own, to be run in a process of its own. It is
 * JavaScript, so that the process need not load a compiler first.
 */
import { execFile } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { transformWithOxc } from 'vite'

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
  static async of(faults: readonly Fault[]): Promise<EngineCopy> {
    const copy = new EngineCopy()
    cpSync(join(root, 'package.json'), join(copy.folder, 'package.json'))
    symlinkSync(join(root, 'node_modules'), join(copy.folder, 'node_modules'), 'junction')
    const left = new Set(faults)
    for (const entry of readdirSync(join(root, 'src'), { recursive: true, withFileTypes: true })) {
      const path = join(entry.parentPath, entry.name)
      const file = relative(join(root, 'src'), path).replaceAll('\\', '/')
      if (!entry.isFile() || !file.endsWith('.ts') || file.startsWith('web/')) continue
      let text = readFileSync(path, 'utf8')
      for (const fault of faults.filter((each) => each.file === file)) {
        text = withChanges(file, text, fault.changes)
        left.delete(fault)
      }
      await copy.#compile(path, text, join('src', file))
    }
    if (left.size > 0) throw new Error(`there is no ${[...left].map(({ file }) => file).join(', ')}`)
    return copy
  }

  private constructor() {}

  /** Writes the JavaScript of a TypeScript text; returns its path. */
  async #compile(path: string, text: string, to: string): Promise<string> {
    const target = join(this.folder, to.replace(/ts$/, 'js'))
    const { code } = await transformWithOxc(text, path, { target: 'node20' })
    mkdirSync(dirname(target), { recursive: true })
    writeFileSync(target, code)
    return target
  }

  /** Runs a TypeScript file, which finds the copy in `./src`; what it wrote to stdout, as JSON. */
  async run(program: string, ...args: string[]): Promise<any> {
    const file = await this.#compile(program, readFileSync(program, 'utf8'), 'program.ts')
    const out = await new Promise<string>((resolve, reject) => {
      const options = { cwd: this.folder, timeout: 60_000 }
      execFile(process.execPath, [file, ...args], options, (error, stdout, stderr) =>
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
