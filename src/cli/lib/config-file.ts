/** `stet.config.ts` (or mts, js, mjs), found upward from the working directory. */
import { existsSync, readFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import type { StetConfig } from '../../config.js'
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

/** The database that the config names. */
export async function readConfigUrl(): Promise<{ url: string; from: string } | null> {
  const found = await readIfItNames('url')
  return found?.config.url === undefined ? null : { url: found.config.url, from: found.name }
}

/** The application's schema that the config names. */
export async function readConfigSchema(): Promise<string | undefined> {
  return (await readIfItNames('schema'))?.config.schema
}

/** The codec and the interceptors of the config. */
export async function readEdges(): Promise<Pick<StetConfig, 'codec' | 'interceptors'>> {
  const { codec, interceptors } = (await readIfItNames('codec|interceptors'))?.config ?? {}
  return { ...(codec === undefined ? {} : { codec }), ...(interceptors === undefined ? {} : { interceptors }) }
}

/** The config is not loaded, which takes half a second, when it plainly says nothing of the kind. */
async function readIfItNames(fields: string): Promise<FoundConfig | null> {
  const path = findConfig()
  if (path === null) return null
  const names = new RegExp(`\\b(?:${fields})\\b|\\.\\.\\.|\\bfrom\\s*['"](?!stet['"])`)
  return names.test(readFileSync(path, 'utf8')) ? readConfig() : null
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
  // Few have a config, and everything that it can hold would be loaded for it.
  const { checkConfig } = await import('../../config.js')
  return { config: checkConfig(value, name), folder: dirname(path), name }
}
