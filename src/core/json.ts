/** JSON text that may hold anybody's keys. */

const escapedKey = /([{,]\s*)"((?:[^"\\]*\\.)+[^"\\]*)"(?=\s*:)/gs

/**
 * `JSON.parse`, also where that cannot be trusted: with V8 12.8 and later (Node 24, 26), once `{"a":[],"\\":0}` was read,
 * `{"a":1,"\"":2}` comes back with the key `\`. A key that is written with an escape is taken for one known at this place
 * whose text begins alike (nodejs/node#63785).
 * @throws SyntaxError as `JSON.parse` does
 */
export const parseJson: (text: string) => any = misreadsKeys() ? parseWithoutEscapedKeys : (text) => JSON.parse(text)

function misreadsKeys(): boolean {
  JSON.parse('{"stet asks":[],"\\\\":0}')
  return !Object.hasOwn(JSON.parse('{"stet asks":1,"\\"":2}'), '"')
}

/** Reads the text with names of ours where keys have escapes, and puts the keys in their places afterwards. */
export function parseWithoutEscapedKeys(text: string): any {
  if (!text.includes('\\')) return JSON.parse(text)
  let mark = 'key '
  while (text.includes(mark)) mark += '_'
  const keys: string[] = []
  const safe = text.replace(escapedKey, (_, before: string, key: string) => `${before}"${mark}${keys.push(key) - 1}"`)
  if (keys.length === 0) return JSON.parse(text)
  try {
    const names = new Map(keys.map((key, i) => [`${mark}${i}`, JSON.parse(`"${key}"`) as string]))
    return withNames(JSON.parse(safe), names)
  } catch {
    // What is wrong, and where, is said of the text as it was given.
    return JSON.parse(text)
  }
}

/** In place; a loop, since JSON nests deeper than calls do. */
function withNames(root: unknown, names: ReadonlyMap<string, string>): unknown {
  const left = [root]
  while (left.length > 0) {
    const value = left.pop()
    if (typeof value !== 'object' || value === null) continue
    if (!Array.isArray(value) && Object.keys(value).some((key) => names.has(key))) rename(value, names)
    for (const inner of Object.values(value)) left.push(inner)
  }
  return root
}

/** All of them anew, so that their order stays. To assign to `__proto__` would make no key. */
function rename(object: object, names: ReadonlyMap<string, string>): void {
  const entries = Object.entries(object)
  for (const [key] of entries) delete object[key as keyof typeof object]
  for (const [key, value] of entries) {
    Object.defineProperty(object, names.get(key) ?? key, {
      value,
      writable: true,
      enumerable: true,
      configurable: true,
    })
  }
}
