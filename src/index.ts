/** The public surface of stet. `stet/testing` has the rest. */
export { defineConfig, type StetConfig } from './config.js'
export { context } from './core/ctx.js'
export { dag, dagFromJSON } from './core/dag.js'
export * from './core/errors.js'
export type { Interceptor, MessageCall, StartCall, StepCall } from './core/interceptors.js'
export type * from './core/types.js'
export { query, signal, update, workflow } from './core/workflow.js'
export { Stet, type StetSettings } from './stet.js'
