/** Alerts: what a rule says, what it has found, and what can be done about it. */
import type { Duration } from './types.js'

interface RuleBase {
  /** Unique among all rules. */
  name: string
  /** What it is for, for those who are woken by it. */
  description?: string
  /** For how long the condition must hold before it fires; default 0: at once. */
  for?: Duration
  /** Default `'warning'`. */
  severity?: string
  /** Labels that each of its alerts has besides. */
  labels?: Record<string, string>
}

/**
 * Open runs that have been executing or waiting, since their first claim, for longer than they should: longer than a
 * fixed time, or than so many times the P99 of the workflow's own runs. One alert a workflow.
 */
export type RunTooLongRule = RuleBase & {
  kind: 'runTooLong'
  workflow?: string
  queue?: string
} & (
    | { longerThan: Duration; timesP99?: never; window?: never; minRuns?: never }
    | {
        timesP99: number
        longerThan?: never
        /** The P99 of the runs that closed in the last so long; default `'1d'`, at most `'30d'`. */
        window?: Duration
        /** Fewer closed runs than that say nothing; default 20. */
        minRuns?: number
      }
  )

/** More than a part of the runs that completed or failed have failed. One alert a workflow. */
export interface FailureRateRule extends RuleBase {
  kind: 'failureRate'
  workflow?: string
  /** 0 to 1. */
  above: number
  /** Default `'10m'`; a minute to a day. */
  window?: Duration
  /** Fewer runs than that say nothing; default 10. */
  minRuns?: number
}

/** Attempts of steps that failed and were followed by another, among all attempts. One alert a workflow. */
export type RetryRateRule = RuleBase & {
  kind: 'retryRate'
  workflow?: string
  /** Of this step alone; digits stand for `#`. */
  step?: string
  /** Default `'10m'`; a minute to a day. */
  window?: Duration
  /** Fewer attempts than that say nothing; default 10. */
  minAttempts?: number
} & (
    | {
        /** 0 to 1. */
        above: number
        timesUsual?: never
      }
    | {
        /** Times the rate of the window before, of the same length, which counts as at least 0.01. */
        timesUsual: number
        above?: never
      }
  )

/** A run has been ready in its queue, and nobody has taken it. One alert a queue. */
export interface QueueAgeRule extends RuleBase {
  kind: 'queueAge'
  queue?: string
  olderThan: Duration
}

/** Runs are ready, and no worker that is alive has their version or listens on their queue. */
export interface NoWorkerRule extends RuleBase {
  kind: 'noWorker'
  workflow?: string
  queue?: string
}

/** Runs are blocked. One alert a workflow. */
export interface BlockedRunsRule extends RuleBase {
  kind: 'blockedRuns'
  workflow?: string
  /** How many may be, without an alert; default 0. */
  above?: number
}

/** Workers went without being stopped: their leases ended, or they left runs behind. */
export interface LeaseChurnRule extends RuleBase {
  kind: 'leaseChurn'
  above: number
  /** Default `'10m'`; a minute to a day. */
  window?: Duration
}

export type AlertRule =
  | RunTooLongRule
  | FailureRateRule
  | RetryRateRule
  | QueueAgeRule
  | NoWorkerRule
  | BlockedRunsRule
  | LeaseChurnRule
export type AlertKind = AlertRule['kind']

/** `alerts` of `stet.config.ts`. */
export interface AlertsConfig {
  rules?: AlertRule[]
  /** How often rules are looked at; default `'15s'`, at least a second. */
  every?: Duration
  /**
   * Where firings and resolvings are sent, as Alertmanager would send them (version 4). Each request is signed:
   * `X-Stet-Signature: t=<seconds>,v1=<hex>`, where `v1` is the HMAC-SHA256, by `secret`, of `t`, a dot and the body;
   * `X-Stet-Delivery` is the same for each try of one delivery. A receiver checks it with
   * `createHmac('sha256', secret).update(t + '.' + body).digest()` and `timingSafeEqual`.
   */
  webhook?: { url: string; secret: string }
  /** A line in the log of the process that evaluates; default true. */
  log?: boolean
  /** `NOTIFY stet_alerts` with a small JSON; default true. */
  notify?: boolean
  /** Where the dashboard is reached, for links in what is sent. */
  externalUrl?: string
}

/** A rule as it stands. A rule that was edited at run time is in force in place of the one that a config gives. */
export interface AlertRuleStatus {
  name: string
  rule: AlertRule
  /** Which of both is in force. */
  source: 'config' | 'runtime'
  /** There is one in a config too, which takes its place when the edited one is removed. */
  configured: boolean
  enabled: boolean
  silencedUntil?: Date
}

export interface Alert {
  /** Of this one time; ascending. */
  id: number
  rule: string
  kind: string
  /** Of the rule and what it is about: the same each time. */
  fingerprint: string
  /** `pending`: it holds, and not for long enough yet. */
  state: 'pending' | 'firing' | 'resolved'
  severity: string
  labels: Record<string, string>
  /** ms, a rate or a number of things, as its rule has it. */
  value: number
  summary: string
  evidence: Record<string, unknown>
  /** Since when the condition holds. */
  since: Date
  firedAt?: Date
  resolvedAt?: Date
  silencedUntil?: Date
  /** What was, or is to be, sent to the webhook. */
  deliveries: AlertDelivery[]
}
export interface AlertDelivery {
  id: string
  event: 'firing' | 'resolved'
  state: 'due' | 'delivered' | 'givenUp'
  attempts: number
  /** When it is tried again. */
  nextAt?: Date
  /** Of the last try that did not succeed. */
  error?: string
}

/** When a rule would have fired. */
export interface AlertTest {
  rule: string
  kind: AlertKind
  /** False: what it takes is not kept. `note` says so, or how exact the answer is. */
  known: boolean
  note: string
  firings: {
    labels: Record<string, string>
    firedAt: Date
    /** Null: it would still be firing. */
    resolvedAt: Date | null
    /** The worst value. */
    value: number
    summary: string
  }[]
}

export interface Alerts {
  /** What fires, what is about to, and what fired of late, newest first. */
  list(options?: { recent?: number }): Promise<{ firing: Alert[]; pending: Alert[]; recent: Alert[] }>
  /** What has fired, newest first; give the id of the last one back as `before`. At most 500; default 50. */
  history(options?: { limit?: number; before?: number }): Promise<Alert[]>
  rules(): Promise<AlertRuleStatus[]>
  /**
   * Adds a rule, or puts it in the place of the one with its name, until it is removed.
   * @throws InvalidInputError naming the field that cannot be used
   */
  add(rule: AlertRule): Promise<void>
  /**
   * Removes a rule that was added at run time; one of the config with its name is in force again (`'restored'`).
   * @throws StetError `rule_not_found`; `rule_configured` when the config alone has it
   */
  remove(name: string): Promise<'removed' | 'restored'>
  /** @throws StetError `rule_not_found` */
  enable(name: string): Promise<void>
  /** Its alerts resolve, and it is not looked at until it is enabled. @throws StetError `rule_not_found` */
  disable(name: string): Promise<void>
  /**
   * Nothing that begins to fire is sent until then; it is evaluated all the same. What still fires at the end is sent
   * then. A resolving is sent whenever its firing was. Null ends the silence.
   * @throws StetError `rule_not_found`, `alert_not_found`
   * @example await stet.alerts.silence({ rule: 'slow orders' }, '2h')
   */
  silence(what: { rule: string } | { fingerprint: string }, until: Date | Duration | null): Promise<void>
  /**
   * When rules would have fired, by the statistics that are kept.
   * @example const [test] = await stet.alerts.test({ last: '7d', rules: ['failures of orders'] })
   */
  test(options?: { last?: Duration; rules?: string[]; rule?: AlertRule }): Promise<AlertTest[]>
}
