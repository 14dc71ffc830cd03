/** How long closed runs are kept. */
import type { Duration } from './types.js'

/** `'forever'`: they are kept. */
export type Keep = Duration | 'forever'

/** By how a run ended. What is not named is kept for ever, or as long as the rule for all workflows says. */
export interface RetentionPolicy {
  completed?: Keep
  failed?: Keep
  cancelled?: Keep
  terminated?: Keep
  continued?: Keep
}

/** What stands in `stet.config.ts`. */
export interface RetentionConfig extends RetentionPolicy {
  /** By the names of workflows, in place of what is said for all. */
  perWorkflow?: Record<string, RetentionPolicy>
}

export interface RetentionRule {
  /** Undefined: all workflows that have no rule of their own for the status. */
  workflow?: string
  status: 'completed' | 'failed' | 'cancelled' | 'terminated' | 'continued'
  /** From the close on; `'forever'`: it is kept. */
  keepMs: number | 'forever'
  /** `runtime`: it was set, and stands in place of what the config says (`configMs`). */
  from: 'config' | 'runtime'
  configMs?: number | 'forever'
}

/** What one look over all that is kept no longer has come to. */
export interface RetentionSweep {
  deleted: number
  /** Runs that should go and have to stay for now: their parents are open, or somebody has them locked. */
  kept: number
}

export interface Retention {
  rules(): Promise<RetentionRule[]>
  /**
   * Sets how long runs are kept, for all workflows or one; `null` takes back what was set, so that the config holds again.
   * It takes effect within a minute, in every worker.
   * @example await stet.retention.set({ completed: '30d', failed: 'forever' }, { workflow: 'order' })
   */
  set(policy: { [S in keyof RetentionPolicy]: Keep | null }, options?: { workflow?: string }): Promise<void>
  /** Deletes now, from here, what is kept no longer; workers do so each minute by themselves. */
  sweep(options?: { onProgress?: (now: RetentionSweep) => void }): Promise<RetentionSweep>
}
