/** What the steps of a run have saved for their next attempts. */
import { decode, encode } from '../core/codec.js'
import { CancelledFailure } from '../core/errors.js'
import type { Operation } from '../core/operation.js'
import type { ClaimedRun } from '../store/port.js'
import type { RunnerHost } from './host.js'

export class Checkpoints {
  readonly #host: Pick<RunnerHost, 'store' | 'workerId'>
  readonly #run: ClaimedRun
  readonly #lost: () => void
  /** By operation. */
  #payloads: Map<number, string | null> | null = null

  /** `lost` is called when the run turns out to be no longer this worker's. */
  constructor(host: Pick<RunnerHost, 'store' | 'workerId'>, run: ClaimedRun, lost: () => void) {
    this.#host = host
    this.#run = run
    this.#lost = lost
  }

  restore(payloads: ReadonlyMap<number, string | null>): void {
    if (payloads.size > 0) this.#payloads = new Map(payloads)
  }

  of({ index }: Operation): unknown {
    return decode(this.#payloads?.get(index) ?? null)
  }

  async save({ index, name }: Operation, value: unknown): Promise<void> {
    const payload = encode(value, `the checkpoint of step "${name}"`)
    const { workerId, store } = this.#host
    const { runId, claim } = this.#run
    if (!(await store.saveCheckpoint(workerId, runId, claim, index, payload))) {
      this.#lost()
      throw new CancelledFailure('the run is no longer held by this worker')
    }
    this.#payloads ??= new Map()
    this.#payloads.set(index, payload)
  }
}
