/**
 * The history that a fork begins with: a prefix of another run's, made into one of its own.
 *
 * K1. Kept are the events before the *cut*: before the event that settles the operation named, all of them when nothing
 *     has settled it yet. The event that closes a run is never kept.
 * K2. What the prefix leaves pending is done anew, so nothing of how it was begun is kept: no mark, no failed attempt.
 * K3. Kept events stand in their order and with their times, numbered from 1 without holes. What refers to a number is
 *     renumbered; randomness is seeded as it was (`from`), so the prefix draws what it drew. What the fork does behind it
 *     draws numbers of its own: two runs never make the same id.
 * K4. A patch that the other run came upon in the prefix is on record in the fork, also when its event stood behind the
 *     cut: the same code takes the same path.
 * K5. No child belongs to two open runs. Whether one that the prefix leaves open is started anew or taken over is asked
 *     for; where the code awaited its start, started anew means that the cut comes before that.
 */
import { decode, decodeError } from './codec.js'
import { ChildFailure, InvalidInputError, StepFailure, StetError } from './errors.js'
import { type EventFacts, type EventType, isTerminal, type RecordedEvent } from './events.js'
import { graphOf, type PendingOperation } from './graph.js'
import { stepFailure } from './recorded-failures.js'
import { didYouMean } from './suggest.js'
import type { RunGraph } from './types.js'

export interface ForkRequest {
  /** The run that is forked. */
  readonly runId: string
  /** The database's time, ms since the epoch. */
  readonly now: number
  /**
   * What runs anew first: the key of a step, the number of an event, or the failure that ended the run. May be left out
   * when results are set: then it is what comes behind the earliest of them.
   */
  readonly at?: string | number | 'last-failure' | undefined
  /** Replaces the input; encoded. */
  readonly input?: { readonly payload: string | null } | undefined
  /** Results of steps by their key, encoded. */
  readonly set?: ReadonlyMap<string, string | null> | undefined
  /** What becomes of children that the prefix leaves open; `rerun` unless given. */
  readonly children?: 'rerun' | 'keep' | undefined
  /** What the run waits for and no event mentions. */
  readonly pending?: readonly PendingOperation[] | undefined
}

export interface ForkedHistory {
  readonly events: readonly RecordedEvent[]
  /** The first event of the other run that the fork does not share. */
  readonly cut: number
  /** How many events of the other run it shares. */
  readonly kept: number
  /** Key of the step at the cut, if there is one. */
  readonly anew: string | null
  /** A child whose start the code awaited moved the cut before it: its key. */
  readonly movedBy: string | null
  /** Signals that the other run took in behind the cut, in order. */
  readonly redeliver: readonly { readonly name: string; readonly payload: string | null }[]
  /** Updates in the prefix, and where in the fork their answers stand; null: still to be answered. */
  readonly updates: readonly { readonly messageId: string; readonly answer: number | null }[]
  /** Children that the prefix started and that go on for the fork (`keep`). */
  readonly taken: readonly { readonly op: number; readonly runId: string }[]
  /** Children of the other run whose end it has not seen. */
  readonly open: readonly string[]
  /** Search attributes that the other run set behind the cut. */
  readonly unset: readonly string[]
}

const settling: ReadonlySet<EventType> = new Set([
  'StepCompleted',
  'StepFailed',
  'StepSkipped',
  'ChildCompleted',
  'ChildFailed',
  'TimerFired',
  'TimerCancelled',
  'SignalReceived',
] as const)

/** What tells that an operation was begun. */
const begins: ReadonlySet<EventType> = new Set(['StepScheduled', 'AttemptFailed', 'TimerStarted'] as const)

/** Events that are put on record and wake nobody. Those of `begins` too; the start of a child may be one. */
const silent: ReadonlySet<EventType> = new Set([
  ...begins,
  'TimerCancelled',
  'PatchMarked',
  'AttributesSet',
  'UpdateCompleted',
  'UpdateRejected',
] as const)

/**
 * The history of a fork. Pure: nothing is written, no code runs.
 *
 * Steps that run anew in the fork have its own idempotency keys, and children that it starts have run ids of their own:
 * both follow from the run id.
 *
 * @throws InvalidInputError when `at` or a key of `set` names nothing in the history: says what can be named
 * @throws StetError with code `no_failure` for `last-failure` of a run that did not fail
 * @example forkHistory(events, { runId, now, at: 'charge' }).kept
 */
export function forkHistory(events: readonly RecordedEvent[], request: ForkRequest): ForkedHistory {
  if (events[0]?.type !== 'RunStarted') {
    throw new InvalidInputError(
      `fork: expected a history that begins with RunStarted, got ${events[0]?.type ?? 'none'}.`,
    )
  }
  const { runId, now, input, set = new Map<string, string | null>(), children = 'rerun', pending = [] } = request
  const operations = new Operations(events, pending)
  const wanted = new Map([...set].map(([key, payload]) => [operations.step(key, 'set').op, payload]))
  const named = cutOf(events, request, operations)
  const cut = children === 'rerun' ? beforeAwaitedStarts(events, named) : named
  const prefix = events.slice(0, cut - 1).filter(({ type }) => !isTerminal(type))
  const settled = settledIn(prefix)
  const asked = lastAsked(events, cut, pending)
  for (const [op] of wanted) {
    if (settled.has(op) || op <= asked) continue
    throw new InvalidInputError(
      `fork: set: step "${operations.keyOf(op)}" was not asked for yet at event ${cut}, where the fork parts. Fork at a later place, or set that step alone.`,
    )
  }
  for (const op of wanted.keys()) settled.add(op)

  const draft = new Draft(events[0].facts?.seed ?? runId)
  const taken: { op: number; runId: string }[] = []
  for (const event of prefix) {
    const { type, op, facts } = event
    if (type === 'RunStarted') {
      const { parent: _, seed: __, runId: ___, ...rest } = facts ?? {}
      const fork = { runId, seq: cut, at: now }
      draft.copy(event, { payload: input === undefined ? event.payload : input.payload, facts: { ...rest, fork } })
    } else if (op !== null && wanted.has(op) && (type === 'StepCompleted' || type === 'StepFailed')) {
      draft.copy(event, { type: 'StepCompleted', payload: wanted.get(op)!, facts: { ...facts, set: true } })
      wanted.delete(op)
    } else if (op === null || settled.has(op) || (!begins.has(type) && type !== 'ChildStarted')) {
      draft.copy(event)
    } else if (type === 'ChildStarted' && children === 'keep') {
      draft.copy(event)
      taken.push({ op, runId: facts?.runId ?? '' })
    }
  }
  for (const [op, payload] of [...wanted].sort(([a], [b]) => a - b)) {
    const { name, facts } = operations.about(op)
    const at = Math.max(now, prefix.at(-1)!.at)
    draft.add({ seq: 0, type: 'StepCompleted', op, name, payload, facts: { ...facts, set: true }, at })
  }
  const behind = events.slice(cut - 1)
  draft.addPatches(behind.filter(({ type }) => type === 'PatchMarked'))
  const before = attributesSet(prefix)
  return {
    events: draft.events,
    cut,
    kept: draft.kept,
    anew: anewAt(events, cut, request, operations),
    movedBy: cut === named ? null : operations.keyOf(events[cut - 1]!.op!),
    // What was taken in a second time is the same message.
    redeliver: behind.flatMap(({ type, name, payload, facts }) =>
      type === 'SignalReceived' && facts?.again === undefined ? [{ name: name!, payload }] : [],
    ),
    updates: updatesIn(draft.events),
    taken,
    open: openChildren(events),
    unset: [...attributesSet(behind)].filter((key) => !before.has(key)),
  }
}

/** Keys that can be given as `at`, in the order of asking. */
export function forkKeys(events: readonly RecordedEvent[], pending: readonly PendingOperation[] = []): string[] {
  return new Operations(events, pending).keys
}

// ── where ────────────────────────────────────────────────────────────────────────────────────────

function cutOf(events: readonly RecordedEvent[], { at, set }: ForkRequest, operations: Operations): number {
  const end = isTerminal(events.at(-1)!.type) ? events.length : events.length + 1
  if (at === undefined) {
    const places = [...(set?.keys() ?? [])].map((key) => operations.settledBy(operations.step(key, 'set').op) ?? end)
    if (places.length > 0) return Math.min(...places)
    throw new InvalidInputError(`fork: at: expected the place of the fork. ${operations.choice(events.length)}`)
  }
  if (typeof at === 'number') {
    if (Number.isInteger(at) && at >= 2 && at <= events.length + 1) return Math.min(at, end)
    throw new InvalidInputError(
      `fork: at: expected the number of an event from 2 to ${events.length + 1}, got ${String(at)}. The first is the start of the run, which every fork keeps.`,
    )
  }
  if (at === 'last-failure') return lastFailure(events, operations)
  // The start itself stays; what it led to does not.
  if (at === 'start') return 2
  const { op } = operations.find(at, 'at')
  return operations.settledBy(op) ?? end
}

/** The event that ended the run in failure: the step or child whose failure came out of the function, else the end itself. */
function lastFailure(events: readonly RecordedEvent[], operations: Operations): number {
  const end = events.at(-1)!
  if (end.type !== 'RunFailed') {
    throw new StetError(
      'no_failure',
      `fork: the run did not fail, so there is no last failure to fork at. ${operations.choice(events.length)}`,
    )
  }
  // The run's time was up, or its result could not be stored: no step is to blame.
  if (end.facts?.kind !== undefined) return end.seq
  const failures = events.filter(({ type }) => type === 'StepFailed' || type === 'ChildFailed')
  for (const error of errorsIn(end.payload === null ? undefined : decodeError(end.payload))) {
    const named = failures.filter((event) => isNamedBy(event, error))
    const found = named.findLast((event) => isToldBy(event, error)) ?? named.at(-1)
    if (found !== undefined) return found.seq
  }
  // An error that names no failure as its cause was thrown all the same in the turn of the last event that had one.
  const last = events.findLast(({ type, seq }) => seq < end.seq && !silent.has(type))
  return last?.type === 'StepFailed' || last?.type === 'ChildFailed' ? last.seq : end.seq
}

/** An error and what it says caused it, the outermost first. */
function errorsIn(thrown: unknown): unknown[] {
  const found: unknown[] = [thrown]
  // A recorded error is a tree of bounded depth.
  for (const each of found) {
    const { cause, errors } = (each ?? {}) as { cause?: unknown; errors?: unknown }
    if (typeof cause === 'object' && cause !== null) found.push(cause)
    if (each instanceof AggregateError && Array.isArray(errors)) found.push(...errors)
  }
  return found
}

function isNamedBy({ type, name, facts }: RecordedEvent, error: unknown): boolean {
  return type === 'ChildFailed'
    ? error instanceof ChildFailure && facts?.runId === error.runId
    : error instanceof StepFailure && name === error.step
}

/** Several steps may have one name: their failures are told apart by what they say. */
function isToldBy(event: RecordedEvent, error: unknown): boolean {
  return event.type === 'StepFailed' && stepFailure(event.name!, event).message === (error as Error).message
}

/**
 * The cut, moved before the first start of a child that the code saw: what it did upon that would not fit a history in
 * which the child is yet to be started. A child that was asked to cancel was seen too.
 */
function beforeAwaitedStarts(events: readonly RecordedEvent[], named: number): number {
  for (let cut = named; ; ) {
    const prefix = events.slice(0, cut - 1)
    const settled = settledIn(prefix)
    const cancelled = prefix.some(({ type }) => type === 'CancelRequested')
    const names = new Set(prefix.map(({ name }) => name))
    const seen = ({ type, op, facts }: RecordedEvent) =>
      type === 'ChildStarted' &&
      !settled.has(op!) &&
      (facts?.staged === true || cancelled || names.has(`cancel ${facts?.id ?? ''}`.slice(0, 200)))
    const first = prefix.find(seen)
    if (first === undefined) return cut
    cut = first.seq
  }
}

/** The step whose settling the cut stands before. */
function anewAt(
  events: readonly RecordedEvent[],
  cut: number,
  { at, set }: ForkRequest,
  operations: Operations,
): string | null {
  const { op = null, type } = events[cut - 1] ?? {}
  const there = op !== null && op > 0 && type !== undefined ? operations.keyOf(op) : null
  const key = there ?? (typeof at === 'string' && operations.has(at) ? at : null)
  // A result that is given does not run anew.
  return key === null || set?.has(key) ? null : key
}

// ── what the history says ────────────────────────────────────────────────────────────────────────

/** The operations of a history by the keys that they have in the graph. */
class Operations {
  readonly #events: readonly RecordedEvent[]
  readonly #pending: readonly PendingOperation[]
  readonly #nodes = new Map<string, RunGraph['nodes'][number] & { readonly op: number }>()
  readonly #keys = new Map<number, string>()

  constructor(events: readonly RecordedEvent[], pending: readonly PendingOperation[]) {
    this.#events = events
    this.#pending = pending
    const mentioned = [...events, ...pending].flatMap(({ op }) => (op !== null && op > 0 ? [op] : []))
    // The nodes of a graph stand in the order of asking, after the start.
    const ops = [...new Set(mentioned)].sort((a, b) => a - b)
    for (const [i, node] of graphOf(events, pending).nodes.slice(1).entries()) {
      this.#nodes.set(node.key, { ...node, op: ops[i]! })
      this.#keys.set(ops[i]!, node.key)
    }
  }

  get keys(): string[] {
    return [...this.#nodes.keys()]
  }

  has(key: string): boolean {
    return this.#nodes.has(key)
  }

  keyOf(op: number): string | null {
    return this.#keys.get(op) ?? null
  }

  find(key: string, what: string): { readonly op: number; readonly kind: string } {
    const node = this.#nodes.get(key)
    if (node !== undefined) return node
    const got = typeof key === 'string' ? `"${key}"` : String(key)
    throw new InvalidInputError(
      `fork: ${what}: the history has no step ${got}.${didYouMean(String(key), this.keys)} ${this.choice(this.#events.length)}`,
    )
  }

  /** A step that can be given a result. */
  step(key: string, what: string): { readonly op: number } {
    const { op, kind } = this.find(key, what)
    const skipped = this.#events.some((event) => event.op === op && event.type === 'StepSkipped')
    if (kind === 'step' && !skipped) return { op }
    throw new InvalidInputError(
      `fork: ${what}: "${key}" ${skipped ? 'was skipped' : `is a ${kind}`}, and only a step can be given a result.`,
    )
  }

  /** The event that settled it; undefined: none has. */
  settledBy(op: number): number | undefined {
    return this.#events.find((event) => event.op === op && settling.has(event.type))?.seq
  }

  /** Its name and its place in the run. */
  about(op: number): { name: string; facts: EventFacts } {
    const known = this.#events.find((event) => event.op === op)
    if (known !== undefined) return { name: known.name!, facts: pick(known.facts ?? {}) }
    const { name, causes, nth } = this.#pending.find((each) => each.op === op)!
    return { name, facts: pick({ causes, ...(nth === undefined ? {} : { nth }) }) }
  }

  /** For people: what can be given as a place. */
  choice(length: number): string {
    const shown = this.keys.slice(0, 20).map((key) => `"${key}"`)
    const more = this.#nodes.size > shown.length ? `, … (${this.#nodes.size} in all)` : ''
    const steps = shown.length === 0 ? 'It has no steps yet' : `Its steps: ${shown.join(', ')}${more}`
    return `${steps}. Or give the number of an event, from 2 to ${length + 1}.`
  }
}

function pick({ causes, where, nth }: EventFacts): EventFacts {
  return {
    ...(causes === undefined ? {} : { causes }),
    ...(where === undefined ? {} : { where }),
    ...(nth === undefined || nth === 1 ? {} : { nth }),
  }
}

function settledIn(events: readonly RecordedEvent[]): Set<number> {
  return new Set(events.flatMap(({ type, op }) => (op !== null && settling.has(type) ? [op] : [])))
}

/**
 * The last operation that was surely asked for before the cut. Operations are numbered in the order of asking, and new
 * ones are asked for in turns alone: so what an event mentions was asked for before the turn in front of it was over.
 */
function lastAsked(events: readonly RecordedEvent[], cut: number, pending: readonly PendingOperation[]): number {
  const turn = events.findIndex(({ type, seq }) => seq >= cut && !silent.has(type))
  const known = turn === -1 ? [...events, ...pending] : events.slice(0, turn + 1)
  return known.reduce((last, { op }) => Math.max(last, op ?? 0), 0)
}

function openChildren(events: readonly RecordedEvent[]): string[] {
  const settled = settledIn(events)
  return events.flatMap(({ type, op, facts }) =>
    type === 'ChildStarted' && !settled.has(op!) && facts?.runId !== undefined ? [facts.runId] : [],
  )
}

function attributesSet(events: readonly RecordedEvent[]): Set<string> {
  return new Set(
    events.flatMap(({ type, payload }) =>
      type === 'AttributesSet' ? Object.keys((decode(payload) ?? {}) as object) : [],
    ),
  )
}

function updatesIn(events: readonly RecordedEvent[]): ForkedHistory['updates'] {
  const answers = new Map<string, number | null>()
  for (const { type, facts, seq } of events) {
    if (facts?.id === undefined) continue
    if (type === 'UpdateReceived') answers.set(facts.id, null)
    else if (type === 'UpdateCompleted' || type === 'UpdateRejected') answers.set(facts.id, seq)
  }
  return [...answers].map(([messageId, answer]) => ({ messageId, answer }))
}

// ── the new history ──────────────────────────────────────────────────────────────────────────────

class Draft {
  readonly events: RecordedEvent[] = []
  kept = 0
  readonly #seed: string
  /** New numbers of the events that were copied. */
  readonly #seqs = new Map<number, number>()

  /** `seed`: what the other run's randomness is seeded with, beside the number of the event. */
  constructor(seed: string) {
    this.#seed = seed
  }

  copy(event: RecordedEvent, change: Partial<RecordedEvent> = {}): void {
    const { again, ...facts } = (change.facts === undefined ? event.facts : change.facts) ?? {}
    if (!silent.has(event.type)) facts.from ??= `${this.#seed}:${event.seq}`
    const renumbered = again === undefined ? facts : { ...facts, again: this.#seqs.get(again) ?? again }
    this.kept++
    this.#seqs.set(event.seq, this.events.length + 1)
    this.add({ ...event, ...change, facts: Object.keys(renumbered).length === 0 ? null : renumbered })
  }

  add(event: RecordedEvent): void {
    this.events.push({ ...event, seq: this.events.length + 1 })
  }

  /**
   * Before the last event that has a turn: what is decided in that turn is decided beyond the recorded history anyway.
   */
  addPatches(marks: readonly RecordedEvent[]): void {
    const last = this.events.findLastIndex(({ type }) => !silent.has(type))
    if (marks.length === 0 || this.events.length === 1) return
    const rest = this.events.splice(Math.max(1, last))
    // Nothing refers to an event as late as this, but a message that was taken in again.
    for (const mark of marks) this.copy(mark)
    for (const event of rest) this.add(event)
  }
}
