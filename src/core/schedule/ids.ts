import { InvalidInputError } from '../errors.js'
import { checkName, maxNameBytes } from '../ids.js'

/** `@2026-01-31T08:00:00.000Z` */
const suffixBytes = 25

/** The id of the run that a slot of a schedule starts. */
export function fireId(schedule: string, slot: number): string {
  return `${schedule}@${new Date(slot).toISOString()}`
}

/** @throws InvalidInputError */
export function checkScheduleId(id: unknown, what: string): asserts id is string {
  checkName(id, what)
  // Ids of its runs are longer by the slot.
  const max = 200
  if (Buffer.byteLength(id) <= Math.min(max, maxNameBytes - suffixBytes)) return
  throw new InvalidInputError(`${what}: expected text of 1 to ${max} bytes, got ${Buffer.byteLength(id)} bytes.`)
}
