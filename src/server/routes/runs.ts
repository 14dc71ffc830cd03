/** Runs: lists and counts, one run and all that can be read of it. */
import { describeRow } from '../../client/describe.js'
import { plain } from '../../client/json.js'
import {
  historyJson,
  maxBriefBytes,
  type RunView,
  readRun,
  summaryJson,
  viewAt,
  viewJson,
} from '../../client/run-view.js'
import { decode } from '../../core/codec.js'
import { InvalidInputError } from '../../core/errors.js'
import { toHistoryFile } from '../../core/history-file.js'
import { json } from '../app.js'
import { boundedCounts } from '../feed.js'
import { get, type House, type Route } from '../route.js'
import { anything, flag, integer, type JsonSchema, list, number, object, record, refTo, text } from '../schema.js'
import { filterFields, filterOf, maxPage, maxSeq, pageFields, pageOf, rowOf } from './shared.js'

const listed = (key: string, shape: string, more: Readonly<Record<string, JsonSchema>> = {}): JsonSchema => ({
  type: 'object',
  properties: { [key]: { type: 'array', items: refTo(shape) }, next: { type: 'string' }, ...more },
  required: [key],
  additionalProperties: false,
})

/** Events of one page. */
const maxEvents = 1_000

const at = object({}, { at: integer(1, maxSeq, 'the run as it was after this event, by its history alone') })

export const runRoutes: readonly Route[] = [
  get('/api/runs', {
    summary: 'Runs, newest first, a page at a time; a search looks only so far at once, and then says `bounded`',
    query: object({}, { ...filterFields, ...pageFields }),
    answer: listed('runs', 'Run', {
      bounded: flag('it was looked for only as far as `next`: what belongs on this page may stand behind that'),
    }),
    run: async ({ house, query }) => {
      const { limit = 50, after } = query
      const store = await house.store()
      return pageOf(await store.list({ ...filterOf(query), limit, ...(after === undefined ? {} : { after }) }))
    },
  }),
  get('/api/counts', {
    summary: 'How many runs have each status; counted only so far, never to the end',
    answer: object({
      counts: record(number()),
      more: list(text(), maxPage, 'statuses that have more than was counted'),
      limit: number(),
    }),
    run: async ({ house }) => boundedCounts(await (await house.store()).countRuns()),
  }),
  get('/api/runs/:run', {
    summary: 'A run: what it is, its steps, its graph',
    query: at,
    answer: refTo('RunView'),
    run: async ({ house, ref, query }) => {
      const view = await viewOf(house, ref, query.at)
      const { steps, ...rest } = viewJson(view) as { steps: object[] }
      const queued = queueDelays(view)
      return {
        ...rest,
        steps: view.steps.map((step) => ({ ...step, ...queued.get(step.key) })),
      }
    },
  }),
  get('/api/runs/:run/summary', {
    summary: 'A run without its history: what is in its row, and what it waits for',
    answer: refTo('Summary'),
    run: async ({ house, ref }) => {
      const row = await rowOf(house, ref)
      const place = { runId: row.runId, after: 0, maxPayload: maxBriefBytes }
      const [[first] = []] = await (await house.store()).eventsAfter([place], 1)
      const [begun] = historyJson(first === undefined ? [] : [first], true) as { data?: { input?: unknown } }[]
      return { run: { ...summaryJson(row), input: begun?.data?.input ?? null } }
    },
  }),
  get('/api/runs/:run/graph', {
    summary: 'The graph of a run',
    query: at,
    answer: refTo('Graph'),
    run: async ({ house, ref, query }) => (await viewOf(house, ref, query.at)).graph,
  }),
  get('/api/runs/:run/history', {
    summary: 'The events of a run, a page at a time',
    query: object(
      {},
      {
        after: integer(0, maxSeq, 'events behind this one (0: from the first)'),
        limit: integer(1, maxEvents, `so many at most (100; never more than ${maxEvents}, fewer where they are long)`),
        brief: flag(`values of more than ${maxBriefBytes} bytes as { omitted: <bytes> }`),
      },
    ),
    answer: {
      type: 'object',
      properties: { runId: text(), events: { type: 'array', items: refTo('Event') }, length: number(), next: number() },
      required: ['runId', 'events', 'length'],
      additionalProperties: false,
    },
    run: async ({ house, ref, query: { after = 0, limit = 100, brief = false } }) => {
      const { runId, historyLength } = await rowOf(house, ref)
      const [events = []] = await (await house.store()).eventsAfter(
        [{ runId, after, ...(brief ? { maxPayload: maxBriefBytes } : {}) }],
        limit,
      )
      const last = events.at(-1)?.seq ?? after
      const length = Math.max(historyLength, last)
      return { runId, events: historyJson(events, brief), length, ...(last < length ? { next: last } : {}) }
    },
  }),
  get('/api/runs/:run/why', {
    summary: 'Why it is where it is: one sentence with its evidence',
    answer: refTo('Reason'),
    run: async ({ house, ref }) => house.stet.run(ref).why(),
  }),
  get('/api/runs/:run/checkpoint', {
    summary: 'What a step has saved for its next attempt',
    query: object({ op: integer(1, maxSeq, 'its operation') }),
    answer: object({ there: flag() }, { value: anything() }),
    run: async ({ house, ref, query: { op } }) => {
      const { runId } = await rowOf(house, ref)
      const found = await (await house.store()).checkpoint(runId, op)
      return found === null ? { there: false } : { there: true, value: plain(decode(found.payload)) }
    },
  }),
  get('/api/runs/:run/children', {
    summary: 'Runs that it has started, newest first',
    query: object({}, pageFields),
    answer: listed('runs', 'Run'),
    run: async ({ house, ref, query }) => relatives(house, ref, 'child', query),
  }),
  get('/api/runs/:run/forks', {
    summary: 'Runs that were forked from it, newest first',
    query: object({}, pageFields),
    answer: listed('runs', 'Run'),
    run: async ({ house, ref, query }) => relatives(house, ref, 'fork', query),
  }),
  get('/api/runs/:run/export', {
    summary: 'The whole history as a file, as `stet export` writes it',
    answer: object({ format: text(), run: anything(), events: anything() }),
    run: async ({ house, ref }) => {
      const row = await rowOf(house, ref)
      const events = await (await house.store()).history(row.runId)
      const response = json(toHistoryFile(describeRow(row), events), 200)
      // Run ids are plain; ids may be anything.
      response.headers.set('content-disposition', `attachment; filename="${row.runId.replaceAll(/[^\w-]/g, '_')}.json"`)
      return response
    },
  }),
]

async function viewOf(house: House, ref: string, seq: number | undefined): Promise<RunView> {
  const view = await readRun(await house.store(), ref)
  if (seq === undefined) return view
  const { length } = view.events
  if (seq > length) throw new InvalidInputError(`at: expected a whole number from 1 to ${length}, got ${seq}.`)
  return viewAt(view, seq)
}

async function relatives(
  house: House,
  ref: string,
  kind: 'child' | 'fork',
  { limit = 50, after }: { readonly limit?: number; readonly after?: string },
) {
  const { runId } = await rowOf(house, ref)
  return pageOf(await (await house.store()).relatives(runId, kind, { limit, after }))
}

/** From the end of the last thing that a step came after until it began: time that it waited for its turn. */
function queueDelays({ graph, steps }: RunView): Map<string, { queuedMs: number }> {
  const ended = new Map(
    graph.nodes.map(({ key, endedAt }) => [key, endedAt === undefined ? null : Date.parse(String(endedAt))]),
  )
  const delays = new Map<string, { queuedMs: number }>()
  for (const { key, kind, after, startedAt } of steps) {
    const ends = after.map((cause) => ended.get(cause) ?? null)
    if (kind !== 'step' || startedAt === undefined || ends.length === 0 || ends.includes(null)) continue
    delays.set(key, { queuedMs: Math.max(0, Date.parse(startedAt) - Math.max(...(ends as number[]))) })
  }
  return delays
}
