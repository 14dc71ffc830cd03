/**
 * Virtual time.
 *
 * C1. Time moves only when nothing executes: no run is being worked on, none is ready, none has an unread message.
 *     The store says so, in one snapshot.
 * C2. While `advance` or `runToIdle` is under way time stands still, at one due time after the other: a run that sleeps
 *     an hour three times is through after `advance('3h')`, and sees exactly the times that it asked for.
 * C3. Otherwise it goes on at the pace of real time. `now()` is never ahead of the store's clock.
 */
import { originals } from '../core/determinism.js'
import { durationMs, formatMs } from '../core/duration.js'
import { InvalidInputError, StetError } from '../core/errors.js'
import type { Duration } from '../core/types.js'
import type { WorkerLanes } from '../store/port.js'
import type { TestTime, TimeReading } from '../store/test-time.js'
import type { WorkerLoop } from '../worker/worker.js'

export interface ClockParts {
  readonly time: TestTime
  readonly worker: WorkerLoop
  readonly lanes: WorkerLanes
  readonly maxJumps: number
  /** Resolves when what runs left behind has been checked; throws what was found. */
  report(): Promise<void>
}

/** How often the store is asked again while something executes that this process hears nothing of. */
const pollMs = 20
/** Waiting for longer than this in real time is told, once per call. */
const patienceMs = 4_000

export class VirtualClock {
  readonly #parts: ClockParts
  #at: number
  #readAt = originals.performanceNow()
  #queue: Promise<unknown> = Promise.resolve()
  #wakers = new Set<() => void>()
  #closed = false
  #still = false

  constructor(parts: ClockParts, now: number) {
    this.#parts = parts
    this.#at = now
  }

  /** The time that runs live by, ms since the epoch. */
  now(): number {
    return Math.floor(this.#still ? this.#at : this.#at + (originals.performanceNow() - this.#readAt))
  }

  /**
   * Moves the time on by a duration. Every run that becomes due on the way is run at its time, in order, until it
   * waits again; resolves when all is quiet at the new time.
   */
  advance(by: Duration): Promise<void> {
    const ms = durationMs(by, 'clock.advance')
    return this.#inTurn(async () => {
      const target = (await this.#settle()).now + ms
      for (;;) {
        const { next, schedule } = await this.#settle()
        const due = Math.min(next?.due ?? target + 1, schedule?.due ?? target + 1)
        if (due > target) break
        await this.#moveTo(due)
      }
      await this.#moveTo(target)
      await this.#settle()
    })
  }

  /**
   * Moves the time from one due time to the next until no run waits for a timer. Runs that wait for a signal alone
   * stay as they are. Schedules fire on the way; they alone keep nothing going, for most have no end.
   * @throws StetError code `endless` when one run was due more than `maxJumps` times: it sleeps in a loop without end
   */
  runToIdle(): Promise<void> {
    return this.#inTurn(async () => {
      const from = this.now()
      const jumps = new Map<string, number>()
      for (;;) {
        const { next, schedule } = await this.#settle()
        if (next === null) return
        const fires = schedule !== null && schedule.due <= next.due
        const jumper = fires ? `schedule ${schedule.id}` : next.runId
        const times = (jumps.get(jumper) ?? 0) + 1
        const due = fires ? schedule.due : next.due
        if (times > this.#parts.maxJumps) throw endless(fires ? jumper : describe(next), times - 1, due - from)
        jumps.set(jumper, times)
        await this.#moveTo(due)
      }
    })
  }

  /** To be called whenever the worker has let go of all its runs. */
  wake(): void {
    for (const waker of this.#wakers) waker()
    this.#wakers.clear()
  }

  /** Calls that wait are refused from now on. */
  close(): void {
    this.#closed = true
    this.wake()
  }

  /** One call at a time: two that move the time at once would each see the other's. */
  #inTurn(call: () => Promise<void>): Promise<void> {
    const mine = this.#queue.then(async () => {
      await this.#moveTo(null)
      try {
        await call()
      } finally {
        await this.#go()
      }
    })
    this.#queue = mine.catch(() => {})
    return mine
  }

  /** Waits until nothing executes (C1), and for the check of what was done meanwhile. */
  async #settle(): Promise<TimeReading> {
    const { time, worker, lanes } = this.#parts
    const since = originals.performanceNow()
    let told = false
    for (let fruitless = 0; ; ) {
      if (this.#closed) throw disposed()
      // Asked for before looking, so that nothing that happens in between is missed.
      const change = this.#change()
      if (!worker.idle) fruitless = 0
      else {
        const reading = await time.read(lanes)
        this.#observe(reading.now)
        if (!reading.busy && worker.idle) {
          change.stop()
          await this.#parts.report()
          return reading
        }
        if (worker.idle) {
          fruitless++
          worker.poke()
        }
      }
      // Something that this worker cannot take (another has it, a row is locked) is not asked for in a tight loop.
      if (fruitless > 2) change.ignoreWorker()
      await change.happened
      if (!told && originals.performanceNow() - since > patienceMs) {
        told = true
        await this.#tell()
      }
    }
  }

  /** The worker let go of its runs, or a while has passed. */
  #change(): { happened: Promise<void>; stop(): void; ignoreWorker(): void } {
    let waker = () => {}
    let timer: unknown
    const happened = new Promise<void>((resolve) => {
      waker = () => {
        originals.clearTimeout(timer as NodeJS.Timeout)
        resolve()
      }
      timer = originals.setTimeout(() => {
        this.#wakers.delete(waker)
        resolve()
      }, pollMs)
    })
    this.#wakers.add(waker)
    return {
      happened,
      stop: () => {
        originals.clearTimeout(timer as NodeJS.Timeout)
        this.#wakers.delete(waker)
      },
      ignoreWorker: () => this.#wakers.delete(waker),
    }
  }

  /** Has the time stand at `to`; null: where it is. */
  async #moveTo(to: number | null): Promise<void> {
    const { time, worker } = this.#parts
    if (this.#closed) throw disposed()
    const now = await time.stop(to)
    this.#still = true
    worker.clock.still = true
    this.#observe(now)
    if (to !== null) worker.poke()
  }

  async #go(): Promise<void> {
    const { time, worker } = this.#parts
    if (this.#closed) return
    const now = await time.go()
    this.#still = false
    worker.clock.still = false
    this.#observe(now)
  }

  #observe(now: number): void {
    this.#at = now
    this.#readAt = originals.performanceNow()
    this.#parts.worker.clock.observe(now)
  }

  async #tell(): Promise<void> {
    const running = await this.#parts.time.running().catch(() => [])
    if (running.length === 0) return
    const names = running.map(({ runId, workflow }) => `${runId} ("${workflow}")`).join(', ')
    process.emitWarning(
      `the clock waits for ${names}: time stands still while a step executes. A step's body takes real time; replace it with testEnv({ steps: { name: fn } }).`,
      { type: 'stet' },
    )
  }
}

function describe({ runId, workflow }: { runId: string; workflow: string }): string {
  return `run ${runId} of workflow "${workflow}"`
}

function endless(what: string, times: number, ms: number): StetError {
  return new StetError(
    'endless',
    `clock.runToIdle: expected every run to stop waiting for timers, but ${what} was due ${times} times within ${formatMs(ms)} of virtual time and still waits. Does it sleep in a loop without end? Move the time by a span instead, with clock.advance('1d'), or raise maxJumps of testEnv.`,
  )
}

function disposed(): StetError {
  return new StetError('closed', 'clock: the test environment was disposed of. Make a new one.')
}

/** @throws InvalidInputError */
export function checkMaxJumps(value: number): number {
  if (Number.isInteger(value) && value >= 1) return value
  throw new InvalidInputError(`testEnv: maxJumps: expected a whole number from 1, got ${String(value)}.`)
}
