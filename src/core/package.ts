/**
 * Where this package is. It runs from `dist/`, where its modules are joined into few files, or unbuilt from `src/`: no
 * module can find another file by its own place, so all of them ask here.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const here = fileURLToPath(import.meta.url)
const [, root = '', runsFrom = ''] = /^(.*[\\/])(dist|src)[\\/]/s.exec(here) ?? []

/** Ends with a separator. */
export const packageRoot = root

export function packageVersion(): string {
  return JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).version
}

/**
 * The file of a module that is a process or a thread of its own, by its path below `src`. One is not given the loader
 * that runs TypeScript: unbuilt, the built file is used.
 * @example programFile('cli/programs/replay')
 */
export function programFile(module: string): string {
  return join(root, here.endsWith('.ts') ? 'dist' : runsFrom, `${module}.js`)
}
