/**
 * A worker's sign of life. It is sent by a thread with connections of its own, so a busy main loop does not lose the
 * lease, and it stops when the main loop has stopped, so a hung one does. The thread also watches one other worker:
 * it waits for the lock that the other's session holds, and learns within moments that its process is gone.
 */
import { Worker as Thread } from 'node:worker_threads'
import { programFile } from '../../core/package.js'
import type { Beat, Lease, LeaseListener, WorkerInfo } from '../port.js'

export interface LeaseSettings {
  readonly url: string
  readonly schema: string
  readonly worker: WorkerInfo
  readonly leaseMs: number
  readonly beatMs: number
  /** ms of `process.hrtime` at which the main loop last ran, as a shared float. */
  readonly mainTick: SharedArrayBuffer
}

export type FromThread =
  | { kind: 'registered'; sentAt: number }
  /** `sentAt`: ms of `process.hrtime`, which all threads have in common. */
  | { kind: 'beat'; beat: Beat; sentAt: number }
  | { kind: 'fenced' }
  | { kind: 'dead'; workerId: string }
  | { kind: 'failed'; message: string }

const tickMs = 500

export function holdLease(options: Omit<LeaseSettings, 'mainTick'>, listener: LeaseListener): Lease {
  const mainTick = new SharedArrayBuffer(8)
  const tick = new Float64Array(mainTick)
  const touch = () => {
    tick[0] = Number(process.hrtime.bigint() / 1_000_000n)
  }
  touch()
  const ticker = setInterval(touch, tickMs)
  ticker.unref()
  const settings: LeaseSettings = { ...options, mainTick }
  const thread = new Thread(programFile('store/postgres/lease-thread'), {
    workerData: settings,
    execArgv: [],
    resourceLimits: { maxOldGenerationSizeMb: 32, maxYoungGenerationSizeMb: 2 },
  })
  thread.unref()
  const ended = new Promise<void>((resolve) => thread.once('exit', () => resolve()))
  let stopping = false
  thread.on('message', (message: FromThread) => {
    if (stopping) return
    // A message may have waited long in a process that was stopped: when it was sent counts.
    if (message.kind === 'registered') listener.registered(sinceStart(message.sentAt))
    else if (message.kind === 'beat') listener.beat(message.beat, sinceStart(message.sentAt))
    else if (message.kind === 'fenced') listener.fenced()
    else if (message.kind === 'dead') listener.dead(message.workerId)
    else listener.failed(message.message)
  })
  thread.on('error', (error) => {
    if (!stopping) listener.failed(`the thread that holds the lease ended: ${error.message}`)
    if (!stopping) listener.fenced()
  })
  return {
    poke: () => thread.postMessage('poke'),
    stop: async () => {
      stopping = true
      clearInterval(ticker)
      thread.postMessage('stop')
      await ended
    },
  }
}

/** From `process.hrtime` to `performance.now()`, in ms. */
function sinceStart(hrtimeMs: number): number {
  return performance.now() - (Number(process.hrtime.bigint() / 1_000_000n) - hrtimeMs)
}
