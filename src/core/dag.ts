/**
 * Workflows whose shape is declared. A dag compiles to a workflow function that asks for one operation for each task,
 * on the same engine as any other, with the declared dependencies as causes.
 *
 * D1. Every task closes: completed, failed, or skipped, and is decided exactly when the last of its dependencies closed.
 *     So an operation's causes have smaller indices than it, and the graph has each task.
 * D2. Causes are the declared dependencies, no more and no fewer; of a task without any, the start.
 * D3. After the first critical failure (or a cancel) no task starts, except those with `when: 'closed'`.
 * D4. The run closes when all tasks have, so that what is recorded of them is complete.
 */
import { callsite } from './callsite.js'
import { InvalidInputError } from './errors.js'
import { checkTaskOptions, type Plan, planOf, runPlan, type TaskPlan } from './plan.js'
import type { ResolvedRetry } from './retry.js'
import type { AnyWorkflow, Dag, DagResult, Task, TaskOptions, Workflow, WorkflowOptions } from './types.js'
import { definition, workflow } from './workflow.js'

export { dagFromJSON } from './dag-json.js'

type Returned = Record<string, Task<any>> | void

/**
 * Defines a workflow as a graph of tasks. A task is a step that starts as soon as its dependencies are closed;
 * independent ones run in parallel.
 *
 * `define` is called once, here, and declares the tasks with `d.task(name, options?, fn)`; `fn` is given the input, the
 * outputs of its dependencies in their order, and the step. Options are those of a step, and:
 * - `dependsOn`: tasks declared before (default: none);
 * - `critical` (default true): if it finally fails, no further task starts and the run fails with its `StepFailure` once
 *   the tasks under way have ended. Otherwise its output is `undefined` and only its dependents are skipped;
 * - `when`: `'completed'` (default) or `'closed'`, to run whatever became of the dependencies, also after a critical
 *   failure; outputs of those that failed or were skipped are then `undefined`.
 *
 * The run's result is the object that `define` returns with each task replaced by its output, or all outputs by name.
 *
 * @throws InvalidInputError for an empty dag, a name that is used twice, a task of another dag, an option that cannot be used
 * @example
 * export const order = dag('order', (d: Dag<Order>) => {
 *   const charge = d.task('charge', (order) => chargeCard(order))
 *   const ship = d.task('ship', { dependsOn: [charge] }, (order, [receipt]) => shipOrder(order, receipt))
 *   return { ship }
 * })
 */
export function dag<I, R extends Returned>(name: string, define: (d: Dag<I>) => R): Workflow<I, DagResult<R>>
export function dag<I, R extends Returned>(
  name: string,
  options: WorkflowOptions,
  define: (d: Dag<I>) => R,
): Workflow<I, DagResult<R>>
export function dag(
  name: string,
  optionsOrDefine: WorkflowOptions | ((d: Dag<any>) => Returned),
  maybeDefine?: (d: Dag<any>) => Returned,
): AnyWorkflow {
  const [options, define] =
    typeof optionsOrDefine === 'function' ? [{}, optionsOrDefine] : [optionsOrDefine, maybeDefine]
  if (typeof define !== 'function') {
    throw new InvalidInputError(`dag "${name}": expected a function as the last argument, got ${typeof define}.`)
  }
  let plan: Plan
  // The workflow first: it checks the name and the options, and resolves the retry policy that tasks fall back to.
  const made = workflow(name, options, async (_ctx, input) => runPlan(plan, input))
  const builder = new Builder(`dag "${name}"`, definition(made)!.retry)
  const returned = define({ task: builder.task.bind(builder) } as Dag<any>)
  plan = planOf(builder.close(), builder.result(returned), builder.what)
  return made
}

type AnyTaskFn = (input: any, dependencies: any, step: any) => unknown

class Builder {
  readonly what: string
  /** What tasks fall back to. */
  readonly #retry: ResolvedRetry
  readonly #tasks = new Map<Task<any>, TaskPlan>()
  readonly #names = new Set<string>()
  #closed = false

  constructor(what: string, retry: ResolvedRetry) {
    this.what = what
    this.#retry = retry
  }

  task(
    name: string,
    optionsOrFn: (TaskOptions<readonly Task<any>[]> & { critical?: boolean }) | AnyTaskFn,
    maybeFn?: AnyTaskFn,
  ): Task<any> {
    if (this.#closed) {
      throw new InvalidInputError(
        `${this.what}: d.task("${name}") was called after the dag was defined. Declare all tasks inside the function given to dag().`,
      )
    }
    const [options, fn] = typeof optionsOrFn === 'function' ? [{}, optionsOrFn] : [optionsOrFn, maybeFn]
    const where = callsite()
    const what = `${this.what}, task "${name}"`
    if (this.#names.has(name)) throw new InvalidInputError(`${what}: there is a task of this name already.`)
    const checked = checkTaskOptions(name, options, what, what, this.#retry)
    const dependsOn: unknown = options.dependsOn ?? []
    if (!Array.isArray(dependsOn)) {
      throw new InvalidInputError(`${what}, dependsOn: expected an array of tasks, got ${typeof dependsOn}.`)
    }
    const dependencies = dependsOn.map((task, i) => this.#planOf(task, `${what}, dependsOn[${i}]`))
    if (typeof fn !== 'function') {
      throw new InvalidInputError(`${what}: expected a function as the last argument, got ${typeof fn}.`)
    }
    const outputs = (get: (task: TaskPlan) => unknown) => dependencies.map(get)
    const task = Object.freeze({ name }) as unknown as Task<any>
    this.#names.add(name)
    this.#tasks.set(task, {
      ...checked,
      where,
      dependencies,
      call: (input, outputOf, step) => fn(input, outputs(outputOf), step),
    })
    return task
  }

  /** No task can be added any more. */
  close(): TaskPlan[] {
    this.#closed = true
    return [...this.#tasks.values()]
  }

  /** The output of the run by key: null when `define` returned nothing. */
  result(returned: unknown): [string, TaskPlan][] | null {
    if (returned === undefined) return null
    const problem =
      typeof returned !== 'object' || returned === null
        ? `got ${returned === null ? 'null' : typeof returned}.`
        : Array.isArray(returned)
          ? 'got an array.'
          : this.#tasks.has(returned as Task<any>)
            ? `got the task "${(returned as Task<any>).name}" itself. Return it in an object.`
            : typeof (returned as { then?: unknown }).then === 'function'
              ? 'got a promise. The function that declares the tasks cannot be async.'
              : null
    if (problem !== null) {
      throw new InvalidInputError(`${this.what}: expected an object of tasks, or nothing, to be returned, ${problem}`)
    }
    return Object.entries(returned as object).map(([key, task]) => [
      key,
      this.#planOf(task, `${this.what}, returned "${key}"`),
    ])
  }

  #planOf(task: unknown, what: string): TaskPlan {
    const found = this.#tasks.get(task as Task<any>)
    if (found !== undefined) return found
    const name = typeof task === 'object' && task !== null ? (task as Task<any>).name : undefined
    throw new InvalidInputError(
      typeof name === 'string'
        ? `${what}: task "${name}" belongs to another dag. Use what d.task() of this dag returned.`
        : `${what}: expected what d.task() returned, got ${task === null ? 'null' : typeof task}.`,
    )
  }
}
