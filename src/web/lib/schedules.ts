/** Schedules, as the API tells of them. Asked for anew only while the page is looked at. */
import { keepPreviousData, useQuery } from '@tanstack/react-query'
import type { ScheduleDescription, ScheduleFire, ScheduleSummary } from '../../core/schedule-types.ts'
import { useAct } from './act.ts'
import { get } from './api.ts'

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

export const useScheduleAct = () => useAct('/api/schedules')
