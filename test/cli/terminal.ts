/** `stet` in a real terminal: a pty that the `script` of util-linux makes. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { stripVTControlCharacters } from 'node:util'
import { afterAll } from 'vitest'
import { type Place, root } from './support.js'

/** Undefined: there is one. Else why tests that need it are skipped. */
export const noTerminal =
  spawnSync('script', ['--version'], { encoding: 'utf8' }).stdout?.includes('util-linux') === true
    ? undefined
    : 'the `script` of util-linux, which makes a terminal, is not installed'

const terminals = new Set<Terminal>()
afterAll(async () => {
  for (const each of terminals) each.child.kill('SIGKILL')
  await Promise.all([...terminals].map(({ ended }) => ended))
})

export class Terminal {
  readonly child: ChildProcess
  readonly ended: Promise<number | null>
  /** All that was shown, without what moves the cursor and colours. */
  screen = ''
  /** Where what the last command shows begins. */
  #from = 0
  #over = false
  readonly #watchers = new Set<() => void>()

  constructor(args: readonly string[], { cwd, url, env = {} }: Place) {
    const quoted = [process.execPath, join(root, 'dist/cli/main.js'), ...args].map((arg) => `'${arg}'`).join(' ')
    const { PATH = '', HOME = '' } = process.env
    this.child = spawn('script', ['-qefc', `stty cols ${env.COLUMNS ?? 160} rows 50; exec ${quoted}`, '/dev/null'], {
      cwd,
      env: { PATH, HOME, TERM: 'xterm', ...(url === undefined ? {} : { STET_DATABASE_URL: url }), ...env },
    })
    terminals.add(this)
    this.child.stdout!.on('data', (chunk: Buffer) => {
      this.screen += stripVTControlCharacters(chunk.toString()).replaceAll('\r', '')
      for (const look of this.#watchers) look()
    })
    this.ended = new Promise((resolve) =>
      this.child.on('close', (code) => {
        this.#over = true
        terminals.delete(this)
        for (const look of this.#watchers) look()
        resolve(code)
      }),
    )
  }

  /** What was shown since the last command, up to the prompt that comes behind it. */
  async shown(): Promise<string> {
    const prompt = /^\d+\/\d+ stet> $/m
    const rest = () => this.screen.slice(this.#from)
    await new Promise<void>((resolve, reject) => {
      const look = () => {
        if (!prompt.test(rest()) && !this.#over) return
        this.#watchers.delete(look)
        if (prompt.test(rest())) resolve()
        else reject(new Error(`ended without a prompt:\n${this.screen}`))
      }
      this.#watchers.add(look)
      look()
    })
    return rest()
  }

  /** Types a command; resolves with what it shows. */
  async type(text: string): Promise<string> {
    await this.shown()
    this.#from = this.screen.length
    this.child.stdin!.write(text)
    return this.shown()
  }

  /** Types what ends it; resolves with the exit code. */
  quit(text = 'q\n'): Promise<number | null> {
    this.child.stdin!.write(text)
    return this.ended
  }
}
