/** What workers have kept, read over a window of time: percentiles, throughput, rates. */
import { durationMs } from '../core/duration.js'
import { InvalidInputError } from '../core/errors.js'
import { checkName } from '../core/ids.js'
import type { Percentiles, RunFigures, Stats, StatsOptions, StatsPlace, StepFigures } from '../core/types.js'
import type { Store } from '../store/port.js'
import type { Buckets, StatsGroup, StatsQuery } from '../store/statistics.js'
import { percentile } from './histogram.js'
import { stepLabel } from './names.js'

const minuteMs = 60_000

/** @throws InvalidInputError naming the option */
export async function readStatistics(store: Store, options: StatsOptions = {}): Promise<Stats> {
  const now = options.until === undefined ? await store.now() : timeOf(options.until, 'until')
  const { from, to } = windowOf(options, now)
  const query = queryOf(options, from, to)
  const groups = await store.readStats(query)
  const before =
    options.compare === true ? await store.readStats({ ...query, from: from - (to - from), to: from }) : null
  const earlier = new Map(before?.map((group) => [placeKey(group), group]))
  const seconds = (query.everyMs ?? to - from) / 1_000
  const runs: Stats['runs'] = []
  const steps: Stats['steps'] = []
  for (const group of groups) {
    const place = placeOf(group)
    const compared = before === null ? null : (earlier.get(placeKey(group)) ?? nothing(group))
    if (group.step === null) {
      const then = compared === null ? {} : { before: runFigures(compared, seconds) }
      runs.push({ ...place, ...runFigures(group, seconds), ...then })
    } else {
      const then = compared === null ? {} : { before: stepFigures(compared, seconds) }
      steps.push({ ...place, step: group.step, ...stepFigures(group, seconds), ...then })
    }
  }
  return { from: new Date(from), to: new Date(to), runs, steps }
}

/** Whole minutes, for that is what is kept: the one that has begun counts in, at either end. */
function windowOf({ since = '1h' }: StatsOptions, until: number): { from: number; to: number } {
  const begin = since instanceof Date ? timeOf(since, 'since') : until - durationMs(since, 'stats: since')
  const from = Math.floor(begin / minuteMs) * minuteMs
  const to = Math.ceil(until / minuteMs) * minuteMs
  if (from >= to) {
    throw new InvalidInputError(
      `stats: expected a window that begins before it ends, got ${new Date(from).toISOString()} to ${new Date(to).toISOString()}. Check since and until.`,
    )
  }
  return { from, to }
}

function queryOf({ workflow, version, step, by, every, compare }: StatsOptions, from: number, to: number): StatsQuery {
  if (workflow !== undefined) checkName(workflow, 'stats: workflow')
  if (step !== undefined) checkName(step, 'stats: step')
  if (version !== undefined && !Number.isInteger(version)) {
    throw new InvalidInputError(`stats: version: expected a whole number, got ${String(version)}.`)
  }
  if (by !== undefined && by !== 'version') {
    throw new InvalidInputError(`stats: by: expected 'version', got '${String(by)}'.`)
  }
  const everyMs = every === undefined ? null : durationMs(every, 'stats: every')
  if (everyMs !== null && everyMs < minuteMs) {
    throw new InvalidInputError(`stats: every: expected at least a minute, got ${String(every)}.`)
  }
  if (everyMs !== null && compare === true) {
    throw new InvalidInputError(
      'stats: compare: expected the whole window, got every beside it. Leave one of the two out.',
    )
  }
  return { from, to, workflow, version, step: step && stepLabel(step), byVersion: by === 'version', everyMs }
}

function timeOf(date: Date, option: string): number {
  const time = date instanceof Date ? date.getTime() : Number.NaN
  if (!Number.isNaN(time)) return time
  throw new InvalidInputError(`stats: ${option}: expected a valid Date, got ${String(date)}.`)
}

function placeOf({ workflow, version, at }: StatsGroup): StatsPlace {
  return { workflow, ...(version === null ? {} : { version }), ...(at === null ? {} : { at: new Date(at) }) }
}

function placeKey({ workflow, version, step }: StatsGroup): string {
  return JSON.stringify([workflow, version, step])
}

const none: Buckets = { first: 0, counts: [] }

function nothing(group: StatsGroup): StatsGroup {
  const zero = {
    started: 0,
    completed: 0,
    failed: 0,
    cancelled: 0,
    terminated: 0,
    continued: 0,
    blocked: 0,
    retried: 0,
  }
  return { ...group, ...zero, duration: none, delay: none }
}

function runFigures(group: StatsGroup, seconds: number): RunFigures {
  const { started, completed, failed, cancelled, terminated, continued, blocked } = group
  return {
    ...{ started, completed, failed, cancelled, terminated, continued, blocked },
    perSecond: (completed + failed + cancelled + terminated + continued) / seconds,
    failureRate: part(failed, completed + failed),
    durationMs: percentiles(group.duration),
    delayMs: percentiles(group.delay),
  }
}

function stepFigures(group: StatsGroup, seconds: number): StepFigures {
  const { completed, failed, retried } = group
  const attempts = completed + failed + retried
  return {
    ...{ attempts, completed, failed, retried },
    perSecond: attempts / seconds,
    failureRate: part(failed, completed + failed),
    retryRate: part(retried, attempts),
    durationMs: percentiles(group.duration),
    delayMs: percentiles(group.delay),
  }
}

function part(some: number, all: number): number {
  return all === 0 ? 0 : some / all
}

function percentiles(buckets: Buckets): Percentiles | null {
  const p50 = percentile(buckets, 0.5)
  if (p50 === null) return null
  return { p50, p95: percentile(buckets, 0.95)!, p99: percentile(buckets, 0.99)! }
}
