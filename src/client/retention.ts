/** `stet.retention`: how long closed runs are kept. And the deletion of one. */
import { InvalidInputError, StetError } from '../core/errors.js'
import { checkName } from '../core/ids.js'
import { keepMsOf } from '../core/retention-rules.js'
import type { Keep, Retention, RetentionPolicy, RetentionRule, RetentionSweep } from '../core/retention-types.js'
import { type ClosedStatus, closedStatuses } from '../core/statuses.js'
import { checkFields } from '../core/suggest.js'
import { why } from '../store/bulks.js'
import type { RunRow, Store } from '../store/port.js'
import { sweepRetention } from '../store/retention-pass.js'

export class StoredRetention implements Retention {
  readonly #open: () => Promise<Store>

  constructor(open: () => Promise<Store>) {
    this.#open = open
  }

  async rules(): Promise<RetentionRule[]> {
    const told = (ms: number) => (ms === Number.POSITIVE_INFINITY ? ('forever' as const) : ms)
    return (await (await this.#open()).retention()).map(({ workflow, status, configMs, runtimeMs }) => ({
      ...(workflow === '' ? {} : { workflow }),
      status: status as RetentionRule['status'],
      keepMs: told((runtimeMs ?? configMs)!),
      from: runtimeMs === null ? 'config' : 'runtime',
      ...(configMs === null ? {} : { configMs: told(configMs) }),
    }))
  }

  async set(
    policy: { [S in keyof RetentionPolicy]: Keep | null },
    { workflow }: { workflow?: string } = {},
  ): Promise<void> {
    if (workflow !== undefined) checkName(workflow, 'retention.set: workflow')
    checkFields(policy, [...closedStatuses], 'retention.set')
    const given = Object.entries(policy).flatMap(([status, keep]) => {
      if (keep === undefined) return []
      const keepMs = keep === null ? null : keepMsOf(keep, `retention.set: ${status}`)
      return [{ status: status as ClosedStatus, keepMs }]
    })
    if (given.length === 0) {
      throw new InvalidInputError("retention.set: expected a status and how long, as { completed: '30d' }.")
    }
    const store = await this.#open()
    for (const { status, keepMs } of given) await store.setRetention(workflow ?? '', status, keepMs)
  }

  async sweep({ onProgress }: { onProgress?: (now: RetentionSweep) => void } = {}): Promise<RetentionSweep> {
    const goOn = (now: RetentionSweep) => {
      onProgress?.(now)
      return true
    }
    return sweepRetention(await this.#open(), { gently: false, goOn })
  }
}

/** How often a run that somebody has locked is tried again, and for how long, ms. */
const lockedMs = 50
const patienceMs = 5_000

/** @throws as `Handle.delete` */
export async function deleteRun(store: Store, { runId, id }: RunRow): Promise<void> {
  const until = performance.now() + patienceMs
  for (;;) {
    const { refused } = await store.deleteRuns([runId])
    const code = refused[0]?.code
    // A second call finds nothing left to do.
    if (code === undefined || code === 'run_not_found') break
    const passes = code === 'run_locked' || code === 'children_untold'
    if (!passes || performance.now() > until) {
      throw new StetError(code, `${why(code, 'delete')} Run ${runId}${id === runId ? '' : ` (${id})`} was not deleted.`)
    }
    await new Promise((resolve) => setTimeout(resolve, lockedMs))
  }
  while ((await store.deleteLeftovers()) > 0);
}
