/**
 * Lets the results of steps go on one at a time, so that runs pass the same places in every execution.
 *
 * K1. A result goes on, to be recorded, only when nothing else is under way in the whole environment: every body that
 *     executes has come to its effect, no event and no message is on its way, no run is ready to be taken up.
 * K2. Those that could go next are put before `choose` in an order that does not change from execution to execution.
 * K3. A run is known by how it came to be, never by its id: each execution has others.
 * K4. A body that does not end is waited for once, for `patienceMs`; then, and from then on, the others go without it.
 */
import { originals } from '../core/determinism.js'
import type { RecordedEvent } from '../core/events.js'
import type { Operation } from '../core/operation.js'
import type { RunRow, Store, WorkerLanes } from '../store/port.js'
import { attemptEnds } from '../worker/attempt-ends.js'
import type { Gate } from '../worker/host.js'
import type { Runner } from '../worker/runner.js'
import type { WorkerLoop } from '../worker/worker.js'

/**
 * Where a crash makes a difference: before a body begins; after its effect, before that is recorded; after that was
 * recorded; and, where other steps execute beside it, when the run has gone on from there and theirs are not recorded.
 */
export type CrashPoint = 'before' | 'effect' | 'commit' | 'settled'

/** An attempt of a step of a run, told alike in every execution. */
export interface Place {
  /** How the run came to be: `order`, `order/3` (a child, by its operation), `order+` (continued), `order#2`. */
  readonly run: string
  readonly workflow: string
  /** As in the graph of the run: `charge`, `charge#2`. */
  readonly step: string
  readonly op: number
  readonly attempt: number
}

export interface GateParts {
  /** Which goes next. */
  choose(places: readonly Place[]): number
  /** A place was passed. May crash the worker. */
  pass(point: CrashPoint, place: Place, runner: Runner): void
  /** A run was claimed, perhaps again. */
  took?(runner: Runner): void
}

interface Kept {
  readonly runner: Runner
  readonly operation: Operation
  readonly place: Place
  readonly goOn: () => void
}

const patienceMs = 5_000
const lookAgainMs = 5

export class OneByOne implements Gate {
  readonly #parts: GateParts
  #worker: WorkerLoop | null = null
  #store: Store | null = null
  #lanes: WorkerLanes = { queues: [], workflows: [] }
  #kept: Kept[] = []
  /** The one that goes on, if others execute beside it, until its event is committed. */
  #going: Kept | null = null
  /** Those committed, until their runs have gone on from there. */
  readonly #settling = new Map<Runner, Place>()
  readonly #runners = new Map<string, Runner[]>()
  readonly #names = new Map<string, string>()
  readonly #counts = new Map<string, number>()
  readonly #endless = new Set<string>()
  #looking = false
  /** Counts what happened: what was looked at before it is not true any more. */
  #changes = 0
  #progressAt = 0
  #wake = () => {}

  constructor(parts: GateParts) {
    this.#parts = parts
  }

  /** To be called before any run is started. */
  attach(worker: WorkerLoop, store: Store, lanes: WorkerLanes): void {
    this.#worker = worker
    this.#store = store
    this.#lanes = lanes
  }

  /** The runs that were claimed since the last call of `begin`, in the order of their first claims. */
  get runIds(): string[] {
    return [...this.#runners.keys()]
  }

  /** Another execution begins: whatever an earlier one had is over. */
  begin(): void {
    this.#kept = []
    this.#going = null
    for (const each of [this.#settling, this.#runners, this.#names, this.#counts]) each.clear()
  }

  // ── what the worker tells ──────────────────────────────────────────────────────────────────────

  took(runner: Runner): void {
    this.#runners.set(runner.runId, [...(this.#runners.get(runner.runId) ?? []), runner])
    this.#parts.took?.(runner)
    this.#changed()
  }

  before(runner: Runner, operation: Operation): void {
    this.#parts.pass('before', this.#placeOf(runner, operation), runner)
    this.#changed()
  }

  effect(runner: Runner, operation: Operation, goOn: () => void): void {
    const place = this.#placeOf(runner, operation)
    this.#parts.pass('effect', place, runner)
    if (runner.gone) return
    this.#kept.push({ runner, operation, place, goOn })
    this.#progressAt = originals.performanceNow()
    this.#changed()
    if (!this.#looking) void this.#look()
  }

  committed(runner: Runner, events: readonly RecordedEvent[]): void {
    for (const { type, op } of events) {
      if (!attemptEnds.has(type) || runner.gone) continue
      const going = this.#going
      const operation = runner.execution.operation(op!)!
      if (going?.runner === runner && going.operation === operation) {
        this.#going = null
        if (type !== 'AttemptFailed') this.#settling.set(runner, going.place)
      }
      this.#parts.pass('commit', this.#placeOf(runner, operation), runner)
    }
    this.#changed()
  }

  rest(runner: Runner): void {
    this.#changed()
    this.#goneOn(runner)
  }

  #goneOn(runner: Runner): void {
    const place = this.#settling.get(runner)
    if (place === undefined || !runner.quiet) return
    const { outcome, blockage } = runner.execution
    const ending = outcome !== null || blockage !== null
    if (!ending && this.#executing(runner).length > 0) return
    this.#settling.delete(runner)
    this.#parts.pass('settled', place, runner)
  }

  // ── letting go ─────────────────────────────────────────────────────────────────────────────────

  #changed(): void {
    this.#changes++
    this.#wake()
  }

  async #look(): Promise<void> {
    this.#looking = true
    while (this.#dropUnwanted() > 0) {
      const seen = this.#changes
      // A database that is being closed answers nothing: the environment is being disposed of.
      const still = this.#isStill() && !(await this.#moreComes().catch(() => true))
      if (still && seen === this.#changes) this.#next()
      else await this.#change()
    }
    this.#looking = false
  }

  /** How many are left that somebody wants. */
  #dropUnwanted(): number {
    const unwanted = this.#kept.filter(({ runner, operation }) => runner.gone || operation.settled)
    this.#kept = this.#kept.filter((kept) => !unwanted.includes(kept))
    for (const { goOn } of unwanted) goOn()
    return this.#kept.length
  }

  #next(): void {
    const order = [...this.#kept].sort(inOrder)
    const next = order[order.length === 1 ? 0 : this.#parts.choose(order.map(({ place }) => place))]!
    this.#kept = this.#kept.filter((kept) => kept !== next)
    const { runner, operation, goOn } = next
    const beside = [...runner.execution.pending].some((other) => other !== operation && other.kind === 'step')
    this.#going = beside ? next : null
    this.#progressAt = originals.performanceNow()
    goOn()
  }

  /** Nothing in this process is under way. */
  #isStill(): boolean {
    const runners = this.#worker?.held ?? null
    if (runners === null || !runners.every(({ quiet }) => quiet)) return false
    for (const runner of runners) this.#goneOn(runner)
    const executing = runners.flatMap((runner) =>
      this.#executing(runner).map((operation) => this.#placeOf(runner, operation)),
    )
    if (executing.length === 0) return true
    if (originals.performanceNow() - this.#progressAt < patienceMs) return false
    for (const place of executing) this.#endless.add(placeKey(place))
    return true
  }

  #executing(runner: Runner): Operation[] {
    return runner.executing.filter((operation) => !this.#endless.has(placeKey(this.#placeOf(runner, operation))))
  }

  /** The store has a run to be taken up, or a message for one that is held. */
  async #moreComes(): Promise<boolean> {
    const [store, worker] = [this.#store!, this.#worker!]
    const held = worker.held ?? []
    const [now, { rows }, inboxes] = await Promise.all([
      store.now(),
      store.list({ status: ['pending'], limit: 200 }),
      store.inbox(held.map(({ runId }) => runId)),
    ])
    const comes =
      (!worker.full && rows.some((row) => row.due !== null && row.due <= now && this.#serves(row))) ||
      held.some(({ runId, seen }) => (inboxes.get(runId)?.msgs ?? 0) > seen)
    if (comes) worker.poke()
    return comes
  }

  #serves({ queue, workflow, version }: RunRow): boolean {
    const { queues, workflows } = this.#lanes
    const hasCode = workflows.some((each) => each.name === workflow && (version === 0 || each.version === version))
    return hasCode && queues.includes(queue)
  }

  /** Something happened, or a moment has passed. */
  #change(): Promise<void> {
    return new Promise((resolve) => {
      const timer = originals.setTimeout(() => this.#wake(), lookAgainMs)
      this.#wake = () => {
        originals.clearTimeout(timer)
        this.#wake = () => {}
        resolve()
      }
    })
  }

  // ── places ─────────────────────────────────────────────────────────────────────────────────────

  #placeOf(runner: Runner, { index, name, nth, failedAttempts }: Operation): Place {
    return {
      run: this.#nameOf(runner),
      workflow: runner.definition.name,
      step: nth === 1 ? name : `${name}#${nth}`,
      op: index,
      attempt: failedAttempts + 1,
    }
  }

  /** K3. Its first turn has begun, so that it is known where it comes from. */
  #nameOf(runner: Runner): string {
    const known = this.#names.get(runner.runId)
    if (known !== undefined) return known
    const { parent, runId: before } = runner.execution.begun
    const [origin] = this.#runners.get(parent?.runId ?? before ?? '') ?? []
    const name =
      origin === undefined
        ? this.#counted(runner.definition.name)
        : parent === undefined
          ? `${this.#nameOf(origin)}+`
          : `${this.#nameOf(origin)}/${this.#opOf(runner.runId, parent.runId)}`
    this.#names.set(runner.runId, name)
    return name
  }

  #counted(workflow: string): string {
    const n = (this.#counts.get(workflow) ?? 0) + 1
    this.#counts.set(workflow, n)
    return n === 1 ? workflow : `${workflow}#${n}`
  }

  /** After a crash the next owner of the parent may not have come as far as the child, so all owners are asked. */
  #opOf(child: string, parent: string): number {
    for (const { execution } of this.#runners.get(parent) ?? []) {
      for (let op = 1; op <= execution.operationCount; op++) {
        const request = execution.operation(op)?.request
        if (request?.kind === 'child' && request.child.runId === child) return op
      }
    }
    return 0
  }
}

/** The same text for the same place. */
export function placeKey({ run, op, attempt }: Place): string {
  return `${run} ${op} ${attempt}`
}

/**
 * By runs; of one run the last asked for first. An engine that took the order of asking for that of completion would
 * be right by chance if the first went first.
 */
function inOrder({ place: a }: Kept, { place: b }: Kept): number {
  if (a.run !== b.run) return a.run < b.run ? -1 : 1
  return b.op - a.op
}
