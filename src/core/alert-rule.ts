/** Checks alert rules, whether they come from a config, a command or the HTTP API: all fields, by hand. */
import type { AlertKind, AlertRule, AlertsConfig } from './alert-types.js'
import { durationMs } from './duration.js'
import { InvalidInputError } from './errors.js'
import { checkName } from './ids.js'
import { checkFields } from './suggest.js'
import type { Duration } from './types.js'

/** Throws, or returns what is wrong: what was expected. */
type Check = (value: unknown, what: string) => string | null

const minute = 60_000
const day = 86_400_000

/** More than that, and nobody reads what they say. */
export const maxRules = 500

/** Labels that alerts have from their rule, and that a rule therefore cannot give. */
export const ownLabels = ['alertname', 'severity', 'kind', 'workflow', 'version', 'queue', 'step'] as const

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

const name: Check = (value, what) => {
  checkName(value, what)
  return null
}
const words =
  (max: number): Check =>
  (value) =>
    typeof value === 'string' && value !== '' && value.length <= max && value.isWellFormed() && !value.includes('\0')
      ? null
      : `text of 1 to ${max} characters`
const duration =
  (min: number, max: number, said: string): Check =>
  (value, what) => {
    const ms = durationMs(value as Duration, what)
    return ms >= min && ms <= max ? null : `a duration of ${said}`
  }
const part: Check = (value) =>
  typeof value === 'number' && value >= 0 && value < 1 ? null : 'a number from 0 to 1, less than 1'
const count =
  (min: number): Check =>
  (value) =>
    Number.isSafeInteger(value) && (value as number) >= min ? null : `a whole number from ${min}`
const times: Check = (value) =>
  typeof value === 'number' && value > 0 && value <= 1_000_000 ? null : 'a number above 0, at most 1,000,000'

const labels: Check = (value, what) => {
  if (!isObject(value)) return 'an object with labels'
  const entries = Object.entries(value)
  if (entries.length > 20) return 'at most 20 labels'
  for (const [key, each] of entries) {
    if (!/^[A-Za-z_][A-Za-z0-9_]{0,62}$/.test(key)) {
      refuse(`${what}.${key.slice(0, 60)}`, 'a name of letters, digits and _ that begins with no digit', key)
    }
    if ((ownLabels as readonly string[]).includes(key)) {
      refuse(
        `${what}.${key}`,
        `a name that alerts do not have of their own (${ownLabels.join(', ')}); take another`,
        key,
      )
    }
    const wrong = words(200)(each, `${what}.${key}`)
    if (wrong !== null) refuse(`${what}.${key}`, wrong, each)
  }
  return null
}

const window = duration(minute, day, 'a minute to a day')
const long = duration(1, 3_650 * day, '1 ms to 10 years')

const common: Record<string, Check> = {
  name,
  kind: () => null,
  description: words(2_000),
  for: duration(0, 30 * day, 'at most 30 days'),
  severity: words(50),
  labels,
}

interface Kind {
  readonly needs?: readonly string[]
  /** Exactly one of these. */
  readonly oneOf?: readonly [string, string]
  /** Goes with the second of `oneOf` alone. */
  readonly withSecond?: readonly string[]
  readonly fields: Record<string, Check>
}

const kinds: Record<AlertKind, Kind> = {
  runTooLong: {
    oneOf: ['longerThan', 'timesP99'],
    withSecond: ['window', 'minRuns'],
    fields: {
      workflow: name,
      queue: name,
      longerThan: long,
      timesP99: times,
      window: duration(10 * minute, 30 * day, '10 minutes to 30 days'),
      minRuns: count(1),
    },
  },
  failureRate: { needs: ['above'], fields: { workflow: name, above: part, window, minRuns: count(1) } },
  retryRate: {
    oneOf: ['above', 'timesUsual'],
    fields: { workflow: name, step: name, above: part, timesUsual: times, window, minAttempts: count(1) },
  },
  queueAge: { needs: ['olderThan'], fields: { queue: name, olderThan: long } },
  noWorker: { fields: { workflow: name, queue: name } },
  blockedRuns: { fields: { workflow: name, above: count(0) } },
  leaseChurn: { needs: ['above'], fields: { above: count(0), window } },
}

export const alertKinds = Object.keys(kinds) as AlertKind[]

/**
 * A rule, field by field. `what` says where it stands.
 * @throws InvalidInputError naming the rule and the field, what was expected there and what was got
 */
export function checkAlertRule(given: unknown, what: string): AlertRule {
  if (!isObject(given)) refuse(what, 'an object with an alert rule', given)
  checkName(given.name, `${what}, name`)
  const where = `${what} "${given.name}"`
  const kind = Object.hasOwn(kinds, String(given.kind)) ? kinds[given.kind as AlertKind] : undefined
  if (kind === undefined) refuse(`${where}, kind`, `one of ${alertKinds.join(', ')}`, given.kind)
  const known = { ...common, ...kind.fields }
  const has = (field: string) => given[field] !== undefined
  checkFields(given, Object.keys(known), `${where}, of kind ${given.kind}`)
  for (const [field, value] of Object.entries(given)) {
    if (value === undefined) continue
    const wrong = known[field]!(value, `${where}, ${field}`)
    if (wrong !== null) refuse(`${where}, ${field}`, wrong, value)
  }
  const missing = kind.needs?.find((field) => !has(field))
  if (missing !== undefined) refuse(`${where}, ${missing}`, 'it to be given', undefined)
  if (kind.oneOf !== undefined) {
    const [first, second] = kind.oneOf
    if (has(first) === has(second)) {
      throw new InvalidInputError(
        `${where}: expected one of ${first} and ${second}, got ${has(first) ? 'both' : 'neither'}.`,
      )
    }
    const lone = has(first) ? kind.withSecond?.find(has) : undefined
    if (lone !== undefined) refuse(`${where}, ${lone}`, `it beside ${second} alone`, given[lone])
  }
  return given as unknown as AlertRule
}

const configFields = ['rules', 'every', 'webhook', 'log', 'notify', 'externalUrl'] as const

/**
 * `alerts` of a config. Durations may be given as numbers, ms.
 * @throws InvalidInputError
 */
export function checkAlerts(given: unknown, what: string): AlertsConfig {
  if (!isObject(given)) refuse(what, 'an object with rules', given)
  checkFields(given, configFields, what)
  const { rules = [], every, webhook, externalUrl } = given
  if (!Array.isArray(rules)) refuse(`${what}, rules`, 'a list of rules', rules)
  if (rules.length > maxRules) refuse(`${what}, rules`, `at most ${maxRules} rules`, rules.length)
  const names = new Set<string>()
  for (const [i, rule] of rules.entries()) {
    const { name } = checkAlertRule(rule, `${what}, rules[${i}]`)
    if (names.has(name)) refuse(`${what}, rules[${i}], name`, 'a name that no rule before it has', name)
    names.add(name)
  }
  if (every !== undefined && durationMs(every as Duration, `${what}, every`) < 1_000) {
    refuse(`${what}, every`, 'at least a second', every)
  }
  for (const field of ['log', 'notify'] as const) {
    const value = given[field]
    if (value !== undefined && typeof value !== 'boolean') refuse(`${what}, ${field}`, 'true or false', value)
  }
  if (externalUrl !== undefined) checkUrl(externalUrl, `${what}, externalUrl`)
  if (webhook !== undefined) {
    if (!isObject(webhook)) refuse(`${what}, webhook`, 'an object with url and secret', webhook)
    checkUrl(webhook.url, `${what}, webhook, url`)
    // Never says the secret itself: messages end in logs.
    const { secret } = webhook
    if (typeof secret !== 'string' || secret.length < 16) {
      const got = typeof secret === 'string' ? `text of ${secret.length}` : typeof secret
      throw new InvalidInputError(
        `${what}, webhook, secret: expected text of at least 16 characters, got ${got}. Make one: openssl rand -hex 24`,
      )
    }
  }
  return given as AlertsConfig
}

function checkUrl(value: unknown, what: string): void {
  const url = typeof value === 'string' && URL.canParse(value) ? new URL(value) : null
  if (url === null || !/^https?:$/.test(url.protocol)) refuse(what, 'a URL that begins with http:// or https://', value)
  if (url.username !== '' || url.password !== '') {
    throw new InvalidInputError(`${what}: expected a URL without a name and a password, got one with them.`)
  }
}

function refuse(what: string, expected: string, value: unknown): never {
  const got = Array.isArray(value)
    ? 'a list'
    : typeof value === 'string'
      ? JSON.stringify(value).slice(0, 80)
      : isObject(value)
        ? 'an object'
        : value === undefined
          ? 'nothing'
          : String(value)
  throw new InvalidInputError(`${what}: expected ${expected}, got ${got}.`)
}
