/** When a fork may keep the children of its origin: the same rules for every store. */
import { StetError } from '../core/errors.js'

const anew = "Let the fork start its children anew: children: 'rerun'."

/** @throws StetError `child_missing` */
export function childMissing(childRunId: string): never {
  throw new StetError('child_missing', `fork: child ${childRunId} is not in this store, so it cannot be kept. ${anew}`)
}

/**
 * An open child goes over to the fork only from an origin that is closed, and that it still belongs to.
 * @throws StetError `origin_open`, `child_taken`
 */
export function checkKept(
  child: { readonly runId: string; readonly parentRunId: string | null },
  origin: { readonly runId: string; readonly open: boolean },
): void {
  if (origin.open) {
    throw new StetError(
      'origin_open',
      `fork: child ${child.runId} is open and belongs to run ${origin.runId}, which is open too: it can be kept only from a run that is closed. Close that run first. ${anew}`,
    )
  }
  if (child.parentRunId !== origin.runId) {
    throw new StetError(
      'child_taken',
      `fork: child ${child.runId} belongs to run ${child.parentRunId} by now, so it cannot be kept. ${anew}`,
    )
  }
}
