/** The workflows that a command works with: which files, and what they define. */
import { readFileSync } from 'node:fs'
import { dirname, relative, resolve } from 'node:path'
import { StetError } from '../../core/errors.js'
import { parseJson } from '../../core/json.js'
import type { AnyWorkflow } from '../../core/types.js'
import { type Definition, definition } from '../../core/workflow.js'
import { readSettings } from '../../settings.js'
import { readConfig } from './config-file.js'
import { LoadError, UsageError } from './errors.js'
import { filesOf } from './glob.js'
import { importFile } from './import-file.js'

export interface FoundWorkflow {
  readonly workflow: AnyWorkflow
  readonly definition: Definition
  /** Relative to the working directory. */
  readonly file: string
}

export interface WorkflowFiles {
  readonly files: readonly string[]
  readonly found: readonly FoundWorkflow[]
}

const isCode = (file: string) => /\.[mc]?[jt]s$/.test(file) && !/\.d\.[mc]?ts$/.test(file)
const isDag = (file: string) => file.endsWith('.dag.json')
const isTest = (file: string) => /\.(test|spec)\.[mc]?[jt]s$/.test(file)

/**
 * The files: those that were named, else those of the config, else the customary folders. Tests are passed over: they
 * load only under their runner.
 * @throws UsageError when there is none; it says where was looked
 */
export async function findFiles(patterns: readonly string[] | undefined): Promise<string[]> {
  let [base, wanted] = ['.', patterns ?? []]
  let from = 'named on the command line'
  if (wanted.length === 0) {
    const config = await readConfig()
    const { workflows } = config?.config ?? {}
    base = config?.folder ?? readSettings().embedded.projectDir
    wanted = workflows === undefined ? ['workflows/**', 'src/workflows/**'] : [workflows].flat()
    from = workflows === undefined ? `looked for below ${base}` : `named in ${config!.name}`
  }
  const files = new Set<string>()
  for (const pattern of wanted) {
    const matches = filesOf(pattern, base).filter((file) => isCode(file) || isDag(file))
    if (matches.length === 0 && patterns !== undefined) {
      throw new UsageError(`no workflow file matches "${pattern}". Give TypeScript or JavaScript files, or *.dag.json.`)
    }
    for (const file of matches) files.add(file)
  }
  const all = [...files]
  const kept = all.some((file) => !isTest(file)) ? all.filter((file) => !isTest(file)) : all
  if (kept.length === 0) {
    throw new UsageError(
      `no workflow files (${wanted.join(', ')}; ${from}). Name them with -w, or in stet.config.ts, or make a first one with \`stet init\`.`,
    )
  }
  return kept
}

/**
 * Loads the files and takes the workflows that they export.
 * @throws LoadError when a file cannot be loaded, defines what another one does, or when none defines any
 */
export async function loadWorkflows(patterns: readonly string[] | undefined): Promise<WorkflowFiles> {
  const files = await findFiles(patterns)
  const modules = new Map<string, Record<string, unknown>>()
  for (const file of files) if (!isDag(file)) modules.set(file, await importFile(file))
  const found = new Map<string, FoundWorkflow>()
  const add = (value: unknown, path: string) => {
    const def = definition(value)
    if (def === undefined) return
    const key = `${def.name}@${def.version}`
    const other = found.get(key)
    const file = relative('.', path)
    // The same one may be exported again by another file.
    if (other !== undefined && other.definition.fn !== def.fn) {
      throw new LoadError(
        `${file}: workflow "${def.name}" version ${def.version} is defined in ${other.file} already. Give one another version or name.`,
      )
    }
    if (other === undefined) found.set(key, { workflow: value as AnyWorkflow, definition: def, file })
  }
  for (const [file, module] of modules) for (const value of Object.values(module)) add(value, file)
  for (const file of files) if (isDag(file)) add(await loadDag(file, modules), file)
  if (found.size === 0) {
    const names = files.map((file) => relative('.', file)).join(', ')
    throw new LoadError(`no workflow is exported by ${names}. Export what workflow(), dag() or dagFromJSON() returns.`)
  }
  return { files, found: [...found.values()] }
}

/** A dag in JSON, with the functions that the other files export as its tasks. */
async function loadDag(file: string, modules: ReadonlyMap<string, Record<string, unknown>>): Promise<AnyWorkflow> {
  const { dagFromJSON } = await import('../../core/dag-json.js')
  const shown = relative('.', file)
  const tasks: Record<string, (...args: any[]) => unknown> = {}
  const origins = new Map<string, string>()
  // Files next to it come last, so that theirs are taken where a name is exported twice.
  const near = (path: string) => (dirname(path) === dirname(resolve(file)) ? 1 : 0)
  for (const [path, module] of [...modules].sort(([a], [b]) => near(a) - near(b))) {
    for (const [name, value] of Object.entries(module)) {
      if (typeof value !== 'function') continue
      tasks[name] = value as (...args: any[]) => unknown
      origins.set(name, path)
    }
  }
  try {
    return dagFromJSON(parseJson(readFileSync(file, 'utf8')), tasks)
  } catch (error) {
    const hint =
      error instanceof StetError && origins.size === 0
        ? ' Name the file with its functions too: stet worker x.dag.json tasks.ts'
        : ''
    throw new LoadError(`cannot load ${shown}: ${(error as Error).message}${hint}`, { cause: error })
  }
}

/** `order@1, mail@2`. */
export function listNames(found: readonly FoundWorkflow[]): string {
  return found.map(({ definition: { name, version } }) => `${name}@${version}`).join(', ')
}
