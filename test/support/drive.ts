/**
 * Drives an Execution by hand: no database, no clock, no worker. Commands are performed in virtual time, their results
 * become the events that the runner would record, and each event is delivered in a turn of its own. Any prefix of the
 * recorded history can be replayed and held against what happened the first time.
 */
import { decode, encode, encodeError } from '../../src/core/codec.js'
import type { EventDraft, EventFacts, RecordedEvent } from '../../src/core/events.js'
import { type Blockage, Execution, type LogLevel, type Outcome, type RunIdentity } from '../../src/core/execution.js'
import type { PendingOperation } from '../../src/core/graph.js'
import type { Operation } from '../../src/core/operation.js'
import { decideRetry } from '../../src/core/retry.js'
import { shared } from '../../src/core/state.js'
import type { StepContext, Workflow } from '../../src/core/types.js'
import { definition } from '../../src/core/workflow.js'

/** When virtual time begins. */
export const epoch = Date.UTC(2025, 0, 1)

export interface DriveOptions {
  input?: unknown
  /** Virtual ms that an attempt of a step takes; 1 unless given. Equal ends come in the order of beginning. */
  latency?: (name: string, op: number, attempt: number) => number
  /** Messages, each sent at a virtual time in ms after the start. */
  signals?: readonly { at: number; name: string; message?: unknown }[]
  /** When to ask for a cancel, in ms after the start. */
  cancelAt?: number
  /** Record `StepScheduled` and `TimerStarted` when a command is taken up. */
  marks?: boolean
  seed?: string
  log?: (level: LogLevel, message: string, fields: object | undefined) => void
}

/** What a run did with each event. */
export interface Reaction {
  readonly seq: number
  /** Its commands, for people: `perform step "a" (op 1) after 0`. */
  readonly commands: readonly string[]
  readonly outcome: string
}

export interface Driven {
  readonly execution: Execution
  readonly history: RecordedEvent[]
  readonly reactions: Reaction[]
  readonly outcome: Outcome | null
  readonly blockage: Blockage | null
  /** Operations that no event mentions. */
  readonly pending: PendingOperation[]
  /** Virtual ms that it took. */
  readonly elapsed: number
}

/** An Execution with `deliver` made awaitable. */
export class Hand {
  readonly execution: Execution
  readonly reactions: Reaction[] = []
  readonly suspicions: string[] = []
  #turnClosed: () => void = () => {}

  constructor(workflow: Workflow<any, any>, options: Pick<DriveOptions, 'log'> = {}) {
    const found = definition(workflow)!
    this.execution = new Execution(found, identityOf(found), {
      turnClosed: () => this.#turnClosed(),
      suspected: () => this.suspicions.push('a continuation was resumed outside its turn'),
      ...(options.log === undefined ? {} : { log: options.log }),
    })
  }

  /** Delivers one event and waits for the end of its turn. The operations to perform and to abandon come back. */
  async deliver(event: RecordedEvent): Promise<{ perform: Operation[]; abandon: Operation[] }> {
    const { execution } = this
    const turn = new Promise<void>((resolve) => {
      this.#turnClosed = resolve
    })
    if (execution.deliver(event)) await turn
    const commands = execution.takeCommands()
    this.reactions.push({
      seq: event.seq,
      commands: commands.map((command) =>
        'operation' in command
          ? `${command.do} ${command.operation.describe()} (op ${command.operation.index}) after ${command.operation.causes.text}`
          : command.do === 'record'
            ? `record ${command.draft.type} ${command.draft.name} ${command.draft.payload}`
            : command.do,
      ),
      outcome: describeOutcome(execution.outcome),
    })
    const those = (what: string) =>
      commands.flatMap((command) => (command.do === what && 'operation' in command ? [command.operation] : []))
    return { perform: those('perform'), abandon: those('abandon') }
  }
}

function identityOf(found: { name: string; version: number; queue: string }): RunIdentity {
  return { id: 'driven', runId: 'run_driven', workflow: found.name, version: found.version, queue: found.queue }
}

function describeOutcome(outcome: Outcome | null): string {
  if (outcome === null) return 'open'
  if (outcome.type === 'continued') return `continued ${outcome.payload}`
  return outcome.type === 'completed'
    ? `completed ${encode(outcome.value, 'result')}`
    : `${outcome.type} ${(outcome.error as Error)?.message ?? outcome.error}`
}

/** Runs a workflow until it closes, blocks, or waits for what will never come. */
export async function drive(workflow: Workflow<any, any>, options: DriveOptions = {}): Promise<Driven> {
  return new Driver(workflow, options).run()
}

/** Replays the first `events` events of a history (all unless given). Does not check anything itself. */
export async function replay(
  workflow: Workflow<any, any>,
  history: readonly RecordedEvent[],
  events = history.length,
): Promise<Hand> {
  const hand = new Hand(workflow)
  for (const event of history.slice(0, events)) {
    await hand.deliver(event)
    if (hand.execution.blockage !== null) break
  }
  return hand
}

/** Replays every prefix of what was driven. Throws at the first command, outcome or suspicion that differs. */
export async function replayEveryPrefix(workflow: Workflow<any, any>, driven: Driven): Promise<void> {
  for (let events = 1; events <= driven.history.length; events++) {
    const hand = await replay(workflow, driven.history, events)
    const expected = JSON.stringify(driven.reactions.slice(0, events))
    const got = JSON.stringify(hand.reactions)
    if (hand.execution.blockage !== null) throw new Error(`prefix of ${events}: ${hand.execution.blockage.message}`)
    if (got !== expected) throw new Error(`prefix of ${events}:\n  first:  ${expected}\n  replay: ${got}`)
    if (hand.suspicions.length > 0) throw new Error(`prefix of ${events}: ${hand.suspicions[0]}`)
  }
}

interface Happening {
  readonly at: number
  readonly order: number
  readonly operation: Operation | null
  readonly happen: () => EventDraft | null | Promise<EventDraft | null>
}

class Driver {
  readonly #hand: Hand
  readonly #options: DriveOptions
  readonly #history: RecordedEvent[] = []
  readonly #agenda = new Heap<Happening>((a, b) => a.at - b.at || a.order - b.order)
  readonly #mentioned = new Set<number>()
  readonly #abandoned = new Set<Operation>()
  readonly #waiting: Operation[] = []
  readonly #unread: { name: string; message: unknown }[] = []
  #time = 0
  #order = 0

  constructor(workflow: Workflow<any, any>, options: DriveOptions) {
    this.#hand = new Hand(workflow, options)
    this.#options = options
  }

  async run(): Promise<Driven> {
    const { execution } = this.#hand
    execution.live = true
    const { input, signals = [], cancelAt, seed = 'seed' } = this.#options
    for (const { at, name, message } of signals) this.#at(at, null, () => this.#signalled(name, message))
    if (cancelAt !== undefined) this.#at(cancelAt, null, () => draft('CancelRequested', null, null, {}))
    await this.#record(draft('RunStarted', execution.identity.workflow, encode(input, 'input'), { seed }))
    while (execution.outcome === null && execution.blockage === null) {
      const next = this.#agenda.pop()
      if (next === undefined) break
      if (next.operation !== null && this.#isOver(next.operation)) continue
      this.#time = Math.max(this.#time, next.at)
      const event = await next.happen()
      if (event !== null) await this.#record(event)
    }
    if (execution.outcome !== null && execution.blockage === null) await this.#record(terminal(execution.outcome))
    return {
      execution,
      history: this.#history,
      reactions: this.#hand.reactions,
      outcome: execution.outcome,
      blockage: execution.blockage,
      pending: this.#pending(),
      elapsed: this.#time,
    }
  }

  async #record(event: EventDraft): Promise<void> {
    const recorded = { ...event, seq: this.#history.length + 1, at: epoch + this.#time }
    this.#history.push(recorded)
    if (event.op !== null) this.#mentioned.add(event.op)
    const { perform, abandon } = await this.#hand.deliver(recorded)
    if (this.#hand.suspicions.length > 0) throw new Error(this.#hand.suspicions[0])
    for (const operation of abandon) this.#abandoned.add(operation)
    for (const operation of perform) await this.#perform(operation)
  }

  async #perform(operation: Operation): Promise<void> {
    const { request } = operation
    const mark = async (type: 'StepScheduled' | 'TimerStarted', facts: EventFacts) => {
      if (this.#options.marks) await this.#record(draftOf(type, operation, null, facts))
    }
    switch (request.kind) {
      case 'step':
        await mark('StepScheduled', { began: epoch + this.#time })
        return this.#attempt(operation, 1)
      case 'skip':
        return this.#at(this.#time, operation, () =>
          draftOf('StepSkipped', operation, null, { reason: request.reason }),
        )
      case 'timer':
        await mark('TimerStarted', { dueAt: request.dueAt })
        return this.#at(request.dueAt - epoch, operation, () => draftOf('TimerFired', operation, null))
      case 'signal': {
        this.#waiting.push(operation)
        const unread = this.#unread.findIndex(({ name }) => name === operation.name)
        if (unread !== -1) {
          const [{ name, message }] = this.#unread.splice(unread, 1) as [{ name: string; message: unknown }]
          this.#at(this.#time, null, () => this.#signalled(name, message))
        }
        if (request.dueAt !== null) {
          this.#at(request.dueAt - epoch, operation, () => draftOf('TimerFired', operation, null, { kind: 'signal' }))
        }
      }
    }
  }

  #attempt(operation: Operation, attempt: number): void {
    const { request } = operation
    if (request.kind !== 'step') throw new Error('not a step')
    const began = epoch + this.#time
    const { latency = () => 1 } = this.#options
    // The body runs when the attempt begins; what it came to is looked at when its time is over.
    const result = begin(operation, attempt).then(
      (value) => ({ ok: true as const, value }),
      (error) => ({ ok: false as const, error }),
    )
    this.#at(this.#time + latency(operation.name, operation.index, attempt), operation, async () => {
      const facts = { began, ...(attempt === 1 ? {} : { attempt }) }
      const ended = await result
      if (ended.ok) return draftOf('StepCompleted', operation, encode(ended.value, 'result'), facts)
      const now = epoch + this.#time
      const decision = decideRetry(request.step.retry, attempt, ended.error, now, 0.5)
      if (!decision.retry) {
        return draftOf('StepFailed', operation, encodeError(ended.error), { ...facts, attempt })
      }
      this.#at(decision.at - epoch, operation, () => {
        this.#attempt(operation, attempt + 1)
        return null
      })
      return draftOf('AttemptFailed', operation, encodeError(ended.error), { ...facts, attempt, dueAt: decision.at })
    })
  }

  #signalled(name: string, message: unknown): EventDraft | null {
    const index = this.#waiting.findIndex((operation) => operation.name === name && !this.#isOver(operation))
    if (index === -1) {
      this.#unread.push({ name, message })
      return null
    }
    const [operation] = this.#waiting.splice(index, 1) as [Operation]
    return draftOf('SignalReceived', operation, encode(message, 'message'))
  }

  #isOver(operation: Operation): boolean {
    return operation.settled || this.#abandoned.has(operation)
  }

  #at(at: number, operation: Operation | null, happen: Happening['happen']): void {
    this.#agenda.push({ at, order: this.#order++, operation, happen })
  }

  #pending(): PendingOperation[] {
    return [...this.#hand.execution.pending]
      .filter(({ index }) => !this.#mentioned.has(index))
      .map(({ index, kind, name, nth, causes, askedAt }) => ({
        op: index,
        kind,
        name,
        nth,
        causes: causes.text,
        askedAt,
      }))
  }
}

/** Begins an attempt. The result goes through the codec, as it does on its way to the history. */
async function begin(operation: Operation, attempt: number): Promise<unknown> {
  const { request, name, index } = operation
  if (request.kind !== 'step') throw new Error('not a step')
  const context: StepContext = {
    attempt,
    signal: new AbortController().signal,
    idempotencyKey: `run_driven:${index}`,
    checkpoint: undefined,
    saveCheckpoint: async () => {},
    heartbeat: () => {},
    log: { debug: ignore, info: ignore, warn: ignore, error: ignore },
  }
  const value = await shared.step.run({ name, runId: 'run_driven', context }, () => request.step.fn(context))
  return decode(encode(value, 'result'))
}

function ignore(): void {}

function draft(
  type: EventDraft['type'],
  name: string | null,
  payload: string | null,
  facts: EventFacts | null,
): EventDraft {
  return { type, op: null, name, payload, facts }
}

/** The event of an operation, as the runner writes it. */
export function draftOf(
  type: EventDraft['type'],
  operation: Operation,
  payload: string | null,
  facts: EventFacts = {},
): EventDraft {
  return { type, op: operation.index, name: operation.name, payload, facts: { ...operation.facts, ...facts } }
}

function terminal(outcome: Outcome): EventDraft {
  switch (outcome.type) {
    case 'completed':
      return draft('RunCompleted', null, encode(outcome.value, 'result'), null)
    case 'failed':
      return draft('RunFailed', null, encodeError(outcome.error), null)
    case 'cancelled':
      return draft('RunCancelled', null, encodeError(outcome.error), null)
    case 'continued':
      return draft('RunContinued', null, outcome.payload, null)
  }
}

/** A binary heap: what compares least comes first. */
class Heap<T> {
  readonly #items: T[] = []
  readonly #compare: (a: T, b: T) => number

  constructor(compare: (a: T, b: T) => number) {
    this.#compare = compare
  }

  push(item: T): void {
    const items = this.#items
    let at = items.push(item) - 1
    while (at > 0) {
      const above = (at - 1) >> 1
      if (this.#compare(items[above]!, items[at]!) <= 0) break
      ;[items[above], items[at]] = [items[at]!, items[above]!]
      at = above
    }
  }

  pop(): T | undefined {
    const items = this.#items
    const first = items[0]
    const last = items.pop()
    if (items.length === 0 || last === undefined) return first
    items[0] = last
    for (let at = 0; ; ) {
      const [left, right] = [2 * at + 1, 2 * at + 2]
      let least = at
      if (left < items.length && this.#compare(items[left]!, items[least]!) < 0) least = left
      if (right < items.length && this.#compare(items[right]!, items[least]!) < 0) least = right
      if (least === at) return first
      ;[items[least], items[at]] = [items[at]!, items[least]!]
      at = least
    }
  }
}
