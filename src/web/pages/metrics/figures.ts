/** Runs and steps in the same words, so that one table shows both. */
import type { RunStats, Stats, StepStats } from '../../lib/stats.ts'

export interface Figures {
  readonly p50: number | null
  readonly p95: number | null
  readonly p99: number | null
  /** P95 of how long it was ready before it began. */
  readonly delay: number | null
  readonly perMinute: number
  /** Attempts of a step; runs that were closed. */
  readonly count: number
  /** Null: runs are not retried. */
  readonly retryRate: number | null
  readonly failureRate: number
}

export interface Row extends Figures {
  readonly key: string
  readonly workflow: string
  readonly step: string | null
  /** Null: all of them together. */
  readonly version: number | null
  readonly before: Figures | null
}

type Part<T> = Omit<T, 'before' | 'workflow' | 'step' | 'version' | 'at'>

const times = ({ durationMs, delayMs }: Pick<RunStats, 'durationMs' | 'delayMs'>) => ({
  p50: durationMs?.p50 ?? null,
  p95: durationMs?.p95 ?? null,
  p99: durationMs?.p99 ?? null,
  delay: delayMs?.p95 ?? null,
})

export function ofStep(step: Part<StepStats>): Figures {
  const { perSecond, attempts, retryRate, failureRate } = step
  return { ...times(step), perMinute: perSecond * 60, count: attempts, retryRate, failureRate }
}

export function ofRun(run: Part<RunStats>): Figures {
  const { perSecond, failureRate, completed, failed, cancelled, terminated, continued } = run
  const count = completed + failed + cancelled + terminated + continued
  return { ...times(run), perMinute: perSecond * 60, count, retryRate: null, failureRate }
}

export function rowsOf({ runs, steps }: Stats, of: 'runs' | 'steps'): Row[] {
  const place = (each: RunStats, step: string | null) => ({
    key: JSON.stringify([each.workflow, step, each.version ?? null]),
    workflow: each.workflow,
    step,
    version: each.version ?? null,
  })
  if (of === 'runs') {
    return runs.map((run) => ({
      ...place(run, null),
      ...ofRun(run),
      before: run.before === undefined ? null : ofRun(run.before),
    }))
  }
  return steps.map((step) => ({
    ...place(step as unknown as RunStats, step.step),
    ...ofStep(step),
    before: step.before === undefined ? null : ofStep(step.before),
  }))
}

export const windows = [
  { since: '15m', label: '15 min', every: '1m', everyMs: 60_000 },
  { since: '1h', label: '1 h', every: '1m', everyMs: 60_000 },
  { since: '6h', label: '6 h', every: '5m', everyMs: 300_000 },
  { since: '24h', label: '24 h', every: '20m', everyMs: 1_200_000 },
  // What is older than two days is kept by the hour.
  { since: '7d', label: '7 d', every: '2h', everyMs: 7_200_000 },
] as const
export type Window = (typeof windows)[number]
