/** The process of one replay of `stet diff`. */
import { traceReplay } from '../../debug/trace.js'
import { answering } from '../lib/apart.js'
import { LoadError } from '../lib/errors.js'
import { findCode } from '../lib/find-code.js'
import type { Traced, TraceSpec } from '../lib/trace-process.js'
import { listNames, loadWorkflows } from '../lib/workflow-files.js'

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

answering(trace)
