/**
 * Where in the user's source something was asked for. The costly part (formatting a stack through source maps) is done
 * once per place in the code.
 */
import { relative, sep } from 'node:path'
import { fileURLToPath } from 'node:url'
import { packageRoot } from './package.js'

/** Our own folders: stacks name the sources when source maps are on. */
const own = packageRoot === null ? [] : ['dist', 'src'].map((folder) => `${packageRoot}${folder}${sep}`)
const isOurs = (path: string) => own.some((folder) => path.startsWith(folder))

const known = new Map<string, string | undefined>()

const maxKnownSteps = 10_000

/**
 * The places of the steps of one workflow. Taking a stack costs more than all else that asking for a step does, and
 * steps are asked for in loops. So a step is known by its name (numbers aside) and the text of its function; only the
 * first of its kind has its place looked up.
 */
class StepPlaces {
  readonly #known = new Map<string, string | undefined>()
  /** The one that was asked for last: in a loop it is asked for again. */
  #last: { readonly name: string; readonly text: string; readonly where: string | undefined } | null = null

  find(name: string, fn: unknown): string | undefined {
    const text = String(fn)
    if (this.#last?.name === name && this.#last.text === text) return this.#last.where
    const key = `${name.replace(/\d+/g, '#')}\n${text}`
    let where = this.#known.get(key)
    if (where === undefined && !this.#known.has(key)) {
      if (this.#known.size >= maxKnownSteps) this.#known.clear()
      where = callsite()
      this.#known.set(key, where)
    }
    this.#last = { name, text, where }
    return where
  }
}

const places = new WeakMap<object, StepPlaces>()

/** Those of one definition. */
export function placesOf(definition: object): StepPlaces {
  let found = places.get(definition)
  if (found === undefined) {
    found = new StepPlaces()
    places.set(definition, found)
  }
  return found
}

/** `path:line` of the innermost frame that is not stet's own, relative to the working directory; undefined if none is. */
export function callsite(): string | undefined {
  const raw = rawPosition()
  if (raw === undefined) return undefined
  if (known.has(raw)) return known.get(raw)
  const where = firstUserFrame(fullStack())
  known.set(raw, where)
  return where
}

/** The place as the engine sees it, before source maps: cheap, and the same for the same place. */
function rawPosition(): string | undefined {
  const { prepareStackTrace, stackTraceLimit } = Error
  Error.stackTraceLimit = 8
  Error.prepareStackTrace = firstForeignPosition
  const holder: { stack?: string } = {}
  Error.captureStackTrace(holder, callsite)
  const position = holder.stack
  Error.prepareStackTrace = prepareStackTrace as NonNullable<typeof prepareStackTrace>
  Error.stackTraceLimit = stackTraceLimit
  return position
}

function firstForeignPosition(_error: Error, frames: NodeJS.CallSite[]): string | undefined {
  for (const frame of frames) {
    const file = frame.getFileName() ?? frame.getScriptNameOrSourceURL?.()
    if (!file || isOwn(file)) continue
    return `${file}:${frame.getLineNumber()}:${frame.getColumnNumber()}`
  }
  return undefined
}

function fullStack(): string {
  const { stackTraceLimit } = Error
  Error.stackTraceLimit = 30
  const stack = new Error().stack ?? ''
  Error.stackTraceLimit = stackTraceLimit
  return stack
}

const ownFiles = new Map<string, boolean>()

function isOwn(file: string): boolean {
  let known = ownFiles.get(file)
  if (known === undefined) {
    known = file.startsWith('node:') || isOurs(toPath(file))
    ownFiles.set(file, known)
  }
  return known
}

function toPath(file: string): string {
  const bare = file.replace(/\?.*$/, '')
  return bare.startsWith('file:') ? fileURLToPath(bare) : bare
}

/** The first frame of a formatted stack that belongs to the user: not stet, not Node, not a dependency if avoidable. */
export function firstUserFrame(stack: string): string | undefined {
  const frames = stack
    .split('\n')
    .map((line) => /(?:\(|at (?:async )?)((?:file:\/\/|\/|[A-Za-z]:[\\/])[^()]*?):(\d+):\d+\)?$/.exec(line))
    .filter((match) => match !== null)
    .map((match) => ({ path: toPath(match[1]!), line: match[2]! }))
    .filter(({ path }) => !isOurs(path))
  const frame = frames.find(({ path }) => !path.includes(`${sep}node_modules${sep}`)) ?? frames[0]
  return frame && `${displayPath(frame.path)}:${frame.line}`
}

function displayPath(path: string): string {
  const short = relative(process.cwd(), path)
  return short === '' || short.startsWith('..') ? path : short
}

/** Whose code a file is. */
export type PartyName = 'node' | 'stet' | 'dependency' | 'user'

export function codeOf(file: string): PartyName {
  if (file.startsWith('node:')) return 'node'
  if (isOwn(file)) return 'stet'
  return toPath(file).includes(`${sep}node_modules${sep}`) ? 'dependency' : 'user'
}

/** Whose code called the function that asks, passing over frames of stet and of V8. */
export function caller(): PartyName | undefined {
  const { prepareStackTrace, stackTraceLimit } = Error
  Error.stackTraceLimit = 8
  Error.prepareStackTrace = (_, frames) => {
    for (const frame of frames) {
      const file = frame.getFileName()
      const party = file ? codeOf(file) : 'stet'
      if (party !== 'stet') return party
    }
    return undefined
  }
  const holder: { stack?: PartyName } = {}
  Error.captureStackTrace(holder, caller)
  const party = holder.stack
  Error.prepareStackTrace = prepareStackTrace as NonNullable<typeof prepareStackTrace>
  Error.stackTraceLimit = stackTraceLimit
  return party
}
