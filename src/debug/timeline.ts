/**
 * A replayed run that can be looked at after any of its events.
 *
 * W1. Every look is a replay of its own, from the first event: going back is replaying to n − 1.
 * W2. A first replay, which looks at nothing, notes where ctx was called from. It tells later ones which calls are
 *     worth reading locals at: those that made the operations that are pending, those that show the functions that wait
 *     for them, and no others.
 */
import { isTerminal, type RecordedEvent } from '../core/events.js'
import type { Blockage, LogLevel, Outcome, RunIdentity } from '../core/execution.js'
import type { Operation } from '../core/operation.js'
import type { Definition } from '../core/workflow.js'
import { placeOf, type RawFrame, userFrames } from './places.js'
import { type Frame, Probe, type Watched } from './probe.js'
import { ReplaySession, type SessionHooks, type Step } from './session.js'
import { replayWhole, type Whole } from './whole.js'

/** A call of ctx: where it came from, in which event's turn, and the operation that it asked for. */
interface Call {
  readonly seq: number
  readonly frames: readonly RawFrame[]
  /** Index of the first operation that was asked for in it or after it. */
  readonly op: number
}

/** A function that waits, as it was when it was last on the stack. */
export interface Waiting extends Frame {
  /** The event in whose turn that was. */
  readonly asOf: number
}

export interface PendingView {
  readonly operation: Operation
  /** From the code that asked outwards; where each waits now. Empty where stet itself asked (the tasks of a dag). */
  readonly waiting: readonly Waiting[]
}

/** A run as it was after one of its events. */
export interface Moment {
  readonly step: Step
  readonly outcome: Outcome | null
  readonly blockage: Blockage | null
  /** What its code did in the turn of the event. */
  readonly watched: Watched
  readonly logs: readonly { readonly level: LogLevel; readonly message: string; readonly fields: object | undefined }[]
  readonly pending: readonly PendingView[]
  /** Pending operations beyond those in `pending`. */
  readonly more: number
}

/** Of so many turns before the one that is looked at, the stacks are taken. */
const windowOfCalls = 1_000
/** So many pending operations have their locals read. */
const maxPending = 30

export class TimeMachine {
  readonly definition: Definition
  readonly identity: RunIdentity
  readonly events: readonly RecordedEvent[]
  readonly #live: ReadonlySet<string>
  #timeline: Promise<Whole> | null = null
  /** Calls of ctx, with their stacks where they were made in turns from `from` to `to`. */
  #calls: { readonly list: readonly Call[]; readonly from: number; readonly to: number } = { list: [], from: 0, to: 0 }
  #probe: Probe | null = null

  /** `live`: names of steps whose bodies really run, once, in the first replay. */
  constructor(
    definition: Definition,
    identity: RunIdentity,
    events: readonly RecordedEvent[],
    { live = [] }: { live?: readonly string[] } = {},
  ) {
    this.definition = definition
    this.identity = identity
    this.events = events
    this.#live = new Set(live)
  }

  /** Of the whole history. */
  timeline(): Promise<Whole> {
    this.#timeline ??= replayWhole(this.definition, this.identity, this.events, this.#live, (session) =>
      this.#notingCalls(this.events.length, session),
    )
    return this.#timeline
  }

  /** Notes the calls of the turns up to `seq`: of all, or, for it takes time, of as many as are likely to be asked for. */
  #notingCalls(seq: number, session: () => ReplaySession): SessionHooks {
    const calls: Call[] = []
    this.#calls = { list: calls, from: seq - windowOfCalls, to: seq }
    const { from } = this.#calls
    return {
      called: () => {
        const { lastSeq, operationCount } = session().execution
        const frames = lastSeq > from && lastSeq <= seq ? userFrames() : []
        calls.push({ seq: lastSeq, frames, op: operationCount + 1 })
      },
    }
  }

  /** The run after event `seq`; after the last that the code fits, when it does not come so far. */
  async at(seq: number): Promise<Moment> {
    const timeline = await this.timeline()
    const last = Math.min(seq, timeline.steps.length)
    if (last > this.#calls.to || (last <= this.#calls.from && this.#calls.from > 0)) {
      const session: ReplaySession = this.#session(this.#notingCalls(last, () => session))
      await session.skipTo(last + 1)
    }
    const before = this.#pendingAt(last, timeline)
    const { outcome, blockage } = last === timeline.steps.length ? timeline : timeline.steps[last - 1]!
    const found = { outcome, blockage, more: before.more }
    const known = timeline.steps[last - 1]!
    if (isTerminal(known.event.type) && before.pending.length === 0) {
      // No code runs in its turn, and none waits: there is nothing to replay for.
      return { ...found, step: known, watched: { ran: [], frames: [], cut: false }, logs: [], pending: [] }
    }
    this.#probe ??= new Probe(this.definition)
    const probe = this.#probe
    const captured = new Map<number, Waiting[]>()
    const logs: { level: LogLevel; message: string; fields: object | undefined }[] = []
    let n = 0
    const session = this.#session({
      called: () => {
        const call = n++
        if (!before.calls.has(call)) return
        captured.set(
          call,
          probe.capture().map((frame) => ({ ...frame, asOf: session.execution.lastSeq })),
        )
      },
      log: (level, message, fields) => logs.push({ level, message, fields }),
    })
    let step: Step | null = null
    await session.skipTo(last)
    session.execution.live = true
    const stop = probe.watch()
    try {
      step = await session.next()
    } finally {
      session.execution.live = false
    }
    const watched = stop()
    session.execution.drop()
    const pending = before.pending.map(({ operation, frames }) => ({
      operation,
      waiting: frames.flatMap(({ call, index, raw }) => {
        const frame = captured.get(call)?.[index]
        // Where it waits now is known from the stack of the one that it waits for.
        return frame === undefined ? [] : [{ ...frame, ...placeOf(raw) }]
      }),
    }))
    return { ...found, step: step ?? known, watched, logs, pending }
  }

  /** What the code did in the turn of each event, in one replay. */
  async trace(): Promise<readonly Watched[]> {
    this.#probe ??= new Probe(this.definition)
    const all: Watched[] = []
    const session = this.#session({})
    for (;;) {
      const stop = this.#probe.watch()
      const step = await session.next()
      const watched = stop()
      if (step === null) return all
      all.push(watched)
    }
  }

  close(): void {
    this.#probe?.close()
    this.#probe = null
  }

  #session(hooks: SessionHooks): ReplaySession {
    return new ReplaySession(this.definition, { ...this.identity }, this.events, hooks)
  }

  /** What is pending after an event, and at which calls its functions are to be looked at (W2). */
  #pendingAt(last: number, { steps }: Whole) {
    const calls = this.#calls.list
    const open = new Set<Operation>()
    for (const { asked, settled } of steps.slice(0, last)) {
      for (const operation of asked) open.add(operation)
      for (const operation of settled) open.delete(operation)
    }
    const all = [...open]
    const shown = all.length <= maxPending ? all : [...all.slice(0, maxPending - 5), ...all.slice(-5)]
    const wanted = new Set<number>()
    const pending = shown.map((operation) => {
      const call = callOf(operation, calls)
      const frames = call === -1 ? [] : framesOf(call, calls)
      for (const { call } of frames) wanted.add(call)
      return { operation, frames }
    })
    return { pending, calls: wanted, more: all.length - shown.length }
  }
}

/** The call that asked for an operation; −1: stet did by itself. */
function callOf({ index }: Operation, calls: readonly Call[]): number {
  let [low, high] = [0, calls.length]
  // The last call that begins with this operation or an earlier one.
  while (low < high) {
    const middle = (low + high) >> 1
    if (calls[middle]!.op <= index) low = middle + 1
    else high = middle
  }
  return calls[low - 1]?.op === index ? low - 1 : -1
}

/** For each function between a call and the workflow: the call at which it was on the stack last, and its place there. */
function framesOf(call: number, calls: readonly Call[]): { call: number; index: number; raw: RawFrame }[] {
  return calls[call]!.frames.flatMap((raw, index) => {
    if (!raw.suspended) return [{ call, index, raw }]
    for (let i = call - 1; i >= 0; i--) {
      const at = calls[i]!.frames.findIndex(({ fn, url, suspended }) => !suspended && fn === raw.fn && url === raw.url)
      if (at !== -1) return [{ call: i, index: at, raw }]
    }
    return []
  })
}
