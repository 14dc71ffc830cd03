/** What each kind of rule looks at, and what it says when its condition holds. */
import { durationMs, formatMs } from '../../core/duration.js'
import type {
  AlertRule,
  BlockedRunsRule,
  FailureRateRule,
  LeaseChurnRule,
  NoWorkerRule,
  QueueAgeRule,
  RetryRateRule,
  RunTooLongRule,
} from '../../core/types.js'
import {
  type AlertFigures,
  maxAlertsOfRule,
  type OpenRun,
  type SeriesRow,
  type UnservedLane,
} from '../../store/alerts.js'
import type { QueueBacklog, Statistics } from '../../store/statistics.js'
import { percentile } from '../histogram.js'
import { stepLabel } from '../names.js'

/** A condition that holds. */
export interface Holding {
  /** What it is about: together with the rule, the alert's identity. */
  readonly place: Readonly<Record<string, string>>
  readonly value: number
  readonly summary: string
  readonly evidence: Readonly<Record<string, unknown>>
}

const minuteMs = 60_000

/** Runs that are named in evidence, and counted in a summary. */
const maxNamed = 5
const maxLong = 100

/** A rate of retries that is usual counts as at least this, else the first retry after a quiet time would be a spike. */
const leastUsual = 0.01

export const defaults = { p99Window: '1d', minRuns: 20, window: '10m', minCounted: 10 } as const

/** A P99 moves slowly: it is computed anew after so long. */
const baselineMs = 300_000

/** What runs of a workflow take, kept from one look to the next. */
export class Baselines {
  readonly #known = new Map<string, { readonly at: number; readonly p99: number | null; readonly runs: number }>()

  async of(
    figures: AlertFigures,
    workflow: string,
    windowMs: number,
    now: number,
  ): Promise<{ readonly p99: number | null; readonly runs: number }> {
    const key = `${windowMs} ${workflow}`
    const known = this.#known.get(key)
    if (known !== undefined && Math.abs(now - known.at) < baselineMs) return known
    const buckets = await figures.durations(workflow, floor(now - windowMs), floor(now) + minuteMs)
    const fresh = { at: now, p99: percentile(buckets, 0.99), runs: buckets.counts.reduce((sum, n) => sum + n, 0) }
    if (this.#known.size >= 2_000) this.#known.clear()
    this.#known.set(key, fresh)
    return fresh
  }
}

/** One look at all rules: what several of them ask for is read once. */
export class Look {
  readonly now: number
  readonly figures: AlertFigures
  readonly baselines: Baselines
  readonly #statistics: Pick<Statistics, 'backlog'>
  #queues: Promise<readonly QueueBacklog[]> | null = null
  #unserved: Promise<readonly UnservedLane[]> | null = null

  constructor(now: number, figures: AlertFigures, statistics: Pick<Statistics, 'backlog'>, baselines: Baselines) {
    this.now = now
    this.figures = figures
    this.baselines = baselines
    this.#statistics = statistics
  }

  queues(): Promise<readonly QueueBacklog[]> {
    this.#queues ??= this.#statistics.backlog().then(({ queues }) => queues)
    return this.#queues
  }

  unserved(): Promise<readonly UnservedLane[]> {
    this.#unserved ??= this.figures.unserved()
    return this.#unserved
  }
}

/** What holds now, at most `maxAlertsOfRule`, the worst first. */
export async function holdingOf(rule: AlertRule, look: Look): Promise<Holding[]> {
  const holding = await holdingOfKind(rule, look)
  return holding.sort((a, b) => b.value - a.value).slice(0, maxAlertsOfRule)
}

function holdingOfKind(rule: AlertRule, look: Look): Promise<Holding[]> {
  switch (rule.kind) {
    case 'runTooLong':
      return runTooLong(rule, look)
    case 'failureRate':
      return failureRate(rule, look)
    case 'retryRate':
      return retryRate(rule, look)
    case 'queueAge':
      return queueAge(rule, look)
    case 'noWorker':
      return noWorker(rule, look)
    case 'blockedRuns':
      return blockedRuns(rule, look)
    case 'leaseChurn':
      return leaseChurn(rule, look)
  }
}

// ── runTooLong ───────────────────────────────────────────────────────────────────────────────────

async function runTooLong(rule: RunTooLongRule, { figures, baselines, now }: Look): Promise<Holding[]> {
  const oldest = await figures.oldestOpen(rule.workflow ?? null)
  const limits = new Map<string, { readonly limitMs: number; readonly why: string; readonly p99?: number }>()
  for (const { workflow, startedAt } of oldest) {
    if (rule.longerThan !== undefined) {
      const limitMs = durationMs(rule.longerThan, 'longerThan')
      if (now - startedAt > limitMs) limits.set(workflow, { limitMs, why: formatMs(limitMs) })
      continue
    }
    const windowMs = durationMs(rule.window ?? defaults.p99Window, 'window')
    const { p99, runs } = await baselines.of(figures, workflow, windowMs, now)
    if (p99 === null || runs < (rule.minRuns ?? defaults.minRuns)) continue
    const limitMs = p99 * rule.timesP99!
    if (now - startedAt <= limitMs) continue
    limits.set(workflow, { limitMs, p99, why: `${rule.timesP99} × its P99 of ${formatMs(p99)}` })
  }
  if (limits.size === 0) return []
  const cutoffs = [...limits].map(([workflow, { limitMs }]) => ({ workflow, before: now - limitMs }))
  const found = await figures.openSince(cutoffs, rule.queue ?? null, maxLong + 1)
  return [...groupBy(found, ({ workflow }) => workflow)].map(([workflow, runs]) => {
    const { limitMs, why, p99 } = limits.get(workflow)!
    const value = now - runs[0]!.startedAt
    return {
      place: { workflow, ...(rule.queue === undefined ? {} : { queue: rule.queue }) },
      value,
      summary: `${counted(runs.length, maxLong, 'run')} of ${workflow} ${runs.length === 1 ? 'has' : 'have'} been open for longer than ${why}; the oldest, ${runs[0]!.id}, for ${formatMs(value)}`,
      evidence: {
        limitMs,
        ...(p99 === undefined ? {} : { p99Ms: p99 }),
        runs: runs.slice(0, maxNamed).map(nameOf(now)),
      },
    }
  })
}

const nameOf =
  (now: number) =>
  ({ id, runId, status, startedAt }: OpenRun) => ({ id, runId, status, openMs: Math.round(now - startedAt) })

// ── rates ────────────────────────────────────────────────────────────────────────────────────────

/** Whole minutes: those that began in the last so long. */
export function windowBefore(now: number, windowMs: number): { from: number; to: number } {
  return { from: Math.ceil((now - windowMs) / minuteMs) * minuteMs, to: floor(now) + minuteMs }
}

export interface Rate {
  readonly rate: number
  readonly of: number
}

export function failuresOf(rows: readonly Pick<SeriesRow, 'completed' | 'failed'>[]): Rate {
  const failed = sum(rows.map((row) => row.failed))
  const of = failed + sum(rows.map((row) => row.completed))
  return { rate: of === 0 ? 0 : failed / of, of }
}

export function retriesOf(rows: readonly Pick<SeriesRow, 'completed' | 'failed' | 'retried'>[]): Rate {
  const retried = sum(rows.map((row) => row.retried))
  const of = retried + sum(rows.map((row) => row.completed + row.failed))
  return { rate: of === 0 ? 0 : retried / of, of }
}

/** Too few runs say nothing: then it does not hold. */
export function failureHolds(rule: FailureRateRule, { rate, of }: Rate): boolean {
  return of >= (rule.minRuns ?? defaults.minCounted) && rate > rule.above
}

/** The rate that is too much; null: nothing to compare with. */
export function retryLimit(rule: RetryRateRule, before: Rate): number | null {
  if (rule.above !== undefined) return rule.above
  if (before.of < (rule.minAttempts ?? defaults.minCounted)) return null
  return rule.timesUsual! * Math.max(before.rate, leastUsual)
}

export function retryHolds(rule: RetryRateRule, { rate, of }: Rate, limit: number | null): boolean {
  return limit !== null && of >= (rule.minAttempts ?? defaults.minCounted) && rate > limit
}

export const saysFailures = (workflow: string, { rate, of }: Rate, above: number, windowMs: number) =>
  `${percent(rate)} of ${of} runs of ${workflow} failed in the last ${formatMs(windowMs)}, more than ${percent(above)}`

export const saysRetries = (what: string, { rate, of }: Rate, limit: number, windowMs: number) =>
  `${percent(rate)} of ${of} attempts of ${what} failed and were followed by another in the last ${formatMs(windowMs)}, more than ${percent(limit)}`

export const stepPlace = (workflow: string, step: string | undefined) => ({
  workflow,
  ...(step === undefined ? {} : { step: stepLabel(step) }),
})
export const stepName = (workflow: string, step: string | undefined) =>
  step === undefined ? `steps of ${workflow}` : `step ${stepLabel(step)} of ${workflow}`

async function failureRate(rule: FailureRateRule, { figures, now }: Look): Promise<Holding[]> {
  const windowMs = durationMs(rule.window ?? defaults.window, 'window')
  const { from, to } = windowBefore(now, windowMs)
  const rows = await figures.runSeries(rule.workflow ?? null, from, to)
  return [...groupBy(rows, ({ workflow }) => workflow)].flatMap(([workflow, own]) => {
    const rate = failuresOf(own)
    if (!failureHolds(rule, rate)) return []
    const evidence = { runs: rate.of, failed: sum(own.map(({ failed }) => failed)), above: rule.above, windowMs }
    return [
      { place: { workflow }, value: rate.rate, summary: saysFailures(workflow, rate, rule.above, windowMs), evidence },
    ]
  })
}

async function retryRate(rule: RetryRateRule, { figures, now }: Look): Promise<Holding[]> {
  const windowMs = durationMs(rule.window ?? defaults.window, 'window')
  const { from, to } = windowBefore(now, windowMs)
  const compares = rule.timesUsual !== undefined
  const step = rule.step === undefined ? null : stepLabel(rule.step)
  const rows = await figures.stepSeries(rule.workflow ?? null, step, compares ? from - windowMs : from, to)
  return [...groupBy(rows, ({ workflow }) => workflow)].flatMap(([workflow, own]) => {
    const late = own.filter(({ at }) => at >= from)
    const rate = retriesOf(late)
    const usual = retriesOf(own.filter(({ at }) => at < from))
    const limit = retryLimit(rule, usual)
    if (!retryHolds(rule, rate, limit)) return []
    const worst = [...groupBy(late, (row) => row.step ?? '')]
      .map(([name, each]) => ({
        step: name,
        attempts: retriesOf(each).of,
        retried: sum(each.map((row) => row.retried)),
      }))
      .sort((a, b) => b.retried - a.retried)
      .slice(0, maxNamed)
    return [
      {
        place: stepPlace(workflow, rule.step),
        value: rate.rate,
        summary: saysRetries(stepName(workflow, rule.step), rate, limit!, windowMs),
        evidence: { attempts: rate.of, limit, ...(compares ? { usual: usual.rate } : {}), windowMs, steps: worst },
      },
    ]
  })
}

// ── queues, workers, blocked runs ────────────────────────────────────────────────────────────────

async function queueAge(rule: QueueAgeRule, look: Look): Promise<Holding[]> {
  const limitMs = durationMs(rule.olderThan, 'olderThan')
  const queues = await look.queues()
  return queues
    .filter(({ queue, oldestAgeMs }) => (rule.queue ?? queue) === queue && oldestAgeMs > limitMs)
    .map(({ queue, ready, oldestAgeMs }) => ({
      place: { queue },
      value: oldestAgeMs,
      summary: `a run has been ready in queue ${queue} for ${formatMs(oldestAgeMs)}, longer than ${formatMs(limitMs)}; ${ready} ${ready === 1 ? 'is' : 'are'} ready there`,
      evidence: { ready, limitMs },
    }))
}

async function noWorker(rule: NoWorkerRule, look: Look): Promise<Holding[]> {
  const lanes = await look.unserved()
  return lanes
    .filter(({ workflow, queue }) => (rule.workflow ?? workflow) === workflow && (rule.queue ?? queue) === queue)
    .map(({ workflow, version, queue, since, example, listened, served }) => {
      const what = version === 0 ? workflow : `${workflow}@${version}`
      const why = !listened
        ? `no worker listens on queue ${queue}`
        : served
          ? `the workers that have it do not listen on queue ${queue}`
          : 'no worker has it'
      return {
        place: { workflow, version: version === 0 ? 'any' : String(version), queue },
        value: Math.max(0, look.now - since),
        summary: `runs of ${what} are ready, and ${why}; ${example} has been for ${formatMs(Math.max(0, look.now - since))}`,
        evidence: { example, listened, served },
      }
    })
}

/** As many as the store counts. */
const maxBlocked = 1_000

async function blockedRuns(rule: BlockedRunsRule, { figures }: Look): Promise<Holding[]> {
  const above = rule.above ?? 0
  const found = await figures.blocked(rule.workflow ?? null)
  return found
    .filter(({ count }) => count > above)
    .map(({ workflow, count, example }) => ({
      place: { workflow },
      value: count,
      summary: `${counted(count, maxBlocked, 'run')} of ${workflow} ${count === 1 ? 'is' : 'are'} blocked; stet why ${example}`,
      evidence: { count, example, above },
    }))
}

async function leaseChurn(rule: LeaseChurnRule, { figures, now }: Look): Promise<Holding[]> {
  const windowMs = durationMs(rule.window ?? defaults.window, 'window')
  // One that is being removed in this moment counts too.
  const lost = await figures.lostWorkers(now - windowMs, now + 1)
  if (lost.length <= rule.above) return []
  const workers = lost.slice(0, maxNamed).map(({ at, ...rest }) => ({ ...rest, at: new Date(at).toISOString() }))
  return [
    {
      place: {},
      value: lost.length,
      summary: saysChurn(lost.length, rule.above, windowMs),
      evidence: { workers, windowMs },
    },
  ]
}

export const saysChurn = (n: number, above: number, windowMs: number) =>
  `${n} workers went without being stopped in the last ${formatMs(windowMs)}, more than ${above}`

// ── helpers ──────────────────────────────────────────────────────────────────────────────────────

export function groupBy<T>(items: readonly T[], keyOf: (item: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>()
  for (const item of items) {
    const group = groups.get(keyOf(item))
    if (group === undefined) groups.set(keyOf(item), [item])
    else group.push(item)
  }
  return groups
}

export function floor(at: number): number {
  return Math.floor(at / minuteMs) * minuteMs
}

function sum(values: readonly number[]): number {
  return values.reduce((total, each) => total + each, 0)
}

function percent(rate: number): string {
  return `${Math.round(rate * 1_000) / 10} %`
}

function counted(n: number, max: number, what: string): string {
  return n > max ? `more than ${max} ${what}s` : `${n} ${what}${n === 1 ? '' : 's'}`
}
