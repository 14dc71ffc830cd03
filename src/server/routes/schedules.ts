/** Schedules: what there is, what has fired, and what is done with them by hand. */
import { InvalidInputError } from '../../core/errors.js'
import type { OverlapPolicy, ScheduleChange, ScheduleOptions, ScheduleTimes } from '../../core/types.js'
import { get, post, type Route } from '../route.js'
import {
  anything,
  choice,
  date,
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

const overlap = () =>
  choice<OverlapPolicy>(['skip', 'bufferOne', 'bufferAll', 'cancelOther', 'terminateOther', 'allow'])

const summary = {
  ...{ id: text(), workflow: text(), paused: flag(), times: text('in words', long), timeZone: text() },
  ...{ overlap: overlap(), source: choice(['call', 'config', 'sql']) },
}
const more = {
  ...{ next: date('before jitter'), last: date(), note: text(undefined, long) },
  problem: text('why it cannot fire', long),
}
const fire = object(
  {
    ...{ slot: date(), status: choice(['due', 'started', 'skipped', 'buffered', 'missed']) },
    ...{ via: choice(['slot', 'trigger', 'backfill']), at: date(), id: text('of its run') },
  },
  {
    runId: text(),
    runStatus: text('as it is now'),
    reason: text(undefined, long),
    until: date('missed: all up to here'),
  },
)
/** Looked at field by field where it is used: what can be said of times is there. */
const options = (description: string): JsonSchema => ({
  type: 'object',
  properties: {},
  required: [],
  additionalProperties: true,
  description,
})
const done = object({ id: text() })
const id = () => name('of the schedule')

export const scheduleRoutes: readonly Route[] = [
  get('/api/schedules', {
    summary: 'Schedules, in the order of their ids',
    query: object(
      {},
      {
        limit: integer(1, maxPage, `so many at most (100; never more than ${maxPage})`),
        after: name('`next` of the page before'),
      },
    ),
    answer: object({ schedules: list(object(summary, more), long) }, { next: text() }),
    run: async ({ house, query: { limit = 100, after } }) => {
      const all = await house.stet.schedules.list({ limit: limit + 1, ...(after === undefined ? {} : { after }) })
      const schedules = all.slice(0, limit)
      return { schedules, ...(all.length > limit ? { next: schedules.at(-1)!.id } : {}) }
    },
  }),
  get('/api/schedules/one', {
    summary: 'A schedule, its next and its last fires',
    query: object({ id: id() }, { fires: integer(1, maxPage, 'so many of the last (20)') }),
    answer: object(
      {
        ...summary,
        ...{ spec: options('when, as it was given'), catchUpMs: number(), queue: text(), priority: number() },
        ...{ attributes: record(anything()), runs: number('that slots have started'), buffered: number() },
        ...{ createdAt: date(), updatedAt: date(), nextFires: list(date(), long), fires: list(fire, long) },
      },
      { ...more, input: anything(), version: number(), timeoutMs: number(), maxRuns: number() },
    ),
    run: async ({ house, query: { id, fires } }) =>
      house.stet.schedules.describe(id, fires === undefined ? {} : { fires }),
  }),
  post('/api/schedules/next', {
    summary: 'When times would fire that are no schedule yet; it changes nothing',
    role: 'view',
    body: object(
      { times: options('as in stet.schedules.create') },
      { count: integer(1, 1_000, 'so many (10)'), after: date() },
    ),
    answer: object({ next: list(date(), long) }),
    run: async ({ house, body: { times, count, after } }) => ({
      next: house.stet.schedules.dryRun(times as ScheduleTimes, {
        ...(count === undefined ? {} : { count }),
        ...(after === undefined ? {} : { after: new Date(after) }),
      }),
    }),
  }),
  post('/api/schedules', {
    summary: 'Make a schedule',
    body: object({ id: id(), options: options('as in stet.schedules.create; dates as text') }),
    answer: done,
    run: async (call) => {
      const { id, options } = call.body
      const given = options as unknown as ScheduleOptions
      if (typeof given.workflow !== 'string')
        throw new InvalidInputError('body.options.workflow: expected the name of a workflow.')
      return onRecord(call, 'schedule-create', { schedule: id, workflow: given.workflow }, async () => {
        await call.house.stet.schedules.create(id, given)
        return { id }
      })
    },
  }),
  post('/api/schedules/update', {
    summary: 'Change what is given; null takes away',
    body: object({ id: id(), options: options('as in stet.schedules.update; dates as text') }),
    answer: done,
    run: async (call) => {
      const { id, options } = call.body
      const given = options as unknown as ScheduleChange
      if (given.workflow !== undefined && typeof given.workflow !== 'string') {
        throw new InvalidInputError('body.options.workflow: expected the name of a workflow.')
      }
      return onRecord(call, 'schedule-update', { schedule: id, fields: Object.keys(given) }, async () => {
        await call.house.stet.schedules.update(id, given)
        return { id }
      })
    },
  }),
  post('/api/schedules/pause', {
    summary: 'Fire nothing until it is resumed; nothing counts as missed',
    body: object({ id: id() }, { note: text('why', 2_000) }),
    answer: done,
    run: async (call) => {
      const { id, note } = call.body
      return onRecord(call, 'schedule-pause', { schedule: id }, async () => {
        await call.house.stet.schedules.pause(id, note)
        return { id }
      })
    },
  }),
  ...(['resume', 'delete'] as const).map((what) =>
    post(`/api/schedules/${what}`, {
      summary: what === 'resume' ? 'Let it fire again, from now on' : 'Delete it; its runs go on',
      body: object({ id: id() }),
      answer: done,
      run: async (call) => {
        const { id } = call.body
        return onRecord(call, `schedule-${what}`, { schedule: id }, async () => {
          await call.house.stet.schedules[what](id)
          return { id }
        })
      },
    }),
  ),
  post('/api/schedules/trigger', {
    summary: 'Fire it now, through its overlap policy; 409 when that skips it',
    body: object({ id: id() }, { overlap: overlap() }),
    answer: object({ id: text('of its run'), runId: orNull(text('null: it waits for the earlier run')) }),
    run: async (call) => {
      const { id, overlap } = call.body
      return onRecord(call, 'schedule-trigger', { schedule: id }, async () => {
        const run = await call.house.stet.schedules.trigger(id, overlap === undefined ? {} : { overlap })
        return { id: run.id, runId: run.runId === '' ? null : run.runId }
      })
    },
  }),
  post('/api/schedules/backfill', {
    summary: 'Start what has not been started of a span of the past; safe to repeat',
    body: object({ id: id(), from: date(), to: date() }, { overlap: overlap() }),
    answer: object({ started: number(), buffered: number(), skipped: number(), existing: number('dealt with before') }),
    run: async (call) => {
      const { id, from, to, overlap } = call.body
      return onRecord(call, 'schedule-backfill', { schedule: id, from, to }, () =>
        call.house.stet.schedules.backfill(id, {
          ...{ from: new Date(from), to: new Date(to) },
          ...(overlap === undefined ? {} : { overlap }),
        }),
      )
    },
  }),
]
