/**
 * One workflow, executed again and again with one input, its steps let go on one at a time.
 *
 * X1. Executions know nothing of each other: each begins with no open run, and with no run under an id that it may
 *     choose. What an earlier one left waiting is terminated; where it chose ids, the next has a database of its own.
 */
import { encode, encodeError } from '../core/codec.js'
import { InvalidInputError, RunFailedError, StetError } from '../core/errors.js'
import type { RecordedEvent } from '../core/events.js'
import { openStatuses } from '../core/statuses.js'
import type { AnyWorkflow, Handle, Log, Workflow } from '../core/types.js'
import { type Definition, definition, definitions } from '../core/workflow.js'
import type { Store } from '../store/port.js'
import { Env, type TestEnv, type TestOptions } from './env.js'
import { type GateParts, OneByOne } from './gate.js'

export interface ExecutionOptions extends Omit<TestOptions, 'workflows'> {
  /** Those of other runs that take part: children, runs that it sends messages to. Their steps count as well. */
  workflows?: TestOptions['workflows']
  /** Takes a run to its end: sends its signals, moves the clock. Default: `env.clock.runToIdle()`. */
  drive?: (run: Handle<any>, env: TestEnv) => Promise<void>
  /** The part of an output that must be the same each time; default: all of it. */
  compare?: (output: any) => unknown
}

/** The history of a run, with the code that made it. */
export interface ExecutedRun {
  readonly definition: Definition
  readonly row: { readonly id: string; readonly runId: string; readonly version: number; readonly queue: string }
  readonly events: readonly RecordedEvent[]
}

export class Executions implements AsyncDisposable {
  readonly #what: string
  readonly #open: () => Promise<Env>
  readonly #gate: OneByOne
  readonly #workflow: AnyWorkflow
  readonly #input: unknown
  readonly #definitions: readonly Definition[]
  readonly #drive: NonNullable<ExecutionOptions['drive']>
  readonly #compare: NonNullable<ExecutionOptions['compare']>
  #env: Env | null = null

  /** `what` is the function that the user has called, for messages. Nothing is opened before the first execution. */
  constructor(what: string, workflow: AnyWorkflow, input: unknown, options: ExecutionOptions, parts: GateParts) {
    if (definition(workflow) === undefined) {
      throw new InvalidInputError(
        `${what}: expected a workflow (what workflow() or dag() returns), got ${typeof workflow}.`,
      )
    }
    const { workflows: others = [], drive, compare, ...rest } = options
    // Of a module namespace the workflows are taken; what is wrong in an array is told by the environment.
    const given = Array.isArray(others)
      ? others
      : Object.values(others).filter((each) => definition(each) !== undefined)
    const workflows = [workflow, ...given.filter((each) => each !== workflow)] as AnyWorkflow[]
    this.#what = what
    this.#gate = new OneByOne(parts)
    this.#open = () => Env.open({ log: errorsAlone, ...rest, workflows }, { gate: this.#gate })
    this.#definitions = definitions(workflows)
    this.#workflow = workflow
    this.#input = input
    this.#drive = drive ?? ((_run, env) => env.clock.runToIdle())
    this.#compare = compare ?? ((output) => output)
  }

  /** That of the execution under way, or of the last. */
  get env(): Env {
    return this.#env!
  }

  store(): Promise<Store> {
    return this.env.stet.internals<Store>().then(({ store }) => store)
  }

  /**
   * Executes it once more. The outcome, as a text for people that is the same for the same outcome.
   * @throws StetError code `not_closed` when `drive` has not taken the run to its end
   */
  async next(): Promise<string> {
    const env = await this.#cleared()
    this.#gate.begin()
    const run = await env.stet.start(this.#workflow as Workflow<unknown, any>, this.#input)
    await this.#drive(run, env)
    return this.#outcomeOf(run)
  }

  /** What the runs of the last execution have recorded. */
  async runs(): Promise<ExecutedRun[]> {
    const store = await this.store()
    const { runIds } = this.#gate
    const histories = await store.histories(runIds)
    const rows = await Promise.all(runIds.map((runId) => store.find(runId)))
    return rows.flatMap((row) => {
      const definition = this.#definitions.find(
        ({ name, version }) => name === row?.workflow && version === row.version,
      )
      return row === null || definition === undefined
        ? []
        : [{ definition, row, events: histories.get(row.runId) ?? [] }]
    })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#env?.[Symbol.asyncDispose]()
  }

  /** An environment without open runs (X1), and without any run under an id that another execution may choose. */
  async #cleared(): Promise<Env> {
    if (this.#env !== null && !(await this.#choseIds())) {
      await terminateAll(this.#env)
      return this.#env
    }
    await this.#env?.[Symbol.asyncDispose]()
    const env = await this.#open()
    this.#env = env
    const { store } = await env.stet.internals<Store>()
    this.#gate.attach(env.worker, store, {
      queues: [...new Set(['default', ...this.#definitions.map(({ queue }) => queue)])],
      workflows: this.#definitions.map(({ name, version }) => ({ name, version })),
    })
    return env
  }

  async #choseIds(): Promise<boolean> {
    const rows = await this.runs()
    const first = new Set(rows.map(({ row }) => row.runId))
    return rows.some(({ row }) => !first.has(row.id))
  }

  async #outcomeOf(run: Handle<any>): Promise<string> {
    const { status, closedAt } = await run.describe()
    if (closedAt === undefined) {
      throw new StetError(
        'not_closed',
        `${this.#what}: expected run ${run.runId} to have ended, it is ${status}. Pass drive: async (run, env) => { … } that sends what it waits for.`,
      )
    }
    try {
      const output = await run.result()
      return `completed with ${encode(this.#compare(output), 'what compare returned') ?? 'undefined'}`
    } catch (error) {
      if (!(error instanceof RunFailedError)) throw error
      const { name, message } = JSON.parse(encodeError(error.cause)) as { name: string; message: string }
      return `${status} with ${name}: ${message}`
    }
  }
}

async function terminateAll({ stet, clock }: Env): Promise<void> {
  // Again, for a child may start as its parent ends.
  for (;;) {
    const { runs } = await stet.list({ status: [...openStatuses], limit: 100 })
    if (runs.length === 0) return
    await Promise.all(runs.map(({ runId }) => stet.run(runId).terminate()))
    await clock.advance(0)
  }
}

/** That a worker is lost is the point here, and no news. */
const errorsAlone: Log = {
  debug() {},
  info() {},
  warn() {},
  error: (message, fields) => process.emitWarning(`${message} ${JSON.stringify(fields ?? {})}`, { type: 'stet' }),
}
