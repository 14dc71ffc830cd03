/**
 * What a workflow does with messages that it does not wait for one by one: handlers of signals, queries and updates.
 *
 * H1. A handler begins in the turn that applies its message, with what was seen where it was registered.
 * H2. An update is validated in that same turn, before anything else can change what the validator looked at.
 * H3. An update is answered once. An answer is given by code, so a replay gives it again; it is on record when its event
 *     was delivered, and until then it is the runner's to record.
 */
import { decode, encode, encodeError } from './codec.js'
import { CancelledFailure, StetError } from './errors.js'
import type { EventDraft } from './events.js'
import type { Frontier } from './frontier.js'

type Fn = (argument: any) => unknown

interface Handler {
  readonly fn: Fn
  readonly validate?: ((argument: any) => void) | undefined
  readonly seen: Frontier | null
}

export class Handlers {
  readonly signals = new Map<string, Handler>()
  readonly queries = new Map<string, Fn>()
  readonly updates = new Map<string, Handler>()
  /** Handlers that have begun and are not over. */
  unfinished = 0
  /** Answers that are not on record yet, by the update's id. */
  readonly #unrecorded = new Map<string, EventDraft>()
  readonly #answer: (draft: EventDraft) => void
  readonly #failed: (error: unknown) => void

  constructor(hooks: { answer(draft: EventDraft): void; failed(error: unknown): void }) {
    this.#answer = hooks.answer
    this.#failed = hooks.failed
  }

  /** Something may come from outside that nobody waits for by name. */
  get any(): boolean {
    return this.signals.size > 0 || this.updates.size > 0
  }

  /** Answers that the history does not have yet. */
  get unrecorded(): Iterable<EventDraft> {
    return this.#unrecorded.values()
  }

  signal(name: string, payload: string | null): void {
    const { fn } = this.signals.get(name)!
    this.#run(
      () => fn(decode(payload)),
      () => {},
      // As for a callback of a timer: what Node would make an uncaught exception is this run's own failure.
      (error) => error instanceof CancelledFailure || this.#failed(error),
    )
  }

  update(name: string, id: string, payload: string | null): void {
    const { fn, validate } = this.updates.get(name)!
    const facts = { id }
    const reject = (error: unknown) =>
      this.#give(id, { type: 'UpdateRejected', op: null, name, payload: encodeError(error), facts })
    const argument = decode(payload)
    try {
      const result: unknown = validate?.(argument)
      if (typeof (result as any)?.then === 'function') {
        throw new StetError(
          'async_validator',
          `the validator of update "${name}" returned a promise. It decides in one turn: make it a plain function.`,
        )
      }
    } catch (error) {
      reject(error)
      return
    }
    this.#run(
      () => fn(argument),
      (value) => {
        try {
          const answer = encode(value, `the answer of update "${name}"`)
          this.#give(id, { type: 'UpdateCompleted', op: null, name, payload: answer, facts })
        } catch (error) {
          reject(error)
        }
      },
      reject,
    )
  }

  /** An answer is on record; false: the code has given none. */
  recorded(id: string): boolean {
    return this.#unrecorded.delete(id)
  }

  #run(begin: () => unknown, done: (value: unknown) => void, failed: (error: unknown) => void): void {
    this.unfinished++
    let result: Promise<unknown>
    try {
      result = Promise.resolve(begin())
    } catch (error) {
      result = Promise.reject(error)
    }
    result.then(
      (value) => {
        this.unfinished--
        done(value)
      },
      (error) => {
        this.unfinished--
        failed(error)
      },
    )
  }

  #give(id: string, draft: EventDraft): void {
    this.#unrecorded.set(id, draft)
    this.#answer(draft)
  }
}
