/**
 * Determinism without a sandbox: workflow code runs in the main realm, and the globals that would make a replay differ
 * are patched, once in a process.
 *
 * 1. In a turn the patched functions are deterministic: they see the turn's time, bits and timers and nothing else.
 * 2. Everywhere else (step bodies, the application, other libraries) they are the originals, errors included.
 * 3. Importing this file patches nothing; `installDeterminism` does, and only the first one in a process, whichever
 *    copy of the package it comes from. A later copy is only asked too whose turn it is.
 * 4. The patched functions call what was there when they were installed, and nothing here looks at a global again: a
 *    later patch (fake timers) wraps ours and may be taken off again.
 *
 * Not reached: what was taken from a global *before* the install (`const now = Date.now`; uuid's pool, if used; nanoid's
 * is drained), modules that remember across calls (uuid v1 and v7, monotonic ulid), key generation and signatures of
 * `node:crypto`, `process.uptime`, the environment. The replay check of `dev` reports a run in which they show.
 */
import { syncBuiltinESMExports } from 'node:module'
import { patchClocks } from './determinism/clock.js'
import { type Originals, shared } from './determinism/originals.js'
import { drainNanoid } from './determinism/pools.js'
import { patchRandom } from './determinism/random.js'
import { patchTimers } from './determinism/timers.js'
import type { Hub, TurnSource } from './determinism/turn.js'

export type { Originals } from './determinism/originals.js'
export type { TurnSource } from './determinism/turn.js'

/** The functions as they were before any patch, for the engine's own use. */
export const originals: Originals = shared.originals

/**
 * Patches the globals of this process; calling it again, from this or another copy of the package, only adds `current`.
 * To be called before user files load, so that nothing of theirs holds an unpatched function.
 * @param current asked at every call of a patched function: the source whose turn is executing, or null outside turns
 * @example installDeterminism(() => executing)
 */
export function installDeterminism(current: () => TurnSource | null): void {
  if (shared.register !== undefined) {
    shared.register(current)
    return
  }
  const hub: Hub = { ask: current }
  const asked = [current]
  shared.register = (another) => {
    if (asked.includes(another)) return
    asked.push(another)
    hub.ask = () => {
      for (const ask of asked) {
        const turn = ask()
        if (turn !== null) return turn
      }
      return null
    }
  }
  patchClocks(hub)
  patchRandom(hub)
  patchTimers(hub)
  // `import { randomUUID } from 'node:crypto'` binds to a copy of the exports: this renews it.
  syncBuiltinESMExports()
  drainNanoid()
}
