import { encode } from '../core/codec.js'
import { durationMs } from '../core/duration.js'
import { InvalidInputError, StetError } from '../core/errors.js'
import { graphOf, type PendingOperation } from '../core/graph.js'
import { toHistoryEvent } from '../core/history-event.js'
import { checkName, newId } from '../core/ids.js'
import { checkVersion, nameOf } from '../core/options.js'
import type {
  Duration,
  ForkOptions,
  Handle,
  HistoryEvent,
  MessageOptions,
  Query,
  RunDescription,
  RunGraph,
  Signal,
  Tx,
  Update,
} from '../core/types.js'
import { validate } from '../core/validate.js'
import { schemaOf } from '../core/workflow.js'
import { requestPause } from '../store/asks.js'
import type { Client } from './client.js'
import { describeRow } from './describe.js'
import { outputOf } from './results.js'
import { deleteRun } from './retention.js'
import type { Reason } from './why.js'

/** One run, by its id (the latest run under it) or its run id. */
export class RunHandle implements Handle<any> {
  readonly #client: Client
  readonly id: string
  readonly runId: string
  readonly #committed: boolean

  /** `committed` false: the start is part of a transaction of the caller's. */
  constructor(client: Client, id: string, runId: string, committed = true) {
    this.#client = client
    this.id = id
    this.runId = runId
    this.#committed = committed
  }

  async result(options: { timeout?: Duration } = {}): Promise<any> {
    const timeoutMs = options.timeout === undefined ? null : durationMs(options.timeout, 'result: timeout')
    // By id means the latest run, which has to be looked up.
    const runId = this.runId === '' ? (await this.#client.row(this.id)).runId : this.runId
    const waiter = await this.#client.waiter()
    const end = timeoutMs === null ? null : performance.now() + timeoutMs
    let result = await waiter.wait(runId, timeoutMs, this.#committed)
    // The result of a run that continued as new is that of the run that followed.
    while (result.successor !== null) {
      result = await waiter.wait(result.successor, end === null ? null : Math.max(0, end - performance.now()))
    }
    return outputOf(result)
  }

  async describe(): Promise<RunDescription> {
    return describeRow(await this.#client.row(this.#ref))
  }

  async history(): Promise<HistoryEvent[]> {
    const { runId } = await this.#client.row(this.#ref)
    const { store } = await this.#client.backend()
    return (await store.history(runId)).map(toHistoryEvent)
  }

  async graph(): Promise<RunGraph> {
    const row = await this.#client.row(this.#ref)
    const { store } = await this.#client.backend()
    const events = await store.history(row.runId)
    const waits = row.waits === null ? [] : (JSON.parse(row.waits) as PendingOperation[])
    return graphOf(events, waits, row.status)
  }

  /** The first true reason why the run is where it is. Codes: `WhyCode` in `why/reason.ts`; they are stable. */
  async why(): Promise<Reason> {
    const { why } = await import('./why.js')
    return why((await this.#client.backend()).store, this.#ref)
  }

  async signal(
    signal: Signal<any> | string,
    message?: unknown,
    options: MessageOptions & { tx?: Tx } = {},
  ): Promise<void> {
    const call = { kind: 'signal', run: this.#ref, name: nameOf(signal), argument: message } as const
    await this.#client.message(call, async ({ argument }) =>
      this.#client.post({ ...(await signalMessage(signal, argument, options)), run: this.#ref }, options.tx),
    )
  }

  /**
   * Gives the run to another version of its code, from its next claim on. A run that a worker holds is refused: stop
   * that worker, or wait until the run parks.
   */
  async moveTo(version: number): Promise<void> {
    checkVersion(version, 'moveTo')
    const row = await this.#client.row(this.#ref)
    const { store, hints } = await this.#client.backend()
    if (!(await store.setVersion(row.runId, version))) {
      throw new StetError(
        'run_held',
        `moveTo: run ${row.runId} is ${row.status}, so it cannot be moved now. It must be open and not held by a worker.`,
      )
    }
    hints.publish([{ kind: 'ready', queues: [row.queue] }])
  }

  async cancel(reason?: string): Promise<void> {
    const call = { kind: 'cancel', run: this.#ref, name: null, argument: checkReason(reason) } as const
    return this.#client.message(call, ({ argument }) => this.#client.cancel(this.#ref, argument as string | undefined))
  }

  async terminate(reason?: string): Promise<void> {
    const call = { kind: 'terminate', run: this.#ref, name: null, argument: checkReason(reason) } as const
    return this.#client.message(call, ({ argument }) =>
      this.#client.terminate(this.#ref, argument as string | undefined),
    )
  }

  async resume(): Promise<void> {
    const row = await this.#client.row(this.#ref)
    const { store, hints } = await this.#client.backend()
    if (!(await store.resume(row.runId))) {
      throw new InvalidInputError(`resume: expected run ${row.runId} to be blocked or paused, it is ${row.status}.`)
    }
    hints.publish([{ kind: 'ready', queues: [row.queue] }])
  }

  async query(query: Query<any, any> | string, argument?: unknown, options: MessageOptions = {}): Promise<any> {
    const name = nameOf(query)
    checkName(name, 'query name')
    const timeoutMs = options.timeout === undefined ? queryTimeoutMs : durationMs(options.timeout, 'query: timeout')
    return this.#client.message({ kind: 'query', run: this.#ref, name, argument }, async ({ argument }) => {
      const payload = encode(argument, `the argument of query "${name}"`)
      const row = await this.#client.row(this.#ref)
      return (await this.#client.conversations()).query(row, name, payload, timeoutMs)
    })
  }

  async update(update: Update<any, any> | string, argument?: unknown, options: MessageOptions = {}): Promise<any> {
    const call = { kind: 'update', run: this.#ref, name: nameOf(update), argument } as const
    return this.#client.message(call, async ({ argument }) => {
      const { message, timeoutMs } = await updateMessage(update, argument, options)
      const runId = await this.#client.post({ ...message, run: this.#ref })
      return this.answered(runId, message, timeoutMs)
    })
  }

  /** The answer to an update that was accepted. */
  async answered(runId: string, { name, messageId }: UpdateMessage, timeoutMs: number | null): Promise<any> {
    return (await this.#client.conversations()).answer(runId, name, messageId, timeoutMs)
  }

  async retry(): Promise<RunHandle> {
    const { retryRun } = await import('./forks.js')
    const row = await this.#client.row(this.#ref)
    const { id, runId } = await retryRun(await this.#client.backend(), row)
    return new RunHandle(this.#client, id, runId)
  }

  async fork(options: ForkOptions): Promise<RunHandle> {
    const { forkRun, storedOrigin } = await import('./forks.js')
    const row = await this.#client.row(this.#ref)
    const backend = await this.#client.backend()
    const { id, runId } = await forkRun(backend, await storedOrigin(backend.store, row), options)
    return new RunHandle(this.#client, id, runId)
  }

  async delete(): Promise<void> {
    const row = await this.#client.row(this.#ref)
    await deleteRun((await this.#client.backend()).store, row)
  }

  async pause(reason?: string): Promise<void> {
    const { store, hints } = await this.#client.backend()
    await requestPause(store, (told) => hints.publish(told), this.#ref, checkReason(reason) ?? '')
  }

  /** What was asked for: a handle by id means the latest run, one of a start means that run. */
  get #ref(): string {
    return this.runId === '' ? this.id : this.runId
  }
}

/** How long a query waits for its answer unless it says otherwise. */
const queryTimeoutMs = 10_000

export interface UpdateMessage {
  readonly kind: 'update'
  readonly name: string
  readonly payload: string | null
  readonly messageId: string
}

/** An update as it is sent. Its message id is how the answer is found again. */
export async function updateMessage(
  update: Update<any, any> | string,
  argument: unknown,
  options: MessageOptions,
): Promise<{ message: UpdateMessage; timeoutMs: number | null }> {
  const { messageId, ...rest } = await checkedMessage('update', update, 'argument', argument, options)
  return {
    message: { ...rest, messageId: messageId ?? newId('msg') },
    timeoutMs: options.timeout === undefined ? null : durationMs(options.timeout, 'update: timeout'),
  }
}

/** A signal as it is sent. */
export function signalMessage(
  signal: Signal<any> | string,
  message: unknown,
  options: MessageOptions,
): Promise<CheckedMessage<'signal'>> {
  return checkedMessage('signal', signal, 'message', message, options)
}

interface CheckedMessage<Kind> {
  readonly kind: Kind
  readonly name: string
  readonly payload: string | null
  readonly messageId: string | null
}

async function checkedMessage<Kind extends 'signal' | 'update'>(
  kind: Kind,
  named: Signal<any> | Update<any, any> | string,
  part: string,
  value: unknown,
  { messageId }: MessageOptions,
): Promise<CheckedMessage<Kind>> {
  const name = nameOf(named)
  checkName(name, `${kind} name`)
  if (messageId !== undefined) checkName(messageId, `${kind}: messageId`)
  const schema = schemaOf(named)
  const what = `the ${part} of ${kind} "${name}"`
  const checked = schema === undefined ? value : await validate(schema, value, what)
  return { kind, name, payload: encode(checked, what), messageId: messageId ?? null }
}

function checkReason(reason: string | undefined): string | undefined {
  if (reason === undefined) return undefined
  if (typeof reason !== 'string') throw new InvalidInputError(`reason: expected text, got ${typeof reason}.`)
  return reason.replaceAll('\u0000', '').toWellFormed().slice(0, 1_000)
}
