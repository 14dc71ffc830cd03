import { expect, test } from 'vitest'
import { valueText } from '../../src/debug/probe.js'

/** As the engine leaves promises of a run. */
function noted(promise: Promise<unknown>): Promise<unknown> {
  promise.catch(() => {})
  return Object.assign(promise, { [Symbol('stet.born')]: { members: [1] }, [Symbol('stet.waitsFor')]: promise })
}

test.each([
  ['of a value', noted(Promise.resolve(5)), /^5$/],
  ['of nothing', noted(Promise.resolve()), /^undefined$/],
  ['of a map', noted(Promise.resolve(new Map([[{ a: 1 }, new Error('no')]]))), /^Map\(1\) \{.* => Error: no.*\}$/s],
  ['rejected', noted(Promise.reject(new Error('declined'))), /^<rejected> Error: declined\n.*probe\.test\.ts/s],
  ['pending', noted(new Promise(() => {})), /^<pending>$/],
  [
    'in a list',
    [noted(Promise.resolve(1)), { a: noted(Promise.resolve(2)) }],
    /^\[ Promise \{ 1 \}, \{ a: Promise \{ 2 \} \} \]$/,
  ],
  ['that nobody noted anything at', Promise.resolve('x'), /^'x'$/],
])('a promise %s is shown without what the engine notes at it', (_, promise, expected) => {
  const notes = Reflect.ownKeys(promise)
  const text = valueText(promise)
  expect(text).toMatch(expected)
  expect(text).not.toContain('stet.')
  expect(Reflect.ownKeys(promise)).toEqual(notes)
})
