/** Limits: how far they are used, and what is changed by hand. */
import type { LimitBounds, LimitTarget } from '../../core/types.js'
import { get, post, type Route } from '../route.js'
import { choice, duration, flag, integer, list, name, number, object, orNull, text } from '../schema.js'
import { long, onRecord } from './shared.js'

const most = 2 ** 31 - 1
/** Pages ask this again and again. */
const pollMs = 3_000

const target = () => object({}, { queue: name(), workflow: name(), key: text('a path into the input', 200) })
const bounds = {
  concurrency: orNull(number('in hand at once')),
  rate: orNull(object({ limit: number('begun in any period'), periodMs: number() })),
}
const value = { value: text(undefined, long), running: number(), begun: orNull(number('of the rate')) }
const done = object({ target: target() })

export const limitRoutes: readonly Route[] = [
  get('/api/limits', {
    summary: 'Limits of queues and workflows, and how far they are used',
    sharedMs: pollMs,
    answer: object({
      limits: list(
        object({
          ...{ target: target(), ...bounds, paused: flag('nothing is claimed') },
          ...{ source: choice(['code', 'runtime']), declared: orNull(object(bounds, {}, 'what the code says')) },
          ...{ running: number('at most 1,001 are counted, as in the others'), queued: number() },
          begun: orNull(number('of the rate, of a limit without a key')),
          full: number('values of the key that are full while runs wait'),
          oldestMs: orNull(number('how long the first that is ready has waited')),
          values: list(object(value), long, 'of the key, those with the most runs in hand'),
          fullValues: list(
            object({ ...value, queued: number('at most 201 are counted'), oldestMs: number() }),
            20,
            'of those that are full; the longest wait first',
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
    run: async (call) => {
      const { target, ...bounds } = call.body
      await onRecord(call, 'limit-set', { ...target, ...bounds }, () =>
        call.house.stet.limits.set(target as LimitTarget, bounds as LimitBounds),
      )
      return { target }
    },
  }),
  post('/api/limits/reset', {
    summary: 'Back to what the code says; a limit that the code does not know goes',
    body: object({ target: target() }),
    answer: object({ target: target(), was: flag('there was such a limit') }),
    run: async (call) => {
      const { target } = call.body
      const was = await onRecord(call, 'limit-reset', target, () => call.house.stet.limits.reset(target as LimitTarget))
      return { target, was }
    },
  }),
  ...(['pause', 'resume'] as const).map((action) =>
    post(`/api/limits/${action}`, {
      summary: action === 'pause' ? 'Nothing of a queue or workflow is claimed' : 'It is claimed again',
      body: object({ target: target() }),
      answer: done,
      run: async (call) => {
        const { target } = call.body
        await onRecord(call, `limit-${action}`, target, () => call.house.stet.limits[action](target as LimitTarget))
        return { target }
      },
    }),
  ),
]
