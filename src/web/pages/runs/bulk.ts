/** The same for many runs, a bounded request after the other. */
import { post } from '../../lib/api.ts'
import type { Filter } from '../../lib/filter.ts'
import type { Named, RunStatus } from '../../lib/types.ts'

export const bulkActions = ['cancel', 'pause', 'resume', 'retry', 'fork', 'terminate'] as const
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

interface Answer {
  readonly done: readonly Done[]
  readonly failed: readonly Failed[]
  readonly next?: string
  readonly left?: readonly string[]
}

export interface Progress {
  readonly done: readonly Done[]
  readonly failed: readonly Failed[]
  /** There are more, which were not come to. */
  readonly more: boolean
}

const perRequest = 50

/**
 * Goes on until all are done, `limit` were come to, or it is aborted, which lets the request under way end.
 * @param told of what was done so far
 */
export async function doMany(
  action: BulkAction,
  target: Target,
  body: object,
  {
    dryRun,
    limit,
    signal,
    told,
  }: {
    readonly dryRun: boolean
    readonly limit: number
    readonly signal: AbortSignal
    readonly told: (progress: Progress) => void
  },
): Promise<Progress> {
  const done: Done[] = []
  const failed: Failed[] = []
  let left: readonly string[] = 'runs' in target ? target.runs : []
  let after: string | undefined
  let more = true
  while (more && done.length + failed.length < limit && !signal.aborted) {
    const which =
      'runs' in target
        ? { runs: left.slice(0, perRequest) }
        : { filter: target.filter, limit: perRequest, ...(after === undefined ? {} : { after }) }
    const answer = await post<Answer>(`/api/bulk/${action}`, { ...body, ...which, dryRun })
    done.push(...answer.done)
    failed.push(...answer.failed)
    if ('runs' in target) {
      left = [...(answer.left ?? []), ...left.slice(perRequest)]
      more = left.length > 0
    } else {
      after = answer.next
      more = after !== undefined
    }
    told({ done: [...done], failed: [...failed], more })
  }
  return { done, failed, more }
}
