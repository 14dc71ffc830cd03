/**
 * A run with its history: read in pages, then followed as it grows.
 *
 * D1. Events stand in order without holes: what comes over the line is taken when it is the next one; if one is missing,
 *     the rest is read.
 * D2. However fast events come, what is drawn changes once a frame, and takes no more than a fifth of the time.
 */
import { useEffect, useMemo, useRef, useState, useSyncExternalStore } from 'react'
import { isClosed } from '../../../../core/statuses.ts'
import { get, runPath } from '../../../lib/api.ts'
import { useFeed } from '../../../lib/feed.ts'
import type { EventJson, HistoryPage, RunSummary, Wait } from '../../../lib/types.ts'
import { type Known, known } from './events.ts'
import { modelOf, type RunModel } from './model.ts'

/** As the server tells it; the input, when it is long, by its length. */
export type Summary = RunSummary & { readonly input?: unknown }

export interface RunData {
  readonly summary: Summary
  /** Grows in place; `count` of them are what this is about. */
  readonly events: readonly Known[]
  readonly count: number
  /** What the run waits for and no event mentions. */
  readonly waits: readonly Wait[]
}

export interface Loading {
  /** Null: not even the first page of it is here. */
  readonly data: RunData | null
  readonly complete: boolean
  /** Events that are here, and that there are. */
  readonly loaded: number
  readonly length: number
  readonly error: unknown
}

const pageSize = 1_000

class RunStore {
  readonly #ref: string
  readonly #told = new Set<() => void>()
  readonly #events: Known[] = []
  #summary: Summary | null = null
  #waits: readonly Wait[] = []
  #state: Loading = { data: null, complete: false, loaded: 0, length: 0, error: null }
  #frame = 0
  #notBefore = 0
  #reading = false
  #ended = new AbortController()

  constructor(ref: string) {
    this.#ref = ref
  }

  readonly subscribe = (told: () => void): (() => void) => {
    this.#told.add(told)
    return () => this.#told.delete(told)
  }
  readonly state = (): Loading => this.#state

  get last(): number {
    return this.#events.length
  }

  /** How long it took to draw what it last told (D2). */
  drawn(ms: number): void {
    this.#notBefore = performance.now() + 4 * ms
  }

  async load(): Promise<void> {
    this.#ended = new AbortController()
    const { signal } = this.#ended
    try {
      const { run } = await get<{ run: Summary }>(runPath(this.#ref, '/summary'), {}, signal)
      this.#take(run)
      this.#tell({ length: run.historyLength })
      await this.#read()
      this.#tell({ complete: true, error: null })
    } catch (error) {
      if (!signal.aborted) this.#tell({ error })
    }
  }

  end(): void {
    this.#ended.abort()
    cancelAnimationFrame(this.#frame)
    this.#frame = 0
  }

  async #read(): Promise<void> {
    if (this.#reading || this.#summary === null) return
    this.#reading = true
    try {
      for (let more = true; more; ) {
        const query = { after: this.last, limit: pageSize, brief: true }
        const { runId } = this.#summary
        const page = await get<HistoryPage>(runPath(runId, '/history'), query, this.#ended.signal)
        for (const event of page.events) this.#add(event)
        more = page.next !== undefined
        if (more) this.#tell({ loaded: this.last, length: page.length })
      }
    } finally {
      this.#reading = false
    }
    this.#soon()
  }

  readonly event = (event: EventJson): void => {
    if (event.seq > this.last + 1) {
      void this.#read().catch((error) => this.#tell({ error }))
      return
    }
    if (this.#add(event)) this.#soon()
  }

  readonly row = (run: unknown): void => {
    this.#take({ ...this.#summary, ...(run as Summary) })
    this.#soon()
  }

  #take(run: Summary): void {
    this.#summary = run
    // A worker that takes the run up empties its list; what it waited for stands until events or a new list say more.
    if (run.waits.length > 0 || isClosed(run.status) || run.status === 'waiting') this.#waits = run.waits
  }

  #add(event: EventJson): boolean {
    if (event.seq !== this.last + 1) return false
    this.#events.push(known(event))
    return true
  }

  #soon(): void {
    if (this.#frame !== 0) return
    const frame = () => {
      if (performance.now() < this.#notBefore) {
        this.#frame = requestAnimationFrame(frame)
        return
      }
      this.#frame = 0
      this.#tell({})
    }
    this.#frame = requestAnimationFrame(frame)
  }

  #tell(change: Partial<Loading>): void {
    const { last } = this
    const summary = this.#summary
    this.#state = {
      ...this.#state,
      loaded: last,
      length: Math.max(last, summary?.historyLength ?? 0),
      ...change,
      data: summary === null ? null : { summary, events: this.#events, count: last, waits: this.#waits },
    }
    for (const told of this.#told) told()
  }
}

export interface Run extends Loading {
  /** Null until all of the history is here. */
  readonly model: RunModel | null
}

/** A run, by its id (the latest of it) or run id, as it is and becomes. */
export function useRun(ref: string): Run {
  const [store] = useState(() => new RunStore(ref))
  useEffect(() => {
    void store.load()
    return () => store.end()
  }, [store])
  const state = useSyncExternalStore(store.subscribe, store.state)
  const { data, complete } = state
  const runId = data?.summary.runId
  useFeed(complete && runId !== undefined ? `run:${runId}` : null, {
    run: { runId: runId ?? '', after: () => store.last },
    onHistory: store.event,
    onRun: store.row,
  })
  const before = useRef<{ readonly model: RunModel; readonly text: string } | null>(null)
  const model = useMemo(() => {
    if (!complete || data === null) return null
    const { events, count, waits, summary } = data
    // A row that has changed in what no picture shows makes no new one.
    const text = JSON.stringify([count, summary.status, waits])
    if (before.current?.text === text) return before.current.model
    const begun = performance.now()
    const facts = { events: events.slice(0, count), waits, status: summary.status }
    const made = modelOf(facts, before.current?.model ?? null)
    store.drawn(performance.now() - begun)
    before.current = { model: made, text }
    return made
  }, [complete, data, store])
  return { ...state, model }
}
