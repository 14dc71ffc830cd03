/**
 * Looks at the rules again and again, and tells of what fires and what resolves. It runs in every worker and dashboard;
 * one of them is active at a time (`store/alerts.ts`: B1).
 *
 * F1. What is known of an alert is in the database alone: an evaluator that begins anew, or takes over, goes on where the
 *     one before it was.
 * F2. A firing is announced once, when it fires, or when a silence ends in which it began. A resolving is announced if its
 *     firing was, also in a silence: else whoever was told of the one would wait for the other for ever.
 * F3. A condition that could not be looked at is as it was: its alerts stay.
 * F4. Whatever goes wrong here is logged, and harms nobody: no call rejects.
 *
 * What is to be sent is sent by any process that has a webhook in its config, active or not.
 */
import { createHash } from 'node:crypto'
import { checkAlertRule } from '../../core/alert-rule.js'
import { originals } from '../../core/determinism.js'
import { durationMs } from '../../core/duration.js'
import { newId } from '../../core/ids.js'
import type { AlertRule, AlertsConfig, Log } from '../../core/types.js'
import type { AlertStore, AlertWrite, ClaimedDelivery, StoredAlert, StoredRule, Watch } from '../../store/alerts.js'
import type { Statistics } from '../../store/statistics.js'
import { Baselines, type Holding, holdingOf, Look } from './conditions.js'
import { bodyOf, maxAttempts, pauseAfter, send, type Webhook } from './webhook.js'

const pruneMs = 3_600_000

/** A try that is not noted by then, for its process is gone, is made again. */
const tryMs = 60_000
const maxDeliveries = 20

/** A receiver that is slow does not keep the next look waiting for long. */
const deliveringMs = 5_000

/** How long the end of a process waits for a look that is under way. */
const partingMs = 2_000

/** Evidence that is told in an annotation. */
const maxEvidence = 2_000

export class AlertEvaluator {
  readonly #store: AlertStore
  readonly #statistics: Pick<Statistics, 'backlog'>
  readonly #log: Log
  readonly #config: AlertsConfig | undefined
  readonly #everyMs: number
  readonly #holder = newId('alerts')
  readonly #baselines = new Baselines()
  /** Rules that could not be looked at, or used: told once. */
  readonly #troubled = new Set<string>()
  #prunedAt = Number.NEGATIVE_INFINITY
  #configured = false
  #timer: NodeJS.Timeout | null = null
  #looking: Promise<void> | null = null
  #stopped = false

  /** `config`: `alerts` of the config of this process; undefined: it says nothing, and leaves the rules as they are. */
  constructor(
    store: { readonly alerts: AlertStore } & Pick<Statistics, 'backlog'>,
    log: Log,
    config: AlertsConfig | undefined,
  ) {
    this.#store = store.alerts
    this.#statistics = store
    this.#log = log
    this.#config = config
    this.#everyMs = durationMs(config?.every ?? '15s', 'alerts: every')
  }

  /** Looks now, and then again and again, without keeping the process alive. */
  start(): void {
    if (this.#stopped || this.#timer !== null) return
    this.#timer = originals.setInterval(() => void this.tick(), this.#everyMs)
    this.#timer.unref()
    void this.tick()
  }

  /** Waits a little for what is under way, and lets another take over at once. */
  async stop(): Promise<void> {
    if (this.#stopped) return
    this.#stopped = true
    if (this.#timer !== null) originals.clearInterval(this.#timer)
    let limit: NodeJS.Timeout | undefined
    const patience = new Promise<void>((resolve) => {
      limit = originals.setTimeout(resolve, partingMs)
    })
    const parting = async () => {
      await this.#looking
      await this.#store.unwatch(this.#holder).catch(() => {})
    }
    await Promise.race([parting(), patience])
    originals.clearTimeout(limit)
  }

  /** One look. `now`, ms since the epoch: at another time than the database's (tests). Never rejects. */
  tick(now: number | null = null): Promise<void> {
    this.#looking ??= this.#tick(now).finally(() => {
      this.#looking = null
    })
    return this.#looking
  }

  async #tick(now: number | null): Promise<void> {
    try {
      if (!this.#configured && this.#config !== undefined) {
        await this.#store.setConfigRules(this.#config.rules ?? [], this.#config.webhook !== undefined)
      }
      this.#configured = true
      const watch = await this.#store.watch(this.#holder, Math.max(3 * this.#everyMs, 10_000), now)
      if (watch.active) await this.#look(watch)
      const webhook = this.#config?.webhook
      // What was found just now is sent at once.
      if (webhook !== undefined && (watch.due || watch.active)) await this.#deliver(webhook, watch.now)
      this.#troubled.delete('')
    } catch (error) {
      this.#trouble('', 'alerts could not be looked at; trying again', error)
    }
  }

  async #look(watch: Watch): Promise<void> {
    const { now } = watch
    if (now - this.#prunedAt >= pruneMs) {
      this.#prunedAt = now
      const lost = await this.#store.prune(now)
      if (lost > 0) this.#log.error('alerts were not delivered, and are given up', { deliveries: lost })
    }
    if (watch.rules.length === 0 && !watch.open) return
    const open = new Map<string, StoredAlert>()
    if (watch.open) for (const alert of await this.#store.openAlerts()) open.set(alert.fingerprint, alert)
    const look = new Look(now, this.#store.figures, this.#statistics, this.#baselines)
    const found = new Findings(watch, open, this.#config)
    for (const stored of watch.rules) {
      const rule = this.#usable(stored)
      if (rule === null) {
        found.unknown(stored.name)
        continue
      }
      if (!stored.enabled) continue
      try {
        found.holds(rule, stored, await holdingOf(rule, look))
        this.#troubled.delete(rule.name)
      } catch (error) {
        found.unknown(rule.name)
        this.#trouble(rule.name, 'an alert rule could not be looked at; trying again', error)
      }
    }
    const { writes, gone, announced } = found.end()
    if (writes.length === 0 && gone.length === 0) return
    // Another has taken over meanwhile: it finds the same.
    if (!(await this.#store.write(this.#holder, now, writes, gone))) return
    if (this.#config?.log === false) return
    for (const { state, severity, summary, rule, labels } of announced) {
      const { alertname: _, severity: __, kind: ___, ...place } = labels
      const fields = { rule, severity, ...place }
      if (state === 'resolved') this.#log.info(`alert resolved: ${summary}`, fields)
      else this.#log.warn(`ALERT: ${summary}`, fields)
    }
  }

  /** The rule in force; null: this release cannot use it. */
  #usable({ name, config, runtime }: StoredRule): AlertRule | null {
    try {
      return checkAlertRule(runtime ?? config, 'alerts, rule')
    } catch (error) {
      this.#trouble(name, 'an alert rule cannot be used by this process', error)
      return null
    }
  }

  async #deliver(webhook: Webhook, now: number): Promise<void> {
    // Each pass may free a resolving that had to wait for its firing.
    const end = originals.performanceNow() + deliveringMs
    while (!this.#stopped && originals.performanceNow() < end) {
      const due = await this.#store.claimDeliveries(now, tryMs, maxDeliveries)
      if (due.length === 0) return
      await Promise.all(due.map((each) => this.#deliverOne(webhook, each, now)))
    }
  }

  async #deliverOne(webhook: Webhook, delivery: ClaimedDelivery, now: number): Promise<void> {
    const { id, rule, event, attempts } = delivery
    const sent = await send(webhook, delivery)
    if (sent.ok) {
      await this.#store.endDelivery(id, now, 'delivered')
      return
    }
    const { error, again, afterMs } = sent
    const giveUp = !again || attempts >= maxAttempts
    const nextAt = giveUp ? null : now + pauseAfter(attempts, afterMs)
    await this.#store.endDelivery(id, now, { error, nextAt })
    const fields = { rule, event, delivery: id, attempts, error }
    if (giveUp) this.#log.error('an alert was not delivered to the webhook, and is given up', fields)
    else this.#log.warn('an alert was not delivered to the webhook; trying again', fields)
  }

  #trouble(what: string, message: string, error: unknown): void {
    if (this.#troubled.has(what) || this.#stopped) return
    this.#troubled.add(what)
    this.#log.warn(message, { ...(what === '' ? {} : { rule: what }), message: (error as Error).message })
  }
}

/** What a look has found, against what was open before it. */
class Findings {
  readonly #watch: Watch
  readonly #open: Map<string, StoredAlert>
  readonly #config: AlertsConfig | undefined
  readonly #rules: ReadonlyMap<string, StoredRule>
  readonly #unknown = new Set<string>()
  readonly #held = new Set<string>()
  readonly #writes: AlertWrite[] = []
  readonly #announced: AlertWrite[] = []

  constructor(watch: Watch, open: Map<string, StoredAlert>, config: AlertsConfig | undefined) {
    this.#watch = watch
    this.#open = open
    this.#config = config
    this.#rules = new Map(watch.rules.map((rule) => [rule.name, rule]))
  }

  /** Its alerts stay as they are (F3). */
  unknown(rule: string): void {
    this.#unknown.add(rule)
  }

  holds(rule: AlertRule, stored: StoredRule, holding: readonly Holding[]): void {
    const { now } = this.#watch
    const forMs = durationMs(rule.for ?? 0, 'for')
    const severity = rule.severity ?? 'warning'
    for (const { place, value, summary, evidence } of holding) {
      const fingerprint = fingerprintOf(rule.name, place)
      this.#held.add(fingerprint)
      const before = this.#open.get(fingerprint)
      const since = before?.since ?? now
      // What fires goes on to, also when its rule is edited to hold it back for longer.
      const fires = before?.state === 'firing' || now - since >= forMs
      const firedAt = before?.firedAt ?? (fires ? now : null)
      const labels = { ...rule.labels, alertname: rule.name, severity, kind: rule.kind, ...place }
      const silencedUntil = Math.max(stored.silencedUntil ?? 0, this.#watch.silences[fingerprint] ?? 0)
      const announces = fires && before?.announced !== true && silencedUntil <= now
      this.#add(
        {
          ...{ rule: rule.name, kind: rule.kind, fingerprint, severity, labels, value, summary, evidence },
          ...{ id: before?.id ?? null, state: fires ? 'firing' : 'pending', since, firedAt, resolvedAt: null },
          announced: before?.announced === true || announces,
        },
        announces ? 'firing' : null,
      )
    }
  }

  end(): { writes: readonly AlertWrite[]; gone: readonly number[]; announced: readonly AlertWrite[] } {
    const { now } = this.#watch
    const gone: number[] = []
    for (const alert of this.#open.values()) {
      if (this.#held.has(alert.fingerprint) || this.#unknown.has(alert.rule)) continue
      if (alert.state === 'pending') {
        gone.push(alert.id)
        continue
      }
      const stored = this.#rules.get(alert.rule)
      const why = stored === undefined ? 'its rule was removed' : stored.enabled ? null : 'its rule was disabled'
      const { silencedUntil: _, deliveries: __, ...rest } = alert
      const evidence = why === null ? alert.evidence : { ...alert.evidence, resolvedFor: why }
      // F2.
      this.#add({ ...rest, evidence, state: 'resolved', resolvedAt: now }, alert.announced ? 'resolved' : null)
    }
    return { writes: this.#writes, gone, announced: this.#announced }
  }

  #add(alert: Omit<AlertWrite, 'delivery' | 'notice'>, event: 'firing' | 'resolved' | null): void {
    const write = { ...alert, ...(event === null ? silent : this.#announcement(event, alert)) }
    this.#writes.push(write)
    if (event !== null) this.#announced.push(write)
  }

  #announcement(
    event: 'firing' | 'resolved',
    alert: Omit<AlertWrite, 'delivery' | 'notice'>,
  ): Pick<AlertWrite, 'delivery' | 'notice'> {
    const { rule, fingerprint, labels, severity, value, summary, evidence, resolvedAt } = alert
    const { now, webhook } = this.#watch
    const { runtime, config } = this.#rules.get(rule) ?? { runtime: null, config: null }
    const { description } = (runtime ?? config ?? {}) as Partial<AlertRule>
    const evidenceText = JSON.stringify(evidence)
    const annotations = {
      summary,
      ...(description === undefined ? {} : { description }),
      value: String(value),
      ...(evidenceText.length > maxEvidence ? {} : { evidence: evidenceText }),
    }
    const told = { event, rule, fingerprint, labels, annotations, firedAt: alert.firedAt ?? now, resolvedAt }
    const sends = webhook || this.#config?.webhook !== undefined
    const notice = {
      event,
      rule,
      fingerprint,
      severity,
      summary: summary.slice(0, 500),
      at: new Date(now).toISOString(),
    }
    return {
      delivery: sends ? { id: newId('delivery'), event, body: bodyOf(told, this.#config?.externalUrl ?? '') } : null,
      notice: this.#config?.notify === false ? null : JSON.stringify(notice),
    }
  }
}

const silent = { delivery: null, notice: null }

/** The same for the same rule and place, whatever the order of its labels. */
export function fingerprintOf(rule: string, place: Readonly<Record<string, string>>): string {
  const sorted = Object.entries(place).sort(([a], [b]) => (a < b ? -1 : 1))
  return createHash('sha256')
    .update(JSON.stringify([rule, sorted]))
    .digest('hex')
    .slice(0, 16)
}
