/** Files by path, folder or glob. Node 20 has no glob of its own; this is the part of one that is needed. */
import { readdirSync, statSync } from 'node:fs'
import { join, resolve, sep } from 'node:path'

/** Never looked into: what is installed, what is built, what is hidden. */
export function isIgnoredFolder(name: string): boolean {
  return name === 'node_modules' || name.startsWith('.') || name === 'dist' || name === 'coverage'
}

/**
 * The files that a pattern names, sorted: the file itself, all files below a folder, or what a glob matches
 * (`*`, `**`, `?`, `{a,b}`, `[a-z]`).
 */
export function filesOf(pattern: string, base: string): string[] {
  const absolute = resolve(base, pattern)
  const stat = statSync(absolute, { throwIfNoEntry: false })
  if (stat?.isFile()) return [absolute]
  if (stat?.isDirectory()) return walk(absolute)
  if (!isGlob(pattern)) return []
  const parts = absolute.split(sep)
  const first = parts.findIndex(isGlob)
  const root = parts.slice(0, first).join(sep) || sep
  const matcher = globToRegExp(parts.slice(first).join('/'))
  return walk(root).filter((file) => matcher.test(file.slice(root.length).split(sep).filter(Boolean).join('/')))
}

function isGlob(text: string): boolean {
  return /[*?{[]/.test(text)
}

function walk(folder: string): string[] {
  const files: string[] = []
  let entries: ReturnType<typeof read>
  try {
    entries = read(folder)
  } catch {
    return files
  }
  for (const entry of entries) {
    const path = join(folder, entry.name)
    const isLink = entry.isSymbolicLink()
    if (entry.isDirectory()) {
      if (!isIgnoredFolder(entry.name)) files.push(...walk(path))
    } else if (entry.isFile() || (isLink && statSync(path, { throwIfNoEntry: false })?.isFile())) files.push(path)
  }
  return files
}

function read(folder: string) {
  return readdirSync(folder, { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1))
}

/** A glob over paths with forward slashes. */
export function globToRegExp(glob: string): RegExp {
  let source = ''
  let depth = 0
  for (let i = 0; i < glob.length; i++) {
    const c = glob[i]!
    if (c === '*' && glob[i + 1] === '*') {
      const atEnd = i + 2 >= glob.length
      source += atEnd ? '.*' : '(?:.*/)?'
      i += glob[i + 2] === '/' ? 2 : 1
    } else if (c === '*') source += '[^/]*'
    else if (c === '?') source += '[^/]'
    else if (c === '{') {
      depth++
      source += '(?:'
    } else if (c === '}' && depth > 0) {
      depth--
      source += ')'
    } else if (c === ',' && depth > 0) source += '|'
    else if (c === '[' && glob.indexOf(']', i) > i + 1) {
      const end = glob.indexOf(']', i)
      const set = glob
        .slice(i + 1, end)
        .replace(/^!/, '^')
        .replaceAll('\\', '\\\\')
      source += `[${set}]`
      i = end
    } else source += c.replace(/[\\^$.|+()[\]{}]/g, '\\$&')
  }
  return new RegExp(`^${source}$`)
}
