/** The messages of a run that are not in its history yet, and the operations that wait for them. */
import { decode } from '../core/codec.js'
import type { Operation } from '../core/operation.js'
import type { InboxMessage } from '../store/port.js'

export class Mailbox {
  /** Messages of the run that were looked at, counted as the store counts them. */
  seen = 0
  /** Somebody asked to terminate the run. */
  terminate: { reason: string | null } | null = null
  #messages: InboxMessage[] = []
  /** In the order of asking. */
  readonly #waiting = new Map<string, Operation[]>()

  /** Takes messages in; those that were seen already are passed over. `msgs` is the count that they are part of. */
  add(messages: readonly InboxMessage[], msgs: number): void {
    const newest = this.seen
    for (const message of messages) {
      if (message.n <= newest) continue
      this.seen = Math.max(this.seen, message.n)
      if (message.kind === 'terminate')
        this.terminate ??= { reason: (decode(message.payload) ?? null) as string | null }
      else this.#messages.push(message)
    }
    this.seen = Math.max(this.seen, msgs)
  }

  /** The first request to cancel, taken out with all others; null: there is none. */
  takeCancel(): { n: number; reason: string | undefined } | null {
    const cancel = this.#messages.find(({ kind }) => kind === 'cancel')
    if (cancel === undefined) return null
    this.#messages = this.#messages.filter(({ kind }) => kind !== 'cancel')
    return { n: cancel.n, reason: (decode(cancel.payload) ?? undefined) as string | undefined }
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
  match(
    name: string,
    wants: (operation: Operation) => boolean,
  ): { operation: Operation; message: InboxMessage } | null {
    const waiting = this.#waiting.get(name) ?? []
    while (waiting.length > 0 && !wants(waiting[0]!)) waiting.shift()
    if (waiting.length === 0) return null
    const i = this.#messages.findIndex((message) => message.kind === 'signal' && message.name === name)
    if (i === -1) return null
    const [message] = this.#messages.splice(i, 1)
    return { operation: waiting.shift()!, message: message! }
  }
}
