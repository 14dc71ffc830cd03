/** Schedules of the in-memory store: the same plans as those in Postgres, carried out in one go. */
import { fireId } from '../../core/schedule/ids.js'
import { type Plan, planFires, replacedReason } from '../../core/schedule/plan.js'
import { slotsOf } from '../../core/schedule/times.js'
import {
  firesKept,
  type Look,
  maxLooked,
  type ScheduleStore,
  type StoredFire,
  type StoredSchedule,
  slotsEach,
} from '../schedules.js'
import { newStart, settled } from '../slot-starts.js'
import { startRuns } from './starts.js'
import { copyOf, type State } from './state.js'

type Fire = Omit<StoredFire, 'runStatus'> & { readonly overlap: StoredSchedule['overlap'] | null }

export interface ScheduleEntry {
  schedule: StoredSchedule
  /** With its jitter. */
  nextFire: number | null
  nextAt: number | null
  /** By slot. */
  readonly fires: Map<number, Fire>
}

export function schedulesOf(state: State, answer: <T>(body: () => T) => Promise<T>, real: () => number): ScheduleStore {
  const { schedules } = state
  const change = (id: string, how: (entry: ScheduleEntry, at: number) => Partial<StoredSchedule>) =>
    answer(() => {
      const entry = schedules.get(id)
      if (entry === undefined) return false
      const at = state.at()
      entry.schedule = { ...entry.schedule, ...how(entry, at), nextSlot: null, updatedAt: at }
      entry.nextFire = null
      entry.nextAt = at
      return true
    })
  const shown = (fire: Fire): StoredFire => {
    const { overlap: _, ...rest } = fire
    return { ...rest, runStatus: fire.runId === null ? null : (state.runs.get(fire.runId)?.status ?? null) }
  }
  return {
    create: (id, facts, source, paused) =>
      answer(() => {
        const known = schedules.get(id)
        if (known !== undefined) return copyOf(known.schedule)
        const at = state.at()
        const schedule: StoredSchedule = {
          ...copyOf(facts),
          ...{ id, source, paused, cursor: at, nextSlot: null, problem: null, runs: 0, buffered: 0, last: null },
          ...{ createdAt: at, updatedAt: at },
        }
        schedules.set(id, { schedule, nextFire: null, nextAt: at, fires: new Map() })
        return null
      }),
    change: (id, facts, { restart, source }) =>
      change(id, ({ schedule }, at) => ({
        ...copyOf(facts),
        problem: null,
        source: source ?? schedule.source,
        cursor: restart ? at : schedule.cursor,
      })),
    setPaused: (id, paused, note) =>
      change(id, ({ schedule }, at) => ({
        cursor: schedule.paused && !paused ? at : schedule.cursor,
        paused,
        note: note === undefined ? schedule.note : note,
      })),
    remove: (id) => answer(() => schedules.delete(id)),
    find: (id) => answer(() => copyOf(schedules.get(id)?.schedule ?? null)),
    list: (limit, after) =>
      answer(() => {
        const ids = [...schedules.keys()].sort(byBytes).filter((id) => after === null || byBytes(id, after) > 0)
        return ids.slice(0, limit).map((id) => copyOf(schedules.get(id)!.schedule))
      }),
    fires: (id, limit) =>
      answer(() => {
        const fires = [...(schedules.get(id)?.fires.values() ?? [])].sort((a, b) => b.slot - a.slot)
        return fires.slice(0, limit).map(shown)
      }),
    firesAt: (id, slots) => answer(() => slots.flatMap((slot) => schedules.get(id)?.fires.get(slot) ?? []).map(shown)),
    ask: (id, slots, via, overlap) =>
      answer(() => {
        const entry = schedules.get(id)
        if (entry === undefined) return null
        const at = state.at()
        entry.nextAt = at
        const taken: number[] = []
        for (let slot of slots ?? [at]) {
          if (slots === null) while (entry.fires.has(slot)) slot++
          const known = entry.fires.get(slot)
          const again =
            via === 'backfill' && ['missed', 'skipped'].includes(known?.status ?? '') && known?.until === null
          if (known !== undefined && !again) continue
          entry.fires.set(slot, { slot, status: 'due', via, at, runId: null, reason: null, until: null, overlap })
          taken.push(slot)
        }
        return taken
      }),
    look: (ids) => answer(() => look(state, ids, real())),
  }
}

function look(state: State, ids: readonly string[] | null, real: number): Look {
  const now = state.clock.now()
  const due =
    ids === null
      ? [...state.schedules.values()].filter(({ nextAt }) => nextAt !== null && nextAt <= now).slice(0, maxLooked)
      : [...new Set(ids)].flatMap((id) => state.schedules.get(id) ?? [])
  const queues = new Set<string>()
  const toEnd: Look['toEnd'][number][] = []
  const waits: Look['waits'][number][] = []
  const problems: Look['problems'][number][] = []
  for (const entry of due) {
    const { id } = entry.schedule
    let plan: Plan
    const open = openRuns(state, id)
    try {
      plan = planOf(entry, open.length > 0, now, slotsEach(due.length))
    } catch (error) {
      const problem = (error as Error).message.slice(0, 1_000)
      entry.schedule = { ...entry.schedule, problem, nextSlot: null }
      entry.nextFire = entry.nextAt = null
      problems.push({ schedule: id, problem })
      continue
    }
    carryOut(state, entry, plan, real, queues)
    if (plan.end !== null) for (const runId of open) toEnd.push({ runId, how: plan.end, schedule: id })
    if (plan.buffered > 0 && !entry.schedule.paused && open.length > 0) waits.push({ runId: open[0]!, schedule: id })
  }
  return { looked: due.length, queues: [...queues], toEnd, waits, nextAt: nextLook(state), problems }
}

function planOf({ schedule, fires }: ScheduleEntry, open: boolean, now: number, limit: number): Plan {
  const inOrder = [...fires.values()].sort((a, b) => a.slot - b.slot)
  const asked = inOrder.filter(({ status }) => status === 'due').slice(0, limit)
  return planFires({
    ...schedule,
    now,
    slots: slotsOf(schedule.times),
    left: schedule.maxRuns === null ? null : Math.max(0, schedule.maxRuns - schedule.runs),
    open,
    oldest: inOrder.find(({ status }) => status === 'buffered') ?? null,
    asked,
    more: asked.length === limit,
    limit,
  })
}

/** S1 */
function carryOut(state: State, entry: ScheduleEntry, plan: Plan, real: number, queues: Set<string>): void {
  const { schedule, fires } = entry
  const at = state.at()
  let { runs, last } = schedule
  if (plan.replaced) {
    for (const fire of fires.values()) {
      if (fire.status === 'buffered') fires.set(fire.slot, { ...fire, status: 'skipped', reason: replacedReason })
    }
  }
  for (const planned of plan.fires) {
    if (fires.get(planned.slot)?.status === 'started') continue
    const request = planned.status === 'started' ? newStart(schedule, planned.slot) : undefined
    const existing = request === undefined ? null : startRuns(state, [request], real)[0]!
    if (request !== undefined) queues.add(request.queue)
    const fire = settled(planned, request, existing, schedule.workflow)
    fires.set(fire.slot, { ...fire, at })
    if (fire.status !== 'started') continue
    if (fire.via === 'slot') runs++
    last = Math.max(last ?? 0, fire.slot)
  }
  if (fires.size > firesKept) {
    const old = [...fires.values()].sort((a, b) => a.slot - b.slot).slice(0, fires.size - firesKept)
    for (const { slot, status } of old) if (status !== 'due' && status !== 'buffered') fires.delete(slot)
  }
  const { cursor, nextSlot, buffered } = plan
  entry.schedule = {
    ...schedule,
    cursor: Math.max(cursor, schedule.cursor),
    nextSlot,
    buffered,
    runs,
    last,
    problem: null,
  }
  entry.nextFire = plan.nextFire
  entry.nextAt = plan.nextAt
}

/** Runs that slots of it have started, or that go on for those. */
export function openRuns(state: State, schedule: string): string[] {
  const length = fireId(schedule, 0).length
  return [...state.open]
    .filter(({ id, runId }) => id !== runId && id.length === length && id.startsWith(`${schedule}@`))
    .map(({ runId }) => runId)
}

export function nextLook(state: State): number | null {
  let next: number | null = null
  for (const { nextAt } of state.schedules.values())
    if (nextAt !== null && (next === null || nextAt < next)) next = nextAt
  return next
}

function byBytes(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b))
}
