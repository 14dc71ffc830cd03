import { randomFillSync } from 'node:crypto'
import { customRandom } from 'nanoid'
import { InvalidInputError } from './errors.js'

// nanoid's own pool of random bytes must not be touched: it is shared with workflow code, where ids replay alike.
const fill = randomFillSync
const random = customRandom('0123456789abcdefghijklmnopqrstuvwxyz', 14, (size) => fill(new Uint8Array(size)))

/**
 * A new run id: `run_`, 9 characters of time, 14 random ones (72 bits). Ids made one after another stand near each
 * other in an index, which is what keeps inserts cheap in a large table.
 */
export function newRunId(): string {
  return `run_${Date.now().toString(36).padStart(9, '0')}${random()}`
}

/** A short random id for a worker, a batch or a message. */
export function newId(prefix: string): string {
  return `${prefix}_${random()}`
}

/** Longest name or id, in UTF-8. */
export const maxNameBytes = 255
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
const control = /[\u0000-\u001f\u007f]/

/**
 * Checks a name or an id: 1 to 255 bytes of well-formed text without control characters.
 * @throws InvalidInputError naming `what`
 */
export function checkName(name: unknown, what: string): asserts name is string {
  const problem =
    typeof name !== 'string'
      ? `got ${name === null ? 'null' : typeof name}`
      : name === ''
        ? 'got an empty string'
        : Buffer.byteLength(name) > maxNameBytes
          ? `got ${Buffer.byteLength(name)} bytes (“${name.slice(0, 20)}…”)`
          : control.test(name)
            ? `got ${JSON.stringify(name.slice(0, 60))}, which has a control character`
            : !name.isWellFormed()
              ? `got ${JSON.stringify(name.slice(0, 60))}, which has half of a surrogate pair`
              : null
  if (problem !== null) {
    throw new InvalidInputError(
      `${what}: expected text of 1 to ${maxNameBytes} bytes without control characters, ${problem}.`,
    )
  }
}
