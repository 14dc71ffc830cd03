/** What a run waits for: the reasons that begin with `waits for`. */
import type { RecordedEvent } from '../../core/events.js'
import type { OpenOperation } from '../../core/pending.js'
import type { RunDiagnosis } from '../../store/port.js'
import { missing } from './ready.js'
import type { Facts, Reason, WhyCode } from './reason.js'
import { count, describeOpen, evidenceOf, iso, timed } from './say.js'

/** So many operations are told of, in a sentence and as evidence. */
const maxTold = 5
const maxEvidence = 100

/** Timers that bound a wait for something else: of a scope, and of a condition. */
const isLimit = ({ kind, name }: OpenOperation) => kind === 'timer' && (name === 'scope' || name === 'condition')

/** `diagnosis` null: all there is, is a file. */
type Known =
  | Facts
  | {
      readonly diagnosis: null
      readonly events: readonly RecordedEvent[]
      readonly open: readonly OpenOperation[]
    }

export function whyWaiting(known: Known, child: Reason | null): Reason {
  const { diagnosis, events, open } = known
  const now = diagnosis === null ? null : diagnosis.now
  const telling = [...open.filter((operation) => !isLimit(operation))].sort(byWeight)
  const limits = open.filter((operation) => isLimit(operation) && operation.dueAt !== null)
  const limit = limits.length === 0 ? null : Math.min(...limits.map(({ dueAt }) => dueAt!))
  const bound = limit === null ? '' : `, at most until ${timed(limit, now)}`
  const evidence = {
    operations: telling.slice(0, maxEvidence).map(evidenceOf),
    count: telling.length,
    ...(limit === null ? {} : { limit: iso(limit) }),
    ...(child === null ? {} : { child: { ...child } }),
  }
  const afterwards = diagnosis === null ? '' : inboxText(diagnosis, open) + workersText(diagnosis)
  const [only] = telling
  if (only === undefined) {
    const since = events.at(-1)!.at
    if (diagnosis === null && limit === null) {
      const message =
        'waited for something that is not on record: a signal without a timeout, a condition, or its own code'
      return { code: 'waiting_unknown', message, evidence: { since: iso(since) } }
    }
    const message = `${waits(diagnosis)} for a condition (ctx.condition) since ${timed(since, now)}${bound}; it is looked at whenever an event comes${afterwards}`
    return { code: 'waiting_condition', message, evidence: { ...evidence, since: iso(since) } }
  }
  if (telling.length === 1) {
    const message = `${waits(diagnosis)} for ${describeOpen(only, now)}${ofChild(child)}${bound}${afterwards}`
    return { code: codeOf(only), message, evidence }
  }
  const told = telling
    .slice(0, maxTold)
    .map((operation, i) => describeOpen(operation, now) + (i === firstChild(telling) ? ofChild(child) : ''))
  if (telling.length > maxTold) told.push(`and ${telling.length - maxTold} more`)
  const message = `${waits(diagnosis)} for ${count(telling.length, 'operation')}: ${told.join('; ')}${bound}${afterwards}`
  return { code: 'waiting_many', message, evidence }
}

const waits = (diagnosis: RunDiagnosis | null) => (diagnosis === null ? 'waited' : 'waits')

/** The child whose own reason is worth knowing; null: it waits for none. */
export function awaitedChild({ diagnosis: { run }, open }: Facts): { readonly runId: string } | null {
  if (run.status !== 'waiting') return null
  const telling = open.filter((operation) => !isLimit(operation)).sort(byWeight)
  return telling[firstChild(telling)]?.child ?? null
}

function firstChild(telling: readonly OpenOperation[]): number {
  return telling.findIndex(({ child }) => child !== null)
}

function ofChild(child: Reason | null): string {
  return child === null ? '' : `, which itself is ${child.code}: ${child.message}`
}

/** What fails comes first, then what others have to do, then what time alone brings; the sooner first. */
function byWeight(a: OpenOperation, b: OpenOperation): number {
  const never = Number.POSITIVE_INFINITY
  return weight(a) - weight(b) || (a.dueAt ?? never) - (b.dueAt ?? never) || a.op - b.op
}

function weight({ kind, failed }: OpenOperation): number {
  if (failed > 0) return 0
  return { step: 1, skip: 1, child: 2, signal: 3, timer: 4 }[kind]
}

function codeOf({ kind, failed }: OpenOperation): WhyCode {
  if (kind === 'signal') return 'waiting_signal'
  if (kind === 'child') return 'waiting_child'
  if (kind === 'timer') return 'waiting_timer'
  return failed > 0 ? 'retrying' : 'executing'
}

/** A signal under another name than the one that is waited for is mostly a misspelt one. */
function inboxText({ unread }: RunDiagnosis, open: readonly OpenOperation[]): string {
  const awaited = new Set(open.flatMap(({ kind, name }) => (kind === 'signal' ? [name] : [])))
  if (awaited.size === 0) return ''
  const others = unread.filter(({ kind, name }) => kind === 'signal' && name !== null && !awaited.has(name))
  if (others.length === 0) return ''
  const named = others.slice(0, maxTold).map(({ name, count: n }) => `"${name}"${n === 1 ? '' : ` (${n})`}`)
  return `; its inbox holds other signals that nothing has taken: ${named.join(', ')}`
}

function workersText(diagnosis: RunDiagnosis): string {
  const lack = missing(diagnosis)
  return lack === null ? '' : `; then ${lack.message}`
}
