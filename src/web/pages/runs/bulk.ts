/** The same for many runs: those that were named by bounded requests one after the other, what a filter names as a bulk. */
import { get, post } from '../../lib/api.ts'
import type { Filter } from '../../lib/filter.ts'
import type { Named, RunStatus } from '../../lib/types.ts'

export const bulkActions = ['cancel', 'pause', 'resume', 'retry', 'fork', 'terminate', 'delete'] as const
export type BulkAction = (typeof bulkActions)[number]

/** Runs that were named, or all that a filter means. */
export type Target = { readonly runs: readonly string[] } | { readonly filter: Filter }

export interface Done extends Named {
  readonly workflow: string
  readonly status: RunStatus
  readonly made?: Named
  readonly kept?: number
}

export interface Failed extends Named {
  readonly code: string
  readonly message: string
}

/** As `GET /api/bulks/:bulk` has it. */
export interface Bulk {
  readonly id: string
  readonly operation: BulkAction
  readonly filter: Filter
  readonly actor: string
  readonly state: 'running' | 'paused' | 'completed' | 'cancelled' | 'failed'
  readonly createdAt: string
  readonly closedAt?: string
  readonly reason?: string
  readonly expected?: number
  readonly expectedMore: boolean
  readonly seen: number
  readonly done: number
  readonly failed: number
  readonly held: number
  readonly refused: Readonly<Record<string, number>>
  readonly examples: readonly Failed[]
  readonly problem?: string
}

export const refusedOf = ({ refused, failed }: Bulk): number =>
  Object.values(refused).reduce((sum, n) => sum + n, failed)

interface Answer {
  readonly done: readonly Done[]
  readonly failed: readonly Failed[]
  readonly left?: readonly string[]
  readonly count?: number
  readonly more?: boolean
  readonly bulk?: Bulk
}

export interface Progress {
  /** What it was done for, or would be: all of those that were named, the newest of those that a filter names. */
  readonly done: readonly Done[]
  readonly failed: readonly Failed[]
  /** How many it was done for, or would be. */
  readonly count: number
  /** For how many it was not, or would not be. */
  readonly not: number
  /** There are more, which were not counted, or not come to. */
  readonly more: boolean
  /** How many there are to be come to; null: not known. */
  readonly of: number | null
}

export const nothingYet: Progress = { done: [], failed: [], count: 0, not: 0, more: true, of: null }

const perRequest = 50
const lookMs = 400

export interface Doing {
  readonly dryRun: boolean
  readonly signal: AbortSignal
  readonly told: (progress: Progress) => void
}

/** Goes on until all are done, or it is aborted, which ends a bulk where it stands. */
export function doMany(action: BulkAction, target: Target, body: object, doing: Doing): Promise<Progress> {
  return 'runs' in target ? doNamed(action, target.runs, body, doing) : doFiltered(action, target.filter, body, doing)
}

async function doNamed(action: BulkAction, runs: readonly string[], body: object, { dryRun, signal, told }: Doing) {
  const done: Done[] = []
  const failed: Failed[] = []
  let left = runs
  const now = (): Progress => ({
    ...{ done: [...done], failed: [...failed], count: done.length, not: failed.length },
    ...{ more: left.length > 0, of: runs.length },
  })
  while (left.length > 0 && !signal.aborted) {
    const answer = await post<Answer>(`/api/bulk/${action}`, { ...body, runs: left.slice(0, perRequest), dryRun })
    done.push(...answer.done)
    failed.push(...answer.failed)
    left = [...(answer.left ?? []), ...left.slice(perRequest)]
    told(now())
  }
  return now()
}

async function doFiltered(action: BulkAction, filter: Filter, body: object, { dryRun, signal, told }: Doing) {
  const answer = await post<Answer>(`/api/bulk/${action}`, { ...body, filter, dryRun })
  if (answer.bulk === undefined) {
    const { done, failed, count = 0, more = false } = answer
    return { done, failed, count: count - failed.length, not: failed.length, more, of: count }
  }
  const { id } = answer.bulk
  for (let ended = false; ; ) {
    if (signal.aborted && !ended) {
      await post(`/api/bulks/${id}/cancel`, {})
      ended = true
    }
    const bulk = await get<Bulk>(`/api/bulks/${id}`)
    const progress = progressOf(bulk)
    told(progress)
    if (bulk.problem !== undefined) throw new Error(bulk.problem)
    if (bulk.state !== 'running' && bulk.state !== 'paused') return progress
    await new Promise((resolve) => setTimeout(resolve, lookMs))
  }
}

function progressOf(bulk: Bulk): Progress {
  return {
    ...{ done: [], failed: bulk.examples, count: bulk.done, not: refusedOf(bulk), more: bulk.state !== 'completed' },
    of: bulk.expected ?? null,
  }
}
