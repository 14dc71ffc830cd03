/** `stet.alerts`: rules edited at run time, what has fired, silences. */
import { checkAlertRule, maxRules } from '../../core/alert-rule.js'
import { durationMs } from '../../core/duration.js'
import { InvalidInputError, StetError } from '../../core/errors.js'
import { checkName } from '../../core/ids.js'
import type { Alert, AlertRule, AlertRuleStatus, Alerts, AlertTest, Duration } from '../../core/types.js'
import type { AlertStore, StoredAlert, StoredRule } from '../../store/alerts.js'
import type { Store } from '../../store/port.js'

const maxHistory = 500
const dayMs = 86_400_000

export class StoredAlerts implements Alerts {
  readonly #open: () => Promise<Store>

  constructor(open: () => Promise<Store>) {
    this.#open = open
  }

  async list({ recent = 20 }: { recent?: number } = {}): ReturnType<Alerts['list']> {
    checkCount(recent, 0, 'alerts.list: recent')
    const { alerts } = await this.#store()
    const open = (await alerts.openAlerts()).map(alertOf)
    const newest = recent === 0 ? [] : await alerts.firings(recent, null)
    const byTime = (a: Alert, b: Alert) => b.since.getTime() - a.since.getTime() || b.id - a.id
    return {
      firing: open.filter(({ state }) => state === 'firing').sort(byTime),
      pending: open.filter(({ state }) => state === 'pending').sort(byTime),
      recent: newest.map(alertOf).filter(({ state }) => state === 'resolved'),
    }
  }

  async history({ limit = 50, before }: { limit?: number; before?: number } = {}): Promise<Alert[]> {
    checkCount(limit, 1, 'alerts.history: limit')
    if (before !== undefined && !Number.isSafeInteger(before)) {
      throw new InvalidInputError(`alerts.history: before: expected the id of an alert, got ${String(before)}.`)
    }
    const { alerts } = await this.#store()
    return (await alerts.firings(limit, before ?? null)).map(alertOf)
  }

  async rules(): Promise<AlertRuleStatus[]> {
    const { alerts } = await this.#store()
    return (await alerts.rules()).map(statusOf)
  }

  async add(rule: AlertRule): Promise<void> {
    checkAlertRule(rule, 'alert rule')
    const { alerts } = await this.#store()
    if (await alerts.putRule(rule, maxRules)) return
    throw new StetError(
      'too_many_rules',
      `there are ${maxRules} alert rules already, which is as many as there may be.`,
    )
  }

  async remove(name: string): Promise<'removed' | 'restored'> {
    checkName(name, 'alert rule')
    const { alerts } = await this.#store()
    const done = await alerts.removeRule(name)
    if (done === 'missing') throw ruleNotFound(name)
    if (done === 'configured') {
      throw new StetError(
        'rule_configured',
        `the alert rule "${name}" is the config's: take it out there, or disable it: stet alerts disable '${name}'`,
      )
    }
    return done
  }

  enable(name: string): Promise<void> {
    return this.#enable(name, true)
  }

  disable(name: string): Promise<void> {
    return this.#enable(name, false)
  }

  async silence(what: { rule: string } | { fingerprint: string }, until: Date | Duration | null): Promise<void> {
    const { store, alerts } = await this.#store()
    const end =
      until === null
        ? null
        : until instanceof Date
          ? until.getTime()
          : (await store.now()) + durationMs(until, 'alerts.silence: until')
    if (end !== null && Number.isNaN(end)) {
      throw new InvalidInputError(
        'alerts.silence: until: expected a valid Date, a duration or null, got an invalid Date.',
      )
    }
    if ('rule' in what) {
      checkName(what.rule, 'alerts.silence: rule')
      if (!(await alerts.silenceRule(what.rule, end))) throw ruleNotFound(what.rule)
      return
    }
    checkName(what.fingerprint, 'alerts.silence: fingerprint')
    if (await alerts.silenceAlert(what.fingerprint, end)) return
    throw new StetError(
      'alert_not_found',
      `no alert has the fingerprint "${what.fingerprint}". \`stet alerts list\` shows those there are.`,
    )
  }

  async test({
    last = '7d',
    rules,
    rule,
  }: {
    last?: Duration
    rules?: string[]
    rule?: AlertRule
  } = {}): Promise<AlertTest[]> {
    const lastMs = durationMs(last, 'alerts.test: last')
    if (lastMs < 60_000 || lastMs > 90 * dayMs) {
      throw new InvalidInputError(`alerts.test: last: expected a minute to 90 days, got ${String(last)}.`)
    }
    const { testRule } = await import('./backtest.js')
    const { store, alerts } = await this.#store()
    const tested = rule === undefined ? await this.#chosen(alerts, rules) : [checkAlertRule(rule, 'alert rule')]
    const to = await store.now()
    const tests: AlertTest[] = []
    // One after the other: this is for people, and workers use the same database.
    for (const each of tested) tests.push(await testRule(alerts.figures, each, to - lastMs, to))
    return tests
  }

  async #chosen(alerts: AlertStore, names: readonly string[] | undefined): Promise<AlertRule[]> {
    const known = (await alerts.rules()).map(statusOf)
    const missing = names?.find((name) => known.every((each) => each.name !== name))
    if (missing !== undefined) throw ruleNotFound(missing)
    return known
      .filter(({ name }) => names?.includes(name) ?? true)
      .map(({ rule }) => checkAlertRule(rule, 'alert rule'))
  }

  async #enable(name: string, enabled: boolean): Promise<void> {
    checkName(name, 'alert rule')
    const { alerts } = await this.#store()
    if (!(await alerts.enableRule(name, enabled))) throw ruleNotFound(name)
  }

  async #store(): Promise<{ store: Store; alerts: AlertStore }> {
    const store = await this.#open()
    if (store.alerts === null) {
      throw new StetError(
        'not_available',
        `alerts need a Postgres database; this store (${store.description}) has none.`,
      )
    }
    return { store, alerts: store.alerts }
  }
}

function ruleNotFound(name: string): StetError {
  return new StetError(
    'rule_not_found',
    `no alert rule has the name "${name}". \`stet alerts list\` shows those there are.`,
  )
}

function checkCount(value: number, min: number, what: string): void {
  if (Number.isInteger(value) && value >= min && value <= maxHistory) return
  throw new InvalidInputError(`${what}: expected a whole number from ${min} to ${maxHistory}, got ${String(value)}.`)
}

function statusOf({ name, config, runtime, enabled, silencedUntil }: StoredRule): AlertRuleStatus {
  return {
    name,
    rule: (runtime ?? config) as AlertRule,
    source: runtime === null ? 'config' : 'runtime',
    configured: config !== null,
    enabled,
    ...dateOf('silencedUntil', silencedUntil),
  }
}

function alertOf(alert: StoredAlert): Alert {
  const { announced: _, labels, evidence, since, firedAt, resolvedAt, silencedUntil, deliveries, ...rest } = alert
  return {
    ...rest,
    labels: { ...labels },
    evidence: { ...evidence },
    since: new Date(since),
    ...dateOf('firedAt', firedAt),
    ...dateOf('resolvedAt', resolvedAt),
    ...dateOf('silencedUntil', silencedUntil),
    deliveries: deliveries.map(({ nextAt, error, ...delivery }) => ({
      ...delivery,
      ...dateOf('nextAt', nextAt),
      ...(error === null ? {} : { error }),
    })),
  }
}

function dateOf<K extends string>(field: K, ms: number | null): { [key in K]?: Date } {
  return ms === null ? {} : ({ [field]: new Date(ms) } as { [key in K]?: Date })
}
