/** How the tasks of a dag are checked, and run. Its invariants stand in `dag.ts`. */
import { durationMs } from './duration.js'
import { CancelledFailure, InvalidInputError } from './errors.js'
import type { Execution } from './execution.js'
import { checkName } from './ids.js'
import { type ResolvedRetry, resolveRetry } from './retry.js'
import { shared } from './state.js'
import { type ResolvedStep, resolveStep } from './step.js'
import { checkFields } from './suggest.js'
import type { Duration, RetryPolicy, StepContext, StepOptions } from './types.js'

/** A task as it was declared, checked. */
export interface TaskPlan {
  readonly name: string
  readonly critical: boolean
  /** Runs whatever became of its dependencies. */
  readonly whenClosed: boolean
  readonly step: Omit<ResolvedStep, 'fn'>
  /** In the order of declaration; one that is named twice stands here twice. */
  readonly dependencies: readonly TaskPlan[]
  readonly where: string | undefined
  readonly call: (input: unknown, outputOf: (task: TaskPlan) => unknown, step: StepContext) => unknown
}

/** A dag, ready to run. */
export interface Plan {
  readonly tasks: readonly PlannedTask[]
  /** What the run returns; all outputs by name if null. */
  readonly result: readonly (readonly [string, TaskPlan])[] | null
}

interface PlannedTask {
  readonly task: TaskPlan
  readonly index: number
  /** Indices of tasks; each once, ascending. */
  readonly dependencies: readonly number[]
  readonly dependents: readonly number[]
}

/** Finds who waits for whom. `tasks` have no cycle among them. */
export function planOf(tasks: readonly TaskPlan[], result: Plan['result'], what: string): Plan {
  if (tasks.length === 0) throw new InvalidInputError(`${what}: expected at least one task, got none.`)
  const indexOf = new Map(tasks.map((task, index) => [task, index]))
  const dependents: number[][] = tasks.map(() => [])
  const planned = tasks.map((task, index) => {
    const dependencies = [...new Set(task.dependencies.map((dependency) => indexOf.get(dependency)!))]
    dependencies.sort((a, b) => a - b)
    for (const dependency of dependencies) dependents[dependency]!.push(index)
    return { task, index, dependencies, dependents: dependents[index]! }
  })
  return { tasks: planned, result }
}

type State = 'open' | 'running' | 'completed' | 'failed' | 'skipped'

/** The function of a dag's workflow. Called inside the first turn of a run, and it acts in turns only. */
export function runPlan(plan: Plan, input: unknown): Promise<Record<string, unknown>> {
  // The engine of the run whose turn this is: a task is an operation with causes of its own, which no ctx offers.
  const run = shared.current as unknown as Execution
  const { tasks } = plan
  const states: State[] = tasks.map(() => 'open')
  const outputs: unknown[] = tasks.map(() => undefined)
  const operations: number[] = []
  const waitingFor = tasks.map(({ dependencies }) => dependencies.length)
  const indexOf = new Map(tasks.map(({ task, index }) => [task, index]))
  const outputOf = (task: TaskPlan) => outputs[indexOf.get(task)!]
  let open = tasks.length
  let failure: { readonly error: unknown; readonly because: string } | null = null

  return new Promise((resolve, reject) => {
    const ask = (planned: PlannedTask, skip: string | null): Promise<unknown> => {
      const { task, index, dependencies } = planned
      const operation = run.ask(
        task.name,
        skip !== null
          ? { kind: 'skip', reason: skip }
          : { kind: 'step', step: { ...task.step, fn: (context) => task.call(input, outputOf, context) } },
        {
          causes: dependencies.length === 0 ? [0] : dependencies.map((each) => operations[each]!).sort((a, b) => a - b),
          where: task.where,
        },
      )
      operations[index] = operation.index
      return operation.promise
    }

    /** Why a task will not run; null: it will. */
    const obstacle = ({ task, dependencies }: PlannedTask): string | null => {
      if (task.whenClosed) return null
      const missing = dependencies.find((each) => states[each] !== 'completed')
      if (missing !== undefined) {
        const { name } = tasks[missing]!.task
        return `its dependency "${name}" ${states[missing] === 'failed' ? 'failed' : 'was skipped'}`
      }
      // Cancelled while no task was running that could have been told.
      if (failure === null && run.cancelRequested !== null) {
        failure = { error: new CancelledFailure('the run was cancelled'), because: 'the run was cancelled' }
      }
      return failure?.because ?? null
    }

    const decide = (planned: PlannedTask): void => {
      const { task, index } = planned
      const skip = obstacle(planned)
      states[index] = 'running'
      ask(planned, skip).then(
        (value) => {
          outputs[index] = value
          close(index, skip === null ? 'completed' : 'skipped')
        },
        (error) => {
          if (error instanceof CancelledFailure) failure ??= { error, because: 'the run was cancelled' }
          else if (task.critical) failure ??= { error, because: `the critical task "${task.name}" failed` }
          close(index, 'failed')
        },
      )
    }

    const close = (index: number, state: State): void => {
      states[index] = state
      open--
      for (const dependent of tasks[index]!.dependents) {
        if (--waitingFor[dependent]! === 0) decide(tasks[dependent]!)
      }
      if (open > 0) return
      if (failure !== null) reject(failure.error)
      else resolve(resultOf(plan, outputs, outputOf))
    }

    for (const planned of tasks) if (planned.dependencies.length === 0) decide(planned)
  })
}

function resultOf(
  { tasks, result }: Plan,
  outputs: readonly unknown[],
  outputOf: (task: TaskPlan) => unknown,
): Record<string, unknown> {
  // Not by assignment: a key may be `__proto__`.
  return Object.fromEntries(
    result?.map(([key, task]) => [key, outputOf(task)]) ?? tasks.map(({ task, index }) => [task.name, outputs[index]]),
  )
}

// ── options ──────────────────────────────────────────────────────────────────────────────────────

const stepFields = ['retry', 'timeout', 'totalTimeout', 'heartbeatTimeout', 'mode'] as const
const taskFields = ['dependsOn', 'critical', 'when', ...stepFields]
const retryFields = ['maxAttempts', 'initialInterval', 'backoffCoefficient', 'maxInterval', 'jitter', 'nonRetryable']

/**
 * Checks the options of a task, whichever way it was declared. `what` names the task in messages.
 * @throws InvalidInputError naming the option, what was expected and what was given
 */
export function checkTaskOptions(
  name: unknown,
  options: unknown,
  nameWhat: string,
  what: string,
  workflowRetry: ResolvedRetry,
  knownFields: readonly string[] = taskFields,
): Pick<TaskPlan, 'name' | 'critical' | 'whenClosed' | 'step'> {
  checkName(name, `${nameWhat}, name`)
  if (typeof options !== 'object' || options === null || Array.isArray(options)) {
    throw new InvalidInputError(`${what}: expected options, got ${shown(options)}.`)
  }
  checkFields(options, knownFields, what)
  const { critical = true, when = 'completed', retry } = options as Record<string, unknown>
  if (typeof critical !== 'boolean') {
    throw new InvalidInputError(`${what}, critical: expected true or false, got ${shown(critical)}.`)
  }
  if (when !== 'completed' && when !== 'closed') {
    throw new InvalidInputError(`${what}, when: expected 'completed' or 'closed', got ${shown(when)}.`)
  }
  if (retry !== undefined && retry !== false) {
    if (typeof retry !== 'object' || retry === null || Array.isArray(retry)) {
      throw new InvalidInputError(`${what}, retry: expected a retry policy or false, got ${shown(retry)}.`)
    }
    checkFields(retry, retryFields, `${what}, retry`)
    resolveRetry(retry as RetryPolicy, `${what}, retry`)
  }
  const stepOptions: Record<string, unknown> = {}
  for (const field of stepFields) {
    const value = (options as Record<string, unknown>)[field]
    if (value === undefined) continue
    if (/timeout$/i.test(field)) durationMs(value as Duration, `${what}, ${field}`)
    stepOptions[field] = value
  }
  const { fn: _, ...step } = resolveStep(name, notYet, stepOptions as StepOptions, workflowRetry)
  return { name, critical, whenClosed: when === 'closed', step }
}

/** The body of a task is made when it starts: it needs the input and the outputs of that run. */
function notYet(): void {}

/** A value in a message: short, and never throws. */
export function shown(value: unknown): string {
  if (value === null) return 'null'
  if (typeof value === 'string') return JSON.stringify(value.length > 60 ? `${value.slice(0, 60)}…` : value)
  return typeof value === 'object' ? (Array.isArray(value) ? 'an array' : 'an object') : String(value)
}
