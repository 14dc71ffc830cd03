import { useQuery } from '@tanstack/react-query'
import { get } from './api.ts'
import type { WorkflowItem } from './types.ts'

/** Workflows that are known by their workers and their runs. */
export function useWorkflows(): readonly WorkflowItem[] {
  const { data } = useQuery({
    queryKey: ['workflows'],
    queryFn: () => get<{ workflows: readonly WorkflowItem[] }>('/api/workflows'),
    staleTime: 60_000,
  })
  return data?.workflows ?? []
}
