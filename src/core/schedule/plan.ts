/**
 * What a schedule does when somebody looks at it: pure, and the same for each store.
 *
 * F1. Slots are dealt with in their order, each once: what is not fired, skipped or buffered is missed, and says so.
 * F2. A slot that was buffered starts when no earlier run of the schedule is open, one at a time, before any later one.
 * F3. A paused schedule starts nothing but what was asked for by hand.
 */
import type { OverlapPolicy } from '../schedule-types.js'
import type { Slots } from './slots.js'

/** A slot that is a moment late is not missed, whatever its schedule says. */
export const leastCatchUpMs = 10_000
export const defaultCatchUpMs = 86_400_000

/** More than this do not wait: the next is skipped. */
export const maxBuffered = 1_000

/** More slots than this that were missed in a row are one row: nobody reads them one by one. */
export const maxMissed = 500

/** A schedule with something buffered is looked at so often beside the closing of its run, which is a hint only. */
export const lookAgainMs = 10_000

export type FireVia = 'slot' | 'trigger' | 'backfill'

export interface PlanInput {
  readonly id: string
  readonly now: number
  readonly slots: Slots
  /** All slots up to here are dealt with. */
  readonly cursor: number
  readonly paused: boolean
  readonly overlap: OverlapPolicy
  readonly catchUpMs: number
  /** Runs that slots may still start; null: any number. */
  readonly left: number | null
  /** An earlier run of it is open. */
  readonly open: boolean
  /** How many wait for that, and the first of them. */
  readonly buffered: number
  readonly oldest: { readonly slot: number; readonly via: FireVia; readonly overlap: OverlapPolicy | null } | null
  /** Asked for by hand, oldest first; `more`: these are not all. */
  readonly asked: readonly { readonly slot: number; readonly via: FireVia; readonly overlap: OverlapPolicy | null }[]
  readonly more: boolean
  /** No more than so many slots are dealt with at once. */
  readonly limit: number
}

export interface PlannedFire {
  readonly slot: number
  readonly via: FireVia
  readonly status: 'started' | 'skipped' | 'buffered' | 'missed'
  readonly overlap: OverlapPolicy | null
  readonly reason: string | null
  /** Missed: it stands for all slots up to here. */
  readonly until: number | null
}

export interface Plan {
  readonly fires: readonly PlannedFire[]
  readonly cursor: number
  readonly left: number | null
  readonly buffered: number
  /** Everything that waited before is skipped, for a later one took its place. */
  readonly replaced: boolean
  /** What earlier runs are asked to do. */
  readonly end: 'cancel' | 'terminate' | null
  readonly nextSlot: number | null
  /** When that fires. */
  readonly nextFire: number | null
  /** When somebody is to look again. */
  readonly nextAt: number | null
}

const openReason = 'an earlier run was open'
const lateReason = 'no worker could fire it within its catch-up window'
/** What the row of a slot that gave way to a later one says. */
export const replacedReason = 'a later slot took its place'

export function planFires(input: PlanInput): Plan {
  const { id, now, slots, paused, catchUpMs, limit } = input
  const fires: PlannedFire[] = []
  let { open, buffered, left, cursor } = input
  let end: Plan['end'] = null
  let replaced = false
  const fire = (
    slot: number,
    via: FireVia,
    status: PlannedFire['status'],
    { overlap = null, reason = null, until = null }: Partial<PlannedFire> = {},
  ) => {
    fires.push({ slot, via, status, overlap, reason, until })
    if (status !== 'started') return
    open = true
    if (via === 'slot' && left !== null) left--
  }
  const byPolicy = (slot: number, via: FireVia, own: OverlapPolicy | null) => {
    const policy = own ?? input.overlap
    if (policy === 'allow' || (!open && buffered === 0)) {
      fire(slot, via, 'started')
      return
    }
    if (policy === 'cancelOther' || policy === 'terminateOther') {
      // Whatever waits, in the store or since a moment ago, gives way to the latest.
      if (buffered > 0) replaced = true
      for (const [i, each] of fires.entries()) {
        if (each.status === 'buffered') fires[i] = { ...each, status: 'skipped', reason: replacedReason }
      }
      end = policy === 'cancelOther' ? 'cancel' : 'terminate'
      buffered = 1
      fire(slot, via, 'buffered', { overlap: own })
      return
    }
    const room = policy === 'bufferOne' ? 1 : policy === 'bufferAll' ? maxBuffered : 0
    if (buffered < room) {
      buffered++
      fire(slot, via, 'buffered', { overlap: own })
    } else {
      const full = policy === 'bufferAll' ? `${maxBuffered} wait already` : `${openReason}, and one waits already`
      fire(slot, via, 'skipped', { reason: policy === 'skip' ? openReason : full })
    }
  }

  if (!paused && input.oldest !== null && !open) {
    fire(input.oldest.slot, input.oldest.via, 'started')
    buffered--
    // Its policy may be to start when others have ended; it has.
  }
  for (const { slot, via, overlap } of input.asked) byPolicy(slot, via, overlap)
  const byHand = new Set(input.asked.map(({ slot }) => slot))

  let nextSlot = paused || left === 0 ? null : slots.next(cursor)
  let nextFire = nextSlot === null ? null : slots.fireAt(id, nextSlot)
  const windowMs = Math.max(catchUpMs, leastCatchUpMs)
  let dealt = 0
  let missed = 0
  while (nextSlot !== null && nextFire! <= now && dealt < limit && missed <= maxMissed && left !== 0) {
    cursor = nextSlot
    if (byHand.has(nextSlot)) dealt++
    else if (now - nextFire! <= windowMs) {
      dealt++
      byPolicy(nextSlot, 'slot', null)
    } else if (++missed <= maxMissed) fire(nextSlot, 'slot', 'missed', { reason: lateReason })
    else {
      cursor = Math.max(nextSlot, Math.ceil(now - windowMs) - 1)
      fire(nextSlot, 'slot', 'missed', { reason: lateReason, until: cursor })
    }
    nextSlot = slots.next(cursor)
    nextFire = nextSlot === null ? null : slots.fireAt(id, nextSlot)
  }
  if (left === 0) {
    nextSlot = null
    nextFire = null
  }
  // Ending the others is asked for again each time: whoever asked may have died before.
  if (end === null && buffered > 0 && input.open && input.oldest !== null && !paused) {
    const policy = input.oldest.overlap ?? input.overlap
    if (policy === 'cancelOther') end = 'cancel'
    if (policy === 'terminateOther') end = 'terminate'
  }
  const again = buffered > 0 && !paused ? now + lookAgainMs : null
  const nextAt = input.more ? now : least(nextFire, again)
  return { fires, cursor, left, buffered, replaced, end, nextSlot, nextFire, nextAt }
}

function least(a: number | null, b: number | null): number | null {
  return a === null ? b : b === null ? a : Math.min(a, b)
}
