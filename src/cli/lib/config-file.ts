/** `stet.config.ts` (or mts, js, mjs), found upward from the working directory. */
import { existsSync, readFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { checkConfig, type StetConfig } from '../../config.js'
import { LoadError } from './errors.js'
import { importFile } from './import-file.js'

export const configNames = ['stet.config.ts', 'stet.config.mts', 'stet.config.js', 'stet.config.mjs']

export interface FoundConfig {
  readonly config: StetConfig
  readonly folder: string
  /** Its path, for people. */
  readonly name: string
}

let found: Promise<FoundConfig | null> | undefined

/** The nearest config; null when there is none. Read once in a process. */
export function readConfig(): Promise<FoundConfig | null> {
  found ??= read()
  return found
}

/** The database that the config names. Not loaded, which takes half a second, when it plainly names none. */
export async function readConfigUrl(): Promise<{ url: string; from: string } | null> {
  const path = findConfig()
  if (path === null || !/\burl\b|\.\.\.|\bfrom\s*['"](?!stet['"])/.test(readFileSync(path, 'utf8'))) return null
  const { config, name } = (await readConfig())!
  return config.url === undefined ? null : { url: config.url, from: name }
}

function findConfig(): string | null {
  for (let folder = resolve('.'); ; folder = dirname(folder)) {
    const name = configNames.find((each) => existsSync(join(folder, each)))
    if (name !== undefined) return join(folder, name)
    if (folder === dirname(folder)) return null
  }
}

async function read(): Promise<FoundConfig | null> {
  const path = findConfig()
  if (path === null) return null
  const name = relative('.', path)
  const { default: value } = await importFile(path)
  if (value === undefined) {
    throw new LoadError(`${name}: expected \`export default defineConfig({ … })\`, found no default export.`)
  }
  return { config: checkConfig(value, name), folder: dirname(path), name }
}
