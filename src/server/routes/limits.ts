/** Limits: how far they are used, and what is changed by hand. */
import type { LimitBounds, LimitTarget } from '../../core/types.js'
import { get, post, type Route } from '../route.js'
import { choice, duration, flag, integer, list, name, number, object, orNull, text } from '../schema.js'

const long = Number.MAX_SAFE_INTEGER
const most = 2 ** 31 - 1
/** Pages ask this again and again. */
const pollMs = 3_000

const target = () => object({}, { queue: name(), workflow: name(), key: text('a path into the input', 200) })
const done = object({ target: target() })

export const limitRoutes: readonly Route[] = [
  get('/api/limits', {
    summary: 'Limits of queues and workflows, and how far they are used',
    sharedMs: pollMs,
    answer: object({
      limits: list(
        object({
          ...{ target: target(), concurrency: orNull(number('in hand at once')), paused: flag() },
          rate: orNull(object({ limit: number('begun in any period'), periodMs: number() })),
          source: choice(['code', 'runtime']),
          ...{ running: number('at most 1,001 are counted, as in the others'), queued: number(), full: number() },
          oldestMs: orNull(number('how long the first that is ready has waited')),
          values: list(
            object({ value: text(undefined, long), running: number(), begun: orNull(number()) }),
            long,
            'of the key, those with the most runs in hand',
          ),
        }),
        long,
      ),
    }),
    run: async ({ house }) => ({ limits: await house.stet.limits.list() }),
  }),
  post('/api/limits', {
    summary: 'Set bounds in place of what the code says; null: none',
    body: object(
      { target: target() },
      {
        concurrency: orNull(integer(0, most)),
        rate: orNull(object({ limit: integer(1, most), period: duration() })),
      },
    ),
    answer: done,
    run: async ({ house, who, body: { target, ...bounds } }) => {
      const details = { ...target, ...bounds }
      await house.audit.of(who, { action: 'limit-set', runId: null, id: null, details }, () =>
        house.stet.limits.set(target as LimitTarget, bounds as LimitBounds),
      )
      return { target }
    },
  }),
  post('/api/limits/reset', {
    summary: 'Back to what the code says; a limit that the code does not know goes',
    body: object({ target: target() }),
    answer: object({ target: target(), was: flag('there was such a limit') }),
    run: async ({ house, who, body: { target } }) => {
      const was = await house.audit.of(who, { action: 'limit-reset', runId: null, id: null, details: target }, () =>
        house.stet.limits.reset(target as LimitTarget),
      )
      return { target, was }
    },
  }),
  ...(['pause', 'resume'] as const).map((action) =>
    post(`/api/limits/${action}`, {
      summary: action === 'pause' ? 'Nothing of a queue or workflow is claimed' : 'It is claimed again',
      body: object({ target: target() }),
      answer: done,
      run: async ({ house, who, body: { target } }) => {
        await house.audit.of(who, { action: `limit-${action}`, runId: null, id: null, details: target }, () =>
          house.stet.limits[action](target as LimitTarget),
        )
        return { target }
      },
    }),
  ),
]
