/** What a config says of retention, checked, rule by rule. */
import { durationMs } from './duration.js'
import { InvalidInputError } from './errors.js'
import { checkName } from './ids.js'
import type { Keep, RetentionConfig, RetentionPolicy } from './retention-types.js'
import { type ClosedStatus, closedStatuses } from './statuses.js'
import { checkFields } from './suggest.js'

/** `workflow` '': all that have no rule of their own. Infinity: for ever. */
export interface KeptFor {
  readonly workflow: string
  readonly status: ClosedStatus
  readonly keepMs: number
}

const statuses = closedStatuses as readonly ClosedStatus[]

/** @throws InvalidInputError with `what` before it */
export function keepMsOf(keep: Keep, what: string): number {
  return keep === 'forever' ? Number.POSITIVE_INFINITY : durationMs(keep, what)
}

/** @throws InvalidInputError naming the field, with `what` before it */
export function checkRetention(config: RetentionConfig, what: string): KeptFor[] {
  if (typeof config !== 'object' || config === null) {
    throw new InvalidInputError(`${what}: expected an object as { completed: '30d' }, got ${String(config)}.`)
  }
  const { perWorkflow = {}, ...all } = config
  if (typeof perWorkflow !== 'object' || perWorkflow === null) {
    throw new InvalidInputError(`${what}, perWorkflow: expected an object with the names of workflows as its fields.`)
  }
  return [
    ...rulesOf(all, '', what),
    ...Object.entries(perWorkflow).flatMap(([name, policy]) => {
      checkName(name, `${what}, perWorkflow: workflow`)
      return rulesOf(policy, name, `${what}, perWorkflow.${name}`)
    }),
  ]
}

function rulesOf(policy: RetentionPolicy, workflow: string, what: string): KeptFor[] {
  checkFields(policy, [...statuses], what)
  return Object.entries(policy).flatMap(([status, keep]) => {
    if (keep === undefined) return []
    return [{ workflow, status: status as ClosedStatus, keepMs: keepMsOf(keep, `${what}, ${status}`) }]
  })
}
