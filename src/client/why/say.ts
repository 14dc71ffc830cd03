/** Times, places and operations in words, and the same as evidence. */
import { formatMs } from '../../core/duration.js'
import type { OpenOperation } from '../../core/pending.js'

export function iso(ms: number): string {
  return new Date(ms).toISOString()
}

/** `2026-01-31T14:02:05Z (3 h ago)`, `… (in 2 h)`; without `now` the date alone. */
export function timed(ms: number, now: number | null): string {
  const date = iso(ms).replace(/\.\d{3}Z$/, 'Z')
  if (now === null) return date
  return `${date} (${ms > now ? `in ${formatMs(ms - now)}` : `${formatMs(now - ms)} ago`})`
}

export function count(n: number, what: string): string {
  return `${n.toLocaleString('en-US')} ${what}${n === 1 ? '' : 's'}`
}

export function placeOf({ where }: OpenOperation): string {
  return where === null ? '' : ` (${where})`
}

/** An operation that a run waits for, as in `waits for …`. `now` null: distances make no sense. */
export function describeOpen(operation: OpenOperation, now: number | null): string {
  const { kind, name, since, dueAt, child, failed, maxAttempts, error } = operation
  const place = placeOf(operation)
  const begun = ` since ${timed(since, now)}`
  switch (kind) {
    case 'signal':
      return `signal "${name}"${place}${begun}${dueAt === null ? '' : `, until ${timed(dueAt, now)}`}`
    case 'timer':
      return `the timer "${name}"${place}${dueAt === null ? begun : ` until ${timed(dueAt, now)}`}`
    case 'child':
      return `child ${child === null ? `"${name}"` : childName(child)}${place}${begun}`
    default: {
      if (failed === 0) return `step "${name}"${place}${begun}`
      const of = maxAttempts === null ? '' : ` of ${maxAttempts}`
      const cause = error === null ? '' : `, after ${error.name}: ${error.message}`
      return `attempt ${failed + 1}${of} of step "${name}"${place}${dueAt === null ? '' : ` at ${timed(dueAt, now)}`}${cause}`
    }
  }
}

export function childName({ id, runId }: { readonly id: string; readonly runId: string }): string {
  return id === runId ? runId : `${id} (run ${runId})`
}

/** An operation as evidence. */
export function evidenceOf({ op, kind, name, where, since, dueAt, failed, maxAttempts, error, child }: OpenOperation) {
  return {
    op,
    kind,
    name,
    ...(where === null ? {} : { where }),
    since: iso(since),
    ...(dueAt === null ? {} : { due: iso(dueAt) }),
    ...(kind === 'step' ? { attempt: failed + 1 } : {}),
    ...(maxAttempts === null ? {} : { maxAttempts }),
    ...(error === null ? {} : { error }),
    ...(child === null ? {} : { child }),
  }
}
