/**
 * Hooks around what happens at the edges of stet: attempts of steps, starts, messages. For logging, tracing, headers of
 * one's own. Nothing of the kind is put around workflow code: a replay would call it again.
 */
import type { StartOptions } from './types.js'

/** An attempt of a step that is about to begin. */
export interface StepCall {
  readonly name: string
  readonly runId: string
  readonly workflow: string
  readonly version: number
  /** From 1. */
  readonly attempt: number
}

export interface StartCall {
  readonly workflow: string
  readonly input: unknown
  readonly options: StartOptions
}

export interface MessageCall {
  readonly kind: 'signal' | 'query' | 'update' | 'cancel' | 'terminate'
  /** The id or run id that the sender used. */
  readonly run: string
  /** Of the signal, query or update; null for the others. */
  readonly name: string | null
  readonly argument: unknown
}

/**
 * What is called around an attempt, a start or a message; each calls `next` once, or throws to refuse. `start` and
 * `message` may hand `next` a changed call. The first in the list is the outermost.
 *
 * @example
 * const timing: Interceptor = {
 *   async step({ name }, next) {
 *     const began = performance.now()
 *     try {
 *       return await next()
 *     } finally {
 *       console.log(name, performance.now() - began)
 *     }
 *   },
 * }
 * const stet = new Stet({ interceptors: [timing] })
 */
export interface Interceptor {
  step?(call: StepCall, next: () => Promise<unknown>): Promise<unknown>
  start?<T>(call: StartCall, next: (call: StartCall) => Promise<T>): Promise<T>
  message?<T>(call: MessageCall, next: (call: MessageCall) => Promise<T>): Promise<T>
}

export function aroundStep(
  interceptors: readonly Interceptor[],
  call: StepCall,
  body: () => Promise<unknown>,
): Promise<unknown> {
  const enter = (i: number): Promise<unknown> => {
    const { step } = interceptors[i] ?? {}
    if (i >= interceptors.length) return body()
    return step === undefined ? enter(i + 1) : step.call(interceptors[i], call, () => enter(i + 1))
  }
  return enter(0)
}

export function aroundCall<K extends 'start' | 'message', T>(
  interceptors: readonly Interceptor[],
  kind: K,
  call: K extends 'start' ? StartCall : MessageCall,
  body: (call: any) => Promise<T>,
): Promise<T> {
  const enter = (i: number, current: any): Promise<T> => {
    if (i >= interceptors.length) return body(current)
    const hook = interceptors[i]![kind] as ((call: any, next: (call: any) => Promise<T>) => Promise<T>) | undefined
    return hook === undefined
      ? enter(i + 1, current)
      : hook.call(interceptors[i], current, (next) => enter(i + 1, next))
  }
  return enter(0, call)
}
