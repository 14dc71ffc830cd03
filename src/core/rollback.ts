/**
 * Compensations: steps that undo what was done, run in reverse order when the workflow fails or is cancelled.
 *
 * B1. Each is a step with its own retries, in a shield: a cancelled run compensates too.
 * B2. One that fails for good does not keep the others from running; the run then ends with an error that names it.
 */
import { StetError } from './errors.js'
import type { Ctx, StepFn, StepOptions } from './types.js'

export class Rollback {
  readonly #entries: { name: string; options: StepOptions; fn: StepFn<unknown> }[] = []

  get empty(): boolean {
    return this.#entries.length === 0
  }

  add(name: string, options: StepOptions, fn: StepFn<unknown>): void {
    this.#entries.push({ name, options, fn })
  }

  /** Runs all of them, the last first; resolves with the error that the run ends with. */
  async run(ctx: Ctx, error: unknown): Promise<unknown> {
    const failed: string[] = []
    for (const { name, options, fn } of this.#entries.splice(0).reverse()) {
      try {
        await ctx.step(name, options, fn)
      } catch {
        failed.push(name)
      }
    }
    if (failed.length === 0) return error
    const message = (error as Error | null)?.message ?? String(error)
    return new StetError(
      'compensation_failed',
      `${message}\n  Its compensation failed too: ${failed.map((name) => `"${name}"`).join(', ')}. See the steps of that name for why.`,
      { cause: error },
    )
  }
}
