/**
 * Limits of the in-memory store. A slot is a note that a run was claimed behind a gate; it holds for as long as the run
 * is owned under that claim, so it needs nobody to give it back.
 */
import { storedJson } from '../../core/codec.js'
import type {
  ClaimHow,
  FullGate,
  GateAhead,
  GateState,
  LimitBounds,
  LimitRule,
  Limits,
  LimitTarget,
} from '../limits.js'
import { maxCountedBehind, maxFullGates, maxGates } from '../limits.js'
import { type ClaimedRun, maxCounted, type WorkerLanes } from '../port.js'
import { candidates, isReady, take } from './claims.js'
import { concerns, type LimitEntry, limitKey, type Run, type State } from './state.js'

/** One more stands for "more than these". */
export const counted = (n: number) => Math.min(n, maxCounted + 1)

export function concernsLanes({ scope, name }: LimitTarget, lanes: WorkerLanes): boolean {
  return scope === 'queue' ? lanes.queues.includes(name) : lanes.workflows.some((each) => each.name === name)
}

export function limitsOf(state: State, answer: <T>(body: () => T) => Promise<T>): Limits {
  const change = (target: LimitTarget, part: Partial<LimitRule>) => {
    const known = state.limits.get(limitKey(target))
    const { scope, name, key } = target
    const fresh = { scope, name, key, ...nothing, paused: false, declared: null, overridden: false, begun: new Map() }
    const entry: LimitEntry = { ...(known ?? fresh), ...part }
    state.limits.set(limitKey(target), entry)
    if (known !== undefined) return
    // Runs that are in hand count too.
    for (const run of state.open) if (run.owner !== null && concerns(entry, run)) hold(state, run, entry)
  }
  return {
    claimInLine: (workerId, lanes, limit, how) => answer(() => claimInLine(state, workerId, lanes, limit, how)),
    limits: () => answer(() => sorted(state).map(ruleOf)),
    limitStates: () =>
      answer(() =>
        sorted(state).map((limit) => {
          const now = state.clock.now()
          const queued = [...state.open].filter((run) => isReady(run, now) && concerns(limit, run))
          const values = new Set(
            limit.key === null ? [null] : [...state.slots].flatMap((slot) => valuesOf(slot, limit)),
          )
          const gates = [...values].map((value) => gateState(state, limit, value))
          const full = limit.key === null ? [] : fullGates(state, limit, queued)
          return {
            ...ruleOf(limit),
            running: counted(gates.reduce((sum, { running }) => sum + running, 0)),
            queued: counted(queued.length),
            oldestMs: queued.length === 0 ? null : Math.max(0, now - Math.min(...queued.map(({ due }) => due!))),
            gates: gates
              .sort((a, b) => b.running - a.running || (a.value! < b.value! ? -1 : 1))
              .filter(({ value, running }) => value === null || running > 0)
              .slice(0, maxGates),
            full: counted(full.length),
            fullGates: full.slice(0, maxFullGates),
          }
        }),
      ),
    setLimit: (target, { bounds, paused }) =>
      answer(() =>
        change(target, {
          ...(bounds === undefined ? {} : { ...bounds, overridden: true }),
          ...(paused === undefined ? {} : { paused }),
        }),
      ),
    resetLimit: (target) =>
      answer(() => {
        const known = state.limits.get(limitKey(target))
        if (known === undefined) return false
        if (known.declared === null) state.limits.delete(limitKey(target))
        else change(target, { ...known.declared, paused: false, overridden: false })
        return true
      }),
    declareLimits: (workflows, limits) =>
      answer(() => {
        let changed = false
        for (const { scope, name, key, concurrency, rate } of limits) {
          const known = state.limits.get(limitKey({ scope, name, key }))
          const declared = { concurrency, rate }
          if (JSON.stringify(known?.declared) === JSON.stringify(declared)) continue
          change({ scope, name, key }, { declared, ...(known?.overridden ? {} : declared) })
          changed = true
        }
        const said = new Set(limits.map(limitKey))
        for (const limit of sorted(state)) {
          const isOurs = limit.scope === 'workflow' && workflows.includes(limit.name) && limit.declared !== null
          if (!isOurs || said.has(limitKey(limit))) continue
          if (limit.overridden || limit.paused) change(limit, { declared: null })
          else state.limits.delete(limitKey(limit))
          changed = true
        }
        return changed
      }),
  }
}

/** The longest wait first. */
const byWaiting = (a: FullGate, b: FullGate) => b.oldestMs - a.oldestMs || (a.value! < b.value! ? -1 : 1)

/** What a run that is ready stands behind. */
export function gatesAhead(state: State, run: Run): GateAhead[] {
  if (run.status !== 'pending') return []
  return sorted(state)
    .filter((limit) => concerns(limit, run))
    .map((limit) => {
      const value = valueUnder(run, limit)
      const closed = limit.paused || roomOf(state, limit, value, run.claim === 0).room <= 0
      return { ...ruleOf(limit), ...gateState(state, limit, value), closed }
    })
}

/** Whether limits let a run go on now, and when its rates will if it is for them that it does not. */
export function gatesOf(state: State, run: Run): { closed: boolean; opensAt: number | null } {
  const rooms = sorted(state)
    .filter((limit) => concerns(limit, run))
    .map((limit) => roomOf(state, limit, valueUnder(run, limit), run.claim === 0))
  const times = rooms.flatMap(({ opensAt }) => (opensAt === null ? [] : [opensAt]))
  return { closed: rooms.some(({ room }) => room <= 0), opensAt: times.length === 0 ? null : Math.max(...times) }
}

const nothing: LimitBounds = { concurrency: null, rate: null }

function sorted(state: State): LimitEntry[] {
  return [...state.limits].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, limit]) => limit)
}

function ruleOf({ begun: _begun, ...rule }: LimitEntry): LimitRule {
  return { ...rule }
}

// ── gates ────────────────────────────────────────────────────────────────────────────────────────

/** What a run has under the key of a limit; null: the limit has none. */
function valueUnder(run: Run, { key }: LimitTarget): string | null {
  return key === null ? null : keyValue(run.history[0]?.payload ?? null, key)
}

/** What stands under a path in an input; '' where nothing does, or where nobody can look (a payload codec). */
function keyValue(payload: string | null, path: string): string {
  if (payload === null || (payload.startsWith('~') && !payload.startsWith('~1'))) return ''
  let value = storedJson(payload)
  for (const part of path.split('.')) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, part)) return ''
    value = value[part]
  }
  return value === null ? '' : typeof value === 'string' ? value : JSON.stringify(value)
}

const gateOf = (limit: LimitTarget, value: string | null) => JSON.stringify([limitKey(limit), value])

function hold(state: State, run: Run, limit: LimitEntry): void {
  state.slots.add({ run, claim: run.claim, limit: limitKey(limit), value: valueUnder(run, limit) })
}

function valuesOf(slot: { readonly limit: string; readonly value: string | null }, limit: LimitTarget) {
  return slot.limit === limitKey(limit) ? [slot.value] : []
}

function gateState(state: State, limit: LimitEntry, value: string | null): GateState {
  let running = 0
  for (const slot of state.slots) {
    if (slot.run.owner === null || slot.run.claim !== slot.claim) state.slots.delete(slot)
    else if (slot.limit === limitKey(limit) && slot.value === value) running++
  }
  const begun = limit.rate === null ? null : begunOf(state, limit, value).length
  return { value, running: counted(running), begun }
}

/** Values that are full while these runs wait. */
function fullGates(state: State, limit: LimitEntry, queued: readonly Run[]): FullGate[] {
  const behind = new Map<string | null, Run[]>()
  for (const run of queued) {
    const value = valueUnder(run, limit)
    behind.set(value, [...(behind.get(value) ?? []), run])
  }
  return [...behind]
    .filter(([value]) => roomOf(state, limit, value, true).room <= 0)
    .map(([value, runs]) => ({
      ...gateState(state, limit, value),
      queued: Math.min(runs.length, maxCountedBehind + 1),
      oldestMs: Math.max(0, state.clock.now() - Math.min(...runs.map(({ due }) => due!))),
    }))
    .sort(byWaiting)
}

/** The times of those that were begun within the last period. */
function begunOf(state: State, limit: LimitEntry, value: string | null): number[] {
  const all = limit.begun.get(gateOf(limit, value)) ?? []
  const recent = all.filter((at) => at > state.clock.now() - limit.rate!.periodMs)
  limit.begun.set(gateOf(limit, value), recent)
  return recent
}

/** How many more a gate lets through, and when it will let through the next if it is for its rate that it does not. */
function roomOf(
  state: State,
  limit: LimitEntry,
  value: string | null,
  fresh: boolean,
): { room: number; opensAt: number | null } {
  if (limit.paused) return { room: 0, opensAt: null }
  const slots =
    limit.concurrency === null ? Number.POSITIVE_INFINITY : limit.concurrency - gateState(state, limit, value).running
  if (!fresh || limit.rate === null) return { room: slots, opensAt: null }
  const begun = begunOf(state, limit, value)
  const begins = limit.rate.limit - begun.length
  return { room: Math.min(slots, begins), opensAt: begins > 0 ? null : Math.min(...begun) + limit.rate.periodMs }
}

// ── claiming ─────────────────────────────────────────────────────────────────────────────────────

function claimInLine(
  state: State,
  workerId: string,
  lanes: WorkerLanes,
  wanted: number,
  how: ClaimHow,
): { runs: ClaimedRun[]; nextAt: number | null } {
  if (!state.workers.has(workerId)) return { runs: [], nextAt: null }
  const limits = sorted(state).filter((limit) => concernsLanes(limit, lanes))
  const behind = (run: Run) => limits.filter((limit) => concerns(limit, run))
  const lines = new Map<string, Run[]>()
  for (const run of candidates(state, lanes, how)) {
    const gates = behind(run)
    if (gates.length === 0) continue
    const keyed = gates.filter(({ key }) => key !== null).map((limit) => gateOf(limit, valueUnder(run, limit)))
    const line = JSON.stringify([run.queue, run.workflow, run.version, run.claim === 0, ...keyed])
    lines.set(line, [...(lines.get(line) ?? []), run])
  }
  const runs: ClaimedRun[] = []
  let nextAt: number | null = null
  while (runs.length < wanted && lines.size > 0) {
    // By the priority of their first, then turn about.
    const [line, [run, ...others]] = [...lines].sort(
      ([a, [x]], [b, [y]]) => y!.priority - x!.priority || (state.turns.get(a) ?? 0) - (state.turns.get(b) ?? 0),
    )[0]!
    const rooms = behind(run!).map((limit) => roomOf(state, limit, valueUnder(run!, limit), run!.claim === 0))
    if (rooms.some(({ room }) => room <= 0)) {
      lines.delete(line)
      for (const { opensAt } of rooms) if (opensAt !== null) nextAt = Math.min(opensAt, nextAt ?? opensAt)
      continue
    }
    if (run!.claim === 0) {
      for (const limit of behind(run!)) {
        if (limit.rate !== null) begunOf(state, limit, valueUnder(run!, limit)).push(state.clock.now())
      }
    }
    runs.push(take(state, workerId, lanes, run!))
    for (const limit of behind(run!)) hold(state, run!, limit)
    state.turns.set(line, ++state.turn)
    if (others.length > 0) lines.set(line, others)
    else lines.delete(line)
  }
  return { runs, nextAt }
}
