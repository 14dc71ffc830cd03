import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { Command } from 'commander'
import { readSettings } from '../settings.js'
import { configNames } from './lib/config-file.js'
import { examples, isJson, type OutputOptions, withOutput } from './lib/options.js'
import { out, outJson, paint, say } from './lib/term.js'

export function define(command: Command): void {
  withOutput(command).action(run)
  command.addHelpText('after', '\nNothing that is there is overwritten.')
  examples(command, 'npm init -y && npm install stet && npx stet init')
}

async function run(options: OutputOptions): Promise<void> {
  const { projectDir } = readSettings().embedded
  const ts = extensionFor(projectDir)
  const written: string[] = []
  const skipped: string[] = []
  const anyConfig = configNames.find((name) => existsSync(join(projectDir, name)))
  for (const [name, text] of Object.entries(filesWith(ts))) {
    const there = name.startsWith('stet.config.') ? anyConfig : existsSync(join(projectDir, name)) ? name : undefined
    if (there !== undefined) {
      skipped.push(there)
      continue
    }
    mkdirSync(dirname(join(projectDir, name)), { recursive: true })
    // 'wx': whatever came there meanwhile stays.
    writeFileSync(join(projectDir, name), text, { flag: 'wx' })
    written.push(name)
  }
  if (isJson(options)) {
    outJson({ folder: projectDir, written, skipped })
    return
  }
  for (const name of written) out(`${paint('green', 'wrote  ')} ${name}`)
  for (const name of skipped) out(`${paint('yellow', 'skipped')} ${name} (is there already)`)
  say(
    [
      '',
      'next:',
      `  npx stet dev                                      # database, worker, reload on edit`,
      `  npx stet start hello --input '"world"' --wait     # in another terminal`,
      '  npx stet list',
      '  npx stet show <id>; npx stet replay <id>',
      '  npm install -D vitest && npx vitest run           # the test of the workflow',
    ].join('\n'),
  )
}

/**
 * `.ts` where that is an ES module. Elsewhere `.mts`: it is one in every package, so what is written runs under Node,
 * under tsc with any module setting, and under a test runner alike.
 */
function extensionFor(projectDir: string): 'ts' | 'mts' {
  try {
    return JSON.parse(readFileSync(join(projectDir, 'package.json'), 'utf8')).type === 'module' ? 'ts' : 'mts'
  } catch {
    return 'mts'
  }
}

function filesWith(ts: 'ts' | 'mts'): Record<string, string> {
  const js = ts === 'ts' ? 'js' : 'mjs'
  return {
    [`workflows/hello.${ts}`]: `import { workflow } from 'stet'

/** Each step is recorded when it completes: after a crash it stands, and the workflow goes on from there. */
export const hello = workflow('hello', async (ctx, name: string) => {
  const greeting = await ctx.step('greet', () => \`Hello, \${name}!\`)
  await ctx.sleep('1s')
  return await ctx.step('shout', () => greeting.toUpperCase())
})
`,
    [`workflows/hello.test.${ts}`]: `import { testEnv } from 'stet/testing'
import { expect, test } from 'vitest'
import { hello } from './hello.${js}'

test('greets, a second later', async () => {
  await using env = await testEnv({ workflows: [hello] })
  const run = await env.stet.start(hello, 'world')
  await env.clock.runToIdle()
  expect(await run.result()).toBe('HELLO, WORLD!')
})
`,
    [`stet.config.${ts}`]: `import { defineConfig } from 'stet'

export default defineConfig({
  workflows: 'workflows/**',
})
`,
    '.vscode/launch.json': `${JSON.stringify(launch, null, 2)}\n`,
  }
}

const skipFiles = ['<node_internals>/**', '**/node_modules/**']
const launch = {
  version: '0.2.0',
  configurations: [
    {
      type: 'node',
      request: 'launch',
      name: 'stet replay',
      runtimeExecutable: 'npx',
      runtimeArgs: ['stet', 'replay', `\${input:runId}`, '--inspect'],
      skipFiles,
      console: 'integratedTerminal',
    },
    {
      type: 'node',
      request: 'launch',
      name: 'stet dev',
      runtimeExecutable: 'npx',
      runtimeArgs: ['stet', 'dev'],
      skipFiles,
      console: 'integratedTerminal',
    },
  ],
  inputs: [{ id: 'runId', type: 'promptString', description: 'A run, or a history file that `stet export` wrote' }],
}
