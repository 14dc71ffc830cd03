import { types } from 'node:util'
import * as errors from '../errors.js'
import { isPlainJSON } from './plain.js'

/** A thrown value as JSON. `code` is a string, or a number where a library chose one. Further fields are the error's own. */
export interface RecordedError {
  name: string
  message: string
  stack?: string
  code?: string | number
  cause?: RecordedError
  [field: string]: unknown
}

const maxText = 64 * 1024 // characters of one message or stack
const maxFields = 64 * 1024 // characters of JSON of the further fields of one error
const maxFieldDepth = 50
const maxChain = 8 // levels of cause and of AggregateError.errors, and members of the latter
/** What one record holds altogether: a tree of causes must not multiply the limits above. */
const maxTotalText = 512 * 1024
const maxTotalErrors = 64

/** Says what a record was made from, where the name does not: a class of stet, 'AggregateError', or 'thrown'. */
const origin = '$is'

const stetClasses = new Map<string, typeof Error>(
  Object.entries(errors)
    .filter(([, value]) => typeof value === 'function' && value.prototype instanceof Error)
    .map(([name, value]) => [name, value as unknown as typeof Error]),
)
const builtins = new Map(
  [TypeError, RangeError, SyntaxError, ReferenceError, EvalError, URIError].map((builtin) => [builtin.name, builtin]),
)

interface Budget {
  text: number
  errors: number
  seen: Set<unknown>
}

// ── recording ────────────────────────────────────────────────────────────────────────────────────
/** The record of anything thrown. Never throws. */
export function recordError(thrown: unknown): RecordedError {
  const budget: Budget = { text: maxTotalText, errors: maxTotalErrors, seen: new Set() }
  return record(thrown, 1, budget) ?? unreadableError
}

const unreadableError: RecordedError = { name: 'Error', message: 'something was thrown that cannot be read' }

function record(thrown: unknown, depth: number, budget: Budget): RecordedError | undefined {
  if (depth > maxChain || budget.errors-- <= 0) return undefined
  try {
    if (!isError(thrown)) return recordOther(thrown, budget)
    if (budget.seen.has(thrown)) return undefined // its own cause
    budget.seen.add(thrown)
    return recordOf(thrown, depth, budget)
  } catch {
    return { ...unreadableError } // a proxy whose traps throw
  }
}

function recordOf(error: Error, depth: number, budget: Budget): RecordedError {
  const whole = textOf(read(error, 'message'))
  const message = cut(whole, budget)
  const result: RecordedError = { name: nameOf(error), message }
  const stack = read(error, 'stack')
  if (typeof stack === 'string') result.stack = cut(withMessage(stack, whole, message), budget)
  const code = read(error, 'code')
  if (typeof code === 'string') result.code = cut(code, budget)
  else if (typeof code === 'number' && Number.isFinite(code)) result.code = code
  const is = originOf(error)
  if (is !== undefined) result[origin] = is
  addFields(result, error)
  const cause = read(error, 'cause')
  const recordedCause = cause === undefined ? undefined : record(cause, depth + 1, budget)
  if (recordedCause) result.cause = recordedCause
  if (error instanceof AggregateError) {
    const members = read(error, 'errors')
    const list: unknown[] = Array.isArray(members) ? members.slice(0, maxChain) : []
    result.errors = list.map((member) => record(member, depth + 1, budget)).filter((member) => member !== undefined)
  }
  return result
}

function recordOther(thrown: unknown, budget: Budget): RecordedError {
  const result: RecordedError = { name: 'Error', message: cut(describe(thrown), budget) }
  if (isPlainJSON(thrown, maxFields, maxFieldDepth)) {
    result[origin] = 'thrown'
    result.thrown = thrown
  }
  return result
}

function isError(value: unknown): value is Error {
  return types.isNativeError(value) || value instanceof Error
}

/** A user's class that sets no `name` inherits that of a builtin, which says less than the name of the class does. */
function nameOf(error: Error): string {
  const name = read(error, 'name')
  const given = typeof name === 'string' && name !== '' ? name.slice(0, 1000) : 'Error'
  const inherited = given === 'Error' || given === 'AggregateError' || builtins.has(given) || stetClasses.has(given)
  if (!inherited || Object.hasOwn(error, 'name')) return given
  const made = read(Object.getPrototypeOf(error), 'constructor')
  return typeof made === 'function' && typeof made.name === 'string' && made.name !== '' ? made.name : given
}

function originOf(error: Error): string | undefined {
  let found: string | undefined
  for (const [name, stetClass] of stetClasses) {
    // StetError is the parent of most: the more exact class wins.
    if (error instanceof stetClass && (found === undefined || found === 'StetError')) found = name
  }
  return found ?? (error instanceof AggregateError ? 'AggregateError' : undefined)
}

/** Not further fields of an error: kept in their own way, or not at all. `errors` too, of an AggregateError. */
const reserved = new Set(['name', 'message', 'stack', 'cause', origin, '__proto__'])

function addFields(result: RecordedError, error: Error): void {
  let room = maxFields
  for (const key of Object.keys(error)) {
    if (reserved.has(key) || key === 'code' || (key === 'errors' && error instanceof AggregateError)) continue
    const value = read(error, key)
    if (!isPlainJSON(value, room, maxFieldDepth)) continue
    room -= key.length + JSON.stringify(value).length
    if (room < 0) return
    result[key] = value
  }
}

function read(object: object, key: string): unknown {
  try {
    return (object as Record<string, unknown>)[key]
  } catch {
    return key === 'message' ? '(its message cannot be read: reading it throws)' : undefined
  }
}

function textOf(value: unknown): string {
  if (typeof value === 'string') return value
  if (value === undefined) return ''
  try {
    return String(value)
  } catch {
    return '(a message that is not text)'
  }
}

/** A stack begins with the message, so a giant message would push the frames, its worth, out of sight. */
function withMessage(stack: string, whole: string, message: string): string {
  if (whole === message) return stack
  const start = stack.indexOf(whole)
  return start < 0 ? stack : stack.slice(0, start) + message + stack.slice(start + whole.length)
}

function cut(text: string, budget: Budget): string {
  const max = Math.min(maxText, Math.max(budget.text, 500))
  const kept =
    text.length <= max ? text : `${text.slice(0, max)}… (cut: ${text.length.toLocaleString('en-US')} characters in all)`
  budget.text -= kept.length
  return kept
}

function describe(thrown: unknown): string {
  switch (typeof thrown) {
    case 'undefined':
      return 'undefined was thrown'
    case 'string':
      // Quoting 10 MB to throw most of it away would be waste.
      return `a string was thrown: ${JSON.stringify(thrown.slice(0, maxText))}`
    case 'function':
      return `a function was thrown: ${textOf(read(thrown, 'name'))}`
    case 'object':
      return thrown === null ? 'null was thrown' : describeObject(thrown)
    case 'bigint':
      return `a bigint was thrown: ${thrown.toString(16).length > 1000 ? '(a very long one)' : `${thrown}n`}`
    default:
      return `a ${typeof thrown} was thrown: ${String(thrown)}`
  }
}

function describeObject(thrown: object): string {
  if (types.isPromise(thrown)) return 'a Promise was thrown: did you forget `await`?'
  const made = read(Object.getPrototypeOf(thrown) ?? {}, 'constructor')
  const kind = typeof made === 'function' && made !== Object && made.name ? `an instance of ${made.name}` : 'an object'
  if (isPlainJSON(thrown, maxFields, maxFieldDepth)) return `${kind} was thrown: ${JSON.stringify(thrown)}`
  const message = read(thrown, 'message')
  return typeof message === 'string' && message !== '' ? `${kind} was thrown: ${message}` : `${kind} was thrown`
}

// ── reviving ─────────────────────────────────────────────────────────────────────────────────────
/** The error of a record: see `decodeError`. The record may come from anywhere; its depth is bounded by the caller. */
export function reviveError(recorded: RecordedError): Error {
  const name = typeof recorded.name === 'string' && recorded.name !== '' ? recorded.name : 'Error'
  const message = textOf(recorded.message)
  const error = withoutStack(() => make(recorded, name, message))
  if (error.name !== name) hidden(error, 'name', name)
  hidden(error, 'stack', typeof recorded.stack === 'string' ? recorded.stack : `${name}: ${message}`)
  const isAggregate = recorded[origin] === 'AggregateError'
  for (const [key, value] of Object.entries(recorded)) {
    if (reserved.has(key) || (key === 'errors' && isAggregate)) continue
    Object.defineProperty(error, key, { value, writable: true, enumerable: true, configurable: true })
  }
  return error
}

function make(recorded: RecordedError, name: string, message: string): Error {
  const options = isRecord(recorded.cause) ? { cause: reviveThrown(recorded.cause) } : undefined
  const is = recorded[origin]
  if (is === 'AggregateError') {
    const members = Array.isArray(recorded.errors) ? recorded.errors.filter(isRecord).map(reviveThrown) : []
    return new AggregateError(members, message, options)
  }
  const stetClass = typeof is === 'string' ? stetClasses.get(is) : undefined
  // Their constructors take other arguments; an Error with the class's prototype is what they make of them, and the
  // fields follow from the record.
  if (stetClass) return Reflect.construct(Error, [message, options], stetClass)
  const Builtin = builtins.get(name) ?? Error
  return new Builtin(message, options)
}

/** The stack of this call would be wrong, and tracing it (through source maps, perhaps) takes 100 µs. */
function withoutStack<T>(create: () => T): T {
  const limit = Error.stackTraceLimit
  Error.stackTraceLimit = 0
  try {
    return create()
  } finally {
    Error.stackTraceLimit = limit
  }
}

/** A cause need not be an Error: a plain value that was thrown comes back as itself. */
function reviveThrown(recorded: RecordedError): unknown {
  return recorded[origin] === 'thrown' && Object.hasOwn(recorded, 'thrown') ? recorded.thrown : reviveError(recorded)
}

function isRecord(value: unknown): value is RecordedError {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function hidden(error: Error, key: string, value: string): void {
  Object.defineProperty(error, key, { value, writable: true, enumerable: false, configurable: true })
}
