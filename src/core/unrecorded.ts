/**
 * Finds the line of an await that is not recorded. A pending promise has no stack, so the run is replayed once more
 * while every promise that its code makes, and every wait for one, is noted with its stack.
 */
import { firstUserFrame } from './callsite.js'
import { observePromises, operationOf } from './causes.js'
import type { RecordedEvent } from './events.js'
import type { RunIdentity } from './execution.js'
import { replay } from './replay.js'
import { shared } from './state.js'
import type { Definition } from './workflow.js'

interface Made {
  /** Somebody's promise of an async function or a chain over other promises: not where the trouble is. */
  readonly ofUserCode: boolean
}

interface Wait {
  readonly on: Promise<unknown>
  readonly where: string
}

let busy: Promise<unknown> = Promise.resolve()

/** `file:line` of the await that nothing recorded can end; undefined when no line of the user's stands out. */
export function findUnrecordedAwait(
  definition: Definition,
  identity: RunIdentity,
  events: readonly RecordedEvent[],
): Promise<string | undefined> {
  // The observation is of the whole process: one at a time.
  const result = busy.then(() => observe(definition, identity, events))
  busy = result.catch(() => {})
  return result
}

async function observe(
  definition: Definition,
  identity: RunIdentity,
  events: readonly RecordedEvent[],
): Promise<string | undefined> {
  const made = new WeakMap<Promise<unknown>, Made>()
  const waits = new Map<Promise<unknown>, Wait>()
  const mine = () => shared.current !== null && (shared.current as any).identity === identity
  const { stackTraceLimit } = Error
  Error.stackTraceLimit = 25
  observePromises(
    (promise, parent) => {
      if (!mine()) return
      const stack = new Error().stack ?? ''
      const frames = stack.split('\n').slice(3)
      made.set(promise, { ofUserCode: parent !== undefined || isUserAsync(frames) })
      if (parent === undefined) return
      const where = firstUserFrame(frames.slice(0, 3).join('\n'))
      if (where !== undefined) waits.set(promise, { on: parent, where })
    },
    (promise) => {
      waits.delete(promise)
    },
  )
  try {
    await replay(definition, identity, events)
  } finally {
    observePromises(undefined, undefined)
    Error.stackTraceLimit = stackTraceLimit
  }
  const open = [...waits.values()].filter(({ on }) => (on as any)[operationOf] === undefined)
  const foreign = open.filter(({ on }) => !made.get(on)?.ofUserCode)
  return (foreign.at(-1) ?? open.at(-1))?.where
}

/** The promise of an async function is made while the function's own frame is on top, without `new Promise` above it. */
function isUserAsync(frames: readonly string[]): boolean {
  const top = frames[0]
  return (
    top !== undefined &&
    !top.includes('new Promise') &&
    firstUserFrame(top) !== undefined &&
    !top.includes('node_modules')
  )
}
