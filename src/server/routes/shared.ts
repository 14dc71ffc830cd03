/** What several groups of routes take and give alike. */
import { describeRow } from '../../client/describe.js'
import { RunNotFoundError, TimeoutFailure } from '../../core/errors.js'
import { runStatuses } from '../../core/statuses.js'
import type { RunFilter } from '../../core/types.js'
import type { RunList, RunRow } from '../../store/port.js'
import type { Call, House } from '../route.js'
import { anything, choice, date, integer, list, name, type Of, object, record, text } from '../schema.js'

export const maxPage = 200
/** Text and lists of an answer that nothing bounds here. */
export const long = Number.MAX_SAFE_INTEGER
export const maxSeq = 2 ** 31 - 1

export const pageFields = {
  limit: integer(1, maxPage, `so many at most (50; never more than ${maxPage})`),
  after: text('`next` of the page before', 300),
}

export const filterFields = {
  status: list(choice(runStatuses), runStatuses.length, 'any of these'),
  workflow: name('runs of this workflow'),
  version: integer(0, maxSeq, 'and of this version of it'),
  queue: name('runs of this queue'),
  error: text('runs whose error has this text in it', 1_000),
  attributes: record(anything(), 'runs with these search attributes'),
  startedAfter: date(),
  startedBefore: date(),
  closedAfter: date(),
  closedBefore: date(),
  idPrefix: text('with which the id begins', 300),
  parent: name('children of this run, by its run id'),
}
export const filter = object({}, filterFields, 'which runs')

/** The filter of the engine; fields that it does not know are left out. */
export function filterOf(given: Of<typeof filter>): RunFilter {
  const { status, workflow, version, queue, error, attributes, startedAfter, startedBefore } = given
  const { closedAfter, closedBefore, idPrefix, parent } = given
  return {
    ...(status === undefined || status.length === 0 ? {} : { status: [...status] }),
    ...(workflow === undefined ? {} : { workflow }),
    ...(version === undefined ? {} : { version }),
    ...(queue === undefined ? {} : { queue }),
    ...(error === undefined ? {} : { error }),
    ...(attributes === undefined ? {} : { attributes: attributes as NonNullable<RunFilter['attributes']> }),
    ...(startedAfter === undefined ? {} : { startedAfter: new Date(startedAfter) }),
    ...(startedBefore === undefined ? {} : { startedBefore: new Date(startedBefore) }),
    ...(closedAfter === undefined ? {} : { closedAfter: new Date(closedAfter) }),
    ...(closedBefore === undefined ? {} : { closedBefore: new Date(closedBefore) }),
    ...(idPrefix === undefined || idPrefix === '' ? {} : { idPrefix }),
    ...(parent === undefined ? {} : { parent }),
  }
}

/** @throws RunNotFoundError */
export async function rowOf(house: House, ref: string): Promise<RunRow> {
  const row = await (await house.store()).find(ref)
  if (row === null) throw new RunNotFoundError(ref)
  return row
}

/** A page of rows, as lists have them. */
export function pageOf({ rows, next, bounded }: RunList) {
  return {
    runs: rows.map(describeRow),
    ...(next === null ? {} : { next }),
    ...(bounded === undefined ? {} : { bounded }),
  }
}

/** On record, as every action is; this one is of no run. */
export function onRecord<T>(
  { house, who }: Pick<Call<unknown, unknown>, 'house' | 'who'>,
  action: string,
  details: Record<string, unknown>,
  body: () => Promise<T>,
): Promise<T> {
  return house.audit.of(who, { action, runId: null, id: null, details }, body)
}

/** How the run stands, for the answer to an action. */
export async function standing(house: House, runId: string) {
  const { id, status } = await rowOf(house, runId)
  return { id, runId, status }
}

/**
 * Waits no longer than this; what was asked for goes on all the same.
 * @throws TimeoutFailure with `late` as its message
 */
export async function within<T>(ms: number, late: string, promise: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const limit = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new TimeoutFailure(late, { operation: 'request' })), ms)
  })
  try {
    return await Promise.race([promise, limit])
  } finally {
    clearTimeout(timer)
    promise.catch(() => {})
  }
}
