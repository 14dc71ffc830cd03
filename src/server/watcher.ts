/** One who watches: what it has been given, and what waits for it to be taken (F1, F2 in `feed.ts`). */
import { describeRow } from '../client/describe.js'
import { summaryJson } from '../client/run-view.js'
import { InvalidInputError } from '../core/errors.js'
import type { RunRow } from '../store/port.js'

export interface WatchRequest {
  /** By run id: the seq of the last event that is known already; null: events from now on. */
  readonly runs: ReadonlyMap<string, number | null>
  readonly lists: boolean
  /** Long values are told by their length. */
  readonly brief: boolean
}

/** `event` null: a comment, to keep the line open. */
export interface Message {
  readonly event: string | null
  readonly data: string
  readonly id?: string
}

interface Told {
  readonly seq: number
  readonly text: string
}

interface Hooks {
  closed(): void
  /** All that there was for it is taken. */
  hungry(): void
}

export const maxWatched = 20
/** Messages that may wait, and their characters; then its events stay where they are until it has taken them. */
const maxWaiting = 1_000
const maxWaitingLength = 2 ** 22
const maxListed = 200

const place = /^([\w-]{1,100})(?::(\d{1,9}))?$/

/**
 * Runs to be watched, from `a,b:12` (`b` from its event 13 on) and the id of the last event that came before the line
 * was cut, which counts more.
 * @throws InvalidInputError
 */
export function watchRequest(
  runs: readonly string[],
  lastId: string | null,
  lists: boolean,
  brief = false,
): WatchRequest {
  if (runs.length > maxWatched) {
    throw new InvalidInputError(`runs: expected at most ${maxWatched}, got ${runs.length}.`)
  }
  const places = new Map<string, number | null>()
  for (const each of runs) {
    const [, runId, seq] = place.exec(each) ?? []
    if (runId === undefined) {
      throw new InvalidInputError('runs: expected run ids with commas between them, each with :seq behind it or not.')
    }
    places.set(runId, seq === undefined ? null : Number(seq))
  }
  for (const each of lastId?.split(',').slice(0, maxWatched) ?? []) {
    const [, runId, seq] = place.exec(each) ?? []
    if (runId !== undefined && seq !== undefined && places.has(runId)) places.set(runId, Number(seq))
  }
  return { runs: places, lists, brief }
}

export class Watcher {
  readonly lists: boolean
  readonly brief: boolean
  /** Called when it is over, whoever ended it. */
  onClosed: () => void = () => {}
  readonly #hooks: Hooks
  readonly #places: Map<string, number | null>
  readonly #runs = new Map<string, string>()
  #waiting: Message[] = []
  /** The newest of each, told when it takes them. */
  readonly #changedRuns = new Map<string, string>()
  readonly #changedLists = new Map<string, object>()
  #reset = false
  #counts: string | null = null
  #toldCounts: string | null = null
  #ready = false
  #beats = 0
  #wake: (() => void) | null = null
  /** It had no room when it last took something. */
  #wasFull = false
  #waitingLength = 0
  #closed = false

  constructor({ runs, lists, brief }: WatchRequest, hooks: Hooks) {
    this.#places = new Map(runs)
    this.lists = lists
    this.brief = brief
    this.#hooks = hooks
    this.#tellReady()
  }

  get runIds(): readonly string[] {
    return [...this.#places.keys()]
  }

  /** What there is for it, as soon as there is something; null: it is over. Not twice at once. */
  async next(): Promise<readonly Message[] | null> {
    if (this.#wasFull) this.#hooks.hungry()
    this.#wasFull = false
    while (!this.#closed && !this.#hasSomething()) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
    if (this.#closed) return null
    this.#beats = 0
    const messages = this.#waiting
    this.#wasFull = this.#isFull()
    this.#waiting = []
    this.#waitingLength = 0
    for (const data of this.#changedRuns.values()) messages.push({ event: 'run', data })
    this.#changedRuns.clear()
    if (this.#reset || this.#changedLists.size > 0) {
      const data = this.#reset ? { reset: true, runs: [] } : { runs: [...this.#changedLists.values()] }
      messages.push({ event: 'runs', data: JSON.stringify(data) })
    }
    this.#reset = false
    this.#changedLists.clear()
    if (this.#counts !== null) messages.push({ event: 'counts', data: this.#counts })
    this.#counts = null
    return messages
  }

  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.#waiting = []
    this.#stir()
    this.#hooks.closed()
    this.onClosed()
  }

  /** A run that it watches is there: where it stands is known from now on. */
  attach(row: RunRow): void {
    const at = this.#places.get(row.runId)
    if (at === undefined) return
    // A place behind the end is nobody's who has read this history.
    if (at === null || at > row.historyLength) this.#places.set(row.runId, row.historyLength)
    this.#tellReady()
  }

  missing(runId: string): void {
    if (!this.#places.delete(runId)) return
    this.#push({ event: 'missing', data: JSON.stringify({ runId }) })
    this.#tellReady()
  }

  /** Places from which there are events for it, as far as it has room. */
  behind(rows: ReadonlyMap<string, RunRow>): { runId: string; after: number }[] {
    if (this.#isFull()) return []
    return [...this.#places].flatMap(([runId, after]) =>
      after !== null && after < (rows.get(runId)?.historyLength ?? 0) ? [{ runId, after }] : [],
    )
  }

  /** Events in order, without holes; those that it has already are passed over. */
  tellEvents(runId: string, events: readonly Told[]): void {
    for (const { seq, text } of events) {
      if (this.#places.get(runId) !== seq - 1 || this.#isFull()) continue
      this.#places.set(runId, seq)
      this.#push({ event: 'history', data: text, id: this.#id() })
    }
  }

  tellRun(row: RunRow): void {
    if (!this.#places.has(row.runId)) return
    const { historyLength: _, ...signed } = row
    const signature = JSON.stringify(signed)
    if (this.#runs.get(row.runId) === signature) return
    this.#runs.set(row.runId, signature)
    this.#changedRuns.set(row.runId, JSON.stringify(summaryJson(row)))
    this.#stir()
  }

  tellLists(rows: readonly RunRow[]): void {
    if (!this.lists) return
    for (const row of rows) this.#changedLists.set(row.runId, describeRow(row))
    // More than a page has changed since it last took something: it reads the lists anew.
    if (this.#changedLists.size > maxListed) {
      this.#changedLists.clear()
      this.#reset = true
    }
    this.#stir()
  }

  tellCounts(text: string): void {
    if (text === this.#toldCounts) return
    this.#toldCounts = text
    this.#counts = text
    this.#stir()
  }

  /** Keeps the line open. One who has taken nothing since the last two is gone. */
  beat(): void {
    if (++this.#beats > 2) this.close()
    else this.#push({ event: null, data: 'heartbeat' })
  }

  /** Once it is known where all its runs stand: from here on a cut line is taken up again (F2). */
  #tellReady(): void {
    if (this.#ready || [...this.#places.values()].includes(null)) return
    this.#ready = true
    const id = this.#id()
    this.#push({ event: 'ready', data: '{}', ...(id === '' ? {} : { id }) })
  }

  #id(): string {
    return [...this.#places].map(([runId, seq]) => `${runId}:${seq ?? 0}`).join(',')
  }

  #hasSomething(): boolean {
    const { length } = this.#waiting
    return (
      length > 0 || this.#changedRuns.size > 0 || this.#changedLists.size > 0 || this.#reset || this.#counts !== null
    )
  }

  #isFull(): boolean {
    return this.#waiting.length >= maxWaiting || this.#waitingLength >= maxWaitingLength
  }

  #push(message: Message): void {
    this.#waiting.push(message)
    this.#waitingLength += message.data.length
    this.#stir()
  }

  #stir(): void {
    this.#wake?.()
    this.#wake = null
  }
}
