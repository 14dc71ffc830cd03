import { InvalidInputError } from './errors.js'
import { checkName } from './ids.js'
import type { Attributes } from './types.js'

/**
 * Checks search attributes: each is text, a number, a boolean, a Date, a list of texts or null.
 * @throws InvalidInputError naming the attribute
 */
export function checkAttributes(attributes: Attributes, what: string): Attributes {
  if (typeof attributes !== 'object' || attributes === null || Array.isArray(attributes)) {
    throw new InvalidInputError(`${what}: expected an object of attributes, got ${String(attributes)}.`)
  }
  for (const [key, value] of Object.entries(attributes)) {
    checkName(key, `${what}: attribute name`)
    const fits =
      value === null ||
      typeof value === 'boolean' ||
      (typeof value === 'number' && Number.isFinite(value)) ||
      (value instanceof Date && !Number.isNaN(value.getTime())) ||
      [value].flat().every((text) => typeof text === 'string' && text.isWellFormed() && !text.includes('\u0000'))
    if (!fits) {
      throw new InvalidInputError(
        `${what}: attribute "${key}": expected text, a number, a boolean, a Date, a list of texts or null, got ${String(value)}.`,
      )
    }
  }
  return attributes
}
