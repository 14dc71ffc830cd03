/** How many crash points a run has, computed from its history alone: what `crashEverywhere` came by must be as many. */
import { StetError } from '../core/errors.js'
import type { RecordedEvent } from '../core/events.js'
import { Execution } from '../core/execution.js'
import { attemptEnds } from '../worker/attempt-ends.js'
import type { ExecutedRun } from './executions.js'

/**
 * Three for each attempt that is on record (before it began, after its effect, after the record), and one for each step
 * that was settled while others of its run had been asked for and were not: the record of one of several is there, and
 * the run has gone on from it.
 */
export async function countCrashPoints(runs: readonly ExecutedRun[]): Promise<number> {
  let points = 0
  for (const run of runs) {
    points += 3 * run.events.filter(({ type }) => attemptEnds.has(type)).length
    points += await settledBesideOthers(run)
  }
  return points
}

/** Replays the history, and looks at what is pending each time a step is about to be settled. */
async function settledBesideOthers({ definition, row, events }: ExecutedRun): Promise<number> {
  let turnClosed = () => {}
  const { id, runId, version, queue } = row
  const identity = { id, runId, workflow: definition.name, version, queue }
  const execution = new Execution(definition, identity, { turnClosed: () => turnClosed() })
  execution.expect(events)
  let found = 0
  for (const event of events) {
    if (isSettled(event) && [...execution.pending].some(({ index, kind }) => kind === 'step' && index !== event.op)) {
      found++
    }
    const turn = new Promise<void>((resolve) => {
      turnClosed = resolve
    })
    if (execution.deliver(event)) await turn
    execution.takeCommands()
  }
  const { blockage } = execution
  execution.drop()
  if (blockage === null) return found
  throw new StetError('nondeterminism', `run ${runId} of workflow "${definition.name}": ${blockage.message}`)
}

function isSettled({ type }: RecordedEvent): boolean {
  return type === 'StepCompleted' || type === 'StepFailed'
}
