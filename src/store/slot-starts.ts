/** The start of a run for a slot, and what is on record of the slot then. */
import { newRunId } from '../core/ids.js'
import { fireId } from '../core/schedule/ids.js'
import type { PlannedFire } from '../core/schedule/plan.js'
import type { ExistingRun, StartRequest } from './port.js'
import type { StoredSchedule } from './schedules.js'

/** What a fire says whose run was there already: started by a backfill, or before its row was pruned. */
export const hadRun = 'it had a run already'

export function newStart(schedule: StoredSchedule, slot: number): StartRequest {
  const { workflow, version, queue, priority, timeoutMs, payload, attributes } = schedule
  return {
    ...{ workflow, version, queue, priority, timeoutMs, payload, attributes },
    runId: newRunId(),
    id: fireId(schedule.id, slot),
    startAt: null,
    delayMs: 0,
    facts: { schedule: schedule.id, scheduledFor: slot },
    // S2
    ifClosed: 'existing',
    debounce: null,
  }
}

/** The row of a fire, when it is known what stood under the id of its run. */
export function settled(
  fire: PlannedFire,
  request: StartRequest | undefined,
  existing: ExistingRun | null,
  workflow: string,
): PlannedFire & { readonly runId: string | null } {
  if (fire.status !== 'started') return { ...fire, runId: null }
  if (existing === null) return { ...fire, runId: request!.runId }
  if (existing.workflow === workflow) return { ...fire, runId: existing.runId, reason: hadRun }
  const reason = `its id is taken by run ${existing.runId} of workflow "${existing.workflow}"`
  return { ...fire, status: 'skipped', runId: null, reason }
}
