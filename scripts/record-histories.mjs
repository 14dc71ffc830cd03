/**
 * Records what this release makes of the scenarios in test/histories, into test/histories/<version>. A release is
 * recorded once, when it is made: see test/histories/README.md.
 */
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { homedir, hostname, tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { register } from 'tsx/esm/api'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
// Lines of source are told from here.
process.chdir(root)
const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
const folder = join(root, 'test/histories', version)
if (existsSync(folder)) {
  console.error(`test/histories/${version} is there already. What a release has recorded is never recorded again.`)
  process.exit(1)
}

await import('./bootstrap.mjs')
register()
const { testEnv } = await import('stet/testing')
const { toHistoryFile } = await import('../src/core/history-file.ts')
const { scenarios } = await import('../test/histories/scenarios.ts')
console.log = () => {}

/** Stacks are recorded; where this checkout stands is nobody's business. */
function withoutPlaces(text) {
  const plain = text.replaceAll(`${pathToFileURL(root)}/`, '').replaceAll(`${root}/`, '')
  for (const place of [root, homedir(), tmpdir(), hostname()]) {
    if (place.length > 1 && plain.includes(place)) throw new Error(`a history names a place of this machine: ${place}`)
  }
  return plain
}

const next = `${folder}.next`
rmSync(next, { recursive: true, force: true })
mkdirSync(next)
let count = 0
for (const [name, { workflows, steps, make }] of Object.entries(scenarios)) {
  const env = await testEnv({ workflows, database: 'memory', ...(steps === undefined ? {} : { steps }) })
  try {
    await make(env)
    const { runs } = await env.stet.list({ limit: 100 })
    const { store } = await env.stet.internals()
    for (const [i, run] of runs.reverse().entries()) {
      // The description of this very run: by its id the latest is meant, if it has continued as new.
      const file = toHistoryFile(run, await store.history(run.runId))
      const title = [name.replaceAll(' ', '-'), i + 1, run.workflow.replaceAll(/\W+/g, '-')].join('.')
      writeFileSync(join(next, `${title}.json`), withoutPlaces(`${JSON.stringify(file, null, 1)}\n`))
      count++
    }
  } finally {
    await env[Symbol.asyncDispose]()
  }
}
renameSync(next, folder)
console.error(`recorded ${count} histories in test/histories/${version}`)
