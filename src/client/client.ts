/** Starting runs, talking to them and reading them, over a store. What is asked for in one moment goes as one statement. */
import { isDeepStrictEqual } from 'node:util'
import { Batcher } from '../core/batcher.js'
import { decode, encode } from '../core/codec.js'
import { IdConflictError, InvalidInputError, RunClosedError, RunNotFoundError } from '../core/errors.js'
import { aroundCall, type Interceptor, type MessageCall } from '../core/interceptors.js'
import { nameOf } from '../core/options.js'
import type { AnyWorkflow, RunDescription, RunFilter, StartOptions, Tx } from '../core/types.js'
import type { Hints } from '../hints/hints.js'
import { acceptedBy, closedHints, requestCancel, startAndSend } from '../store/asks.js'
import type { ExistingRun, MessageAnswer, MessageRequest, RunRow, StartRequest, Store } from '../store/port.js'
import { startRequest } from '../store/requests.js'
import { Conversations } from './conversations.js'
import { describeRow } from './describe.js'
import { RunHandle } from './handle.js'
import { ResultWaiter } from './results.js'

/** The store that a client talks to, made ready (connected, migrated) when it is first needed. */
export interface Backend {
  readonly store: Store
  readonly hints: Hints
  startInTransaction(
    tx: NonNullable<StartOptions['tx']>,
    requests: readonly StartRequest[],
  ): Promise<(ExistingRun | null)[]>
  postInTransaction(tx: Tx, message: MessageRequest): Promise<MessageAnswer>
}

export class Client {
  readonly #ready: () => Promise<Backend>
  readonly #interceptors: readonly Interceptor[]
  #waiter: ResultWaiter | null = null
  #conversations: Conversations | null = null
  readonly #starts: Batcher<StartRequest, ExistingRun | null>
  readonly #posts: Batcher<MessageRequest, MessageAnswer>

  constructor(ready: () => Promise<Backend>, interceptors: readonly Interceptor[] = []) {
    this.#ready = ready
    this.#interceptors = interceptors
    this.#starts = new Batcher(async (requests) => {
      const { store, hints } = await this.#ready()
      const found = await store.start(requests)
      hints.local([{ kind: 'ready', queues: [...new Set(requests.map(({ queue }) => queue))] }])
      return found
    })
    this.#posts = new Batcher(async (messages) => {
      const { store, hints } = await this.#ready()
      const tell = (answers: readonly MessageAnswer[]) => {
        const runIds = answers.flatMap(({ runId, closed }) => (runId === null || closed !== null ? [] : [runId]))
        if (runIds.length > 0) hints.publish([{ kind: 'message', runIds: [...new Set(runIds)] }])
      }
      const answers = await store.post(messages)
      tell(answers.filter((answer): answer is MessageAnswer => !(answer instanceof Promise)))
      return answers.map((answer) => {
        if (!(answer instanceof Promise)) return answer
        return answer.then((late) => {
          tell([late])
          return late
        })
      })
    })
  }

  async backend(): Promise<Backend> {
    return this.#ready()
  }

  close(error: Error): void {
    this.#waiter?.close(error)
    this.#conversations?.close(error)
  }

  // ── start ──────────────────────────────────────────────────────────────────────────────────────

  start(workflow: AnyWorkflow | string, input: unknown, options: StartOptions = {}): Promise<RunHandle> {
    const call = { workflow: nameOf(workflow) ?? '', input, options }
    return aroundCall(this.#interceptors, 'start', call, (call) => this.#start(workflow, call.input, call.options))
  }

  async #start(workflow: AnyWorkflow | string, input: unknown, options: StartOptions): Promise<RunHandle> {
    const request = await startRequest(workflow, input, options)
    for (;;) {
      const existing =
        options.tx === undefined
          ? await this.#starts.add(request)
          : (await (await this.#ready()).startInTransaction(options.tx, [request]))[0]!
      if (existing === null) {
        if (options.tx === undefined) this.#waiter?.started(request.runId)
        return new RunHandle(this, request.id, request.runId, options.tx === undefined)
      }
      if (request.debounce !== null) return new RunHandle(this, existing.runId, existing.runId)
      if (!existing.open) {
        if (request.ifClosed === 'fail') {
          throw new IdConflictError(
            `start: id "${request.id}" was used by run ${existing.runId}, which is ${existing.status}, and ifClosed is 'fail'. Use another id, or another policy.`,
          )
        }
        return this.#existing(request, existing)
      }
      switch (options.ifOpen ?? 'existing') {
        case 'fail':
          throw new IdConflictError(
            `start: id "${request.id}" is taken by the open run ${existing.runId}, and ifOpen is 'fail'. Use another id, or another policy.`,
          )
        case 'terminate':
          await this.terminate(existing.runId, 'another run was started under its id')
          // The closed one is out of the way by the caller's own word.
          ;(request as { ifClosed: string }).ifClosed = 'new'
          continue
        default:
          return this.#existing(request, existing)
      }
    }
  }

  #existing(request: StartRequest, existing: ExistingRun): RunHandle {
    const difference =
      existing.workflow !== request.workflow
        ? `a run of workflow "${existing.workflow}", not "${request.workflow}"`
        : existing.payload !== request.payload && !isDeepStrictEqual(decode(existing.payload), decode(request.payload))
          ? 'a run with another input'
          : null
    if (difference === null) return new RunHandle(this, request.id, existing.runId)
    throw new IdConflictError(
      `start: id "${request.id}" stands for ${difference} (${existing.runId}, ${existing.status}). Use another id, or ifClosed: 'new' once it is closed.`,
    )
  }

  // ── messages ───────────────────────────────────────────────────────────────────────────────────

  async post(message: MessageRequest, tx?: Tx): Promise<string> {
    const { runId, closed } =
      tx === undefined ? await this.#posts.add(message) : await (await this.#ready()).postInTransaction(tx, message)
    // The run goes on under another run id: messages follow it, as its result does.
    if (closed === 'continued') {
      const { id } = await this.row(runId!)
      const latest = await this.row(id)
      if (latest.runId !== runId) return this.post({ ...message, run: latest.runId }, tx)
    }
    return acceptedBy(message, { runId, closed })
  }

  /** Sends a message, with the interceptors around it. */
  message<T>(call: MessageCall, send: (call: MessageCall) => Promise<T>): Promise<T> {
    return aroundCall(this.#interceptors, 'message', call, send)
  }

  /** Starts a run under an id unless one is open, and sends it a message: both or neither. */
  startAndPost(
    workflow: AnyWorkflow | string,
    input: unknown,
    options: StartOptions,
    message: Omit<MessageRequest, 'run'>,
  ): Promise<RunHandle> {
    const call = { workflow: nameOf(workflow) ?? '', input, options }
    return aroundCall(this.#interceptors, 'start', call, (call) =>
      this.#startAndPost(workflow, call.input, call.options, message),
    )
  }

  async #startAndPost(
    workflow: AnyWorkflow | string,
    input: unknown,
    options: StartOptions,
    message: Omit<MessageRequest, 'run'>,
  ): Promise<RunHandle> {
    const what = `${message.kind}WithStart`
    if (options?.id === undefined) throw new InvalidInputError(`${what}: expected an id in the options.`)
    if (options.tx !== undefined)
      throw new InvalidInputError(`${what}: tx is not an option here; use stet.start and stet.signal in SQL.`)
    if (options.debounce !== undefined) throw new InvalidInputError(`${what}: debounce is not an option here.`)
    if (options.ifOpen !== undefined && options.ifOpen !== 'existing') {
      throw new InvalidInputError(`${what}: ifOpen: expected 'existing', got '${options.ifOpen}'.`)
    }
    const request = await startRequest(workflow, input, options)
    const { store, hints } = await this.#ready()
    // An open run takes the message whatever its input was; a closed one takes none.
    const { runId, existing } = await startAndSend(store, (told) => hints.publish(told), request, message)
    if (existing !== null && existing.workflow !== request.workflow) return this.#existing(request, existing)
    return new RunHandle(this, request.id, runId)
  }

  async conversations(): Promise<Conversations> {
    const { store, hints } = await this.#ready()
    this.#conversations ??= new Conversations(store, hints)
    return this.#conversations
  }

  async cancel(run: string, reason: string | undefined): Promise<void> {
    const { store, hints } = await this.#ready()
    await requestCancel(
      store,
      (told) => hints.publish(told),
      run,
      reason ?? null,
      (message) => this.post(message),
    )
  }

  async terminate(run: string, reason: string | undefined): Promise<void> {
    const { store, hints } = await this.#ready()
    const row = await this.row(run)
    if (row.closedAt !== null) {
      throw new RunClosedError(`terminate: run ${row.runId} is ${row.status} already.`)
    }
    const closed = await store.closeUnowned(row.runId, 'terminate', reason ?? null)
    if (closed !== null) {
      hints.publish(closedHints(row.runId, closed.parent))
      return
    }
    await this.post({
      run: row.runId,
      kind: 'terminate',
      name: null,
      payload: encode(reason, 'the reason'),
      messageId: null,
    })
    await (await this.waiter()).wait(row.runId, null)
  }

  // ── reading ────────────────────────────────────────────────────────────────────────────────────

  async row(run: string): Promise<RunRow> {
    const { store } = await this.#ready()
    const row = await store.find(run)
    if (row === null) throw new RunNotFoundError(run)
    return row
  }

  async list(filter: RunFilter): Promise<{ runs: RunDescription[]; next?: string }> {
    const { store } = await this.#ready()
    const rows: RunRow[] = []
    let { limit = 50, after } = filter
    for (;;) {
      const part = await store.list({ ...filter, limit, ...(after === undefined ? {} : { after }) })
      rows.push(...part.rows)
      // A store looks only so far at once.
      if (part.bounded === undefined || part.rows.length === limit) {
        return { runs: rows.map(describeRow), ...(part.next === null ? {} : { next: part.next }) }
      }
      limit -= part.rows.length
      after = part.next!
    }
  }

  async waiter(): Promise<ResultWaiter> {
    const { store, hints } = await this.#ready()
    this.#waiter ??= new ResultWaiter(store, hints)
    return this.#waiter
  }
}
