import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { project, root } from '../cli/support.js'
import { noTerminal, Terminal } from '../cli/terminal.js'

const text = readFileSync(join(root, 'samples/README.md'), 'utf8')
const section = text.slice(text.indexOf('## Find a bug by stepping back'), text.indexOf('## Test them'))
/** What the page shows: each command with the screen that follows it. */
const screens = [...section.matchAll(/```text\n(.*?)\n```/gs)].map(([, block]) => block!)

describe.skipIf(noTerminal !== undefined)(`invoice${noTerminal === undefined ? '' : ` (${noTerminal})`}`, () => {
  test('the session in README.md: each screen is what the terminal shows', async () => {
    const cwd = project('module')
    mkdirSync(join(cwd, 'samples'))
    for (const name of ['invoice.ts', 'invoice.history.json'])
      cpSync(join(root, 'samples', name), join(cwd, 'samples', name))
    const terminal = new Terminal(['replay', 'samples/invoice.history.json', '-w', 'samples/invoice.ts'], {
      cwd,
      env: { NO_COLOR: '1', COLUMNS: '100' },
    })
    expect(screens).toHaveLength(5)
    const [opening, ...others] = screens
    expect(`$ npx stet replay samples/invoice.history.json -w samples/invoice.ts\n${await terminal.shown()}`).toBe(
      opening,
    )
    for (const screen of others) {
      const [, command] = /^\d\/7 stet> (.*)$/m.exec(screen)!
      if (command === 'r') mend(join(cwd, 'samples/invoice.ts'))
      const [, expected] = /^.*?\n(.*)\n\d\/7 stet> ?q?$/s.exec(screen)!
      const [, got] = /^.*?\n(.*)\n\d\/7 stet> $/s.exec(await terminal.type(`${command}\n`))!
      expect(got).toBe(expected)
    }
    // The code that is mended does not fit this history, which the page says.
    expect(await terminal.quit()).toBe(4)
  })
})

/** As the page says it: the credit is looked at behind the step. */
function mend(file: string): void {
  const code = readFileSync(file, 'utf8')
  const line = '      const left = credit\n'
  expect(code).toContain(line)
  writeFileSync(file, code.replace(line, '').replace('      const price', `${line}      const price`))
}
