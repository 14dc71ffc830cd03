/** What is told of a run that cannot go on, with the line that holds it up. */
import type { Blockage, Execution } from '../core/execution.js'
import { findUnrecordedAwait, type Ground } from '../core/unrecorded.js'
import type { Store } from '../store/port.js'

/** What stands in the row of a blocked run. */
export type Problem = Omit<Blockage, 'where'> & { readonly where: string | undefined }

/** The line is for the message alone: without a database the run is blocked all the same. */
export async function problemOf(store: Store, execution: Execution, blockage: Blockage): Promise<Problem> {
  let place: string | undefined
  if (blockage.code === 'unrecorded_await') {
    try {
      const { events } = (await store.load([execution.identity.runId])).get(execution.identity.runId)!
      place = await lineIn(execution, events, 'stuck')
    } catch {}
  }
  return told(blockage, place ?? blockage.where)
}

/**
 * Looks into a parked run of which a continuation was resumed outside its turn, and blocks it if it awaits what is not
 * recorded. The problem, if it was blocked for it.
 */
export async function blockSuspect(store: Store, execution: Execution, claim: number): Promise<Problem | null> {
  const { runId } = execution.identity
  const events = (await store.load([runId])).get(runId)?.events ?? []
  // Further events: somebody has taken it up again, and will see for himself.
  if (events.length !== execution.lastSeq) return null
  const where = await lineIn(execution, events, 'suspected')
  if (where === undefined && execution.blockage === null) return null
  const problem = told(execution.blockage ?? suspicion, where ?? execution.blockage?.where)
  return (await store.blockParked(runId, claim, JSON.stringify(problem))) ? problem : null
}

const suspicion: Blockage = {
  code: 'unrecorded_await',
  message: 'the workflow awaits something that is not recorded. Wrap it in ctx.step(name, fn).',
}

function lineIn(
  { definition, identity }: Execution,
  events: Parameters<typeof findUnrecordedAwait>[2],
  ground: Ground,
): Promise<string | undefined> {
  return findUnrecordedAwait(definition, { ...identity }, events, ground)
}

function told(blockage: Blockage, where: string | undefined): Problem {
  const { message } = blockage
  const named = where === undefined || message.includes(where)
  return { ...blockage, message: named ? message : `${message} Awaited at ${where}.`, where }
}
