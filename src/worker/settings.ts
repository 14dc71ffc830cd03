/** What a worker is told when it is made. */
import { InvalidInputError } from '../core/errors.js'
import type { Interceptor } from '../core/interceptors.js'
import type { WorkerOptions } from '../core/types.js'
import type { RunnerHost } from './host.js'
import type { Meter } from './meter.js'

export interface WorkerSettings extends WorkerOptions {
  readonly leaseMs?: number
  readonly beatMs?: number
  /** How long `stop` lets running steps go on before it aborts them, ms. */
  readonly drainMs?: number
  readonly steps?: Record<string, (...args: any[]) => unknown>
  readonly verify?: RunnerHost['verify']
  /** A run whose next timer is no farther than this, ms, stays in memory; default 1,000. */
  readonly holdMs?: number
  readonly gate?: RunnerHost['gate']
  /** What is called around attempts of steps; the first is the outermost. */
  readonly interceptors?: readonly Interceptor[]
  /** Is told what the worker does. */
  readonly meter?: Meter
  /** Does the next part of a bulk. */
  readonly bulkPart?: () => Promise<{ readonly runs: number } | null>
  /** Called when all runs have been let go of; each time. */
  readonly onIdle?: () => void
}

/** How many runs it holds, and how many bodies of steps it runs at once. @throws InvalidInputError */
export function slotCounts({ concurrency = {} }: WorkerSettings): { runs: number; steps: number } {
  const { runs = 200, steps = 100 } =
    typeof concurrency === 'number' ? { runs: concurrency, steps: concurrency } : concurrency
  return { runs: slotCount(runs, 'concurrency.runs'), steps: slotCount(steps, 'concurrency.steps') }
}

function slotCount(value: number, what: string): number {
  if (Number.isInteger(value) && value >= 1) return value
  throw new InvalidInputError(`${what}: expected a whole number from 1, got ${String(value)}.`)
}
