import { useQuery, useQueryClient } from '@tanstack/react-query'
import { get } from '../../lib/api.ts'
import { useFeed } from '../../lib/feed.ts'
import type { RunItem, RunPage, RunStatus } from '../../lib/types.ts'

/** The newest runs with a status, kept fresh by the feed. Undefined: not read yet. */
export function useNewest(status: RunStatus, limit: number): readonly RunItem[] | undefined {
  const client = useQueryClient()
  const queryKey = ['newest', status, limit]
  const { data } = useQuery({
    queryKey,
    queryFn: () => get<RunPage>('/api/runs', { status, limit }),
    staleTime: 60_000,
  })
  useFeed('lists', {
    onRuns: (rows) => {
      if (rows === null || data === undefined) {
        void client.invalidateQueries({ queryKey })
        return
      }
      const told = new Set(rows.map(({ runId }) => runId))
      const left = data.runs.filter(({ runId }) => !told.has(runId))
      const now = rows.filter((row) => row.status === status)
      if (now.length === 0 && left.length === data.runs.length) return
      // One that has left makes room for another that is not known here.
      if (now.length === 0 && data.next !== undefined) void client.invalidateQueries({ queryKey })
      const runs = [...left, ...now].sort((a, b) => (a.runId < b.runId ? 1 : -1)).slice(0, limit)
      client.setQueryData<RunPage>(queryKey, { ...data, runs })
    },
  })
  return data?.runs
}
