/** How many runs have each status, kept fresh by the feed. */
import { useQuery } from '@tanstack/react-query'
import { get } from './api.ts'
import { count } from './format.ts'
import type { Counts, RunStatus } from './types.ts'

export { openStatuses, runStatuses as statuses } from '../../core/statuses.ts'

export function useCounts(): Counts | undefined {
  return useQuery({
    queryKey: ['counts'],
    queryFn: () => get<Counts>('/api/counts'),
    // The feed tells when they change (`app.tsx`).
    staleTime: Number.POSITIVE_INFINITY,
  }).data
}

export interface Sum {
  readonly n: number
  /** There are more than were counted. */
  readonly more: boolean
  /** `1,000+` */
  readonly text: string
}

/** All runs with one of these statuses. */
export function sumOf({ counts, more }: Counts, of: readonly RunStatus[]): Sum {
  const n = of.reduce((sum, status) => sum + (counts[status] ?? 0), 0)
  const isMore = of.some((status) => more.includes(status))
  return { n, more: isMore, text: `${count(n)}${isMore ? '+' : ''}` }
}
