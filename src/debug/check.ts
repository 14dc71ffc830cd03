/** What the check of many histories has found, by its cause. */
import type { Divergence } from '../core/divergence.js'
import type { RunIdentity } from '../core/execution.js'

export interface CheckedRun {
  readonly id: string
  readonly runId: string
  readonly seq: number
}

/** Runs that diverge at the same place in the same way. */
export interface Cause extends Omit<Divergence, 'seq'> {
  readonly workflow: string
  readonly version: number
  readonly runs: readonly CheckedRun[]
}

export interface CheckReport {
  readonly checked: number
  readonly fine: number
  /** Blocked runs among those that are fine: this code can take them on. */
  readonly unblocked: number
  /** The largest first. */
  readonly causes: readonly Cause[]
  /** Runs of workflows or versions that the code at hand does not have. */
  readonly missing: readonly {
    readonly workflow: string
    readonly version: number
    readonly runs: readonly CheckedRun[]
  }[]
}

export class Findings {
  #checked = 0
  #fine = 0
  #unblocked = 0
  readonly #causes = new Map<string, Cause & { runs: CheckedRun[] }>()
  readonly #missing = new Map<string, { workflow: string; version: number; runs: CheckedRun[] }>()

  add(run: RunIdentity, blocked: boolean, divergence: Divergence | null): void {
    this.#checked++
    if (divergence === null) {
      this.#fine++
      if (blocked) this.#unblocked++
      return
    }
    const { id, runId, workflow, version } = run
    const { seq, ...cause } = divergence
    // Two runs that went through a loop a different number of times part from the code in the same way.
    const alike = (text: string) => text.replace(/^operation \d+: /, '')
    const key = JSON.stringify([workflow, version, cause.code, cause.where, alike(cause.expected), alike(cause.actual)])
    const found = this.#causes.get(key)
    if (found === undefined) this.#causes.set(key, { workflow, version, ...cause, runs: [{ id, runId, seq }] })
    else found.runs.push({ id, runId, seq })
  }

  /** A run whose code is not there. */
  miss({ id, runId, workflow, version }: RunIdentity): void {
    this.#checked++
    const key = `${workflow}@${version}`
    const found = this.#missing.get(key) ?? { workflow, version, runs: [] }
    found.runs.push({ id, runId, seq: 1 })
    this.#missing.set(key, found)
  }

  get checked(): number {
    return this.#checked
  }

  report(): CheckReport {
    return {
      checked: this.#checked,
      fine: this.#fine,
      unblocked: this.#unblocked,
      causes: [...this.#causes.values()].sort((a, b) => b.runs.length - a.runs.length),
      missing: [...this.#missing.values()],
    }
  }
}
