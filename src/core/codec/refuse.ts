import { SerializationError } from '../errors.js'
import { maxPayloadBytes } from './limits.js'

const count = (n: number) => n.toLocaleString('en-US')

/** A path of 500 levels is kept whole in `error.path`, but a message must stay readable. */
function short(path: string): string {
  return path.length <= 200 ? path : `${path.slice(0, 90)} … ${path.slice(-90)}`
}

export function refusal(what: string, path: string, got: string, advice: string): SerializationError {
  return new SerializationError(
    `${what} cannot be stored: at ${short(path)}: expected plain data (JSON values, Date, Map, Set, BigInt, RegExp, URL, Error, bytes), got ${got}. ${advice}`,
    path,
  )
}

export function tooLarge(what: string, path: string, bytes: number, exact: boolean): SerializationError {
  return new SerializationError(
    `${what} cannot be stored: at ${short(path)}: expected at most ${count(maxPayloadBytes)} bytes (32 MiB) when encoded, got ${exact ? '' : 'at least '}${count(bytes)}. Keep the data in a table or an object store of your own and pass its key.`,
    path,
  )
}

export function tooDeep(what: string, path: string, limit: number): SerializationError {
  return new SerializationError(
    `${what} cannot be stored: at ${short(path)}: expected at most ${limit} levels of nesting, got more. Flatten it (a list of nodes that name each other by id), or pass a key to where it is kept.`,
    path,
  )
}

/** Stored text that cannot be read back: damaged, hostile, or written by a newer stet. */
export function unreadable(got: string, advice: string): SerializationError {
  return new SerializationError(
    `a stored payload cannot be read: expected JSON, or "~1" and the JSON of an encoded value, got ${got}. ${advice}`,
    '$',
  )
}
