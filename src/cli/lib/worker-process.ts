/** A worker in this process: loads the files, works until it is told to stop or has nothing left, drains. */
import { doBulkPart } from '../../client/bulks.js'
import { InvalidInputError } from '../../core/errors.js'
import type { RecordedEvent } from '../../core/events.js'
import type { Log, WorkerOptions } from '../../core/types.js'
import { describeOutcome, verifyReplay } from '../../core/verify.js'
import type { AlertEvaluator } from '../../observe/alerts/evaluator.js'
import { WorkerMeter } from '../../observe/meter.js'
import type { MetricsServer } from '../../observe/metrics-server.js'
import { Stet } from '../../stet.js'
import type { Store } from '../../store/port.js'
import { hasWork } from '../../store/postgres/diagnostics.js'
import type { Runner } from '../../worker/runner.js'
import { WorkerLoop } from '../../worker/worker.js'
import { watchAlerts } from './alerts.js'
import { readEdges } from './config-file.js'
import { createWorkerLog } from './log.js'
import { keepConfigRetention } from './retention.js'
import { applySchedules } from './schedules.js'
import { listNames, loadWorkflows } from './workflow-files.js'

/** Everything that a worker process is told; plain data, as it may go to a child process. */
export interface WorkerSpec {
  readonly url: string
  /** The application's schema. */
  readonly schema: string
  readonly patterns: readonly string[] | null
  readonly queues: readonly string[] | null
  readonly concurrency: WorkerOptions['concurrency'] | null
  /** End when nothing is ready or due. */
  readonly once: boolean
  /** Replay each run when it is let go of, and report differences; say what became of each run. */
  readonly verify: boolean
  readonly pretty: boolean
  /** How long running steps may go on after being told to stop, ms. */
  readonly drainMs: number
  /** Where Prometheus finds what this process does; default: nowhere. */
  readonly metrics?: { readonly host: string; readonly port: number }
}

/** How often `once` looks again while it has nothing in hand but the database has. */
const onceMs = 100

/**
 * Runs until `stop` is aborted, or until nothing is left with `once`. Resolves when all is drained.
 * @throws LoadError, NoDatabaseError before work began
 */
export async function runWorker(
  spec: WorkerSpec,
  stop: AbortSignal,
  started: (workflows: string[]) => void = () => {},
): Promise<void> {
  const log = createWorkerLog(spec.pretty, { pid: process.pid })
  const { found } = await loadWorkflows(spec.patterns ?? undefined)
  const edges = await readEdges()
  const stet = new Stet({ url: spec.url, schema: spec.schema, log, ...edges })
  let metrics: MetricsServer | null = null
  let alerts: AlertEvaluator | null = null
  try {
    const { store, hints } = await stet.internals()
    const idle = new Idle()
    const meter = new WorkerMeter(store, log)
    const worker = new WorkerLoop(store, hints, log, {
      workflows: found.map(({ workflow }) => workflow),
      drainMs: spec.drainMs,
      interceptors: edges.interceptors ?? [],
      meter,
      bulkPart: () => doBulkPart({ store, hints }, null),
      onIdle: () => idle.now(),
      ...(spec.queues === null ? {} : { queues: [...spec.queues] }),
      ...(spec.concurrency === null ? {} : { concurrency: spec.concurrency! }),
      ...(spec.verify ? { verify: (runner, events) => void check(runner, events, log) } : {}),
    })
    if (stop.aborted) return
    if (spec.metrics !== undefined) metrics = await openMetrics(store, meter, spec.metrics)
    await keepConfigRetention(store)
    await worker.start()
    // One that ends by itself is not there to look after anything.
    if (!spec.once) {
      alerts = await watchAlerts(store, log)
      await applySchedules(stet, log)
    }
    const queues = spec.queues ?? [...new Set(['default', ...found.map(({ definition }) => definition.queue)])]
    if (metrics !== null) log.info('metrics', { url: metrics.url })
    log.info('worker started', { workflows: listNames(found), queues: queues.join(', ') })
    started(found.map(({ definition }) => definition.name))
    const stopped = new Promise<'stopped'>((resolve) => {
      stop.addEventListener('abort', () => resolve('stopped'), { once: true })
      if (stop.aborted) resolve('stopped')
    })
    if (spec.once) {
      const lanes = { queues, workflows: found.map(({ definition: { name, version } }) => ({ name, version })) }
      for (;;) {
        if ((await Promise.race([stopped, idle.reached()])) === 'stopped') break
        if (!(await hasWork(store.db, lanes)) && worker.idle) break
        // Left for the next claim, or about to be woken.
        worker.poke()
        await Promise.race([stopped, new Promise((resolve) => setTimeout(resolve, onceMs))])
        if (worker.idle) idle.now()
      }
    } else await stopped
    if (stop.aborted) log.info('worker is draining: running steps may finish, runs go to other workers')
    await worker.stop()
    log.info('worker stopped')
  } finally {
    await Promise.all([alerts?.stop(), metrics?.close()])
    await stet.close()
  }
}

/** Loaded by those alone who want it. */
async function openMetrics(
  store: Store,
  meter: WorkerMeter,
  at: NonNullable<WorkerSpec['metrics']>,
): Promise<MetricsServer> {
  const [{ prometheus }, { serveMetrics }] = await Promise.all([
    import('../../observe/prometheus.js'),
    import('../../observe/metrics-server.js'),
  ])
  return serveMetrics(prometheus(store, meter), at)
}

/** Tells of each time that the worker holds no run. */
class Idle {
  #waiting: ((idle: 'idle') => void) | null = null
  #is = false

  now(): void {
    this.#is = true
    this.#waiting?.('idle')
  }

  reached(): Promise<'idle'> {
    return new Promise((resolve) => {
      this.#waiting = (idle) => {
        this.#waiting = null
        this.#is = false
        resolve(idle)
      }
      if (this.#is) this.#waiting('idle')
    })
  }
}

async function check(runner: Runner, events: readonly RecordedEvent[], log: Log): Promise<void> {
  const { definition, execution } = runner
  const { identity, outcome } = execution
  // A blocked run has said why already.
  if (execution.blockage !== null) return
  if (outcome !== null) log.info(describeOutcome(outcome), { run: identity.id, workflow: identity.workflow })
  try {
    // What came on record while the run was being terminated was never told to its code.
    const seen = events.filter(({ seq }) => seq <= execution.lastSeq)
    const live = { outcome, pending: [...execution.pending] }
    const difference = await verifyReplay(definition, { ...identity }, seen, live)
    if (difference !== null) log.error(`NOT DETERMINISTIC: ${difference}`, { run: identity.id })
  } catch (error) {
    if (!(error instanceof InvalidInputError))
      log.warn('the run could not be verified', { run: identity.id, error: String(error) })
  }
}
