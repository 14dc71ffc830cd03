/** Search attributes that a run has set: their events are the truth, the run's row follows. */
import { decode } from '../core/codec.js'
import type { RecordedEvent } from '../core/events.js'
import type { ClaimedRun, Store } from '../store/port.js'

export class AttributeWriter {
  readonly #host: { readonly workerId: string; readonly store: Store }
  readonly #run: ClaimedRun
  readonly #done: () => void
  #waiting: Record<string, unknown> | null = null
  #writing = false

  constructor(host: { readonly workerId: string; readonly store: Store }, run: ClaimedRun, done: () => void) {
    this.#host = host
    this.#run = run
    this.#done = done
  }

  get busy(): boolean {
    return this.#writing
  }

  /** The last owner may have ended between the event and the row. */
  restore(events: readonly RecordedEvent[]): void {
    for (const { type, payload } of events) if (type === 'AttributesSet') this.#merge(payload)
    if (this.#waiting !== null) void this.#write()
  }

  write(payload: string | null): void {
    this.#merge(payload)
    if (!this.#writing) void this.#write()
  }

  #merge(payload: string | null): void {
    this.#waiting = { ...this.#waiting, ...(decode(payload) as object) }
  }

  async #write(): Promise<void> {
    this.#writing = true
    while (this.#waiting !== null) {
      const attributes = JSON.stringify(this.#waiting)
      this.#waiting = null
      // A run that is not this worker's any more has its attributes written by its next owner.
      await this.#host.store
        .setAttributes(this.#host.workerId, this.#run.runId, this.#run.claim, attributes)
        .catch(() => false)
    }
    this.#writing = false
    this.#done()
  }
}
