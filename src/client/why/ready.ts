/** Why a run that could go on has no owner: too early, nobody who could take it, or others before it. */
import { formatMs } from '../../core/duration.js'
import type { GateAhead } from '../../store/limits.js'
import { maxCounted, type RunDiagnosis } from '../../store/port.js'
import type { Facts, Reason } from './reason.js'
import { count, iso, timed } from './say.js'

/** A claim follows the hint within milliseconds: a worker that has not taken a run by then takes no more for now. */
const promptMs = 1_000

export function whyReady({ diagnosis }: Facts): Reason {
  const { run, now, crashes } = diagnosis
  const { due } = run
  if (due !== null && due > now) {
    const lack = missing(diagnosis)
    const then = lack === null ? '' : `; then ${lack.message}`
    const evidence = { due: iso(due), ...(lack === null ? {} : lack.evidence) }
    if (run.claim === 0) {
      return { code: 'delayed', message: `delayed start: not before ${timed(due, now)}${then}`, evidence }
    }
    const message = `the process of its worker ended ${count(crashes, 'time')} in a row while it ran; it is tried again, alone, at ${timed(due, now)}${then}`
    return { code: 'suspect', message, evidence: { ...evidence, crashes } }
  }
  const since = due ?? run.createdAt
  const lack = missing(diagnosis)
  if (lack !== null) {
    const message = `ready since ${timed(since, now)}, and ${lack.message}`
    return { code: lack.code, message, evidence: { readySince: iso(since), ...lack.evidence } }
  }
  const closed = diagnosis.gates.filter((gate) => gate.closed)
  return closed.length > 0 ? limited(diagnosis, closed, since) : queued(diagnosis, since)
}

/** A worker could take it, and a limit does not let it go on. */
function limited({ now, ahead }: RunDiagnosis, closed: readonly GateAhead[], since: number): Reason {
  const words = closed.map(({ scope, name, key, value, paused, concurrency, rate, running, begun }) => {
    const what = key === null ? `${scope} "${name}"` : `${key} "${value}" of ${scope} "${name}"`
    if (paused) return `${what} is paused`
    const held = `${count(running, 'run')} of ${what} ${running === 1 ? 'is' : 'are'} in hand`
    if (concurrency !== null && running >= concurrency) return `${held}, and no more than ${concurrency} may be at once`
    return `${begun} of ${what} have begun, and no more than ${rate!.limit} may in ${formatMs(rate!.periodMs)}`
  })
  const many = ahead > maxCounted ? `more than ${maxCounted.toLocaleString('en-US')} runs` : count(ahead, 'run')
  const evidence = {
    readySince: iso(since),
    ahead,
    limits: closed.map(({ declared: _declared, overridden: _overridden, closed: _closed, ...gate }) => gate),
  }
  const message = `ready since ${timed(since, now)}, and limited: ${words.join('; ')}; ${many} of its queue ahead of it`
  return { code: 'limited', message, evidence }
}

function queued({ run, now, ahead, crashes, workers: { able, ableCount } }: RunDiagnosis, since: number): Reason {
  const many = ahead > maxCounted ? `more than ${maxCounted.toLocaleString('en-US')} runs` : count(ahead, 'run')
  const silent = able.filter(({ beatAgeMs, leaseMs }) => beatAgeMs > leaseMs / 2)
  const prompt = now - since < promptMs
  const full = able.filter((worker) => !prompt && worker.runs > 0 && !silent.includes(worker))
  const others = ableCount - full.length - silent.length
  const words = [
    full.length === 0
      ? null
      : `${count(full.length, 'worker')} ${full.length === 1 ? 'is' : 'are'} full (${full.map(held).join(', ')})`,
    silent.length === 0
      ? null
      : `${count(silent.length, 'worker')} ${silent.length === 1 ? 'gives' : 'give'} no sign of life`,
    others === 0 ? null : `${count(others, 'worker')} can take it`,
  ].filter((each) => each !== null)
  const alone =
    crashes > 1 ? `; it is tried alone, for the process of its worker ended ${count(crashes, 'time')} in a row` : ''
  const message = `ready since ${timed(since, now)}, ${many} ahead of it in queue "${run.queue}"; ${words.join(', ')}${alone}`
  const evidence = {
    readySince: iso(since),
    ahead,
    priority: run.priority,
    workers: able.map(({ id, runs, beatAgeMs }) => ({ id, runs, beatAgeMs })),
    workerCount: ableCount,
    ...(crashes === 0 ? {} : { crashes }),
  }
  return { code: 'queued', message, evidence }
}

function held({ runs }: { readonly runs: number }): string {
  return runs > maxCounted ? `more than ${maxCounted} runs held` : `${count(runs, 'run')} held`
}

/** What there is no live worker for, the widest first; null: one could take the run. */
export function missing({ run, workers }: RunDiagnosis): Reason | null {
  const { live, listening, queues, versions, elsewhere, ableCount } = workers
  if (ableCount > 0) return null
  const { workflow, version, queue } = run
  if (live === 0) return { code: 'no_worker', message: 'no worker is live', evidence: { liveWorkers: 0 } }
  const evidence = { liveWorkers: live, listening, queues, versions, elsewhere }
  if (listening === 0) {
    const message = `no live worker listens on queue "${queue}" (live workers listen on ${queues.map((name) => `"${name}"`).join(', ')})`
    return { code: 'no_worker_queue', message, evidence }
  }
  const names = (list: readonly number[]) => list.map((each) => `${workflow}@${each}`).join(', ')
  const away = elsewhere
    .filter((each) => version === 0 || each.version === version)
    .map((each) => `${workflow}@${each.version} on queue "${each.queue}"`)
  const others = away.length === 0 ? '' : `; workers of other queues have ${away.join(', ')}`
  if (versions.length === 0) {
    const message = `no live worker of queue "${queue}" has workflow "${workflow}"${others}`
    return { code: 'no_worker_workflow', message, evidence }
  }
  const message = `no live worker has ${workflow}@${version} (live workers have ${names(versions)})${others}`
  return { code: 'no_worker_version', message, evidence }
}
