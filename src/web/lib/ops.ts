/** Who works, on what, how much of it; what is wrong. Asked for anew only while the page is looked at. */
import { keepPreviousData, useQuery } from '@tanstack/react-query'
import type { AlertRuleStatus, Alert as CoreAlert, AlertTest as CoreTest } from '../../core/alert-types.ts'
import type { Limit } from '../../core/types.ts'
import { get } from './api.ts'
import type { WorkerItem } from './types.ts'

/** As it comes by JSON. */
type Told<T> = T extends Date ? string : T extends object ? { readonly [K in keyof T]: Told<T[K]> } : T

export type { AlertKind, AlertRule } from '../../core/alert-types.ts'
export type Alert = Told<CoreAlert>
export type AlertTest = Told<CoreTest>
export type RuleItem = Omit<Told<AlertRuleStatus>, 'rule'> & Pick<AlertRuleStatus, 'rule'>

export interface QueueItem {
  readonly queue: string
  readonly ready: number
  readonly oldestAgeMs: number | null
  readonly running: number
  readonly waiting: number
  /** Runs that are paused, each by itself. */
  readonly paused: number
  readonly blocked: number
  /** Nothing of the queue is claimed. */
  readonly isPaused: boolean
  /** Workers that listen on it. */
  readonly workers: number
  /** Of its runs so many may be in hand at once. */
  readonly concurrency: number | null
}

export interface Queues {
  readonly queues: readonly QueueItem[]
  /** Statuses that have more runs than were counted. */
  readonly more: readonly string[]
  readonly limit: number
}

export interface VersionItem {
  readonly workflow: string
  readonly version: number
  readonly open: number
  readonly served: boolean
  /** There are more open runs than were counted. */
  readonly more?: boolean
}

export interface AlertList {
  readonly firing: readonly Alert[]
  readonly pending: readonly Alert[]
  readonly recent: readonly Alert[]
}

const usualMs = 15_000

function usePolled<T>(path: string, everyMs: number) {
  return useQuery({
    queryKey: [path],
    queryFn: ({ signal }) => get<T>(path, {}, signal),
    refetchInterval: everyMs,
    placeholderData: keepPreviousData,
  })
}

export const useWorkers = (everyMs = usualMs) =>
  usePolled<{ readonly workers: readonly WorkerItem[] }>('/api/workers', everyMs)
export const useQueues = (everyMs = usualMs) => usePolled<Queues>('/api/queues', everyMs)
export const useLimits = (everyMs = usualMs) => usePolled<{ readonly limits: readonly Limit[] }>('/api/limits', everyMs)
export const useVersions = (everyMs = usualMs) =>
  usePolled<{ readonly versions: readonly VersionItem[] }>('/api/versions', everyMs)
export const useAlerts = (everyMs = usualMs) => usePolled<AlertList>('/api/alerts', everyMs)
export const useRules = (everyMs = usualMs) =>
  usePolled<{ readonly rules: readonly RuleItem[] }>('/api/alerts/rules', everyMs)
