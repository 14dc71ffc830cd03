/**
 * What every copy of this package in the process shares. A user's file is loaded with its own copy of the package
 * (module loaders do that), so a workflow made by one copy is run by another: nothing that both must see may live in
 * a module variable.
 */
import { AsyncLocalStorage } from 'node:async_hooks'
import type { Ctx, StepContext } from './types.js'

/** The run that is inside its turn, as other copies of the package see it. */
export interface RunInTurn {
  readonly ctx: Ctx
}

interface Shared {
  /** The run whose turn is executing, or null. Set and cleared by `turn.ts` alone. */
  current: RunInTurn | null
  /** What a step's body, and everything that it calls, belongs to. */
  readonly step: AsyncLocalStorage<StepInProgress>
  /** The ctx of the scope that code of a run is in, for `context()`. */
  readonly scope: AsyncLocalStorage<{ readonly run: RunInTurn; readonly ctx: Ctx }>
}

export interface StepInProgress {
  readonly name: string
  readonly runId: string
  readonly context: StepContext
}

const key = Symbol.for('stet')

const everywhere = globalThis as unknown as Record<symbol, Partial<Shared>>
const found = everywhere[key] ?? {}

export const shared: Shared = Object.assign(found, {
  current: found.current ?? null,
  step: found.step ?? new AsyncLocalStorage<StepInProgress>(),
  scope: found.scope ?? new AsyncLocalStorage<{ readonly run: RunInTurn; readonly ctx: Ctx }>(),
})
everywhere[key] = shared
