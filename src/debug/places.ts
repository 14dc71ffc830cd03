/**
 * Places in the user's code, as the engine has them (script, line, column of what was compiled) and as people do (a
 * line of their own file).
 */
import { readFileSync } from 'node:fs'
import { findSourceMap } from 'node:module'
import { relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { codeOf } from '../core/callsite.js'

/** A frame of the user's on a stack. Lines and columns count from 0, in what was compiled. */
export interface RawFrame {
  readonly fn: string
  readonly url: string
  readonly line: number
  readonly column: number
  /** Suspended at an await: it is not on the stack, and goes on when the frame above it has returned. */
  readonly suspended: boolean
}

export interface Place {
  /** Relative to the working directory where that is shorter. */
  readonly file: string
  /** From 1. */
  readonly line: number
}

const maxFrames = 40

/** The frames of the user's that led to this call, innermost first. */
export function userFrames(): RawFrame[] {
  const { prepareStackTrace, stackTraceLimit } = Error
  Error.stackTraceLimit = maxFrames
  Error.prepareStackTrace = (_, sites) => sites
  const holder: { stack?: NodeJS.CallSite[] } = {}
  Error.captureStackTrace(holder, userFrames)
  const sites = holder.stack ?? []
  Error.prepareStackTrace = prepareStackTrace as NonNullable<typeof prepareStackTrace>
  Error.stackTraceLimit = stackTraceLimit
  const frames: RawFrame[] = []
  for (const site of sites) {
    const url = site.getFileName() ?? ''
    const line = site.getLineNumber()
    if (line === null || !isUsers(url)) continue
    frames.push({
      fn: site.getFunctionName() ?? '',
      url,
      line: line - 1,
      column: (site.getColumnNumber() ?? 1) - 1,
      suspended: (site as unknown as { isAsync(): boolean }).isAsync(),
    })
  }
  return frames
}

/** Whether a script is the user's own: not of stet, of Node, or of a dependency. */
export function isUsers(url: string): boolean {
  let known = users.get(url)
  if (known === undefined) {
    known = /^(file:|\/|[A-Za-z]:[\\/])/.test(url) && codeOf(url) === 'user'
    users.set(url, known)
  }
  return known
}

const users = new Map<string, boolean>()

/** The line of the user's file that compiled code came from. */
export function placeOf({ url, line, column }: Pick<RawFrame, 'url' | 'line' | 'column'>): Place {
  const key = `${url}:${line}:${column}`
  let place = places.get(key)
  if (place === undefined) {
    const path = pathOf(url)
    const entry = (findSourceMap(url) ?? findSourceMap(path))?.findEntry(line, column)
    const mapped = entry !== undefined && 'originalLine' in entry ? entry : null
    place =
      mapped === null
        ? { file: shown(path), line: line + 1 }
        : { file: shown(pathOf(mapped.originalSource)), line: mapped.originalLine + 1 }
    places.set(key, place)
  }
  return place
}

const places = new Map<string, Place>()

function pathOf(url: string): string {
  const bare = url.replace(/\?.*$/, '')
  return bare.startsWith('file:') ? fileURLToPath(bare) : bare
}

function shown(path: string): string {
  const short = relative(process.cwd(), path)
  return short === '' || short.startsWith('..') ? path : short
}

/** `file:line` taken apart. */
export function parsePlace(where: string | undefined): Place | null {
  const match = /^(.+):(\d+)$/.exec(where ?? '')
  return match === null ? null : { file: match[1]!, line: Number(match[2]) }
}

/** The lines of a file from `from` to `to`, both included; those that there are. */
export function sourceLines(file: string, from: number, to: number): { line: number; text: string }[] {
  let lines = files.get(file)
  if (lines === undefined) {
    try {
      lines = readFileSync(file, 'utf8').split(/\r?\n/)
    } catch {
      lines = []
    }
    files.set(file, lines)
  }
  const first = Math.max(1, from)
  return lines.slice(first - 1, to).map((text, i) => ({ line: first + i, text }))
}

const files = new Map<string, string[]>()
