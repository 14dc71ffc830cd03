/**
 * A page of runs, kept fresh.
 *
 * R1. A row that is shown changes where it stands. New rows come in by themselves only while nobody is at the list.
 * R2. What the feed told after a reading was asked for counts more than the reading.
 */
import { keepPreviousData, useQuery, useQueryClient } from '@tanstack/react-query'
import { useEffect, useState } from 'react'
import { get } from '../../lib/api.ts'
import { useFeed } from '../../lib/feed.ts'
import { type Filter, matches, queryOf } from '../../lib/filter.ts'
import type { RunItem, RunPage } from '../../lib/types.ts'

interface Read extends RunPage {
  readonly askedAt: number
}

interface Told {
  readonly row: RunItem
  readonly at: number
}

export interface Runs {
  /** Undefined: not read yet. */
  readonly rows: readonly RunItem[] | undefined
  readonly next: string | undefined
  /** The search has looked at only so many runs: there may be more that match. */
  readonly bounded: boolean
  readonly error: unknown
  /** Rows that wait to be let in. */
  readonly waiting: number
  /** What is shown is of another search, which is still being read. */
  readonly reading: boolean
  letIn(): void
}

export interface RunsWanted {
  readonly filter: Filter
  readonly after: string | null
  readonly size: number
  /** Somebody is at the list: nothing comes in by itself. */
  readonly held: boolean
}

/** Rows of the feed that are remembered. */
const maxTold = 1_000

type Wanted = Omit<RunsWanted, 'held'>

async function read({ filter, after, size }: Wanted, signal?: AbortSignal): Promise<Read> {
  const askedAt = performance.now()
  const page = await get<RunPage>('/api/runs', { ...queryOf(filter), limit: size, after: after ?? undefined }, signal)
  return { ...page, askedAt }
}

export function useRuns({ filter, after, size, held }: RunsWanted): Runs {
  const client = useQueryClient()
  const key = JSON.stringify([filter, after, size])
  const queryKey = ['runs', key]
  const { data, error, isPlaceholderData } = useQuery({
    queryKey,
    queryFn: ({ signal }) => read({ filter, after, size }, signal),
    placeholderData: keepPreviousData,
  })
  const [told, setTold] = useState<ReadonlyMap<string, Told>>(new Map())
  const [shown, setShown] = useState<ReadonlySet<string>>(new Set())
  useEffect(() => {
    setTold(new Map())
    setShown(new Set())
  }, [key])
  const tell = (rows: readonly RunItem[], at: number) =>
    setTold((before) => new Map([...before, ...rows.map((row) => [row.runId, { row, at }] as const)].slice(-maxTold)))
  useFeed('lists', {
    onRuns: (rows) => {
      if (rows !== null) tell(rows, performance.now())
      // More has changed than was told. What is there now comes in as if it had been (R1).
      else
        read({ filter, after, size }).then(
          (page) => tell(page.runs, page.askedAt),
          () => {},
        )
    },
  })

  const latest = (row: RunItem): RunItem => {
    const news = told.get(row.runId)
    return news !== undefined && data !== undefined && news.at >= data.askedAt ? news.row : row
  }
  const listed = data?.runs ?? []
  const known = new Set(listed.map(({ runId }) => runId))
  const fits = (row: RunItem) =>
    !known.has(row.runId) &&
    (after === null || row.runId < after) &&
    (data?.next === undefined || row.runId > data.next) &&
    matches(filter, row)
  const fresh = isPlaceholderData ? [] : [...told.values()].map(({ row }) => row)
  const inside = fresh.filter((row) => !known.has(row.runId) && shown.has(row.runId))
  const outside = fresh.filter((row) => !shown.has(row.runId) && fits(row))
  const letIn = () => {
    if (outside.length < size) setShown(new Set([...shown, ...outside.map(({ runId }) => runId)]))
    // There may be others between them that nobody has told of.
    else void client.invalidateQueries({ queryKey })
  }
  const [asked, setAsked] = useState(false)
  // Once it is offered it waits for a click: the list does not move because the mouse does.
  const auto = !held && !asked && outside.length > 0
  useEffect(() => {
    if (outside.length === 0) setAsked(false)
    else if (held) setAsked(true)
  }, [held, outside.length])
  useEffect(() => {
    if (auto) letIn()
  }, [auto, outside.length])

  const rows = [...inside, ...listed.map(latest)].sort((a, b) => (a.runId < b.runId ? 1 : -1))
  // A list that has grown by what came in is as long as a page again; the rest is on the next one.
  const cut = rows.slice(0, Math.max(size, listed.length))
  return {
    rows: data === undefined ? undefined : cut,
    next: cut.length < rows.length ? cut.at(-1)!.runId : data?.next,
    bounded: data?.bounded === true,
    error,
    waiting: auto ? 0 : outside.length,
    reading: isPlaceholderData,
    letIn,
  }
}
