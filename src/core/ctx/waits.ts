/** Steps, and what a run waits for. */
import { durationMs } from '../duration.js'
import { InvalidInputError } from '../errors.js'
import type { Execution } from '../execution.js'
import { checkName } from '../ids.js'
import { nameOf } from '../options.js'
import type { CancelScope } from '../scope.js'
import { resolveStep } from '../step.js'
import type { Ctx, Duration, Signal, StepContext, StepFn, StepOptions, Tx } from '../types.js'
import { never } from './never.js'

type Part = Pick<
  Ctx,
  'step' | 'transaction' | 'sleep' | 'sleepUntil' | 'waitForSignal' | 'signals' | 'condition' | 'compensate'
>
type TransactionFn = (tx: Tx, step: StepContext) => Promise<any>

export function waits(execution: Execution, scope: CancelScope): Part {
  const until = (name: string, time: number) =>
    execution.ask(name, { kind: 'timer', dueAt: Math.ceil(time) }, { scope })

  const part: Part = {
    step(name: string, optionsOrFn: StepOptions | StepFn<any>, maybeFn?: StepFn<any>) {
      if (!execution.inTurn(`ctx.step("${name}")`)) return never()
      checkName(name, 'step name')
      const [options, fn] = typeof optionsOrFn === 'function' ? [undefined, optionsOrFn] : [optionsOrFn, maybeFn!]
      const step = resolveStep(name, fn, options, execution.definition.retry)
      return execution.ask(name, { kind: 'step', step }, { scope }).promise
    },

    transaction(name: string, optionsOrFn: StepOptions | TransactionFn, maybeFn?: TransactionFn) {
      if (!execution.inTurn(`ctx.transaction("${name}")`)) return never()
      checkName(name, 'step name')
      const [options, fn] = typeof optionsOrFn === 'function' ? [undefined, optionsOrFn] : [optionsOrFn, maybeFn!]
      const step = resolveStep(name, fn as any, options, execution.definition.retry)
      return execution.ask(name, { kind: 'step', step, does: { what: 'transaction', fn } }, { scope }).promise
    },

    sleep(duration: Duration) {
      if (!execution.inTurn('ctx.sleep')) return never()
      return until('sleep', execution.asked() + durationMs(duration, 'ctx.sleep')).promise
    },

    sleepUntil(date: Date) {
      if (!execution.inTurn('ctx.sleepUntil')) return never()
      const time = date instanceof Date ? date.getTime() : Number.NaN
      if (Number.isNaN(time)) throw new InvalidInputError(`ctx.sleepUntil: expected a valid Date, got ${String(date)}.`)
      return until('sleep', time).promise
    },

    waitForSignal(signal: Signal<any> | string, options: { timeout?: Duration; default?: unknown } = {}) {
      const name = nameOf(signal)
      if (!execution.inTurn(`ctx.waitForSignal("${name}")`)) return never()
      checkName(name, 'signal name')
      const dueAt =
        options.timeout === undefined
          ? null
          : Math.ceil(execution.asked() + durationMs(options.timeout, `ctx.waitForSignal("${name}"), timeout`))
      if ('default' in options && dueAt === null) {
        throw new InvalidInputError(
          `ctx.waitForSignal("${name}"): a default needs a timeout. Give one, or leave the default out.`,
        )
      }
      const fallback = 'default' in options ? { fallback: { value: options.default } } : {}
      return execution.ask(name, { kind: 'signal', dueAt, ...fallback }, { scope }).promise
    },

    signals(signal: Signal<any> | string) {
      const next = async () => ({ value: await part.waitForSignal<any>(signal), done: false as const })
      return {
        [Symbol.asyncIterator]: () => ({ next, return: async () => ({ value: undefined, done: true as const }) }),
      }
    },

    condition(predicate: () => boolean, options: { timeout?: Duration } = {}): Promise<any> {
      if (!execution.inTurn('ctx.condition')) return never()
      if (typeof predicate !== 'function') {
        throw new InvalidInputError(
          `ctx.condition: expected a function that returns a boolean, got ${typeof predicate}.`,
        )
      }
      if (predicate()) return Promise.resolve(true)
      const { promise, forget } = execution.condition(predicate, scope)
      if (options.timeout === undefined) return promise.then(() => true)
      const timer = until('condition', execution.asked() + durationMs(options.timeout, 'ctx.condition, timeout'))
      const inTime = promise.then(() => {
        execution.withdraw(timer)
        return true
      })
      const tooLate = timer.promise.then(() => {
        forget()
        return false
      })
      return Promise.race([inTime, tooLate])
    },

    compensate(name: string, optionsOrFn: StepOptions | StepFn<unknown>, maybeFn?: StepFn<unknown>) {
      if (!execution.inTurn(`ctx.compensate("${name}")`)) return
      checkName(name, 'compensation name')
      const [options, fn] = typeof optionsOrFn === 'function' ? [{}, optionsOrFn] : [optionsOrFn, maybeFn!]
      // Checked now, where the mistake is, and not when something else has failed already.
      resolveStep(name, fn, options, execution.definition.retry)
      execution.rollback.add(name, options, fn)
    },
  }
  return part
}
