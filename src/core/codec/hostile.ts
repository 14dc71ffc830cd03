/**
 * What stands between stored text and superjson. Everyone who can write to the database can write payloads, so:
 *
 * 1. JSON that nests deeper than our walks go is refused before any of them.
 * 2. Of superjson's annotations only those that `encode` writes are let through, each at a place that exists and over
 *    JSON of the kind it belongs to. Classes, symbols, its own typed arrays (a number there allocates as many bytes)
 *    and referential equalities never come from us, so they never get there.
 * 3. No path goes through `__proto__`, `constructor` or `prototype`.
 */

/**
 * Whether parsed JSON nests deeper than `limit`. JSON.parse itself has no limit, and takes a second for a million levels:
 * `bracketsDeeper` is for texts that are long enough for that to matter. It takes seven times as long as this.
 */
export function isDeeper(json: unknown, limit: number): boolean {
  if (typeof json !== 'object' || json === null) return false
  if (limit === 0) return true
  if (Array.isArray(json)) {
    for (let i = 0; i < json.length; i++) if (isDeeper(json[i], limit - 1)) return true
  } else {
    for (const key in json) if (isDeeper((json as Record<string, unknown>)[key], limit - 1)) return true
  }
  return false
}

const quote = 34
const backslash = 92
const openBracket = 91
const closeBracket = 93
const openBrace = 123
const closeBrace = 125

/** Whether the brackets of a text, which need not be JSON, nest deeper than `limit`. */
export function bracketsDeeper(text: string, limit: number): boolean {
  let depth = 0
  for (let i = 0; i < text.length; i++) {
    let c = text.charCodeAt(i)
    if (c === quote) {
      while (++i < text.length) {
        c = text.charCodeAt(i)
        if (c === backslash) i++
        else if (c === quote) break
      }
    } else if (c === openBracket || c === openBrace) {
      if (++depth > limit) return true
    } else if (c === closeBracket || c === closeBrace) depth--
  }
  return false
}
const isString = (json: unknown) => typeof json === 'string'
const kinds = new Map<string, (json: unknown) => boolean>([
  ['undefined', (json) => json === null],
  ['number', (json) => json === 'NaN' || json === 'Infinity' || json === '-Infinity' || json === '-0'],
  ['bigint', (json) => typeof json === 'string' && /^-?\d+$/.test(json)],
  ['Date', (json) => typeof json === 'string' && !Number.isNaN(Date.parse(json))],
  ['regexp', isString],
  ['URL', isString],
  ['set', Array.isArray],
  ['map', Array.isArray],
])
const customKinds = new Map<string, (json: unknown) => boolean>([
  ['ref', Number.isInteger],
  ['object', Array.isArray],
  ['sparse', Array.isArray],
  ['bytes', isString],
  ['error', isObject],
])
const forbidden = new Set(['__proto__', 'constructor', 'prototype'])

/** @throws TypeError saying which of invariants 2 and 3 the envelope breaks */
export function checkEnvelope(envelope: unknown): asserts envelope is { json: any; meta?: any } {
  if (!isObject(envelope) || !Object.hasOwn(envelope, 'json')) throw new TypeError('the envelope holds no "json"')
  const { json, meta } = envelope as { json: unknown; meta?: unknown }
  for (const key of Object.keys(envelope)) if (key !== 'json' && key !== 'meta') unknownPart(key)
  if (meta === undefined) return
  if (!isObject(meta) || meta.v !== 1) throw new TypeError('its metadata has an unknown version')
  for (const key of Object.keys(meta)) if (key !== 'v' && key !== 'values') unknownPart(`meta.${key}`)
  const { values } = meta
  if (!Array.isArray(values) || !isCustom(values[0]) || values[0][1] !== 'graph') {
    checkNode(values, json, false)
    return
  }
  if (!Array.isArray(json) || values.length > 2) throw new TypeError('its table of shared objects is no list')
  if (values.length === 2) checkChildren(values[1], json, true)
}

function checkNode(node: unknown, json: unknown, inGraph: boolean): void {
  if (!Array.isArray(node)) {
    checkChildren(node, json, inGraph)
    return
  }
  if (node.length < 1 || node.length > 2) throw new TypeError('an annotation is malformed')
  checkKind(node[0], json, inGraph)
  if (node.length === 2) checkChildren(node[1], json, inGraph)
}

function checkChildren(children: unknown, json: unknown, inGraph: boolean): void {
  if (!isObject(children)) throw new TypeError('an annotation is malformed')
  for (const path of Object.keys(children)) checkNode(children[path], follow(json, path), inGraph)
}

function checkKind(kind: unknown, json: unknown, inGraph: boolean): void {
  const fits = typeof kind === 'string' ? kinds.get(kind) : isCustom(kind) ? customKinds.get(kind[1]) : undefined
  const name = JSON.stringify(kind)?.slice(0, 60)
  if (!fits) throw new TypeError(`it has a value of an unknown type ${name}`)
  if (!fits(json)) throw new TypeError(`a value of type ${name} has the wrong form`)
  if (isCustom(kind) && kind[1] === 'ref' && !inGraph) throw new TypeError('a reference stands outside a table')
}

function follow(json: unknown, path: string): unknown {
  let at = json
  for (const key of segments(path)) {
    const exists = Array.isArray(at)
      ? /^\d+$/.test(key) && Object.hasOwn(at, key)
      : isObject(at) && Object.hasOwn(at, key)
    if (!exists || forbidden.has(key))
      throw new TypeError(`an annotation points to "${key.slice(0, 60)}", where no value may be`)
    at = (at as Record<string, unknown>)[key]
  }
  return at
}

/** superjson's paths: segments joined by dots; a dot or a backslash inside a segment is escaped by a backslash. */
function segments(path: string): string[] {
  const result: string[] = []
  let segment = ''
  for (let i = 0; i < path.length; i++) {
    const char = path[i]!
    if (char === '.') {
      result.push(segment)
      segment = ''
    } else segment += char === '\\' ? (path[++i] ?? '') : char
  }
  result.push(segment)
  return result
}

function isCustom(kind: unknown): kind is ['custom', string] {
  return Array.isArray(kind) && kind.length === 2 && kind[0] === 'custom'
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function unknownPart(name: string): never {
  throw new TypeError(`it has an unknown part "${name.slice(0, 60)}"`)
}
