import type { StandardSchemaV1 as Schema } from '@standard-schema/spec'
import { operationOf } from './causes.js'
import type { EventFacts } from './events.js'
import type { Frontier } from './frontier.js'
import { resolveRetry } from './retry.js'
import type { CancelScope } from './scope.js'
import { type ResolvedStep, resolveStep } from './step.js'
import type { AnyWorkflow, Attributes, ChildOptions, StartOptions, StepContext, Tx } from './types.js'

/** What an operation asks for. The runner performs it; the core only waits for its events. */
export type OperationRequest =
  | { readonly kind: 'step'; readonly step: ResolvedStep; readonly does?: EngineWork }
  | { readonly kind: 'timer'; readonly dueAt: number; readonly callback?: () => void }
  | { readonly kind: 'signal'; readonly dueAt: number | null; readonly fallback?: { readonly value: unknown } }
  /** A task that will not run: nothing is performed, `StepSkipped` with the reason is recorded, which settles it. */
  | { readonly kind: 'skip'; readonly reason: string }
  | { readonly kind: 'child'; readonly child: ChildRequest }

/** Steps whose body the engine brings along, in place of the user's. */
export type EngineWork =
  | { readonly what: 'transaction'; readonly fn: (tx: Tx, step: StepContext) => Promise<unknown> }
  | {
      readonly what: 'signal'
      readonly to: string
      readonly name: string
      readonly payload: string | null
      readonly messageId: string | null
    }
  | {
      readonly what: 'signalWithStart'
      readonly workflow: AnyWorkflow | string
      readonly input: unknown
      readonly options: StartOptions & { readonly id: string }
      readonly name: string
      readonly payload: string | null
      readonly messageId: string | null
    }
  | { readonly what: 'cancel'; readonly to: string; readonly reason: string | null }

/** A run that is to be started by this one. */
export interface ChildRequest {
  /** Follows from the parent's run id and the operation: starting it twice is starting it once. */
  readonly runId: string
  readonly id: string
  readonly workflow: string
  readonly version: number | null
  readonly queue: string
  readonly priority: number
  readonly timeoutMs: number | null
  readonly payload: string | null
  readonly attributes: Attributes | null
  readonly parentClosePolicy: NonNullable<ChildOptions['parentClosePolicy']>
  readonly cancellation: NonNullable<ChildOptions['cancellation']>
  /** Somebody wants to know when it has been started. */
  readonly staged: boolean
  /** What its input is checked against when it is started, and never again. */
  readonly schema: Schema | undefined
}

export type OperationKind = OperationRequest['kind']

const settledStep: OperationRequest = {
  kind: 'step',
  step: { ...resolveStep('settled', () => undefined, undefined, resolveRetry(undefined, '')) },
}

/** Who is told that some code began to wait for an operation. */
export interface Asker {
  awaits(operation: Operation): void
  awaitsNoMore(operation: Operation): void
}

/** Something that the function asked for, and waits for until an event settles it. */
export class Operation {
  /** Its place in the order of asking, from 1. */
  readonly index: number
  readonly name: string
  /** Which one of its name it is, from 1. */
  readonly nth: number
  request: OperationRequest
  readonly causes: Frontier
  /** `file:line` of the code that asked. */
  readonly where: string | undefined
  /** When it was asked for, ms since the epoch by the database's clock. */
  readonly askedAt: number
  readonly promise: Promise<any>
  settled = false
  /** Attempts of a step that have failed. */
  failedAttempts = 0
  /** When the next attempt of a step may begin; null: at once. */
  nextAttemptAt: number | null = null
  /** Its `StepScheduled`, `TimerStarted` or `ChildStarted` is in the history. */
  announced = false
  /** What it is cancelled with. */
  readonly scope: CancelScope
  /** A child: settles when it has been started. */
  readonly started: Promise<any> | null
  /** A child was asked to cancel itself: if it does, that was this run's own wish. */
  cancelAsked = false
  #start: (value: unknown) => void = ignore
  #resolve!: (value: unknown) => void
  #reject!: (reason: unknown) => void
  #awaited = false
  readonly #asker: Asker

  constructor(
    index: number,
    name: string,
    request: OperationRequest,
    origin: { nth: number; causes: Frontier; where: string | undefined; askedAt: number; scope: CancelScope },
    asker: Asker,
  ) {
    this.index = index
    this.name = name
    this.request = request
    this.nth = origin.nth
    this.causes = origin.causes
    this.where = origin.where
    this.askedAt = origin.askedAt
    this.scope = origin.scope
    this.#asker = asker
    this.promise = new Promise((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
    })
    ;(this.promise as any)[operationOf] = this
    if (request.kind === 'child' && request.child.staged) {
      this.started = new Promise((resolve) => {
        this.#start = resolve
      })
      ;(this.started as any)[operationOf] = this
      // Whoever waits for the start hears of a failure by it; the result may have nobody who waits.
      this.promise.catch(ignore)
    } else {
      this.started = null
    }
  }

  /** Resolves `started`. Whoever waited for that does not wait for the result. */
  start(value: unknown): void {
    if (this.#awaited) {
      this.#awaited = false
      this.#asker.awaitsNoMore(this)
    }
    this.#start(value)
  }

  /** Set by the promise hooks when some code goes to wait for this operation. */
  set awaited(_: true) {
    if (this.#awaited || this.settled) return
    this.#awaited = true
    this.#asker.awaits(this)
  }
  get awaited(): boolean {
    return this.#awaited
  }

  /** A child that is to be cancelled with its scope, and was not asked to yet. */
  get unasked(): boolean {
    return this.request.kind === 'child' && this.request.child.cancellation !== 'abandon' && !this.cancelAsked
  }

  get kind(): OperationKind {
    return this.request.kind
  }

  /** The child that its start names: a fork's may be its origin's, which the code here would have given another run id. */
  adopt(facts: EventFacts | null): void {
    const { id, runId } = facts ?? {}
    if (this.request.kind !== 'child' || id === undefined || runId === undefined) return
    if (this.request.child.runId !== runId)
      this.request = { kind: 'child', child: { ...this.request.child, id, runId } }
  }

  /** What every event of it says of its place in the run. */
  get facts(): EventFacts {
    return {
      causes: this.causes.text,
      ...(this.where === undefined ? {} : { where: this.where }),
      ...(this.nth === 1 ? {} : { nth: this.nth }),
    }
  }

  resolve(value: unknown): void {
    this.settled = true
    this.#resolve(value)
    this.#slim()
  }

  reject(reason: unknown): void {
    this.settled = true
    // Whatever waits for the start of a child that will not be started.
    if (this.started !== null) this.#start(this.promise)
    // A failure that nobody looks at is not an error of the process: it is in the history.
    this.promise.catch(ignore)
    this.#reject(reason)
    this.#slim()
  }

  /** A run remembers all its operations, so a settled one lets go of the user's functions. */
  #slim(): void {
    if (this.request.kind === 'step') this.request = settledStep
  }

  /** For people: `step "charge"`, `wait for signal "approved"`, `timer "sleep"`. */
  describe(): string {
    return describeOperation(this.kind, this.name)
  }
}

export function describeOperation(kind: OperationKind, name: string | null): string {
  return kind === 'signal' ? `wait for signal "${name}"` : `${kind} "${name}"`
}

function ignore(): void {}
