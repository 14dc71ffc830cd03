/** One look over all closed runs that are kept no longer: what workers and `stet.retention.sweep` do in the same way. */
import { originals } from '../core/determinism.js'
import type { KeptFor } from '../core/retention-rules.js'
import type { RetentionSweep } from '../core/retention-types.js'
import { type ClosedStatus, closedStatuses } from '../core/statuses.js'
import type { RetentionStore, StoredRetention } from './retention.js'

const statuses = closedStatuses as readonly ClosedStatus[]

const stands = ({ configMs, runtimeMs }: StoredRetention) => runtimeMs ?? configMs

/** What holds for each of these workflows: its own rule, else that for all; nothing is deleted where there is none. */
export function rangesOf(rules: readonly StoredRetention[], workflows: readonly string[]): KeptFor[] {
  const find = (workflow: string, status: ClosedStatus) => {
    const rule = rules.find((each) => each.workflow === workflow && each.status === status)
    return rule === undefined ? null : stands(rule)
  }
  return workflows.flatMap((workflow) =>
    statuses.flatMap((status) => {
      const keepMs = find(workflow, status) ?? find('', status)
      return keepMs === null || keepMs === Number.POSITIVE_INFINITY ? [] : [{ workflow, status, keepMs }]
    }),
  )
}

export interface Sweeping {
  /** After each part; false: no further. */
  readonly goOn: (now: RetentionSweep) => boolean | Promise<boolean>
  /** As long as a part took is left to others before the next. */
  readonly gently: boolean
}

export async function sweepRetention(store: RetentionStore, { goOn, gently }: Sweeping): Promise<RetentionSweep> {
  const sum = { deleted: 0, kept: 0 }
  const rules = await store.retention()
  const workflows = rules.length === 0 ? [] : await store.endedWorkflows()
  const rest = async (began: number) => {
    if (gently) await pause(originals.performanceNow() - began)
    return goOn({ ...sum })
  }
  for (const range of rangesOf(rules, workflows)) {
    let after: Parameters<typeof store.retainPart>[0]['after'] = null
    do {
      const began = originals.performanceNow()
      const part = await store.retainPart({ ...range, after })
      sum.deleted += part.deleted
      sum.kept += part.kept
      after = part.next
      if (part.deleted + part.kept > 0 && !(await rest(began))) return sum
    } while (after !== null)
  }
  for (;;) {
    const began = originals.performanceNow()
    if ((await store.deleteLeftovers()) === 0 || !(await rest(began))) break
  }
  await store.pruneBulks()
  return sum
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => {
    const timer = originals.setTimeout(resolve, ms) as unknown as NodeJS.Timeout
    timer.unref()
  })
}
