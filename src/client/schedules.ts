/** `stet.schedules`: made, changed, fired by hand and looked at. Workers fire them. */
import { isDeepStrictEqual } from 'node:util'
import { decode } from '../core/codec.js'
import { durationMs } from '../core/duration.js'
import { IdConflictError, InvalidInputError, ScheduleNotFoundError, StetError } from '../core/errors.js'
import { checkVersion, oneOf } from '../core/options.js'
import { checkScheduleId, fireId } from '../core/schedule/ids.js'
import { defaultCatchUpMs } from '../core/schedule/plan.js'
import { Slots } from '../core/schedule/slots.js'
import { checkTimes, checkTimesFrom, sayTimes, slotsOf, timesFields, timesIn } from '../core/schedule/times.js'
import { checkFields } from '../core/suggest.js'
import type {
  OverlapPolicy,
  ScheduleChange,
  ScheduleDescription,
  ScheduleFire,
  ScheduleOptions,
  ScheduleSummary,
  Schedules,
  ScheduleTimes,
} from '../core/types.js'
import { lookAtSchedules } from '../store/firing.js'
import { startRequest } from '../store/requests.js'
import type { ScheduleFacts, StoredFire, StoredSchedule } from '../store/schedules.js'
import { hadRun } from '../store/slot-starts.js'
import type { Client } from './client.js'
import { RunHandle } from './handle.js'

const overlaps = ['skip', 'bufferOne', 'bufferAll', 'cancelOther', 'terminateOther', 'allow'] as const
const settings = [
  'overlap',
  'catchUp',
  'paused',
  'note',
  'maxRuns',
  'version',
  'queue',
  'priority',
  'timeout',
  'attributes',
]
const optionFields = [...timesFields, ...settings, 'workflow', 'input']
/** Together they say when: who gives one of them says all of it. */
const whenFields = ['cron', 'every', 'offset', 'at', 'calendars'] as const

const maxPage = 1_000
/** Slots that one page of a backfill asks for. */
const backfillPage = 200
/** How long a fire by hand is waited for that a worker has taken up. */
const patienceMs = 10_000

export class StoredSchedules implements Schedules {
  readonly #client: Client

  constructor(client: Client) {
    this.#client = client
  }

  async create(id: string, options: ScheduleOptions): Promise<void> {
    const what = whatOf(id, 'create')
    const facts = await factsOf(options, what)
    const paused = flag(options.paused, `${what}: paused`)
    const { store } = await this.#client.backend()
    checkTimesFrom(timesIn(options), await store.now(), what)
    const existing = await store.schedules.create(id, facts, 'call', paused)
    if (existing !== null && !isSame(existing, facts)) {
      throw new IdConflictError(
        `${what}: there is a schedule with this id, for workflow "${existing.workflow}" and with other options. Use another id, or schedules.update.`,
      )
    }
    await this.#look(id)
  }

  async update(id: string, options: ScheduleChange): Promise<void> {
    const what = whatOf(id, 'update')
    if (typeof options !== 'object' || options === null) {
      throw new InvalidInputError(`${what}: expected an object with what is to change, got ${String(options)}.`)
    }
    checkFields(options, optionFields, what)
    const stored = await this.#stored(id)
    const { store } = await this.#client.backend()
    const facts = await changedFacts(stored, options, what)
    const restart = !isDeepStrictEqual(JSON.parse(facts.times), JSON.parse(stored.times))
    if (restart) checkTimesFrom(JSON.parse(facts.times), await store.now(), what)
    if (!(await store.schedules.change(id, facts, { restart, source: null }))) throw new ScheduleNotFoundError(id)
    const paused = options.paused ?? stored.paused
    if (flag(paused, `${what}: paused`) !== stored.paused) await store.schedules.setPaused(id, paused)
    await this.#look(id)
  }

  async pause(id: string, note?: string): Promise<void> {
    const what = whatOf(id, 'pause')
    checkNote(note, `${what}: note`)
    await this.#setPaused(id, true, note)
  }

  async resume(id: string): Promise<void> {
    whatOf(id, 'resume')
    await this.#setPaused(id, false)
  }

  async trigger(id: string, options: { overlap?: OverlapPolicy } = {}): Promise<RunHandle> {
    const what = whatOf(id, 'trigger')
    const overlap = options.overlap === undefined ? null : oneOf(options.overlap, overlaps, `${what}: overlap`)
    const { store } = await this.#client.backend()
    const slots = await store.schedules.ask(id, null, 'trigger', overlap)
    if (slots === null) throw new ScheduleNotFoundError(id)
    const [fire] = await this.#decided(id, slots)
    if (fire!.status === 'skipped') {
      throw new StetError('schedule_skipped', `${what}: no run was started: ${fire!.reason}.`)
    }
    return new RunHandle(this.#client, fireId(id, fire!.slot), fire!.runId ?? '')
  }

  async backfill(
    id: string,
    range: { from: Date; to: Date; overlap?: OverlapPolicy },
  ): ReturnType<Schedules['backfill']> {
    const what = whatOf(id, 'backfill')
    const [from, to] = (['from', 'to'] as const).map((field) => {
      const at = range?.[field]?.getTime?.()
      if (at === undefined || Number.isNaN(at)) {
        throw new InvalidInputError(`${what}: ${field}: expected a valid Date, got ${String(range?.[field])}.`)
      }
      return at
    }) as [number, number]
    const overlap = range.overlap === undefined ? 'allow' : oneOf(range.overlap, overlaps, `${what}: overlap`)
    const { store } = await this.#client.backend()
    const now = await store.now()
    if (from > to)
      throw new InvalidInputError(
        `${what}: to: expected a time that is not before from, got ${range.to.toISOString()}.`,
      )
    if (to > now) {
      throw new InvalidInputError(`${what}: to: expected a time that is not to come, got ${range.to.toISOString()}.`)
    }
    const stored = await this.#stored(id)
    const slots = slotsOf(stored.times)
    const counts = { started: 0, buffered: 0, skipped: 0, existing: 0 }
    let page: number[] = []
    const turn = async () => {
      const asked = await store.schedules.ask(id, page, 'backfill', overlap)
      if (asked === null) throw new ScheduleNotFoundError(id)
      counts.existing += page.length - asked.length
      for (const { status, reason } of await this.#decided(id, asked)) {
        if (status === 'started') counts[reason === hadRun ? 'existing' : 'started']++
        else if (status === 'buffered' || status === 'skipped') counts[status]++
      }
      page = []
    }
    for (const slot of slots.between(from - 1, to)) {
      if (page.push(slot) === backfillPage) await turn()
    }
    if (page.length > 0) await turn()
    return counts
  }

  async next(id: string, count = 10): Promise<Date[]> {
    const what = whatOf(id, 'next')
    checkCount(count, `${what}: count`)
    const stored = await this.#stored(id)
    return this.#nextOf(stored, count)
  }

  dryRun(times: ScheduleTimes, { count = 10, after = new Date() }: { count?: number; after?: Date } = {}): Date[] {
    checkCount(count, 'schedules.dryRun: count')
    if (Number.isNaN(after?.getTime?.() ?? Number.NaN)) {
      throw new InvalidInputError(`schedules.dryRun: after: expected a valid Date, got ${String(after)}.`)
    }
    return firstOf(new Slots(checkTimes(times, 'schedules.dryRun')), after.getTime(), count)
  }

  async list({ limit = maxPage, after }: { limit?: number; after?: string } = {}): Promise<ScheduleSummary[]> {
    checkCount(limit, 'schedules.list: limit')
    const { store } = await this.#client.backend()
    return (await store.schedules.list(limit, after ?? null)).map(summaryOf)
  }

  async describe(id: string, { fires = 20 }: { fires?: number } = {}): Promise<ScheduleDescription> {
    const what = whatOf(id, 'describe')
    if (fires !== 0) checkCount(fires, `${what}: fires`)
    const { store } = await this.#client.backend()
    const stored = await this.#stored(id)
    const recent = fires === 0 ? [] : await store.schedules.fires(id, fires)
    const { version, timeoutMs, maxRuns, payload } = stored
    const input = decode(payload)
    return {
      ...summaryOf(stored),
      spec: specOf(stored),
      ...(input === undefined ? {} : { input }),
      ...{ catchUpMs: stored.catchUpMs, queue: stored.queue, priority: stored.priority },
      ...(version === null ? {} : { version }),
      ...(timeoutMs === null ? {} : { timeoutMs }),
      attributes: stored.attributes ?? {},
      runs: stored.runs,
      ...(maxRuns === null ? {} : { maxRuns }),
      buffered: stored.buffered,
      createdAt: new Date(stored.createdAt),
      updatedAt: new Date(stored.updatedAt),
      nextFires: stored.problem === null ? await this.#nextOf(stored, 5) : [],
      fires: recent.map((fire) => fireOf(id, fire)),
    }
  }

  async delete(id: string): Promise<void> {
    whatOf(id, 'delete')
    const { store } = await this.#client.backend()
    if (!(await store.schedules.remove(id))) throw new ScheduleNotFoundError(id)
  }

  /**
   * What a config says, in the place of what it said before: by id. Those that were made otherwise stay as they are,
   * unless the config has their ids. Whether one is paused is the config's word only when it is made.
   */
  async configure(
    given: Readonly<Record<string, ScheduleOptions>>,
  ): Promise<{ made: string[]; changed: string[]; deleted: string[] }> {
    const what = 'stet.config, schedules'
    const wanted = new Map<string, { facts: ScheduleFacts; paused: boolean }>()
    // All are checked before any is made.
    for (const [id, options] of Object.entries(given)) {
      const where = `${what} "${id}"`
      checkScheduleId(id, `${what}: id`)
      wanted.set(id, { facts: await factsOf(options, where), paused: flag(options.paused, `${where}: paused`) })
    }
    const { store } = await this.#client.backend()
    const done = { made: [] as string[], changed: [] as string[], deleted: [] as string[] }
    for (const [id, { facts, paused }] of wanted) {
      const existing = await store.schedules.create(id, facts, 'config', paused)
      if (existing !== null && isSame(existing, facts) && existing.source === 'config') continue
      if (existing !== null) {
        const restart = !isDeepStrictEqual(JSON.parse(existing.times), JSON.parse(facts.times))
        await store.schedules.change(id, facts, { restart, source: 'config' })
      }
      done[existing === null ? 'made' : 'changed'].push(id)
      await this.#look(id)
    }
    for (let after: string | null = null; ; ) {
      const page: StoredSchedule[] = await store.schedules.list(maxPage, after)
      for (const { id, source } of page) {
        if (source === 'config' && !wanted.has(id) && (await store.schedules.remove(id))) done.deleted.push(id)
      }
      if (page.length < maxPage) return done
      after = page.at(-1)!.id
    }
  }

  async #setPaused(id: string, paused: boolean, note?: string): Promise<void> {
    const { store } = await this.#client.backend()
    if (!(await store.schedules.setPaused(id, paused, note))) throw new ScheduleNotFoundError(id)
    await this.#look(id)
  }

  async #stored(id: string): Promise<StoredSchedule> {
    const { store } = await this.#client.backend()
    const stored = await store.schedules.find(id)
    if (stored === null) throw new ScheduleNotFoundError(id)
    return stored
  }

  async #nextOf(stored: StoredSchedule, count: number): Promise<Date[]> {
    if (stored.paused) return []
    const { store } = await this.#client.backend()
    const left = stored.maxRuns === null ? count : Math.max(0, stored.maxRuns - stored.runs)
    return firstOf(slotsOf(stored.times), Math.max(stored.cursor, Math.floor(await store.now())), Math.min(count, left))
  }

  /** Sees to it that its next slot is known, and tells workers of it. */
  async #look(id: string): Promise<void> {
    const { store, hints } = await this.#client.backend()
    const { nextAt } = await lookAtSchedules(store, (told) => hints.publish(told), [id])
    if (nextAt === null) return
    hints.publish([{ kind: 'later', inMs: Math.max(0, nextAt - (await store.now())) }])
  }

  /** What became of fires that were asked for. Whoever is there may do it; nobody has to be. */
  async #decided(id: string, slots: readonly number[]): Promise<StoredFire[]> {
    const { store } = await this.#client.backend()
    const end = performance.now() + patienceMs
    for (let before = -1; ; ) {
      await this.#look(id)
      const fires = await store.schedules.firesAt(id, slots)
      const left = fires.filter(({ status }) => status === 'due').length
      if (left === 0) {
        if (fires.length === 0 && slots.length > 0) throw new ScheduleNotFoundError(id)
        return fires.sort((a, b) => a.slot - b.slot)
      }
      if (left !== before) {
        before = left
        continue
      }
      if (performance.now() > end) {
        throw new StetError(
          'schedule_busy',
          `schedule "${id}": somebody holds it locked. What was asked for is on record, and done when it is free.`,
        )
      }
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }
}

// ── what is given ────────────────────────────────────────────────────────────────────────────────

function whatOf(id: unknown, call: string): string {
  checkScheduleId(id, `schedules.${call}: id`)
  return `schedule "${id}"`
}

async function factsOf(options: ScheduleOptions, what: string): Promise<ScheduleFacts> {
  if (typeof options !== 'object' || options === null || Array.isArray(options)) {
    throw new InvalidInputError(
      `${what}: expected options with a workflow and when it is to start, got ${String(options)}.`,
    )
  }
  checkFields(options, optionFields, what)
  const { workflow, input, queue, priority, timeout, attributes, version, note, maxRuns, catchUp } = options
  if (workflow === undefined || workflow === null)
    throw new InvalidInputError(`${what}: workflow: expected a workflow or its name, got nothing.`)
  const times = timesIn(options)
  checkTimes(times, what)
  if (version !== undefined) checkVersion(version, `${what}: version`)
  if (maxRuns !== undefined && !(Number.isInteger(maxRuns) && maxRuns >= 1 && maxRuns < 2 ** 31)) {
    throw new InvalidInputError(`${what}: maxRuns: expected a whole number from 1, got ${String(maxRuns)}.`)
  }
  checkNote(note, `${what}: note`)
  const request = await startRequest(workflow, input, {
    ...(queue === undefined ? {} : { queue }),
    ...(priority === undefined ? {} : { priority }),
    ...(timeout === undefined ? {} : { timeout }),
    ...(attributes === undefined ? {} : { attributes }),
  })
  return {
    workflow: request.workflow,
    version: version ?? null,
    queue: request.queue,
    priority: request.priority,
    timeoutMs: request.timeoutMs,
    payload: request.payload,
    attributes: request.attributes,
    times: JSON.stringify(times),
    overlap: oneOf(options.overlap, overlaps, `${what}: overlap`),
    catchUpMs: catchUp === undefined ? defaultCatchUpMs : durationMs(catchUp, `${what}: catchUp`),
    maxRuns: maxRuns ?? null,
    note: note ?? null,
  }
}

/** What is stored, with what is given in its place. */
async function changedFacts(stored: StoredSchedule, change: ScheduleChange, what: string): Promise<ScheduleFacts> {
  const given = Object.fromEntries(Object.entries(change).filter(([, value]) => value !== undefined && value !== null))
  const has = (field: string) => (change as Record<string, unknown>)[field] !== undefined
  const when = whenFields.some((field) => given[field] !== undefined)
  const times = Object.fromEntries(
    Object.entries(specOf(stored)).filter(
      ([field]) => !has(field) && !(when && (whenFields as readonly string[]).includes(field)),
    ),
  )
  const options = { ...times, workflow: stored.workflow, input: decode(stored.payload), ...given } as ScheduleOptions
  const facts = await factsOf(options, what)
  const keep = <K extends keyof ScheduleFacts>(field: string, key: K) => (has(field) ? facts[key] : stored[key])
  return {
    ...facts,
    version: keep('version', 'version'),
    queue: keep('queue', 'queue'),
    priority: keep('priority', 'priority'),
    timeoutMs: keep('timeout', 'timeoutMs'),
    attributes: keep('attributes', 'attributes'),
    payload: Object.hasOwn(change, 'input') ? facts.payload : stored.payload,
    overlap: keep('overlap', 'overlap'),
    catchUpMs: keep('catchUp', 'catchUpMs'),
    maxRuns: keep('maxRuns', 'maxRuns'),
    note: keep('note', 'note'),
  }
}

const compared = [
  'workflow',
  'version',
  'queue',
  'priority',
  'timeoutMs',
  'payload',
  'attributes',
  'times',
  'overlap',
  'catchUpMs',
  'maxRuns',
  'note',
] as const

function isSame(stored: StoredSchedule, facts: ScheduleFacts): boolean {
  const plain = (each: ScheduleFacts) => JSON.parse(JSON.stringify(compared.map((field) => each[field])))
  return isDeepStrictEqual(plain(stored), plain(facts))
}

function flag(value: unknown, what: string): boolean {
  if (value === undefined || value === null || typeof value === 'boolean') return value === true
  throw new InvalidInputError(`${what}: expected true or false, got ${String(value)}.`)
}

function checkNote(note: unknown, what: string): void {
  if (note === undefined || note === null) return
  if (typeof note === 'string' && note.length <= 2_000 && note.isWellFormed() && !note.includes('\0')) return
  throw new InvalidInputError(
    `${what}: expected text of at most 2000 characters, got ${typeof note === 'string' ? `${note.length}` : typeof note}.`,
  )
}

function checkCount(count: unknown, what: string): void {
  if (Number.isInteger(count) && (count as number) >= 1 && (count as number) <= maxPage) return
  throw new InvalidInputError(`${what}: expected a whole number from 1 to ${maxPage}, got ${String(count)}.`)
}

// ── what is told ─────────────────────────────────────────────────────────────────────────────────

function firstOf(slots: Slots, after: number, count: number): Date[] {
  const found: Date[] = []
  for (let slot = slots.next(after); slot !== null && found.length < count; slot = slots.next(slot))
    found.push(new Date(slot))
  return found
}

function specOf({ times }: StoredSchedule): ScheduleTimes {
  const spec = JSON.parse(times)
  for (const field of ['startAt', 'endAt']) if (spec[field] !== undefined) spec[field] = new Date(spec[field])
  if (spec.at !== undefined)
    spec.at = Array.isArray(spec.at) ? spec.at.map((at: string) => new Date(at)) : new Date(spec.at)
  return spec
}

function summaryOf(stored: StoredSchedule): ScheduleSummary {
  const { id, workflow, paused, nextSlot, overlap, note, problem, source, last } = stored
  const spec = specOf(stored)
  return {
    ...{ id, workflow, paused },
    ...(nextSlot === null || paused ? {} : { next: new Date(nextSlot) }),
    times: sayTimes(spec),
    timeZone: spec.timeZone ?? 'UTC',
    overlap,
    ...(note === null ? {} : { note }),
    ...(problem === null ? {} : { problem }),
    source,
    ...(last === null ? {} : { last: new Date(last) }),
  }
}

function fireOf(
  schedule: string,
  { slot, status, via, at, runId, runStatus, reason, until }: StoredFire,
): ScheduleFire {
  return {
    ...{ slot: new Date(slot), status, via, at: new Date(at), id: fireId(schedule, slot) },
    ...(runId === null ? {} : { runId }),
    ...(runStatus === null ? {} : { runStatus }),
    ...(reason === null ? {} : { reason }),
    ...(until === null ? {} : { until: new Date(until) }),
  }
}
