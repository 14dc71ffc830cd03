/** The messages of a run that are not in its history yet, and the operations that wait for them. */
import { decode } from '../core/codec.js'
import type { RecordedEvent } from '../core/events.js'
import type { Execution } from '../core/execution.js'
import type { Operation } from '../core/operation.js'
import type { InboxMessage } from '../store/port.js'
import type { RunLog } from './flusher.js'

/** What became of a child. */
export interface ChildNews {
  readonly n: number
  readonly op: number
  readonly status: string
  readonly payload: string | null
}

/** `again`: it is in the history already, as this event, and was not read there. */
export type Message = InboxMessage & { readonly again?: number }

export class Mailbox {
  /** Messages of the run that were looked at, counted as the store counts them. */
  seen = 0
  /** Somebody asked to terminate the run. */
  terminate: { reason: string | null } | null = null
  /** Somebody asked to pause the run, for this reason. */
  pause: string | null = null
  #messages: Message[] = []
  #children: ChildNews[] = []
  /** Results of steps that committed them in a transaction of their own. */
  readonly #results = new Map<number, InboxMessage>()
  /** In the order of asking. */
  readonly #waiting = new Map<string, Operation[]>()

  /** Takes messages in; those that were seen already are passed over. `msgs` is the count that they are part of. */
  add(messages: readonly InboxMessage[], msgs: number): void {
    const newest = this.seen
    for (const message of messages) {
      if (message.n <= newest) continue
      this.seen = Math.max(this.seen, message.n)
      switch (message.kind) {
        case 'terminate':
          this.terminate ??= { reason: (decode(message.payload) ?? null) as string | null }
          break
        case 'pause':
          this.pause ??= (decode(message.payload) as string | undefined) ?? ''
          break
        case 'child': {
          const [op, status] = message.name!.split(':') as [string, string]
          this.#children.push({ n: message.n, op: Number(op), status, payload: message.payload })
          break
        }
        case 'result':
          this.#results.set(Number(message.name), message)
          break
        default:
          this.#messages.push(message)
      }
    }
    this.seen = Math.max(this.seen, msgs)
  }

  /** A message that came out of the history unread: older than all that are here. */
  putBack({ seq, type, name, payload, facts }: RecordedEvent): void {
    const kind = type === 'UpdateReceived' ? 'update' : 'signal'
    const i = this.#messages.findLastIndex(({ again }) => again !== undefined) + 1
    this.#messages.splice(i, 0, { n: 0, kind, name, payload, messageId: facts?.id ?? null, again: seq })
  }

  /** The first request to cancel, taken out with all others; null: there is none. */
  takeCancel(): { n: number; reason: string | undefined } | null {
    const cancel = this.#messages.find(({ kind }) => kind === 'cancel')
    if (cancel === undefined) return null
    this.#messages = this.#messages.filter(({ kind }) => kind !== 'cancel')
    return { n: cancel.n, reason: (decode(cancel.payload) ?? undefined) as string | undefined }
  }

  /** What came of children, oldest first; taken out. */
  takeChildren(): ChildNews[] {
    const news = this.#children
    this.#children = []
    return news
  }

  /** The result that an earlier attempt of this step committed with its transaction, taken out. */
  takeResult(op: number): InboxMessage | undefined {
    const result = this.#results.get(op)
    this.#results.delete(op)
    return result
  }

  /** A result that this worker has just committed: it counts as seen. */
  sawResult(n: number): void {
    // Messages that came before it may not have been fetched: only then is the count not ours to move.
    if (n === this.seen + 1) this.seen = n
  }

  /** Names of signals that are there. */
  signalNames(): Set<string> {
    return new Set(this.#messages.flatMap(({ kind, name }) => (kind === 'signal' && name !== null ? [name] : [])))
  }

  await(operation: Operation): void {
    const waiting = this.#waiting.get(operation.name)
    if (waiting === undefined) this.#waiting.set(operation.name, [operation])
    else if (!waiting.includes(operation)) waiting.push(operation)
  }

  forget(operation: Operation): void {
    const waiting = this.#waiting.get(operation.name)
    const i = waiting?.indexOf(operation) ?? -1
    if (i !== -1) waiting!.splice(i, 1)
  }

  /** The oldest signal of a name with the operation that has waited longest for it; null: one of the two is missing. */
  match(name: string, wants: (operation: Operation) => boolean): { operation: Operation; message: Message } | null {
    const waiting = this.#waiting.get(name) ?? []
    while (waiting.length > 0 && !wants(waiting[0]!)) waiting.shift()
    if (waiting.length === 0) return null
    const message = this.#take((each) => each.kind === 'signal' && each.name === name)
    return message === undefined ? null : { operation: waiting.shift()!, message }
  }

  /** The oldest message that has a handler, taken out. */
  takeHandled(handles: (kind: 'signal' | 'update', name: string) => boolean): Message | undefined {
    return this.#take(
      ({ kind, name }) => (kind === 'signal' || kind === 'update') && name !== null && handles(kind, name),
    )
  }

  #take(wanted: (message: Message) => boolean): Message | undefined {
    const i = this.#messages.findIndex(wanted)
    return i === -1 ? undefined : this.#messages.splice(i, 1)[0]
  }
}

/** Names whose older signal is on its way to a wait that is over by now: it comes back, and goes before the next. */
export function namesComingBack(
  execution: Execution,
  { queued, inFlight }: RunLog,
  toDeliver: readonly RecordedEvent[],
): ReadonlySet<string> {
  const coming = [...toDeliver, ...(inFlight ?? [])].filter(({ seq }) => seq > execution.lastSeq)
  const vain = [...queued, ...coming].filter(
    ({ type, op }) => type === 'SignalReceived' && op !== null && execution.operation(op)?.settled === true,
  )
  return new Set(vain.map(({ name }) => name!))
}
