/** What is cancelled together, what is not, and the same work over many items. */
import { withFrontier } from '../causes.js'
import { durationMs } from '../duration.js'
import { CancelledFailure, InvalidInputError, TimeoutFailure } from '../errors.js'
import type { Execution } from '../execution.js'
import { checkName } from '../ids.js'
import { mapItems, resolveMapPolicy } from '../map.js'
import { CancelScope } from '../scope.js'
import { shared } from '../state.js'
import type { Ctx, Duration, Scope } from '../types.js'
import { never } from './never.js'

type Part = Pick<Ctx, 'shield' | 'scope' | 'map'>
type ScopeFn = (ctx: Ctx) => Promise<any>

export function scopes(
  execution: Execution,
  scope: CancelScope,
  createCtx: (execution: Execution, scope: CancelScope) => Ctx,
): Part {
  const enter = (inner: CancelScope, fn: ScopeFn): Promise<any> => {
    const ctx = createCtx(execution, inner)
    return shared.scope.run({ run: execution, ctx }, async () => fn(ctx))
  }

  return {
    shield(fn: ScopeFn) {
      if (!execution.inTurn('ctx.shield')) return never()
      checkFunction(fn, 'ctx.shield')
      return enter(new CancelScope(scope, true), fn)
    },

    scope(optionsOrFn: { timeout?: Duration } | ScopeFn, maybeFn?: ScopeFn): Scope<any> {
      const [options, fn] = typeof optionsOrFn === 'function' ? [{}, optionsOrFn] : [optionsOrFn, maybeFn!]
      if (!execution.inTurn('ctx.scope')) return Object.assign(never(), { cancel() {} })
      checkFunction(fn, 'ctx.scope')
      const inner = new CancelScope(scope)
      let over = false
      let timedOut = false
      const cancel = (makeError: () => Error) => {
        if (!over) execution.cancelScope(inner, makeError)
      }
      const { timeout } = options
      const limitMs = timeout === undefined ? null : durationMs(timeout, 'ctx.scope, timeout')
      const timer =
        limitMs === null
          ? null
          : execution.ask('scope', {
              kind: 'timer',
              dueAt: Math.ceil(execution.asked() + limitMs),
              callback: () => {
                timedOut = true
                cancel(() => new CancelledFailure(`the scope took longer than ${limitMs} ms`))
              },
            })
      const leave = () => {
        over = true
        if (timer !== null) execution.withdraw(timer)
      }
      const promise = enter(inner, fn).then(
        (value) => {
          leave()
          return value
        },
        (error) => {
          leave()
          if (!timedOut || !(error instanceof CancelledFailure)) throw error
          throw new TimeoutFailure(error.message, { operation: 'scope', cause: error })
        },
      )
      return Object.assign(promise, {
        cancel(reason?: string) {
          if (!execution.inTurn('scope.cancel')) return
          cancel(
            () =>
              new CancelledFailure(
                reason === undefined ? 'the scope was cancelled' : `the scope was cancelled: ${reason}`,
              ),
          )
        },
      })
    },

    map(
      name: string,
      items: Iterable<any>,
      optionsOrFn: any,
      maybeFn?: (item: any, index: number) => Promise<any>,
    ): Promise<any> {
      const what = `ctx.map("${name}")`
      if (!execution.inTurn(what)) return never()
      checkName(name, 'ctx.map: name')
      const [options, fn] = typeof optionsOrFn === 'function' ? [{}, optionsOrFn] : [optionsOrFn, maybeFn]
      checkFunction(fn, what)
      if (typeof items?.[Symbol.iterator] !== 'function') {
        throw new InvalidInputError(`${what}: expected items that can be iterated over, got ${typeof items}.`)
      }
      const list = [...items]
      const seen = execution.seen
      return mapItems(
        list,
        resolveMapPolicy(options, list.length, what),
        (item, index) => {
          let result!: Promise<unknown>
          // An item has the causes of the map, not of the item whose end made room for it.
          withFrontier(seen, () => {
            result = (async () => fn!(item, index))()
          })
          return result
        },
        (reason) => execution.ask(name, { kind: 'skip', reason }, { scope }),
      )
    },
  }
}

function checkFunction(fn: unknown, what: string): asserts fn is (...args: any[]) => any {
  if (typeof fn === 'function') return
  throw new InvalidInputError(
    `${what}: expected a function as the last argument, got ${fn === null ? 'null' : typeof fn}.`,
  )
}
