/**
 * A replay in a process of its own: two copies of one file cannot be loaded in one, and what the files of one version do
 * when they are loaded is nothing to the other.
 */
import type { Trace } from '../../debug/trace.js'
import { apart } from './apart.js'
import type { FoundHistory } from './history.js'

export interface TraceSpec {
  readonly history: FoundHistory
  /** As `-w` takes them; null: the default files. */
  readonly patterns: readonly string[] | null
}

export interface Traced {
  /** Relative to the working directory. */
  readonly file: string
  readonly version: number
  readonly trace: Trace
}

/** @throws what the loading of the files throws */
export async function traceApart(spec: TraceSpec): Promise<Traced> {
  // What files print when they are loaded is talk, not data.
  const child = apart('trace', 'stderr')
  try {
    return await child.ask(spec)
  } finally {
    await child.close()
  }
}
