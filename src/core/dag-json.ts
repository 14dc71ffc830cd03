/** Dags from configuration: the shape in JSON, the functions in code. */
import { InvalidInputError } from './errors.js'
import { checkName } from './ids.js'
import { checkTaskOptions, type Plan, planOf, runPlan, shown, type TaskPlan } from './plan.js'
import type { ResolvedRetry } from './retry.js'
import { checkFields, didYouMean } from './suggest.js'
import type { DagSpec, StepContext, Workflow } from './types.js'
import { definition, workflow } from './workflow.js'

/** What a task of a JSON dag uses: given the input, the outputs of its dependencies by name, and the step. */
export type JSONTaskFn = (input: any, dependencies: Record<string, any>, step: StepContext & { with: any }) => unknown

const specFields = ['name', 'version', 'tasks']
const taskFields = ['name', 'use', 'dependsOn', 'with', 'retry', 'timeout', 'critical', 'when']

/**
 * Makes a workflow of a dag that is written as JSON. `tasks` holds the functions by the name under which the JSON uses
 * them; tasks may be in any order, and several may use one function. `with` is handed to it as `step.with`. The run's
 * result is an object of all outputs by task name. The options mean the same as for `dag()`.
 *
 * @throws InvalidInputError with the place in the JSON (`tasks[3].dependsOn[0]`): an unknown field, dependency or `use`,
 *   a name that is used twice, a cycle (with the whole path), an option that cannot be used
 * @example
 * dagFromJSON({ name: 'etl', tasks: [
 *   { name: 'load', use: 'load' },
 *   { name: 'report', use: 'mail', dependsOn: ['load'], with: { to: 'ops' }, critical: false },
 * ] }, { load: (input) => read(input), mail: (input, { load }, step) => mail(step.with.to, load) })
 */
export function dagFromJSON(spec: DagSpec, tasks: Record<string, JSONTaskFn>): Workflow<any, Record<string, unknown>> {
  if (typeof spec !== 'object' || spec === null || Array.isArray(spec)) {
    throw new InvalidInputError(`dagFromJSON: expected an object with name and tasks, got ${shown(spec)}.`)
  }
  checkName(spec.name, 'dagFromJSON, name')
  const what = `dag "${spec.name}"`
  checkFields(spec, specFields, what)
  let plan: Plan
  const options = spec.version === undefined ? {} : { version: spec.version }
  const made = workflow(spec.name, options, async (_ctx, input: any) => runPlan(plan, input))
  plan = planOf(tasksOf(spec, tasks, what, definition(made)!.retry), null, what)
  return made
}

/** Each task checked, and its dependencies found. */
function tasksOf(spec: DagSpec, functions: Record<string, JSONTaskFn>, what: string, retry: ResolvedRetry): TaskPlan[] {
  if (!Array.isArray(spec.tasks)) {
    throw new InvalidInputError(`${what}, tasks: expected an array, got ${shown(spec.tasks)}.`)
  }
  const places = new Map<string, number>()
  const drafts = spec.tasks.map((task: unknown, i) => {
    const place = `${what}, tasks[${i}]`
    if (typeof task !== 'object' || task === null || Array.isArray(task)) {
      throw new InvalidInputError(`${place}: expected an object with name and use, got ${shown(task)}.`)
    }
    const { name, use, dependsOn = [], with: given } = task as DagSpec['tasks'][number]
    const checked = checkTaskOptions(name, task, place, place, retry, taskFields)
    const other = places.get(checked.name)
    if (other !== undefined) {
      throw new InvalidInputError(`${place}.name: "${checked.name}" is the name of tasks[${other}] already.`)
    }
    places.set(checked.name, i)
    const fn = functionOf(functions, use, `${place}.use`)
    if (!Array.isArray(dependsOn)) {
      throw new InvalidInputError(`${place}.dependsOn: expected an array of task names, got ${shown(dependsOn)}.`)
    }
    return { checked, fn, dependsOn: dependsOn as readonly unknown[], given, dependencies: [] as TaskPlan[] }
  })
  const plans = drafts.map(({ checked, fn, given, dependencies }): TaskPlan => {
    return {
      ...checked,
      where: undefined,
      dependencies,
      call: (input, outputOf, step) => {
        const outputs = Object.fromEntries(dependencies.map((task) => [task.name, outputOf(task)]))
        return fn(input, outputs, withGiven(step, given))
      },
    }
  })
  for (const [i, { dependsOn, dependencies }] of drafts.entries()) {
    for (const [j, name] of dependsOn.entries()) {
      const place = `${what}, tasks[${i}].dependsOn[${j}]`
      if (typeof name !== 'string') {
        throw new InvalidInputError(`${place}: expected the name of a task, got ${shown(name)}.`)
      }
      const found = places.get(name)
      if (found === undefined) {
        throw new InvalidInputError(`${place}: there is no task "${name}".${didYouMean(name, places.keys())}`)
      }
      dependencies.push(plans[found]!)
    }
  }
  refuseCycle(plans, what)
  return plans
}

function functionOf(functions: Record<string, JSONTaskFn>, use: unknown, place: string): JSONTaskFn {
  if (typeof use !== 'string') {
    throw new InvalidInputError(`${place}: expected the name of a function, got ${shown(use)}.`)
  }
  // Own properties only: `use: "constructor"` is a mistake.
  const fn = Object.hasOwn(functions ?? {}, use) ? functions[use] : undefined
  if (typeof fn === 'function') return fn
  const names = Object.keys(functions ?? {}).filter((name) => typeof functions[name] === 'function')
  const help = didYouMean(use, names) || ` There are ${names.join(', ') || 'none'}.`
  throw new InvalidInputError(`${place}: no function "${use}" was given.${help}`)
}

/** The step with `with` beside it. Not a copy: getters stay getters, and methods are called on the step itself. */
function withGiven(step: StepContext, given: unknown): StepContext & { with: unknown } {
  return {
    get attempt() {
      return step.attempt
    },
    get signal() {
      return step.signal
    },
    get idempotencyKey() {
      return step.idempotencyKey
    },
    get checkpoint() {
      return step.checkpoint
    },
    saveCheckpoint: (value) => step.saveCheckpoint(value),
    heartbeat: () => step.heartbeat(),
    get log() {
      return step.log
    },
    with: given,
  }
}

/** @throws InvalidInputError naming the path of the first cycle: `a → b → a`, each depending on the next */
function refuseCycle(tasks: readonly TaskPlan[], what: string): void {
  const finished = new Set<TaskPlan>()
  for (const root of tasks) {
    // Not by recursion: a dag may be thousands of tasks deep.
    const path: { task: TaskPlan; next: number }[] = []
    const onPath = new Set<TaskPlan>()
    const enter = (task: TaskPlan) => {
      path.push({ task, next: 0 })
      onPath.add(task)
    }
    if (!finished.has(root)) enter(root)
    while (path.length > 0) {
      const at = path.at(-1)!
      const dependency = at.task.dependencies[at.next++]
      if (dependency === undefined) {
        path.pop()
        onPath.delete(at.task)
        finished.add(at.task)
      } else if (onPath.has(dependency)) {
        const names = path.map(({ task }) => task.name)
        const cycle = [...names.slice(names.indexOf(dependency.name)), dependency.name].join(' → ')
        throw new InvalidInputError(`${what}: tasks depend on themselves: ${cycle} (each on the next).`)
      } else if (!finished.has(dependency)) enter(dependency)
    }
  }
}
