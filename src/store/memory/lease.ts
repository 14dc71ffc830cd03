/**
 * A worker's sign of life. Store and worker are one process with one main loop, so no thread is needed: a loop that hangs
 * does not beat, and nobody else is there to find that its lease is over.
 */
import { originals } from '../../core/determinism.js'
import type { Lease, LeaseListener, WorkerInfo } from '../port.js'
import type { State } from './state.js'
import { beat, neighbourOf, register } from './workers.js'

export function holdLease(
  state: State,
  worker: WorkerInfo,
  leaseMs: number,
  beatMs: number,
  listener: LeaseListener,
): Lease {
  let stopped = false
  const say = () => {
    if (stopped) return
    const sentAt = originals.performanceNow()
    const news = beat(state, worker, sentAt, leaseMs)
    if (news !== null) {
      listener.beat(news, sentAt)
      return
    }
    end()
    listener.fenced()
  }
  const timer = originals.setInterval(say, beatMs)
  timer.unref()
  let poked = false
  const poke = () => {
    if (poked || stopped) return
    poked = true
    originals.setImmediate(() => {
      poked = false
      say()
    })
  }
  const end = () => {
    stopped = true
    originals.clearInterval(timer)
    state.leases.delete(end)
    state.watchers.delete(worker.id)
  }
  state.leases.add(end)
  originals.setImmediate(() => {
    if (stopped) return
    const sentAt = originals.performanceNow()
    register(state, worker, sentAt, leaseMs)
    state.watchers.set(worker.id, (dead) => listener.dead(dead))
    listener.registered(sentAt)
    say()
  })
  return {
    poke,
    stop: async () => {
      if (stopped) return
      end()
      const entry = state.workers.get(worker.id)
      if (entry === undefined) return
      // As when its process had ended: whoever watches it hears of it.
      entry.held = false
      const watcher = [...state.watchers.keys()].find((id) => neighbourOf(state, id) === worker.id)
      if (watcher !== undefined) originals.setImmediate(() => state.watchers.get(watcher)?.(worker.id))
    },
  }
}
