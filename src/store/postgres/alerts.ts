/** What alerts keep: rules, firings, deliveries, and who looks after them (`store/alerts.ts`: B1 to B3). */
import type { AlertRule } from '../../core/types.js'
import {
  type AlertStore,
  type AlertWrite,
  type ClaimedDelivery,
  deliveryPatienceMs,
  firingsKept,
  firingsKeptMs,
  type StoredAlert,
  type StoredRule,
  takeoversKeptMs,
  type Watch,
} from '../alerts.js'
import { figuresOf } from './alert-figures.js'
import { floatArray, textArray } from './arrays.js'
import type { Db, Query, Rows } from './db.js'
import { ms } from './reads.js'

/** Whoever evaluates looks again soon; whoever acts waits for a while. */
const brief = { giveUpAfterMs: 5_000 }
const patient = { giveUpAfterMs: 15_000 }

export function alertsOf(db: Db): AlertStore {
  return {
    figures: figuresOf(db),
    watch: (holder, leaseMs, now) => db.retrying('look after alerts', () => watch(db, holder, leaseMs, now), brief),
    unwatch: async (holder) => {
      await db.query({
        text: `UPDATE stet_store.alert_evaluator SET expires_at = '-infinity' WHERE holder = $1`,
        values: [holder],
      })
    },
    openAlerts: () =>
      db.retrying('read alerts', () => readAlerts(db, 'a.resolved_at IS NULL ORDER BY a.id LIMIT $1', [50_000]), brief),
    // Not tried again: what is true by then is found when it is looked at next.
    write: (holder, now, writes, gone) => write(db, holder, now, writes, gone),
    claimDeliveries: (now, tryMs, limit) => claimDeliveries(db, now, tryMs, limit),
    endDelivery: (id, now, end) =>
      db.retrying(
        'note a delivery',
        async () => {
          const nextAt = end === 'delivered' ? null : end.nextAt
          await db.query({
            text: `UPDATE stet_store.alert_deliveries
                      SET next_at = to_timestamp($2::float8 / 1000), error = $3,
                          delivered_at = CASE WHEN $4 THEN to_timestamp($5::float8 / 1000) END
                    WHERE id = $1`,
            values: [id, nextAt, end === 'delivered' ? null : end.error, end === 'delivered', now],
          })
        },
        brief,
      ),
    prune: (now) => db.retrying('forget old alerts', () => prune(db, now), brief),

    setConfigRules: (rules, webhook) =>
      db.retrying('write the rules of the config', () => setConfigRules(db, rules, webhook), brief),
    rules: () => db.retrying('read alert rules', () => readRules(db), patient),
    putRule: (rule, max) => db.retrying('write an alert rule', () => putRule(db, rule, max), patient),
    removeRule: (name) => db.transaction((query) => removeRule(query, name)),
    enableRule: (name, enabled) =>
      db.retrying(
        'write an alert rule',
        () => touch(db, 'UPDATE stet_store.alert_rules SET enabled = $2 WHERE name = $1', [name, enabled]),
        patient,
      ),
    silenceRule: (name, until) =>
      db.retrying(
        'silence an alert rule',
        () =>
          touch(
            db,
            'UPDATE stet_store.alert_rules SET silenced_until = to_timestamp($2::float8 / 1000) WHERE name = $1',
            [name, until],
          ),
        patient,
      ),
    silenceAlert: (fingerprint, until) =>
      db.retrying('silence an alert', () => silenceAlert(db, fingerprint, until), patient),
    firings: (limit, before) =>
      db.retrying(
        'read alerts',
        () =>
          readAlerts(
            db,
            `a.fired_at IS NOT NULL ${before === null ? '' : 'AND a.id < $2'} ORDER BY a.id DESC LIMIT $1`,
            before === null ? [limit] : [limit, before],
          ),
        patient,
      ),
  }
}

const ruleColumns = `name, config, runtime, enabled, ${ms('silenced_until')} AS "silencedUntil"`

/** Whoever has not the lease writes nothing: the row is left alone while it is another's. */
const watching = `
WITH c AS MATERIALIZED (SELECT coalesce(to_timestamp($3::float8 / 1000), stet_store.clock()) AS at),
l AS (
  UPDATE stet_store.alert_evaluator e SET holder = $1, expires_at = c.at + $2 * interval '1 ms' FROM c
   WHERE e.holder = $1 OR e.expires_at <= c.at
  RETURNING true)
SELECT ${ms('c.at')} AS now, EXISTS (SELECT FROM l) AS active,
       EXISTS (SELECT FROM stet_store.alerts WHERE resolved_at IS NULL) AS open,
       EXISTS (SELECT FROM stet_store.alert_deliveries WHERE next_at <= c.at) AS due,
       (SELECT webhook FROM stet_store.alert_evaluator) AS webhook,
       (SELECT coalesce(json_object_agg(fingerprint, ${ms('until')}), '{}')
          FROM (SELECT * FROM stet_store.alert_silences s WHERE s.until > c.at LIMIT 1000) s) AS silences,
       (SELECT coalesce(json_agg(r), '[]') FROM (SELECT ${ruleColumns} FROM stet_store.alert_rules ORDER BY name LIMIT 2000) r) AS rules
  FROM c`

async function watch(db: Db, holder: string, leaseMs: number, now: number | null): Promise<Watch> {
  const { rows } = await db.query({ name: 'stet_watch_alerts', text: watching, values: [holder, leaseMs, now] })
  return rows[0]
}

async function readAlerts(db: Db, which: string, values: readonly unknown[]): Promise<StoredAlert[]> {
  const { rows } = await db.query({
    text: `SELECT a.id::float8 AS id, a.rule, a.kind, a.fingerprint, a.state, a.severity, a.labels, a.value, a.summary, a.evidence,
                  a.announced, ${ms('a.since')} AS since, ${ms('a.fired_at')} AS "firedAt", ${ms('a.resolved_at')} AS "resolvedAt",
                  ${ms(`(SELECT greatest(r.silenced_until, s.until) FROM (SELECT) one
                          LEFT JOIN stet_store.alert_rules r ON r.name = a.rule
                          LEFT JOIN stet_store.alert_silences s ON s.fingerprint = a.fingerprint)`)} AS "silencedUntil",
                  (SELECT coalesce(json_agg(json_build_object('id', d.id, 'event', d.event, 'attempts', d.attempts, 'error', d.error,
                            'nextAt', ${ms('d.next_at')},
                            'state', CASE WHEN d.delivered_at IS NOT NULL THEN 'delivered' WHEN d.next_at IS NULL THEN 'givenUp' ELSE 'due' END)
                            ORDER BY d.n), '[]')
                     FROM stet_store.alert_deliveries d WHERE d.alert = a.id) AS deliveries
             FROM stet_store.alerts a WHERE ${which}`,
    values,
  })
  return rows
}

const newer = (column: string) => `${column} = u.${column}`

async function write(
  db: Db,
  holder: string,
  now: number,
  writes: readonly AlertWrite[],
  gone: readonly number[],
): Promise<boolean> {
  return db.transaction(async (query) => {
    // Held until the commit: nobody takes the lease meanwhile, and what a former holder found does not land (B2).
    const { rowCount } = await query({
      text: `SELECT FROM stet_store.alert_evaluator WHERE holder = $1 AND expires_at > to_timestamp($2::float8 / 1000) FOR UPDATE`,
      values: [holder, now],
    })
    if (rowCount === 0) return false
    if (gone.length > 0) {
      await query({
        text: 'DELETE FROM stet_store.alerts a USING unnest($1::float8[]) AS u(id) WHERE a.id = u.id::bigint',
        values: [floatArray(gone)],
      })
    }
    await update(
      query,
      writes.filter(({ id }) => id !== null),
    )
    const added = writes.filter(({ id }) => id === null)
    const ids = new Map<string, number>(await insert(query, added))
    for (const { id, fingerprint } of writes) if (id !== null) ids.set(fingerprint, id)
    const sent = writes.filter(({ delivery }) => delivery !== null)
    if (sent.length > 0) {
      await query({
        text: `INSERT INTO stet_store.alert_deliveries (id, alert, event, body, created_at, next_at)
               SELECT u.id, u.alert::bigint, u.event, u.body, to_timestamp($5::float8 / 1000), to_timestamp($5::float8 / 1000)
                 FROM unnest($1::text[], $2::float8[], $3::text[], $4::text[]) WITH ORDINALITY AS u(id, alert, event, body, nth)
                ORDER BY nth`,
        values: [
          textArray(sent.map(({ delivery }) => delivery!.id)),
          floatArray(sent.map(({ fingerprint }) => ids.get(fingerprint)!)),
          textArray(sent.map(({ delivery }) => delivery!.event)),
          textArray(sent.map(({ delivery }) => delivery!.body)),
          now,
        ],
      })
    }
    const notices = writes.flatMap(({ notice }) => (notice === null ? [] : [notice]))
    if (notices.length > 0) {
      await query({
        text: `SELECT pg_notify('stet_alerts', u.text) FROM unnest($1::text[]) AS u(text)`,
        values: [textArray(notices)],
      })
    }
    return true
  })
}

async function update(query: (query: Query) => Promise<Rows>, writes: readonly AlertWrite[]): Promise<void> {
  if (writes.length === 0) return
  await query({
    text: `UPDATE stet_store.alerts a
              SET ${['state', 'severity', 'value', 'summary'].map(newer).join(', ')}, labels = u.labels::jsonb,
                  evidence = u.evidence::jsonb, announced = u.announced = 1, since = to_timestamp(u.since / 1000),
                  fired_at = to_timestamp(u.fired_at / 1000), resolved_at = to_timestamp(u.resolved_at / 1000)
             FROM unnest($1::float8[], $2::text[], $3::text[], $4::float8[], $5::text[], $6::text[], $7::text[], $8::float8[],
                         $9::float8[], $10::float8[], $11::float8[])
                    AS u(id, state, severity, value, summary, labels, evidence, announced, since, fired_at, resolved_at)
            WHERE a.id = u.id::bigint`,
    values: [floatArray(writes.map(({ id }) => id)), ...columns(writes)],
  })
}

/** Ids by fingerprint. */
async function insert(
  query: (query: Query) => Promise<Rows>,
  writes: readonly AlertWrite[],
): Promise<[string, number][]> {
  if (writes.length === 0) return []
  const { rows } = await query({
    text: `INSERT INTO stet_store.alerts (rule, kind, fingerprint, state, severity, value, summary, labels, evidence, announced,
                                          since, fired_at, resolved_at)
           SELECT u.rule, u.kind, u.fingerprint, u.state, u.severity, u.value, u.summary, u.labels::jsonb, u.evidence::jsonb,
                  u.announced = 1, to_timestamp(u.since / 1000), to_timestamp(u.fired_at / 1000), to_timestamp(u.resolved_at / 1000)
             FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::float8[], $7::text[], $8::text[],
                         $9::text[], $10::float8[], $11::float8[], $12::float8[], $13::float8[])
                    WITH ORDINALITY AS u(rule, kind, fingerprint, state, severity, value, summary, labels, evidence, announced,
                                         since, fired_at, resolved_at, nth) ORDER BY nth
           RETURNING id::float8 AS id, fingerprint`,
    values: [
      textArray(writes.map(({ rule }) => rule)),
      textArray(writes.map(({ kind }) => kind)),
      textArray(writes.map(({ fingerprint }) => fingerprint)),
      ...columns(writes),
    ],
  })
  return rows.map(({ id, fingerprint }) => [fingerprint, id])
}

function columns(writes: readonly AlertWrite[]): Buffer[] {
  return [
    textArray(writes.map(({ state }) => state)),
    textArray(writes.map(({ severity }) => severity)),
    floatArray(writes.map(({ value }) => value)),
    textArray(writes.map(({ summary }) => summary)),
    textArray(writes.map(({ labels }) => JSON.stringify(labels))),
    textArray(writes.map(({ evidence }) => JSON.stringify(evidence))),
    floatArray(writes.map(({ announced }) => (announced ? 1 : 0))),
    floatArray(writes.map(({ since }) => since)),
    floatArray(writes.map(({ firedAt }) => firedAt)),
    floatArray(writes.map(({ resolvedAt }) => resolvedAt)),
  ]
}

/** A resolving is not sent before what was to be said of its firing has been. */
async function claimDeliveries(db: Db, now: number, tryMs: number, limit: number): Promise<ClaimedDelivery[]> {
  const { rows } = await db.query({
    text: `WITH d AS MATERIALIZED (
             SELECT d.n FROM stet_store.alert_deliveries d
              WHERE d.next_at <= to_timestamp($1::float8 / 1000)
                AND NOT EXISTS (SELECT FROM stet_store.alert_deliveries e WHERE e.alert = d.alert AND e.n < d.n AND e.next_at IS NOT NULL)
              ORDER BY d.next_at LIMIT $3 FOR UPDATE OF d SKIP LOCKED)
           UPDATE stet_store.alert_deliveries x
              SET attempts = x.attempts + 1, next_at = to_timestamp($1::float8 / 1000) + $2 * interval '1 ms'
             FROM d, stet_store.alerts a WHERE x.n = d.n AND a.id = x.alert
           RETURNING x.id, x.event, x.body, x.attempts, a.rule`,
    values: [now, tryMs, limit],
  })
  return rows
}

async function prune(db: Db, now: number): Promise<number> {
  const at = 'to_timestamp($1::float8 / 1000)'
  const { rowCount } = await db.query({
    text: `UPDATE stet_store.alert_deliveries
              SET next_at = NULL, error = coalesce(error, 'no process that has the webhook in its config was there')
            WHERE next_at IS NOT NULL AND created_at < ${at} - $2 * interval '1 ms'`,
    values: [now, deliveryPatienceMs],
  })
  await db.query({
    text: `DELETE FROM stet_store.alerts
            WHERE resolved_at < ${at} - $2 * interval '1 ms'
               OR (resolved_at IS NOT NULL AND id < (SELECT id FROM stet_store.alerts WHERE fired_at IS NOT NULL
                                                      ORDER BY id DESC OFFSET $3 LIMIT 1))`,
    values: [now, firingsKeptMs, firingsKept],
  })
  await db.query({
    text: `DELETE FROM stet_store.lost_workers WHERE at < ${at} - $2 * interval '1 ms'`,
    values: [now, takeoversKeptMs],
  })
  await db.query({ text: `DELETE FROM stet_store.alert_silences WHERE until < ${at}`, values: [now] })
  return rowCount ?? 0
}

async function setConfigRules(db: Db, rules: readonly AlertRule[], webhook: boolean): Promise<void> {
  await db.transaction(async (query) => {
    // One process after another, in whichever order: the last one's config stands.
    await query({ text: 'UPDATE stet_store.alert_evaluator SET webhook = $1', values: [webhook] })
    const names = textArray(rules.map(({ name }) => name))
    await query({
      text: `DELETE FROM stet_store.alert_rules WHERE runtime IS NULL AND name NOT IN (SELECT unnest($1::text[]) COLLATE "C")`,
      values: [names],
    })
    await query({
      text: `UPDATE stet_store.alert_rules SET config = NULL, changed_at = clock_timestamp()
              WHERE config IS NOT NULL AND name NOT IN (SELECT unnest($1::text[]) COLLATE "C")`,
      values: [names],
    })
    await query({
      text: `INSERT INTO stet_store.alert_rules AS r (name, config)
             SELECT u.name, u.rule::jsonb FROM unnest($1::text[], $2::text[]) AS u(name, rule) ORDER BY u.name COLLATE "C"
                 ON CONFLICT (name) DO UPDATE SET config = EXCLUDED.config, changed_at = clock_timestamp()
              WHERE r.config IS DISTINCT FROM EXCLUDED.config`,
      values: [names, textArray(rules.map((rule) => JSON.stringify(rule)))],
    })
  })
}

async function readRules(db: Db): Promise<StoredRule[]> {
  const { rows } = await db.query({
    text: `SELECT ${ruleColumns} FROM stet_store.alert_rules ORDER BY name LIMIT 2000`,
  })
  return rows
}

async function putRule(db: Db, rule: AlertRule, max: number): Promise<boolean> {
  const { rowCount } = await db.query({
    text: `INSERT INTO stet_store.alert_rules (name, runtime)
           SELECT $1, $2::jsonb WHERE EXISTS (SELECT FROM stet_store.alert_rules WHERE name = $1)
                                   OR (SELECT count(*) FROM stet_store.alert_rules) < $3
               ON CONFLICT (name) DO UPDATE SET runtime = EXCLUDED.runtime, changed_at = clock_timestamp()`,
    values: [rule.name, JSON.stringify(rule), max],
  })
  return rowCount === 1
}

async function removeRule(
  query: (query: Query) => Promise<Rows>,
  name: string,
): Promise<'removed' | 'restored' | 'configured' | 'missing'> {
  const { rows } = await query({
    text: `SELECT config IS NOT NULL AS config, runtime IS NOT NULL AS runtime FROM stet_store.alert_rules WHERE name = $1 FOR UPDATE`,
    values: [name],
  })
  if (rows[0] === undefined) return 'missing'
  const { config, runtime } = rows[0]
  if (!runtime) return 'configured'
  await query({
    text: config
      ? 'UPDATE stet_store.alert_rules SET runtime = NULL, changed_at = clock_timestamp() WHERE name = $1'
      : 'DELETE FROM stet_store.alert_rules WHERE name = $1',
    values: [name],
  })
  return config ? 'restored' : 'removed'
}

async function silenceAlert(db: Db, fingerprint: string, until: number | null): Promise<boolean> {
  if (until === null) {
    await db.query({ text: 'DELETE FROM stet_store.alert_silences WHERE fingerprint = $1', values: [fingerprint] })
    return touch(db, 'SELECT FROM stet_store.alerts WHERE fingerprint = $1 LIMIT 1', [fingerprint])
  }
  return touch(
    db,
    `INSERT INTO stet_store.alert_silences (fingerprint, until)
     SELECT $1, to_timestamp($2::float8 / 1000) WHERE EXISTS (SELECT FROM stet_store.alerts WHERE fingerprint = $1)
         ON CONFLICT (fingerprint) DO UPDATE SET until = EXCLUDED.until`,
    [fingerprint, until],
  )
}

async function touch(db: Db, text: string, values: readonly unknown[]): Promise<boolean> {
  const { rowCount } = await db.query({ text, values })
  return rowCount === 1
}
