/**
 * Forks of runs. A fork is no start: what interceptors did to the input is in the history that it takes over, so they
 * are not called for it.
 */
import { encode } from '../core/codec.js'
import { IdConflictError, InvalidInputError, RunNotFoundError, StetError } from '../core/errors.js'
import type { RecordedEvent } from '../core/events.js'
import { type ForkedHistory, forkHistory } from '../core/fork.js'
import type { PendingOperation } from '../core/graph.js'
import type { ExportedRun } from '../core/history-file.js'
import { checkName, maxNameBytes, newId, newRunId } from '../core/ids.js'
import { checkVersion, oneOf } from '../core/options.js'
import { checkFields } from '../core/suggest.js'
import type { Attributes, ForkOptions } from '../core/types.js'
import type { Hints } from '../hints/hints.js'
import { cancelLatest } from '../store/asks.js'
import type { ForkRequest, RunRow, Store } from '../store/port.js'

/** A run that is to be forked. */
export interface ForkOrigin {
  readonly id: string
  readonly runId: string
  readonly workflow: string
  readonly version: number
  readonly queue: string
  readonly priority: number
  readonly timeoutMs: number | null
  readonly attributes: Attributes
  readonly events: readonly RecordedEvent[]
  readonly pending: readonly PendingOperation[]
  /** It is in the store that the fork goes into; else a file is all there is of it. */
  readonly stored: boolean
}

/** A fork that was made. */
export interface Forked extends Pick<ForkedHistory, 'kept' | 'anew' | 'movedBy' | 'cut'> {
  readonly id: string
  readonly runId: string
  /** How many events the origin has. */
  readonly of: number
}

interface Backend {
  readonly store: Store
  readonly hints: Pick<Hints, 'local' | 'publish'>
}

/** A run in the store, with its history. */
export async function storedOrigin(store: Store, row: RunRow): Promise<ForkOrigin> {
  return originOf(row, await store.history(row.runId))
}

/** The same, with the history at hand. */
export function originOf(row: RunRow, events: readonly RecordedEvent[]): ForkOrigin {
  // A run that was not to begin at once has its time from when it did.
  const began = Math.max(row.createdAt, row.forkedFrom == null ? (events[0]?.at ?? 0) : 0)
  return {
    ...row,
    attributes: row.attributes ?? {},
    timeoutMs: row.deadline === null ? null : Math.max(0, row.deadline - began),
    events,
    pending: row.waits === null ? [] : (JSON.parse(row.waits) as PendingOperation[]),
    stored: true,
  }
}

/** A run that was exported. What a file does not say of it (priority, timeout) is as for a new run. */
export function exportedOrigin(run: ExportedRun, events: readonly RecordedEvent[]): ForkOrigin {
  const { id, runId, workflow, version, queue } = run
  const attributes = (run.attributes ?? {}) as Attributes
  const about = { id, runId, workflow, version, queue, attributes }
  return { ...about, priority: 0, timeoutMs: null, events, pending: [], stored: false }
}

/**
 * What a fork would be. Checks all options, and writes nothing.
 * @throws as `Handle.fork`
 */
export function planFork(origin: ForkOrigin, options: ForkOptions, now: number): ForkedHistory {
  const what = `fork of ${origin.id}`
  checkForkOptions(options, what)
  const set = new Map(
    Object.entries(options.set ?? {}).map(([key, value]) => [
      key,
      encode(value, `${what}: the result of step "${key}"`),
    ]),
  )
  return forkHistory(origin.events, {
    runId: origin.runId,
    now,
    at: options.at,
    input: 'input' in options ? { payload: encode(options.input, `${what}: the input`) } : undefined,
    set,
    children: options.children === 'keep' ? 'keep' : 'rerun',
    pending: origin.pending,
  })
}

/** @throws InvalidInputError naming the option, with `what` before it */
export function checkForkOptions(options: ForkOptions, what: string): void {
  if (typeof options !== 'object' || options === null) {
    throw new InvalidInputError(`${what}: expected options, got ${options === null ? 'null' : typeof options}.`)
  }
  checkFields(options, ['at', 'input', 'set', 'version', 'id', 'signals', 'children'], what)
  if (options.version !== undefined) checkVersion(options.version, `${what}, version`)
  if (options.id !== undefined) checkName(options.id, `${what}: id`)
  oneOf(options.signals, ['redeliver', 'drop'], `${what}: signals`)
  oneOf(options.children, ['rerun', 'keep', 'cancel'], `${what}: children`)
}

/** Makes a fork. @throws as `Handle.fork` */
export async function forkRun({ store, hints }: Backend, origin: ForkOrigin, options: ForkOptions): Promise<Forked> {
  const plan = planFork(origin, options, await store.now())
  const id = options.id ?? forkId(origin.id, newId('').slice(1, 9))
  const request = forkRequest(origin, options, plan, id)
  const { runId, queue } = request
  const existing = await store.fork(request)
  if (existing !== null) {
    throw new IdConflictError(
      `fork: id "${id}" is taken by the open run ${existing.runId} (${existing.status}). Use another id.`,
    )
  }
  hints.local([{ kind: 'ready', queues: [queue] }])
  if (options.children === 'cancel' && origin.stored) await cancelAll({ store, hints }, plan.open)
  const { cut, anew, movedBy } = plan
  return { id, runId, kept: plan.kept, of: origin.events.length, cut, anew, movedBy }
}

/** A fork that was planned, in the words of the store. */
export function forkRequest(origin: ForkOrigin, options: ForkOptions, plan: ForkedHistory, id: string): ForkRequest {
  const { workflow, version, queue, priority, timeoutMs, attributes } = origin
  const drop = options.signals === 'drop'
  const kept = Object.entries(attributes).filter(([key]) => !plan.unset.includes(key))
  return {
    runId: newRunId(),
    id,
    workflow,
    version: options.version ?? version,
    queue,
    priority,
    timeoutMs,
    attributes: kept.length === 0 ? null : Object.fromEntries(kept),
    events: plan.events,
    origin: { runId: origin.runId, seq: plan.cut },
    signals: drop || origin.stored ? [] : plan.redeliver,
    redeliver: origin.stored && !drop,
    updates: plan.updates,
    children: plan.taken,
  }
}

/** Forks a closed run from its last failure, under its id. @throws as `Handle.retry` */
export async function retryRun(backend: Backend, row: RunRow): Promise<Forked> {
  if (row.closedAt === null) {
    throw new StetError(
      'run_open',
      `retry: run ${row.runId} is ${row.status}. Only a closed run is tried again; fork it at a step instead.`,
    )
  }
  return forkRun(backend, await storedOrigin(backend.store, row), { at: 'last-failure', id: row.id })
}

/** `<id>-fork-<mark>`, with as much of the id as there is room for. */
export function forkId(id: string, mark: string): string {
  const end = `-fork-${mark}`
  let start = ''
  let bytes = Buffer.byteLength(end)
  for (const character of id) {
    bytes += Buffer.byteLength(character)
    if (bytes > maxNameBytes) break
    start += character
  }
  return start + end
}

async function cancelAll({ store, hints }: Backend, runIds: readonly string[]): Promise<void> {
  for (const run of runIds) {
    await cancelLatest(store, (told) => hints.publish(told), run, 'its parent was forked').catch((error) => {
      // Gone: there is nothing left to be cancelled.
      if (!(error instanceof RunNotFoundError)) throw error
    })
  }
}
