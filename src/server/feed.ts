/**
 * What is new, for all who watch: one subscription to the hints and one reader, however many there are.
 *
 * F1. A watcher has, for each run that it watches, the seq of the last event that it was given. It is given the events
 *     behind it in order, each once; what it has not room for now it is given later, for it stands where it stood.
 * F2. Each event goes out with the places of all runs of that watcher as its id: whoever comes back with that id goes on
 *     where the line was cut.
 * F3. Hints only make it sooner. What is watched and open is read once a second also without them.
 * F4. A reading waits half a second for each statement of the one before it: at most two statements a second.
 * F5. Nobody watches: nothing is read, no timer runs, nothing is subscribed to.
 */
import { describeRow } from '../client/describe.js'
import { replaceUnusual } from '../client/json.js'
import { historyJson, maxBriefBytes } from '../client/run-view.js'
import type { Hint } from '../core/hint.js'
import type { RunStatus } from '../core/types.js'
import type { Hints } from '../hints/hints.js'
import type { Place, PlacedEvent } from '../store/overview.js'
import { maxCounted, type RunRow, type Store } from '../store/port.js'
import { HttpError } from './problems.js'
import { Watcher, type WatchRequest } from './watcher.js'

export interface FeedOptions {
  readonly maxWatchers: number
  readonly heartbeatMs: number
  readonly onError: (error: unknown) => void
}

type Source = () => Promise<{ readonly store: Store; readonly hints: Hints }>

const pollMs = 1_000
const perStatementMs = 500
/** After an error. */
const restMs = 2_000
/** Lists are kept fresh as far as their first page goes; what hints name beside it too. */
const newest = 50
const maxHinted = 100
const maxKnown = 500
/** Events of one reading, of all runs together. */
const maxEvents = 2_000
const maxPlaces = 200
const maxEventLength = 256 * 1024
/** Counts are read when a list has changed, and every so many readings in any case. */
const countEvery = 10

export class Feed {
  readonly #source: Source
  readonly #options: FeedOptions
  readonly #watchers = new Set<Watcher>()
  /** Rows of watched runs as they were last read. */
  readonly #rows = new Map<string, RunRow>()
  /** Rows of lists, as they were last told. */
  readonly #listed = new Map<string, string>()
  readonly #hinted = new Set<string>()
  #counts: Record<RunStatus, number> | null = null
  #sinceCounts = countEvery
  #unsubscribe: (() => void) | null = null
  #heartbeat: NodeJS.Timeout | null = null
  #timer: NodeJS.Timeout | null = null
  #timerAt = Number.POSITIVE_INFINITY
  #reading = false
  #again = false
  /** Not before this, as `performance.now()` counts (F4). */
  #freeAt = 0
  #closed = false

  constructor(source: Source, options: FeedOptions) {
    this.#source = source
    this.#options = options
  }

  /** How many watch. */
  get size(): number {
    return this.#watchers.size
  }

  /** @throws HttpError 503 when as many watch as may */
  open(request: WatchRequest): Watcher {
    if (this.#closed) throw new HttpError(503, 'closed', 'the dashboard is closing.')
    if (this.#watchers.size >= this.#options.maxWatchers) {
      const most = this.#options.maxWatchers
      throw new HttpError(503, 'too_many_feeds', `${most} feeds are open, which is as many as may be.`, {
        'retry-after': '10',
      })
    }
    const watcher = new Watcher(request, {
      closed: () => this.#left(watcher),
      // It has room again: there may be more for it.
      hungry: () => this.#soon(true),
    })
    this.#watchers.add(watcher)
    for (const row of this.#rows.values()) watcher.attach(row)
    if (watcher.lists && this.#counts !== null) watcher.tellCounts(countsJson(this.#counts))
    this.#heartbeat ??= setInterval(() => this.#beat(), this.#options.heartbeatMs).unref()
    if (this.#unsubscribe === null) {
      this.#unsubscribe = () => {}
      void this.#subscribe()
    }
    this.#soon(true)
    return watcher
  }

  close(): void {
    this.#closed = true
    for (const watcher of [...this.#watchers]) watcher.close()
  }

  async #subscribe(): Promise<void> {
    try {
      const { hints } = await this.#source()
      // All have left meanwhile (F5).
      if (this.#watchers.size === 0) return
      this.#unsubscribe?.()
      this.#unsubscribe = hints.subscribe({ hint: (hint) => this.#hint(hint), connected: () => this.#soon(true) })
    } catch (error) {
      this.#unsubscribe = null
      this.#options.onError(error)
    }
  }

  #left(watcher: Watcher): void {
    this.#watchers.delete(watcher)
    const watched = new Set([...this.#watchers].flatMap(({ runIds }) => runIds))
    for (const runId of this.#rows.keys()) if (!watched.has(runId)) this.#rows.delete(runId)
    if (![...this.#watchers].some(({ lists }) => lists)) this.#forgetLists()
    if (this.#watchers.size > 0) return
    this.#unsubscribe?.()
    this.#unsubscribe = null
    if (this.#heartbeat !== null) clearInterval(this.#heartbeat)
    this.#heartbeat = null
    this.#stopTimer()
  }

  #forgetLists(): void {
    this.#listed.clear()
    this.#hinted.clear()
    this.#counts = null
    this.#sinceCounts = countEvery
  }

  #beat(): void {
    for (const watcher of [...this.#watchers]) watcher.beat()
  }

  #hint(hint: Hint): void {
    const lists = [...this.#watchers].some((watcher) => watcher.lists)
    const runIds = 'runIds' in hint ? hint.runIds : []
    if (lists) for (const runId of runIds) if (this.#hinted.size < maxHinted) this.#hinted.add(runId)
    const concernsLists = lists && (runIds.length > 0 || hint.kind === 'ready' || hint.kind === 'workers')
    const concernsRuns = () => {
      const named = new Set(runIds)
      return [...this.#watchers].some((watcher) => watcher.runIds.some((runId) => named.has(runId)))
    }
    if (concernsLists || (runIds.length > 0 && concernsRuns())) this.#soon(true)
  }

  // ── when ───────────────────────────────────────────────────────────────────────────────────────

  /** Sets the next reading: at once as far as F4 lets it, or in a second. */
  #soon(urgent: boolean): void {
    if (this.#watchers.size === 0 || this.#closed) return
    if (this.#reading) {
      this.#again ||= urgent
      return
    }
    const now = performance.now()
    const at = Math.max(this.#freeAt, urgent ? now : now + pollMs)
    if (at >= this.#timerAt) return
    this.#stopTimer()
    this.#timerAt = at
    this.#timer = setTimeout(() => void this.#read(), Math.max(0, at - now)).unref()
  }

  #stopTimer(): void {
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#timer = null
    this.#timerAt = Number.POSITIVE_INFINITY
  }

  async #read(): Promise<void> {
    this.#stopTimer()
    this.#reading = true
    this.#again = false
    const begun = performance.now()
    let statements = 0
    const counted = <T>(answer: Promise<T>): Promise<T> => {
      statements++
      return answer
    }
    let more = false
    try {
      const { store } = await this.#source()
      const changed = await this.#readRows(store, counted)
      more = await this.#readEvents(store, counted)
      // Behind the events: whoever hears that a run has closed has heard how.
      for (const watcher of this.#watchers) for (const row of this.#rows.values()) watcher.tellRun(row)
      await this.#readCounts(store, changed, counted)
      this.#freeAt = begun + statements * perStatementMs
    } catch (error) {
      this.#freeAt = performance.now() + restMs
      if (!this.#closed) this.#options.onError(error)
    }
    this.#reading = false
    if (more || this.#again) this.#soon(true)
    else if (this.#mayChange()) this.#soon(false)
  }

  /** Something is watched that changes without a hint (F3). */
  #mayChange(): boolean {
    return [...this.#watchers].some(
      ({ lists, runIds }) => lists || runIds.some((runId) => (this.#rows.get(runId)?.closedAt ?? null) === null),
    )
  }

  // ── what ───────────────────────────────────────────────────────────────────────────────────────

  /** True: a list has changed. */
  async #readRows(store: Store, counted: <T>(answer: Promise<T>) => Promise<T>): Promise<boolean> {
    const watchers = [...this.#watchers]
    const lists = watchers.some((watcher) => watcher.lists)
    const watched = new Set(watchers.flatMap(({ runIds }) => runIds))
    const open = [...watched].filter((runId) => (this.#rows.get(runId)?.closedAt ?? null) === null)
    const hinted = [...this.#hinted]
    this.#hinted.clear()
    if (open.length === 0 && !lists) return false
    const rows = await counted(store.rows([...new Set([...open, ...hinted])], lists ? newest : 0))
    const found = new Map(rows.map((row) => [row.runId, row]))
    for (const runId of open) {
      const row = found.get(runId)
      for (const watcher of this.#watchers) {
        if (row === undefined) watcher.missing(runId)
        else watcher.attach(row)
      }
      if (row !== undefined) this.#rows.set(runId, row)
    }
    return lists && this.#tellLists(rows)
  }

  #tellLists(rows: readonly RunRow[]): boolean {
    const first = this.#listed.size === 0
    const changed = rows.filter((row) => {
      const { historyLength: _, ...told } = describeRow(row)
      const text = JSON.stringify(told)
      if (this.#listed.get(row.runId) === text) return false
      // Moved to the end, so that the first is the one that was longest as it is.
      this.#listed.delete(row.runId)
      this.#listed.set(row.runId, text)
      return true
    })
    for (const runId of this.#listed.keys()) {
      if (this.#listed.size <= maxKnown) break
      this.#listed.delete(runId)
    }
    // Whoever has just come reads the lists by itself.
    if (first) return true
    if (changed.length > 0) for (const watcher of this.#watchers) watcher.tellLists(changed)
    return changed.length > 0
  }

  /** True: there is more. */
  async #readEvents(store: Store, counted: <T>(answer: Promise<T>) => Promise<T>): Promise<boolean> {
    const wanted = new Map<string, Place>()
    for (const watcher of this.#watchers) {
      const maxPayload = watcher.brief ? maxBriefBytes : undefined
      for (const place of watcher.behind(this.#rows)) {
        const key = `${place.runId}:${place.after}:${watcher.brief}`
        if (wanted.size < maxPlaces) wanted.set(key, { ...place, maxPayload })
      }
    }
    const places = [...wanted.values()]
    if (places.length === 0) return false
    const limit = Math.max(10, Math.floor(maxEvents / places.length))
    const batches = await counted(store.eventsAfter(places, limit))
    for (const [i, events] of batches.entries()) {
      const { runId, maxPayload } = places[i]!
      const brief = maxPayload !== undefined
      const told = events.map((event) => ({ seq: event.seq, text: eventText(runId, event, brief) }))
      for (const watcher of this.#watchers) if (watcher.brief === brief) watcher.tellEvents(runId, told)
    }
    return [...this.#watchers].some((watcher) => watcher.behind(this.#rows).length > 0)
  }

  async #readCounts(store: Store, changed: boolean, counted: <T>(answer: Promise<T>) => Promise<T>): Promise<void> {
    if (![...this.#watchers].some(({ lists }) => lists)) return
    if (!changed && ++this.#sinceCounts < countEvery) return
    this.#sinceCounts = 0
    this.#counts = await counted(store.countRuns())
    const text = countsJson(this.#counts)
    for (const watcher of this.#watchers) if (watcher.lists) watcher.tellCounts(text)
  }
}

/** Counts as they are told: at most so many, and which of them are more than that. */
export function boundedCounts(counts: Record<RunStatus, number>) {
  const entries = Object.entries(counts)
  return {
    counts: Object.fromEntries(entries.map(([status, n]) => [status, Math.min(n, maxCounted)])),
    more: entries.filter(([, n]) => n > maxCounted).map(([status]) => status),
    limit: maxCounted,
  }
}

function countsJson(counts: Record<RunStatus, number>): string {
  return JSON.stringify(boundedCounts(counts))
}

/** A payload that is too long for everybody's line is read from the history by whoever wants it. */
function eventText(runId: string, event: PlacedEvent, brief: boolean): string {
  try {
    const text = JSON.stringify({ runId, event: historyJson([event], brief)[0] }, replaceUnusual)
    if (text.length <= maxEventLength) return text
    const { seq, type, op, name, at } = event
    const data = { tooLong: text.length }
    return JSON.stringify({ runId, event: { seq, type, op, name, at: new Date(at).toISOString(), data } })
  } catch (error) {
    // One that cannot be read (a codec is missing) does not keep the others back.
    const { seq, type, at } = event
    const unreadable = (error as Error).message
    return JSON.stringify({ runId, event: { seq, type, at: new Date(at).toISOString(), data: { unreadable } } })
  }
}
