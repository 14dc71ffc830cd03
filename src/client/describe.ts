import type { RunDescription } from '../core/types.js'
import type { RunRow } from '../store/port.js'

/** A run's row, as callers see it. */
export function describeRow(row: RunRow): RunDescription {
  return {
    id: row.id,
    runId: row.runId,
    workflow: row.workflow,
    version: row.version,
    queue: row.queue,
    status: row.status,
    createdAt: new Date(row.createdAt),
    ...(row.startedAt === null ? {} : { startedAt: new Date(row.startedAt) }),
    ...(row.closedAt === null ? {} : { closedAt: new Date(row.closedAt) }),
    attributes: row.attributes ?? {},
    ...(row.parent === null ? {} : { parent: row.parent }),
    ...(row.forkedFrom == null ? {} : { forkedFrom: row.forkedFrom }),
    ...(row.schedule === undefined ? {} : { schedule: row.schedule.id, scheduledFor: new Date(row.schedule.slot) }),
    ...(row.error === null ? {} : { error: row.error }),
    ...(row.superseded === undefined ? {} : { superseded: row.superseded }),
    historyLength: row.historyLength,
  }
}
