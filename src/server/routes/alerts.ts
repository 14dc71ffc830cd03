/** Alerts: what fires, rules, silences, and when rules would have fired. */
import { alertKinds } from '../../core/alert-rule.js'
import { InvalidInputError } from '../../core/errors.js'
import type { AlertRule, Duration } from '../../core/types.js'
import { get, post, type Route } from '../route.js'
import {
  anything,
  choice,
  date,
  duration,
  flag,
  integer,
  type JsonSchema,
  list,
  name,
  number,
  object,
  orNull,
  record,
  text,
} from '../schema.js'
import { long, maxPage, onRecord } from './shared.js'

const delivery = object(
  {
    id: text('the same for each try'),
    event: choice(['firing', 'resolved']),
    state: choice(['due', 'delivered', 'givenUp']),
    attempts: number(),
  },
  { nextAt: date(), error: text('of the last try that did not succeed', long) },
)
const alert = object(
  {
    ...{ id: number(), rule: text(), kind: text(), fingerprint: text('the same each time') },
    ...{ state: choice(['pending', 'firing', 'resolved']), severity: text(), labels: record(text()) },
    ...{ value: number('ms, a rate or a number of things'), summary: text(undefined, long) },
    ...{ evidence: record(anything()), since: date(), deliveries: list(delivery, long) },
  },
  { firedAt: date(), resolvedAt: date(), silencedUntil: date() },
)
const alertList = list(alert, long)
/** Looked at field by field where it is used: what each kind takes is there. */
const rule: JsonSchema = {
  type: 'object',
  properties: { name: name(), kind: choice(alertKinds) },
  required: ['name', 'kind'],
  additionalProperties: true,
  description: 'as in stet.config.ts; its other fields depend on its kind',
}
const ruleStatus = object(
  {
    ...{ name: text(), rule, source: choice(['config', 'runtime']) },
    ...{ configured: flag('a config has one of this name'), enabled: flag() },
  },
  { silencedUntil: date() },
)
const test = object({
  ...{ rule: text(), kind: choice(alertKinds), known: flag('false: what it takes is not kept') },
  note: text('why not, or how exact it is', long),
  firings: list(
    object({
      ...{ labels: record(text()), firedAt: date(), resolvedAt: orNull(date()) },
      ...{ value: number(), summary: text(undefined, long) },
    }),
    long,
  ),
})
const done = object({ name: text() })
const named = object({ name: name('of the rule') })

export const alertRoutes: readonly Route[] = [
  get('/api/alerts', {
    summary: 'What fires, what is about to, and what has fired of late',
    sharedMs: 5_000,
    query: object({}, { recent: integer(0, maxPage, 'so many of the last (20)') }),
    answer: object({ firing: alertList, pending: alertList, recent: alertList }),
    run: async ({ house, query: { recent = 20 } }) => house.stet.alerts.list({ recent }),
  }),
  get('/api/alerts/history', {
    summary: 'What has fired, newest first',
    query: object(
      {},
      {
        limit: integer(1, maxPage, `so many at most (50; never more than ${maxPage})`),
        before: integer(1, long, '`next` of the page before'),
      },
    ),
    answer: object({ alerts: alertList }, { next: number() }),
    run: async ({ house, query: { limit = 50, before } }) => {
      const all = await house.stet.alerts.history({ limit: limit + 1, ...(before === undefined ? {} : { before }) })
      const alerts = all.slice(0, limit)
      return { alerts, ...(all.length > limit ? { next: alerts.at(-1)!.id } : {}) }
    },
  }),
  get('/api/alerts/rules', {
    summary: 'Alert rules, as they stand',
    answer: object({ rules: list(ruleStatus, long) }),
    run: async ({ house }) => ({ rules: await house.stet.alerts.rules() }),
  }),
  post('/api/alerts/rules', {
    summary: 'Add a rule, or put it in the place of the one with its name',
    role: 'admin',
    body: object({ rule }),
    answer: done,
    run: async (call) => {
      const given = call.body.rule as AlertRule
      const { name, kind } = given
      return onRecord(call, 'alert-rule-add', { name, kind }, async () => {
        await call.house.stet.alerts.add(given)
        return { name }
      })
    },
  }),
  post('/api/alerts/rules/remove', {
    summary: 'Remove a rule that was added; one of the config with its name is in force again',
    role: 'admin',
    body: named,
    answer: object({ name: text(), done: choice(['removed', 'restored']) }),
    run: async (call) => {
      const { name } = call.body
      return onRecord(call, 'alert-rule-remove', { name }, async () => ({
        name,
        done: await call.house.stet.alerts.remove(name),
      }))
    },
  }),
  ...(['enable', 'disable'] as const).map((what) =>
    post(`/api/alerts/rules/${what}`, {
      summary: what === 'enable' ? 'Look at a rule again' : 'Do not look at a rule; its alerts resolve',
      role: 'admin',
      body: named,
      answer: done,
      run: async (call) => {
        const { name } = call.body
        return onRecord(call, `alert-rule-${what}`, { name }, async () => {
          await call.house.stet.alerts[what](name)
          return { name }
        })
      },
    }),
  ),
  post('/api/alerts/silence', {
    summary: 'Send nothing of a rule, or of one alert, for a while; null for `until` ends that',
    body: object(
      {},
      {
        rule: name('its name; or'),
        fingerprint: name('that of one alert'),
        for: duration('for so long from now; or'),
        until: orNull(date()),
      },
    ),
    answer: object({ silenced: flag() }),
    run: async (call) => {
      const { rule, fingerprint, until, ...rest } = call.body
      if ((rule === undefined) === (fingerprint === undefined)) {
        throw new InvalidInputError('body: expected one of rule and fingerprint.')
      }
      if ((rest.for === undefined) === (until === undefined)) {
        throw new InvalidInputError('body: expected one of for and until.')
      }
      const what = rule === undefined ? { fingerprint: fingerprint! } : { rule }
      const end: Date | Duration | null = until === undefined ? rest.for! : until === null ? null : new Date(until)
      return onRecord(call, 'alert-silence', { ...what, until: until ?? rest.for ?? null }, async () => {
        await call.house.stet.alerts.silence(what, end)
        return { silenced: end !== null }
      })
    },
  }),
  post('/api/alerts/test', {
    summary: 'When rules would have fired, by the statistics that are kept; it changes nothing',
    role: 'view',
    body: object(
      {},
      {
        last: duration('how far back (7d; at most 90d)'),
        rules: list(name(), 500, 'names of rules (all)'),
        rule: { ...rule, description: 'this rule in their place, without adding it' },
      },
    ),
    answer: object({ tests: list(test, long) }),
    run: async ({ house, body: { last, rules, rule } }) => {
      const tests = await house.stet.alerts.test({
        ...(last === undefined ? {} : { last }),
        ...(rules === undefined ? {} : { rules: [...rules] }),
        ...(rule === undefined ? {} : { rule: rule as AlertRule }),
      })
      return { tests }
    },
  }),
]
