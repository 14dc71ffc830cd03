/** Questions to runs. One that nobody answers in time is forgotten; it was only asked. */
import type { QueryAnswer, QueryRequest, TakenQuery, WorkerLanes } from '../port.js'
import { hasCode } from './claims.js'
import type { State } from './state.js'

/** How long a question is kept for somebody to answer, and an answer for somebody to read, in real time. */
const keptForMs = 5 * 60_000
const maxTaken = 100

/** False: there is no such run. */
export function askQuery(state: State, { id, runId, name, payload }: QueryRequest, real: number): boolean {
  for (const [old, { askedAt }] of state.queries) if (askedAt < real - keptForMs) state.queries.delete(old)
  const run = state.runs.get(runId)
  if (run === undefined || state.queries.has(id)) return false
  const { workflow, version } = run
  state.queries.set(id, { id, runId, name, payload, workflow, version, askedAt: real, takenBy: null, answer: null })
  return true
}

export function takeQueries(state: State, workerId: string, lanes: WorkerLanes): TakenQuery[] {
  const open = [...state.queries.values()].filter(
    ({ takenBy, workflow, version }) => takenBy === null && hasCode(lanes.workflows, workflow, version),
  )
  return open.slice(0, maxTaken).map((query) => {
    query.takenBy = workerId
    const { id, runId, name, payload, workflow } = query
    const run = state.runs.get(runId)!
    return { id, runId, name, payload, workflow, version: run.version, identity: { id: run.id, queue: run.queue } }
  })
}

export function answerQuery(state: State, { id, answer, error }: QueryAnswer): void {
  const query = state.queries.get(id)
  if (query !== undefined) query.answer = { id, answer, error }
}

/** Answers that are there; they are forgotten with this. */
export function collectAnswers(state: State, ids: readonly string[]): QueryAnswer[] {
  return ids.flatMap((id) => {
    const answer = state.queries.get(id)?.answer ?? null
    if (answer === null) return []
    state.queries.delete(id)
    return [answer]
  })
}
