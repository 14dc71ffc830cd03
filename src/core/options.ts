/** Checks of options that several calls take alike. `what` names the call and the option in the error. */
import { InvalidInputError } from './errors.js'

/** Versions are numbers of 32 bits in the database. */
const maxVersion = 2 ** 31 - 1

/** @throws InvalidInputError */
export function checkVersion(version: unknown, what: string): asserts version is number {
  if (Number.isInteger(version) && (version as number) >= 1 && (version as number) <= maxVersion) return
  throw new InvalidInputError(`${what}: expected a whole number from 1, got ${String(version)}.`)
}

/** @throws InvalidInputError */
export function checkPriority(priority: unknown, what: string): asserts priority is number {
  if (Number.isInteger(priority) && Math.abs(priority as number) <= 32_000) return
  throw new InvalidInputError(`${what}: expected a whole number from -32000 to 32000, got ${String(priority)}.`)
}

/** The value, or the first that is allowed when none is given. @throws InvalidInputError */
export function oneOf<T extends string>(value: T | undefined, allowed: readonly [T, ...T[]], what: string): T {
  if (value === undefined) return allowed[0]
  if (allowed.includes(value)) return value
  throw new InvalidInputError(
    `${what}: expected one of ${allowed.map((each) => `'${each}'`).join(', ')}, got ${String(value)}.`,
  )
}

/** The name of something that is given by itself or by its name: a workflow, a signal, a query, an update. */
export function nameOf(named: { readonly name: string } | string): string {
  return typeof named === 'string' ? named : named?.name
}
