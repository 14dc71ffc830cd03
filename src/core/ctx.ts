/** The ctx that a workflow function is given: thin sugar over `Execution.ask`, with its arguments checked. */
import { children } from './ctx/children.js'
import { messages } from './ctx/messages.js'
import { scopes } from './ctx/scopes.js'
import { aboutRun, values } from './ctx/values.js'
import { waits } from './ctx/waits.js'
import { StetError } from './errors.js'
import type { Execution } from './execution.js'
import type { CancelScope } from './scope.js'
import { shared } from './state.js'
import type { Ctx } from './types.js'

export { continueAsNewAfter, createLog } from './ctx/values.js'

/** The ctx of one scope of a run; what is asked for through it is cancelled with that scope. */
export function createCtx(execution: Execution, scope: CancelScope): Ctx {
  return Object.freeze(
    Object.defineProperty(
      {
        ...waits(execution, scope),
        ...messages(execution, scope),
        ...children(execution, scope),
        ...scopes(execution, scope, createCtx),
        ...values(execution),
      },
      'run',
      { get: () => aboutRun(execution), enumerable: true },
    ),
  ) as Ctx
}

/**
 * The ctx of the workflow that is running, without passing it; inside `ctx.scope` and `ctx.shield`, theirs.
 * @throws StetError outside a workflow, and inside a step
 * @example const greet = (name: string) => context().step('greet', () => `Hello, ${name}!`)
 */
export function context(): Ctx {
  if (shared.current !== null) {
    const inner = shared.scope.getStore()
    return inner?.run === shared.current ? inner.ctx : shared.current.ctx
  }
  const step = shared.step.getStore()
  throw step === undefined
    ? new StetError(
        'outside_workflow',
        'context() was called outside a workflow. Call it inside the function given to workflow(), before any await of something that is not recorded.',
      )
    : new StetError(
        'inside_step',
        `context() was called inside step "${step.name}". A step is one unit of work: use the step argument, and call ctx in the workflow function.`,
      )
}
