/**
 * Where this package is. It runs from `dist/`, where its modules are joined into few files, unbuilt from `src/`, or out
 * of a bundle that somebody has made: no module can find another file by its own place, so all of them ask here.
 */
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join, sep } from 'node:path'
import { fileURLToPath } from 'node:url'
import { StetError } from './errors.js'

/** Put in by `scripts/bundle.mjs`: wherever the code goes, it knows its version. */
declare const joinedVersion: string | undefined

// A bundler that makes CommonJS may leave `import.meta` empty.
const here = import.meta.url ? fileURLToPath(import.meta.url) : __filename
const [, home = null, runsFrom = ''] = /^(.*[\\/])(dist|src)[\\/]/s.exec(here) ?? []
const own = manifest(home)
/** Somebody's bundler has put this into a file of theirs. */
export const isBundled = own?.name !== 'stet'
const found = isBundled ? installed() : home
const foundVersion = (isBundled ? manifest(found) : own)?.version

export const packageVersion = typeof joinedVersion === 'string' ? joinedVersion : (foundVersion ?? 'unknown')

/** Ends with a separator. Null: this is in a bundle, and this version of the package is not installed beside it. */
export const packageRoot = isBundled && foundVersion !== packageVersion ? null : found

/** @throws StetError code `not_installed`: this was bundled, and the package is not there at run time, or is another version */
export function requirePackageRoot(): string {
  if (packageRoot !== null) return packageRoot
  const instead =
    foundVersion === undefined ? 'the package is not installed there' : `stet ${foundVersion} is installed there`
  throw new StetError(
    'not_installed',
    `this needs files of the package: stet ${packageVersion} was bundled, and ${instead}. Leave "stet" out of the bundle (as external), or install stet ${packageVersion} beside it.`,
  )
}

/**
 * Whatever runs workflows asks: the code of workflows is told from stet's own by the files that they are in, to know the
 * line that asked for an operation and whose timer is one.
 * @throws StetError code `bundled`
 */
export function refuseBundled(): void {
  if (!isBundled) return
  throw new StetError(
    'bundled',
    `no workflow can run here: stet was bundled into ${here}, and tells your code from its own by their files. Leave "stet" out of the bundle (as external), and install it beside.`,
  )
}

/**
 * The file of a module that is a process or a thread of its own, by its path below `src`. One is not given the loader
 * that runs TypeScript: unbuilt, the built file is used.
 * @throws StetError code `bundled`
 * @example programFile('cli/programs/replay')
 */
export function programFile(module: string): string {
  refuseBundled()
  return join(home!, here.endsWith('.ts') ? 'dist' : runsFrom, `${module}.js`)
}

function manifest(folder: string | null): { readonly name: string; readonly version: string } | null {
  if (folder === null) return null
  try {
    return JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'))
  } catch {
    return null
  }
}

function installed(): string | null {
  try {
    return dirname(createRequire(here).resolve('stet/package.json')) + sep
  } catch {
    return null
  }
}
