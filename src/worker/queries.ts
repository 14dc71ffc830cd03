/**
 * Answers questions to runs: from memory when this worker holds the run, else by replaying its history. Both give the
 * same answer, for a run is a fold over its history.
 */
import { encodeError } from '../core/codec.js'
import { RunNotFoundError } from '../core/errors.js'
import type { Hint } from '../core/hint.js'
import { askExecution } from '../core/query.js'
import { replay } from '../core/replay.js'
import type { Definition } from '../core/workflow.js'
import type { Store, TakenQuery, WorkerLanes } from '../store/port.js'
import { describeError } from './closing.js'
import type { Runner } from './runner.js'

interface Host {
  readonly store: Store
  readonly lanes: WorkerLanes
  definition(workflow: string, version: number): Definition | undefined
  runner(runId: string): Runner | undefined
  publish(hints: readonly Hint[]): void
  log(message: string, fields: object): void
}

export class QueryDesk {
  readonly #host: Host
  #busy = false
  #again = false

  constructor(host: Host) {
    this.#host = host
  }

  /** Somebody has asked something, perhaps. */
  look(workerId: string): void {
    if (this.#busy) this.#again = true
    else void this.#take(workerId)
  }

  async #take(workerId: string): Promise<void> {
    this.#busy = true
    do {
      this.#again = false
      try {
        const queries = await this.#host.store.takeQueries(workerId, this.#host.lanes)
        if (queries.length > 0) this.#again = true
        await Promise.all(queries.map((query) => this.#answer(query)))
      } catch (error) {
        this.#host.log('queries could not be answered', describeError(error))
      }
    } while (this.#again)
    this.#busy = false
  }

  async #answer(query: TakenQuery): Promise<void> {
    const { store } = this.#host
    const answer = await this.#ask(query).catch((error) => ({ answer: null, error: encodeError(error) }))
    await store.answerQuery({ id: query.id, ...answer })
    this.#host.publish([{ kind: 'queryAnswered', ids: [query.id] }])
  }

  async #ask(query: TakenQuery): Promise<{ answer: string | null; error: string | null }> {
    const { runId, name, payload, workflow, identity } = query
    const held = this.#host.runner(runId)?.query(name, payload)
    if (held) return held
    const definition = this.#host.definition(workflow, query.version)
    const events = (await this.#host.store.load([runId])).get(runId)?.events ?? []
    if (events.length === 0 || definition === undefined) throw new RunNotFoundError(runId)
    const { version } = definition
    const { execution } = await replay(definition, { ...identity, runId, workflow, version }, events)
    try {
      return await askExecution(execution, name, payload)
    } finally {
      execution.drop()
    }
  }
}
