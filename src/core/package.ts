/**
 * Where this package is. It runs from `dist/`, where its modules are joined into few files, or unbuilt from `src/`: no
 * module can find another file by its own place, so all of them ask here.
 */
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join, sep } from 'node:path'
import { fileURLToPath } from 'node:url'
import { StetError } from './errors.js'

const here = fileURLToPath(import.meta.url)
const [, root = '', runsFrom = ''] = /^(.*[\\/])(dist|src)[\\/]/s.exec(here) ?? []
/** Somebody's bundler has put this into a file of theirs. */
export const isBundled = manifest(root)?.name !== 'stet'
const found = isBundled ? installed() : root

/** Ends with a separator; empty when there is no package, but code that was taken out of it. */
export const packageRoot = found ?? ''

export function packageVersion(): string {
  return manifest(packageRoot)?.version ?? 'unknown'
}

/**
 * The file of a module that is a process or a thread of its own, by its path below `src`. One is not given the loader
 * that runs TypeScript: unbuilt, the built file is used.
 * @throws StetError code `not_installed`: this was bundled, and the package is not there at run time
 * @example programFile('cli/programs/replay')
 */
export function programFile(module: string): string {
  if (found === null) {
    throw new StetError(
      'not_installed',
      `stet was bundled into ${here}, but it has threads and processes that are files of the package "stet", which is not installed there. Leave "stet" out of the bundle (as external), or install it beside.`,
    )
  }
  const folder = isBundled || here.endsWith('.ts') ? 'dist' : runsFrom
  return join(found, folder, `${module}.js`)
}

function manifest(folder: string): { name: string; version: string } | null {
  try {
    return JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'))
  } catch {
    return null
  }
}

function installed(): string | null {
  try {
    return dirname(createRequire(import.meta.url).resolve('stet/package.json')) + sep
  } catch {
    return null
  }
}
