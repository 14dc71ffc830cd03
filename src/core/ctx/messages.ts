/** Messages in and out: handlers, and other runs to talk to. */
import { encode } from '../codec.js'
import { InvalidInputError } from '../errors.js'
import type { Execution } from '../execution.js'
import { checkName } from '../ids.js'
import type { EngineWork } from '../operation.js'
import { nameOf } from '../options.js'
import type { CancelScope } from '../scope.js'
import { engineStep } from '../step.js'
import type { AnyWorkflow, Ctx, MessageOptions, Query, Signal, StartOptions, Update } from '../types.js'
import { never } from './never.js'

type Part = Pick<Ctx, 'onSignal' | 'onQuery' | 'onUpdate' | 'allHandlersFinished' | 'handle' | 'signalWithStart'>

export function messages(execution: Execution, scope: CancelScope): Part {
  const register = (what: string, name: unknown, handler: unknown): name is string => {
    if (!execution.inTurn(what)) return false
    checkName(name, `${what}: name`)
    if (typeof handler !== 'function') {
      throw new InvalidInputError(`${what}: expected a function as the handler, got ${typeof handler}.`)
    }
    return true
  }

  return {
    onSignal(signal: Signal<any>, handler: (message: any) => void | Promise<void>) {
      const name = nameOf(signal)
      if (!register(`ctx.onSignal("${name}")`, name, handler)) return
      execution.handlers.signals.set(name, { fn: handler, seen: execution.seen })
      execution.listen()
    },

    onQuery(query: Query<any, any>, handler: (argument: any) => any) {
      const name = nameOf(query)
      if (register(`ctx.onQuery("${name}")`, name, handler)) execution.handlers.queries.set(name, handler)
    },

    onUpdate(update: Update<any, any>, optionsOrHandler: any, maybeHandler?: (argument: any) => any) {
      const name = nameOf(update)
      const [options, handler] =
        typeof optionsOrHandler === 'function' ? [{}, optionsOrHandler] : [optionsOrHandler, maybeHandler]
      if (!register(`ctx.onUpdate("${name}")`, name, handler)) return
      if (options?.validate !== undefined && typeof options.validate !== 'function') {
        throw new InvalidInputError(
          `ctx.onUpdate("${name}"), validate: expected a function, got ${typeof options.validate}.`,
        )
      }
      execution.handlers.updates.set(name, { fn: handler!, validate: options?.validate, seen: execution.seen })
      execution.listen()
    },

    allHandlersFinished() {
      return execution.inTurn('ctx.allHandlersFinished') && execution.handlers.unfinished === 0
    },

    signalWithStart(
      workflow: AnyWorkflow | string,
      input: unknown,
      signal: Signal<any> | string,
      message: unknown,
      options: StartOptions & { id: string } & MessageOptions,
    ) {
      const name = nameOf(signal)
      if (!execution.inTurn(`ctx.signalWithStart("${name}")`)) return never()
      checkName(name, 'signal name')
      checkName(options?.id, 'ctx.signalWithStart: id')
      const { messageId = null, timeout: _timeout, tx, ...start } = options
      if (tx !== undefined) throw new InvalidInputError('ctx.signalWithStart: tx is no option inside a workflow.')
      const payload = encode(message, `the message of signal "${name}"`)
      const does: EngineWork = { what: 'signalWithStart', workflow, input, options: start, name, payload, messageId }
      return sending(execution, scope, `signal ${name} to ${start.id}`, does)
    },

    handle(id: string) {
      checkName(id, 'ctx.handle: id')
      return otherRun(execution, scope, id)
    },
  }
}

/** Another run, to signal or cancel. Each message is a step of the engine's own: sent once, also after a crash. */
export function otherRun(execution: Execution, scope: CancelScope, id: string): ReturnType<Ctx['handle']> {
  const send = (name: string, does: EngineWork) => sending(execution, scope, name, does)
  return {
    id,
    signal(signal: Signal<any> | string, message?: unknown, options: MessageOptions = {}) {
      const name = nameOf(signal)
      if (!execution.inTurn(`signal "${name}" to run "${id}"`)) return never()
      checkName(name, 'signal name')
      if (options.messageId !== undefined) checkName(options.messageId, 'signal: messageId')
      const payload = encode(message, `the message of signal "${name}"`)
      return send(`signal ${name} to ${id}`, {
        what: 'signal',
        to: id,
        name,
        payload,
        messageId: options.messageId ?? null,
      })
    },
    cancel(reason?: string) {
      if (!execution.inTurn(`cancel of run "${id}"`)) return never()
      return send(`cancel ${id}`, { what: 'cancel', to: id, reason: reason ?? null })
    },
  }
}

function sending(execution: Execution, scope: CancelScope, name: string, does: EngineWork): Promise<void> {
  return execution.ask(name.slice(0, 200), { kind: 'step', step: engineStep, does }, { scope }).promise
}
