/**
 * `pg`, without what it brings in by asking: to learn whether it runs at Cloudflare it makes a `Response`, which on
 * Node 20 loads all of fetch, 25 ms and 5 MB in each thread. Where there is a `navigator`, as in later Nodes, it asks that.
 */
import { createRequire } from 'node:module'
import type pg from 'pg'
import { parseJson } from '../core/json.js'
import { isBundled } from '../core/package.js'

export type Driver = Pick<typeof import('pg'), 'Client' | 'Pool' | 'types'>

let loaded: Promise<Driver> | undefined

/** The driver. Loaded when it is first needed. */
export function loadPg(): Promise<Driver> {
  // Whoever bundles has to find it in an import.
  loaded ??= isBundled ? import('pg') : Promise.resolve(behindNavigator(createRequire(import.meta.url)))
  return loaded
}

/** In one go, so that nobody else sees the navigator. */
function behindNavigator(require: NodeJS.Require): Driver {
  if ('navigator' in globalThis) return require('pg')
  Object.defineProperty(globalThis, 'navigator', { value: { userAgent: 'Node.js' }, configurable: true })
  try {
    return require('pg')
  } finally {
    delete (globalThis as { navigator?: unknown }).navigator
  }
}

/** How columns are read: as `pg` does, and JSON with the keys that it has. */
export function columnTypes({ types }: Driver): pg.CustomTypesConfig {
  const json: ReadonlySet<number> = new Set([types.builtins.JSON, types.builtins.JSONB])
  return {
    getTypeParser: (type: number, format?: any) =>
      json.has(type) && format !== 'binary' ? parseJson : types.getTypeParser(type, format),
  }
}
