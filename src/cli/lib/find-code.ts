/** The code that a run is replayed with. */
import type { RunIdentity } from '../../core/execution.js'
import type { ExportedRun } from '../../core/history-file.js'
import { LoadError } from './errors.js'
import { type FoundWorkflow, listNames, loadWorkflows } from './workflow-files.js'

export interface FoundCode extends FoundWorkflow {
  readonly identity: RunIdentity
}

/** @throws LoadError when no file defines the workflow in the run's version */
export async function findCode(run: ExportedRun, patterns: readonly string[] | undefined): Promise<FoundCode> {
  const { id, runId, workflow, version, queue } = run
  const { found } = await loadWorkflows(patterns)
  const named = found.filter(({ definition }) => definition.name === workflow)
  // 0: no worker has taken it up yet, and the one that does will take its highest.
  const code =
    version === 0
      ? named.sort((a, b) => b.definition.version - a.definition.version)[0]
      : named.find(({ definition }) => definition.version === version)
  if (code === undefined) {
    throw new LoadError(
      `no file defines workflow "${workflow}" version ${version}; they define ${listNames(found)}. Name the file with -w.`,
    )
  }
  return { ...code, identity: { id, runId, workflow, version: code.definition.version, queue } }
}
