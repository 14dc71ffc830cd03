/**
 * The in-memory store: for tests, in one process, gone with it. It passes the conformance suite that the Postgres store
 * passes; what it has not is SQL (views, functions, `tx`), other processes, and anything to survive a crash with.
 *
 * What a call does is done at once; its answer comes a turn of the event loop later, and the hints that speak of it one
 * more: whoever asks can be overtaken in between, as with a store that is elsewhere.
 */
import { originals } from '../../core/determinism.js'
import { StetError } from '../../core/errors.js'
import { parseJson } from '../../core/json.js'
import type { Store } from '../port.js'
import type { TestTime } from '../test-time.js'
import { appendEvents } from './appends.js'
import { bulksOf } from './bulks.js'
import { changeRuns } from './changes.js'
import { tellChildren } from './chores.js'
import { claimRuns, loadRuns, wakeDue } from './claims.js'
import { MemoryClock } from './clock.js'
import { diagnose } from './diagnosis.js'
import { forkRun } from './forks.js'
import { holdLease } from './lease.js'
import { limitsOf } from './limits.js'
import { closeUnowned, postMessages, readAnswers, readMessages } from './messages.js'
import { overviewOf } from './overview.js'
import { pauseRun, resumeRun } from './pauses.js'
import { answerQuery, askQuery, collectAnswers, takeQueries } from './queries.js'
import { listRuns, readResults, rowOf } from './reads.js'
import { retentionOf } from './retention.js'
import { schedulesOf } from './schedules.js'
import { startAndPost, startRuns } from './starts.js'
import { eventOf, State } from './state.js'
import { statisticsOf } from './stats.js'
import { readTime, runningRuns } from './time.js'
import { transactionStep } from './transactions.js'
import { countVersions, setVersion } from './versions.js'
import { giveBackStrays, goneWorkers, takeOver, unblock } from './workers.js'

export interface MemoryStore extends Store {
  /** Moves the clock that its runs live by. */
  readonly time: TestTime
}

export function createMemoryStore(clock: MemoryClock = new MemoryClock()): MemoryStore {
  const state = new State(clock)
  let closed = false
  const answer = <T>(body: () => T): Promise<T> =>
    new Promise((resolve) => {
      if (closed) throw new StetError('closed', 'the in-memory store was closed.')
      const value = body()
      originals.setImmediate(() => resolve(value))
    })
  /** Leases and questions are on real time. */
  const real = () => originals.performanceNow()
  return {
    time: {
      read: (lanes) => answer(() => readTime(state, lanes)),
      stop: (to) => answer(() => clock.stop(to)),
      go: () => answer(() => clock.go()),
      running: () => answer(() => runningRuns(state)),
    },
    description: 'memory',
    alerts: null,
    schedules: schedulesOf(state, answer, real),
    migrate: () => answer(() => 0),

    start: (requests) => answer(() => startRuns(state, requests, real())),
    post: (messages) => answer(() => postMessages(state, messages)),
    closeUnowned: (runId, how, reason) => answer(() => closeUnowned(state, runId, how, reason)),
    blockParked: (runId, claim, problem) =>
      answer(() => {
        const run = state.runs.get(runId)
        if (run?.claim !== claim || run.owner !== null || run.status !== 'waiting') return false
        Object.assign(run, { status: 'blocked', due: null, problem })
        return true
      }),
    pause: (runId, problem) => answer(() => pauseRun(state, runId, problem)),
    resume: (runId) => answer(() => resumeRun(state, runId)),
    find: (ref) =>
      answer(() => {
        const run = state.find(ref)
        return run === undefined ? null : rowOf(state, run)
      }),
    list: (filter) => answer(() => listRuns(state, filter)),
    history: (runId) => answer(() => (state.runs.get(runId)?.history ?? []).map(eventOf)),
    histories: (runIds) =>
      answer(() => new Map(runIds.map((runId) => [runId, (state.runs.get(runId)?.history ?? []).map(eventOf)]))),
    fork: (request) => answer(() => forkRun(state, request)),
    diagnose: (ref) => answer(() => diagnose(state, ref, real())),
    results: (runIds) => answer(() => readResults(state, runIds)),
    answers: (updates) => answer(() => readAnswers(state, updates)),
    startAndPost: (request, message) => answer(() => startAndPost(state, request, message, real())),
    ask: (query) => answer(() => askQuery(state, query, real())),
    collectAnswers: (ids) => answer(() => collectAnswers(state, ids)),
    setVersion: (runId, version) => answer(() => setVersion(state, runId, version)),
    versions: (workflow) => answer(() => countVersions(state, workflow, real())),

    holdLease: (worker, leaseMs, beatMs, listener) => holdLease(state, worker, leaseMs, beatMs, listener),
    goneWorkers: () => answer(() => goneWorkers(state)),
    unregister: (workerId) => answer(() => void state.workers.delete(workerId)),
    takeOver: (dead) => answer(() => takeOver(state, dead, real())),
    wake: () => answer(() => wakeDue(state)),
    claim: (workerId, lanes, limit, how) => answer(() => claimRuns(state, workerId, lanes, limit, how)),
    giveBackStrays: (workerId, held) => answer(() => giveBackStrays(state, workerId, held)),
    load: (runIds) => answer(() => loadRuns(state, runIds)),
    inbox: (runIds) => answer(() => readMessages(state, runIds)),
    append: (workerId, batch, events) => answer(() => appendEvents(state, workerId, batch, events, real())),
    change: (workerId, changes) => answer(() => changeRuns(state, workerId, changes, real())),
    changeInTurn: (workerId, change) => answer(() => changeRuns(state, workerId, [change], real())),
    saveCheckpoint: (workerId, runId, claim, op, payload) =>
      answer(() => {
        const run = state.owned(workerId, runId, claim)
        run?.checkpoints.set(op, payload)
        return run !== undefined
      }),
    transaction: async (workerId, run, body) => {
      const done = await transactionStep(state, workerId, run, body)
      return answer(() => done)
    },
    setAttributes: (workerId, runId, claim, attributes) =>
      answer(() => {
        const run = state.owned(workerId, runId, claim)
        if (run !== undefined) run.attributes = { ...run.attributes, ...parseJson(attributes) }
        return run !== undefined
      }),
    tellChildren: () => answer(() => tellChildren(state)),
    takeQueries: (workerId, lanes) => answer(() => takeQueries(state, workerId, lanes)),
    answerQuery: (given) => answer(() => answerQuery(state, given)),
    unblock: (workflows) => answer(() => unblock(state, workflows)),
    now: () => answer(() => clock.now()),
    ...overviewOf(state, answer, real),
    ...statisticsOf(state, answer, real),
    ...limitsOf(state, answer),
    ...bulksOf(state, answer),
    ...retentionOf(state, answer, real),

    publish: (hints) => answer(() => state.hints.publish(hints)),
    subscribe: (listener) =>
      answer(() => {
        const end = state.hints.subscribe(listener)
        return async () => end()
      }),
    close: async () => {
      closed = true
      state.hints.close()
      for (const end of state.leases) end()
    },
  }
}
