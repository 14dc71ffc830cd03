/** The composition root: the one place that names the concrete store, hints, client and worker. */
import { BulkHandle, beginBulk, checkBulk, doBulkPart, previewBulk, StoredBulks } from './client/bulks.js'
import { Client } from './client/client.js'
import { RunHandle, signalMessage, updateMessage } from './client/handle.js'
import { StoredLimits } from './client/limits.js'
import { StoredRetention } from './client/retention.js'
import { StoredSchedules } from './client/schedules.js'
import { durationMs } from './core/duration.js'
import { InvalidInputError, NoDatabaseError, StetError } from './core/errors.js'
import { checkName, newId } from './core/ids.js'
import type { Interceptor } from './core/interceptors.js'
import { checkSchema, defaultSchema } from './core/schema-name.js'
import type * as types from './core/types.js'
import { Hints } from './hints/hints.js'
import { StoredAlerts } from './observe/alerts/alerts.js'
import { tracedStarts } from './observe/tracing.js'
import { readSettings } from './settings.js'
import type { Store, VersionCount } from './store/port.js'
import { postInTransaction } from './store/postgres/messages.js'
import { namedTx, namesOf } from './store/postgres/schema.js'
import { startInTransaction } from './store/postgres/starts.js'
import type { PostgresStore } from './store/postgres/store.js'
import type { WorkerSettings } from './worker/settings.js'
import type { WorkerLoop } from './worker/worker.js'

export interface StetSettings extends types.StetOptions {
  /** Connections for statements (default 5; `STET_POOL_SIZE`). With 1, everything shares one. */
  readonly poolSize?: number
  /** What is called around steps, starts and messages; the first is the outermost. */
  readonly interceptors?: readonly Interceptor[]
}

/** A store, and how it takes part in transactions of callers. */
export interface Backing {
  readonly store: Store
  readonly startInTransaction: typeof startInTransaction
  readonly postInTransaction: typeof postInTransaction
}

interface Open extends Backing {
  readonly hints: Hints
}

/** Under a symbol, so that no option of a user's can be taken for it. */
const given = Symbol('store')

/** A Stet on a store that is open already, which it closes in the end: for `stet/testing`, not for users. */
export function stetOn(backing: Backing, options: Omit<StetSettings, 'url' | 'embedded' | 'poolSize'> = {}): Stet {
  return new Stet({ ...options, [given]: backing } as StetSettings)
}

/**
 * The way in: starts runs, talks to them, runs workers. Connects when it is first used. Without a `url` it takes
 * `STET_DATABASE_URL`, `DATABASE_URL`, the `PG*` variables, else the embedded Postgres of the project. Applications that
 * share a database have a `schema` each, and nothing of each other's; without one it takes `STET_SCHEMA`, else `stet`.
 *
 * @throws InvalidInputError for a schema that cannot be an application's own
 * @throws NoDatabaseError (from the first call that needs a database) when there is none to be had
 * @example
 * await using stet = new Stet()
 * const run = await stet.start(order, input, { id: 'order-42' })
 * console.log(await run.result())
 */
export class Stet implements AsyncDisposable {
  readonly #options: StetSettings
  readonly #schema: string
  readonly #given: Backing | undefined
  readonly #log: types.Log
  readonly #client: Client
  readonly #workers = new Set<WorkerLoop>()
  #opening: Promise<Open> | null = null
  #closed = false

  constructor(options: StetSettings = {}) {
    if (options === null || typeof options !== 'object') {
      throw new InvalidInputError(`new Stet: expected options, got ${String(options)}.`)
    }
    const { codec } = options
    if (codec !== undefined && (typeof codec?.encode !== 'function' || typeof codec?.decode !== 'function')) {
      throw new InvalidInputError('new Stet: codec: expected an object with encode(bytes) and decode(bytes).')
    }
    this.#options = options
    this.#given = (options as { readonly [given]?: Backing })[given]
    this.#log = options.log ?? silentBelowWarning
    const { production, schema = defaultSchema } = readSettings()
    this.#schema =
      options.schema === undefined
        ? checkSchema(schema, 'STET_SCHEMA')
        : checkSchema(options.schema, 'new Stet: schema')
    const needsUrl = this.#given === undefined && options.embedded !== true
    if (needsUrl && production && readSettings(options.url).database === null) {
      throw new NoDatabaseError(
        'no database: NODE_ENV is production and no URL is given. Set STET_DATABASE_URL or DATABASE_URL, or pass { embedded: true } to use the embedded Postgres on purpose.',
      )
    }
    // The innermost, so that no interceptor of the user's that makes options anew loses what it adds.
    this.#client = new Client(() => this.#ready(), [...(options.interceptors ?? []), tracedStarts])
    this.schedules = new StoredSchedules(this.#client)
  }

  /** Starts a run. The same id, workflow and input gives the first run. Acknowledged means committed. */
  start<I, O>(workflow: types.Workflow<I, O>, ...args: types.WithInput<I, types.StartOptions>): Promise<types.Handle<O>>
  start<W extends types.AnyWorkflow>(
    workflow: string,
    input: types.InputOf<W>,
    options?: types.StartOptions,
  ): Promise<types.Handle<types.OutputOf<W>>>
  start(
    workflow: types.AnyWorkflow | string,
    input?: unknown,
    options?: types.StartOptions,
  ): Promise<types.Handle<any>> {
    return this.#client.start(workflow, input, options)
  }

  /** Starts a run and waits for its result. */
  async execute<I, O>(workflow: types.Workflow<I, O>, ...args: types.WithInput<I, types.StartOptions>): Promise<O> {
    const [input, options] = args as [unknown, types.StartOptions | undefined]
    return (await this.#client.start(workflow, input, options)).result()
  }

  /**
   * Sends a signal to the open run with this id, starting one first if there is none: both or neither.
   * @throws RunClosedError when the run is closed and `ifClosed` keeps it
   */
  async signalWithStart<I, O, T>(
    workflow: types.Workflow<I, O>,
    input: I,
    signal: types.Signal<T>,
    message: T,
    options: types.StartOptions & { id: string } & types.MessageOptions,
  ): Promise<types.Handle<O>> {
    const { messageId, timeout: _timeout, ...start } = options
    const sent = await signalMessage(signal, message, messageId === undefined ? {} : { messageId })
    return this.#client.startAndPost(workflow, input, start, { ...sent, messageId: sent.messageId ?? newId('msg') })
  }

  /**
   * Sends an update to the open run with this id, starting one first if there is none, and waits for the answer.
   * @throws UpdateRejectedError, RunClosedError
   */
  async updateWithStart<I, O, A, R>(
    workflow: types.Workflow<I, O>,
    input: I,
    update: types.Update<A, R>,
    argument: A,
    options: types.StartOptions & { id: string } & types.MessageOptions,
  ): Promise<{ run: types.Handle<O>; result: R }> {
    const { messageId, timeout, ...start } = options
    const { message } = await updateMessage(update, argument, messageId === undefined ? {} : { messageId })
    const timeoutMs = timeout === undefined ? null : durationMs(timeout, 'updateWithStart: timeout')
    const run = await this.#client.startAndPost(workflow, input, start, message)
    return { run, result: await run.answered(run.runId, message, timeoutMs) }
  }

  /** Which versions of workflows have open runs, how many, and whether a live worker has their code. */
  async versions(workflow?: string): Promise<VersionCount[]> {
    return (await this.#ready()).store.versions(workflow ?? null)
  }

  /** A handle by id (its latest run) or run id. Makes no call: a run that is not there shows at the first use. */
  run<W extends types.AnyWorkflow = types.Workflow<any, unknown>>(idOrRunId: string): types.Handle<types.OutputOf<W>> {
    checkName(idOrRunId, 'run: id')
    return new RunHandle(this.#client, idOrRunId, '')
  }

  /** Runs, newest first, a page at a time: give `next` back as `after`. */
  list(filter: types.RunFilter = {}): Promise<{ runs: types.RunDescription[]; next?: string }> {
    return this.#client.list(filter)
  }

  /**
   * Does one thing to all runs that a filter names and that were made before now. It is written down, and workers do it, a
   * part at a time: it goes on when this process, or one of theirs, ends. `result({ drive: true })` does it from here.
   *
   * Each run is come to once, newest first, and counts by what it is then: name all statuses that it may have by that
   * time, or none (`cancel`, `terminate`: open ones; `pause`: those that are not paused or blocked; `resume`: paused and
   * blocked ones; `retry`: failed ones; `delete`: closed ones; `fork`: any). One to which it cannot be done is refused, and
   * counted by the code of the reason.
   *
   * @throws InvalidInputError naming what cannot be used; a filter without a field is refused
   * @example
   * const { count } = await stet.bulk('cancel', { workflow: 'order', startedBefore: monday }, { dryRun: true })
   * const bulk = await stet.bulk('cancel', { workflow: 'order', startedBefore: monday }, { reason: 'recalled' })
   * const { done, refused } = await bulk.result()
   */
  bulk(
    operation: types.BulkOperation,
    filter: types.RunFilter,
    options: types.BulkOptions & { dryRun: true },
  ): Promise<types.BulkPreview>
  bulk(
    operation: types.BulkOperation,
    filter: types.RunFilter,
    options?: types.BulkOptions & { dryRun?: false },
  ): Promise<types.Bulk>
  async bulk(
    operation: types.BulkOperation,
    filter: types.RunFilter,
    options: types.BulkOptions = {},
  ): Promise<types.BulkPreview | types.Bulk> {
    const wanted = checkBulk(operation, filter, options)
    const backend = await this.#ready()
    const preview = await previewBulk(backend, wanted)
    if (options.dryRun === true) return preview
    const { id } = await beginBulk(backend, wanted, preview)
    return new BulkHandle(() => this.#ready(), id)
  }

  /** Bulks that were begun, by anybody. */
  readonly bulks: types.Bulks = new StoredBulks(() => this.#ready())

  /**
   * How long closed runs are kept. Without a rule, for ever. Rules of a config stand in `stet.config.ts`; what is set here
   * stands in their place.
   */
  readonly retention: types.Retention = new StoredRetention(async () => (await this.#ready()).store)

  /**
   * What workers did, and how long it took: percentiles, throughput, rates of failures and retries by workflow and step.
   * Workers keep these figures in the database by the minute, for days; they bring them there every ten seconds and when
   * they stop, so those of a process that was killed lack its last seconds. Only what a worker did is counted: not a run
   * that was closed before any worker had it.
   *
   * @throws InvalidInputError naming the option that cannot be used
   * @example
   * const { steps } = await stet.stats({ workflow: 'order', since: '6h', by: 'version' })
   * console.log(steps.map(({ step, version, durationMs }) => [step, version, durationMs?.p95]))
   */
  async stats(options: types.StatsOptions = {}): Promise<types.Stats> {
    const { readStatistics } = await import('./observe/percentiles.js')
    return readStatistics((await this.#ready()).store, options)
  }

  /** A worker for these workflows, in this process. Call `start()` on it. */
  worker(options: WorkerSettings): types.Worker {
    // Wrong options are told here, not when the worker starts.
    const lazy = new LazyWorker(async () => {
      // As the store: who only defines workflows, or starts them, needs none.
      const [{ WorkerLoop }, { WorkerMeter }] = await Promise.all([
        import('./worker/worker.js'),
        import('./observe/meter.js'),
      ])
      const { store, hints } = await this.#ready()
      const { interceptors = [] } = this.#options
      const meter = new WorkerMeter(store, this.#log)
      const bulkPart = () => doBulkPart({ store, hints }, null)
      const loop = new WorkerLoop(store, hints, this.#log, { interceptors, meter, bulkPart, ...options })
      this.#workers.add(loop)
      return loop
    })
    return lazy
  }

  /**
   * Rules that workers and dashboards look after, what has fired, silences. Rules of a config stand in `stet.config.ts`.
   *
   * @example await stet.alerts.add({ name: 'orders fail', kind: 'failureRate', workflow: 'order', above: 0.2, for: '5m' })
   */
  readonly alerts: types.Alerts = new StoredAlerts(async () => (await this.#ready()).store)

  /**
   * How many runs may be in hand at once, or be begun in a period: of a queue, a workflow, or each value of a key.
   *
   * @example await stet.limits.set({ workflow: 'order', key: 'customer.id' }, { concurrency: 3 })
   */
  readonly limits: types.Limits = new StoredLimits(() => this.#ready())

  /**
   * Runs that are started at certain times, by whichever worker is there.
   *
   * @example await stet.schedules.create('nightly', { workflow: report, cron: '0 3 * * *', timeZone: 'Europe/Berlin' })
   */
  readonly schedules: types.Schedules

  /** Brings the database to this release's schema. Every process does that by itself when it first connects. */
  async migrate(): Promise<void> {
    await (await this.#ready()).store.migrate()
  }

  /** Stops the workers that this object made and closes its connections. Safe to call again. */
  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    await Promise.all([...this.#workers].map((worker) => worker.stop()))
    this.#client.close(new StetError('closed', 'this Stet was closed'))
    const open = await this.#opening?.catch(() => null)
    await open?.hints.close()
    await open?.store.close()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  /** The store behind, for the tools of this package. Another than Postgres is there only for those who gave it. */
  async internals<S extends Store = PostgresStore>(): Promise<{ store: S; hints: Hints }> {
    const { store, hints } = await this.#ready()
    return { store: store as S, hints }
  }

  async #ready(): Promise<Open> {
    if (this.#closed) throw new StetError('closed', 'this Stet was closed. Make a new one.')
    this.#opening ??= this.#open().catch((error) => {
      this.#opening = null
      throw error
    })
    return this.#opening
  }

  async #open(): Promise<Open> {
    const { store, startInTransaction, postInTransaction } = this.#given ?? (await this.#connect())
    const { codec } = this.#options
    if (codec === undefined) return { store, hints: new Hints(store), startInTransaction, postInTransaction }
    const { codedPost, codedStart, codedStore } = await import('./store/coded.js')
    const coded = codedStore(store, codec)
    return {
      store: coded,
      hints: new Hints(coded),
      startInTransaction: codedStart(startInTransaction, codec),
      postInTransaction: codedPost(postInTransaction, codec),
    }
  }

  async #connect(): Promise<Backing> {
    const settings = readSettings(this.#options.url)
    const useEmbedded = this.#options.embedded === true || settings.database === null
    // Loaded when it is needed: a file that defines workflows imports this one, and waits for no driver of a database.
    const { createPostgresStore } = await import('./store/postgres/store.js')
    let url = settings.database?.url
    if (useEmbedded || url === undefined) {
      const { startEmbedded } = await import('./store/embedded/index.js')
      url = (await startEmbedded(settings.embedded)).url
    }
    const poolSize = this.#options.poolSize ?? settings.poolSize
    if (poolSize !== undefined && !(Number.isInteger(poolSize) && poolSize >= 1)) {
      throw new InvalidInputError(`poolSize: expected a whole number from 1, got ${String(poolSize)}.`)
    }
    const store = createPostgresStore({
      url,
      schema: this.#schema,
      ...(poolSize === undefined ? {} : { poolSize }),
      onWarning: (message) => this.#log.warn(message),
    })
    try {
      await store.migrate()
    } catch (error) {
      await store.close()
      throw error
    }
    const named = namesOf(this.#schema)
    return {
      store,
      startInTransaction: (tx, requests) => startInTransaction(namedTx(tx, named), requests),
      postInTransaction: (tx, message) => postInTransaction(namedTx(tx, named), message),
    }
  }
}

/** A worker whose connection is made when it starts. */
class LazyWorker implements types.Worker {
  readonly #make: () => Promise<WorkerLoop>
  #loop: Promise<WorkerLoop> | null = null
  #stopped = false

  constructor(make: () => Promise<WorkerLoop>) {
    this.#make = make
  }

  async start(): Promise<void> {
    if (this.#stopped) throw new InvalidInputError('worker.start: the worker was stopped. Make a new one.')
    this.#loop ??= this.#make()
    await (await this.#loop).start()
  }

  async stop(): Promise<void> {
    this.#stopped = true
    await (await this.#loop?.catch(() => null))?.stop()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop()
  }
}

const silentBelowWarning: types.Log = {
  debug() {},
  info() {},
  warn: (message, fields) => process.emitWarning(describeLog(message, fields), { type: 'stet' }),
  error: (message, fields) => process.emitWarning(describeLog(message, fields), { type: 'stet' }),
}

function describeLog(message: string, fields: object | undefined): string {
  return fields === undefined ? message : `${message} ${JSON.stringify(fields)}`
}
