/** The replay that was asked for last in this project: `stet replay` alone repeats it. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { readSettings } from '../../../settings.js'

export interface LastReplay {
  readonly target: string
  readonly workflows?: readonly string[]
}

/** Null: there is none, or it cannot be read. */
export function readLast(): LastReplay | null {
  try {
    const { target, workflows } = JSON.parse(readFileSync(file(), 'utf8'))
    return typeof target === 'string' ? { target, ...(Array.isArray(workflows) ? { workflows } : {}) } : null
  } catch {
    return null
  }
}

/** A convenience: where it cannot be kept, nothing is lost. */
export function keepLast(last: LastReplay): void {
  try {
    mkdirSync(dirname(file()), { recursive: true })
    writeFileSync(file(), JSON.stringify(last))
  } catch {}
}

function file(): string {
  return join(readSettings().embedded.projectDir, 'node_modules/.cache/stet/last-replay.json')
}
