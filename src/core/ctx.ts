/** The ctx that a workflow function is given: thin sugar over `Execution.ask`, with its arguments checked. */
import { durationMs } from './duration.js'
import { InvalidInputError, StetError } from './errors.js'
import type { Execution, LogLevel } from './execution.js'
import { checkName } from './ids.js'
import { shared } from './state.js'
import { resolveStep } from './step.js'
import type { Ctx, Duration, Log, Signal, StepFn, StepOptions } from './types.js'

/** How a caller that came outside its turn is parked (E4). */
function never(): Promise<never> {
  return new Promise(() => {})
}

export function createCtx(execution: Execution): Ctx {
  const ctx: Partial<Ctx> = {
    step(name: string, optionsOrFn: StepOptions | StepFn<any>, maybeFn?: StepFn<any>) {
      if (!execution.inTurn(`ctx.step("${name}")`)) return never()
      checkName(name, 'step name')
      const [options, fn] = typeof optionsOrFn === 'function' ? [undefined, optionsOrFn] : [optionsOrFn, maybeFn!]
      const step = resolveStep(name, fn, options, execution.definition.retry)
      return execution.ask(name, { kind: 'step', step }).promise
    },

    sleep(duration: Duration) {
      if (!execution.inTurn('ctx.sleep')) return never()
      return sleepUntil(execution, execution.now() + durationMs(duration, 'ctx.sleep'))
    },

    sleepUntil(date: Date) {
      if (!execution.inTurn('ctx.sleepUntil')) return never()
      const time = date instanceof Date ? date.getTime() : Number.NaN
      if (Number.isNaN(time)) throw new InvalidInputError(`ctx.sleepUntil: expected a valid Date, got ${String(date)}.`)
      return sleepUntil(execution, time)
    },

    waitForSignal(signal: Signal<any> | string, options: { timeout?: Duration; default?: unknown } = {}) {
      const name = typeof signal === 'string' ? signal : signal?.name
      if (!execution.inTurn(`ctx.waitForSignal("${name}")`)) return never()
      checkName(name, 'signal name')
      const dueAt =
        options.timeout === undefined
          ? null
          : Math.ceil(execution.now() + durationMs(options.timeout, `ctx.waitForSignal("${name}"), timeout`))
      if ('default' in options && dueAt === null) {
        throw new InvalidInputError(
          `ctx.waitForSignal("${name}"): a default needs a timeout. Give one, or leave the default out.`,
        )
      }
      const fallback = 'default' in options ? { fallback: { value: options.default } } : {}
      return execution.ask(name, { kind: 'signal', dueAt, ...fallback }).promise
    },

    now() {
      return execution.inTurn('ctx.now') ? execution.now() : Number.NaN
    },

    random() {
      return execution.inTurn('ctx.random') ? randomFloat(execution) : Number.NaN
    },

    uuid() {
      return execution.inTurn('ctx.uuid') ? uuid(execution) : ''
    },

    log: createLog((level, message, fields) => {
      if (execution.inTurn('ctx.log')) execution.log(level, message, fields)
    }),

    get run() {
      const { identity, scheduledFor, parent } = execution
      return {
        ...identity,
        startedAt: new Date(execution.startedAt),
        ...(scheduledFor === undefined ? {} : { scheduledFor: new Date(scheduledFor) }),
        ...(parent === undefined ? {} : { parent }),
        historyLength: execution.lastSeq,
        continueAsNewSuggested: execution.lastSeq > continueAsNewAfter,
      }
    },
  }
  for (const name of notBuilt) {
    ;(ctx as any)[name] = () => {
      throw new StetError('not_available', `ctx.${name} is not part of this release of stet.`)
    }
  }
  return Object.freeze(ctx) as Ctx
}

/** Parts of the surface that later releases bring. Calling one is a clear error, never a silent nothing. */
const notBuilt: readonly (keyof Ctx)[] = [
  'transaction',
  'signals',
  'onSignal',
  'onQuery',
  'onUpdate',
  'allHandlersFinished',
  'condition',
  'child',
  'startChild',
  'handle',
  'map',
  'continueAsNew',
  'compensate',
  'shield',
  'scope',
  'patched',
  'deprecatePatch',
  'setAttributes',
]

/** Histories longer than this still work; a run that starts anew is cheaper to resume. */
const continueAsNewAfter = 20_000

function sleepUntil(execution: Execution, time: number): Promise<void> {
  return execution.ask('sleep', { kind: 'timer', dueAt: Math.ceil(time) }).promise
}

/** 53 random bits, as Math.random has them. */
function randomFloat(execution: Execution): number {
  return ((execution.nextUint32() >>> 5) * 67_108_864 + (execution.nextUint32() >>> 6)) / 9_007_199_254_740_992
}

function uuid(execution: Execution): string {
  const words = [0, 1, 2, 3].map(() => execution.nextUint32())
  words[1] = (words[1]! & 0xffff0fff) | 0x00004000
  words[2] = (words[2]! & 0x3fffffff) | 0x80000000
  const hex = words.map((word) => (word >>> 0).toString(16).padStart(8, '0')).join('')
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`
}

export function createLog(write: (level: LogLevel, message: string, fields: object | undefined) => void): Log {
  return {
    debug: (message, fields) => write('debug', message, fields),
    info: (message, fields) => write('info', message, fields),
    warn: (message, fields) => write('warn', message, fields),
    error: (message, fields) => write('error', message, fields),
  }
}

/**
 * The ctx of the workflow that is running, without passing it.
 * @throws StetError outside a workflow, and inside a step
 * @example const greet = (name: string) => context().step('greet', () => `Hello, ${name}!`)
 */
export function context(): Ctx {
  if (shared.current !== null) return shared.current.ctx
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
