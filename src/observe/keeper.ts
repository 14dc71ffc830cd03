/**
 * Brings what a worker has counted into the database, every ten seconds and when the worker stops, and rolls up what has
 * become old.
 *
 * What was not brought yet is lost when the process is killed: at most ten seconds of it. Nothing else is: a batch whose
 * answer was lost is sent again under its number, and adds nothing if it had arrived.
 */
import { originals } from '../core/determinism.js'
import { newId } from '../core/ids.js'
import type { Log } from '../core/types.js'
import type { Store } from '../store/port.js'
import { rollUpBatch, type Tally } from '../store/statistics.js'
import type { Collector } from './collector.js'

const flushMs = 10_000
const rollUpMs = 600_000

/** How long the end of a worker waits for a database that does not answer. */
const partingMs = 2_000

/** Passes in a row: an outage of months is caught up with in turns. */
const maxPasses = 20

export class StatsKeeper {
  readonly #store: Pick<Store, 'addStats' | 'rollUpStats'>
  readonly #collector: Collector
  readonly #log: Log
  readonly #source = newId('stats')
  #n = 0
  /** What is to be sent again under the same number. */
  #unsent: readonly Tally[] | null = null
  #flushing: Promise<void> | null = null
  #flushTimer: NodeJS.Timeout | null = null
  #rollUpTimer: NodeJS.Timeout | null = null
  #stopped = false

  constructor(store: Pick<Store, 'addStats' | 'rollUpStats'>, collector: Collector, log: Log) {
    this.#store = store
    this.#collector = collector
    this.#log = log
  }

  start(): void {
    if (this.#stopped || this.#flushTimer !== null) return
    this.#flushTimer = originals.setInterval(() => void this.flush(), flushMs)
    this.#flushTimer.unref()
    // Not all workers of a deploy in the same moment.
    this.#rollUpIn(originals.random() * rollUpMs)
  }

  async stop(): Promise<void> {
    this.#stopped = true
    if (this.#flushTimer !== null) originals.clearInterval(this.#flushTimer)
    if (this.#rollUpTimer !== null) originals.clearTimeout(this.#rollUpTimer)
    let limit: NodeJS.Timeout | undefined
    const patience = new Promise<void>((resolve) => {
      limit = originals.setTimeout(resolve, partingMs)
    })
    // Twice: what came while a flush was under way needs another.
    await Promise.race([this.flush().then(() => this.flush()), patience])
    originals.clearTimeout(limit)
  }

  /** Sends what is new, if there is any; resolves when it is kept, or could not be. Never rejects. */
  flush(): Promise<void> {
    this.#flushing ??= this.#flush().finally(() => {
      this.#flushing = null
    })
    return this.#flushing
  }

  async #flush(): Promise<void> {
    if (this.#unsent === null) {
      const tallies = this.#collector.take()
      if (tallies.length === 0) return
      this.#n++
      this.#unsent = tallies
    }
    try {
      await this.#store.addStats(this.#source, this.#n, this.#unsent)
      this.#unsent = null
    } catch (error) {
      this.#log.debug('statistics could not be kept; trying again', { message: (error as Error).message })
    }
  }

  #rollUpIn(ms: number): void {
    if (this.#stopped) return
    this.#rollUpTimer = originals.setTimeout(() => void this.#rollUp().then(() => this.#rollUpIn(rollUpMs)), ms)
    this.#rollUpTimer.unref()
  }

  async #rollUp(): Promise<void> {
    try {
      for (let pass = 0; pass < maxPasses && !this.#stopped; pass++) {
        if ((await this.#store.rollUpStats()) < rollUpBatch) return
      }
    } catch (error) {
      this.#log.debug('statistics could not be rolled up; trying again', { message: (error as Error).message })
    }
  }
}
