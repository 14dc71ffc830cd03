/** JSON text that may hold anybody's keys. */

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
  const keys = escapedKeys(text)
  if (keys.length === 0) return JSON.parse(text)
  let mark = 'key '
  while (text.includes(mark)) mark += '_'
  const names = new Map<string, string>()
  let safe = ''
  let done = 0
  try {
    for (const [i, { open, close }] of keys.entries()) {
      names.set(`${mark}${i}`, JSON.parse(text.slice(open, close + 1)))
      safe += `${text.slice(done, open)}"${mark}${i}"`
      done = close + 1
    }
    return withNames(JSON.parse(safe + text.slice(done)), names)
  } catch {
    // What is wrong, and where, is said of the text as it was given.
    return JSON.parse(text)
  }
}

/** Where the quotes of the keys are that have a backslash. Texts are long: nothing but quotes and backslashes is looked at. */
function escapedKeys(text: string): { open: number; close: number }[] {
  const found: { open: number; close: number }[] = []
  let slash = text.indexOf('\\')
  let open = slash === -1 ? -1 : text.indexOf('"')
  while (open !== -1 && slash !== -1) {
    let close = text.indexOf('"', open + 1)
    const isEscaped = slash < close
    while (slash !== -1 && slash < close) {
      if (close === slash + 1) close = text.indexOf('"', slash + 2)
      slash = text.indexOf('\\', slash + 2)
    }
    if (close === -1) break
    colon.lastIndex = close + 1
    if (isEscaped && colon.test(text)) found.push({ open, close })
    open = text.indexOf('"', close + 1)
  }
  return found
}

const colon = /\s*:/y

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

/** All of them anew, so that their order stays. */
function rename(object: object, names: ReadonlyMap<string, string>): void {
  const entries = Object.entries(object)
  for (const [key] of entries) delete object[key as keyof typeof object]
  for (const [key, value] of entries) put(object, names.get(key) ?? key, value)
}

/** Sets an own property, `__proto__` included, without ever touching a prototype. */
export function put(object: object, key: string, value: unknown): void {
  if (key !== '__proto__') (object as Record<string, unknown>)[key] = value
  else Object.defineProperty(object, key, { value, writable: true, enumerable: true, configurable: true })
}
