/** `stet.config.ts` (or mts, js, mjs), found upward from the working directory. */
import { existsSync } from 'node:fs'
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

async function read(): Promise<FoundConfig | null> {
  for (let folder = resolve('.'); ; folder = dirname(folder)) {
    const name = configNames.find((each) => existsSync(join(folder, each)))
    if (name !== undefined) {
      const path = join(folder, name)
      const shown = relative('.', path)
      const module = await importFile(path)
      const value = module.default
      if (value === undefined) {
        throw new LoadError(`${shown}: expected \`export default defineConfig({ … })\`, found no default export.`)
      }
      return { config: checkConfig(value, shown), folder, name: shown }
    }
    if (folder === dirname(folder)) return null
  }
}
