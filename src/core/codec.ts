/**
 * Payloads as text: inputs, results, messages, errors.
 *
 * 1. A JSON value is stored as its bare JSON text, so psql shows it and SQL can start a run with it.
 * 2. Anything else is stored as `~1` and the JSON of superjson's `{ json, meta }`. No JSON text begins with `~`, so the
 *    first character alone decides; another tag is another format, never guessed at.
 * 3. `decode(encode(value))` equals `value`, or `encode` throws: nothing is dropped in silence. Not part of a value:
 *    named properties of arrays, non-enumerable properties, and which JSON-only objects are the same object (they come
 *    back as copies; in tagged text, and so in every cycle, identity is kept).
 * 4. Text never has a NUL or a lone surrogate in it (JSON.stringify escapes both), so a `text` column takes it.
 * 5. Any text decodes to a value or to a `SerializationError`; no prototype changes and no class is made up.
 */

import { superjson } from './codec/forms.js'
import { bracketsDeeper, checkEnvelope, isDeeper } from './codec/hostile.js'
import { maxDepth, maxPayloadBytes, maxTaggedTextDepth } from './codec/limits.js'
import { isPlainJSON } from './codec/plain.js'
import { prepare } from './codec/prepare.js'
import { type RecordedError, recordError, reviveError } from './codec/recorded-error.js'
import { tooLarge, unreadable } from './codec/refuse.js'
import { serialize } from './codec/serialize.js'
import type { SerializationError } from './errors.js'
import { parseJson } from './json.js'

export { maxDepth, maxPayloadBytes } from './codec/limits.js'
export { type RecordedError, recordError, reviveError } from './codec/recorded-error.js'

const tag = '~1'
/** Begins a text that a payload codec of the user's has made: `store/coded.ts` takes it off again. */
export const codedTag = '~e'
/** Characters from which on text is looked at before it is parsed (codec/hostile.ts). */
const longText = 256 * 1024

/**
 * The text of a value for a Postgres `text` column; null stands for a top-level `undefined` (SQL NULL).
 *
 * Takes JSON values, undefined, BigInt, NaN, ±Infinity, -0, Date, Map, Set, RegExp, URL, Error, ArrayBuffer and its views
 * (a Buffer becomes a Uint8Array), nested in each other, shared and cyclic; at most 32 MiB of text and 500 levels.
 * `what` names the value in errors.
 * @throws SerializationError with the path of the first thing that cannot be stored
 * @example encode({ at: new Date(0) }, 'the input of workflow "order"')
 */
export function encode(value: unknown, what: string): string | null {
  if (value === undefined) return null
  if (isPlainJSON(value)) return limited(JSON.stringify(value), what)
  const envelope = serialize(prepare(value, what))
  // Without metadata it was JSON after all: a getter, a proxy, an object of another realm.
  return limited(envelope.meta ? tag + JSON.stringify(envelope) : JSON.stringify(envelope.json), what)
}

/**
 * The value of a text that `encode` made, or of any JSON text.
 * @throws SerializationError when the text is damaged or was written by a newer stet
 */
export function decode(text: string | null): unknown {
  if (text === null) return undefined
  if (!text.startsWith('~')) return parse(text, 0, maxDepth)
  if (text.startsWith(codedTag)) {
    throw unreadable(
      'a payload that was encoded by a codec',
      'Give this process the same codec: new Stet({ codec }), or `codec` in stet.config.ts.',
    )
  }
  if (!text.startsWith(tag)) {
    throw unreadable(
      `the tag ${JSON.stringify(text.slice(0, 2))}`,
      'It was written by a newer stet: upgrade this process, and the workers before the clients.',
    )
  }
  const envelope = parse(text, tag.length, maxTaggedTextDepth)
  try {
    checkEnvelope(envelope)
    return superjson.deserialize(envelope, { inPlace: true })
  } catch (error) {
    throw damaged(error)
  }
}

/** What SQL sees of a payload that no codec has encoded: dates, maps and the like in the form that they were given. */
export function storedJson(text: string): any {
  return text.startsWith(tag) ? parseJson(text.slice(tag.length)).json : parseJson(text)
}

/** The text of anything thrown. Never throws; long texts are cut, causes are kept 8 deep. */
export function encodeError(error: unknown): string {
  return JSON.stringify(recordError(error))
}

/**
 * The error of a text that `encodeError` made: stet's own failures and the builtin errors as their classes, any other
 * as an Error with the name, message, stack, code, further plain fields and cause it had.
 * @throws SerializationError when the text is not a recorded error
 */
export function decodeError(text: string): Error {
  const record = parse(text, 0, maxDepth)
  if (typeof record !== 'object' || record === null || Array.isArray(record)) {
    throw unreadable(`${excerpt(text)} where an error was recorded`, 'Look at who else writes to the database.')
  }
  return reviveError(record as RecordedError)
}

function limited(text: string, what: string): string {
  // A UTF-16 unit takes at most 3 bytes: small texts need no count.
  if (text.length * 3 > maxPayloadBytes) {
    const bytes = Buffer.byteLength(text)
    if (bytes > maxPayloadBytes) throw tooLarge(what, '$', bytes, true)
  }
  return text
}

function parse(text: string, start: number, limit: number): unknown {
  const json = start === 0 ? text : text.slice(start)
  if (json.length > longText && bracketsDeeper(json, limit)) throw tooDeepToRead(limit)
  let value: unknown
  try {
    value = parseJson(json)
  } catch (error) {
    throw damaged(error, text)
  }
  // Each level takes two brackets, so a short text needs no look.
  if (json.length > 2 * limit && json.length <= longText && isDeeper(value, limit)) throw tooDeepToRead(limit)
  return value
}

function tooDeepToRead(limit: number): SerializationError {
  return unreadable(`more than ${limit} levels of nesting`, 'Flatten it: no payload of stet nests that deep.')
}

function damaged(error: unknown, text?: string): SerializationError {
  const got = text === undefined ? 'a damaged value' : text === '' ? 'an empty text' : excerpt(text)
  return unreadable(`${got} (${recordError(error).message.slice(0, 200)})`, 'Look at who else writes to the database.')
}

function excerpt(text: string): string {
  return JSON.stringify(text.length <= 60 ? text : `${text.slice(0, 60)}…`)
}
