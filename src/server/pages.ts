/**
 * The dashboard's pages: files that the build has made, the same for everybody. They hold no data, so nobody is asked
 * who they are; what they show they ask the API for.
 *
 * P1. A file is served when its name stood in the folder at the first request: no path leads out of it.
 * P2. Each page has a path of its own, and one document serves them all.
 */
import { readdirSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { extname, join, sep } from 'node:path'
import { packageRoot, requirePackageRoot } from '../core/package.js'

/** First parts of the paths that pages have. */
const pages: ReadonlySet<string> = new Set([
  ...['', 'runs', 'bulks', 'statistics', 'workers', 'queues', 'alerts', 'schedules', 'start'],
])

const types: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.woff2': 'font/woff2',
}

let known: { readonly folder: string; readonly files: ReadonlySet<string> } | null = null

/** The folder as it was built. @throws StetError code `not_installed`: there is none beside a bundle */
function built(): NonNullable<typeof known> {
  if (known !== null) return known
  const folder = join(requirePackageRoot(), 'dist/web/')
  try {
    const names = readdirSync(folder, { recursive: true, encoding: 'utf8' }).map((name) => name.split(sep).join('/'))
    if (names.some((name) => name.startsWith('assets/'))) {
      known = { folder, files: new Set(names.filter((name) => extname(name) in types)) }
      return known
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
  }
  return { folder: '', files: new Set() }
}

/** Null: no page and no file of one has this path. @throws StetError code `not_installed` */
export async function servePage({ method, url }: Request): Promise<Response | null> {
  if (method !== 'GET' && method !== 'HEAD') return null
  const path = new URL(url).pathname.slice(1)
  const isPage = pages.has(path.split('/')[0]!)
  if (packageRoot === null && !isPage) return null
  const { folder, files } = built()
  const file = files.has(path) ? path : isPage ? 'index.html' : null
  if (file === null || !files.has(file)) return null
  const headers = {
    'content-type': types[extname(file)]!,
    // Names of assets change with what they hold; the document says which ones are used now.
    'cache-control': file.startsWith('assets/') ? 'public, max-age=31536000, immutable' : 'no-cache',
  }
  return new Response(method === 'HEAD' ? null : await readFile(join(folder, file)), { headers })
}
