/** Definitions: what `workflow`, `signal`, `query` and `update` make. */
import type { StandardSchemaV1 as Schema } from '@standard-schema/spec'
import { durationMs } from './duration.js'
import { InvalidInputError } from './errors.js'
import { checkName } from './ids.js'
import { type DeclaredLimit, resolveLimits } from './limits.js'
import { checkPriority, checkVersion } from './options.js'
import { type ResolvedRetry, resolveRetry } from './retry.js'
import type { AnyWorkflow, Ctx, Query, Signal, Update, Workflow, WorkflowOptions } from './types.js'

/** Recognised by every copy of the package. */
const definitionOf = Symbol.for('stet.workflow')
const schemaKey = Symbol.for('stet.schema')

/** What the engine knows of a workflow. */
export interface Definition {
  readonly name: string
  readonly version: number
  readonly queue: string
  readonly timeoutMs: number | null
  readonly priority: number
  /** What the steps of this workflow fall back to. */
  readonly retry: ResolvedRetry
  readonly limits: readonly DeclaredLimit[]
  readonly input: Schema | undefined
  /** What the result is checked against. */
  readonly output: Schema | undefined
  readonly fn: (ctx: Ctx, input: any) => Promise<unknown>
}

/**
 * Defines a workflow: a plain async function whose completed steps are recorded, and stand after a crash.
 *
 * `options.version` is an integer from 1 (default 1), `queue` the lane that workers listen on (default `'default'`),
 * `timeout` how long a run may take altogether (default: no limit), `retry` the policy that its steps fall back to,
 * `input` a Standard Schema that inputs are checked against when a run is started, `output` one for the result: the
 * function returns what the schema takes, and the run's result is what the schema makes of it.
 *
 * `concurrency` bounds how many of its runs workers have in hand at once, `rateLimit` how many are begun in any period,
 * both for all runs together or for each value of a `key` in their inputs; `fairness` takes turns between such values.
 * Workers write them down when they start; they can be changed while the system runs (`stet limit`).
 *
 * @throws InvalidInputError for a name, version or option that cannot be used
 * @example
 * export const hello = workflow('hello', async (ctx, name: string) => {
 *   return await ctx.step('greet', () => `Hello, ${name}!`)
 * })
 */
export function workflow<I, O>(name: string, fn: (ctx: Ctx<I>, input: I) => Promise<O>): Workflow<I, O>
// Before those without `output`, which would take options that are in a variable and pass the schema over.
export function workflow<R extends Schema, S extends Schema = never, I = unknown>(
  name: string,
  options: WorkflowOptions & { output: R; input?: S },
  fn: (ctx: Ctx<Given<S, I>>, input: Taken<S, I>) => Promise<Schema.InferInput<R>>,
): Workflow<Given<S, I>, Schema.InferOutput<R>>
export function workflow<S extends Schema, O>(
  name: string,
  options: WorkflowOptions & { input: S },
  fn: (ctx: Ctx<Schema.InferInput<S>>, input: Schema.InferOutput<S>) => Promise<O>,
): Workflow<Schema.InferInput<S>, O>
export function workflow<I, O>(
  name: string,
  options: WorkflowOptions,
  fn: (ctx: Ctx<I>, input: I) => Promise<O>,
): Workflow<I, O>
export function workflow(
  name: string,
  optionsOrFn: (WorkflowOptions & { input?: Schema; output?: Schema }) | Definition['fn'],
  maybeFn?: Definition['fn'],
): AnyWorkflow {
  const [options, fn] = typeof optionsOrFn === 'function' ? [{}, optionsOrFn] : [optionsOrFn, maybeFn]
  checkName(name, 'workflow name')
  const what = `workflow "${name}"`
  if (typeof fn !== 'function') {
    throw new InvalidInputError(`${what}: expected an async function as the last argument, got ${typeof fn}.`)
  }
  const { version = 1, queue = 'default', priority = 0 } = options
  checkVersion(version, `${what}, version`)
  checkPriority(priority, `${what}, priority`)
  checkName(queue, `${what}, queue`)
  return makeWorkflow({
    name,
    version,
    queue,
    priority,
    timeoutMs: options.timeout === undefined ? null : durationMs(options.timeout, `${what}, timeout`),
    retry: resolveRetry(options.retry, `${what}, retry`),
    limits: resolveLimits(options, what),
    input: options.input,
    output: options.output,
    fn,
  })
}

/** What a caller gives when there may be an input schema, and what the function is given: without one, both are `I`. */
type Given<S, I> = [S] extends [never] ? I : S extends Schema ? Schema.InferInput<S> : never
type Taken<S, I> = [S] extends [never] ? I : S extends Schema ? Schema.InferOutput<S> : never

/** Wraps a definition into the value that users export. */
export function makeWorkflow(definition: Definition): AnyWorkflow {
  return Object.freeze({
    name: definition.name,
    version: definition.version,
    [definitionOf]: definition,
  }) as unknown as AnyWorkflow
}

/** The definition behind a workflow, or undefined for anything else. */
export function definition(value: unknown): Definition | undefined {
  return typeof value === 'object' && value !== null ? (value as any)[definitionOf] : undefined
}

/**
 * The definitions in an array or a module namespace (values that are not workflows are passed over there).
 * @throws InvalidInputError when there is none, when an array holds something else, or when two have one name and version
 */
export function definitions(workflows: readonly AnyWorkflow[] | Record<string, unknown>): Definition[] {
  const found = new Map<string, Definition>()
  for (const [key, value] of Object.entries(workflows)) {
    const def = definition(value)
    if (def === undefined) {
      if (!Array.isArray(workflows)) continue
      throw new InvalidInputError(`workflows[${key}]: expected what workflow() or dag() returns, got ${typeof value}.`)
    }
    const id = `${def.name}@${def.version}`
    if (found.has(id) && found.get(id)?.fn !== def.fn) {
      throw new InvalidInputError(
        `workflows: two definitions of "${def.name}" have version ${def.version}. Give one another version or name.`,
      )
    }
    found.set(id, def)
  }
  if (found.size === 0) {
    throw new InvalidInputError(
      'workflows: no workflow found. Pass an array of workflows, or a module that exports some.',
    )
  }
  return [...found.values()]
}

/**
 * A typed name of a signal, for the workflow and for those who send it. With a schema, messages are checked when sent.
 * @example export const approved = signal<{ by: string }>('approved')
 */
export function signal<T = void>(name: string): Signal<T>
export function signal<S extends Schema>(name: string, schema: S): Signal<Schema.InferOutput<S>>
export function signal(name: string, schema?: Schema): Signal<any> {
  checkName(name, 'signal name')
  return Object.freeze({ name, [schemaKey]: schema }) as unknown as Signal<any>
}

/** The schema that a signal or an update was made with. */
export function schemaOf(value: unknown): Schema | undefined {
  return typeof value === 'object' && value !== null ? (value as any)[schemaKey] : undefined
}

/**
 * A typed name of a query: a read-only question to a run.
 * @example export const progress = query<number>('progress')
 */
export function query<R, A = void>(name: string): Query<A, R> {
  checkName(name, 'query name')
  return Object.freeze({ name }) as unknown as Query<A, R>
}

/**
 * A typed name of an update: a validated request to a run, with an answer. With a schema, arguments are checked when sent.
 *
 * The answer comes first and has to be told; TypeScript infers all type arguments of a call or none. So with a schema
 * both are written, the second as the argument's type (checked against the schema) or as the schema's; or neither, and
 * the answer is `unknown`.
 * @example
 * export const withdraw = update<number, { amount: number }>('withdraw')
 * export const checked = update<number, { amount: number }>('withdraw', amountSchema)
 * export const same = update<number, typeof amountSchema>('withdraw', amountSchema)
 */
export function update<R, A = void>(name: string): Update<A, R>
export function update<R, S extends Schema>(name: string, schema: S): Update<Schema.InferOutput<S>, R>
export function update<R, A>(name: string, schema: Schema<unknown, A>): Update<A, R>
export function update(name: string, schema?: Schema): Update<any, any> {
  checkName(name, 'update name')
  return Object.freeze({ name, [schemaKey]: schema }) as unknown as Update<any, any>
}
