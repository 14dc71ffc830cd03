/** Every name of the agreed surface is there at run time. Its types are checked by `surface.test-d.ts`. */
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import * as stet from '../src/index.js'
import * as testing from '../src/testing/index.js'

const agreed = readFileSync(new URL('support/surface.ts', import.meta.url), 'utf8')
const names = (pattern: RegExp) => [...new Set([...agreed.matchAll(pattern)].map(([, name]) => name!))]

test('functions and classes are exported', () => {
  const expected = names(/^export declare (?:function|class) (\w+)/gm)
  expect(expected.length).toBeGreaterThan(20)
  for (const name of expected) expect([name, typeof (stet as any)[name]]).toEqual([name, 'function'])
})

test('stet/testing has its own', () => {
  const expected = names(/^ {2}function (\w+)/gm)
  expect(expected).toEqual(['testEnv', 'replayHistory', 'crashEverywhere'])
  for (const name of expected) expect([name, typeof (testing as any)[name]]).toEqual([name, 'function'])
})

test('errors carry their names, and are told apart across copies of the package', () => {
  const copies = names(/^export declare class (\w+(?:Error|Failure)) /gm)
  const details = {
    step: 's',
    attempts: 1,
    operation: 'o',
    id: 'i',
    runId: 'r',
    after: 1,
    seq: 1,
    expected: '',
    actual: '',
  }
  for (const name of copies) {
    const error = name === 'StetError' ? new stet.StetError('code', 'text') : new (stet as any)[name]('text', details)
    expect([error.name, error instanceof Error]).toEqual([name === 'StetError' ? 'StetError' : name, true])
    expect(error instanceof (stet as any)[name]).toBe(true)
    const others = copies.filter((other) => other !== name && other !== 'StetError')
    for (const other of others) expect([other, error instanceof (stet as any)[other]]).toEqual([other, false])
    if (error instanceof stet.StetError) expect(error.code).toMatch(/^[a-z_]+$/)
  }
})
