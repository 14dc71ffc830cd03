/**
 * Loads a file of the user's, TypeScript or not, in a package of any kind.
 *
 * A file that imports 'stet' may get a copy of the package of its own (the CommonJS loader of tsx makes one): whatever
 * is looked for in it is recognised by a brand, never by identity.
 */
import inspector from 'node:inspector'
import Module, { createRequire } from 'node:module'
import { extname, relative, sep } from 'node:path'
import { pathToFileURL } from 'node:url'
import { firstUserFrame } from '../../core/callsite.js'
import { installRuntime } from '../../core/runtime.js'
import { withoutCompilerThread } from '../../settings.js'
import { LoadError } from './errors.js'

let ready: Promise<void> | undefined
let requires = false

/** Once in a process: stacks name lines of TypeScript, and both module systems load it. */
function loadTypeScript(): Promise<void> {
  ready ??= (async () => {
    // What the files will import is loaded before there are hooks: those would take 100 ms over it.
    await import('../../stet.js')
    if ('registerHooks' in Module) loadCompiler('tsx/esm/api').register()
    // Where hooks run in a thread of their own it has all that they need: loading it here as well, which the API of tsx
    // does, takes 50 ms. The data may be anything; without any, tsx takes itself for a `--loader`.
    else Module.register('tsx/esm', { parentURL: import.meta.url, data: {} })
  })()
  return ready
}

/** A package that is not a module has its .ts files loaded by require: the other half of the loader. */
function requireTypeScript(): void {
  if (requires) return
  requires = true
  loadCompiler('tsx/cjs/api').register()
}

/**
 * As CommonJS: as a module it takes twice as long. Where a debugger is waited for, a thread of the compiler's would wait
 * for one as well, which never comes.
 */
function loadCompiler(api: 'tsx/esm/api' | 'tsx/cjs/api'): { register: () => unknown } {
  const load = () => createRequire(import.meta.url)(api)
  return inspector.url() === undefined ? load() : withoutCompilerThread(load)
}

/**
 * The exports of a file, those of a CommonJS module included.
 * @throws LoadError naming the file, what is wrong with it and where
 */
export async function importFile(path: string): Promise<Record<string, unknown>> {
  try {
    const isTypeScript = /\.[mc]?ts$/.test(path)
    if (isTypeScript) await loadTypeScript()
    // Node 20 cannot import a .cts through hooks; require can.
    const required = extname(path) === '.cts'
    // It comes to run at a later tick than this one. On Node 20 the hooks have a thread of their own, which begins at once.
    const imported = required ? null : import(pathToFileURL(path).href)
    if (isTypeScript) requireTypeScript()
    process.setSourceMapsEnabled(true)
    // Before any code of the user's, so that nothing of it holds an unpatched function.
    installRuntime()
    const module: any = required ? createRequire(path)(path) : await imported
    return withCommonJs(module)
  } catch (error) {
    throw loadError(path, error)
  }
}

/** `import()` of a CommonJS module gives its exports under `default`, where that is not an export of its own. */
function withCommonJs(module: Record<string, unknown>): Record<string, unknown> {
  const inner = (module['module.exports'] ?? module.default) as Record<string, unknown> | undefined
  const isCommonJs =
    typeof inner === 'object' && inner !== null && ('module.exports' in module || '__esModule' in inner)
  if (!isCommonJs) {
    // A CommonJS module that was written by hand has no mark; its exports are a plain object.
    const bare = typeof inner === 'object' && inner !== null && Object.getPrototypeOf(inner) === Object.prototype
    return bare && !Object.isFrozen(inner) ? { ...inner, ...module } : module
  }
  const { default: _, 'module.exports': __, ...named } = module
  return { ...named, ...inner }
}

function loadError(path: string, error: unknown): LoadError {
  const { message = String(error), stack = '', code } = (error ?? {}) as Error & { code?: string }
  // What compilers and loaders say names absolute paths.
  const said = message.replaceAll(`${process.cwd()}${sep}`, '')
  const frame = firstUserFrame(stack)
  const where = frame?.includes('node_modules') || (frame !== undefined && said.includes(frame)) ? undefined : frame
  const hint =
    code === 'ERR_MODULE_NOT_FOUND' || code === 'MODULE_NOT_FOUND'
      ? ' Is it installed (npm install), and is the path right?'
      : ''
  const place = where === undefined ? '' : ` (${where})`
  return new LoadError(`cannot load ${relative('.', path)}: ${said}${place}${hint}`, { cause: error })
}
