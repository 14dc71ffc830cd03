/** Where two values differ, by path. */
import { isDeepStrictEqual } from 'node:util'

export interface ValueDifference {
  /** `$.items[3].price`; `$` is the value itself. */
  readonly path: string
  readonly how: 'changed' | 'added' | 'removed'
  /** Undefined when it was added. */
  readonly a: unknown
  /** Undefined when it was removed. */
  readonly b: unknown
}

/** So many differences are named; whoever differs in more is another value. */
export const maxDifferences = 1_000

/** Deeper than this two values are compared as a whole: cycles end here too. */
const maxDepth = 100

/**
 * The places in which `b` differs from `a`, outermost first, at most `maxDifferences`. Lists are compared index by
 * index, Maps and objects key by key, errors by name, message, code and cause; anything else as a whole.
 * @example compareValues({ n: 1 }, { n: 2 }) // [{ path: '$.n', how: 'changed', a: 1, b: 2 }]
 */
export function compareValues(a: unknown, b: unknown): ValueDifference[] {
  const found: ValueDifference[] = []
  compare(a, b, '$', 0, found)
  return found
}

function compare(a: unknown, b: unknown, path: string, depth: number, found: ValueDifference[]): void {
  if (found.length >= maxDifferences || Object.is(a, b)) return
  const parts = depth < maxDepth ? partsOf(a, b) : null
  if (parts === null) {
    if (!isDeepStrictEqual(a, b)) found.push({ path, how: 'changed', a, b })
    return
  }
  const [one, other] = parts
  for (const key of new Set([...one.keys(), ...other.keys()])) {
    if (found.length >= maxDifferences) return
    const at =
      path +
      (typeof key === 'number' ? `[${key}]` : /^[A-Za-z_$][\w$]*$/.test(key) ? `.${key}` : `[${JSON.stringify(key)}]`)
    if (!other.has(key)) found.push({ path: at, how: 'removed', a: one.get(key), b: undefined })
    else if (!one.has(key)) found.push({ path: at, how: 'added', a: undefined, b: other.get(key) })
    else compare(one.get(key), other.get(key), at, depth + 1, found)
  }
}

type Parts = ReadonlyMap<string | number, unknown>

/** What both are made of; null: they are not of one kind, or have no parts. */
function partsOf(a: unknown, b: unknown): [Parts, Parts] | null {
  for (const open of [listParts, mapParts, errorParts, objectParts]) {
    const [one, other] = [open(a), open(b)]
    if (one !== null && other !== null) return [one, other]
    if (one !== null || other !== null) return null
  }
  return null
}

function listParts(value: unknown): Parts | null {
  return Array.isArray(value) ? new Map(value.entries()) : null
}

function mapParts(value: unknown): Parts | null {
  if (!(value instanceof Map)) return null
  const entries = [...value]
  return entries.every(([key]) => typeof key === 'string') ? new Map(entries) : null
}

function errorParts(value: unknown): Parts | null {
  if (!(value instanceof Error)) return null
  const { name, message, cause, code } = value as Error & { code?: unknown }
  const parts: [string, unknown][] = [
    ['name', name],
    ['message', message],
    ['code', code],
    ['cause', cause],
  ]
  return new Map(parts.filter(([, part]) => part !== undefined))
}

function objectParts(value: unknown): Parts | null {
  if (typeof value !== 'object' || value === null) return null
  const prototype = Object.getPrototypeOf(value)
  return prototype === Object.prototype || prototype === null ? new Map(Object.entries(value)) : null
}
