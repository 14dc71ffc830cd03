/**
 * Finds the line of an await that is not recorded. A pending promise has no stack and does not say what it waits for,
 * so the run is replayed once more while every promise that its code makes, and every wait for one, is noted with its
 * place. Then the waits are followed from the workflow's own promise to what holds it up.
 *
 * U1. Only what the workflow waits for counts: work that it began and lets run by itself (a logger's promise) holds
 *     nothing up.
 * U2. A promise of Node's, or one that was made outside of the run, is nothing that stet can settle. One that the user's
 *     code or a library made may still be settled by another branch of the run. When the run is only suspected, such a
 *     promise counts once it is seen to settle outside of a turn.
 */
import { codeOf, firstUserFrame, type PartyName } from './callsite.js'
import { observePromises, operationOf } from './causes.js'
import { originals } from './determinism.js'
import type { RecordedEvent } from './events.js'
import type { Execution, RunIdentity } from './execution.js'
import { replay } from './replay.js'
import { shared } from './state.js'
import type { Definition } from './workflow.js'

/**
 * Why it is looked for: nothing recorded can wake the run, so there is one (`stuck`); or something happened outside
 * its turns while it waits for recorded things too, which may be harmless (`suspected`).
 */
export type Ground = 'stuck' | 'suspected'

/** How long a promise that may be harmless is watched, ms. */
const watchMs = 5_000

let busy: Promise<unknown> = Promise.resolve()

/** `file:line` of the await that nothing recorded can end; undefined when no line of the user's stands out. */
export async function findUnrecordedAwait(
  definition: Definition,
  identity: RunIdentity,
  events: readonly RecordedEvent[],
  ground: Ground = 'stuck',
): Promise<string | undefined> {
  // The observation is of the whole process: one at a time.
  const observed = busy.then(() => observe(definition, identity, events))
  busy = observed.catch(() => {})
  const { leaves, openWait } = await observed
  const sure = leaves.find(({ by }) => by === 'node') ?? leaves.find(({ by }) => by === 'outside')
  if (ground === 'stuck') return lineOf((sure ?? leaves[0])?.place ?? openWait)
  return lineOf((sure ?? (await firstToSettle(leaves)))?.place)
}

/** Something that holds the workflow up and is no operation. */
interface Leaf {
  readonly promise: Promise<unknown>
  readonly by: PartyName | 'outside'
  readonly place: Place | undefined
}

/** Somewhere in the code. The stack is formatted when it is asked for. */
interface Place {
  readonly stack: Error
  /** How many frames of it are inside of the function that is meant. */
  readonly above: number
}

/** The replay is over and nothing of it is delivered any more, so whatever settles now is settled from outside. */
function firstToSettle(leaves: readonly Leaf[]): Promise<Leaf | undefined> {
  if (leaves.length === 0) return Promise.resolve(undefined)
  return new Promise((resolve) => {
    const timer = originals.setTimeout(() => resolve(undefined), watchMs) as unknown as NodeJS.Timeout
    timer.unref()
    for (const leaf of leaves) {
      const settled = () => {
        originals.clearTimeout(timer)
        resolve(leaf)
      }
      leaf.promise.then(settled, settled)
    }
  })
}

function lineOf(place: Place | undefined): string | undefined {
  return (
    place &&
    firstUserFrame(
      (place.stack.stack ?? '')
        .split('\n')
        .slice(1 + place.above)
        .join('\n'),
    )
  )
}

// ── watching a replay ────────────────────────────────────────────────────────────────────────────

interface Made {
  readonly by: PartyName
  readonly place: Place
  /** How many frames were under the one that made it, itself included. */
  readonly depth: number
  waits: Wait[]
}

interface Wait {
  readonly on: Promise<unknown>
  /** Where the user's code went to wait; undefined where the wait is no await of theirs. */
  readonly place: Place | undefined
  /**
   * Of a member that a combinator waits for: the depth of the combinator's caller. Where that one made the member says
   * more than where it called the combinator.
   */
  readonly memberAt?: number
}

/** One continuation: from when it resumes until it goes to wait again. */
interface Segment {
  /** The promise of the async function that was resumed, or the one that a callback belongs to. */
  readonly owner: Promise<unknown> | undefined
  /** Async functions that began in it, by the depth of their frames: an await at that depth is theirs. */
  readonly begun: Map<number, Promise<unknown>>
  /** Results of combinators, by the depth of the combinator's frame. */
  readonly combined: Map<number, Promise<unknown>>
}

async function observe(
  definition: Definition,
  identity: RunIdentity,
  events: readonly RecordedEvent[],
): Promise<{ leaves: Leaf[]; openWait: Place | undefined }> {
  const watch = new Watch(() => shared.current !== null && (shared.current as any).identity === identity)
  let main: unknown
  const fn: Definition['fn'] = (ctx, input) => {
    const result = definition.fn(ctx, input)
    main = result
    return result
  }
  let execution!: Execution
  const { stackTraceLimit } = Error
  Error.stackTraceLimit = 200
  observePromises(watch)
  try {
    ;({ execution } = await replay({ ...definition, fn }, identity, events))
    execution.drop()
  } finally {
    observePromises(undefined)
    Error.stackTraceLimit = stackTraceLimit
  }
  // An operation of another run is nothing that this one has on record.
  const isRecorded = (promise: Promise<unknown>) => {
    const operation = (promise as any)[operationOf]
    return operation !== undefined && execution.operation(operation.index)?.promise === promise
  }
  return { leaves: watch.leavesOf(main, isRecorded), openWait: watch.openWait() }
}

class Watch {
  readonly #mine: () => boolean
  readonly #made = new Map<Promise<unknown>, Made>()
  readonly #settled = new WeakSet<Promise<unknown>>()
  /** Whose await a throwaway promise of V8's stands for. */
  readonly #awaiting = new Map<Promise<unknown>, { owner: Promise<unknown> | undefined; wait: Wait }>()
  #segments: Segment[] = []

  constructor(mine: () => boolean) {
    this.#mine = mine
  }

  init(promise: Promise<unknown>, parent: Promise<unknown> | undefined): void {
    if (!this.#mine()) return
    const { frames, above } = callFrames(this.init)
    const place: Place = { stack: new Error(), above }
    const code = frames.find(({ file }) => file !== undefined)
    const by = code?.file === undefined ? 'user' : codeOf(code.file)
    const top = frames[0]
    const segment = this.#segment()
    if (parent !== undefined && top?.file !== undefined) {
      this.#await(promise, parent, segment.begun.get(frames.length) ?? segment.owner, by === 'user' ? place : undefined)
      return
    }
    const made: Made = { by, place, depth: frames.length, waits: [] }
    this.#made.set(promise, made)
    const combinator = frames.findIndex(({ file, name }) => file === undefined && combinators.has(name))
    const depth = frames.length - combinator
    if (parent !== undefined) {
      made.waits.push({ on: parent, place: undefined })
      if (combinator === 1) {
        // Our own wrapper stands between.
        const caller = frames.findIndex(({ file }, i) => i > 1 && file !== undefined && codeOf(file) !== 'stet')
        const result = this.#made.get(segment.combined.get(depth)!)
        result?.waits.push({ on: parent, place: undefined, memberAt: frames.length - caller })
      } else if (frames.length === 1 && segment.owner !== undefined) {
        // No code of anybody's: V8 lets the owner wait for the promise that it was resolved with.
        const owner = this.#made.get(segment.owner)
        if (owner !== undefined) owner.waits = [{ on: parent, place: undefined }]
      }
    } else if (combinator !== -1 && frames.slice(0, combinator).every(({ file }) => !file || codeOf(file) === 'stet')) {
      segment.combined.set(depth, promise)
    } else if (top?.file !== undefined) segment.begun.set(frames.length, promise)
  }

  before(promise: Promise<unknown>): void {
    const awaiting = this.#awaiting.get(promise)
    this.#awaiting.delete(promise)
    const owner = awaiting === undefined ? promise : awaiting.owner
    const made = owner && this.#made.get(owner)
    if (made !== undefined) made.waits = []
    this.#segments.push({ owner, begun: new Map(), combined: new Map() })
  }

  after(): void {
    this.#segments.pop()
  }

  settled(promise: Promise<unknown>): void {
    this.#settled.add(promise)
  }

  /** What the promise waits for in the end, nearest first, without operations: those are recorded. */
  leavesOf(main: unknown, isRecorded: (promise: Promise<unknown>) => boolean): Leaf[] {
    const leaves: Leaf[] = []
    const seen = new Set<Promise<unknown>>()
    const visit = (promise: Promise<unknown>, place: Place | undefined) => {
      if (seen.has(promise) || this.#settled.has(promise) || isRecorded(promise)) return
      seen.add(promise)
      const made = this.#made.get(promise)
      // Below a promise of Node's there is nothing that the user could know; one of stet's is a timer.
      if (made === undefined || made.by === 'node' || (made.waits.length === 0 && made.by !== 'stet')) {
        leaves.push({ promise, by: made?.by ?? 'outside', place })
        return
      }
      for (const wait of made.waits) {
        visit(wait.on, wait.place ?? this.#memberPlace(wait) ?? place)
      }
    }
    if (main instanceof Promise) visit(main, undefined)
    return leaves
  }

  /** The last await of the user's code that has not gone on, whoever it belongs to. */
  openWait(): Place | undefined {
    const open = [...this.#awaiting.values()].filter(
      ({ wait }) => wait.place && (wait.on as any)[operationOf] === undefined && !this.#settled.has(wait.on),
    )
    return (open.findLast(({ wait }) => this.#made.get(wait.on)?.by !== 'user') ?? open.at(-1))?.wait.place
  }

  #await(
    promise: Promise<unknown>,
    on: Promise<unknown>,
    owner: Promise<unknown> | undefined,
    place: Place | undefined,
  ): void {
    const wait: Wait = { on, place }
    this.#awaiting.set(promise, { owner, wait })
    const made = owner && this.#made.get(owner)
    if (made !== undefined) made.waits = [wait]
  }

  #memberPlace({ on, memberAt }: Wait): Place | undefined {
    const made = memberAt === undefined ? undefined : this.#made.get(on)
    if (made === undefined || made.depth < memberAt!) return undefined
    const { stack, above } = made.place
    const place = { stack, above: above + made.depth - memberAt! }
    return lineOf(place) === undefined ? undefined : place
  }

  #segment(): Segment {
    if (this.#segments.length === 0) {
      // The turn itself: what its event calls directly.
      this.#segments.push({ owner: undefined, begun: new Map(), combined: new Map() })
    }
    return this.#segments.at(-1)!
  }
}

const combinators: ReadonlySet<string | null> = new Set(['all', 'allSettled', 'any', 'race'])

interface CallFrame {
  readonly name: string | null
  /** Undefined for what V8 has built in. */
  readonly file: string | undefined
}

/** The frames that were called, without those that wait for them, as V8 has them: innermost first. */
function callFrames(self: (...args: any[]) => unknown): { frames: CallFrame[]; above: number } {
  const { prepareStackTrace } = Error
  let above = 0
  Error.prepareStackTrace = (_, sites) => {
    const called = sites.findIndex((site) => (site as any).isAsync())
    // The innermost is the hook, called by Node when others (AsyncLocalStorage) have hooks too.
    const first = sites.findIndex((site, i) => i > 0 && site.getFileName() !== 'node:internal/promise_hooks')
    above = first + 1
    return sites.slice(first, called === -1 ? undefined : called).map((site) => ({
      name: site.getFunctionName(),
      file: site.getFileName() ?? undefined,
    }))
  }
  const holder: { stack?: CallFrame[] } = {}
  Error.captureStackTrace(holder, self)
  const frames = holder.stack!
  Error.prepareStackTrace = prepareStackTrace as NonNullable<typeof prepareStackTrace>
  return { frames, above }
}
