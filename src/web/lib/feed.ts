/**
 * The live feed, as one connection of this tab for all that is watched in it (a browser keeps six to a server).
 *
 * L1. What is watched changes: the connection is made anew, with the last event that is known of each run.
 * L2. A line that was cut is taken up by the browser itself, with the id of the last event; nothing is lost or doubled.
 *     One that was refused (too many feeds, nobody signed in) is tried again here.
 * L3. Lists have no place to go on from. At the first counts of a connection the server knows how they stand; they are
 *     read anew then, and what changes later is told.
 */
import { useEffect, useRef, useSyncExternalStore } from 'react'
import { parseJson } from '../../core/json.ts'
import { pathWith } from './api.ts'
import type { Counts, EventJson, RunItem } from './types.ts'

export interface Watching {
  /** Of these runs what is new behind an event: `after` is asked when a connection begins. */
  readonly run?: { readonly runId: string; readonly after: () => number }
  readonly onHistory?: (event: EventJson) => void
  /** The row of the run has changed. */
  readonly onRun?: (run: RunItem) => void
  /** Rows of lists that are new or have changed; null: read the lists anew. */
  readonly onRuns?: (runs: readonly RunItem[] | null) => void
  readonly onCounts?: (counts: Counts) => void
}

export type Line = 'idle' | 'connecting' | 'live' | 'cut'

const watchers = new Set<Watching>()
const told = new Set<() => void>()
let source: EventSource | null = null
/** Which runs and whether lists: what the connection is for. */
let open = ''
let retry: ReturnType<typeof setTimeout> | undefined
let line: Line = 'idle'
let due = false

function set(next: Line): void {
  line = next
  for (const each of told) each()
}

function connectSoon(): void {
  if (due) return
  due = true
  queueMicrotask(() => {
    due = false
    connect()
  })
}

/** How long until a refused line is tried again, ms. */
const retryMs = 5_000

function connect(): void {
  if (watchers.size === 0) {
    hangUp()
    set('idle')
    return
  }
  const all = [...watchers]
  const runs = new Map<string, number>()
  for (const { run } of all) {
    if (run !== undefined) runs.set(run.runId, Math.min(runs.get(run.runId) ?? Number.POSITIVE_INFINITY, run.after()))
  }
  const lists = all.some(({ onRuns, onCounts }) => onRuns !== undefined || onCounts !== undefined)
  const wanted = lists ? 'lists' : 'runs'
  // Pages come and go; the lists are the same.
  if (runs.size === 0 && source !== null && source.readyState !== EventSource.CLOSED && open === wanted) return
  hangUp()
  open = runs.size === 0 ? wanted : ''
  const query = { runs: [...runs].map(([id, seq]) => `${id}:${seq}`), brief: true, ...(lists ? { lists } : {}) }
  const opened = new EventSource(pathWith('/api/feed', query))
  source = opened
  set('connecting')
  const on = <T>(name: string, give: (data: T) => void) =>
    opened.addEventListener(name, (event) => {
      if (opened === source) give(parseJson((event as MessageEvent<string>).data))
    })
  opened.onopen = () => opened === source && set('live')
  opened.onerror = () => {
    if (opened !== source) return
    set('cut')
    if (opened.readyState === EventSource.CLOSED) retry = setTimeout(connect, retryMs)
  }
  on<{ runId: string; event: EventJson }>('history', ({ runId, event }) => {
    for (const { run, onHistory } of watchers) if (run?.runId === runId) onHistory?.(event)
  })
  on<RunItem>('run', (row) => {
    for (const { run, onRun } of watchers) if (run?.runId === row.runId) onRun?.(row)
  })
  on<{ runs: readonly RunItem[]; reset?: true }>('runs', ({ runs, reset }) => {
    for (const { onRuns } of watchers) onRuns?.(reset ? null : runs)
  })
  let first = true
  opened.addEventListener('open', () => {
    first = true
  })
  on<Counts>('counts', (counts) => {
    for (const { onCounts } of watchers) onCounts?.(counts)
    if (first) for (const { onRuns } of watchers) onRuns?.(null)
    first = false
  })
}

function hangUp(): void {
  clearTimeout(retry)
  source?.close()
  source = null
}

/** Watches while the component is shown. `key` says what is watched: with another one it begins anew. */
export function useFeed(key: string | null, watching: Watching): void {
  const latest = useRef(watching)
  latest.current = watching
  // The callbacks of the last rendering are those that are told.
  useEffect(() => {
    if (key === null) return
    const { run, onRuns, onCounts } = latest.current
    const own: Watching = {
      ...(run === undefined ? {} : { run: { runId: run.runId, after: () => latest.current.run?.after() ?? 0 } }),
      onHistory: (event) => latest.current.onHistory?.(event),
      onRun: (row) => latest.current.onRun?.(row),
      ...(onRuns === undefined ? {} : { onRuns: (runs: readonly RunItem[] | null) => latest.current.onRuns?.(runs) }),
      ...(onCounts === undefined ? {} : { onCounts: (counts: Counts) => latest.current.onCounts?.(counts) }),
    }
    watchers.add(own)
    connectSoon()
    return () => {
      watchers.delete(own)
      connectSoon()
    }
  }, [key])
}

/** How the connection stands. */
export function useLine(): Line {
  return useSyncExternalStore(
    (changed) => {
      told.add(changed)
      return () => told.delete(changed)
    },
    () => line,
  )
}
