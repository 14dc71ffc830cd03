/**
 * Turns: the only moments at which the code of a workflow executes.
 *
 * T1. A turn is exclusive in the process: between `apply` and `close` nothing runs but nextTicks and microtasks.
 *     Two immediates that are registered together have nothing between them (closing by one immediate after the
 *     microtasks, or by a timer, lets callbacks of others in).
 * T2. Turns of one run come in the order in which they were asked for, because immediates do.
 * T3. What a turn made true by itself (a condition) is applied in a further turn, before `close` is called.
 */
import { setImmediate as immediate } from 'node:timers'
import { enterTurn, leaveTurn } from './causes.js'
import type { Frontier } from './frontier.js'
import { type RunInTurn, shared } from './state.js'

export interface Turn {
  readonly run: RunInTurn
  /** What the continuations of this turn have seen to begin with. */
  frontier(): Frontier
  /** Applies the event; the microtasks drain after it. */
  apply(): void
  /** Inside the turn, at its end: true when there is more to apply at once, in one more turn. */
  more(): boolean
  /** The turn is over: commands are there to be taken. */
  close(): void
}

// The unpatched function, also when this module is loaded after the patches.
const soon = immediate

/** Queues a turn. Never throws; `apply` must not throw. */
export function enqueueTurn(turn: Turn): void {
  soon(begin, turn)
  soon(endAndClose, turn)
}

/** How many turns of a recorded history are queued at once: each visit of the event loop costs as much as a turn. */
const recordedTurns = 64

/**
 * Queues the turns of recorded events, one after another, for as long as `next` has one (`atMost` in all); then calls
 * `done`. A turn is asked for when its moment has come, so each sees what the one before it left.
 */
export function enqueueRecorded(next: () => Turn | null, atMost: number, done: () => void): void {
  let last: Turn | null = null
  let left = atMost
  let more = false
  const beginNext = () => {
    if (!more) last = next()
    if (last !== null) begin(last)
  }
  const endLast = () => {
    if (last === null) return
    more = end(last)
    if (more) left++
    else last.close()
  }
  const queueMore = () => {
    const now = Math.min(left, recordedTurns)
    left -= now
    for (let i = 0; i < now; i++) {
      soon(beginNext)
      soon(endLast)
    }
    soon(() => {
      if (last === null || left === 0) done()
      else queueMore()
    })
  }
  queueMore()
}

function begin(turn: Turn): void {
  shared.current = turn.run
  enterTurn(turn.frontier())
  turn.apply()
}

function end(turn: Turn): boolean {
  const more = turn.more()
  shared.current = null
  leaveTurn()
  return more
}

function endAndClose(turn: Turn): void {
  if (end(turn)) enqueueTurn(turn)
  else turn.close()
}
