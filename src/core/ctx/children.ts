/** Runs that a run starts, and the run that follows it. */
import { createHash } from 'node:crypto'
import { checkAttributes } from '../attributes.js'
import { encode } from '../codec.js'
import { durationMs } from '../duration.js'
import { InvalidInputError } from '../errors.js'
import type { Execution } from '../execution.js'
import { checkName } from '../ids.js'
import type { ChildRequest, Operation } from '../operation.js'
import { checkPriority, checkVersion, nameOf, oneOf } from '../options.js'
import type { CancelScope } from '../scope.js'
import type { AnyWorkflow, ChildHandle, ChildOptions, Ctx } from '../types.js'
import { definition } from '../workflow.js'
import { otherRun } from './messages.js'
import { never } from './never.js'

type Part = Pick<Ctx, 'child' | 'startChild' | 'continueAsNew'>

export function children(execution: Execution, scope: CancelScope): Part {
  const ask = (workflow: AnyWorkflow | string, input: unknown, options: ChildOptions = {}, staged: boolean) => {
    const request = childRequest(execution, workflow, input, options, staged)
    return execution.ask(request.workflow, { kind: 'child', child: request }, { scope })
  }
  return {
    child(workflow: AnyWorkflow | string, input?: unknown, options?: ChildOptions): Promise<any> {
      if (!execution.inTurn(`ctx.child("${nameOf(workflow)}")`)) return never()
      return ask(workflow, input, options, false).promise
    },

    startChild(workflow: AnyWorkflow | string, input?: unknown, options?: ChildOptions): Promise<any> {
      if (!execution.inTurn(`ctx.startChild("${nameOf(workflow)}")`)) return never()
      const operation = ask(workflow, input, options, true)
      return operation.started!.then(() => childHandle(execution, scope, operation))
    },

    continueAsNew(input?: unknown, options: { version?: number } = {}): Promise<never> {
      if (!execution.inTurn('ctx.continueAsNew')) return never()
      const { version = null } = options
      if (version !== null) checkVersion(version, 'ctx.continueAsNew, version')
      execution.continueAsNew(encode(input, `the input of workflow "${execution.definition.name}"`), version)
      return never()
    },
  }
}

function childHandle(execution: Execution, scope: CancelScope, operation: Operation): ChildHandle<any> {
  const { id, runId } = (operation.request as { child: ChildRequest }).child
  const { signal, cancel } = otherRun(execution, scope, id === runId ? runId : id)
  return { id, runId, result: () => operation.promise, signal, cancel }
}

function childRequest(
  execution: Execution,
  workflow: AnyWorkflow | string,
  input: unknown,
  options: ChildOptions,
  staged: boolean,
): ChildRequest {
  const def = typeof workflow === 'string' ? undefined : definition(workflow)
  const name = nameOf(workflow)
  checkName(name, 'ctx.child: workflow name')
  const what = `child "${name}"`
  if (typeof workflow !== 'string' && def === undefined) {
    throw new InvalidInputError(`${what}: expected a workflow (what workflow() or dag() returns) or its name.`)
  }
  if (options.id !== undefined) checkName(options.id, `${what}: id`)
  const { queue = def?.queue ?? execution.identity.queue, priority = def?.priority ?? 0 } = options
  checkName(queue, `${what}: queue`)
  checkPriority(priority, `${what}: priority`)
  const runId = childRunId(execution.identity.runId, execution.operationCount + 1, execution.now())
  return {
    runId,
    id: options.id ?? runId,
    workflow: name,
    version: def?.version ?? null,
    queue,
    priority,
    timeoutMs:
      options.timeout === undefined ? (def?.timeoutMs ?? null) : durationMs(options.timeout, `${what}: timeout`),
    payload: encode(input, `the input of ${what}`),
    attributes: options.attributes === undefined ? null : checkAttributes(options.attributes, what),
    parentClosePolicy: oneOf(
      options.parentClosePolicy,
      ['cancel', 'terminate', 'abandon'],
      `${what}: parentClosePolicy`,
    ),
    cancellation: oneOf(options.cancellation, ['wait', 'request', 'abandon'], `${what}: cancellation`),
    staged,
    schema: def?.input,
  }
}

/** Made as every run id is, of time and 72 bits, but the bits follow from who starts it. */
function childRunId(parent: string, op: number, now: number): string {
  const bits = BigInt(`0x${createHash('sha256').update(`${parent}:${op}`).digest('hex').slice(0, 18)}`)
  return `run_${Math.floor(now).toString(36).padStart(9, '0')}${bits.toString(36).padStart(14, '0')}`
}
