import { encode } from '../core/codec.js'
import { durationMs } from '../core/duration.js'
import { InvalidInputError, StetError } from '../core/errors.js'
import { toHistoryEvent } from '../core/events.js'
import { graphOf, type PendingOperation } from '../core/graph.js'
import { checkName } from '../core/ids.js'
import type { Duration, Handle, HistoryEvent, MessageOptions, RunDescription, RunGraph, Signal } from '../core/types.js'
import { schemaOfSignal } from '../core/workflow.js'
import type { Client } from './client.js'
import { describeRow } from './describe.js'
import { outputOf } from './results.js'
import { validate } from './validate.js'

/** One run, by its id (the latest run under it) or its run id. */
export class RunHandle implements Handle<any> {
  readonly #client: Client
  readonly id: string
  readonly runId: string

  constructor(client: Client, id: string, runId: string) {
    this.#client = client
    this.id = id
    this.runId = runId
  }

  async result(options: { timeout?: Duration } = {}): Promise<any> {
    const timeoutMs = options.timeout === undefined ? null : durationMs(options.timeout, 'result: timeout')
    // By id means the latest run, which has to be looked up.
    const runId = this.runId === '' ? (await this.#client.row(this.id)).runId : this.runId
    return outputOf(await (await this.#client.waiter()).wait(runId, timeoutMs))
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

  async signal(signal: Signal<any> | string, message?: unknown, options: MessageOptions = {}): Promise<void> {
    const name = typeof signal === 'string' ? signal : signal?.name
    checkName(name, 'signal name')
    if (options.messageId !== undefined) checkName(options.messageId, 'signal: messageId')
    const schema = schemaOfSignal(signal)
    const checked = schema === undefined ? message : await validate(schema, message, `the message of signal "${name}"`)
    await this.#client.post({
      run: this.#ref,
      kind: 'signal',
      name,
      payload: encode(checked, `the message of signal "${name}"`),
      messageId: options.messageId ?? null,
    })
  }

  async cancel(reason?: string): Promise<void> {
    return this.#client.cancel(this.#ref, checkReason(reason))
  }

  async terminate(reason?: string): Promise<void> {
    return this.#client.terminate(this.#ref, checkReason(reason))
  }

  async resume(): Promise<void> {
    const row = await this.#client.row(this.#ref)
    const { store, hints } = await this.#client.backend()
    if (!(await store.resume(row.runId))) {
      throw new InvalidInputError(`resume: expected run ${row.runId} to be blocked or paused, it is ${row.status}.`)
    }
    hints.publish([{ kind: 'ready', queues: [row.queue] }])
  }

  query = notBuilt('query')
  update = notBuilt('update')
  pause = notBuilt('pause')
  retry = notBuilt('retry')
  fork = notBuilt('fork')
  why = notBuilt('why')

  /** What was asked for: a handle by id means the latest run, one of a start means that run. */
  get #ref(): string {
    return this.runId === '' ? this.id : this.runId
  }
}

function checkReason(reason: string | undefined): string | undefined {
  if (reason === undefined) return undefined
  if (typeof reason !== 'string') throw new InvalidInputError(`reason: expected text, got ${typeof reason}.`)
  return reason.replaceAll('\u0000', '').toWellFormed().slice(0, 1_000)
}

function notBuilt(name: string): (...args: any[]) => Promise<any> {
  return () => Promise.reject(new StetError('not_available', `${name} is not part of this release of stet.`))
}
