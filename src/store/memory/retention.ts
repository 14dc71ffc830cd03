import type { ClosedStatus } from '../../core/statuses.js'
import { type RetentionStore, retainedPart, type StoredRetention } from '../retention.js'
import { deleteRun, isUndeletable } from './deletions.js'
import type { State } from './state.js'

type Answer = <T>(body: () => T) => Promise<T>
type Mutable<T> = { -readonly [K in keyof T]: T[K] }

/** `real`: the time that leases are on. */
export function retentionOf(state: State, answer: Answer, real: () => number): RetentionStore {
  const rules = new Map<string, Mutable<StoredRetention>>()
  const ruleOf = (workflow: string, status: ClosedStatus) => {
    const key = `${status} ${workflow}`
    const rule = rules.get(key) ?? { workflow, status, configMs: null, runtimeMs: null }
    rules.set(key, rule)
    return rule
  }
  let holder: string | null = null
  let until = Number.NEGATIVE_INFINITY
  const ended = () => [...state.runs.values()].filter(({ closedAt }) => closedAt !== null)
  return {
    deleteRuns: (runIds) =>
      answer(() => {
        const deleted: string[] = []
        const refused: { runId: string; code: string }[] = []
        for (const runId of runIds) {
          const run = state.runs.get(runId)
          const code = run === undefined ? 'run_not_found' : isUndeletable(state, run)
          if (code !== null) refused.push({ runId, code })
          else {
            deleteRun(state, run!)
            deleted.push(runId)
          }
        }
        return { deleted, refused }
      }),
    missingRuns: (runIds) => answer(() => runIds.filter((runId) => !state.runs.has(runId))),
    deleteLeftovers: () => answer(() => 0),
    retention: () =>
      answer(() =>
        [...rules.values()]
          .filter(({ configMs, runtimeMs }) => configMs !== null || runtimeMs !== null)
          .map((rule) => ({ ...rule }))
          .sort((a, b) => (`${a.workflow} ${a.status}` < `${b.workflow} ${b.status}` ? -1 : 1)),
      ),
    setConfigRetention: (given) =>
      answer(() => {
        for (const rule of rules.values()) rule.configMs = null
        for (const { workflow, status, keepMs } of given) ruleOf(workflow, status).configMs = keepMs
      }),
    setRetention: (workflow, status, keepMs) =>
      answer(() => {
        ruleOf(workflow, status).runtimeMs = keepMs
      }),
    endedWorkflows: () => answer(() => [...new Set(ended().map(({ workflow }) => workflow))].sort()),
    watchRetention: (by, forMs) =>
      answer(() => {
        if (holder !== by && until >= real()) return false
        holder = by
        until = real() + forMs
        return true
      }),
    unwatchRetention: (by, restMs) =>
      answer(() => {
        if (holder !== by) return
        holder = null
        until = real() + restMs
      }),
    retainPart: ({ workflow, status, keepMs, after }) =>
      answer(() => {
        const before = state.clock.now() - keepMs
        const key = (closedAt: number | string, runId: string) => `${String(closedAt).padStart(20, '0')} ${runId}`
        const found = ended()
          .filter((run) => run.workflow === workflow && run.status === status && run.closedAt! < before)
          .filter((run) => after === null || key(run.closedAt!, run.runId) > key(after.closedAt, after.runId))
          .sort((a, b) => (key(a.closedAt!, a.runId) < key(b.closedAt!, b.runId) ? -1 : 1))
        const part = found.slice(0, retainedPart)
        const free = part.filter((run) => isUndeletable(state, run) === null)
        for (const run of free) deleteRun(state, run)
        const last = part.at(-1)
        const next = found.length > part.length ? { closedAt: String(last!.closedAt), runId: last!.runId } : null
        return { deleted: free.length, kept: part.length - free.length, next }
      }),
    pruneBulks: () => answer(() => undefined),
  }
}
