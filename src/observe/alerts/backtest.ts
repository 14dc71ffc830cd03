/**
 * When a rule would have fired, by what is kept of the past. What is not kept is said, and nothing is made up.
 *
 * Counters and histograms are kept by the minute for two days, then by the hour, then by the day. A minute is looked at as
 * the evaluator would have at its end. Of an hour or a day there is one rate, and one look.
 */
import { durationMs, formatMs } from '../../core/duration.js'
import type {
  AlertRule,
  AlertTest,
  FailureRateRule,
  LeaseChurnRule,
  RetryRateRule,
  RunTooLongRule,
} from '../../core/types.js'
import { type AlertFigures, type SeriesRow, takeoversKeptMs } from '../../store/alerts.js'
import { hoursKeptMs, minutesKeptMs } from '../../store/statistics.js'
import { midOf, percentile } from '../histogram.js'
import {
  defaults,
  failureHolds,
  failuresOf,
  groupBy,
  type Rate,
  retriesOf,
  retryHolds,
  retryLimit,
  saysChurn,
  saysFailures,
  saysRetries,
  stepName,
  stepPlace,
} from './conditions.js'

const minuteMs = 60_000

/** A condition held from one time until another. */
interface Span {
  readonly from: number
  readonly to: number
  readonly value: number
  readonly summary: string
}

interface Known {
  readonly note: string
  readonly places: readonly { readonly labels: Record<string, string>; readonly spans: readonly Span[] }[]
}

/** Of a window, ms since the epoch. */
export async function testRule(figures: AlertFigures, rule: AlertRule, from: number, to: number): Promise<AlertTest> {
  const { name, kind } = rule
  const unknown = unknowable[kind]
  if (unknown !== undefined) return { rule: name, kind, known: false, note: unknown, firings: [] }
  const { note, places } = await pastOf(figures, rule, from, to)
  const forMs = durationMs(rule.for ?? 0, 'for')
  const firings = places
    .flatMap(({ labels, spans }) => firingsOf(spans, forMs, from, to).map((firing) => ({ labels, ...firing })))
    .sort((a, b) => a.firedAt.getTime() - b.firedAt.getTime())
  return { rule: name, kind, known: true, note, firings }
}

const seeHistory = 'What it has fired, since it is there: stet alerts history'
const unknowable: Partial<Record<AlertRule['kind'], string>> = {
  queueAge: `not known: how old the runs in a queue were at a time is not kept. ${seeHistory}`,
  noWorker: `not known: which workers were there at a time is not kept. ${seeHistory}`,
  blockedRuns: `not known: how many runs were blocked at a time is not kept, only how often runs were blocked (stet stats). ${seeHistory}`,
}

function pastOf(figures: AlertFigures, rule: AlertRule, from: number, to: number): Promise<Known> {
  if (rule.kind === 'failureRate') return failureRate(figures, rule, from, to)
  if (rule.kind === 'retryRate') return retryRate(figures, rule, from, to)
  if (rule.kind === 'leaseChurn') return leaseChurn(figures, rule, from, to)
  return runTooLong(figures, rule as RunTooLongRule, from, to)
}

/** Spans that touch are one. One that is shorter than `for` does not fire. */
function firingsOf(spans: readonly Span[], forMs: number, from: number, to: number) {
  const merged: Span[] = []
  for (const span of [...spans].sort((a, b) => a.from - b.from)) {
    const last = merged.at(-1)
    if (last === undefined || span.from > last.to) {
      merged.push(span)
      continue
    }
    const worse = span.value > last.value ? span : last
    merged[merged.length - 1] = { ...worse, from: last.from, to: Math.max(last.to, span.to) }
  }
  return merged
    .filter((span) => span.to > from && span.to - span.from >= forMs && span.from + forMs <= to)
    .map((span) => ({
      firedAt: new Date(Math.max(from, span.from + forMs)),
      resolvedAt: span.to >= to ? null : new Date(span.to),
      value: span.value,
      summary: span.summary,
    }))
}

// ── rates ────────────────────────────────────────────────────────────────────────────────────────

function exactness(from: number, to: number): string {
  if (to - from <= minutesKeptMs) return 'by the minute'
  const coarse = to - from > hoursKeptMs ? ', by the day for what is older than 30 days' : ''
  return `by the minute for the last 2 days, by the hour before${coarse}: there one rate stands for an hour`
}

/** Counts of a series before any minute, so that those of a window are one subtraction. */
class Minutes {
  readonly #base: number
  readonly #sums: { completed: number; failed: number; retried: number }[]
  readonly end: number

  constructor(rows: readonly SeriesRow[]) {
    const own = rows.filter(({ seconds }) => seconds === 60)
    this.#base = own.reduce((least, { at }) => Math.min(least, at), Number.POSITIVE_INFINITY)
    this.end = own.reduce((most, { at }) => Math.max(most, at + minuteMs), Number.NEGATIVE_INFINITY)
    const length = own.length === 0 ? 0 : (this.end - this.#base) / minuteMs
    this.#sums = Array.from({ length: length + 1 }, () => ({ completed: 0, failed: 0, retried: 0 }))
    for (const { at, completed, failed, retried } of own) {
      const sums = this.#sums[(at - this.#base) / minuteMs + 1]!
      sums.completed += completed
      sums.failed += failed
      sums.retried += retried
    }
    for (let i = 1; i < this.#sums.length; i++) {
      const [before, sums] = [this.#sums[i - 1]!, this.#sums[i]!]
      for (const field of ['completed', 'failed', 'retried'] as const) sums[field] += before[field]
    }
  }

  get begin(): number {
    return this.#base
  }

  /** `to` is not in it. */
  between(from: number, to: number): { completed: number; failed: number; retried: number } {
    const [a, b] = [this.#before(from), this.#before(to)]
    return { completed: b.completed - a.completed, failed: b.failed - a.failed, retried: b.retried - a.retried }
  }

  #before(at: number) {
    const i = Math.ceil((at - this.#base) / minuteMs)
    return this.#sums[Math.max(0, Math.min(this.#sums.length - 1, i))]!
  }
}

/** `look` at each minute's end, with what came in the window and in the one before; at each coarser row as a whole. */
function lookBack(
  rows: readonly SeriesRow[],
  windowMs: number,
  to: number,
  look: (now: Sums, before: Sums, windowMs: number) => { readonly value: number; readonly summary: string } | null,
): Span[] {
  const spans: Span[] = []
  const minutes = new Minutes(rows)
  // Until the last window that has anything in it.
  for (let at = minutes.begin + minuteMs; at <= Math.min(minutes.end + windowMs, to + minuteMs); at += minuteMs) {
    const held = look(minutes.between(at - windowMs, at), minutes.between(at - 2 * windowMs, at - windowMs), windowMs)
    if (held !== null) spans.push({ from: at, to: at + minuteMs, ...held })
  }
  const coarse = [...groupBy(rows, ({ seconds, at }) => `${seconds} ${at}`).values()].filter(
    ([row]) => row!.seconds > 60,
  )
  let before: { readonly end: number; readonly seconds: number; readonly sums: Sums } | null = null
  for (const group of coarse) {
    const { at, seconds } = group[0]!
    const sums = sumOf(group)
    const ms = seconds * 1_000
    const usual = before !== null && before.end === at && before.seconds === seconds ? before.sums : zero
    const held = look(sums, usual, ms)
    if (held !== null) spans.push({ from: at, to: at + ms, ...held })
    before = { end: at + ms, seconds, sums }
  }
  return spans
}

type Sums = { readonly completed: number; readonly failed: number; readonly retried: number }
const zero: Sums = { completed: 0, failed: 0, retried: 0 }

function sumOf(rows: readonly Sums[]): Sums {
  return rows.reduce<Sums>(
    (sum, row) => ({
      completed: sum.completed + row.completed,
      failed: sum.failed + row.failed,
      retried: sum.retried + row.retried,
    }),
    zero,
  )
}

async function failureRate(figures: AlertFigures, rule: FailureRateRule, from: number, to: number): Promise<Known> {
  const windowMs = durationMs(rule.window ?? defaults.window, 'window')
  const rows = await figures.runSeries(rule.workflow ?? null, from - windowMs, to)
  const places = [...groupBy(rows, ({ workflow }) => workflow)].map(([workflow, own]) => ({
    labels: { workflow },
    spans: lookBack(own, windowMs, to, (sums, _, ms) => {
      const rate = failuresOf([sums])
      return failureHolds(rule, rate)
        ? { value: rate.rate, summary: saysFailures(workflow, rate, rule.above, ms).replace('in the last', 'in') }
        : null
    }),
  }))
  return { note: exactness(from, to), places }
}

async function retryRate(figures: AlertFigures, rule: RetryRateRule, from: number, to: number): Promise<Known> {
  const windowMs = durationMs(rule.window ?? defaults.window, 'window')
  const { step } = stepPlace('', rule.step) as { step?: string }
  const rows = await figures.stepSeries(rule.workflow ?? null, step ?? null, from - 2 * windowMs, to)
  const places = [...groupBy(rows, ({ workflow }) => workflow)].map(([workflow, own]) => ({
    labels: stepPlace(workflow, rule.step),
    spans: lookBack(own, windowMs, to, (sums, before, ms) => {
      const rate: Rate = retriesOf([sums])
      const limit = retryLimit(rule, retriesOf([before]))
      if (!retryHolds(rule, rate, limit)) return null
      return {
        value: rate.rate,
        summary: saysRetries(stepName(workflow, rule.step), rate, limit!, ms).replace('in the last', 'in'),
      }
    }),
  }))
  return { note: exactness(from, to), places }
}

// ── workers that went ────────────────────────────────────────────────────────────────────────────

async function leaseChurn(figures: AlertFigures, rule: LeaseChurnRule, from: number, to: number): Promise<Known> {
  const windowMs = durationMs(rule.window ?? defaults.window, 'window')
  const times = (await figures.lostWorkers(from - windowMs, to)).map(({ at }) => at).sort((a, b) => a - b)
  const spans: Span[] = []
  let first = 0
  for (const [i, at] of times.entries()) {
    while (times[first]! <= at - windowMs) first++
    const n = i - first + 1
    if (n <= rule.above) continue
    // Until so many of them have left the window that no more than `above` are in it.
    const until = times[i - rule.above]! + windowMs
    spans.push({
      from: at,
      to: until,
      value: n,
      summary: saysChurn(n, rule.above, windowMs).replace('in the last', 'in'),
    })
  }
  const kept = to - from > takeoversKeptMs ? `; they are kept for ${formatMs(takeoversKeptMs)}` : ''
  return { note: `to the moment, by the workers that went${kept}`, places: [{ labels: {}, spans }] }
}

// ── runs that took too long ──────────────────────────────────────────────────────────────────────

async function runTooLong(figures: AlertFigures, rule: RunTooLongRule, from: number, to: number): Promise<Known> {
  const workflows = rule.workflow === undefined ? await figures.countedWorkflows() : [rule.workflow]
  const places: { labels: Record<string, string>; spans: Span[] }[] = []
  for (const workflow of workflows) {
    places.push({ labels: { workflow }, spans: await longRuns(figures, rule, workflow, from, to) })
  }
  const queue = rule.queue === undefined ? '' : '; of all queues, for durations are not kept by queue'
  return {
    note: `by the durations of the runs that have closed, within 5 %, ${exactness(from, to).split(':')[0]}, and by the runs that are open${queue}`,
    places,
  }
}

/** Each run that took too long did so from when its time was over until it closed. */
async function longRuns(
  figures: AlertFigures,
  rule: RunTooLongRule,
  workflow: string,
  from: number,
  to: number,
): Promise<Span[]> {
  const windowMs = rule.timesP99 === undefined ? 0 : durationMs(rule.window ?? defaults.p99Window, 'window')
  const rows = await figures.durationRows(workflow, from - windowMs, to)
  const usual = new SlidingP99(rule.minRuns ?? defaults.minRuns, windowMs)
  const limitOf = (): number | null => {
    if (rule.longerThan !== undefined) return durationMs(rule.longerThan, 'longerThan')
    const p99 = usual.p99()
    return p99 === null ? null : rule.timesP99! * p99
  }
  const spans: Span[] = []
  const says = (ms: number, limit: number) =>
    `a run of ${workflow} took ${formatMs(ms)}, longer than ${formatMs(limit)}`
  for (const row of rows) {
    usual.dropBefore(row.at - windowMs)
    const limit = limitOf()
    usual.add(row)
    if (limit === null || row.at < from) continue
    const { first, counts } = row.duration
    const closed = Math.min(to, row.at + row.seconds * 1_000)
    for (const [i, n] of counts.entries()) {
      const ms = midOf(first + i)
      if (n > 0 && ms > limit)
        spans.push({ from: closed - (ms - limit), to: closed - 1, value: ms, summary: says(ms, limit) })
    }
  }
  usual.dropBefore(to - windowMs)
  const limit = limitOf()
  if (limit === null) return spans
  const open = await figures.openSince([{ workflow, before: to - limit }], rule.queue ?? null, 100)
  for (const { startedAt } of open) {
    spans.push({ from: startedAt + limit, to, value: to - startedAt, summary: says(to - startedAt, limit) })
  }
  return spans
}

interface Row {
  readonly at: number
  readonly duration: { readonly first: number; readonly counts: readonly number[] }
}

/** The P99 of rows of a window that moves on. */
class SlidingP99 {
  readonly #minRuns: number
  readonly #keeps: boolean
  readonly #counts = new Array<number>(300).fill(0)
  readonly #rows: Row[] = []
  #dropped = 0
  #total = 0

  constructor(minRuns: number, windowMs: number) {
    this.#minRuns = minRuns
    this.#keeps = windowMs > 0
  }

  add(row: Row): void {
    if (!this.#keeps) return
    this.#rows.push(row)
    this.#count(row, 1)
  }

  dropBefore(at: number): void {
    while (this.#dropped < this.#rows.length && this.#rows[this.#dropped]!.at < at)
      this.#count(this.#rows[this.#dropped++]!, -1)
  }

  p99(): number | null {
    return this.#total < this.#minRuns ? null : percentile({ first: 0, counts: this.#counts }, 0.99)
  }

  #count({ duration: { first, counts } }: Row, sign: 1 | -1): void {
    for (const [i, n] of counts.entries()) {
      this.#counts[first + i]! += sign * n
      this.#total += sign * n
    }
  }
}
