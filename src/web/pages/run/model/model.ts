/**
 * A run as its pages show it, derived from (events, waits, status) alone.
 *
 * M1. Keys and statuses are those of `core/graph.ts`; only causes are kept apart, because steps that start together
 *     share one list of them, which may be long.
 * M2. Steps stand in the order of asking. What says the same as before is the same object as before: whoever has drawn
 *     it, or worked something out from it, need not do so again.
 * M3. How things stood after event n follows from the first n events; what was asked for later is `ghost`.
 */

import { isTerminal, type RecordedEvent } from '../../../../core/events.ts'
import { parseRanges } from '../../../../core/frontier.ts'
import { graphOf, type PendingOperation } from '../../../../core/graph.ts'
import { isClosed } from '../../../../core/statuses.ts'
import type { RunStatus, Wait } from '../../../lib/types.ts'
import type { Known } from './events.ts'

/** One try of a step. Times are ms since the epoch. */
export interface Attempt {
  readonly n: number
  readonly startedAt: number
  /** Null: it runs still, or nobody knows what became of it. */
  readonly endedAt: number | null
  readonly outcome: 'completed' | 'failed' | 'running'
  /** The event that ended it. */
  readonly seq: number | null
  /** When the next one may begin, of one that failed and was tried again. */
  readonly nextAt: number | null
  /** Its result was given by whoever forked the run. */
  readonly set: boolean
}

/** How a step is shown: as in the graph, or said more exactly. */
export type Shown =
  | 'pending'
  | 'running'
  | 'waiting'
  | 'retrying'
  | 'completed'
  | 'failed'
  | 'skipped'
  /** At the moment that is shown nobody had asked for it yet. */
  | 'ghost'

export interface Step {
  readonly index: number
  readonly op: number
  readonly key: string
  readonly name: string
  readonly kind: string
  /** As `graph()` has it. */
  readonly status: string
  readonly shown: Shown
  /** Operations that it came after, as they are recorded. */
  readonly causes: string
  /** Indices of the steps that it came after; -1 is the start. One list for all that share it. */
  readonly after: readonly number[]
  readonly attempts: number
  readonly startedAt: number | null
  readonly endedAt: number | null
  /** Indices into the events, of those that are about it. */
  readonly events: readonly number[]
  readonly where: string | null
  /** A timer, the timeout of a wait, the next attempt. */
  readonly dueAt: number | null
  readonly child: { readonly id: string; readonly runId: string } | null
}

export interface RunModel {
  readonly events: readonly Known[]
  /** Of how many events it is the picture. */
  readonly length: number
  readonly status: RunStatus
  readonly closed: boolean
  readonly startedAt: number | null
  readonly endedAt: number | null
  readonly steps: readonly Step[]
  readonly byKey: ReadonlyMap<string, Step>
  readonly byOp: ReadonlyMap<number, Step>
  /** Operations of which the run said that it waits for them. */
  readonly waits: ReadonlySet<number>
}

export interface RunFacts {
  readonly events: readonly Known[]
  readonly waits: readonly Wait[]
  readonly status: RunStatus
}

/** The run as it is. `before`: as it was when it had fewer events; what is new since then is looked at, and no more. */
export function modelOf(facts: RunFacts, before: RunModel | null = null): RunModel {
  const { events, waits, status } = facts
  const closed = isClosed(status) || closedAfter(events, events.length)
  const steps = (before !== null ? grown(before, facts, closed) : null) ?? looked(events, null, waits, closed)
  return {
    events,
    length: events.length,
    status,
    closed,
    startedAt: events[0]?.at ?? null,
    endedAt: closed ? (events.at(-1)?.at ?? null) : null,
    waits: new Set(waits.map(({ op }) => op)),
    ...listed(linked(steps)),
  }
}

/** The first `length` events end with the one that closed the run. */
function closedAfter(events: readonly Known[], length: number): boolean {
  const last = events[length - 1]
  return last !== undefined && isTerminal(last.recorded.type)
}

/** The steps, of which those that something new is about are made anew. Null: all must be. */
function grown(before: RunModel, { events, waits }: RunFacts, closed: boolean): readonly Look[] | null {
  if (events.length < before.length || events[0] !== before.events[0]) return null
  const touched = new Set<number>([...before.waits, ...waits.map(({ op }) => op)])
  const names = new Set<string>()
  for (let i = before.length; i < events.length; i++) {
    const { op, name, facts, type } = events[i]!.recorded
    if (op === null || op === 0 || isTerminal(type)) continue
    // Which of its name it is, is not recorded with every history: then all of them are counted.
    if (!before.byOp.has(op) && !touched.has(op) && facts?.nth === undefined) names.add(name ?? '')
    touched.add(op)
  }
  for (const step of before.steps) {
    if (names.has(step.name) || waitsWithoutNumber(step, before)) return null
    if (step.endedAt === null && closed !== before.closed) touched.add(step.op)
  }
  const indices: number[] = []
  for (const op of touched) for (const i of before.byOp.get(op)?.events ?? []) indices.push(i)
  for (let i = before.length; i < events.length; i++) indices.push(i)
  indices.sort((a, b) => a - b)
  const anew = looked(events, indices, waits, closed)
  const kept = before.steps.filter(({ op }) => !touched.has(op))
  return [...kept, ...anew].sort((a, b) => a.op - b.op)
}

/** A step that no event mentions goes by what the waits say of it: they may have said less than an event will. */
function waitsWithoutNumber({ events, op }: Step, { waits }: RunModel): boolean {
  return events.length === 0 && !waits.has(op)
}

/**
 * The run as it was after its first `length` events, by these alone. Steps that came later are there as ghosts, so that
 * what is drawn keeps its place. Only what was under way then is looked at anew: the rest had ended, or was not there.
 */
export function modelAt(now: RunModel, length: number): RunModel {
  const closed = closedAfter(now.events, length)
  const changed = now.steps.filter(
    ({ events, endedAt }) =>
      events.length > 0 && events[0]! < length && (endedAt === null || events[events.length - 1]! >= length),
  )
  const indices = changed.flatMap(({ events }) => events.filter((i) => i < length)).sort((a, b) => a - b)
  const then = new Map(looked(now.events, indices, [], closed).map((step) => [step.op, step]))
  const steps = now.steps.map((step): Step => {
    if (step.events.length === 0 || step.events[0]! >= length) return ghostOf(step)
    const was = then.get(step.op)
    const { index, key, after, causes, where } = step
    return was === undefined ? step : { ...was, index, key, after, causes, where }
  })
  const status = closed ? now.status : length < 2 ? 'pending' : executes(steps) ? 'running' : 'waiting'
  const endedAt = closed ? now.events[length - 1]!.at : null
  return { ...now, length, status, closed, endedAt, ...listed(steps) }
}

function listed(steps: readonly Step[]): Pick<RunModel, 'steps' | 'byKey' | 'byOp'> {
  return {
    steps,
    byKey: new Map(steps.map((step) => [step.key, step])),
    byOp: new Map(steps.map((step) => [step.op, step])),
  }
}

const ghosts = new WeakMap<Step, Step>()

function ghostOf(step: Step): Step {
  const known = ghosts.get(step)
  if (known !== undefined) return known
  const ghost: Step = {
    ...step,
    status: 'pending',
    shown: 'ghost',
    attempts: 0,
    startedAt: null,
    endedAt: null,
    events: [],
    dueAt: null,
    child: null,
  }
  ghosts.set(step, ghost)
  return ghost
}

/** Something executes, or nothing is open: then its function does. */
function executes(steps: readonly Step[]): boolean {
  const open = steps.filter(({ shown }) => shown === 'running' || shown === 'waiting' || shown === 'retrying')
  return open.length === 0 || open.some(({ shown, kind }) => shown === 'running' && kind !== 'child')
}

/** A step without its place among the others. */
type Look = Omit<Step, 'index' | 'after'> & Partial<Pick<Step, 'index' | 'after'>>

/** Steps, from some of the events (indices of them; null: all) and what is waited for. */
function looked(
  events: readonly Known[],
  indices: readonly number[] | null,
  waits: readonly Wait[],
  closed: boolean,
): readonly Look[] {
  const ofOp = new Map<number, number[]>()
  const recorded: RecordedEvent[] = []
  const look = (i: number) => {
    const event = events[i]!.recorded
    recorded.push(event)
    const { op, type } = event
    if (op === null || op === 0 || isTerminal(type)) return
    const own = ofOp.get(op)
    if (own === undefined) ofOp.set(op, [i])
    else own.push(i)
  }
  if (indices === null) for (let i = 0; i < events.length; i++) look(i)
  else for (const i of indices) look(i)
  const pending = waits.map(({ causes: _, ...wait }) => ({ ...wait, causes: '' })) as unknown as PendingOperation[]
  // Which way it was closed is of no importance here.
  const { nodes } = graphOf(recorded, pending, closed ? 'completed' : 'running')
  const waiting = new Map(waits.map((wait) => [wait.op, wait]))
  const ops = [...new Set([...ofOp.keys(), ...waiting.keys()])].sort((a, b) => a - b)
  return nodes.slice(1).map((node, i): Look => {
    const op = ops[i]!
    const own = ofOp.get(op) ?? []
    const wait = waiting.get(op)
    let causes: string | undefined
    let where: string | undefined
    let child: Step['child'] = null
    let dueAt: number | null = wait?.dueAt ?? null
    for (const each of own) {
      const event = events[each]!
      const { facts, type } = event.recorded
      causes ??= event.causes
      where ??= facts?.where
      if (facts?.dueAt !== undefined) dueAt = facts.dueAt
      if (type === 'ChildStarted' && facts?.runId !== undefined) {
        child = { id: facts.id ?? facts.runId, runId: facts.runId }
      }
    }
    const last = own.length === 0 ? null : events[own.at(-1)!]!.recorded.type
    return {
      op,
      key: node.key,
      name: node.name,
      kind: node.kind,
      status: node.status,
      shown: shownAs(node.status, node.kind, last, wait),
      causes: causes ?? wait?.causes ?? '',
      attempts: node.attempts,
      startedAt: node.startedAt === undefined ? null : Date.parse(String(node.startedAt)),
      endedAt: node.endedAt === undefined ? null : Date.parse(String(node.endedAt)),
      events: own,
      where: where ?? wait?.where ?? null,
      dueAt,
      child,
    }
  })
}

/** The steps in their places, with what they came after. A list is made once for all that have the same causes. */
function linked(looks: readonly Look[]): readonly Step[] {
  const indexOf = new Map(looks.map(({ op }, index) => [op, index]))
  const lists = new Map<string, readonly number[]>()
  return looks.map((look, index): Step => {
    let after = lists.get(look.causes)
    if (after === undefined) {
      // A cause that no event mentions was cancelled before it did anything.
      const made = parseRanges(look.causes).flatMap((op) => (op === 0 ? -1 : (indexOf.get(op) ?? [])))
      const before = look.after
      const isSame = before?.length === made.length && before.every((each, i) => each === made[i])
      after = isSame ? before : made
      lists.set(look.causes, after)
    }
    return look.index === index && look.after === after ? (look as Step) : { ...look, index, after }
  })
}

const waits: ReadonlySet<string> = new Set(['timer', 'sleep', 'signal', 'condition'])

function shownAs(status: string, kind: string, last: string | null, wait: Wait | undefined): Shown {
  if (status === 'running' && waits.has(kind)) return 'waiting'
  if (status === 'running' && (last === 'AttemptFailed' || (last === null && (wait?.attempts ?? 0) > 0))) {
    return 'retrying'
  }
  return status as Shown
}

// ── attempts and times ───────────────────────────────────────────────────────────────────────────

const ends: Readonly<Record<string, 'completed' | 'failed'>> = {
  StepCompleted: 'completed',
  StepFailed: 'failed',
  AttemptFailed: 'failed',
}

/** The attempts of a step, in order, as far as they are on record. `now`: for one that runs, ms since the epoch. */
export function attemptsOf(step: Step, events: readonly Known[], now: number): readonly Attempt[] {
  const attempts: Attempt[] = []
  let begun: number | null = null
  for (const i of step.events) {
    const { json, recorded, at } = events[i]!
    const { type, facts } = recorded
    const outcome = ends[type]
    if (type === 'StepScheduled') begun ??= facts?.began ?? at
    if (outcome === undefined) continue
    attempts.push({
      n: facts?.attempt ?? 1,
      startedAt: facts?.began ?? begun ?? at,
      endedAt: at,
      outcome,
      seq: json.seq,
      nextAt: type === 'AttemptFailed' ? (facts?.dueAt ?? null) : null,
      set: facts?.set === true,
    })
  }
  if (step.endedAt === null && (step.shown === 'running' || step.shown === 'retrying')) {
    const last = attempts.at(-1)
    // No event says that another attempt has begun: it may, from when it was due.
    const from = last === undefined ? (begun ?? step.startedAt) : (last.nextAt ?? last.endedAt)
    if (from !== null && from <= now && (last === undefined || step.shown === 'retrying')) {
      const n = (last?.n ?? 0) + 1
      attempts.push({ n, startedAt: from, endedAt: null, outcome: 'running', seq: null, nextAt: null, set: false })
    }
  }
  return attempts
}

export type SegmentKind = 'queued' | 'executing' | 'failed' | 'retry wait' | 'waiting'

export interface Segment {
  readonly kind: SegmentKind
  readonly from: number
  readonly to: number
  /** It goes on. */
  readonly open: boolean
  readonly attempt?: number
}

/** When all that a step came after was done; null: something is not. */
export function readyAt(step: Step, model: RunModel): number | null {
  let latest = model.startedAt
  for (const index of step.after) {
    if (index < 0) continue
    const { endedAt } = model.steps[index]!
    if (endedAt === null) return null
    latest = Math.max(latest ?? 0, endedAt)
  }
  return latest
}

/** How a step spent its time, in order and without overlaps. */
export function segmentsOf(step: Step, model: RunModel, now: number): readonly Segment[] {
  if (step.shown === 'ghost' || step.startedAt === null) return []
  const end = step.endedAt ?? (model.closed ? (model.endedAt ?? now) : now)
  if (step.kind !== 'step' && step.kind !== 'transaction') {
    return [
      { kind: step.kind === 'child' ? 'executing' : 'waiting', from: step.startedAt, to: end, open: isOpen(step) },
    ]
  }
  const segments: Segment[] = []
  const add = (kind: SegmentKind, from: number, to: number, more: { open?: boolean; attempt?: number } = {}) => {
    if (to > from || kind === 'executing' || kind === 'failed') {
      segments.push({ kind, from, to: Math.max(from, to), open: false, ...more })
    }
  }
  const attempts = attemptsOf(step, model.events, now)
  const ready = readyAt(step, model)
  const first = attempts[0]?.startedAt ?? step.startedAt
  if (ready !== null) add('queued', ready, first)
  for (const [i, attempt] of attempts.entries()) {
    const { startedAt, endedAt, outcome, n, nextAt } = attempt
    const kind = outcome === 'failed' ? 'failed' : 'executing'
    add(kind, startedAt, endedAt ?? end, { attempt: n, open: endedAt === null && isOpen(step) })
    const next = attempts[i + 1]
    if (endedAt !== null && next !== undefined) add('retry wait', endedAt, next.startedAt)
    else if (endedAt !== null && nextAt !== null && isOpen(step))
      add('retry wait', endedAt, Math.max(now, endedAt), { open: true })
  }
  return segments
}

export function isOpen({ shown }: Step): boolean {
  return shown === 'running' || shown === 'waiting' || shown === 'retrying' || shown === 'pending'
}

/** Sums of a step's times by what they were spent on, ms. */
export function timesOf(segments: readonly Segment[]): Readonly<Record<SegmentKind, number>> {
  const sums = { queued: 0, executing: 0, failed: 0, 'retry wait': 0, waiting: 0 }
  for (const { kind, from, to } of segments) sums[kind] += to - from
  return sums
}

/**
 * The chain of steps that determined when the run ended (or how far it is): from the step that ended last, back over
 * whichever cause ended last. Indices, first to last.
 */
export function criticalPath({ steps }: RunModel): readonly number[] {
  const endOf = ({ endedAt, shown, startedAt }: Step) =>
    endedAt ??
    (shown === 'running' || shown === 'waiting' || shown === 'retrying'
      ? startedAt === null
        ? -1
        : Number.MAX_VALUE
      : -1)
  let last: Step | null = null
  for (const step of steps)
    if (step.shown !== 'skipped' && endOf(step) >= 0 && (last === null || endOf(step) >= endOf(last))) last = step
  const path: number[] = []
  while (last !== null) {
    path.push(last.index)
    let before: Step | null = null
    for (const index of last.after) {
      const cause = index < 0 ? null : steps[index]!
      if (cause !== null && (before === null || endOf(cause) > endOf(before))) before = cause
    }
    last = before
  }
  return path.reverse()
}

/** Edges of the graph, as `graph()` has them: keys of nodes. */
export function edgesOf({ steps }: RunModel): readonly { readonly from: string; readonly to: string }[] {
  return steps.flatMap(({ key, after }) =>
    after.map((index) => ({ from: index < 0 ? 'start' : steps[index]!.key, to: key })),
  )
}

/** Search attributes as they were: those that the run itself set later are taken away. */
export function attributesAt(
  attributes: Readonly<Record<string, unknown>> | null,
  events: readonly Known[],
  length: number,
): Readonly<Record<string, unknown>> {
  const result: Record<string, unknown> = { ...attributes }
  const before: Record<string, unknown> = {}
  for (const [i, { json }] of events.entries()) {
    if (json.type !== 'AttributesSet') continue
    const set = (json.data?.attributes ?? {}) as Record<string, unknown>
    if (i < length) Object.assign(before, set)
    for (const key of Object.keys(set)) delete result[key]
  }
  return { ...result, ...before }
}
