/** Schedules, as the API tells of them. Asked for anew only while the page is looked at. */
import { keepPreviousData, useQuery, useQueryClient } from '@tanstack/react-query'
import type { ScheduleDescription, ScheduleFire, ScheduleSummary } from '../../core/schedule-types.ts'
import { get, post } from './api.ts'

/** As it comes by JSON. */
type Told<T> = T extends Date ? string : T extends object ? { readonly [K in keyof T]: Told<T[K]> } : T

export type Schedule = Told<ScheduleSummary>
export type Fire = Told<ScheduleFire>
export type Described = Told<Omit<ScheduleDescription, 'spec'>>

const everyMs = 5_000

export const useSchedules = (after: string | null) =>
  useQuery({
    queryKey: ['/api/schedules', after],
    queryFn: ({ signal }) =>
      get<{ readonly schedules: readonly Schedule[]; readonly next?: string }>(
        '/api/schedules',
        after === null ? {} : { after },
        signal,
      ),
    refetchInterval: everyMs,
    placeholderData: keepPreviousData,
  })

export const useSchedule = (id: string) =>
  useQuery({
    queryKey: ['/api/schedules/one', id],
    queryFn: ({ signal }) => get<Described>('/api/schedules/one', { id, fires: 20 }, signal),
    refetchInterval: everyMs,
  })

/** Does something to a schedule, then asks anew for what there is. */
export function useScheduleAct() {
  const client = useQueryClient()
  return async <T>(what: string, body: object): Promise<T> => {
    const answer = await post<T>(`/api/schedules/${what}`, body)
    await client.invalidateQueries({ predicate: ({ queryKey }) => String(queryKey[0]).startsWith('/api/schedules') })
    return answer
  }
}
