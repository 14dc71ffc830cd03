/** What workers have counted: asked for anew every quarter of a minute, and only while the page is looked at. */
import { keepPreviousData, useQuery } from '@tanstack/react-query'
import type { Stats as CoreStats } from '../../core/types.ts'
import { get } from './api.ts'

/** As it comes by JSON. */
type Told<T> = T extends Date ? string : T extends object ? { readonly [K in keyof T]: Told<T[K]> } : T

export type Stats = Told<CoreStats>
export type RunStats = Stats['runs'][number]
export type StepStats = Stats['steps'][number]

export interface StatsQuery {
  readonly workflow?: string
  readonly version?: number
  readonly step?: string
  readonly since?: string
  readonly by?: 'version'
  readonly every?: string
  readonly compare?: boolean
  readonly only?: 'runs' | 'steps'
}

export const statsEveryMs = 15_000

/** `wanted` null: nothing is asked. */
export function useStats(wanted: StatsQuery | null) {
  return useQuery({
    queryKey: ['stats', wanted],
    queryFn: ({ signal }) => get<Stats>('/api/stats', { ...wanted }, signal),
    enabled: wanted !== null,
    refetchInterval: statsEveryMs,
    placeholderData: keepPreviousData,
  })
}

/** The beginnings of all parts of a window, s since the epoch; those in which nothing was counted too. */
export function partsOf({ from, to }: Stats, everyMs: number): number[] {
  const parts: number[] = []
  for (let at = Math.floor(Date.parse(from) / everyMs) * everyMs; at < Date.parse(to); at += everyMs) {
    parts.push(at / 1_000)
  }
  return parts
}

/** For each part the sum of a figure over all that has it there. */
export function sumsOf<T extends { readonly at?: string }>(
  parts: readonly number[],
  all: readonly T[],
  figure: (each: T) => number,
): number[] {
  const sums = new Map<number, number>()
  for (const each of all) {
    const at = Date.parse(each.at!) / 1_000
    sums.set(at, (sums.get(at) ?? 0) + figure(each))
  }
  return parts.map((at) => sums.get(at) ?? 0)
}

/** For each part a figure of the one that has it there; null where there is none: a line with gaps. */
export function lineOf<T extends { readonly at?: string }>(
  parts: readonly number[],
  all: readonly T[],
  figure: (each: T) => number | null | undefined,
): (number | null)[] {
  const values = new Map(all.map((each) => [Date.parse(each.at!) / 1_000, figure(each) ?? null]))
  return parts.map((at) => values.get(at) ?? null)
}
