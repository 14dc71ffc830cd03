/** How long closed runs are kept, and the deletion of one. What is gone is gone: all of it is the admin's. */
import { type ClosedStatus, closedStatuses } from '../../core/statuses.js'
import type { Keep } from '../../core/types.js'
import { get, post, type Route } from '../route.js'
import { choice, duration, either, flag, name, number, object, orNull, text } from '../schema.js'
import { onRecord, rowOf } from './shared.js'

const kept = either(number(), choice(['forever']))
const answer = {
  type: 'object',
  properties: {
    rules: {
      type: 'array',
      items: object(
        { status: choice(closedStatuses), keepMs: kept, from: choice(['config', 'runtime']) },
        { workflow: text('undefined: all that have no rule of their own'), configMs: kept },
      ),
    },
  },
  required: ['rules'],
  additionalProperties: false,
} as const

export const retentionRoutes: readonly Route[] = [
  {
    ...post('/api/runs/:run/delete', {
      summary: 'Delete a closed run with all that is kept of it',
      body: object({}),
      answer: object({ id: text(), runId: text(), deleted: flag() }),
      role: 'admin',
      run: async ({ house, who, ref }) => {
        const { id, runId } = await rowOf(house, ref)
        return house.audit.of(who, { action: 'delete', runId, id, details: {} }, async () => {
          await house.stet.run(runId).delete()
          return { id, runId, deleted: true }
        })
      },
    }),
    action: 'delete',
  },
  get('/api/retention', {
    summary: 'How long closed runs are kept, and who says so',
    answer,
    run: async ({ house }) => ({ rules: await house.stet.retention.rules() }),
  }),
  {
    ...post('/api/retention', {
      summary: 'Set how long closed runs are kept, in place of what the config says; null takes it back',
      body: object(
        { status: choice(closedStatuses), keep: orNull(either(duration(), choice(['forever']))) },
        { workflow: name('of this workflow alone') },
      ),
      answer,
      role: 'admin',
      run: (call) => {
        const { house, body } = call
        const { status, keep, workflow } = body
        return onRecord(call, 'retention', { status, keep, workflow }, async () => {
          const policy = { [status as ClosedStatus]: keep as Keep | null }
          await house.stet.retention.set(policy, workflow === undefined ? {} : { workflow })
          return { rules: await house.stet.retention.rules() }
        })
      },
    }),
    action: 'retention',
  },
]
