/** Globs, folders, and which files count. */
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, relative } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { filesOf, globToRegExp } from '../../src/cli/lib/glob.js'
import { findFiles } from '../../src/cli/lib/workflow-files.js'

test.each([
  ['**', ['a.ts', 'x/a.ts', 'x/y/a.ts'], []],
  ['**/*.ts', ['a.ts', 'x/y/a.ts'], ['a.tsx', 'a.mts']],
  ['*.{ts,mts}', ['a.ts', 'a.mts'], ['x/a.ts', 'a.cts', 'a.ts,mts']],
  ['x/**/z/*.js', ['x/z/a.js', 'x/y/y/z/a.js'], ['x/a.js', 'z/a.js', 'xz/a.js']],
  ['[a-c]?.ts', ['a1.ts', 'cc.ts'], ['d1.ts', 'a.ts', 'a/.ts']],
  ['[!a].ts', ['b.ts'], ['a.ts']],
  ['(a)+$.ts', ['(a)+$.ts'], ['a.ts', 'aa.ts']],
])('%s', (glob, yes, no) => {
  const matcher = globToRegExp(glob)
  for (const path of yes) expect(path).toMatch(matcher)
  for (const path of no) expect(path).not.toMatch(matcher)
})

const root = mkdtempSync(join(tmpdir(), 'stet-glob-'))
afterAll(() => rmSync(root, { recursive: true, force: true }))
for (const file of [
  'a.ts',
  'a.test.ts',
  'types.d.ts',
  'notes.md',
  'order.dag.json',
  'data.json',
  'deep/er/b.mjs',
  'node_modules/p/c.ts',
  'dist/d.ts',
  '.hidden/e.ts',
]) {
  mkdirSync(dirname(join(root, file)), { recursive: true })
  writeFileSync(join(root, file), '')
}
symlinkSync(join(root, 'a.ts'), join(root, 'link.ts'))

const names = (files: readonly string[]) => files.map((file) => relative(root, file))

test('a file, a folder, a glob; installed, built and hidden files never count', () => {
  expect(names(filesOf('a.ts', root))).toEqual(['a.ts'])
  expect(names(filesOf('**/*.{ts,mjs}', root))).toEqual(['a.test.ts', 'a.ts', 'deep/er/b.mjs', 'link.ts', 'types.d.ts'])
  expect(names(filesOf('deep', root))).toEqual(['deep/er/b.mjs'])
  expect(names(filesOf(join(root, 'd*/**'), '/'))).toEqual(['deep/er/b.mjs'])
  expect(filesOf('missing.ts', root)).toEqual([])
})

test('workflow files: code and dags; tests only when nothing else was named', async () => {
  expect(names(await findFiles([root]))).toEqual(['a.ts', 'deep/er/b.mjs', 'link.ts', 'order.dag.json'])
  expect(names(await findFiles([join(root, 'a.test.ts')]))).toEqual(['a.test.ts'])
  await expect(findFiles([join(root, 'notes.md')])).rejects.toThrow('no workflow file matches')
})
