/** Several worker processes under one: started again when they die, drained together. */
import type { Log } from '../../core/types.js'
import { type Child, forkWorker } from './child.js'
import { exit } from './errors.js'
import type { WorkerSpec } from './worker-process.js'

/** A process that dies at once must not be started again and again at full speed. */
const restartMs = 1_000

/** One that fails sooner did not get to work. */
const hopelessMs = 5_000

/**
 * Runs `count` worker processes until `stop` is aborted, or until all have ended by themselves (`once`). Returns the
 * exit code: that of the first process that failed, when it was not one that could be started again.
 */
export async function supervise(spec: WorkerSpec, count: number, stop: AbortSignal, log: Log): Promise<number> {
  const children = new Set<Child>()
  let over = false
  const drain = () => {
    over = true
    for (const child of children) child.drain()
  }
  stop.addEventListener('abort', drain)
  const keep = async (): Promise<number> => {
    for (;;) {
      const began = performance.now()
      const child = forkWorker(spec)
      children.add(child)
      const code = await child.exited
      children.delete(child)
      if (over || (code === exit.ok && spec.once)) return code ?? exit.failed
      // It never began to work: its files or its options are at fault, and another try would be no better.
      if (code !== null && code !== exit.ok && performance.now() - began < hopelessMs) return code
      log.warn('a worker process ended; starting another', { process: child.pid, code })
      await delay(restartMs, stop)
      if (over) return exit.ok
    }
  }
  const all = Array.from({ length: count }, keep)
  const failed = new Promise<number>((resolve) => {
    for (const each of all) void each.then((code) => code === exit.ok || resolve(code))
  })
  const code = await Promise.race([failed, Promise.all(all).then(() => exit.ok)])
  drain()
  await Promise.all(all)
  return code
}

/** Ends at once, also when `stop` comes. */
function delay(ms: number, stop: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer)
      stop.removeEventListener('abort', done)
      resolve()
    }
    const timer = setTimeout(done, ms)
    stop.addEventListener('abort', done)
    if (stop.aborted) done()
  })
}
