/** What can be done to one run. */
import { type Forked, forkRun, planFork, retryRun, storedOrigin } from '../../client/forks.js'
import { plain } from '../../client/json.js'
import { InvalidInputError, StetError } from '../../core/errors.js'
import { newId } from '../../core/ids.js'
import type { Attributes, ForkOptions, StartOptions } from '../../core/types.js'
import { HttpError, isOwn } from '../problems.js'
import { act, type House, post, type Route } from '../route.js'
import {
  anything,
  choice,
  date,
  duration,
  either,
  flag,
  integer,
  name,
  object,
  record,
  refTo,
  text,
} from '../schema.js'
import { maxSeq, standing, within } from './shared.js'

/** No request is kept waiting for longer. */
export const maxWaitMs = 60_000
const terminateMs = 15_000

const messageId = name('the same message id is accepted once by a run')
const patience = duration('how long to wait for the answer (10 s; at most 60 s)')
const reason = text('why; the run is told', 1_000)
const answered = object({ answer: anything('null when it gave none') })

export const forkFields = {
  at: either(
    integer(1, maxSeq),
    text(undefined, 300),
    "what runs anew first: a step's key, the number of an event, or last-failure",
  ),
  input: anything('another input'),
  set: record(anything(), 'results of steps, by their keys, in place of their own'),
  version: integer(1, maxSeq, 'the version of the code that goes on with it'),
  signals: choice(['redeliver', 'drop']),
  children: choice(['rerun', 'keep', 'cancel']),
}

export const actionRoutes: readonly Route[] = [
  post('/api/runs', {
    summary: 'Start a run',
    body: object(
      { workflow: name() },
      {
        input: anything(),
        id: name('your name of the run; the same id, workflow and input gives the first run'),
        queue: name(),
        priority: integer(-32_000, 32_000, 'higher runs first'),
        delay: duration(),
        startAt: date(),
        timeout: duration(),
        attributes: record(anything()),
        ifOpen: choice(['existing', 'fail', 'terminate']),
        ifClosed: choice(['existing', 'new', 'newIfFailed', 'fail']),
        debounce: {
          ...object({ key: name(), wait: duration() }, { maxWait: duration() }),
          description: 'starts with this key are one run until it begins: wait after the last of them, with its input',
        },
      },
    ),
    answer: refTo('Done'),
    run: async ({ house, who, body }) => {
      const { workflow, input, startAt, attributes, ...options } = body
      const { id, queue, priority, ifOpen, ifClosed, debounce } = options
      const details = { workflow, queue, priority, ifOpen, ifClosed, debounce }
      return house.audit.of(who, { action: 'start', runId: null, id: id ?? null, details }, async () => {
        const started = await house.stet.start(workflow, input, {
          ...(options as StartOptions),
          ...(startAt === undefined ? {} : { startAt: new Date(startAt) }),
          ...(attributes === undefined ? {} : { attributes: attributes as Attributes }),
        })
        return standing(house, started.runId)
      })
    },
  }),
  act('signal', {
    summary: 'Send a signal',
    body: object({ name: name() }, { message: anything(), messageId }),
    answer: refTo('Done'),
    note: ({ name, messageId }) => ({ name, messageId }),
    run: async ({ house, row: { runId }, body }) => {
      const { name, message, messageId } = body
      const { signal } = untyped(house, runId)
      await signal(name, message, messageId === undefined ? {} : { messageId })
      return standing(house, runId)
    },
  }),
  act('update', {
    summary: 'Send a request, and wait for its answer',
    body: object({ name: name() }, { argument: anything(), messageId, timeout: patience }),
    answer: answered,
    note: ({ name, messageId }) => ({ name, messageId }),
    run: async ({ house, row: { runId }, body }) => {
      const { name, argument, messageId = newId('msg'), timeout = '10s' } = body
      const answer = untyped(house, runId).update(name, argument, { messageId, timeout: timeout as never })
      return { answer: plain(await soon(ofRun(answer))) }
    },
  }),
  post('/api/runs/:run/query', {
    summary: 'Ask a run something; it changes nothing',
    body: object({ name: name() }, { argument: anything(), timeout: patience }),
    answer: answered,
    role: 'view',
    run: async ({ house, ref, body }) => {
      const { name, argument, timeout = '10s' } = body
      return { answer: plain(await soon(ofRun(untyped(house, ref).query(name, argument, { timeout })))) }
    },
  }),
  act('cancel', {
    summary: 'Ask it to end, its cleanup included',
    body: object({}, { reason }),
    answer: refTo('Done'),
    run: async ({ house, row: { runId }, body }) => {
      await house.stet.run(runId).cancel(body.reason)
      return standing(house, runId)
    },
  }),
  act('terminate', {
    summary: 'End it at once, without its cleanup',
    body: object({}, { reason }),
    answer: refTo('Done'),
    run: async ({ house, row: { runId }, body }) => {
      await terminate(house, runId, body.reason)
      return standing(house, runId)
    },
  }),
  act('pause', {
    summary: 'Keep it from going on; what executes comes to its end first',
    body: object({}, { reason }),
    answer: refTo('Done'),
    run: async ({ house, row: { runId }, body }) => {
      await house.stet.run(runId).pause(body.reason)
      return standing(house, runId)
    },
  }),
  act('resume', {
    summary: 'Let a paused or blocked run go on',
    body: object({}),
    answer: refTo('Done'),
    run: async ({ house, row: { runId } }) => {
      try {
        await house.stet.run(runId).resume()
      } catch (error) {
        // The request was right; it is the run that is not in a state to be resumed.
        throw error instanceof InvalidInputError ? new StetError('not_resumable', error.message) : error
      }
      return standing(house, runId)
    },
  }),
  act('retry', {
    summary: 'Try a failed run again from its last failure, under its id',
    body: object({}),
    answer: refTo('Forked'),
    run: async ({ house, row }) => toldFork(await retryRun(await house.stet.internals(), row), row.runId),
  }),
  act('fork', {
    summary: 'Start a run that shares its history up to a place',
    body: object(
      {},
      { ...forkFields, id: name('your name of the new run'), dryRun: flag('say what it would share; make nothing') },
    ),
    answer: refTo('Forked'),
    note: ({ at, version, id, signals, children, set, dryRun, ...rest }) => ({
      ...{ at, version, id, signals, children, dryRun },
      ...(set === undefined ? {} : { set: Object.keys(set) }),
      ...('input' in rest ? { input: true } : {}),
    }),
    run: async ({ house, row, body }) => {
      const { dryRun = false, ...options } = body
      const { store, hints } = await house.stet.internals()
      const origin = await storedOrigin(store, row)
      if (!dryRun) return toldFork(await forkRun({ store, hints }, origin, options as ForkOptions), row.runId)
      const plan = planFork(origin, options as ForkOptions, await store.now())
      const { id, runId } = row
      return toldFork({ ...plan, id: options.id ?? id, runId, of: origin.events.length }, runId)
    },
  }),
  act('move', {
    summary: 'Give it to another version of its code',
    body: object({ version: integer(1, maxSeq) }),
    answer: refTo('Done'),
    note: ({ version }) => ({ version }),
    run: async ({ house, row: { runId }, body }) => {
      await house.stet.run(runId).moveTo(body.version)
      return standing(house, runId)
    },
  }),
]

export function toldFork({ id, runId, kept, of, anew, cut }: Omit<Forked, 'movedBy'>, origin: string) {
  return { id, runId, kept, of, anew, forkedFrom: { runId: origin, seq: cut } }
}

/** @throws TimeoutFailure when its worker does not end it in time */
export async function terminate(house: House, runId: string, reason: string | undefined): Promise<void> {
  const late = `terminate: run ${runId} was told, and its worker has not ended it after ${terminateMs} ms.`
  await within(terminateMs, late, house.stet.run(runId).terminate(reason))
}

/** Names are texts here, and messages are whatever came. */
function untyped(house: House, run: string): Record<'signal' | 'query' | 'update', (...args: any[]) => Promise<any>> {
  const handle = house.stet.run(run) as any
  return {
    signal: (...args) => handle.signal(...args),
    query: (...args) => handle.query(...args),
    update: (...args) => handle.update(...args),
  }
}

function soon<T>(answer: Promise<T>): Promise<T> {
  return within(maxWaitMs, `no answer after ${maxWaitMs} ms, which is as long as a request is kept waiting.`, answer)
}

/** What the run's own code has thrown is the run's answer, not a failure of the dashboard. */
async function ofRun<T>(answer: Promise<T>): Promise<T> {
  try {
    return await answer
  } catch (error) {
    if (error instanceof StetError && isOwn(error.code)) throw error
    const { name = 'Error', message = String(error), code } = (error ?? {}) as Partial<Error & { code: unknown }>
    const known = error instanceof StetError ? String(code) : 'query_failed'
    throw new HttpError(422, known, known === 'query_failed' ? `${name}: ${message}` : message)
  }
}
