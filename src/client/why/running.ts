/** What the owner of a run does with it, or why it does nothing. */
import { formatMs } from '../../core/duration.js'
import type { OpenOperation } from '../../core/pending.js'
import type { RunDiagnosis } from '../../store/port.js'
import type { Facts, Reason } from './reason.js'
import { count, evidenceOf, iso, placeOf, timed } from './say.js'
import { whyWaiting } from './waiting.js'

const maxTold = 5

export function whyRunning(facts: Facts): Reason {
  const { diagnosis, events } = facts
  const { run, owner, now } = diagnosis
  // `due` of a run that is owned is when it was last ready to be claimed.
  const progress = Math.max(events.at(-1)?.at ?? 0, run.due !== null && run.due <= now ? run.due : 0, run.createdAt)
  const executing = bodiesOf(facts)
  const evidence = {
    owner: {
      id: run.owner,
      ...(owner === null ? {} : { host: owner.host, pid: owner.pid, beatAgeMs: owner.beatAgeMs }),
    },
    lastProgress: iso(progress),
    lastEvent: run.historyLength,
    operations: executing.slice(0, 100).map(evidenceOf),
  }
  const silence = silenceOf(diagnosis, progress, executing)
  if (silence !== null) return { ...silence, evidence: { ...evidence, ...silence.evidence } }
  const who = `owner ${run.owner}`
  if (executing.length > 0)
    return { code: 'executing', message: `${who} executes ${stepsText(executing, now)}`, evidence }
  if (facts.open.length > 0) {
    // It holds the run, for what it waits for is near.
    const { code, message, evidence: of } = whyWaiting(facts, null)
    return { code, message: `${message}; ${who} holds it meanwhile`, evidence: { ...evidence, ...of } }
  }
  const message = `${who} has it, last progress ${timed(progress, now)}: it runs workflow code or is being replayed, and nothing that takes time is on record`
  return { code: 'running', message, evidence }
}

/**
 * Steps with an attempt under way. A cancellation ends what was asked for before it; what still seems to go on from
 * then is told of only when there is nothing else.
 */
function bodiesOf({ diagnosis: { run, now }, events, open }: Facts): OpenOperation[] {
  const cancelled = events.find(({ type }) => type === 'CancelRequested')?.seq ?? 0
  // An attempt of this owner began no sooner than the run was there to be claimed.
  const claimable = run.due !== null && run.due <= now ? run.due : 0
  const bodies = open
    .filter(({ kind, dueAt }) => kind === 'step' && (dueAt === null || dueAt <= now))
    .map((operation) => ({ ...operation, since: Math.max(operation.dueAt ?? operation.since, claimable), dueAt: null }))
  const after = bodies.filter(({ seq }) => seq > cancelled)
  return after.length > 0 ? after : bodies
}

function stepsText(steps: readonly OpenOperation[], now: number): string {
  const described = steps.slice(0, maxTold).map((step) => {
    const of = step.maxAttempts === null ? '' : ` of ${step.maxAttempts}`
    const cause = step.error === null ? '' : `, after ${step.error.name}: ${step.error.message}`
    return `step "${step.name}"${placeOf(step)} (attempt ${step.failed + 1}${of}) since ${timed(step.since, now)}${cause}`
  })
  if (steps.length > maxTold) described.push(`and ${steps.length - maxTold} more`)
  return steps.length === 1 ? described[0]! : `${count(steps.length, 'step')}: ${described.join('; ')}`
}

/** The owner cannot go on with it; null: it can. */
function silenceOf(diagnosis: RunDiagnosis, progress: number, executing: readonly OpenOperation[]): Reason | null {
  const { run, owner, now, workers } = diagnosis
  const ago = `last progress ${formatMs(Math.max(0, now - progress))} ago`
  if (owner === null) {
    const next =
      workers.live === 0
        ? 'no live worker is there to take the run over'
        : 'another worker is about to take the run over'
    const message = `owner ${run.owner} is no more, ${ago}; ${next}`
    return { code: 'owner_gone', message, evidence: { liveWorkers: workers.live } }
  }
  // Half a lease is longer than the pause between two signs of life, and when a worker whose event loop hangs stops them.
  if (!owner.expired && !owner.processGone && owner.beatAgeMs <= owner.leaseMs / 2) return null
  const others = workers.live - (owner.expired ? 0 : 1)
  const cause = owner.processGone
    ? 'its process is gone'
    : 'its event loop is blocked, or its process is stopped or cut off from the database'
  const step = executing.length === 0 ? '' : `; it executed ${stepsText(executing, now)}`
  const next =
    others === 0
      ? 'no other worker is live to take the run over'
      : `${count(others, 'other worker')} will take the run over`
  const place = owner.host === null ? '' : ` (${owner.host}:${owner.pid})`
  const message = `owner ${owner.id}${place}, ${ago}, last sign of life ${formatMs(owner.beatAgeMs)} ago: ${cause}${step}; ${next}`
  return {
    code: 'owner_silent',
    message,
    evidence: { processGone: owner.processGone, leaseOver: owner.expired, otherWorkers: others },
  }
}
