/**
 * What alerts need of a store: rules, what has fired, what is to be sent, and the figures that rules look at. A port of
 * its own: Postgres has it, a store without a database has none.
 *
 * B1. One evaluator a database is active at a time: it has the lease, which ends by the database's clock.
 * B2. What an evaluator found is written in one transaction that holds its lease: what a former one found is refused.
 * B3. A firing and what is to be sent of it commit together, so both survive whoever found it.
 * B4. Each figure costs the same however many runs there are: it comes by an index, up to a limit.
 */
import type { AlertRule } from '../core/types.js'
import type { Buckets } from './statistics.js'

/** Alerts of one rule at once. */
export const maxAlertsOfRule = 100

/** Workflows that a figure tells of, at most. */
export const maxFigures = 200

/** Firings that are over are kept so long, and so many of them. */
export const firingsKeptMs = 30 * 86_400_000
export const firingsKept = 10_000

/** What is known of workers that went is kept so long. */
export const takeoversKeptMs = 8 * 86_400_000

/** A delivery that nobody could make in this time is given up. */
export const deliveryPatienceMs = 86_400_000

export interface StoredRule {
  readonly name: string
  /** That of the config, and the one that takes its place; not checked. */
  readonly config: unknown
  readonly runtime: unknown
  readonly enabled: boolean
  /** ms since the epoch. */
  readonly silencedUntil: number | null
}

export interface StoredDelivery {
  readonly id: string
  readonly event: 'firing' | 'resolved'
  readonly state: 'due' | 'delivered' | 'givenUp'
  readonly attempts: number
  readonly nextAt: number | null
  readonly error: string | null
}

export interface AlertFacts {
  readonly rule: string
  readonly kind: string
  readonly fingerprint: string
  readonly severity: string
  readonly labels: Readonly<Record<string, string>>
  readonly value: number
  readonly summary: string
  readonly evidence: Readonly<Record<string, unknown>>
}

/** Times are ms since the epoch. */
export interface StoredAlert extends AlertFacts {
  readonly id: number
  readonly state: 'pending' | 'firing' | 'resolved'
  readonly since: number
  readonly firedAt: number | null
  readonly resolvedAt: number | null
  /** Others have been told that it fires. */
  readonly announced: boolean
  readonly silencedUntil: number | null
  readonly deliveries: readonly StoredDelivery[]
}

/** What an evaluator learns each time that it looks. */
export interface Watch {
  /** It has the lease. */
  readonly active: boolean
  /** ms since the epoch. */
  readonly now: number
  readonly rules: readonly StoredRule[]
  /** By fingerprint, until when. */
  readonly silences: Readonly<Record<string, number>>
  /** Alerts are pending or fire. */
  readonly open: boolean
  /** Something is to be sent. */
  readonly due: boolean
  /** Some process has a webhook. */
  readonly webhook: boolean
}

export interface AlertWrite extends AlertFacts {
  /** The one that is open already; null: a new one. */
  readonly id: number | null
  readonly state: 'pending' | 'firing' | 'resolved'
  readonly since: number
  readonly firedAt: number | null
  readonly resolvedAt: number | null
  readonly announced: boolean
  /** To be sent. */
  readonly delivery: { readonly id: string; readonly event: 'firing' | 'resolved'; readonly body: string } | null
  /** What NOTIFY says. */
  readonly notice: string | null
}

export interface ClaimedDelivery {
  readonly id: string
  readonly event: 'firing' | 'resolved'
  readonly rule: string
  readonly body: string
  /** This one included. */
  readonly attempts: number
}

export interface OpenRun {
  readonly workflow: string
  readonly runId: string
  readonly id: string
  readonly status: string
  /** Of its first claim. */
  readonly startedAt: number
}

/** What was counted of a workflow's runs, or of one of its steps, from `at` on. */
export interface SeriesRow {
  readonly workflow: string
  readonly step: string | null
  readonly at: number
  /** 60; 3,600 or 86,400 for what is older. */
  readonly seconds: number
  readonly completed: number
  readonly failed: number
  readonly retried: number
}

export interface DurationRow {
  readonly at: number
  readonly seconds: number
  readonly duration: Buckets
}

export interface UnservedLane {
  readonly workflow: string
  /** 0: any. */
  readonly version: number
  readonly queue: string
  /** When the oldest could have begun. */
  readonly since: number
  readonly example: string
  /** Some live worker listens on the queue; some has the version. */
  readonly listened: boolean
  readonly served: boolean
}

export interface LostWorker {
  readonly at: number
  readonly worker: string
  readonly host: string | null
  /** Runs that it left behind, at most 1,001. */
  readonly runs: number
}

/** `workflow` null: all, of which the first `maxFigures` by name. Times are ms since the epoch, `to` not in the window. */
export interface AlertFigures {
  /** The run of each workflow that was begun first among those that are open. */
  oldestOpen(workflow: string | null): Promise<OpenRun[]>
  /** Open runs that began before, the oldest first, at most `limit` of each workflow. */
  openSince(
    cutoffs: readonly { readonly workflow: string; readonly before: number }[],
    queue: string | null,
    limit: number,
  ): Promise<OpenRun[]>
  /** Of closed runs. */
  durations(workflow: string, from: number, to: number): Promise<Buckets>
  /** The same, row by row. */
  durationRows(workflow: string, from: number, to: number): Promise<DurationRow[]>
  /** Workflows of which anything was counted. */
  countedWorkflows(): Promise<string[]>
  runSeries(workflow: string | null, from: number, to: number): Promise<SeriesRow[]>
  stepSeries(workflow: string | null, step: string | null, from: number, to: number): Promise<SeriesRow[]>
  unserved(): Promise<UnservedLane[]>
  /** At most 1,001 of each workflow are counted. */
  blocked(workflow: string | null): Promise<{ workflow: string; count: number; example: string }[]>
  /** Newest first, at most 10,000. */
  lostWorkers(from: number, to: number): Promise<LostWorker[]>
}

export interface AlertStore {
  readonly figures: AlertFigures
  /**
   * Takes the lease, or keeps it, if nobody else has it; one statement, whatever there is. `now` null: the time that runs
   * live by.
   */
  watch(holder: string, leaseMs: number, now: number | null): Promise<Watch>
  /** Gives the lease back, so that another takes it at once. */
  unwatch(holder: string): Promise<void>
  openAlerts(): Promise<StoredAlert[]>
  /** False: the lease is another's, and nothing was written. */
  write(holder: string, now: number, writes: readonly AlertWrite[], gone: readonly number[]): Promise<boolean>
  /** Deliveries that are due: nobody else gets them before `tryMs` have passed. */
  claimDeliveries(now: number, tryMs: number, limit: number): Promise<ClaimedDelivery[]>
  /** `nextAt` null: given up. */
  endDelivery(
    id: string,
    now: number,
    end: 'delivered' | { readonly error: string; readonly nextAt: number | null },
  ): Promise<void>
  /** Forgets what is old; how many deliveries were given up, for nobody could make them. */
  prune(now: number): Promise<number>

  /** Makes these the rules of the config, in place of those there were. */
  setConfigRules(rules: readonly AlertRule[], webhook: boolean): Promise<void>
  rules(): Promise<StoredRule[]>
  /** False: there are `max` rules already. */
  putRule(rule: AlertRule, max: number): Promise<boolean>
  removeRule(name: string): Promise<'removed' | 'restored' | 'configured' | 'missing'>
  /** False: there is no such rule. */
  enableRule(name: string, enabled: boolean): Promise<boolean>
  silenceRule(name: string, until: number | null): Promise<boolean>
  /** False: no alert has had this fingerprint. */
  silenceAlert(fingerprint: string, until: number | null): Promise<boolean>
  /** Those that have fired, newest first, `before` an id. */
  firings(limit: number, before: number | null): Promise<StoredAlert[]>
}
