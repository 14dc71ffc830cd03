/**
 * A replay in a process of its own: two copies of one file cannot be loaded in one, and what the files of one version do
 * when they are loaded is nothing to the other.
 */
import { type Trace, traceReplay } from '../../debug/trace.js'
import { answering, apart } from './apart.js'
import { LoadError } from './errors.js'
import { findCode } from './find-code.js'
import type { FoundHistory } from './history.js'
import { listNames, loadWorkflows } from './workflow-files.js'

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
  const child = apart(import.meta.url, 'stderr')
  try {
    return await child.ask(spec)
  } finally {
    await child.close()
  }
}

/** The run's own version where the files have it, else their highest: the change may be a new version. */
async function trace({ history: { run, events }, patterns }: TraceSpec): Promise<Traced> {
  const { found } = await loadWorkflows(patterns ?? undefined)
  const versions = found.flatMap(({ definition: { name, version } }) => (name === run.workflow ? [version] : []))
  if (versions.length === 0) {
    throw new LoadError(
      `no file defines workflow "${run.workflow}"; they define ${listNames(found)}. Name the file with ${patterns === null ? '-w' : '-w or --against'}.`,
    )
  }
  const version = versions.includes(run.version) ? run.version : Math.max(...versions)
  const { definition, identity, file } = await findCode({ ...run, version }, patterns ?? undefined)
  return { file, version, trace: await traceReplay(definition, identity, events) }
}

answering(import.meta.url, trace)
