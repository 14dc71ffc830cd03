/**
 * The rules of the house (DESIGN §7), as a test.
 *
 * R1. A folder imports only from folders to its left: core ← store, hints ← worker, client, observe ← debug, testing,
 *     server ← cli. Never sideways. Types count.
 * R2. No cycle of files. Types do not count: they are gone when the program runs.
 * R3. process.env in src/settings.ts alone, SQL in src/store alone, console in src/cli alone.
 * R4. No file has more than 700 lines.
 *
 * Each rule is held against sources that break it, so that none can pass by being blind.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, posix, relative, sep } from 'node:path'
import { fileURLToPath } from 'node:url'
import ts from 'typescript'
import { describe, expect, test } from 'vitest'

/** Files by their path below src. */
type Sources = ReadonlyMap<string, string>

const root = join(dirname(fileURLToPath(import.meta.url)), '../src')
const sources: Sources = new Map(
  readdirSync(root, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && /\.tsx?$/.test(entry.name))
    .map((entry) => join(entry.parentPath, entry.name))
    .map((path) => [relative(root, path).split(sep).join('/'), readFileSync(path, 'utf8')]),
)

// ── what a file imports ──────────────────────────────────────────────────────────────────────────
interface Import {
  readonly file: string
  /** Below src; null: a package. */
  readonly target: string | null
  readonly specifier: string
  readonly typeOnly: boolean
}

const parsed = new Map<string, ts.SourceFile>()

/** Each text once, for all rules: parsing is most of the work. */
function parse(file: string, text: string): ts.SourceFile {
  const key = `${file}\n${text}`
  const known = parsed.get(key)
  if (known !== undefined) return known
  const source = ts.createSourceFile(file, text, ts.ScriptTarget.Latest, true)
  parsed.set(key, source)
  return source
}

function importsOf(file: string, text: string): Import[] {
  const found: Import[] = []
  const add = (specifier: ts.Node | undefined, typeOnly: boolean) => {
    if (specifier === undefined || !ts.isStringLiteralLike(specifier)) return
    const name = specifier.text
    const target = name.startsWith('.') ? posix.join(posix.dirname(file), name).replace(/\.js(x?)$/, '.ts$1') : null
    found.push({ file, target, specifier: name, typeOnly })
  }
  const visit = (node: ts.Node): void => {
    if (ts.isImportDeclaration(node)) {
      const { importClause } = node
      const bindings = importClause?.namedBindings
      const named = bindings !== undefined && ts.isNamedImports(bindings) ? bindings.elements : []
      const allTypes =
        importClause?.name === undefined && named.length > 0 && named.every(({ isTypeOnly }) => isTypeOnly)
      add(node.moduleSpecifier, importClause?.phaseModifier === ts.SyntaxKind.TypeKeyword || allTypes)
    } else if (ts.isExportDeclaration(node)) {
      const named =
        node.exportClause !== undefined && ts.isNamedExports(node.exportClause) ? node.exportClause.elements : []
      add(node.moduleSpecifier, node.isTypeOnly || (named.length > 0 && named.every(({ isTypeOnly }) => isTypeOnly)))
    } else if (ts.isImportTypeNode(node)) {
      add(ts.isLiteralTypeNode(node.argument) ? node.argument.literal : undefined, true)
    } else if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword) {
      add(node.arguments[0], false)
    }
    ts.forEachChild(node, visit)
  }
  visit(parse(file, text))
  return found
}

const allImports = (of: Sources) => [...of].flatMap(([file, text]) => importsOf(file, text))

// ── R1 ───────────────────────────────────────────────────────────────────────────────────────────
const layers = [
  ['core'],
  ['store', 'hints'],
  ['worker', 'client', 'observe'],
  ['debug', 'testing', 'server'],
  ['cli', 'web'],
]

/** Files directly in src: what they may import, and from which layer on they may be imported. */
const rootFiles: Record<string, { readonly mayImport: (target: string) => boolean; readonly from: number }> = {
  // Reads the environment; the embedded server tells it which project this is.
  'settings.ts': { mayImport: (target) => target.startsWith('store/embedded/'), from: 3 },
  'config.ts': { mayImport: (target) => target.startsWith('core/'), from: 3 },
  // The composition root names the concrete store, hints, client and worker.
  'stet.ts': { mayImport: (target) => target === 'settings.ts' || layerOf(target) <= 2, from: 3 },
  // The public surface: nothing inside uses it.
  'index.ts': {
    mayImport: (target) => target === 'stet.ts' || target === 'config.ts' || target.startsWith('core/'),
    from: Number.POSITIVE_INFINITY,
  },
}

function layerOf(file: string): number {
  const layer = layers.findIndex((folders) => folders.includes(file.split('/')[0]!))
  return file.includes('/') ? layer : Number.NaN
}

function misdirected(of: Sources): string[] {
  return allImports(of).flatMap(({ file, target, specifier }) => {
    if (target === null || target.endsWith('.css')) return []
    const wrong = (why: string) => [`${file} imports ${specifier}: ${why}`]
    if (!of.has(target)) return wrong('there is no such file')
    const [fromFolder, toFolder] = [file, target].map((path) => path.split('/')[0]!)
    if (fromFolder === toFolder && file.includes('/')) return []
    if (fromFolder === 'web' && toFolder !== 'core') return wrong('web takes from core alone')
    const importer = rootFiles[file]
    if (importer !== undefined) return importer.mayImport(target) ? [] : wrong(`${file} may not`)
    const layer = layerOf(file)
    if (!(layer >= 0)) return wrong(`${file} is in no layer; give it one in test/architecture.test.ts`)
    const imported = rootFiles[target]
    if (imported !== undefined) return layer >= imported.from ? [] : wrong(`${fromFolder} may not use ${target}`)
    return layerOf(target) < layer ? [] : wrong(`${toFolder} is not to the left of ${fromFolder}`)
  })
}

// ── R2 ───────────────────────────────────────────────────────────────────────────────────────────
/** The first cycle found, as a path. */
function cycle(of: Sources): string[] | null {
  const next = new Map<string, string[]>()
  for (const { file, target, typeOnly } of allImports(of)) {
    if (target !== null && !typeOnly) next.set(file, [...(next.get(file) ?? []), target])
  }
  const done = new Set<string>()
  const walk = (file: string, path: readonly string[]): string[] | null => {
    if (path.includes(file)) return [...path.slice(path.indexOf(file)), file]
    if (done.has(file)) return null
    for (const target of next.get(file) ?? []) {
      const found = walk(target, [...path, file])
      if (found !== null) return found
    }
    done.add(file)
    return null
  }
  for (const file of of.keys()) {
    const found = walk(file, [])
    if (found !== null) return found
  }
  return null
}

// ── R3 ───────────────────────────────────────────────────────────────────────────────────────────
const sql =
  /^\s*(SELECT\s+\S|INSERT\s+INTO\s|UPDATE\s+[\w.]+\s+SET\s|DELETE\s+FROM\s|WITH\s+\w+\s+AS\s|(CREATE|ALTER|DROP)\s+(TABLE|SCHEMA|INDEX|VIEW|FUNCTION|DATABASE|TYPE|SEQUENCE)\s|LISTEN\s+"?\w+"?$|NOTIFY\s+\w|BEGIN$|COMMIT$|ROLLBACK$|SET\s+(LOCAL\s+)?\w+\s*(=|TO)\s)/

function outOfPlace(of: Sources): string[] {
  const found: string[] = []
  for (const [file, text] of of) {
    const source = parse(file, text)
    const report = (node: ts.Node, what: string) => {
      found.push(`${file}:${source.getLineAndCharacterOfPosition(node.getStart()).line + 1} ${what}`)
    }
    const visit = (node: ts.Node): void => {
      if (ts.isIdentifier(node) || ts.isPropertyAccessExpression(node)) {
        const isGlobal = !ts.isPropertyAccessExpression(node.parent) || node.parent.expression === node
        if (ts.isIdentifier(node) && node.text === 'console' && isGlobal && !file.startsWith('cli/'))
          report(node, 'console')
        if (node.getText() === 'process.env' && file !== 'settings.ts') report(node, 'process.env')
      }
      // `const { env } = process` is the same thing.
      if (
        ts.isVariableDeclaration(node) &&
        ts.isObjectBindingPattern(node.name) &&
        node.initializer?.getText() === 'process'
      ) {
        const names = node.name.elements.map(({ propertyName, name }) => (propertyName ?? name).getText())
        if (names.includes('env') && file !== 'settings.ts') report(node, 'process.env')
      }
      const literal = ts.isStringLiteralLike(node) || ts.isTemplateHead(node)
      if (literal && sql.test(node.text) && !file.startsWith('store/')) report(node, 'SQL')
      ts.forEachChild(node, visit)
    }
    visit(source)
  }
  return found
}

// ── R4 ───────────────────────────────────────────────────────────────────────────────────────────
const maxLines = 700

function tooLong(of: Sources): string[] {
  return [...of]
    .map(([file, text]) => ({ file, lines: text.split('\n').length - 1 }))
    .filter(({ lines }) => lines > maxLines)
    .map(({ file, lines }) => `${file} has ${lines} lines`)
}

// ── the house ────────────────────────────────────────────────────────────────────────────────────
describe('src', () => {
  test('imports go to the left (R1)', () => {
    expect(sources.size).toBeGreaterThan(50)
    expect(misdirected(sources)).toEqual([])
  })
  test('there is no cycle (R2)', () => {
    expect(cycle(sources)).toBeNull()
  })
  test('the environment, SQL and the console have one place each (R3)', () => {
    expect(outOfPlace(sources)).toEqual([])
  })
  test(`no file has more than ${maxLines} lines (R4)`, () => {
    expect(tooLong(sources)).toEqual([])
  })
})

describe('the rules see what breaks them', () => {
  const made = (files: Record<string, string>): Sources => new Map(Object.entries(files))
  /** Two files, the first importing the second. */
  const pair = (from: string, to: string, text = 'import { a } from "TO"') => {
    const path = posix.relative(posix.dirname(from), to).replace(/\.ts$/, '.js')
    return made({ [from]: text.replace('TO', path.startsWith('.') ? path : `./${path}`), [to]: 'export const a = 1' })
  }

  test.each([
    ['to the right', 'core/a.ts', 'store/b.ts'],
    ['sideways', 'worker/a.ts', 'client/b.ts'],
    ['sideways in the second layer', 'hints/a.ts', 'store/postgres/b.ts'],
    ['of the composition root by a layer that it composes', 'worker/a.ts', 'stet.ts'],
    ['of the settings by the core', 'core/a.ts', 'settings.ts'],
    ['of the public surface by anyone', 'cli/a.ts', 'index.ts'],
    ['of the command line by the composition root', 'stet.ts', 'cli/a.ts'],
    ['of the server by the pages', 'web/a.ts', 'server/b.ts'],
    ['of the settings by the pages', 'web/a.ts', 'settings.ts'],
    ['of a folder that has no layer', 'misc/a.ts', 'core/b.ts'],
  ])('R1: an import %s', (_, from, to) => {
    expect(misdirected(pair(from, to))).toHaveLength(1)
  })
  test.each([
    ['a type', 'import type { a } from "TO"'],
    ['an inline type', 'import { type a } from "TO"'],
    ['a type by import()', 'export let x: import("TO").a'],
    ['an export from', 'export * from "TO"'],
    ['a dynamic import', 'await import("TO")'],
  ])('R1: %s, in the wrong direction', (_, text) => {
    expect(misdirected(pair('core/a.ts', 'store/b.ts', text))).toHaveLength(1)
  })
  test('R1: a file that is not there', () => {
    expect(misdirected(made({ 'core/a.ts': 'import "./b.js"' }))).toHaveLength(1)
  })
  test('R1: nothing, where the direction is right', () => {
    expect(misdirected(pair('cli/lib/a.ts', 'core/b.ts'))).toEqual([])
    expect(misdirected(pair('testing/a.ts', 'stet.ts'))).toEqual([])
    expect(misdirected(pair('web/pages/a.ts', 'core/b.ts'))).toEqual([])
    expect(misdirected(made({ 'web/a.ts': 'import "./a.css"' }))).toEqual([])
  })

  const ring = (text: string) =>
    made({ 'core/a.ts': 'import { b } from "./b.js"', 'core/b.ts': 'export * from "./c.js"', 'core/c.ts': text })
  test('R2: a cycle, also through an export and a dynamic import', () => {
    expect(cycle(ring('import { a } from "./a.js"'))).toEqual(['core/a.ts', 'core/b.ts', 'core/c.ts', 'core/a.ts'])
    expect(cycle(ring('await import("./a.js")'))).not.toBeNull()
    expect(cycle(ring('import { type x, a } from "./a.js"'))).not.toBeNull()
  })
  test('R2: nothing, where types alone close the circle', () => {
    expect(cycle(ring('import type { a } from "./a.js"'))).toBeNull()
    expect(cycle(ring('import { type a } from "./a.js"'))).toBeNull()
    expect(cycle(ring('export type { a } from "./a.js"'))).toBeNull()
  })

  test.each([
    ['core/a.ts', 'const x = process.env.HOME', 'process.env'],
    ['core/a.ts', 'const { env } = process', 'process.env'],
    ['core/a.ts', 'const { env: e } = process', 'process.env'],
    ['worker/a.ts', 'console.log(1)', 'console'],
    ['client/a.ts', "query('SELECT 1')", 'SQL'],
    ['client/a.ts', 'query(`\n  WITH w AS (SELECT 1) SELECT * FROM w`)', 'SQL'],
    ['cli/a.ts', 'query(`UPDATE runs SET x = $' + '{1}`)', 'SQL'],
    ['worker/a.ts', "query('COMMIT')", 'SQL'],
  ])('R3: %s: %s', (file, text, what) => {
    expect(outOfPlace(made({ [file]: text }))).toEqual([`${file}:1 ${what}`])
  })
  test('R3: nothing in the right place, in comments, and in words that only look alike', () => {
    const fine = {
      'settings.ts': 'process.env.X',
      'cli/a.ts': 'console.log(1)',
      'store/a.ts': "query('SELECT 1')",
      'core/a.ts': "// console, process.env, SELECT 1\nlog('Select a run'); log('update it'); this.console.x",
    }
    expect(outOfPlace(made(fine))).toEqual([])
  })

  test('R4: a file of 701 lines, not one of 700', () => {
    expect(tooLong(made({ 'core/a.ts': '\n'.repeat(701) }))).toEqual(['core/a.ts has 701 lines'])
    expect(tooLong(made({ 'core/a.ts': '\n'.repeat(700) }))).toEqual([])
  })
})
