/** Bulks (U1–U3 in `../bulks.ts`). Nobody ever has a run locked here, so none is held. */
import { StetError } from '../../core/errors.js'
import { closedStatuses, openStatuses } from '../../core/statuses.js'
import type { RunFilter } from '../../core/types.js'
import {
  type BulkPart,
  type BulkRow,
  type BulkStore,
  bulkForks,
  bulkPart,
  childReason,
  maxExamples,
  type PlanFork,
  type PlannedFork,
  why,
} from '../bulks.js'
import { deleteRun, isUndeletable } from './deletions.js'
import { forkRun } from './forks.js'
import { closeUnowned, postMessages, successorOf } from './messages.js'
import { pauseRun, resumeRun } from './pauses.js'
import { listRuns, rowOf } from './reads.js'
import { eventOf, type Run, type State } from './state.js'

type Answer = <T>(body: () => T) => Promise<T>
type Mutable<T> = { -readonly [K in keyof T]: T[K] }

interface Entry extends Mutable<Omit<BulkRow, 'refused' | 'examples'>> {
  refused: Record<string, number>
  examples: BulkRow['examples'][number][]
  cursor: string | undefined
  followed: boolean
  busy: boolean
  touched: number
}

export function bulksOf(state: State, answer: Answer): BulkStore {
  const bulks = new Map<string, Entry>()
  let touches = 0
  state.hasBulks = () => [...bulks.values()].some((each) => each.state === 'running')
  return {
    beginBulk: (request) =>
      answer(() => {
        const known = bulks.get(request.id)
        if (known !== undefined) return shown(known)
        const filter = { ...request.filter }
        const fresh = {
          state: 'running' as const,
          createdAt: state.at(),
          closedAt: null,
          seen: 0,
          done: 0,
          failed: 0,
          held: 0,
        }
        const place = { cursor: undefined, followed: false, busy: false, touched: touches++ }
        const entry: Entry = { ...request, filter, ...fresh, refused: {}, examples: [], problem: null, ...place }
        bulks.set(request.id, entry)
        return shown(entry)
      }),
    bulk: (id) =>
      answer(() => {
        const found = bulks.get(id)
        return found === undefined ? null : shown(found)
      }),
    listBulks: ({ limit, after }) =>
      answer(() => {
        const all = [...bulks.values()].filter(({ id }) => after === undefined || id < after)
        all.sort((a, b) => (a.id < b.id ? 1 : -1))
        const page = all.slice(0, limit).map(shown)
        return { bulks: page, next: all.length > limit ? page.at(-1)!.id : null }
      }),
    setBulk: (id, to) =>
      answer(() => {
        const found = bulks.get(id)
        if (found === undefined || (found.state !== 'running' && found.state !== 'paused')) return null
        found.state = to
        if (to === 'cancelled') found.closedAt = state.at()
        return shown(found)
      }),
    doBulkPart: async (id, plan) => {
      const next = [...bulks.values()]
        .filter((each) => each.state === 'running' && !each.busy && (id === null || each.id === id))
        .sort((a, b) => a.touched - b.touched)[0]
      if (next === undefined) return answer(() => null)
      next.busy = true
      next.touched = touches++
      try {
        return await doPart(state, answer, next, plan)
      } finally {
        next.busy = false
      }
    },
  }
}

function shown({ cursor: _c, followed: _f, busy: _b, touched: _t, ...row }: Entry): BulkRow {
  return { ...row, filter: { ...row.filter }, refused: { ...row.refused }, examples: [...row.examples] }
}

async function doPart(state: State, answer: Answer, bulk: Entry, plan: PlanFork): Promise<BulkPart> {
  const forks = bulk.operation === 'retry' || bulk.operation === 'fork'
  const { rows, next } = await answer(() => nextPage(state, bulk, forks ? bulkForks : bulkPart))
  const planned = new Map<string, PlannedFork | StetError>()
  if (forks) {
    for (const runId of rows) {
      const run = state.runs.get(runId)
      if (run === undefined) continue
      const events = run.history.map(eventOf)
      const made = await Promise.resolve()
        .then(() => plan(shown(bulk), rowOf(state, run), events, state.clock.now()))
        .catch((error) => {
          if (error instanceof StetError) return error
          throw error
        })
      planned.set(runId, made)
    }
  }
  return answer(() => {
    const told = { closed: [] as string[], messaged: [] as string[], ready: new Set<string>() }
    for (const runId of rows) {
      const run = state.runs.get(runId)
      try {
        if (run === undefined) throw new StetError('run_not_found', why('run_not_found', bulk.operation))
        doOne(state, bulk, run, planned.get(runId), told)
        bulk.done++
      } catch (error) {
        if (!(error instanceof StetError)) throw error
        const { code, message } = error
        bulk.refused[code] = (bulk.refused[code] ?? 0) + 1
        if (bulk.examples.length < maxExamples) bulk.examples.push({ id: run?.id ?? runId, runId, code, message })
      }
    }
    bulk.seen += rows.length
    bulk.cursor = next ?? undefined
    if (next === null && bulk.state === 'running') {
      const follows = ['cancel', 'terminate', 'pause'].includes(bulk.operation) && (!bulk.followed || rows.length > 0)
      bulk.followed = true
      if (!follows) Object.assign(bulk, { state: 'completed', closedAt: state.at() })
    }
    const { closed, messaged, ready } = told
    return { bulk: shown(bulk), runs: rows.length, closed, messaged, ready: [...ready] }
  })
}

function nextPage(state: State, bulk: Entry, limit: number): { rows: string[]; next: string | null } {
  const { filter, createdAt } = bulk
  const after = bulk.cursor === undefined ? {} : { after: bulk.cursor }
  if (!bulk.followed) {
    const upTo = Math.min(createdAt + 1, filter.startedBefore?.getTime() ?? Number.POSITIVE_INFINITY)
    const page = listRuns(state, { ...filter, startedBefore: new Date(upTo), limit, ...after })
    return { rows: page.rows.map(({ runId }) => runId), next: page.next }
  }
  const { version: _v, status: _s, startedBefore: _b, startedAfter: _a, ...rest } = filter
  const wanted: RunFilter = {
    ...rest,
    status: [...openStatuses],
    startedAfter: new Date(createdAt + 1),
    limit,
    ...after,
  }
  const page = listRuns(state, wanted)
  return { rows: page.rows.flatMap(({ runId }) => (goesOn(state, bulk, runId) ? [runId] : [])), next: page.next }
}

/** It goes on for a run that was there when the bulk was made, and that continued as new before it was come to. */
function goesOn(state: State, { id, createdAt }: Entry, runId: string): boolean {
  let run = state.runs.get(runId)
  while (run !== undefined && run.createdAt > createdAt) {
    if (run.messageIds.has(id)) return false
    const { runId: at }: Run = run
    run = [...state.runs.values()].find((each) => successorOf(each) === at)
  }
  return run !== undefined && !run.messageIds.has(id)
}

interface Told {
  readonly closed: string[]
  readonly messaged: string[]
  readonly ready: Set<string>
}

/** @throws StetError when nothing is done to it */
function doOne(state: State, bulk: Entry, run: Run, planned: PlannedFork | StetError | undefined, told: Told): void {
  const { operation, words, id } = bulk
  const refuse = (code: string): never => {
    throw new StetError(code, why(code, operation))
  }
  const { runId } = run
  const closed = closedStatuses.includes(run.status)
  if (operation === 'cancel' || operation === 'terminate' || operation === 'pause') {
    if (closed) refuse('run_closed')
    if (operation === 'pause') {
      if (run.status === 'blocked') refuse('blocked')
      if (run.status === 'paused' || pauseRun(state, runId, words.problem ?? '')) return
    } else {
      const how = operation === 'cancel' ? 'cancelBeforeBegin' : operation
      const end = closeUnowned(state, runId, how, words.facts)
      if (end !== null) {
        told.closed.push(runId)
        if (end.parent !== null) told.messaged.push(end.parent)
        return
      }
    }
    postMessages(state, [{ run: runId, kind: operation, name: null, payload: words.payload, messageId: id }])
    told.messaged.push(runId)
  } else if (operation === 'resume') {
    if (!resumeRun(state, runId)) refuse('not_resumable')
    told.ready.add(run.queue)
  } else if (operation === 'delete') {
    const code = isUndeletable(state, run)
    if (code !== null) refuse(code)
    deleteRun(state, run)
  } else {
    if (planned === undefined) return
    if (planned instanceof StetError) throw planned
    const { request, cancel, once } = planned
    const before =
      once && [...state.runs.values()].find(({ id, forkedFrom }) => id === request.id && forkedFrom?.runId === runId)
    if (before) throw new StetError('forked_already', `fork: run ${before.runId} is a fork of it already.`)
    const existing = forkRun(state, request)
    if (existing !== null) {
      throw new StetError(
        'id_conflict',
        `id "${request.id}" is taken by the open run ${existing.runId} (${existing.status}).`,
      )
    }
    told.ready.add(request.queue)
    for (const child of cancel) {
      if (closeUnowned(state, child, 'cancelBeforeBegin', childReason) !== null) told.closed.push(child)
      else {
        const payload = JSON.stringify(childReason)
        postMessages(state, [{ run: child, kind: 'cancel', name: null, payload, messageId: null }])
        told.messaged.push(child)
      }
    }
  }
}
