/** The name of an application's schema in a database that it may share with others. */
import { InvalidInputError } from './errors.js'

export const defaultSchema = 'stet'

const maxLength = 40

/**
 * Says whether an application's schema may have this name; gives it back. A name is a plain identifier in lower case, so
 * that it is the same text in SQL, in a channel's name and on a command line.
 * @throws InvalidInputError that begins with `what`
 */
export function checkSchema(name: unknown, what: string): string {
  const refuse = (expected: string): never => {
    const got = typeof name === 'string' ? JSON.stringify(name.slice(0, 80)) : String(name)
    throw new InvalidInputError(`${what}: expected ${expected}, got ${got}. For example: billing`)
  }
  if (typeof name !== 'string' || !/^[a-z_][a-z0-9_]*$/.test(name) || name.length > maxLength) {
    return refuse(
      `the name of a schema: lower-case letters, digits and _, not beginning with a digit, at most ${maxLength} characters`,
    )
  }
  if (/^pg_/.test(name) || name === 'information_schema' || name === 'public') {
    return refuse("a schema of the application's own, not one that Postgres has")
  }
  // `a_store` holds the tables of application `a`; `a_alerts` is a channel of its.
  if (/_(store|alerts)$/.test(name))
    return refuse('a name without _store or _alerts at its end, which stet itself adds')
  return name
}
