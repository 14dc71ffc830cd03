/**
 * Group commit of a worker's events.
 *
 * L1. One flush is under way at a time, so a run has at most one append that is not acknowledged.
 * L2. Nothing waits on a timer: while no flush is under way an event goes at once, with what else came in the same
 *     moment; while one is, the next grows.
 * L3. Marks (a step was scheduled, a timer was started) are never awaited. One that is still young when its step ends
 *     is not needed any more; an older one rides along with the next flush, or starts one.
 * L4. Events of a run get their seq when they are sent, in the order in which they were queued, marks before them.
 */
import type { EventDraft, EventType, RecordedEvent } from '../core/events.js'
import type { AppendEvent, ChildStart, Store } from '../store/port.js'

/** An event on its way, with what its run wants to remember about it. */
export interface QueuedEvent extends EventDraft {
  /** The inbox message that it takes in. */
  readonly inboxN?: number
  /** The run that it starts. */
  readonly child?: ChildStart
}

interface Mark {
  readonly draft: EventDraft
  readonly since: number
}

const markAgeMs = 25

/** What the code has put on record stays, also when it was the last that it did. */
export function isRecord({ type }: EventDraft): boolean {
  return isAnswer(type) || type === 'AttributesSet' || type === 'PatchMarked' || type === 'StepSkipped'
}

/** An event that the sender of an update waits for. */
function isAnswer(type: EventType): boolean {
  return type === 'UpdateCompleted' || type === 'UpdateRejected'
}
const maxEvents = 2_000
const maxBytes = 8 * 1024 * 1024

/** The writing end of one run's history. */
export class RunLog {
  readonly runId: string
  readonly claim: number
  /** The seq that the next event gets. */
  nextSeq: number
  queued: QueuedEvent[] = []
  marks: Map<number, Mark> | null = null
  inFlight: RecordedEvent[] | null = null
  closed = false
  readonly onCommitted: (events: RecordedEvent[]) => void
  readonly onLost: () => void

  constructor(
    runId: string,
    claim: number,
    nextSeq: number,
    listener: { committed(events: RecordedEvent[]): void; lost(): void },
  ) {
    this.runId = runId
    this.claim = claim
    this.nextSeq = nextSeq
    this.onCommitted = (events) => listener.committed(events)
    this.onLost = () => listener.lost()
  }

  /** Nothing is queued and nothing is under way. */
  get quiet(): boolean {
    return this.inFlight === null && this.queued.length === 0
  }

  /** Forgets what was queued: it was never durable, so it never happened. */
  close(): void {
    this.closed = true
    this.queued = []
    this.marks = null
  }
}

export class Flusher {
  readonly #store: Store
  readonly #workerId: string
  readonly #onFenced: () => void
  readonly #onFailed: (error: unknown) => void
  readonly #onTime: (at: number) => void
  readonly #onStarted: (queues: string[]) => void
  #dirty = new Set<RunLog>()
  readonly #marked = new Set<RunLog>()
  #busy = false
  #scheduled = false
  #markTimer: NodeJS.Timeout | null = null
  #stopped = false
  /** Names the batches, so that one whose commit was reported as failed can be recognised. */
  #batches = 0

  constructor(
    store: Store,
    workerId: string,
    listener: {
      fenced(): void
      failed(error: unknown): void
      time(at: number): void
      /** Runs were started on these queues. */
      started(queues: string[]): void
    },
  ) {
    this.#store = store
    this.#workerId = workerId
    this.#onFenced = () => listener.fenced()
    this.#onFailed = (error) => listener.failed(error)
    this.#onTime = (at) => listener.time(at)
    this.#onStarted = (queues) => listener.started(queues)
  }

  append(log: RunLog, event: QueuedEvent): void {
    if (log.closed) return
    // What a settled operation has to say is said by the event that settles it.
    if (log.marks !== null && event.op !== null && event.type !== 'AttemptFailed') {
      const mark = log.marks.get(event.op)
      if (mark !== undefined && performance.now() - mark.since < markAgeMs) log.marks.delete(event.op)
    }
    log.queued.push(event)
    this.#dirty.add(log)
    this.#soon()
  }

  mark(log: RunLog, draft: EventDraft): void {
    if (log.closed) return
    log.marks ??= new Map()
    log.marks.set(draft.op!, { draft, since: performance.now() })
    this.#marked.add(log)
    this.#armMarks()
  }

  /** Sends the marks of a run that is about to be let go of; true if there are any. */
  flushMarks(log: RunLog): boolean {
    if (log.closed || log.marks === null || log.marks.size === 0) return false
    for (const { draft } of log.marks.values()) log.queued.push(draft)
    log.marks = null
    this.#dirty.add(log)
    this.#soon()
    return true
  }

  stop(): void {
    this.#stopped = true
    if (this.#markTimer !== null) clearTimeout(this.#markTimer)
  }

  #soon(): void {
    if (this.#busy || this.#scheduled) return
    this.#scheduled = true
    process.nextTick(() => {
      this.#scheduled = false
      if (!this.#busy) this.#flush()
    })
  }

  #armMarks(): void {
    if (this.#markTimer !== null || this.#stopped) return
    this.#markTimer = setTimeout(() => {
      this.#markTimer = null
      this.#collectMarks()
      if (this.#dirty.size > 0) this.#soon()
      if (this.#marked.size > 0) this.#armMarks()
    }, markAgeMs + 5)
    this.#markTimer.unref()
  }

  /** Queues marks that are old enough (L3). */
  #collectMarks(): void {
    const oldest = performance.now() - markAgeMs
    for (const log of this.#marked) {
      if (log.marks !== null && !log.closed) {
        const due: EventDraft[] = []
        for (const [op, mark] of log.marks) {
          if (mark.since > oldest) continue
          log.marks.delete(op)
          due.push(mark.draft)
        }
        if (due.length > 0) {
          log.queued.unshift(...due)
          this.#dirty.add(log)
        }
      }
      if (log.marks === null || log.marks.size === 0 || log.closed) this.#marked.delete(log)
    }
  }

  #flush(): void {
    if (this.#stopped) return
    if (this.#marked.size > 0) this.#collectMarks()
    const batch: AppendEvent[] = []
    const logs: RunLog[] = []
    let bytes = 0
    for (const log of this.#dirty) {
      if (batch.length >= maxEvents || bytes >= maxBytes) break
      this.#dirty.delete(log)
      if (log.queued.length === 0) continue
      const firstSeq = log.nextSeq
      const inFlight: RecordedEvent[] = []
      const room = maxEvents - batch.length
      const taken = log.queued.length <= room ? log.queued : log.queued.slice(0, room)
      for (const event of taken) {
        const seq = log.nextSeq++
        const facts = event.facts === null ? null : JSON.stringify(event.facts)
        batch.push({
          runId: log.runId,
          claim: log.claim,
          seq,
          firstSeq,
          type: event.type,
          op: event.op,
          name: event.name,
          payload: event.payload,
          facts,
          inboxN: event.inboxN ?? null,
          child: event.child ?? null,
          answers: isAnswer(event.type) ? (event.facts?.id ?? null) : null,
        })
        bytes += event.payload?.length ?? 0
        inFlight.push({
          seq,
          type: event.type,
          op: event.op,
          name: event.name,
          payload: event.payload,
          facts: event.facts,
          at: 0,
        })
      }
      log.queued = taken === log.queued ? [] : log.queued.slice(room)
      if (log.queued.length > 0) this.#dirty.add(log)
      log.inFlight = inFlight
      logs.push(log)
    }
    if (batch.length === 0) return
    this.#busy = true
    this.#store.append(this.#workerId, `${this.#workerId}.${++this.#batches}`, batch).then(
      ({ at, lost, refused, fenced }) => {
        this.#busy = false
        if (fenced) {
          this.#onFenced()
          return
        }
        this.#onTime(at)
        if (refused.size > 0) refuse(batch, logs, refused)
        for (const log of logs) {
          const events = log.inFlight!
          log.inFlight = null
          if (lost.has(log.runId)) {
            log.close()
            log.onLost()
            continue
          }
          for (const event of events) (event as { at: number }).at = at
          log.onCommitted(events)
        }
        const queues = new Set(batch.flatMap(({ child }) => (child === null ? [] : [child.queue])))
        if (queues.size > 0) this.#onStarted([...queues])
        if (this.#dirty.size > 0) this.#flush()
      },
      (error) => {
        this.#busy = false
        this.#onFailed(error)
      },
    )
  }
}

/** What became of the events of children that were not started. */
function refuse(batch: readonly AppendEvent[], logs: readonly RunLog[], refused: ReadonlySet<string>): void {
  for (const { runId, seq, child } of batch) {
    if (child === null || !refused.has(child.runId)) continue
    const event = logs.find((log) => log.runId === runId)?.inFlight?.find((each) => each.seq === seq)
    Object.assign(event ?? {}, { type: 'ChildFailed', payload: child.conflict })
  }
}
