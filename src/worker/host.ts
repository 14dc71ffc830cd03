import type { RecordedEvent } from '../core/events.js'
import type { LogLevel, RunIdentity } from '../core/execution.js'
import type { Hint } from '../core/hint.js'
import type { Interceptor } from '../core/interceptors.js'
import type { Operation } from '../core/operation.js'
import type { ClaimedRun, Store } from '../store/port.js'
import type { StepSlots } from './attempts.js'
import type { Problem } from './blocking.js'
import type { DbClock } from './clock.js'
import type { Flusher } from './flusher.js'
import type { Meter } from './meter.js'
import type { RowChanger } from './rows.js'
import type { Runner } from './runner.js'

/** What a runner needs of its worker. */
export interface RunnerHost {
  readonly workerId: string
  readonly store: Store
  readonly flusher: Flusher
  readonly rows: RowChanger
  readonly slots: StepSlots
  readonly clock: DbClock
  /** Replaces the bodies of steps by name (testing). */
  readonly stepOverrides: ReadonlyMap<string, (...args: any[]) => unknown> | undefined
  /** Replays each history once when its run is let go of, and reports any difference (dev and testing). */
  readonly verify: ((runner: Runner, events: readonly RecordedEvent[]) => void) | undefined
  /** A run whose next timer is no farther than this, ms, stays in memory. */
  readonly holdMs: number
  /** Stands where a crash makes a difference (testing). */
  readonly gate: Gate | undefined
  /** Around each attempt of a step. */
  readonly interceptors: readonly Interceptor[]
  readonly meter: Meter | undefined
  /** False when the lease is over, as after a pause of the whole process: others may have gone on with the run. */
  mayBegin(): boolean
  log(level: LogLevel, message: string, fields: object): void
  /** The run cannot go on. */
  blocked(runner: Runner, problem: Problem): void
  /** The run is no longer held. `due`: when it wakes, if it waits. */
  released(runner: Runner, due: number | null): void
  /** Messages were accepted that the runner has not seen. */
  fetchInbox(runner: Runner): void
  /** Tells others. */
  publish(hints: readonly Hint[]): void
  /** A run that was held apart (`Runner.apart`) got on. */
  gotOn(): void
}

/**
 * Stands at the places of runs where a crash makes a difference, and says when the results of steps go on (testing).
 * After each call the run may have been abandoned.
 */
export interface Gate {
  /** The run was claimed. */
  took(runner: Runner): void
  /** The body of an attempt is about to begin. */
  before(runner: Runner, operation: Operation): void
  /** An attempt has come to its effect; its result goes on, to be recorded, when `goOn` is called. */
  effect(runner: Runner, operation: Operation, goOn: () => void): void
  /** Events were committed, and not delivered yet. */
  committed(runner: Runner, events: readonly RecordedEvent[]): void
  /** Something of the run came to rest. Before it parks or closes this is called with nothing but bodies under way. */
  rest(runner: Runner): void
}

export function identityOf({ id, runId, workflow, version, queue }: ClaimedRun): RunIdentity {
  return { id, runId, workflow, version, queue }
}
