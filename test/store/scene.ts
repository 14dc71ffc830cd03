/** What the conformance suite is played with: a store of the test's own, workers that do what they are told, requests. */
import { expect } from 'vitest'
import type { Hint } from '../../src/core/hint.js'
import { newId } from '../../src/core/ids.js'
import type {
  AppendAnswer,
  AppendEvent,
  Beat,
  ChangeAnswer,
  ChildStart,
  ClaimedRun,
  Lease,
  MessageRequest,
  RowChange,
  StartRequest,
  Store,
  WorkerLanes,
} from '../../src/store/port.js'
import type { TestTime } from '../../src/store/test-time.js'

/** An empty store, whose clock the test moves. */
export interface OpenStore {
  readonly store: Store
  readonly time: TestTime
  /** Closes it and deletes what is in it. */
  remove(): Promise<void>
}

export const lanes: WorkerLanes = { queues: ['default'], workflows: [{ name: 'order', version: 1 }] }

export function request(over: Partial<StartRequest> & { readonly runId: string }): StartRequest {
  return {
    id: over.runId,
    workflow: 'order',
    version: 1,
    queue: 'default',
    priority: 0,
    startAt: null,
    delayMs: 0,
    timeoutMs: null,
    payload: '"input"',
    facts: null,
    attributes: null,
    ifClosed: 'existing',
    debounce: null,
    ...over,
  }
}

export function signal(run: string, name: string, over: Partial<MessageRequest> = {}): MessageRequest {
  return { run, kind: 'signal', name, payload: null, messageId: null, ...over }
}

type Draft = Partial<Omit<AppendEvent, 'runId' | 'claim' | 'seq' | 'firstSeq'>>

export const step: Draft = { type: 'StepCompleted', op: 1, name: 'one', payload: '1' }

export function child(over: Partial<ChildStart> & { readonly runId: string }): Draft {
  const start: ChildStart = {
    id: over.runId,
    workflow: 'order',
    version: 1,
    queue: 'default',
    priority: 0,
    timeoutMs: null,
    payload: '"for the child"',
    parentClosePolicy: 'cancel',
    facts: '{"seed":"child"}',
    attributes: null,
    conflict: '{"name":"IdConflictError"}',
    ...over,
  }
  return { type: 'ChildStarted', op: 1, name: 'order', facts: JSON.stringify({ runId: start.runId }), child: start }
}

type Change = Partial<Omit<RowChange, 'runId' | 'claim'>> & Pick<RowChange, 'status'>
type Closed = 'completed' | 'failed' | 'cancelled' | 'terminated' | 'continued'

const closingEvent = {
  completed: 'RunCompleted',
  failed: 'RunFailed',
  cancelled: 'RunCancelled',
  terminated: 'RunTerminated',
  continued: 'RunContinued',
} as const

/** A worker that does what the test tells it. */
export class Hand {
  readonly id: string
  readonly beats: Beat[] = []
  readonly dead: string[] = []
  fenced = false
  readonly #store: Store
  readonly #lanes: WorkerLanes
  readonly #lease: Lease
  readonly #changed = new Set<() => void>()
  #registered = false
  #failure: string | null = null

  constructor(store: Store, id: string, of: WorkerLanes, leaseMs: number, beatMs: number) {
    this.#store = store
    this.id = id
    this.#lanes = of
    const told = (what: () => void) => {
      what()
      for (const changed of this.#changed) changed()
    }
    this.#lease = store.holdLease({ id, pid: 1, host: 'here', ...of }, leaseMs, beatMs, {
      registered: () => told(() => (this.#registered = true)),
      beat: (beat) => told(() => this.beats.push(beat)),
      fenced: () => told(() => (this.fenced = true)),
      dead: (other) => told(() => this.dead.push(other)),
      failed: (message) => told(() => (this.#failure = message)),
    })
  }

  async registered(): Promise<this> {
    await this.until(() => this.#registered || this.#failure !== null)
    if (!this.#registered) throw new Error(`worker ${this.id} cannot register: ${this.#failure}`)
    return this
  }

  /** Waits for news of the lease that make `so` true. */
  until(so: () => boolean): Promise<void> {
    return new Promise((resolve) => {
      const look = () => {
        if (!so()) return
        this.#changed.delete(look)
        resolve()
      }
      this.#changed.add(look)
      look()
    })
  }

  /** What the store says to a beat that is sent now. */
  async beat(so: (beat: Beat) => boolean = () => true): Promise<Beat> {
    const before = this.beats.length
    const isThere = () => this.beats.slice(before).some(so)
    while (!isThere()) {
      const count = this.beats.length
      this.#lease.poke()
      await this.until(() => this.beats.length > count)
    }
    return this.beats.slice(before).find(so)!
  }

  /** Goes without a word: its lease is held no more, and it is registered still. */
  async vanish(): Promise<void> {
    await this.#lease.stop()
  }

  claim(limit = 10, suspects = false): Promise<ClaimedRun[]> {
    return this.#store.claim(this.id, this.#lanes, limit, { suspects, aged: false })
  }

  /** Of lanes that have limits: the run ids, in order. */
  async inLine(limit = 10, { suspects = false, aged = false } = {}): Promise<string[]> {
    return (await this.claimInLine(limit, { suspects, aged })).map(({ runId }) => runId)
  }

  async claimInLine(limit = 10, { suspects = false, aged = false } = {}): Promise<ClaimedRun[]> {
    const { runs, nextAt } = await this.#store.claimInLine(this.id, this.#lanes, limit, { suspects, aged })
    this.nextAt = nextAt
    return runs
  }

  /** What the last claim of lanes with limits said of when more may begin. */
  nextAt: number | null = null

  /** The one run that is there to be claimed. */
  async claimOne(suspects = false): Promise<ClaimedRun> {
    const claimed = await this.claim(10, suspects)
    expect(claimed).toHaveLength(1)
    return claimed[0]!
  }

  /** Events behind those that are there, or from a given number on. */
  async append(
    run: Pick<ClaimedRun, 'runId' | 'claim'>,
    drafts: readonly Draft[],
    { batch = newId('batch'), firstSeq }: { batch?: string; firstSeq?: number } = {},
  ): Promise<AppendAnswer> {
    const first = firstSeq ?? (await this.#store.history(run.runId)).length + 1
    return this.#store.append(this.id, batch, eventsFor(run, first, drafts))
  }

  change(run: Pick<ClaimedRun, 'runId' | 'claim'>, change: Change): Promise<ChangeAnswer> {
    return this.#store.change(this.id, [changeFor(run, change)])
  }

  park(run: Pick<ClaimedRun, 'runId' | 'claim'>, over: Partial<Change> = {}): Promise<ChangeAnswer> {
    return this.change(run, { status: 'waiting', seen: 0, waits: '[]', ...over })
  }

  /** Closes the run behind the events that are there. */
  async close(
    run: Pick<ClaimedRun, 'runId' | 'claim'>,
    status: Closed,
    over: Partial<Change> & { payload?: string | null; facts?: string | null } = {},
  ): Promise<ChangeAnswer> {
    const { payload = '"done"', facts = null, ...change } = over
    const seq = (await this.#store.history(run.runId)).length + 1
    return this.change(run, { status, terminal: { seq, type: closingEvent[status], payload, facts }, ...change })
  }
}

export function eventsFor(
  { runId, claim }: Pick<ClaimedRun, 'runId' | 'claim'>,
  firstSeq: number,
  drafts: readonly Draft[],
): AppendEvent[] {
  return drafts.map((draft, i) => ({
    ...{ runId, claim, seq: firstSeq + i, firstSeq },
    ...{ type: 'StepCompleted', op: null, name: null, payload: null, facts: null },
    ...{ inboxN: null, child: null, answers: null },
    ...draft,
  }))
}

export function changeFor({ runId, claim }: Pick<ClaimedRun, 'runId' | 'claim'>, change: Change): RowChange {
  return {
    ...{ runId, claim, seen: null, due: null, waits: null, problem: null, error: null, terminal: null },
    ...{ hasParent: false, hasChildren: false, successor: null },
    ...change,
  }
}

/** One test's store, and who is there. The clock stands still. */
export class Scene implements AsyncDisposable {
  readonly store: Store
  readonly time: TestTime
  readonly #opened: OpenStore
  readonly #hands: Hand[] = []

  static async open(open: () => Promise<OpenStore>): Promise<Scene> {
    const opened = await open()
    await opened.time.stop(null)
    return new Scene(opened)
  }

  private constructor(opened: OpenStore) {
    this.#opened = opened
    this.store = opened.store
    this.time = opened.time
  }

  /** A worker that is registered. */
  async worker({
    id = newId('worker'),
    of = lanes,
    leaseMs = 60_000,
    beatMs = 60_000,
  }: {
    id?: string
    of?: WorkerLanes
    leaseMs?: number
    beatMs?: number
  } = {}): Promise<Hand> {
    const hand = new Hand(this.store, id, of, leaseMs, beatMs)
    this.#hands.push(hand)
    return hand.registered()
  }

  /** Starts a run that was not there. */
  async start(over: Partial<StartRequest> & { readonly runId: string }): Promise<void> {
    expect(await this.store.start([request(over)])).toEqual([null])
  }

  /** A run that the worker holds. */
  async held(hand: Hand, over: Partial<StartRequest> & { readonly runId: string }): Promise<ClaimedRun> {
    await this.start(over)
    return hand.claimOne()
  }

  async post(...messages: MessageRequest[]): Promise<{ runId: string | null; closed: string | null }[]> {
    return Promise.all(await this.store.post(messages))
  }

  async pass(ms: number): Promise<number> {
    return this.time.stop((await this.store.now()) + ms)
  }

  async row(ref: string) {
    const row = await this.store.find(ref)
    expect(row, `run ${ref}`).not.toBeNull()
    return row!
  }

  /** Types of the events of a run. */
  async types(runId: string): Promise<string[]> {
    return (await this.store.history(runId)).map(({ type }) => type)
  }

  async inbox(runId: string) {
    return (await this.store.inbox([runId])).get(runId)?.messages ?? []
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#hands.map((hand) => hand.vanish()))
    await this.#opened.remove()
  }
}

/** Hints as they come. */
export class Ear {
  readonly heard: Hint[] = []
  connected = 0
  readonly #waiting = new Set<() => void>()
  #end: () => Promise<void> = async () => {}

  static async on(store: Store): Promise<Ear> {
    const ear = new Ear()
    ear.#end = await store.subscribe({
      hint: (hint) => {
        ear.heard.push(hint)
        for (const look of ear.#waiting) look()
      },
      connected: () => {
        ear.connected++
      },
    })
    return ear
  }

  /** The first hint of a kind that names this. */
  hears(kind: Hint['kind'], name?: string): Promise<Hint> {
    const find = () =>
      this.heard.find(
        (hint) => hint.kind === kind && (name === undefined || JSON.stringify(hint).includes(`"${name}"`)),
      )
    return new Promise((resolve) => {
      const look = () => {
        const found = find()
        if (found === undefined) return
        this.#waiting.delete(look)
        resolve(found)
      }
      this.#waiting.add(look)
      look()
    })
  }

  end(): Promise<void> {
    return this.#end()
  }
}
