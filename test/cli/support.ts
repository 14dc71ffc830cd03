/** The built command line in processes of its own, in projects of every kind. */
import { type ChildProcess, spawn } from 'node:child_process'
import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll } from 'vitest'

export const root = fileURLToPath(new URL('../../', import.meta.url))
const main = join(root, 'dist/cli/main.js')

/** `none`: a package.json that does not say. */
export type Kind = 'module' | 'commonjs' | 'none'

/** A folder with a package.json, stet installed, and these files; gone after the tests of the file. */
export function project(kind: Kind, files: Record<string, string> = {}): string {
  const folder = mkdtempSync(join(tmpdir(), 'stet-cli-'))
  // As root the embedded server runs as another account, which has to get in.
  chmodSync(folder, 0o755)
  afterAll(() => rmSync(folder, { recursive: true, force: true }))
  write(folder, 'package.json', JSON.stringify({ name: 'app', ...(kind === 'none' ? {} : { type: kind }) }))
  mkdirSync(join(folder, 'node_modules'))
  symlinkSync(root, join(folder, 'node_modules/stet'))
  for (const [name, text] of Object.entries(files)) write(folder, name, text)
  return folder
}

export function write(folder: string, name: string, text: string): void {
  mkdirSync(dirname(join(folder, name)), { recursive: true })
  writeFileSync(join(folder, name), text)
}

export interface Place {
  readonly cwd: string
  readonly url?: string | undefined
  readonly env?: Record<string, string>
  readonly input?: string
}

export interface Ended {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

/** A running `stet`. */
export class Process {
  readonly child: ChildProcess
  readonly ended: Promise<Ended>
  stdout = ''
  stderr = ''
  #over = false
  readonly #watchers = new Set<() => void>()

  constructor(args: readonly string[], { cwd, url, env = {}, input }: Place) {
    const { PATH = '', HOME = '' } = process.env
    this.child = spawn(process.execPath, [main, ...args], {
      cwd,
      env: { PATH, HOME, ...(url === undefined ? {} : { STET_DATABASE_URL: url }), ...env },
    })
    processes.add(this)
    const read = (which: 'stdout' | 'stderr') => (chunk: Buffer) => {
      this[which] += chunk.toString()
      for (const look of this.#watchers) look()
    }
    this.child.stdout!.on('data', read('stdout'))
    this.child.stderr!.on('data', read('stderr'))
    this.child.stdin!.end(input ?? '')
    this.ended = new Promise((resolve) =>
      this.child.on('close', (code) => {
        this.#over = true
        processes.delete(this)
        for (const look of this.#watchers) look()
        resolve({ code, stdout: this.stdout, stderr: this.stderr })
      }),
    )
  }

  /** Resolves with the match when the output (of both kinds) first has it; rejects when the process ends before. */
  until(pattern: RegExp, from = 0): Promise<RegExpExecArray> {
    return new Promise((resolve, reject) => {
      const look = () => {
        const match = pattern.exec((this.stdout + this.stderr).slice(from))
        if (match === null && !this.#over) return
        this.#watchers.delete(look)
        if (match !== null) resolve(match)
        else reject(new Error(`ended without ${pattern}:\n${this.stdout}\n${this.stderr}`))
      }
      this.#watchers.add(look)
      look()
    })
  }

  kill(signal: NodeJS.Signals): void {
    this.child.kill(signal)
  }
}

const processes = new Set<Process>()
afterAll(async () => {
  const left = [...processes]
  for (const each of left) each.kill('SIGKILL')
  await Promise.all(left.map(({ ended }) => ended))
})

/** Runs a command to its end. */
export function stet(args: readonly string[], place: Place): Promise<Ended> {
  return new Process(args, place).ended
}

/** Runs a command with `--json`; fails unless it ends with `code`. */
export async function stetJson(args: readonly string[], place: Place, code = 0): Promise<any> {
  const ended = await stet([...args, '--json'], place)
  if (ended.code !== code) throw new Error(`${args.join(' ')}: exit code ${ended.code}\n${ended.stdout}${ended.stderr}`)
  return JSON.parse(ended.stdout)
}
