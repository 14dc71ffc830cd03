/**
 * The public types of stet: what a workflow is given, what a caller gives and gets back. Types only, no code.
 * A type test (test/surface.test-d.ts) holds them against the published surface.
 */
export type * from './alert-types.js'
export type * from './bulk-types.js'
export type * from './retention-types.js'
export type * from './schedule-types.js'

/** Milliseconds, or a number with a unit. */
export type Duration = number | `${number}${'ms' | 's' | 'm' | 'h' | 'd' | 'w'}`
export type Maybe<T> = T | undefined
declare const io: unique symbol

// ── definitions ──────────────────────────────────────────────────────────────────────────────────
export interface Workflow<I, O> {
  readonly name: string
  readonly version: number
  readonly [io]: { in: (input: I) => void; out: O }
}
export type AnyWorkflow = Workflow<any, any>
export type InputOf<W> = W extends Workflow<infer I, any> ? I : never
export type OutputOf<W> = W extends Workflow<any, infer O> ? O : never

export interface RetryPolicy {
  maxAttempts?: number // 4
  initialInterval?: Duration // '1s'
  backoffCoefficient?: number // 2
  maxInterval?: Duration // 100 × initialInterval
  jitter?: number // 0.1
  nonRetryable?: (string | (new (...args: any[]) => Error))[]
}
export interface WorkflowOptions {
  version?: number
  queue?: string
  timeout?: Duration
  retry?: RetryPolicy
  /** Higher runs first; 0 by default; first come, first served among equals. */
  priority?: number
  /** `key` is a path into the input ('customer.id'), so that starts by name and by SQL obey it. */
  concurrency?: { limit: number; key?: string }
  rateLimit?: { limit: number; period: Duration; key?: string }
  /** Turn about between the values of this path into the input, so that none of them waits for the backlog of another. */
  fairness?: { key: string }
}

/** Typed names of messages, used by the workflow and by the caller; a plain string is accepted wherever one is. */
export interface Signal<T> {
  readonly name: string
  // Under a key of its own, as the others: else one kind of message would be taken for another.
  readonly [io]: { signal: T }
}
export interface Query<A, R> {
  readonly name: string
  readonly [io]: { query: (argument: A) => R }
}
export interface Update<A, R> {
  readonly name: string
  readonly [io]: { update: (argument: A) => R }
}
/** `messageId` makes sending idempotent: the same id is accepted once by a run. `timeout`: how long to wait for the answer (queries 10 s). */
export interface MessageOptions {
  messageId?: string
  timeout?: Duration
  /** A signal of a client: inside the caller's own transaction. */
  tx?: Tx
}
export type Arg<A> = WithInput<A, MessageOptions>

// ── inside a workflow ────────────────────────────────────────────────────────────────────────────
export interface StepOptions {
  retry?: RetryPolicy | false
  timeout?: Duration // of one attempt
  totalTimeout?: Duration // of all attempts and the waits between them
  heartbeatTimeout?: Duration
  mode?: 'atLeastOnce' | 'atMostOnce'
}
export interface StepContext {
  readonly attempt: number
  readonly signal: AbortSignal
  readonly idempotencyKey: string
  readonly checkpoint: any
  saveCheckpoint(value: unknown): Promise<void>
  heartbeat(): void
  readonly log: Log
}
export interface Log {
  debug(message: string, fields?: object): void
  info(message: string, fields?: object): void
  warn(message: string, fields?: object): void
  error(message: string, fields?: object): void
}
export type StepFn<T> = (step: StepContext) => T | Promise<T>
export interface Tx {
  query(text: string, values?: any[]): Promise<{ rows: any[]; rowCount: number | null }>
}

export interface Ctx<I = any> {
  step<T>(name: string, fn: StepFn<T>): Promise<T>
  step<T>(name: string, options: StepOptions, fn: StepFn<T>): Promise<T>
  transaction<T>(name: string, fn: (tx: Tx, step: StepContext) => Promise<T>): Promise<T>
  transaction<T>(name: string, options: StepOptions, fn: (tx: Tx, step: StepContext) => Promise<T>): Promise<T>
  sleep(duration: Duration): Promise<void>
  sleepUntil(date: Date): Promise<void>
  waitForSignal<T>(signal: Signal<T> | string, options?: { timeout?: Duration }): Promise<T>
  // `D = null`: by name the message's type is given alone, and `default: null` is what is mostly meant.
  waitForSignal<T, D = null>(signal: Signal<T> | string, options: { timeout: Duration; default: D }): Promise<T | D>
  signals<T>(signal: Signal<T> | string): AsyncIterable<T>
  onSignal<T>(signal: Signal<T> | string, handler: (message: T) => void | Promise<void>): void
  onQuery<A, R>(query: Query<A, R> | string, handler: (argument: A) => R): void
  onUpdate<A, R>(update: Update<A, R> | string, handler: (argument: A) => R | Promise<R>): void
  onUpdate<A, R>(
    update: Update<A, R> | string,
    options: { validate?: (argument: A) => void },
    handler: (argument: A) => R | Promise<R>,
  ): void
  allHandlersFinished(): boolean
  condition(predicate: () => boolean): Promise<true>
  condition(predicate: () => boolean, options: { timeout: Duration }): Promise<boolean>
  child<CI, CO>(workflow: Workflow<CI, CO>, ...args: WithInput<CI, ChildOptions>): Promise<CO>
  child<W extends AnyWorkflow>(workflow: string, input: InputOf<W>, options?: ChildOptions): Promise<OutputOf<W>>
  startChild<CI, CO>(workflow: Workflow<CI, CO>, ...args: WithInput<CI, ChildOptions>): Promise<ChildHandle<CO>>
  startChild<W extends AnyWorkflow>(
    workflow: string,
    input: InputOf<W>,
    options?: ChildOptions,
  ): Promise<ChildHandle<OutputOf<W>>>
  /** Another run, to signal or cancel. */
  handle(id: string): {
    readonly id: string
    signal<T>(signal: Signal<T> | string, ...message: Arg<T>): Promise<void>
    cancel(reason?: string): Promise<void>
  }
  /**
   * Sends a signal to the open run with this id, starting one first if there is none: both or neither, once, also after a
   * crash. The run is nobody's child.
   */
  signalWithStart<CI, CO, T>(
    workflow: Workflow<CI, CO> | string,
    input: CI,
    signal: Signal<T> | string,
    message: T,
    options: StartOptions & { id: string } & MessageOptions,
  ): Promise<void>
  map<A, B>(name: string, items: Iterable<A>, fn: (item: A, index: number) => Promise<B>): Promise<B[]>
  map<A, B>(
    name: string,
    items: Iterable<A>,
    // `never`: options that were put in a variable would fit here with a policy in them, and the result be mistyped.
    options: { concurrency?: number; minSuccessful?: never; toleratedFailures?: never },
    fn: (item: A, index: number) => Promise<B>,
  ): Promise<B[]>
  map<A, B>(
    name: string,
    items: Iterable<A>,
    options: { concurrency?: number; minSuccessful?: number; toleratedFailures?: number | `${number}%` },
    fn: (item: A, index: number) => Promise<B>,
  ): Promise<MapResult<A, B>>
  continueAsNew(...args: WithInput<I, { version?: number }>): Promise<never>
  compensate(name: string, fn: StepFn<unknown>): void
  compensate(name: string, options: StepOptions, fn: StepFn<unknown>): void
  shield<T>(fn: (ctx: Ctx<I>) => Promise<T>): Promise<T>
  scope<T>(fn: (ctx: Ctx<I>) => Promise<T>): Scope<T>
  scope<T>(options: { timeout?: Duration }, fn: (ctx: Ctx<I>) => Promise<T>): Scope<T>
  patched(id: string): boolean
  deprecatePatch(id: string): void
  now(): number
  random(): number
  uuid(): string
  readonly log: Log
  readonly run: {
    readonly id: string
    readonly runId: string
    readonly workflow: string
    readonly version: number
    readonly queue: string
    readonly startedAt: Date
    readonly scheduledFor?: Date
    readonly parent?: { id: string; runId: string }
    readonly historyLength: number
    readonly continueAsNewSuggested: boolean
  }
  setAttributes(attributes: Attributes): void
}
/** The ctx of the workflow that is running, without passing it. Throws outside a workflow and inside a step. */
export interface Scope<T> extends Promise<T> {
  cancel(reason?: string): void
}
export interface MapResult<A, B> {
  values: B[]
  failures: { index: number; item: A; error: Error }[]
  notStarted: number
  reason: 'all' | 'minSuccessful' | 'toleratedFailures'
}
export type Attributes = Record<string, string | number | boolean | Date | string[] | null>
export interface ChildOptions {
  id?: string
  queue?: string
  priority?: number
  timeout?: Duration
  attributes?: Attributes
  /** What becomes of the child when this run closes before it: asked to cancel itself by default. */
  parentClosePolicy?: 'cancel' | 'terminate' | 'abandon'
  /**
   * What becomes of it when the scope around it is cancelled: `'wait'` (the default) asks it to cancel itself and waits
   * for what comes of that, `'request'` asks and does not wait, `'abandon'` leaves it alone.
   */
  cancellation?: 'wait' | 'request' | 'abandon'
}
export interface ChildHandle<O> {
  readonly id: string
  readonly runId: string
  result(): Promise<O>
  signal<T>(signal: Signal<T> | string, ...message: Arg<T>): Promise<void>
  cancel(reason?: string): Promise<void>
}

// ── explicit DAG ─────────────────────────────────────────────────────────────────────────────────
declare const out: unique symbol
export interface Task<O> {
  readonly name: string
  readonly [out]: O
}
export type Outputs<D extends readonly Task<any>[]> = { [K in keyof D]: D[K] extends Task<infer O> ? O : never }
export type TaskFn<I, D extends readonly Task<any>[], O> = (
  input: I,
  dependencies: Outputs<D>,
  step: StepContext,
) => O | Promise<O>
export interface TaskOptions<D extends readonly Task<any>[]> extends StepOptions {
  dependsOn?: D
  when?: 'completed' | 'closed'
}
export interface Dag<I> {
  task<O>(name: string, fn: TaskFn<I, [], O>): Task<O>
  task<O, const D extends readonly Task<any>[] = []>(
    name: string,
    options: TaskOptions<D> & { critical: false },
    fn: TaskFn<I, D, O>,
  ): Task<Maybe<O>>
  task<O, const D extends readonly Task<any>[] = []>(
    name: string,
    options: TaskOptions<D> & { critical?: boolean },
    fn: TaskFn<I, D, O>,
  ): Task<O>
}
export type DagResult<R> =
  R extends Record<string, Task<any>>
    ? { [K in keyof R]: R[K] extends Task<infer O> ? O : never }
    : Record<string, unknown>
export interface DagSpec {
  name: string
  version?: number
  tasks: {
    name: string
    use: string
    dependsOn?: string[]
    with?: unknown
    retry?: RetryPolicy | false
    timeout?: Duration
    critical?: boolean
    when?: 'completed' | 'closed'
  }[]
}

// ── client ───────────────────────────────────────────────────────────────────────────────────────
export type WithInput<I, O> = [I] extends [void]
  ? [input?: undefined, options?: O]
  : undefined extends I
    ? [input?: I, options?: O]
    : [input: I, options?: O]
export interface StartOptions {
  id?: string
  queue?: string
  priority?: number
  startAt?: Date
  delay?: Duration
  timeout?: Duration
  attributes?: Attributes
  ifOpen?: 'existing' | 'fail' | 'terminate'
  ifClosed?: 'existing' | 'new' | 'newIfFailed' | 'fail'
  /**
   * Starts of the workflow with the same key are one run until it begins: `wait` after the last of them, with the input
   * and the options of the last. `maxWait`: so long after the first at most. When it has begun, the next start makes
   * another run. The run has no id of yours.
   * @example stet.start(digest, { user }, { debounce: { key: user, wait: '30s', maxWait: '5m' } })
   */
  debounce?: { key: string; wait: Duration; maxWait?: Duration }
  /** Start inside the caller's own transaction. */
  tx?: Tx
}
export interface StetOptions {
  url?: Maybe<string>
  /** The application's own schema: `billing` has views and functions, `billing_store` the tables. Default `stet`. */
  schema?: string
  embedded?: boolean
  codec?: PayloadCodec
  log?: Log
}
export interface PayloadCodec {
  encode(bytes: Uint8Array): Promise<Uint8Array> | Uint8Array
  decode(bytes: Uint8Array): Promise<Uint8Array> | Uint8Array
}
export interface WorkerOptions {
  /** An array, or a module namespace (`import * as workflows`), of which the workflows are taken. */
  workflows: readonly AnyWorkflow[] | Record<string, unknown>
  queues?: string[]
  /** Runs held in memory (200) and step bodies at once in the process (100); a number sets both. */
  concurrency?: number | { runs?: number; steps?: number }
}
export interface Worker extends AsyncDisposable {
  start(): Promise<void>
  stop(): Promise<void>
}
export type RunStatus =
  | 'pending'
  | 'running'
  | 'waiting'
  | 'paused'
  | 'blocked'
  | 'completed'
  | 'failed'
  | 'cancelled'
  | 'terminated'
  | 'continued'
export type StepStatus = 'pending' | 'running' | 'completed' | 'failed' | 'skipped'
export interface RunFilter {
  status?: RunStatus | RunStatus[]
  workflow?: string
  version?: number
  queue?: string
  attributes?: Attributes
  /** Text in the message of the error, in any case. */
  error?: string
  /** With which the id begins. */
  idPrefix?: string
  /** Children of this run, by its run id. */
  parent?: string
  startedAfter?: Date
  startedBefore?: Date
  /** Of runs that have closed. */
  closedAfter?: Date
  closedBefore?: Date
  limit?: number
  after?: string
}
export interface RunDescription {
  id: string
  runId: string
  workflow: string
  version: number
  queue: string
  status: RunStatus
  createdAt: Date
  startedAt?: Date
  closedAt?: Date
  attributes: Attributes
  parent?: { id: string; runId: string }
  /** The run that this one was forked from, and the first event of it that this one does not share. */
  forkedFrom?: { runId: string; seq: number }
  /** The schedule that has started it, and for when. */
  schedule?: string
  scheduledFor?: Date
  error?: { name: string; message: string }
  /** A later run has its id: it was tried again, continued as new, or started anew. */
  superseded?: true
  historyLength: number
}
export interface HistoryEvent {
  seq: number
  type: string
  op?: number
  name?: string
  at: string | Date
  data?: any
}
export interface RunGraph {
  nodes: {
    key: string
    name: string
    kind: string
    status: StepStatus
    attempts: number
    startedAt?: string | Date
    endedAt?: string | Date
  }[]
  edges: { from: string; to: string }[]
}
export interface Handle<O> {
  readonly id: string
  readonly runId: string
  result(options?: { timeout?: Duration }): Promise<O>
  describe(): Promise<RunDescription>
  history(): Promise<HistoryEvent[]>
  graph(): Promise<RunGraph>
  why(): Promise<{ code: string; message: string; evidence: Record<string, unknown> }>
  signal<T>(signal: Signal<T> | string, ...message: Arg<T>): Promise<void>
  query<A, R>(query: Query<A, R> | string, ...argument: Arg<A>): Promise<R>
  update<A, R>(update: Update<A, R> | string, ...argument: Arg<A>): Promise<R>
  cancel(reason?: string): Promise<void>
  terminate(reason?: string): Promise<void>
  /**
   * Keeps the run from going on until `resume`: no attempt of a step begins, timers and messages wait. What executes
   * comes to its end first, and is recorded; until then the run is `running`. Children go on. Timers keep their times,
   * and the timeout of the run goes on. `terminate` takes effect at once, `cancel` when the run is resumed.
   *
   * @throws RunNotFoundError, RunClosedError; StetError with code `blocked`: it does not go on in any case
   * @example await stet.run('order-42').pause('the carrier has an outage')
   */
  pause(reason?: string): Promise<void>
  /** Lets a paused or blocked run go on. @throws RunNotFoundError; InvalidInputError for a run that is neither */
  resume(): Promise<void>
  /**
   * Gives the run to another version of its code, from its next claim on; a blocked run tries again. The run must be
   * open, and no worker may hold it: stop that worker, or wait until the run parks.
   * @throws RunNotFoundError; StetError with code `run_held` when the run is closed or held; InvalidInputError
   */
  moveTo(version: number): Promise<void>
  /**
   * The same as `fork` from the last failure, under the same id: what was done before it stands. The run must be closed.
   * @throws StetError with code `run_open`, or `no_failure` when the run did not fail; IdConflictError when the id has an open run by now
   */
  retry(): Promise<Handle<O>>
  /**
   * Deletes a closed run with all that is kept of it: history, inbox, ids of messages, checkpoints. Its children, its
   * forks and the run that goes on for it are runs of their own, and stay; so do statistics and what is on record of
   * operators. A start under its id begins anew, and a message id that it knew is unknown from then on.
   * @throws RunNotFoundError; StetError with code `run_open`, `parent_open` (its parent may still read it),
   *   `children_untold` or `run_locked` (try again)
   */
  delete(): Promise<void>
  /**
   * Starts a new run that begins with a copy of this run's history up to `at`, and goes on from there. This run, open or
   * closed, stays as it is. Steps that run anew have idempotency keys of their own.
   *
   * What the shared part has left waiting begins anew: attempts are counted anew, and a sleep or a timeout is counted from
   * the fork. Code that asks for something else in the shared part blocks the fork, as a replay would.
   * @throws RunNotFoundError; InvalidInputError when `at` or `set` names nothing in the history; IdConflictError when an
   *   open run has the id; StetError with code `no_failure`, `origin_open`, `child_missing` or `child_taken`
   * @example const fork = await run.fork({ at: 'charge', input: { ...order, card: 'another' } })
   */
  fork(options: ForkOptions): Promise<Handle<O>>
}
/** Where a fork parts from its run, and what is other in it. `at` may be left out when results are set. */
export type ForkOptions = ForkChanges &
  (
    | {
        /**
         * The first thing that runs anew: the key of a step as in the graph (`charge`, `charge#2`; `start`: everything),
         * the number of an event from 2, or the failure that ended the run.
         */
        at: string | number | 'last-failure'
        /**
         * Results of steps by their keys: in the shared part they take the place of those recorded. A step that was under
         * way there, the one at `at` too, is given its result and does not run.
         */
        set?: Record<string, unknown>
      }
    | {
        /** Without it the fork parts right behind the earliest of the steps in `set`. */
        at?: never
        set: Record<string, unknown>
      }
  )
export interface ForkChanges {
  /** Another input. It is not checked against a schema. */
  input?: unknown
  /** The version of the code that goes on; the run's own by default. */
  version?: number
  /** The fork's id; by default the run's with `-fork-` and random letters behind it. */
  id?: string
  /** Signals that the run was sent and the shared part has not read: put into the fork's inbox (default), or not. */
  signals?: 'redeliver' | 'drop'
  /**
   * Children that were started in the shared part and had not ended there. `'rerun'` (the default): the fork starts
   * children of its own, which fails for one whose id an open run has; where the code awaited a start (`startChild`), it
   * parts before that. `'cancel'`: the same, and the run's children that are open are asked to cancel. `'keep'`: the fork
   * takes them over with what came of them; those still open only from a run that is closed.
   */
  children?: 'rerun' | 'keep' | 'cancel'
}
/** Percentiles, ms, no farther than 5 % from the truth. */
export interface Percentiles {
  p50: number
  p95: number
  p99: number
}
/** What `stet.stats` is asked for. */
export interface StatsOptions {
  /** Names; default: all. Digits in the name of a step stand for `#`, as in what is kept. */
  workflow?: string
  version?: number
  step?: string
  /** Where the window begins, or how long it is; default `'1h'`. What is older than two days is kept by the hour. */
  since?: Date | Duration
  /** Where the window ends; default: now. */
  until?: Date
  /** `'version'`: each version for itself; default: all together. */
  by?: 'version'
  /** Parts of the window, of so long, each for itself (`at` says when it begins); at least a minute. Default: the whole. */
  every?: Duration
  /** Adds to each figure what it was in the window before, of the same length (`before`); not with `every`. */
  compare?: boolean
}
export interface RunFigures {
  /** Claimed for the first time. */
  started: number
  completed: number
  failed: number
  cancelled: number
  terminated: number
  continued: number
  blocked: number
  /** Runs that were closed, a second of the window. */
  perSecond: number
  /** Failed ones among those that completed or failed, 0 to 1. */
  failureRate: number
  /** From the start (or from when it might begin) to the close; null: none was closed. */
  durationMs: Percentiles | null
  /** From the start (or from when it might begin) to the first claim. */
  delayMs: Percentiles | null
}
export interface StepFigures {
  /** That have ended: completed, failed and retried. */
  attempts: number
  completed: number
  /** For good. */
  failed: number
  /** Attempts that failed and were followed by another. */
  retried: number
  /** Attempts, a second of the window. */
  perSecond: number
  /** Steps that failed for good among those that completed or failed, 0 to 1. */
  failureRate: number
  /** Attempts that were followed by another among all, 0 to 1. */
  retryRate: number
  /** Of the attempts that completed, until the result was on record; null: none completed. */
  durationMs: Percentiles | null
  /** From the asking for the step to the beginning of its first attempt. */
  delayMs: Percentiles | null
}
export interface StatsPlace {
  workflow: string
  version?: number
  at?: Date
}
export type RunStats = StatsPlace & RunFigures & { before?: RunFigures }
export type StepStats = StatsPlace & { step: string } & StepFigures & { before?: StepFigures }
/** What workers have kept of a window of time. */
export interface Stats {
  /** The window, in whole minutes. */
  from: Date
  to: Date
  /** By workflow. */
  runs: RunStats[]
  /** By workflow and step; digits in names are `#`, and `other` stands for names beyond the first 200. */
  steps: StepStats[]
}
/** Which runs a limit is for: those of a queue or of a workflow, all together or for each value of a path into their inputs. */
export type LimitTarget =
  | { readonly queue: string; readonly workflow?: never; readonly key?: string }
  | { readonly workflow: string; readonly queue?: never; readonly key?: string }

/** What is not given stays; null: no bound. */
export interface LimitBounds {
  /** How many workers may have in hand at once; 0: none. */
  readonly concurrency?: number | null
  /** How many may be begun in any period. */
  readonly rate?: { readonly limit: number; readonly period: Duration } | null
}

export interface Limit {
  readonly target: LimitTarget
  readonly concurrency: number | null
  readonly rate: { readonly limit: number; readonly periodMs: number } | null
  /** Nothing is claimed. */
  readonly paused: boolean
  /** Who says so: the options of the workflow, or somebody while the system ran. */
  readonly source: 'code' | 'runtime'
  /** What the options of the workflow say; null: nothing. */
  readonly declared: Pick<Limit, 'concurrency' | 'rate'> | null
  /** Runs in hand; at most 1,001 are counted, here as in the others. */
  readonly running: number
  /** Runs that could go on, and wait. */
  readonly queued: number
  /** How long the first of those has waited. */
  readonly oldestMs: number | null
  /** Without a key: how many of the rate are used up. */
  readonly begun: number | null
  /** With a key: how many of its values are full while runs wait, */
  readonly full: number
  /** and those with the most runs in hand. */
  readonly values: readonly LimitValue[]
  /** Of those that are full twenty at most; the longest wait first. */
  readonly fullValues: readonly (LimitValue & {
    /** Runs that wait for it; at most 201 are counted. */
    readonly queued: number
    readonly oldestMs: number
  })[]
}

/** What a limit counts under one value of its key. */
export interface LimitValue {
  readonly value: string
  readonly running: number
  /** How many of the rate are used up; null: there is no rate. */
  readonly begun: number | null
}

/** Limits, as they are and as they are changed while the system runs. A change counts for what is claimed from then on. */
export interface Limits {
  list(): Promise<Limit[]>
  /** Sets bounds in place of what the code says. @throws InvalidInputError */
  set(target: LimitTarget, bounds: LimitBounds): Promise<void>
  /** Back to what the code says; a limit that the code does not know goes. False: there is none. */
  reset(target: LimitTarget): Promise<boolean>
  /** Nothing is claimed until `resume`; runs in hand go on. */
  pause(target: LimitTarget): Promise<void>
  resume(target: LimitTarget): Promise<void>
}
