import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { decode, encode } from '../../src/core/codec.js'
import { parseJson, parseWithoutEscapedKeys } from '../../src/core/json.js'

const keys = [
  '"',
  '\\',
  '\n',
  '\0',
  '\ud800',
  'a\\',
  'a\n',
  '\\u',
  'C:\\x',
  'a',
  'a.b',
  '',
  '7',
  '__proto__',
  'key 0',
  'key ',
]
const leaves = ['', '"', '\\', '{"\\n":1}', ',"', '{', ':', 'key 0', 0, -0.5, null, true]
const { value: anyJson } = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 4 },
    fc.constantFrom(...leaves),
    fc.array(tie('value'), { maxLength: 3 }),
    fc.dictionary(fc.constantFrom(...keys), tie('value'), { maxKeys: 5, noNullPrototype: true }),
  ),
}))

test('what was written is read: keys of all kinds, in their order', () => {
  const fits = fc.property(anyJson, fc.constantFrom(0, 1), (value, indent) => {
    const text = JSON.stringify(value, null, indent)
    expect(JSON.stringify(parseWithoutEscapedKeys(text), null, indent)).toBe(text)
    expect(JSON.stringify(parseJson(text), null, indent)).toBe(text)
  })
  fc.assert(fits, { numRuns: 3000 })
})

describe('as JSON.parse reads it', () => {
  test.each([
    ['a key twice: the first place, the last value', '{"\\n":1,"a":2,"\\n":3}', { '\n': 3, a: 2 }],
    ['a key twice, once with an escape', '{"a":1,"b":2,"\\u0061":3}', { a: 3, b: 2 }],
    ['an index among names', '{"b":1,"\\u0037":2}', { 7: 2, b: 1 }],
    ['blanks of each kind', '{ \t"\\n"\r\n : {"\\"":[ ]}}', { '\n': { '"': [] } }],
    ['all escapes', '{"\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\ud83d\\ude00":1}', { '"\\/\b\f\n\r\té😀': 1 }],
  ])('%s', (_, text, expected) => {
    const value = parseWithoutEscapedKeys(text)
    expect(value).toEqual(expected)
    expect(Object.keys(value)).toEqual(Object.keys(expected))
  })

  test('a prototype stays what it is', () => {
    const value = parseWithoutEscapedKeys('{"\\u005f_proto__":{"admin":true},"\\n":1}')
    expect(Object.getPrototypeOf(value)).toBe(Object.prototype)
    expect(Object.keys(value)).toEqual(['__proto__', '\n'])
  })

  test('nesting that calls could not follow', () => {
    const depth = 50_000
    let value = parseWithoutEscapedKeys(`${'{"\\n":'.repeat(depth)}1${'}'.repeat(depth)}`)
    for (let i = 0; i < depth; i++) value = value['\n']
    expect(value).toBe(1)
  })

  test('as many escapes as a payload can have, in its values and in its keys', () => {
    const many = ['a', '\\'.repeat(4_000_000)]
    expect(parseWithoutEscapedKeys(JSON.stringify(many))).toEqual(many)
    const long = `${'"'.repeat(2_000_000)}`
    expect(Object.keys(parseWithoutEscapedKeys(JSON.stringify({ a: '', [long]: 1 })))).toEqual(['a', long])
    const wide = Object.fromEntries(Array.from({ length: 50_000 }, (_, i) => [`${i}\n`, i]))
    expect(parseWithoutEscapedKeys(JSON.stringify(wide))).toEqual(wide)
  })

  test.each(['{"\\n":1,}', '{"\\x":1}', '{"\\n":"\\u00"}', '{"\\n" 1}', '{"\\n":1', '["\\n":1]', '\\'])(
    'wrong: %s',
    (text) => {
      const refusal = (parse: (text: string) => unknown) => {
        try {
          return parse(text)
        } catch (error) {
          return error
        }
      }
      const error = refusal(parseWithoutEscapedKeys)
      expect(error).toBeInstanceOf(SyntaxError)
      expect(error).toEqual(refusal(JSON.parse))
    },
  )
})

// Node 24 and 26 fail each of these with JSON.parse alone; Node 20 and 22 none.
test.each([
  ['\\', '"'],
  ['a\\', 'a\n'],
  ['\\u', '\u0001\u0002'],
])('a key that was read before, %j, is not taken for %j', (before, key) => {
  const place = `at ${before}`
  expect(decode(encode({ [place]: [], [before]: 0 }, 'it'))).toEqual({ [place]: [], [before]: 0 })
  for (const value of [
    { [place]: 1, [key]: 2 },
    { [place]: 1, [key]: 2n },
  ]) {
    expect(decode(encode(value, 'it'))).toEqual(value)
  }
})
