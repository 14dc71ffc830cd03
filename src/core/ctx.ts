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

type Part = (execution: Execution, scope: CancelScope) => Partial<Ctx>

const parts: readonly Part[] = [
  waits,
  values,
  messages,
  children,
  (execution, scope) => scopes(execution, scope, createCtx),
]

/** Its parts are made when they are first used: most runs use few, and a run costs no more than what it uses. */
class LazyCtx {
  readonly #execution: Execution
  readonly #scope: CancelScope
  readonly #made: (Partial<Ctx> | undefined)[] = []

  constructor(execution: Execution, scope: CancelScope) {
    this.#execution = execution
    this.#scope = scope
  }

  get run(): Ctx['run'] {
    return aboutRun(this.#execution)
  }

  static part(ctx: LazyCtx, i: number): any {
    ctx.#made[i] ??= parts[i]!(ctx.#execution, ctx.#scope)
    return ctx.#made[i]
  }
}

parts.forEach((part, i) => {
  // Making a part asks nothing of its run, so its names can be had without one.
  for (const name of Object.keys(part(null as unknown as Execution, null as unknown as CancelScope))) {
    Object.defineProperty(LazyCtx.prototype, name, {
      get(this: LazyCtx) {
        return LazyCtx.part(this, i)[name]
      },
      enumerable: true,
    })
  }
})

/** The ctx of one scope of a run; what is asked for through it is cancelled with that scope. */
export function createCtx(execution: Execution, scope: CancelScope): Ctx {
  return Object.freeze(new LazyCtx(execution, scope)) as unknown as Ctx
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

/** Whether a value is the ctx of some run. */
export function isCtx(value: unknown): boolean {
  return value instanceof LazyCtx
}
